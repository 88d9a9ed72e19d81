"""What the cells of claims come to, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from lib import prose
from lib.claims import READINGS, Cell, applying, confirmed
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, SMALL, UNDECIDED, Claim

Label = Callable[[str], str]  # of a split
NONE = "no such case"  # of a claim, where its cells are decided, not all alike, and none is as claimed


def by_claim(cells: Sequence[Cell], reading: str = "") -> dict[Claim, list[Cell]]:
    """Cells grouped by their claim, in the claims' order; of one reading, or of all."""
    claims = sorted({cell.claim for cell in cells}, key=lambda claim: claim.number)
    return {claim: [c for c in cells if c.claim == claim and reading in ("", c.reading)] for claim in claims}


def answer(claim: Claim, cells: Sequence[Cell], label: Label = str) -> str:
    """What cells of a claim in one reading come to, split by split (and in B reference by reference), then how many of those
    that are as claimed are so with intervals corrected for the number of cells:

    `near: gap in 3 of 3; far: 1 of 2 (1 undecided) [also with intervals corrected for 5 cells: 2 of 4]; 1 not applicable`.
    """
    apply = applying(cells)
    if not apply:
        why = shared_reason(cells) or f"{len(cells)} {NOT_APPLICABLE}"
        return "there is nothing to test it on" + (f" ({why})" if cells else "")
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        against = f" against {cell.reference}" if cell.reading == "B" else ""
        groups.setdefault(f"{label(cell.split)}{against}", []).append(cell)
    said, word = [], f"{RULES.word(claim, GAP)} in "
    for name, of in groups.items():
        if any(cell in apply for cell in of):
            said.append(f"{name}: {word}{_counts(claim, of)}")
            word = ""
        else:
            reason = shared_reason(of)
            said.append(f"{name}: {NOT_APPLICABLE}{f' ({reason})' if reason else ''}")
    there, left_out = sum(cell.verdict == GAP for cell in apply), len(cells) - len(apply)
    aside = f"; {left_out} {NOT_APPLICABLE}" if left_out else ""
    corrected = f" [also with intervals corrected for {len(apply)} cells: {len(confirmed(cells))} of {there}]"
    return "; ".join(said) + (corrected if there and len(apply) > 1 else "") + aside


def tally(claim: Claim, cells: Sequence[Cell]) -> tuple[str, str]:
    """The verdict on a claim that there are such cases, from cells of one reading, and in how many it holds.

    One has to hold with intervals corrected for the number of cells; that there are none takes all cells that apply.
    """
    apply = applying(cells)
    if not apply:
        return NOT_APPLICABLE, f"nothing to test it on{': ' if (why := shared_reason(cells)) else ''}{why}"
    verdicts, left_out = [cell.verdict for cell in apply], len(cells) - len(apply)
    there, sure = verdicts.count(GAP), len(confirmed(cells))
    found = f"{RULES.word(claim, GAP)} in {there or 'none'} of {len(apply)} cell{'s' * (len(apply) > 1)}"
    corrected = f", {sure or 'none'} once corrected for their number" if there and len(apply) > 1 else ""
    count = f"{found}{corrected}{f'; {left_out} more {NOT_APPLICABLE}' if left_out else ''}"
    if there:
        return (GAP if sure else UNDECIDED), count
    if UNDECIDED in verdicts:
        return UNDECIDED, count
    return (verdicts[0] if len({*verdicts}) == 1 else NONE), count  # with some cells equal, the opposite is not what was found


def deciding(seeds: int) -> int:
    """On how many of so many models verdicts rest; the others choose settings."""
    return len(RULES.halves(seeds)[0][1])


def rests_on(seeds: int) -> str:
    """How many models there are, and on how many of them verdicts rest where these are not all."""
    return prose.seeds(seeds) + (f", of which {deciding(seeds)} decide" if deciding(seeds) < seeds else "")


def _counts(claim: Claim, cells: Sequence[Cell]) -> str:
    """`3 of 5 (1 of them small, 2 undecided)`."""
    count = Counter(cell.verdict for cell in cells)
    small = sum(cell.verdict == GAP and cell.word.endswith(SMALL) for cell in cells)
    aside = [f"{small} of them small"] if small else []
    aside += [f"{count[v]} {RULES.word(claim, v)}" for v in (OPPOSITE, EQUAL, UNDECIDED) if count[v]]
    return f"{count[GAP]} of {len(applying(cells))}" + (f" ({', '.join(aside)})" if aside else "")


def shared_reason(cells: Sequence[Cell]) -> str:
    """The reason of all cells; empty if they differ in it."""
    reasons = {cell.reason for cell in cells}
    return reasons.pop() if len(reasons) == 1 else ""


def answers(claim: Claim, cells: Sequence[Cell], reading: str = "A", label: Label = str) -> str:
    """The answer of a reading on the seeds that verdicts rest on; then that on the seeds that settings were chosen on. Empty
    where the reading has no cells.
    """
    cells = [cell for cell in cells if cell.reading == reading]
    if not cells:
        return ""
    first, second = ([cell for cell in cells if cell.decides is decides] for decides in (True, False))
    also = f"; on the seeds that settings were chosen on: {answer(claim, second, label)}" if second else ""
    return answer(claim, first, label) + also


def both_answers(claim: Claim, cells: Sequence[Cell], label: Label = str) -> list[str]:
    """The answer of reading A, and of B where it has cells, so that neither is seen without the other."""
    matched = answers(claim, cells, "B", label)
    return [answers(claim, cells, "A", label), *([f"{READINGS['B']}: {matched}"] if matched else [])]


def to_text(cells: Sequence[Cell]) -> str:
    """Cells as lines under their claims, effects in percentage points."""
    blocks = []
    for claim, of_claim in by_claim(cells).items():
        lines = [f"{claim.number}. {claim.text}", *(f"   {said}" for said in both_answers(claim, of_claim))]
        for reading in READINGS:
            shown = [cell for cell in of_claim if cell.reading == reading]
            lines += [_line(cell) for cell in sorted(shown, key=lambda cell: not cell.decides)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _line(cell: Cell) -> str:
    effect = prose.points(cell.effect, sign=True) if cell.measured else ""
    seeds = "" if cell.decides else f" (seeds {', '.join(map(str, cell.seeds))})"
    return f"   {cell.reading}  {cell.word:<18}{effect:<24}{cell.setting:<32}{cell.split} against {cell.reference}{seeds}"
