"""How figures look, and what stands below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.artifacts import writing
from lib.measuring.intervals import Estimate
from lib.proxies import PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look

BLACK, GREY, ZERO = "#000000", "#6B6B6B", "#444444"
PAGE_WIDTH = 7.6  # inches; the text column of the book


def set_style() -> None:
    """Defaults of this project: figures legible at the book's width, on opaque white for dark mode too; tables shown whole."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "savefig.pad_inches": 0.12,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#444444",
            "grid.color": "#E6E6E6",
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "xtick.bottom": True,
            "ytick.left": True,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "svg.hashsalt": "figures",  # the same figure has the same bytes
        },
    )
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})
    pd.set_option("display.max_colwidth", None, "display.max_rows", None)  # tables are shown whole, too


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


def footnote(figure: Figure, text: str) -> None:
    """Small print under a figure."""
    figure.text(0.01, -0.01, text, fontsize=8, color=GREY, va="top", ha="left", wrap=True)


def save(figure: Figure, study: Study, name: str) -> None:
    """Keep a figure beside the study's results as well, in `figures/<name>.svg`, for pages other than the notebook's own."""
    with writing(study.folder.parent / "figures" / f"{name}.svg") as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
