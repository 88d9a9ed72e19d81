"""The scorecard: every claim of several studies as matrices of verdicts, and how these come about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

import numpy as np

from lib import claims, prose
from lib.claims import READINGS, Cell
from lib.measuring.intervals import Estimate
from lib.proxies import PROXIES
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED, Claim
from lib.studies import Study

CHANCE = 0.05  # how often a 95 % interval excludes zero where there is nothing


class Tint(NamedTuple):
    """How a verdict is shown, in light and in dark surroundings alike."""

    sign: str
    text: str
    background: str


# Okabe and Ito's orange, sky blue and green behind black text; what says nothing about the claim is grey or white.
TINTS = {
    GAP: Tint("▲", "#000000", "#E69F00"),
    OPPOSITE: Tint("▼", "#000000", "#56B4E9"),
    EQUAL: Tint("=", "#000000", "#33B894"),
    UNDECIDED: Tint("?", "#000000", "#DCDCDC"),
    NOT_APPLICABLE: Tint("–", "#595959", "#FFFFFF"),
}
_STYLE = """<style>
.scorecard { line-height: 1.35; }
.scorecard p { margin: 0.9em 0 0.2em; }
.scorecard .scroll { overflow-x: auto; max-width: 100%; margin-bottom: 1em; }
.scorecard .scroll table { display: table; width: auto; margin: 0; table-layout: auto; font-size: 0.86em; color: inherit;
  border: 0; border-collapse: separate; border-spacing: 3px; }
.scorecard .scroll tr, .scorecard .scroll tr:hover, .scorecard .scroll tr:nth-child(odd) { background: none; }
.scorecard .scroll th, .scorecard .scroll td { border: 0; padding: 0; text-align: left; vertical-align: top; color: inherit;
  background: none; max-width: none; white-space: normal; }
.scorecard .scroll th { padding: 0 0.5em 0 0; font-weight: 600; min-width: 5.5em; }
.scorecard .scroll thead th { vertical-align: bottom; }
.scorecard .scroll small { display: block; font-weight: 400; font-size: 0.92em; }
.scorecard .verdict { padding: 0.25em 0.5em; margin-bottom: 2px; border-radius: 3px; min-width: 6.8em; white-space: nowrap; }
.scorecard .numbers td { padding: 0.1em 0.6em 0.1em 0; white-space: nowrap; }
.scorecard .numbers td:last-child { white-space: normal; min-width: 22em; }
</style>"""


Tested = list[tuple[Study, list[Cell]]]  # the cells of a claim, study by study


class Scorecard:
    """The cells of studies."""

    def __init__(self, studies: Sequence[Study]):
        self.cells: dict[str, list[Cell]] = {study.name: study.task.findings(study) for study in studies}
        self.studies = [study for study in studies if self.cells[study.name]]  # those of whose task something is claimed

    def to_html(self) -> str:
        """All of it but what is said in prose."""
        return "".join([self.answers(), *(self.matrices(reading) for reading in READINGS), self.numbers()])

    def answers(self) -> str:
        """A line for each claim: what its cells of reading A come to, study by study."""
        lines = []
        for claim, tested in self._by_claim().items():
            names = [f"{study.name}: " if len(tested) > 1 else "" for study, _ in tested]
            said = [f"{name}{claims.answers(claim, cells)}" for name, (_, cells) in zip(names, tested, strict=True)]
            lines.append(f"<p>{_heading(claim)}{''.join(f'<br>{escape(text)}' for text in said)}</p>")
        return _framed(lines)

    def matrices(self, reading: str) -> str:
        """Verdicts of a reading as matrices, a family a row and a split a column, for each claim and study."""
        parts = []
        for claim, tested in self._by_claim().items():
            tables = []
            for study, cells in tested:
                shown = [cell for cell in cells if cell.reading == reading and cell.decides]
                if shown:
                    said = f"{_title(study)}: {claims.answer(claim, shown)}"
                    tables.append(f"<p>{escape(said)}</p>{_matrix(study, shown)}")
            parts += [f"<p>{_heading(claim)}</p>", *tables] if tables else []
        return _framed(parts)

    def numbers(self) -> str:
        """Every cell with its numbers, a table a study, folded."""
        tables = []
        for study in self.studies:
            cells = self.cells[study.name]
            said = escape(f"{_title(study)}: {_count(len(cells), 'cell')}")
            tables.append(f"<details><summary>{said}</summary>{_numbers(cells)}</details>")
        return _framed(tables)

    def foreseen(self) -> str:
        """What was foreseen, what was measured, and the error: a paragraph a study."""
        return "\n\n".join(map(self._foreseen, self.studies))

    def _foreseen(self, study: Study) -> str:
        cells = [cell for cell in self._verdicts(study, "A") if cell.error is not None]
        if not cells:
            return f"{_title(study)}: in no cell of reading A could an effect be foreseen and measured."
        expected, found = (np.array([100 * effect.value for effect in of]) for of in zip(*map(_pair, cells), strict=True))
        error, baseline = np.abs(expected - found).mean(), np.abs(found).mean()
        means = [prose.minus(f"{values.mean().round(1) + 0.0:.1f}") for values in (expected, found)]  # no "−0.0"
        return prose.paragraph(
            f"{_title(study)}, {_count(len(cells), 'cell')} of reading A. Foreseen: {means[0]} points on average, from "
            f"measurements in distribution (`{RULES.foreseeing.diagnostic}`). Measured: {means[1]} points. Error: {error:.1f} "
            f"points on average, signs aside; who foresees no gap at all errs by {baseline:.1f} points.",
        )

    def method(self) -> str:
        """How verdicts come about, and how far they can be trusted."""
        over = " ".join(f"{s.name}: over {s.estimates.only(RULES.halves(s.seeds)[0][1]).over}." for s in self.studies)
        parts = [
            self._readings(),
            self._rules(),
            f"**Seeds.** {' '.join(map(_seeds, self.studies))}",
            f"**Intervals** are at {100 * (1 - CHANCE):g} %: Student's t over seeds and, where all seeds are tested on the "
            f"same sequences or there is but one seed, a bootstrap over sequences; half-widths are added as squares. {over} "
            "Simulated studies among the tests show how often such intervals hold the truth.",
            f"**Number of cells.** Were there no effect anywhere, {100 * CHANCE:g} % of intervals would exclude zero by "
            f"chance, {50 * CHANCE:g} % on the side that is claimed. {' '.join(map(self._multiplicity, self.studies))} Cells "
            "share models and sequences, so that they err together, and no verdict is corrected for their number.",
            *dict.fromkeys(
                f"{prose.begin(study.task.title)}: {study.task.caveat}" for study in self.studies if study.task.caveat
            ),
        ]
        return "\n\n".join(map(prose.paragraph, parts))

    def _readings(self) -> str:
        level, at = RULES.levels.chosen, prose.names(f"{100 * level:g} %" for level in RULES.levels.sensitivity)
        chosen = prose.names(dict.fromkeys(f"`{study.task.chosen_on}` ({study.task.title})" for study in self.studies))
        return (
            "**Readings.** A is the claim as the paper says it: the setting that stands for a family of proxies, against the "
            "split in distribution. B holds it against splits that are alike in what the split does not test. C compares as "
            f"A does, but between the settings of a family, where it agrees with the model in {at} of cases in distribution. "
            f"What stands for a family in A and B is settled on {chosen}: the simplest setting that agrees with the model in "
            f"at least {100 * level:g} % of cases there, or, if none does, the most faithful one, and then a claim about "
            f"proxies that match the model is “{NOT_APPLICABLE}” to the family."
        )

    def _rules(self) -> str:
        gap, equal = (_count(f"{100 * margin:g}", "point") for margin in (RULES.margins.gap, RULES.margins.equal))
        usual = {name: Claim.model_fields[name].default for name in ("positive", "negative")}
        others = [claim for claim in self._by_claim() if (claim.positive, claim.negative) != tuple(usual.values())]
        say = prose.names(f"claim {claim.number} says “{claim.positive}” and “{claim.negative}”" for claim in others)
        return (
            f"**Verdicts.** An effect counts if its whole interval is on one side of zero and it is at least {gap}: above "
            f"zero it is as claimed, “{usual['positive']}”, and below zero the opposite, "
            f"“{usual['negative']}”{f' ({say})' if others else ''}. It is “{EQUAL}” if the whole interval is nearer to zero "
            f"than {equal}, and “{UNDECIDED}” in all other cases, and with fewer than {RULES.seeds.fewest} seeds."
        )

    def _multiplicity(self, study: Study) -> str:
        """How many intervals would exclude zero by chance, and how many do."""
        said = []
        for reading in READINGS:
            intervals = [cell.effect.interval for cell in self._verdicts(study, reading)]
            intervals = [(low, high) for low, high in intervals if not np.isnan(low)]
            apart, chance = sum(not low <= 0 <= high for low, high in intervals), CHANCE * len(intervals)
            said.append(
                f"{reading} has {_count(len(intervals), 'interval')} ({chance:.1f} by chance, {chance / 2:.1f} of them as "
                f"claimed; {apart} {'does' if apart == 1 else 'do'})"
            )
        return f"In {study.name} {prose.names(said)}."

    def _verdicts(self, study: Study, reading: str) -> list[Cell]:
        """The cells on which verdicts rest, without those that are not applicable."""
        cells = [cell for cell in self.cells[study.name] if cell.reading == reading and cell.decides]
        return [cell for cell in cells if cell.verdict != NOT_APPLICABLE]

    def _by_claim(self) -> dict[Claim, Tested]:
        found: dict[Claim, Tested] = {}
        for study in self.studies:
            for claim, cells in claims.by_claim(self.cells[study.name]).items():
                found.setdefault(claim, []).append((study, cells))
        return {claim: found[claim] for claim in sorted(found, key=lambda claim: claim.number)}


def _pair(cell: Cell) -> tuple[Estimate, Estimate]:
    return cell.foreseen, cell.effect


def _title(study: Study) -> str:
    return f"{prose.begin(study.task.title)}, study {study.name} (preset {study.preset}, {prose.seeds(study.seeds)})"


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


# HTML


def _framed(parts: Iterable[str]) -> str:
    return f'<div class="scorecard">{_STYLE}{"".join(parts)}</div>'


def _heading(claim: Claim) -> str:
    return f"<b>{claim.number}. {escape(claim.text)}</b>"


def _matrix(study: Study, cells: Sequence[Cell]) -> str:
    """Families down, splits (and what they are held against) across."""
    columns = dict.fromkeys((cell.split, cell.reference) for cell in cells)
    heads = "".join(f'<th scope="col">{_split(study, split)}<small>against {escape(of)}</small></th>' for split, of in columns)
    rows = []
    for proxy in dict.fromkeys(cell.proxy for cell in cells):
        row = [cell for cell in cells if cell.proxy == proxy]
        boxes = [_boxes([cell for cell in row if (cell.split, cell.reference) == column]) for column in columns]
        rows.append(f'<tr><th scope="row">{_family(row)}</th>{_cells(boxes)}</tr>')
    return f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _cells(contents: Iterable[str]) -> str:
    return "".join(f"<td>{content}</td>" for content in contents)


def _split(study: Study, split: str) -> str:
    return escape(study.task.look(split).label if split in study.splits else split)


def _family(cells: Sequence[Cell]) -> str:
    """The name of a family and, if all its cells are of one, the setting."""
    label, settings = PROXIES[cells[0].proxy].label, {cell.setting for cell in cells}
    setting = settings.pop().removeprefix(label).lstrip(", ") if len(settings) == 1 else ""
    return escape(label) + (f"<small>{escape(setting)}</small>" if setting else "")


def _boxes(cells: Sequence[Cell]) -> str:
    """A box a cell; a single one where it applies at no level of agreement."""
    at_no_level = cells and all(cell.verdict == NOT_APPLICABLE and cell.level is not None for cell in cells)
    return "".join(map(_verdict, [replace(cells[0], level=None)] if at_no_level else cells))


def _verdict(cell: Cell) -> str:
    """A coloured box: the verdict in a word, the effect below it, or beside it where there is one box a level."""
    tint, counts = TINTS[cell.verdict], cell.verdict != NOT_APPLICABLE
    effect = prose.points(cell.effect, sign=True, interval=False) if counts else ""
    if cell.level is None:
        level, effect = "", f"<small>{effect}</small>" if effect else ""
    else:
        level, effect = f"{100 * cell.level:g} % ", f" {effect}" if effect else ""
    style = f"background: {tint.background}; color: {tint.text}; border: 1px {'solid' if counts else 'dashed'} #767676"
    sign = f'<span aria-hidden="true">{tint.sign}</span>'
    return f'<div class="verdict" style="{style}" title="{_tooltip(cell)}">{level}{sign} {escape(cell.word)}{effect}</div>'


def _tooltip(cell: Cell) -> str:
    """What is behind a box."""
    effect = f"{prose.points(cell.effect, sign=True)} points" if cell.measured else prose.NOT_MEASURED
    known = f"foreseen: {prose.points(cell.foreseen, sign=True, interval=False)}" if cell.error is not None else ""
    parts = (cell.setting, effect, f"{cell.split} against {cell.reference}", known, cell.note)
    return escape("; ".join(part for part in parts if part), quote=True)


_COLUMNS = ("claim", "reading", "setting", "split", "against", "effect", "verdict", "foreseen", "error", "seeds", "to know")


def _numbers(cells: Sequence[Cell]) -> str:
    """A row a cell."""
    rows = [
        {
            "claim": cell.claim.number,
            "reading": cell.reading,
            "setting": cell.setting,
            "split": cell.split,
            "against": cell.reference,
            "effect": prose.points(cell.effect, sign=True) if cell.measured else prose.NOT_MEASURED,
            "verdict": cell.word,
            "foreseen": prose.points(cell.foreseen, sign=True, interval=False) if cell.error is not None else "",
            "error": prose.points(cell.error, sign=True, interval=False) if cell.error is not None else "",
            "seeds": ", ".join(map(str, cell.seeds)),
            "to know": cell.note,
        }
        for cell in cells
    ]
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    body = "".join(f"<tr>{_cells(escape(str(row[name])) for name in _COLUMNS)}</tr>" for row in rows)
    return f'<div class="scroll numbers"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
