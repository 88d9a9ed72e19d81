"""Figures: a handful of plots over tidy tables of estimates, used by every chapter.

Colours and markers are those that proxies and splits bring with them (`Proxy`, `Task.look`), so each looks the same wherever it
appears. Every figure that shows a measurement says below it what it was measured on.
"""

from matplotlib.pyplot import close

from lib.figures.plots import FIGURES, crosses, curves, forest, heat, scatter
from lib.figures.style import (
    BLACK,
    GREY,
    PAGE_WIDTH,
    interval_note,
    looks_of,
    measured_on,
    save,
    set_style,
    split_looks,
    tabulate,
)

__all__ = [
    "BLACK", "FIGURES", "GREY", "PAGE_WIDTH", "close", "crosses", "curves", "forest", "heat", "interval_note", "looks_of",
    "measured_on",
    "save", "scatter", "set_style", "split_looks", "tabulate",
]  # fmt: skip
