"""Cells of claims as HTML: verdicts as matrices, and every cell with its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

from lib import prose
from lib.answers import NONE
from lib.claims import Cell
from lib.foreseeing import KNOWN
from lib.proxies import PROXIES
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
from lib.studies import Study


class Tint(NamedTuple):
    """How a verdict is shown, in light and in dark surroundings alike."""

    sign: str
    text: str
    background: str
    border: str = "solid"


# Okabe and Ito's orange and sky blue behind black text; what does not say that there is an effect is grey or white, and no
# colour means good or bad.
TINTS = {
    GAP: Tint("▲", "#000000", "#E69F00"),
    OPPOSITE: Tint("▼", "#000000", "#56B4E9"),
    EQUAL: Tint("=", "#000000", "#DCDCDC"),
    NONE: Tint("○", "#000000", "#DCDCDC"),
    UNDECIDED: Tint("?", "#000000", "#FFFFFF"),
    NOT_APPLICABLE: Tint("–", "#595959", "#FFFFFF", "dashed"),
}
_STYLE = """<style>
.scorecard { line-height: 1.35; }
.scorecard p { margin: 0.9em 0 0.2em; }
.scorecard ul { margin: 0.2em 0; padding-left: 1.2em; }
.scorecard li { margin: 0.15em 0; }
.scorecard details { margin: 0.3em 0; padding: 0.2em 0; border: 0; background: none; box-shadow: none; }
.scorecard summary { cursor: pointer; font-size: 0.95em; }
.scorecard .scroll { overflow-x: auto; max-width: 100%; margin-bottom: 1em; }
.scorecard .scroll table { display: table; width: auto; margin: 0; table-layout: auto; font-size: 0.86em; color: inherit;
  border: 0; border-collapse: separate; border-spacing: 3px; }
.scorecard .scroll tr, .scorecard .scroll tr:hover, .scorecard .scroll tr:nth-child(odd) { background: none; }
.scorecard .scroll th, .scorecard .scroll td { border: 0; padding: 0; text-align: left; vertical-align: top; color: inherit;
  background: none; max-width: none; white-space: normal; }
.scorecard .scroll th { padding: 0 0.5em 0 0; font-weight: 600; min-width: 5.5em; }
.scorecard .scroll tbody th { position: sticky; left: 0; max-width: 8.5em;
  background: var(--pst-color-background, var(--jp-layout-color0, #FFFFFF)); }
.scorecard .scroll thead th { vertical-align: bottom; }
.scorecard .scroll small { display: block; font-weight: 400; font-size: 0.92em; }
.scorecard .verdict { padding: 0.2em 0.45em; margin-bottom: 2px; border-radius: 3px; min-width: 6.8em; white-space: nowrap; }
:is([data-theme=dark], [data-jp-theme-light=false]) .scorecard .verdict.quiet { background: none !important;
  color: inherit !important; }
.scorecard .fares td, .scorecard .fares th { padding-bottom: 0.6em; }
.scorecard .scroll:focus-visible { outline: 2px solid; outline-offset: 2px; }
@media print { .scorecard .scroll { overflow: visible; } .scorecard tr { break-inside: avoid; } }
.scorecard .legend .verdict { display: inline-block; min-width: 0; margin: 0 0.3em 0.3em 0; font-size: 0.86em; }
.scorecard .numbers th { padding: 0 0.6em 0 0; min-width: 0; }
.scorecard .numbers td { padding: 0.1em 0.6em 0.1em 0; white-space: nowrap; }
.scorecard .numbers.wide td:last-child { white-space: normal; min-width: 22em; }
</style>"""


def framed(parts: Iterable[str]) -> str:
    """Parts of the scorecard with their style."""
    return f'<div class="scorecard">{_STYLE}{"".join(parts)}</div>'


def label(study: Study, split: str) -> str:
    """A split, or what else a claim contrasts, as figures call it."""
    return study.task.look(split).label if split in study.splits else split


def against(study: Study, reference: str) -> str:
    """What a split is held against (`Reference.label`, or what else a claim contrasts), as figures call it."""
    split, at, alike = reference.partition(" at the same ")
    return f"{label(study, split)}{at}{alike}"


def legend(words: Mapping[str, str]) -> str:
    """A line that shows what boxes look like, with a word or more for each verdict."""
    boxes = (badge(v, words[v]) for v in TINTS)
    return f'<div class="legend">{"".join(boxes)}</div>'


def badge(verdict: str, word: str) -> str:
    """A box within a line."""
    return f'<span class="verdict{_quiet(verdict)}" style="{_look(verdict)}">{_sign(verdict)} {escape(word)}</span>'


def matrix(study: Study, cells: Sequence[Cell]) -> str:
    """Families down, splits (and what they are held against) across."""
    columns = dict.fromkeys((cell.split, cell.reference) for cell in cells)
    heads = "".join(
        f'<th scope="col">{escape(label(study, split))}<small>against {escape(against(study, of))}</small></th>'
        for split, of in columns
    )
    rows = []
    for proxy in dict.fromkeys(cell.proxy for cell in cells):
        row = [cell for cell in cells if cell.proxy == proxy]
        boxes = [_boxes([cell for cell in row if (cell.split, cell.reference) == column]) for column in columns]
        rows.append(f'<tr><th scope="row">{_family(study, row)}</th>{_cells(boxes)}</tr>')
    return scrolling(f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def scrolling(table: str, kind: str = "") -> str:
    """A table that scrolls within its own frame where it is too wide, by keys, too."""
    return f'<div class="{f"scroll {kind}".strip()}" tabindex="0" role="group" aria-label="table">{table}</div>'


def _cells(contents: Iterable[str]) -> str:
    return "".join(f"<td>{content}</td>" for content in contents)


def _family(study: Study, cells: Sequence[Cell]) -> str:
    """The name of a family and, if all its cells are of one, the setting, with its agreement in distribution."""
    name, settings = PROXIES[cells[0].proxy].label, {cell.setting for cell in cells}
    setting = settings.pop().removeprefix(name).lstrip(", ") if len(settings) == 1 else ""
    agreement = {cell.agreement for cell in cells}
    known = len(agreement) == 1 and None not in agreement
    inside = f"{100 * agreement.pop():.1f} % in distribution" if known else ""
    return escape(name) + "".join(f"<small>{escape(text)}</small>" for text in (setting, inside) if text)


def _boxes(cells: Sequence[Cell]) -> str:
    """A box a cell; a single one where it applies at no level of agreement."""
    at_no_level = cells and all(cell.verdict == NOT_APPLICABLE and cell.level is not None for cell in cells)
    return "".join(map(_verdict, [replace(cells[0], level=None)] if at_no_level else cells))


def _look(verdict: str) -> str:
    tint = TINTS[verdict]
    return f"background: {tint.background}; color: {tint.text}; border: 1px {tint.border} #767676"


def _quiet(verdict: str) -> str:
    """What has no colour of its own has none on dark pages either."""
    return "" if verdict in (GAP, OPPOSITE) else " quiet"


def _sign(verdict: str) -> str:
    return f'<span aria-hidden="true">{TINTS[verdict].sign}</span>'


def _verdict(cell: Cell) -> str:
    """A coloured box: the verdict in a word, at its level of agreement if it has one, and the effect with its interval."""
    counts = cell.verdict != NOT_APPLICABLE
    effect = f"<small>{prose.points(cell.effect, sign=True)}</small>" if counts else ""
    level = "" if cell.level is None else f"{100 * cell.level:g} % "
    says = f"{level}{_sign(cell.verdict)} {escape(cell.word)}{effect}"
    kind = f"verdict{_quiet(cell.verdict)}"
    return f'<div class="{kind}" style="{_look(cell.verdict)}" title="{_tooltip(cell)}">{says}</div>'


def _tooltip(cell: Cell) -> str:
    """What is behind a box."""
    effect = f"{prose.points(cell.effect, sign=True)} points" if cell.measured else prose.NOT_MEASURED
    known = f"foreseen from {KNOWN}: {_plain(cell.foreseen)}" if cell.error is not None else ""
    parts = (cell.setting, effect, f"{cell.split} against {cell.reference}", known, cell.note)
    return escape("; ".join(part for part in parts if part), quote=True)


def _plain(effect: object) -> str:
    return prose.points(effect, sign=True, interval=False)


def table(rows: Sequence[Mapping[str, object]], kind: str = "") -> str:
    """Rows of the same columns; everything is escaped."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (rows[0] if rows else ()))
    body = "".join(f"<tr>{_cells(escape(str(value)) for value in row.values())}</tr>" for row in rows)
    return scrolling(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", f"numbers {kind}")


def numbers(cells: Sequence[Cell]) -> str:
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
            "foreseen": _plain(cell.foreseen) if cell.error is not None else "",
            "error": _plain(cell.error) if cell.error is not None else "",
            "seeds": ", ".join(map(str, cell.seeds)),
            "to know": cell.note,
        }
        for cell in cells
    ]
    return table(rows, "wide")


def words() -> dict[str, str]:
    """What verdicts are called in the legend."""
    return {
        GAP: "gap: as claimed",
        OPPOSITE: "closer: the opposite",
        EQUAL: f"{RULES.word(RULES.claims[0], EQUAL)} of zero",
        NONE: NONE,
        UNDECIDED: UNDECIDED,
        NOT_APPLICABLE: NOT_APPLICABLE,
    }
