"""The page that puts this study beside the paper: what each reports, whether that is the same, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape

import pandas as pd

from lib import figures, prose
from lib.answers import rests_on, shared_reason, tally
from lib.claims import Cell, applying, confirmed
from lib.matrices import label
from lib.prose import percent
from lib.proxies import MODEL, PROXIES
from lib.rules import GAP, RULES, UNDECIDED, Claim
from lib.studies import Study

SAME = "the same"  # how it begins where a finding is
PAPERS = ("svd", "kmeans", "one_hot")  # the families that are the paper's; all others are ours
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


# Where it is narrow, what stands side by side stands below.
_STYLE = """<style>
.beside { line-height: 1.4; }
.beside > section { border-top: 1px solid #767676; padding: 0.6em 0; }
.beside p { margin: 0 0 0.4em; font-weight: 600; }
.beside dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(13em, 1fr)); gap: 0.4em 1.2em; margin: 0;
  font-size: 0.92em; }
.beside dl > div { min-width: 0; white-space: normal; overflow-wrap: anywhere; }
.beside dt { font-weight: 400; font-size: 0.9em; opacity: 0.8; }
.beside dd { margin: 0; }
.beside dl > div:last-child dd { font-weight: 600; }
</style>"""


class Beside:
    """The studies on which claims are tested, by name, beside the paper."""

    def __init__(self, studies: Sequence[Study]):
        self.studies = {study.name: study for study in studies}

    def measured_on(self) -> str:
        """What was measured, in words."""
        (preset,) = {study.preset for study in self.studies.values()}
        shown = prose.names(f"{name} ({rests_on(study.seeds)})" for name, study in self.studies.items())
        return f"Measured on preset {preset}: {shown}."

    @cached_property
    def cells(self) -> dict[str, list[Cell]]:
        """What was found, by study."""
        return {name: study.task.findings(study) for name, study in self.studies.items()}

    def rows(self) -> dict[str, dict[str, str]]:
        """For each claim and study: what the paper reports, what was found here, and whether that is the same."""
        rows = {}
        for claim in RULES.claims:
            for name, cells in self.cells.items():
                of = [c for c in cells if c.claim.number == claim.number and c.reading == "A" and c.decides]
                if of:
                    rows[f"{claim.number}. {claim.text} ({name})"] = {
                        "the paper": claim.paper,
                        "here": self._here(claim, name, of),
                        "compared": compared(of),
                    }
        return rows

    def heading(self) -> str:
        """How many findings are the same."""
        verdicts = [row["compared"] for row in self.rows().values()]
        same = sum(verdict.startswith(SAME) for verdict in verdicts)
        return (
            f"## Of {_count(len(verdicts), 'finding')}, each of a claim and a study, {same or 'none'} "
            f"{'is' if same == 1 else 'are'} the same in some case, with a family that the paper has"
        )

    def findings(self) -> str:
        """The findings as HTML, one below the other, with what is compared side by side where there is room."""
        cards = []
        for finding, row in self.rows().items():
            parts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in row.items())
            cards.append(f"<section><p>{escape(finding)}</p><dl>{parts}</dl></section>")
        return f'<div class="beside">{_STYLE}{"".join(cards)}</div>'

    def _here(self, claim: Claim, name: str, cells: Sequence[Cell]) -> str:
        study = self.studies[name]
        _, found = tally(claim, cells)
        splits = list(dict.fromkeys(cell.split for cell in cells))
        if splits[1:] or splits[0] not in study.splits or not applying(cells):
            return found
        accuracy = study.estimates.only(RULES.halves(study.seeds)[0][1]).estimate(MODEL, splits[0], "accuracy")
        return f"the model is right on {percent(accuracy)} of {label(study, splits[0])}; {found}"

    def differences(self) -> pd.DataFrame:
        """Sizes and settings in the paper and here, one row per setting, one column per study."""
        rows: dict[str, dict[str, str]] = {}
        for what, (paper, path) in DEVIATIONS.items():
            row = rows[what] = {"the paper": paper}
            for name, study in self.studies.items():
                value = _value(study, path)
                row[f"here: {name}"] = "" if value is None else f"{value:,}"
        return prose.table(rows)

    def deviations(self) -> figures.Table:
        """The differences as a table to read."""
        return figures.Table(self.differences(), "Sizes and settings, in the paper and here")


def compared(cells: Sequence[Cell]) -> str:
    """Whether something was found as the paper reports it, from the verdicts of reading A.

    The paper's claims say that there are such cases, so one is enough, but for what chance does: one has to hold with intervals
    corrected for the number of cells, of a family of the paper's. What does not apply does not count, and it takes all that do
    to say that there is none.
    """
    apply = applying(cells)
    if not apply:
        reason = shared_reason(cells) or "nothing here matches the model well enough, or it was not measured"
        return f"not comparable: {reason}"
    verdicts = {cell.verdict for cell in apply}
    there, sure = sum(cell.verdict == GAP for cell in apply), confirmed(cells)
    if theirs := [cell for cell in sure if cell.proxy in PAPERS]:
        return f"{SAME}, with {_families(theirs)}"
    if sure:
        theirs = [cell for cell in cells if cell.proxy in PAPERS]
        return f"with families of ours alone ({_families(sure)}); {_of_the_papers(theirs)}"
    if there:
        return "not shown once corrected for the number of cells"
    return "not decided" if UNDECIDED in verdicts else "different"


def _families(cells: Sequence[Cell]) -> str:
    return prose.names(dict.fromkeys(PROXIES[cell.proxy].label for cell in cells))


def _of_the_papers(cells: Sequence[Cell]) -> str:
    """What there is of a finding that no family of the paper's has for sure."""
    apply = applying(cells)
    if not apply:
        return "the paper's families could not be tested"
    if any(cell.verdict == GAP for cell in apply):
        return f"with the paper's ({_families(apply)}), not shown once corrected for the number of cells"
    undecided = any(cell.verdict == UNDECIDED for cell in apply)
    return f"with the paper's ({_families(apply)}), {'not decided' if undecided else 'different'}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _value(study: Study, path: str) -> object:
    """A value of a study's configuration; None where its task has no such thing."""
    if path == "seeds":
        return study.seeds
    section, name = path.split(".")
    part: Mapping = getattr(study.experiment, section).plain()
    return part.get(name)
