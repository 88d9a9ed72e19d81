"""The scorecard: every claim of several studies as matrices of verdicts, and how these come about."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from lib import answers, matrices, prose
from lib.claims import READINGS, Cell, applying
from lib.foreseeing import KNOWN
from lib.matrices import framed, table
from lib.measuring.intervals import CONFIDENCE, Estimate
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, SMALL, UNDECIDED, Claim
from lib.studies import Study

CHANCE = 1 - CONFIDENCE  # how often an interval excludes zero where there is nothing
SAYS = {  # what a reading does, in a line
    "A": "against the split in distribution.",
    "B": "against splits in distribution that are alike in what the split does not test, such as length.",
    "C": "as A, between the settings of a family, where it agrees with the model equally often in distribution.",
}

Tested = list[tuple[Study, list[Cell]]]  # the cells of a claim, study by study


class Scorecard:
    """The cells of studies."""

    def __init__(self, studies: Sequence[Study]):
        self.cells: dict[str, list[Cell]] = {study.name: study.task.findings(study) for study in studies}
        self.studies = [study for study in studies if self.cells[study.name]]  # those of whose task something is claimed

    def legend(self) -> str:
        """What the readings are, a line each, and what boxes look like, in one."""
        lines = "".join(f"<li><b>{r}</b>, {escape(name)}: {escape(SAYS[r])}</li>" for r, name in READINGS.items())
        return framed([f"<ul>{lines}</ul>", matrices.legend(matrices.words())])

    def answers(self) -> str:
        """For each claim what its cells of reading A come to and, beside it, those of B, a row a study."""
        lines = []
        for claim, tested in self._by_claim().items():
            readings = [r for r in ("A", "B") if any(cell.reading == r for _, cells in tested for cell in cells)]
            heads = "".join(f'<th scope="col">{escape(READINGS[r])}</th>' for r in readings)
            rows = [
                f'<tr><th scope="row">{escape(study.name)}</th>'
                + "".join(f"<td>{_fares(claim, cells, reading)}</td>" for reading in readings)
                + "</tr>"
                for study, cells in tested
            ]
            table = f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
            lines.append(f'<p id="claim-{claim.number}">{_heading(claim)}</p>{matrices.scrolling(table, "fares")}')
        return framed(lines)

    def strip(self) -> str:
        """The verdicts on all claims as the paper says them, study by study, for the first page of the book."""
        lines = []
        for claim, by_study in self._tallies.items():
            where = f'<a href="scorecard.html#claim-{claim.number}">{escape(claim.short or claim.text)}</a>'
            found = [
                f"<small>{escape(name)}: {escape(count)}</small> {matrices.badge(verdict, RULES.word(claim, verdict))}"
                for name, (verdict, count) in by_study.items()
            ]
            lines.append(f"<li>{where} {' '.join(found)}</li>")
        chosen_apart = [study for study in self.studies if answers.deciding(study.seeds) < study.seeds]
        halved = [f"{study.name}: {answers.rests_on(study.seeds)}" for study in chosen_apart]
        apart = (
            f"Verdicts rest on other models than settings were chosen on: {prose.names(halved)}. Findings above are over all."
        )
        on = f"<p><small>{escape(apart)}</small></p>"
        return framed([f'<ol class="strip">{"".join(lines)}</ol>{on if halved else ""}'])

    def markdown(self) -> str:
        """The same as a table in Markdown: a row a claim, a column a study."""
        names = [study.name for study in self.studies]
        lines = [f"| claim of the paper | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
        for claim, by_study in self._tallies.items():
            found = [by_study.get(name) for name in names]
            words = [RULES.word(claim, of[0]) if of else "" for of in found]  # the count need not say it again
            said = [f"**{w}** ({of[1].removeprefix(f'{w} ')})" if of else "" for w, of in zip(words, found, strict=True)]
            lines.append(f"| {claim.number}. {claim.short or claim.text} | {' | '.join(said)} |".replace("\n", " "))
        return "\n".join(lines) + "\n"

    @property
    def _tallies(self) -> dict[Claim, dict[str, tuple[str, str]]]:
        """The verdict on each claim as the paper says it, study by study, and the count behind it."""
        return {
            claim: {study.name: answers.tally(claim, [c for c in of if c.reading == "A" and c.decides]) for study, of in tested}
            for claim, tested in self._by_claim().items()
        }

    def heading(self) -> str:
        """How many claims are borne out as the paper says them, in some study at least."""
        found = [{verdict for verdict, _ in by_study.values()} for by_study in self._tallies.values()]
        shown = sum(GAP in verdicts for verdicts in found)
        return f"## Of {_count(len(found), 'claim')}, {shown or 'none'} {'is' if shown == 1 else 'are'} borne out in some study"

    def matrices(self, reading: str) -> str:
        """Verdicts of a reading as matrices, a family a row and a split a column, for each claim and study; B and C folded."""
        parts = []
        for claim, tested in self._by_claim().items():
            tables = []
            for study, cells in tested:
                shown = [cell for cell in cells if cell.reading == reading and cell.decides]
                if not shown:
                    continue
                made, title = matrices.matrix(study, shown), escape(_title(study))
                if reading == "A":
                    tables.append(f"<p>{title}</p>{made}")
                else:
                    said = escape(answers.tally(claim, shown)[1])
                    tables.append(f"<details><summary>{title}: {said}</summary>{made}</details>")
            parts += [f"<p>{_heading(claim)}</p>", *tables] if tables else []
        return framed(parts)

    def numbers(self) -> str:
        """Every cell with its numbers, a table a study, folded."""
        tables = []
        for study in self.studies:
            cells = self.cells[study.name]
            said = escape(f"{_title(study)}: {_count(len(cells), 'cell')}")
            tables.append(f"<details><summary>{said}</summary>{matrices.numbers(cells)}</details>")
        return framed(tables)

    def counts(self) -> str:
        """How many intervals exclude zero, and how many would by chance: a row a study and reading."""
        rows = []
        for study in self.studies:
            for reading in READINGS:
                intervals = [cell.effect.interval for cell in self._verdicts(study, reading)]
                intervals = [(low, high) for low, high in intervals if not np.isnan(low)]
                rows.append(
                    {
                        "study": study.name,
                        "reading": reading,
                        "cells with intervals": len(intervals),
                        "exclude zero, as claimed": sum(low > 0 for low, _ in intervals),
                        "exclude zero, against": sum(high < 0 for _, high in intervals),
                        f"would by chance, {50 * CHANCE:g} % each": f"{CHANCE / 2 * len(intervals):.1f}",
                    }
                )
        return framed([table(rows)])

    def foreseen(self) -> str:
        """What was foreseen, what was measured, and the error: a paragraph for each study."""
        how = (
            f"By the {RULES.foreseeing.diagnostic}, from {KNOWN}. Counted are the cells of reading A that apply: a family at "
            "the setting that stands for it, on one kind of text, mean over models. The chapter on foreseeing counts every "
            "setting and model, so its errors are others."
        )
        return "\n\n".join([how, *map(self._foreseen, self.studies)])

    def _foreseen(self, study: Study) -> str:
        cells = [cell for cell in self._verdicts(study, "A") if cell.error is not None]
        if not cells:
            return f"{_title(study)}: in no cell of reading A could an effect be foreseen and measured."
        expected, found = (np.array([100 * effect.value for effect in of]) for of in zip(*map(_pair, cells), strict=True))
        error, baseline = np.abs(expected - found).mean(), np.abs(found).mean()
        means = [prose.minus(f"{values.mean().round(1) + 0.0:.1f}") for values in (expected, found)]  # no "−0.0"
        return prose.paragraph(
            f"{_title(study)}, {_count(len(cells), 'cell')}: the effect foreseen was {means[0]} points on average, and the one "
            f"measured {means[1]}. Signs aside, the error is {error:.1f} points on average; expecting no effect errs by "
            f"{baseline:.1f}.",
        )

    def method(self) -> str:
        """How verdicts come about, and how far they can be trusted."""
        over = " ".join(f"{s.name}: over {s.estimates.only(RULES.halves(s.seeds)[0][1]).over}." for s in self.studies)
        parts = [
            self._readings(),
            self._rules(),
            f"**Seeds.** {' '.join(map(_seeds, self.studies))}",
            f"**Intervals** are at {100 * CONFIDENCE:g} %: Student's t over seeds and, where all seeds are tested on the "
            f"same sequences or there is but one seed, a bootstrap over sequences; half-widths are added as squares. {over} "
            "Simulated studies among the tests show how often such intervals hold the truth.",
            *dict.fromkeys(
                f"{prose.begin(study.task.title)}: {study.task.caveat}" for study in self.studies if study.task.caveat
            ),
            "**Number of cells.** A claim that there are such cases is easier to meet the more cells there are. So it is "
            "counted, for each claim, study and reading, in how many of the cells that are as claimed the effect counts with "
            f"corrected intervals, too: at a confidence of 1 − {CHANCE:.2g} / m, where m cells apply (Bonferroni), which holds "
            "although cells share models and sequences, so that they err together. Verdicts themselves are not corrected. The "
            "table says how many intervals exclude zero, and how many would were there no effect anywhere.",
        ]
        return "\n\n".join(map(prose.paragraph, parts))

    def _readings(self) -> str:
        level, at = f"{100 * RULES.levels.chosen:g} %", [f"{100 * level:g} %" for level in RULES.levels.sensitivity]
        chosen = prose.names(dict.fromkeys(f"`{study.task.chosen_on}` ({study.task.title})" for study in self.studies))
        inside = prose.names(dict.fromkeys(f"`{study.task.reference}` ({study.task.title})" for study in self.studies))
        premises = [
            f"Claim {claim.number} says what the model does: it is “{NOT_APPLICABLE}” to a split of whose scored predictions "
            f"the model itself has fewer than {100 * claim.premise:g} % right."
            for claim in self._by_claim()
            if claim.premise is not None
        ]
        return prose.paragraph(
            "**Readings.** A is the claim as the paper says it: the setting that stands for a family of proxies, against the "
            "split in distribution. B holds it against splits that are alike in what the split does not test. C compares as "
            f"A does, but between the settings of a family, where it agrees with the model in {prose.names(at)} of cases in "
            f"distribution. What stands for a family in A and B is settled on {chosen}: the simplest setting that agrees with "
            f"the model in at least {level} of cases there, or, if none does, the most faithful one. It matches the model if "
            f"it agrees so often there and on {inside}; if not, a claim about proxies that match the model is "
            f"“{NOT_APPLICABLE}” to the family.",
            *premises,
        )

    def _rules(self) -> str:
        gap, equal = (_count(f"{100 * margin:g}", "point") for margin in (RULES.margins.gap, RULES.margins.equal))
        usual = {name: Claim.model_fields[name].default for name in ("positive", "negative")}
        others = [claim for claim in self._by_claim() if (claim.positive, claim.negative) != tuple(usual.values())]
        say = prose.names(f"claim {claim.number} says “{claim.positive}” and “{claim.negative}”" for claim in others)
        return (
            f"**Verdicts.** An effect counts if its whole interval is on one side of zero and it is at least {gap}: above "
            f"zero it is as claimed, “{usual['positive']}”, and below zero the opposite, "
            f"“{usual['negative']}”{f' ({say})' if others else ''}. If its whole interval is nearer to zero than {equal}, "
            f"“{SMALL.strip(', ')}” is added to the word. An effect that does not count is “within {equal}” if the whole "
            f"interval is nearer to zero than that, and “{UNDECIDED}” in all other cases; with fewer than "
            f"{RULES.seeds.fewest} seeds everything is. `{GAP}`, `{OPPOSITE}` and `{EQUAL}` are what the command line's JSON "
            "calls them in any claim."
        )

    def _verdicts(self, study: Study, reading: str) -> list[Cell]:
        """The cells on which verdicts rest, without those that are not applicable."""
        return applying(cell for cell in self.cells[study.name] if cell.reading == reading and cell.decides)

    def _by_claim(self) -> dict[Claim, Tested]:
        found: dict[Claim, Tested] = {}
        for study in self.studies:
            for claim, cells in answers.by_claim(self.cells[study.name]).items():
                found.setdefault(claim, []).append((study, cells))
        return {claim: found[claim] for claim in sorted(found, key=lambda claim: claim.number)}


def _pair(cell: Cell) -> tuple[Estimate, Estimate]:
    return cell.foreseen, cell.effect


def _title(study: Study) -> str:
    return f"{prose.begin(study.task.title)}, study {study.name} (preset {study.preset}, {answers.rests_on(study.seeds)})"


def _count(number: int | str, what: str) -> str:
    return f"{number} {what}" if str(number) == "1" else f"{number} {what}s"


def _seeds(study: Study) -> str:
    """Which seeds chose, and which report."""
    choose, report = RULES.halves(study.seeds)[0]
    if choose != report:
        chosen, reported = (", ".join(map(str, of)) for of in (choose, report))
        return f"{study.name}: settings are chosen on seeds {chosen}, and verdicts rest on seeds {reported}."
    few = f"; fewer than the {RULES.seeds.fewest} that a verdict needs" if study.seeds < RULES.seeds.fewest else ""
    return f"{study.name}: settings are chosen and effects measured on the same {prose.seeds(study.seeds)}{few}."


def _fares(claim: Claim, cells: Sequence[Cell], reading: str) -> str:
    """How a claim fares in a reading on a study: a box with the verdict, and the count behind it."""
    verdict, count = answers.tally(claim, [cell for cell in cells if cell.reading == reading and cell.decides])
    return f"{matrices.badge(verdict, RULES.word(claim, verdict))} <small>{escape(count)}</small>"


def _heading(claim: Claim) -> str:
    return f"<b>{claim.number}. {escape(claim.text)}</b>"
