"""The page that puts this study beside the paper: what each reports, whether that is the same, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import pandas as pd

from lib import prose
from lib.claims import Cell
from lib.prose import percent
from lib.proxies import MODEL
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
from lib.studies import Study

DEVIATIONS = {  # what is compared: (in the paper, where its value stands here)
    "bracket types": ("20", "task.bracket_types"),
    "depth of training sentences, at most": ("10", "task.max_depth"),
    "training sentences": ("200,000", "task.training_sentences"),
    "length of training sentences, at most": ("not known to us", "task.max_length"),
    "layers": ("2", "model.layers"),
    "heads of a layer": ("not known to us", "model.heads"),
    "width": ("not known to us", "model.width"),
    "training steps": ("not known to us", "training.steps"),
    "sequences in a batch": ("not known to us", "training.batch_size"),
    "models": ("not known to us", "seeds"),
}


class Beside:
    """The studies on which claims are tested, by name, beside the paper."""

    def __init__(self, studies: Sequence[Study]):
        self.studies = {study.name: study for study in studies}

    @cached_property
    def cells(self) -> dict[str, list[Cell]]:
        """What was found, by study."""
        return {name: study.task.findings(study) for name, study in self.studies.items()}

    def findings(self) -> pd.DataFrame:
        """One row per claim and study: what the paper reports, what was found here, and whether that is the same."""
        rows = {}
        for claim in RULES.claims:
            for name, cells in self.cells.items():
                of = [c for c in cells if c.claim.number == claim.number and c.reading == "A" and c.decides]
                if of:
                    rows[f"{claim.number}. {claim.text} ({name})"] = {
                        "the paper": claim.paper,
                        "here": self._here(claim.number, name, of),
                        "compared": compared(of),
                    }
        return prose.table(rows, "finding")

    def _here(self, number: int, name: str, cells: Sequence[Cell]) -> str:
        claim = RULES.claim(number)
        counts = {verdict: sum(c.verdict == verdict for c in cells) for verdict in dict.fromkeys(c.verdict for c in cells)}
        said = prose.names(f"{claim.word(verdict)} in {count}" for verdict, count in counts.items())
        found = f"of {len(cells)} {'cell' if len(cells) == 1 else 'cells'}: {said}"
        splits = list(dict.fromkeys(cell.split for cell in cells))
        if splits[1:] or splits[0] not in self.studies[name].splits:
            return found
        accuracy = self.studies[name].estimates.estimate(MODEL, splits[0], "accuracy")
        return f"the model is right on {percent(accuracy, interval=True)} of {splits[0]}; {found}"

    def deviations(self) -> pd.DataFrame:
        """Sizes and settings in the paper and here, one row per setting, one column per study."""
        rows: dict[str, dict[str, str]] = {}
        for what, (paper, path) in DEVIATIONS.items():
            row = rows[what] = {"the paper": paper}
            for name, study in self.studies.items():
                value = _value(study, path)
                row[f"here: {name}"] = "" if value is None else f"{value:,}"
        return prose.table(rows)


def compared(cells: Sequence[Cell]) -> str:
    """Whether something was found as the paper reports it, from the verdicts of reading A.

    The paper's claims say that there are such cases, so one is enough. What does not apply does not count, and it takes all
    that do to say that there is none.
    """
    verdicts = {cell.verdict for cell in cells} - {NOT_APPLICABLE}
    if not verdicts:
        return "not comparable: nothing here matches the model well enough, or it was not measured"
    if GAP in verdicts:
        return "the same, in some cases" if verdicts & {OPPOSITE, EQUAL} else "the same"
    if UNDECIDED in verdicts:
        return "not decided" if verdicts == {UNDECIDED} else "different, as far as it is decided"
    return "different"


def _value(study: Study, path: str) -> object:
    """A value of a study's configuration; None where its task has no such thing."""
    if path == "seeds":
        return study.seeds
    section, name = path.split(".")
    part: Mapping = getattr(study.experiment, section).plain()
    return part.get(name)
