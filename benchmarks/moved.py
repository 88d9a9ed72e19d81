"""Which numbers moved between two executions: cells of claims before and after, as Markdown.

Reads what `python -m lib claims --json` printed at either time. An effect moved if it lies outside the interval that it had.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SHOWN = 0.05  # percentage points: less does not show in a table that is rounded to a tenth
WHERE = ("task", "claim", "reading", "proxy", "setting", "split", "reference", "seeds")  # of a cell
FIELDS = {*WHERE, "effect", "interval", "verdict"}

Cells = Mapping[tuple, Mapping]


class UnusableError(Exception):
    """A file that holds no cells."""


def read(path: Path) -> Cells:
    """The cells of a file, each by what it is about."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnusableError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # of JSON, or of UTF-8
        raise UnusableError(f"{path} is no JSON: {error}") from None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise UnusableError(f"{path} is no list of cells: write it with python -m lib claims --json")
    found = {_about(cell): cell for cell in cells}
    if len(found) < len(cells):
        raise UnusableError(f"{path} holds the same cell twice")
    return found


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict) or not cell.keys() >= FIELDS or not isinstance(cell["seeds"], list):
        return False
    words = [cell[name] for name in ("task", "reading", "proxy", "setting", "split", "reference", "verdict")]
    interval = [0, 0] if cell["interval"] is None else cell["interval"]
    numbers = [*cell["seeds"], cell["claim"], 0 if cell["effect"] is None else cell["effect"]]
    return (
        all(isinstance(word, str) for word in words)
        and isinstance(interval, list)
        and len(interval) == 2
        and all(isinstance(x, int | float) and math.isfinite(x) for x in (*numbers, *interval))
    )


def _about(cell: Mapping) -> tuple:
    """What a cell is about. In readings A and B its setting is chosen anew each time; in C it is part of the question."""
    of = {**cell, "seeds": tuple(cell["seeds"]), "setting": cell["setting"] if cell["reading"] == "C" else ""}
    return tuple(of[name] for name in WHERE)


def moved(before: Mapping, after: Mapping) -> bool:
    """Whether an effect lies outside the interval that it had; where one of them is missing, none moved."""
    if before["interval"] is None or after["effect"] is None:
        return False
    low, high = before["interval"]
    return not low - SHOWN <= after["effect"] <= high + SHOWN


def changes(before: Cells, after: Cells) -> Iterator[tuple[str, Mapping | None, Mapping | None]]:
    """What happened to every cell that is not as it was, those that moved first."""
    both = [(before[about], after[about]) for about in before if about in after]
    yield from (("moved", *pair) for pair in both if moved(*pair))
    yield from (("verdict", *pair) for pair in both if pair[0]["verdict"] != pair[1]["verdict"] and not moved(*pair))
    yield from (("gone", cell, None) for about, cell in before.items() if about not in after)
    yield from (("new", None, cell) for about, cell in after.items() if about not in before)


def number(cell: Mapping | None) -> str:
    """An effect with its interval, in percentage points."""
    if cell is None or cell["effect"] is None:
        return "none"
    value, *ends = (f"{round(x, 1) + 0.0:.1f}".replace("-", "−") for x in (cell["effect"], *(cell["interval"] or ())))
    return f"{value} [{', '.join(ends)}]" if ends else value


def report(before: Cells, after: Cells) -> tuple[str, bool]:
    """The page, and whether anything moved beyond its interval."""
    rows = list(changes(before, after))
    counts = {kind: sum(row[0] == kind for row in rows) for kind in ("moved", "verdict", "gone", "new")}
    lines = [
        f"Cells before: {len(before)}, after: {len(after)}. Moved beyond their interval: {counts['moved']}; others with "
        f"another verdict: {counts['verdict']}; gone: {counts['gone']}; new: {counts['new']}."
    ]
    if rows:
        head = ("what", "task", "claim", "reading", "setting", "split", "against", "before", "after", "verdict")
        lines += ["", _row(head), _row(["---"] * len(head))]
        lines += [_row(_shown(*row)) for row in rows]
    return "\n".join(lines), counts["moved"] > 0


def _shown(kind: str, before: Mapping | None, after: Mapping | None) -> list[str]:
    there = [cell for cell in (before, after) if cell is not None]
    settings, verdicts = (" → ".join(dict.fromkeys(str(cell[of]) for cell in there)) for of in ("setting", "verdict"))
    task, claim, reading, split, reference = (there[0][of] for of in ("task", "claim", "reading", "split", "reference"))
    return [kind, task, str(claim), reading, settings, split, reference, number(before), number(after), verdicts]


def _row(values: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 if an effect moved beyond its interval, 2 for files that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="printed by: python -m lib claims --json")
    parser.add_argument("after", type=Path, help="likewise, later")
    given = parser.parse_args(arguments)
    try:
        page, any_moved = report(read(given.before), read(given.after))
    except UnusableError as error:
        parser.exit(2, f"error: {error}\n")
    print(page)
    return int(any_moved)


if __name__ == "__main__":
    sys.exit(main())
