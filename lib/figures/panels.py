"""Figures of several panels: how they are laid out, titled and labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from lib.figures.style import NARROW
from lib.tasks import Look

TITLE_SIZES = (10, 9.5, 8.5, 7.5)  # the largest at which titles fit
MOST_LINES = 3  # of a title, if that can be


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in inches; it belongs to nobody else, so that no notebook shows it twice."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08)
    FigureCanvasAgg(figure)  # which can tell how large a text is
    return figure


def grid_of(
    names: Sequence[str], columns: int, height: float, width: float, sharex: bool = True, sharey: bool | str = True
) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a titled panel for each name, at most so many in a row, each so many inches high."""
    names = list(names) or [""]
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = sheet(width, height * rows + 0.5)
    grid = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
    for ax in grid.flat[len(names) :]:
        ax.set_visible(False)
    panels = dict(zip(names, grid.flat, strict=False))
    for at, (name, ax) in enumerate(panels.items()):
        ax.set_title(name, loc="left")
        if width < NARROW or at + columns >= len(names):  # who scrolls, or has nothing below, wants numbers here
            ax.tick_params(labelbottom=True)
    return figure, panels


def parts_of(table: pd.DataFrame, column: str) -> list[str]:
    """The values of a column, in the order in which they occur; a single "" if there is no such column."""
    return list(dict.fromkeys(table[column])) if column in table else [""]


def rows_of(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows with these values, of the columns that there are."""
    for column, value in values.items():
        table = table[table[column] == value] if column in table else table
    return table


def line_style(look: Look) -> str:
    """Solid with markers, dashed without."""
    return "-" if look.marker else "--"


def finish(figure: Figure, panels: Mapping[str, Axes], x: str, y: str) -> Figure:
    """Label the axes that panels share, and make titles fit above them."""
    figure.supxlabel(x, fontsize=9.5)
    figure.supylabel(y, fontsize=9.5)
    _fit_titles(figure, list(panels.values()))
    return figure


def own_levels(panels: Mapping[str, Axes], alike: Iterable[str], limits: tuple[float, float | None]) -> None:
    """The panels named in `alike` share these limits upwards, and ticks are labelled only where the one before has others.

    An upper limit of None: as high as the highest of them needs.
    """
    of, before = [panels[name] for name in alike], None
    low, high = limits
    high = max((ax.get_ylim()[1] for ax in of), default=1.0) if high is None else high
    for ax in panels.values():
        if ax in of:
            ax.set_ylim(low, high)
            ax.tick_params(labelleft=ax.get_subplotspec().is_first_col() or before not in of)
        before = ax


def _fit_titles(figure: Figure, panels: Sequence[Axes]) -> None:
    """Wrap titles to the room up to the next panel; print them smaller, all alike, if they would be long or hit it still."""
    figure.get_layout_engine().execute(figure)
    for ax in panels:
        ax.apply_aspect()
    right = min((ax.get_position().x0 for ax in figure.axes if _is_beside(ax, panels)), default=0.99)
    rooms = []
    for ax in panels:
        own = ax.get_position()
        beside = [b.x0 for b in (of.get_position() for of in panels) if b.x0 > own.x0 + 1e-6 and abs(b.y0 - own.y0) < 1e-3]
        rooms.append(72 * (figure.get_figwidth() * (min(beside, default=right) - own.x0)) - 6)
    titles, size = _fitted([ax.get_title("left") for ax in panels], rooms)
    for ax, text in zip(panels, titles, strict=True):
        ax.set_title(text, loc="left", fontsize=size)


def _is_beside(ax: Axes, panels: Sequence[Axes]) -> bool:
    """Whether it is to the right of all panels, as a scale of colours is."""
    return ax not in panels and ax.get_position().x0 > max(of.get_position().x1 for of in panels)


def _fitted(titles: Sequence[str], rooms: Sequence[float]) -> tuple[Sequence[str], float]:
    """Titles as they are at the largest size at which they fit; else wrapped, at the largest at which they do then."""
    for wrap in (False, True):
        for size in TITLE_SIZES if wrap else TITLE_SIZES[:-1]:
            texts = [_wrapped(text, size, room) for text, room in zip(titles, rooms, strict=True)] if wrap else titles
            fits = all(_width(text, size) <= room for text, room in zip(texts, rooms, strict=True))
            if fits and (not wrap or all(text.count("\n") < MOST_LINES for text in texts)):
                return texts, size
    return texts, size


def _wrapped(text: str, size: float, room: float) -> str:
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, size) > room:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return "\n".join(lines)


def _width(text: str, size: float) -> float:
    """The width of a text in points, with some room for how a renderer rounds letters."""
    font = FontProperties(family=rcParams["font.family"], size=size, weight=rcParams["axes.titleweight"])
    widths = [text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in text.split("\n")]
    return 1.12 * max(widths)
