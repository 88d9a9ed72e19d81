"""How figures look, what they are made from, and what their captions say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd

from lib.measuring.intervals import Estimate
from lib.proxies import PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look

BLACK, GREY, ZERO, WHITE = "#000000", "#6B6B6B", "#444444", "#ffffff"
GRID, SHADE, STRIPE, BAR, EMPTY = "#e4e4e4", "#eeeeee", "#f6f6f6", "#c4c4c4", "#f0f0f0"  # what stays behind the data
WEIGHTS = tuple(map(mpl.colors.to_hex, mpl.colormaps["Blues"](np.arange(4, 12) / 12)))  # how much attention, little to all
QUIET = frozenset((WHITE, GRID, SHADE, STRIPE, BAR, EMPTY, *WEIGHTS))  # need not stand out from the page
WIDTHS = {"wide": 7.6, "narrow": 3.7}  # inches; in the book's column and on a phone, where print is as large
NARROW = 5.0  # inches below which panels stand one below the other

# Of matplotlib, whatever a reader has set. The first part is seaborn's style for paper with a white grid; it is written out, as
# seaborn takes a second to load, which readers of a notebook would wait.
RC = {
    "axes.linewidth": 1.0,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.8,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.8,
    "patch.edgecolor": "w",
    **{f"{axis}tick.{kind}.width": width for axis in "xy" for kind, width in (("major", 1.0), ("minor", 0.8))},
    **{f"{axis}tick.{kind}.size": size for axis in "xy" for kind, size in (("major", 4.8), ("minor", 3.2))},
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), ".15"),
    **dict.fromkeys(("xtick.direction", "ytick.direction"), "out"),
    **dict.fromkeys(("axes.grid", "axes.axisbelow", "axes.spines.left", "axes.spines.bottom", "patch.force_edgecolor"), True),
    **dict.fromkeys(("xtick.top", "ytick.right"), False),
    "grid.linestyle": "-",
    "legend.fontsize": 8.8,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # which comes with matplotlib: the same layout everywhere
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": ZERO,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.bottom": True,
    "ytick.left": True,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "figures",  # the same figure has the same bytes
}


def looks_of(simplifications: Sequence[Simplification], model: bool = False) -> dict[str, Look]:
    """How simplifications look, by label: their proxy's colour, lighter for lower complexity; and `model`, if asked for."""
    looks = {}
    for simplification in simplifications:
        proxy = PROXIES[simplification.proxy]
        family = sorted({s.complexity or 0 for s in simplifications if s.proxy == simplification.proxy})
        shades = np.linspace(0.45, 1, len(family)) if len(family) > 1 else [1.0]
        shade = shades[family.index(simplification.complexity or 0)]
        colour = tuple(1 - shade * (1 - np.array(mpl.colors.to_rgb(proxy.colour))))
        looks[simplification.label] = Look(simplification.label, mpl.colors.to_hex(colour), proxy.marker)
    return {**looks, **({"model": Look("model", BLACK, "")} if model else {})}


def split_looks(study: Study, splits: Sequence[str]) -> dict[str, Look]:
    """How splits look, by name."""
    return {split: study.task.look(split) for split in splits}


def called(study: Study, split: str) -> str:
    """What figures and tables call a split, which has another name in code."""
    return study.task.look(split).label


def tabulate(items: Iterable[tuple[Mapping[str, object], Estimate]], fewest: int = 1) -> pd.DataFrame:
    """A tidy table of estimates, one row each: its labels, `value`, `low`, `high`, `seeds` and `n`.

    What rests on fewer than `fewest` predictions is left out.
    """
    rows = [
        {**labels, "value": e.value, "low": e.interval[0], "high": e.interval[1], "seeds": e.seeds, "n": e.positions}
        for labels, e in items
        if e.measured and e.positions >= fewest
    ]
    return pd.DataFrame(rows, columns=None if rows else ["row", "series", "panel", "x", "value", "low", "high", "seeds", "n"])


def measured_on(study: Study, sequences: int | None = None) -> str:
    """What something was measured on: preset, seeds, and how much of each split, `sequences` of it if not all."""
    seeds = "1 seed" if study.seeds == 1 else f"{study.seeds} seeds"
    return f"preset {study.preset}, {seeds}, {study.task.size(sequences)}"


def interval_note(study: Study) -> str:
    """What the intervals of a figure are."""
    return f"95 % intervals over {study.estimates.over}"
