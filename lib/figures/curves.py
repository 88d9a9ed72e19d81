"""Lines over an axis, each named where it ends, or in a key where they end apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lib.figures.panels import finish, grid_of, line_style, own_levels, parts_of, rows_of
from lib.figures.picture import Picture
from lib.figures.style import BAR, GREY, NARROW, SHADE
from lib.tasks import Look

INTEGERS = partial(MaxNLocator, "auto", integer=True, steps=(1, 2, 5, 10), min_n_ticks=1)  # as many as there is room for
LINE = 11.5  # points from one label to the next
MOST = 7  # labels beside a panel
END = 0.1  # lines end together if they do within this share of the axis


def curves(
    table: pd.DataFrame,
    looks: Mapping[str, Look],
    *,
    x: str,
    y: str,
    alt: str,
    note: str,
    whole: bool = True,
    plain: str | None = None,
    log: bool = False,
    columns: int = 3,
    shaded: tuple[float, float] | None = None,
    sides: tuple[str, str] = ("depths of training", "beyond"),
    shares: Mapping[float, float] | None = None,
) -> Picture:
    """Lines with bands, a panel each `panel`, a line each `series`: `value` between `low` and `high` over `x`.

    `x` and `y` are the axes' labels. Values are shares, up to 100 % if `whole`, but in panels whose names end with `plain`,
    which have an axis of their own. `shaded` is a range across; `sides` are what it and what lies beyond it are called.
    `shares` by x are bars at the foot of every panel, the largest a sixth of it high.
    """
    several = [looks[series] for series in shown_in(table, looks)]
    several = several if len(several) > 1 else []  # what is alone needs no name
    direct = bool(several) and _end_together(table, log)

    def draw(width: float) -> Figure:
        across = 1 if width < NARROW else columns
        figure, panels = grid_of(parts_of(table, "panel"), across, 2.3, width, sharex=not log, sharey=False)
        others = [panel for panel in panels if plain is not None and panel.endswith(plain)]
        for panel, ax in panels.items():
            _draw_lines(ax, rows_of(table, panel=panel), looks)
            _set_ticks(ax, rows_of(table, panel=panel), table, log, min(across, len(panels)))
            if panel not in others:
                ax.yaxis.set_major_formatter(PercentFormatter(1))
        # only now do axes that panels share know all that is on them
        own_levels(panels, [panel for panel in panels if panel not in others], (0, 1.04 if whole else None))
        own_levels(panels, others, (0, None))
        for ax in panels.values():
            _mark_sides(ax, shaded, sides, shares or {})
        labels = _name_lines(panels, table, looks, across) if direct else {}
        finish(figure, panels, x, y)
        _spread(figure, labels)
        return figure

    return Picture(draw, table=table, alt=alt, note=note, key=[] if direct else several, lines=True)


def shown_in(table: pd.DataFrame, looks: Mapping[str, Look]) -> list[str]:
    """The series that occur, in the order of their looks."""
    return [series for series in looks if (table["series"] == series).any()] if len(table) else []


def _draw_lines(ax: Axes, of: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    for series in shown_in(of, looks):
        line, look = rows_of(of, series=series).sort_values("x"), looks[series]
        ax.fill_between(line["x"], line["low"], line["high"], color=look.colour, alpha=0.15, lw=0)
        ax.plot(line["x"], line["value"], color=look.colour, marker=look.marker, ms=4, lw=1.5, ls=line_style(look))


def _set_ticks(ax: Axes, of: pd.DataFrame, table: pd.DataFrame, log: bool, across: int) -> None:
    if log:
        ticks = _apart(sorted(set(of["x"])), max(0.11, 0.04 * across))
        ax.set_xscale("log", base=2)
        ax.set_xticks(ticks, ticks)
        ax.minorticks_off()
    elif (table["x"] == table["x"].round()).all():
        ax.xaxis.set_major_locator(INTEGERS())


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
        ax.axvspan(*shaded, color=SHADE, lw=0, zorder=0)
        ax.axvline(shaded[1], color=GREY, lw=0.8, zorder=1)
        ax.set_ylim(low, high + 0.09 * (high - low))
        for text, align, shift in zip(sides, ("right", "left"), (-3, 3), strict=True):
            at = {"xytext": (shift, -3), "textcoords": "offset points", "ha": align, "va": "top", "fontsize": 8, "color": GREY}
            ax.annotate(text, (shaded[1], 1), xycoords=ax.get_xaxis_transform(), **at)
    if any(shares.values()):
        heights = np.array(list(shares.values())) / max(shares.values()) / 6 * high
        ax.bar(list(shares), heights, width=0.7, color=BAR, lw=0, zorder=1)


def _ends(of: pd.DataFrame) -> pd.DataFrame:
    """The last point of every series."""
    return of.sort_values("x").groupby("series", sort=False).tail(1)


def _end_together(table: pd.DataFrame, log: bool) -> bool:
    """Whether in every panel all lines reach its right edge, and there is room to name them there."""
    for panel in parts_of(table, "panel"):
        of = rows_of(table, panel=panel)
        place = np.log(of["x"]) if log else of["x"]
        last = place.groupby(of["series"]).max()
        if last.min() < place.max() - END * np.ptp(place) or len(last) > MOST:
            return False
    return True


def _name_lines(panels: Mapping[str, Axes], table: pd.DataFrame, looks: Mapping[str, Look], across: int) -> dict:
    """Names at the right edge, by their panel: in each if there are few side by side, else in the last of a row that has it."""
    names, rows = list(panels), {}
    for start in range(0, len(names), across):
        for panel in names[start : start + across]:
            for end in _ends(rows_of(table, panel=panel)).itertuples():
                rows[(panel if across <= 2 else start, end.series)] = (panel, end.value)
    labels: dict[Axes, list] = {}
    for (_, series), (panel, value) in rows.items():
        if series in looks:
            ax, look = panels[panel], looks[series]
            text = ax.annotate(
                look.label, (1, value), xycoords=ax.get_yaxis_transform(), xytext=(5, 0), textcoords="offset points",
                va="center", fontsize=8.5, color=look.colour, annotation_clip=False,
            )  # fmt: skip
            labels.setdefault(ax, []).append(text)
    return labels


def _spread(figure: Figure, labels: Mapping[Axes, list]) -> None:
    """Move labels apart up and down, as little as need be."""
    figure.get_layout_engine().execute(figure)
    for ax, texts in labels.items():
        height = 72 * ax.get_position().height * figure.get_figheight()
        at = [height * ax.transLimits.transform((0, text.xy[1]))[1] for text in texts]
        for text, old, new in zip(texts, at, spread(at, LINE, height), strict=True):
            text.set_position((5, new - old))


def spread(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Places in the same order that are apart by `gap`, as near to what they were as can be; from 0 to `top` if they fit."""
    order = np.argsort(places, kind="stable")
    groups: list[list[float]] = []  # [sum of where the first of a group would be, how many]
    for rank, index in enumerate(order):
        groups.append([places[index] - rank * gap, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    flat = np.repeat([total / count for total, count in groups], [count for _, count in groups])
    most = max(0.0, top - gap * (len(flat) - 1))
    placed = np.clip(flat, 0, most) + gap * np.arange(len(flat))
    found = np.empty(len(flat))
    found[order] = placed
    return found.tolist()
