"""The page of the book on speed, made whole from a run of the benchmarks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from harness import spread

HOMES = {
    "nanoGPT": "https://github.com/karpathy/nanoGPT",
    "structural-grokking": "https://github.com/MurtyShikhar/structural-grokking",
    "TransformerLens": "https://github.com/TransformerLensOrg/TransformerLens",
    "transformer-lens": "https://pypi.org/project/transformer-lens",
}
FUSED = "scaled_dot_product_flash_attention_for_cpu", "fused attention"
PAGE = """# How fast it is

Times depend on the machine, ratios much less. Each row is a piece of work done in two ways, ours and another, and says how many
times as fast ours is: the median over {rounds} rounds, in each of which both take their turn, and the least and the most.
Ours is slower where that is below 1. Where nothing else is said, both run on one thread.

{speeds}

{notes}Both ways are compared before anything is timed, on the same weights and inputs, and what is random in distribution. A
row whose ways differ by more than is allowed is not timed at all.

{differences}

{kernels}Steps of training are timed by the clock, and the shortest of a round counts; all else by processor time on one
thread, and by the clock on more.

Run on: {machine}. Compared with: {peers}.
{left_out}{book}
`make bench PEERS=…` runs the rows elsewhere ([](running.md)). Runs write this page, so nothing here is edited by hand.
"""

WHERE = """What ours spends its time on. Products of matrices (`mm`, `addmm`, `bmm`, `baddbmm`) and fused attention are calls of
libraries in every project here: where they are most of it, only another library or precision, or less work, could gain much."""

BOOK = """
## What a book takes

The steps of preset `{preset}` from nothing, models trained anew, one after another on one thread: seconds of processor time,
and memory at most, of all processes of a step. In all {total:,.0f} seconds; `make book` has as many steps done at once as there
are processors.

{steps}

Steps load libraries for {loading:.0f} seconds in all, without the kernels of notebooks, which load their own.

Run on: {machine}. `benchmarks/book_steps.py` runs it elsewhere.
"""


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spent(turns: Sequence[Mapping]) -> str:
    """What the steps of a group spend their time on, in words; what is less than a twentieth of it is left out."""
    total, parts = sum(turn["processor"] for turn in turns), Counter()
    for turn in turns:
        parts.update(turn["parts"])
    return ", ".join(f"{part} {100 * seconds / total:.0f} %" for part, seconds in parts.items() if seconds > 0.05 * total)


def book(found: Mapping) -> str:
    """What a book takes, step by step."""
    turns = [turn for group in found["steps"].values() for turn in group]
    rows = [
        (
            name + (f", {len(group)} times" if len(group) > 1 else ""),
            f"{statistics.median(turn['processor'] for turn in group):.1f}" + (" each" if len(group) > 1 else ""),
            f"{max(turn['megabytes'] for turn in group):,} MB",
            spent(group),
        )
        for name, group in found["steps"].items()
    ]
    return BOOK.format(
        preset=found["preset"],
        total=sum(turn["processor"] for turn in turns),
        loading=sum(turn["parts"]["loading libraries"] for turn in turns),
        steps=table(("step", "seconds", "memory", "of that"), rows),
        machine=", ".join(f"{name} {value}" for name, value in found["machine"].items()),
    )


def page(run: Mapping) -> str:
    """`book/speed.md`."""
    rows = run["rows"]
    speeds = []
    for name, row in rows.items():
        (median, least, most), threads = spread(row), "" if row["threads"] == 1 else f", on {row['threads']} threads"
        speeds.append((name, f"{row['what']}; against {row['against']}{threads}", f"{median} ({least} to {most})"))
    differences = [
        (name, d["of"], f"{d['largest']:.2g}", f"{d['allowed']:g}") for name, row in rows.items() for d in row["differences"]
    ]
    notes = [f"- {name}: {row['note']}.\n" for name, row in rows.items() if row["note"]]
    kernels = [
        (name, ", ".join(f"{kernel.replace(*FUSED)} {100 * share:.0f} %" for kernel, share in row["kernels"].items()))
        for name, row in rows.items()
        if row["kernels"]
    ]
    left_out = [f"\nLeft out: {name}, as {why}.\n" for name, why in run["left_out"].items()]
    return PAGE.format(
        rounds=run["rounds"],
        speeds=table(("row", "work, and against what", "times as fast"), speeds),
        notes="".join(notes) + "\n" * bool(notes),
        differences=table(("row", "compared", "largest difference", "allowed"), differences),
        kernels=f"{WHERE}\n\n{table(('row', 'kernels of PyTorch'), kernels)}\n\n" if kernels else "",
        machine=", ".join(f"{name} {value}" for name, value in run["machine"].items()),
        peers=", ".join(f"[{name}]({HOMES[name]}) {value}" for name, value in run["peers"].items()) or "nobody else",
        left_out="".join(left_out),
        book=book(run["book"]) if "book" in run else "",
    )
