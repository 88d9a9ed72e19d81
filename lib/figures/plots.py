"""The other plots. Each takes a tidy table, one row per mark, and how its series look; none knows what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.figures.curves import INTEGERS, curves, shown_in
from lib.figures.panels import finish, grid_of, parts_of, rows_of
from lib.figures.picture import Picture
from lib.figures.style import EMPTY, GREY, NARROW, STRIPE, ZERO
from lib.tasks import Look

FIGURES: dict[str, Callable[..., Picture]] = {"curves": curves}
MANY = 400  # points of a panel from which on they are kept as an image
SCALE = ListedColormap(colormaps["viridis"](np.arange(1, 206) / 257), "seen on white and on black")


def _figure(plot: Callable[..., Picture]) -> Callable[..., Picture]:
    FIGURES[plot.__name__] = plot
    return plot


def _key(table: pd.DataFrame, looks: Mapping[str, Look]) -> list[Look]:
    """The looks of the series that occur; none where one is alone."""
    shown = [looks[series] for series in shown_in(table, looks)]
    return shown if len(shown) > 1 else []


@_figure
def forest(
    table: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: str,
    alt: str,
    note: str,
    percent: bool = True,
    columns: int = 3,
    sharex: bool = True,
) -> Picture:
    """Points with intervals, a line each `row`, side by side each `series`, a panel each `panel`.

    With `percent` values are shares; otherwise they may be negative, and zero is marked.
    """
    rows, shown = parts_of(table, "row"), shown_in(table, looks)
    offsets = dict(zip(shown, (np.arange(len(shown)) - (len(shown) - 1) / 2) * 0.7 / max(1, len(shown)), strict=True))

    def draw(width: float) -> Figure:
        above = width < NARROW  # where names of rows stand beside what they name, or above it
        inches = (0.10 * len(shown) + 0.16 + 0.16 * above) * len(rows)
        across = 1 if above else columns
        figure, panels = grid_of(parts_of(table, "panel"), across, max(0.9, inches + 0.3), width, sharex)
        for panel, ax in panels.items():
            for mark in rows_of(table, panel=panel).itertuples():
                look, at = looks[mark.series], rows.index(mark.row) + offsets[mark.series] * (0.6 if above else 1)
                ax.plot([mark.low, mark.high], [at, at], color=look.colour, lw=1.6)
                ax.plot(mark.value, at, look.marker or "o", color=look.colour, ms=4.5)
            _name_rows(ax, rows, above)
            if percent:
                ax.set_xlim(0, 1.02)
                ax.xaxis.set_major_formatter(PercentFormatter(1))
            else:
                ax.axvline(0, color=ZERO, lw=0.9)
        return finish(figure, panels, x, "")

    return Picture(draw, table=table, alt=alt, note=note, key=_key(table, looks))


def _name_rows(ax: Axes, rows: Sequence[str], above: bool) -> None:
    """Name the rows of a forest, every second one on a ground of its own."""
    shift = 0.25 if above else 0  # where the ground of a row begins, so that a name above is on it, too
    for row in range(1, len(rows), 2):
        ax.axhspan(row - 0.5 - shift, row + 0.5 - shift, color=STRIPE, lw=0, zorder=0)
    ax.set_ylim(max(1, len(rows)) - 0.5 - shift, -0.5 - shift)
    ax.grid(axis="y", visible=False)
    ax.set_yticks([] if above else range(len(rows)), [] if above else rows, fontsize=8.5)
    for at, row in enumerate(rows if above else ()):
        ax.text(0.01, at - 0.48, row, transform=ax.get_yaxis_transform(), fontsize=8.5, va="center", ha="left")


@_figure
def crosses(
    table: pd.DataFrame, looks: Mapping[str, Look], *, x: str, y: str, alt: str, note: str, columns: int = 3
) -> Picture:
    """Shares against shares, a panel each `panel`, a colour each `series`: points at (`x`, `value`), with both intervals.

    Intervals are `x_low` to `x_high` across and `low` to `high` up; a text in `label` stands beside its point. On the dotted
    diagonal both are equal.
    """

    def draw(width: float) -> Figure:
        across = 1 if width < NARROW else columns
        figure, panels = grid_of(parts_of(table, "panel"), across, 0.9 * width / across, width)
        for panel, ax in panels.items():
            ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
            for series in shown_in(table, looks):
                _draw_crosses(ax, rows_of(table, panel=panel, series=series), looks[series])
            ax.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=[0, 0.5, 1], aspect="equal")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(PercentFormatter(1))
        return finish(figure, panels, x, y)

    return Picture(draw, table=table, alt=alt, note=note, key=_key(table, looks), lines=True)


def _draw_crosses(ax: Axes, of: pd.DataFrame, look: Look) -> None:
    ax.plot(of["x"], of["value"], color=look.colour, lw=0.9, alpha=0.6)
    ax.hlines(of["value"], of["x_low"], of["x_high"], color=look.colour, lw=1)
    ax.vlines(of["x"], of["low"], of["high"], color=look.colour, lw=1)
    ax.plot(of["x"], of["value"], look.marker, color=look.colour, ms=5)
    for mark in of.itertuples():
        at = {"textcoords": "offset points", "fontsize": 8, "color": look.colour}
        ax.annotate(mark.label, (mark.x, mark.value), (4, -9), **at)


@_figure
def heat(table: pd.DataFrame, *, x: str, y: str, alt: str, note: str, fewest: float = 20, columns: int = 4) -> Picture:
    """Heat maps, a panel each `panel`: how the count `n` of each row `y` is shared out over `x`; on the dotted line both agree.

    Rows that count fewer than `fewest` stay grey.
    """
    import seaborn as sns  # now, as it takes a second to load, and most notebooks draw none

    size = 1 + int(max(table["x"].max(), table["y"].max())) if len(table) else 2
    names = parts_of(table, "panel")

    def draw(width: float) -> Figure:
        across = min(columns, 2) if width < NARROW else columns
        height = 0.45 + 0.87 * width / max(2 if width < NARROW else 3, min(across, len(names)))
        figure, panels = grid_of(names, across, height, width)
        for panel, ax in panels.items():
            share = _shares(rows_of(table, panel=panel), size, fewest)
            sns.heatmap(share, ax=ax, vmin=0, vmax=1, cmap="mako_r", cbar=False, square=True, rasterized=True)
            ax.plot([1, size], [0, size - 1], color="#D55E00", lw=0.8, ls=":")
            ax.set_facecolor(EMPTY)
            ax.grid(False)
            ticks = list(range(1, size, max(1, size // 4)))
            ax.set_xticks([t + 0.5 for t in ticks], ticks, rotation=0)
            ax.set_yticks([t - 0.5 for t in ticks], ticks)
        drawn = next(iter(panels.values())).collections[0]
        _scale(figure, drawn, list(panels.values()), "share of the row", format=PercentFormatter(1))
        return finish(figure, panels, x, y)

    return Picture(draw, table=table, alt=alt, note=note)


def _shares(of: pd.DataFrame, size: int, fewest: float) -> np.ndarray:
    """Rows 1 to `size` - 1 shared out over 0 to `size` - 1; NaN for those that count too few."""
    counts = np.zeros((size, size))
    np.add.at(counts, (of["y"].to_numpy(int), of["x"].to_numpy(int)), of["n"].to_numpy())
    total = counts.sum(1, keepdims=True)
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=total >= fewest)[1:]


def _scale(figure: Figure, drawn: object, axes: Sequence[Axes], label: str, **options: object) -> None:
    """What colours mean, above all panels."""
    bar = figure.colorbar(drawn, ax=axes, location="top", shrink=0.45, aspect=32, **options)
    bar.solids.set_rasterized(True)  # as what it explains is
    bar.outline.set_visible(False)
    bar.set_label(label, size=9)


@_figure
def scatter(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    alt: str,
    note: str,
    colour: str = "",
    looks: Mapping[str, Look] | None = None,
    columns: int = 4,
    limits: tuple[float, float] | None = None,
    lines: tuple[float | None, float | None] = (None, None),
    diagonal: bool = False,
    sharey: bool | str = True,
    integers: bool = False,
) -> Picture:
    """Points at (`x`, `y`), a panel each `panel`: coloured by `colour` on a scale called so, or by `series` as `looks` says.

    `limits` are those of the scale, if panels are to share one; `lines` marks an x and a y, `diagonal` where shares are equal.
    `integers`: what is counted across has no fractions, even if points stand beside one another.
    """
    scale = dict(zip(("vmin", "vmax"), limits, strict=True)) if limits else {}

    def draw(width: float) -> Figure:
        across = min(columns, 2) if width < NARROW else columns
        figure, panels = grid_of(parts_of(table, "panel"), across, 2.2, width, sharey=sharey)
        drawn = None
        for panel, ax in panels.items():
            of = rows_of(table, panel=panel)
            _draw_lines_of_reference(ax, lines, diagonal)
            ax.xaxis.set_major_locator(INTEGERS() if integers else MaxNLocator(5))
            if looks is None:
                drawn = ax.scatter(of["x"], of["y"], c=of["colour"], cmap=SCALE, s=5, lw=0, alpha=0.8, rasterized=True, **scale)
            for series in shown_in(of, looks or {}):
                part, look = rows_of(of, series=series), looks[series]
                many = len(of) > MANY
                ax.plot(part["x"], part["y"], look.marker, color=look.colour, ms=4, mew=0, alpha=0.75, rasterized=many)
        if drawn is not None:
            _scale(figure, drawn, list(panels.values()), colour)
        return finish(figure, panels, x, y)

    return Picture(draw, table=table, alt=alt, note=note, key=_key(table, looks) if looks and diagonal else [])


def _draw_lines_of_reference(ax: Axes, lines: tuple[float | None, float | None], diagonal: bool) -> None:
    for at, line in zip(lines, (ax.axvline, ax.axhline), strict=True):
        if at is not None:
            line(at, color=GREY, lw=0.9, ls=":" if line == ax.axvline else "-")
    if diagonal:
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=":")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
