"""Figures: a handful of plots over tidy tables of estimates, used by every chapter, and tables to read.

Colours and markers are those that proxies and splits bring with them (`Proxy`, `Task.look`), so each looks the same wherever it
appears. A plot returns a `Picture`: it says in words what it shows (`alt`) and on what that was measured (`note`), is drawn
for wide and narrow columns, on light and dark pages, and shows itself in a notebook and in the book. So does a `Table`.
"""

from lib.figures.curves import curves
from lib.figures.picture import Picture, save
from lib.figures.plots import FIGURES, crosses, forest, heat, scatter
from lib.figures.style import BLACK, GREY, called, interval_note, looks_of, measured_on, split_looks, tabulate
from lib.figures.tables import Table

__all__ = [
    "BLACK", "FIGURES", "GREY", "Picture", "Table", "called", "crosses", "curves", "forest", "heat", "interval_note",
    "looks_of", "measured_on", "save", "scatter", "split_looks", "tabulate",
]  # fmt: skip
