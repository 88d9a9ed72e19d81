"""The plots. Each takes a tidy table, one row per mark, and how its series look; none knows what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.figures.panels import finish, grid_of, legend, line_style, own_levels, parts_of, rows_of
from lib.figures.style import GREY, PAGE_WIDTH, ZERO
from lib.tasks import Look

FIGURES: dict[str, Callable] = {}
INTEGERS = partial(MaxNLocator, "auto", integer=True, steps=(1, 2, 5, 10), min_n_ticks=1)  # as many as there is room for


def _figure(plot: Callable) -> Callable:
    FIGURES[plot.__name__] = plot
    return plot


def _shown(table: pd.DataFrame, looks: Mapping[str, Look]) -> list[str]:
    return [series for series in looks if (table["series"] == series).any()] if len(table) else []


@_figure
def curves(
    table: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: str,
    y: str,
    note: str,
    whole: bool = True,
    plain: str | None = None,
    log: bool = False,
    columns: int = 3,
    shaded: tuple[float, float] | None = None,
    sides: tuple[str, str] = ("depths of training", "beyond"),
    shares: Mapping[float, float] | None = None,
) -> Figure:
    """Lines with bands, a panel each `panel`, a line each `series`: `value` between `low` and `high` over `x`.

    `x` and `y` are the axes' labels. Values are shares, up to 100 % if `whole`, but in panels whose names end with `plain`,
    which have an axis of their own. `shaded` is a range across; `sides` are what it and what lies beyond it are called.
    `shares` by x are bars at the foot of every panel, the largest a sixth of it high.
    """
    figure, panels = grid_of(parts_of(table, "panel"), columns, 2.4, sharex=not log, sharey=False)
    others = [panel for panel in panels if plain is not None and panel.endswith(plain)]
    for panel, ax in panels.items():
        for series in _shown(table, looks):
            of, look = rows_of(table, panel=panel, series=series).sort_values("x"), looks[series]
            ax.fill_between(of["x"], of["low"], of["high"], color=look.colour, alpha=0.15, lw=0)
            ax.plot(of["x"], of["value"], color=look.colour, marker=look.marker, ms=4, lw=1.5, ls=line_style(look))
        if log:
            ticks = _apart(sorted(set(rows_of(table, panel=panel)["x"])), max(0.11, 0.04 * min(columns, len(panels))))
            ax.set_xscale("log", base=2)
            ax.set_xticks(ticks, ticks)
            ax.minorticks_off()
        elif (table["x"] == table["x"].round()).all():
            ax.xaxis.set_major_locator(INTEGERS())
        if panel not in others:
            ax.yaxis.set_major_formatter(PercentFormatter(1))
    # only now do axes that panels share know all that is on them
    own_levels(panels, [panel for panel in panels if panel not in others], (0, 1.04 if whole else None))
    own_levels(panels, others, (0, None))
    for ax in panels.values():
        _mark_sides(ax, shaded, sides, shares or {})
    legend(figure, looks, _shown(table, looks), lines=True)
    return finish(figure, panels, x, y, note)


def _apart(ticks: Sequence[float], room: float) -> list[float]:
    """Those of the ticks of a logarithmic axis that are apart by `room`, a share of its length."""
    kept = list(ticks[:1])
    for tick in ticks[1:]:
        if np.log(tick / kept[-1]) >= room * np.log(ticks[-1] / ticks[0]):
            kept.append(tick)
    return kept


def _mark_sides(ax: Axes, shaded: tuple[float, float] | None, sides: tuple[str, str], shares: Mapping[float, float]) -> None:
    """Shade a range across with a line at its edge, name both sides of that at the top, and draw shares as bars at the foot."""
    low, high = ax.get_ylim()
    if shaded is not None:
        ax.axvspan(*shaded, color="#EEF3F8", lw=0, zorder=0)
        ax.axvline(shaded[1], color=GREY, lw=0.8, zorder=1)
        ax.set_ylim(low, high + 0.09 * (high - low))
        for text, align, shift in zip(sides, ("right", "left"), (-3, 3), strict=True):
            at = {"xytext": (shift, -3), "textcoords": "offset points", "ha": align, "va": "top", "fontsize": 8, "color": GREY}
            ax.annotate(text, (shaded[1], 1), xycoords=ax.get_xaxis_transform(), **at)
    if any(shares.values()):
        heights = np.array(list(shares.values())) / max(shares.values()) / 6 * high
        ax.bar(list(shares), heights, width=0.7, color="#B8C4D0", lw=0, zorder=1)


@_figure
def forest(
    table: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: str,
    note: str,
    percent: bool = True,
    columns: int = 3,
    small: bool = False,
    sharex: bool = True,
) -> Figure:
    """Points with intervals, a line each `row`, side by side each `series`, a panel each `panel`.

    With `percent` values are shares; otherwise they may be negative, and zero is marked. `small` has small print for long rows.
    """
    rows, shown = parts_of(table, "row"), _shown(table, looks)
    height = max(0.9, (0.10 * len(shown) + 0.16) * len(rows))
    figure, panels = grid_of(parts_of(table, "panel"), columns, height, sharex)
    offsets = dict(zip(shown, (np.arange(len(shown)) - (len(shown) - 1) / 2) * 0.7 / max(1, len(shown)), strict=True))
    for panel, ax in panels.items():
        for mark in rows_of(table, panel=panel).itertuples():
            look, at = looks[mark.series], rows.index(mark.row) + offsets[mark.series]
            ax.plot([mark.low, mark.high], [at, at], color=look.colour, lw=1.6)
            ax.plot(mark.value, at, look.marker or "o", color=look.colour, ms=4.5)
        for row in range(1, len(rows), 2):
            ax.axhspan(row - 0.5, row + 0.5, color="#F4F4F4", lw=0, zorder=0)
        ax.set_yticks(range(len(rows)), rows, fontsize=7.5 if small else None)
        ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        if percent:
            ax.set_xlim(0, 1.02)
            ax.xaxis.set_major_formatter(PercentFormatter(1))
        else:
            ax.axvline(0, color=ZERO, lw=0.9)
    legend(figure, looks, shown, lines=False)
    return finish(figure, panels, x, "", note)


@_figure
def crosses(table: pd.DataFrame, looks: Mapping[str, Look], *, x: str, y: str, note: str, columns: int = 3) -> Figure:
    """Shares against shares, a panel each `panel`, a colour each `series`: points at (`x`, `value`), with both intervals.

    Intervals are `x_low` to `x_high` across and `low` to `high` up; a text in `label` stands beside its point. On the dotted
    diagonal both are equal.
    """
    figure, panels = grid_of(parts_of(table, "panel"), columns, 2.4)
    for panel, ax in panels.items():
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        for series in _shown(table, looks):
            of, look = rows_of(table, panel=panel, series=series), looks[series]
            ax.plot(of["x"], of["value"], color=look.colour, lw=0.9, alpha=0.6)
            ax.hlines(of["value"], of["x_low"], of["x_high"], color=look.colour, lw=1)
            ax.vlines(of["x"], of["low"], of["high"], color=look.colour, lw=1)
            ax.plot(of["x"], of["value"], look.marker, color=look.colour, ms=5)
            for mark in of.itertuples():
                at = {"textcoords": "offset points", "fontsize": 7.5, "color": look.colour}
                ax.annotate(mark.label, (mark.x, mark.value), (4, -9), **at)
        ax.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=[0, 0.5, 1], aspect="equal")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    legend(figure, looks, _shown(table, looks), lines=True)
    return finish(figure, panels, x, y, note)


@_figure
def heat(table: pd.DataFrame, *, x: str, y: str, note: str, fewest: float = 20, columns: int = 4) -> Figure:
    """Heat maps, a panel each `panel`: how the count `n` of each row `y` is shared out over `x`; on the dotted line both agree.

    Rows that count fewer than `fewest` stay grey.
    """
    size = 1 + int(max(table["x"].max(), table["y"].max())) if len(table) else 2
    names = parts_of(table, "panel")
    figure, panels = grid_of(names, columns, 0.45 + 0.87 * PAGE_WIDTH / max(3, min(columns, len(names))))
    for panel, ax in panels.items():
        counts = np.zeros((size, size))
        of = rows_of(table, panel=panel)
        np.add.at(counts, (of["y"].to_numpy(int), of["x"].to_numpy(int)), of["n"].to_numpy())
        total = counts.sum(1, keepdims=True)
        share = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total >= fewest)[1:]
        sns.heatmap(share, ax=ax, vmin=0, vmax=1, cmap="mako_r", cbar=False, square=True)
        ax.plot([1, size], [0, size - 1], color="#D55E00", lw=0.8, ls=":")
        ax.set_facecolor("#F0F0F0")
        ticks = list(range(1, size, max(1, size // 4)))
        ax.set_xticks([t + 0.5 for t in ticks], ticks, rotation=0)
        ax.set_yticks([t - 0.5 for t in ticks], ticks)
    drawn = next(iter(panels.values())).collections[0]
    at = {"location": "top", "shrink": 0.4, "aspect": 32, "format": PercentFormatter(1)}
    bar = figure.colorbar(drawn, ax=list(panels.values()), **at)
    bar.set_label("share of the row", size=9)
    return finish(figure, panels, x, y, note)


@_figure
def scatter(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    note: str,
    colour: str = "",
    looks: Mapping[str, Look] | None = None,
    columns: int = 4,
    limits: tuple[float, float] | None = None,
    lines: tuple[float | None, float | None] = (None, None),
    diagonal: bool = False,
    sharey: bool | str = True,
    integers: bool = False,
) -> Figure:
    """Points at (`x`, `y`), a panel each `panel`: coloured by `colour` on a scale called so, or by `series` as `looks` says.

    `limits` are those of the scale, if panels are to share one; `lines` marks an x and a y, `diagonal` where shares are equal.
    `integers`: what is counted across has no fractions, even if points stand beside one another.
    """
    figure, panels = grid_of(parts_of(table, "panel"), columns, 2.2, sharey=sharey)
    drawn = None
    for panel, ax in panels.items():
        of = rows_of(table, panel=panel)
        for at, line in zip(lines, (ax.axvline, ax.axhline), strict=True):
            if at is not None:
                line(at, color=GREY, lw=0.9, ls=":" if line == ax.axvline else "-")
        if diagonal:
            ax.plot([0, 1], [0, 1], color=GREY, lw=0.9, ls=":")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_formatter(PercentFormatter(1))
        if integers:
            ax.xaxis.set_major_locator(INTEGERS())
        if looks is None:
            scale = dict(zip(("vmin", "vmax"), limits, strict=True)) if limits else {}
            drawn = ax.scatter(of["x"], of["y"], c=of["colour"], cmap="viridis", s=5, lw=0, alpha=0.8, rasterized=True, **scale)
        for series in _shown(of, looks or {}):
            part, look = rows_of(of, series=series), looks[series]
            ax.plot(part["x"], part["y"], look.marker, color=look.colour, ms=4, mew=0, alpha=0.75)
    if drawn is not None:
        figure.colorbar(drawn, ax=list(panels.values()), shrink=0.7, aspect=18, label=colour)
    elif diagonal:
        legend(figure, looks, _shown(table, looks), lines=False)
    return finish(figure, panels, x, y, note)
