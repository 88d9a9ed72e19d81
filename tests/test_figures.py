"""Figures: marks stand where the table says, look as they are said to look, and every figure has words and a caption."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lib.figures import FIGURES, Picture, crosses, curves, forest, heat, scatter, tabulate
from lib.figures.curves import spread
from lib.figures.style import WIDTHS
from lib.tasks import Look

pytestmark = pytest.mark.filterwarnings("error")

RED, BLUE, LINE = (
    Look("the red one", "#ff0000", "o"),
    Look("the blue one", "#0000ff", "s"),
    Look("without marker", "#000000", ""),
)
LOOKS = {"red": RED, "blue": BLUE, "line": LINE, "absent": Look("nowhere", "#00ff00", "D")}
ALT = {"alt": "What is to be seen."}
AXES = {"x": "across", "y": "upwards", **ALT}
NOTE = "what it was measured on"


def marks(ax: Axes, look: Look) -> list[Line2D]:
    """The lines of a look that have a marker, or those without one if the look has none."""
    return [line for line in ax.lines if to_hex(line.get_color()) == look.colour and line.get_marker() in (look.marker, "")]


def points(ax: Axes, look: Look) -> list[tuple[float, float]]:
    return [at for line in marks(ax, look) if line.get_marker() == look.marker for at in zip(*line.get_data(), strict=True)]


def bands(ax: Axes, look: Look) -> set[tuple[float, float]]:
    """The corners of what is filled in a look's colour."""
    of = [c for c in ax.collections if len(c.get_facecolor()) and to_hex(c.get_facecolor()[0]) == look.colour]
    return {tuple(map(float, corner)) for collection in of for path in collection.get_paths() for corner in path.vertices}


def legend(picture: Picture) -> list[str]:
    return [look.label for look in picture.key]


def named(ax: Axes) -> dict[str, str]:
    """What is written beside a panel, with its colour."""
    return {text.get_text(): to_hex(text.get_color()) for text in ax.texts}


def panels(picture: Picture) -> dict[str, Axes]:
    return panels_of(picture.figure)


def panels_of(figure: Figure) -> dict[str, Axes]:
    return {ax.get_title("left"): ax for ax in figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"}


# Curves


CURVES = pd.DataFrame(
    [
        ("one", "red", 4, 0.5, 0.4, 0.7), ("one", "red", 2, 0.25, 0.2, 0.3), ("one", "line", 2, 0.9, 0.8, 0.95),
        ("two", "red", 2, 0.75, 0.6, 0.8), ("two", "line", 8, 0.1, 0.0, 0.2),
    ],
    columns=["panel", "series", "x", "value", "low", "high"],
)  # fmt: skip


def test_curves_are_a_line_with_its_band_for_each_series_in_each_panel():
    figure = curves(CURVES, LOOKS, **AXES, note=NOTE)
    assert list(panels(figure)) == ["one", "two"]
    one, two = panels(figure).values()
    assert points(one, RED) == [(2, 0.25), (4, 0.5)], "in the order of x"
    assert bands(one, RED) >= {(2, 0.2), (2, 0.3), (4, 0.4), (4, 0.7)}
    assert points(one, LINE) == [(2, 0.9)]
    assert points(two, RED) == [(2, 0.75)]
    assert bands(two, RED) == {(2, 0.6), (2, 0.8)}
    assert points(two, LINE) == [(8, 0.1)]
    assert [marks(one, look)[0].get_linestyle() for look in (RED, LINE)] == ["-", "--"], "what has no marker is dashed"
    assert [*one.patches, *two.patches] == [], "nothing is shaded, and there are no bars"
    assert legend(figure) == ["the red one", "without marker"], "in the order of looks, and of those that occur"
    assert named(one) == {}, "lines that end apart are named in the key"


def test_shares_have_an_axis_in_per_cent_from_nothing_to_all():
    figure = curves(CURVES, LOOKS, **AXES, note=NOTE)
    (ax, _) = panels(figure).values()
    assert isinstance(ax.yaxis.get_major_formatter(), PercentFormatter)
    assert ax.yaxis.get_major_formatter()(0.5) == "50%"
    assert ax.get_ylim() == (0, 1.04)
    half = CURVES.assign(**{name: CURVES[name] / 2 for name in ("value", "low", "high")})
    part = panels(curves(half, LOOKS, **AXES, note=NOTE, whole=False)).values()
    assert len({ax.get_ylim() for ax in part}) == 1, "panels have the same axis"
    low, high = next(iter(part)).get_ylim()
    assert low == 0
    assert 0.35 < high < 0.6, "as high as the highest needs, not all"


def test_what_is_no_share_has_an_axis_of_its_own():
    table = pd.concat([CURVES.assign(panel="a\nshare"), CURVES.assign(panel="a\nbits", value=CURVES["value"] * 5)])
    table = pd.concat([table, table.assign(panel=[f"b{name[1:]}" for name in table["panel"]], value=table["value"] / 2)])
    found = panels(curves(table, LOOKS, **AXES, note=NOTE, plain="bits", columns=2))
    assert list(found) == ["a\nshare", "a\nbits", "b\nshare", "b\nbits"]
    for name, ax in found.items():
        shares = name.endswith("share")
        assert isinstance(ax.yaxis.get_major_formatter(), PercentFormatter) == shares
        assert (ax.get_ylim() == (0, 1.04)) == shares
        assert ax.yaxis.get_tick_params()["labelleft"]
    assert found["a\nbits"].get_ylim() == found["b\nbits"].get_ylim()
    assert found["a\nbits"].get_ylim()[1] > 4.5


def test_ticks_are_labelled_once_in_a_row_of_panels_with_the_same_axis():
    one, two = panels(curves(CURVES, LOOKS, **AXES, note=NOTE)).values()
    assert [ax.yaxis.get_tick_params()["labelleft"] for ax in (one, two)] == [True, False]


def test_a_logarithmic_axis_has_its_ticks_where_something_was_measured():
    one, two = panels(curves(CURVES, LOOKS, **AXES, note=NOTE, log=True)).values()
    assert one.get_xscale() == "log"
    assert [label.get_text() for label in one.get_xticklabels()] == ["2", "4"]
    assert two.get_xticks().tolist() == [2, 8], "each panel has its own"


def test_many_ticks_are_thinned_out():
    many = pd.DataFrame({"series": "red", "x": 2 ** np.arange(20), "value": 0.5, "low": 0.4, "high": 0.6})
    (ax,) = panels(curves(many, LOOKS, **AXES, note=NOTE, log=True)).values()
    assert 5 <= len(ax.get_xticks()) <= 10


def test_a_single_series_needs_no_legend():
    assert legend(curves(CURVES[CURVES["series"] == "red"], LOOKS, **AXES, note=NOTE)) == []


def test_a_range_is_shaded_behind_the_curves():
    for ax in panels(curves(CURVES, LOOKS, **AXES, note=NOTE, shaded=(0.5, 3.5))).values():
        (shaded,) = ax.patches
        assert (shaded.get_x(), shaded.get_width()) == (0.5, 3)
        assert (shaded.get_y(), shaded.get_height()) == (0, 1), "from the foot of the panel to its top"
        assert shaded.get_zorder() < min(line.get_zorder() for line in ax.lines)


def test_the_edge_of_a_shaded_range_is_marked_and_both_sides_are_named():
    figure = curves(CURVES, LOOKS, **AXES, note=NOTE, shaded=(0.5, 3.5), sides=("in", "out"))
    for ax in panels(figure).values():
        assert [line.get_xdata() for line in ax.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
        figure.figure.canvas.draw()
        within, beyond = (text.get_window_extent() for text in ax.texts)
        assert [text.get_text() for text in ax.texts] == ["in", "out"]
        edge, top = ax.transData.transform((3.5, 1.0))
        assert within.x1 < edge < beyond.x0
        assert top < within.y0 < within.y1 < ax.bbox.y1, "above all that may be drawn"


TOGETHER = pd.DataFrame(
    [(panel, series, x, level + x / 90, 0.1, 0.9) for panel in ("one", "two", "three")
     for series, level in (("red", 0.5), ("blue", 0.505), ("line", 0.2)) for x in (1, 9)],
    columns=["panel", "series", "x", "value", "low", "high"],
)  # fmt: skip


@pytest.mark.parametrize("log", [False, True])
def test_lines_that_end_together_are_named_there_in_their_colour(log):
    names = {look.label: look.colour for look in (RED, BLUE, LINE)}
    few = curves(TOGETHER[TOGETHER["panel"] != "three"], LOOKS, **AXES, note=NOTE, columns=2, log=log)
    assert legend(few) == []
    assert [named(ax) for ax in panels(few).values()] == [names] * 2
    many = curves(TOGETHER, LOOKS, **AXES, note=NOTE, log=log)
    assert [named(ax) for ax in panels(many).values()] == [{}, {}, names], "once in a row of three"
    assert [named(ax) for ax in panels_of(many.drawn(WIDTHS["narrow"])).values()] == [names] * 3
    many.figure.canvas.draw()
    ax = panels(many)["three"]
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes)), "none on another"
    assert all(box.x0 > ax.bbox.x1 for box in boxes)
    assert all(box.x1 <= many.figure.bbox.x1 for box in boxes), "none is cut off"
    red, blue = (next(t for t in ax.texts if t.get_text() == look.label).get_window_extent().y0 for look in (RED, BLUE))
    assert blue > red, "in the order in which the lines end"


def test_what_occurs_in_the_first_panel_only_is_named_there():
    table = TOGETHER[(TOGETHER["panel"] == "one") | (TOGETHER["series"] != "line")]
    first, *_, last = panels(curves(table, LOOKS, **AXES, note=NOTE)).values()
    assert (list(named(first)), sorted(named(last))) == ([LINE.label], [BLUE.label, RED.label])


@pytest.mark.parametrize(
    ("places", "found"),
    [([], []), ([50], [50]), ([10, 60], [10, 60]), ([50, 50], [45, 55]), ([50, 52, 20], [46, 56, 20]), ([99, 100], [90, 100]),
     ([0, 1, 2], [0, 10, 20]), ([5, 5, 50, 49], [0, 10, 54.5, 44.5])],
)  # fmt: skip
def test_labels_are_moved_apart_as_little_as_need_be(places, found):
    assert spread(places, 10, 100) == pytest.approx(found)


@pytest.mark.parametrize("shares", [{1: 0.1, 2: 0.4, 3: 0.2}, {1: 0.01, 2: 0.04, 3: 0.02}])
def test_shares_are_bars_at_the_foot_the_largest_a_sixth_high(shares):
    for ax in panels(curves(CURVES, LOOKS, **AXES, note=NOTE, shares=shares)).values():
        bars = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in ax.patches}
        assert bars == pytest.approx({1: 1.04 / 24, 2: 1.04 / 6, 3: 1.04 / 12})
        assert {bar.get_y() for bar in ax.patches} == {0}
        assert all(tick == round(tick) for tick in ax.get_xticks()), "what is counted has no halves"
        assert ax.get_ylim() == (0, 1.04)


def test_shares_that_are_all_nothing_have_no_bars():
    for ax in panels(curves(CURVES, LOOKS, **AXES, note=NOTE, shares={1: 0.0, 2: 0.0})).values():
        assert not ax.patches


# Forests


FOREST = pd.DataFrame(
    [
        ("one", "first", "red", 0.5, 0.4, 0.7), ("one", "first", "blue", 0.2, 0.1, 0.3),
        ("one", "second", "blue", 0.9, 0.8, 1.0), ("two", "second", "red", -0.25, -0.5, -0.125),
    ],
    columns=["panel", "row", "series", "value", "low", "high"],
)  # fmt: skip


@pytest.mark.parametrize("percent", [True, False])
def test_a_forest_has_a_point_and_an_interval_for_each_row_and_series(percent):
    figure = forest(FOREST, LOOKS, x="across", **ALT, note=NOTE, percent=percent)
    one, two = panels(figure).values()
    red, blue = -0.7 / 4, 0.7 / 4  # side by side on their row
    assert points(one, RED) == [(0.5, pytest.approx(red))]
    assert points(one, BLUE) == [(0.2, pytest.approx(blue)), (0.9, pytest.approx(1 + blue))]
    assert points(two, RED) == [(-0.25, pytest.approx(1 + red))]
    of_blue = [line for line in one.lines if to_hex(line.get_color()) == BLUE.colour and line.get_marker() == "None"]
    assert [line.get_xdata().tolist() for line in of_blue] == [[0.1, 0.3], [0.8, 1.0]]
    assert [label.get_text() for label in one.get_yticklabels()] == ["first", "second"]
    assert one.get_ylim() == (1.5, -0.5), "the first row is on top"
    assert legend(figure) == ["the red one", "the blue one"]
    zero = [line for line in two.lines if list(line.get_xdata()) == [0, 0]]
    if percent:
        assert (one.get_xlim(), zero) == ((0, 1.02), [])
        assert isinstance(one.xaxis.get_major_formatter(), PercentFormatter)
    else:
        assert len(zero) == 1, "what may be negative has zero marked"
        assert two.get_xlim()[0] < -0.5


def test_a_mark_without_a_marker_still_is_a_point():
    (ax,) = panels(forest(FOREST.assign(series="line").drop(columns="panel"), LOOKS, x="across", **ALT, note=NOTE)).values()
    assert [line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1] == ["o"] * 4


# Crosses


CROSSES = pd.DataFrame(
    [("one", "red", 0.6, 0.5, 0.7, 0.3, 0.2, 0.4, 8), ("one", "blue", 0.9, 0.8, 1.0, 0.5, 0.4, 0.6, "")],
    columns=["panel", "series", "x", "x_low", "x_high", "value", "low", "high", "label"],
)


def test_crosses_have_an_interval_each_way_and_a_diagonal():
    figure = crosses(CROSSES, LOOKS, **AXES, note=NOTE)
    (ax,) = panels(figure).values()
    assert set(points(ax, RED)) == {(0.6, 0.3)}
    assert set(points(ax, BLUE)) == {(0.9, 0.5)}
    segments = {tuple(map(tuple, path.vertices.tolist())) for of in ax.collections for path in of.get_paths()}
    assert segments == {
        ((0.5, 0.3), (0.7, 0.3)), ((0.6, 0.2), (0.6, 0.4)), ((0.8, 0.5), (1.0, 0.5)), ((0.9, 0.4), (0.9, 0.6)),
    }  # fmt: skip
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("8", (0.6, 0.3)), ("", (0.9, 0.5))]
    (diagonal,) = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert all(isinstance(axis.get_major_formatter(), PercentFormatter) for axis in (ax.xaxis, ax.yaxis))
    assert legend(figure) == ["the red one", "the blue one"]


# Heat maps


HEAT = pd.DataFrame(
    [
        ("one", 1, 1, 15.0),
        ("one", 2, 1, 5.0),
        ("one", 0, 2, 10.0),
        ("one", 2, 2, 30.0),
        ("one", 3, 3, 19.0),
        ("two", 3, 3, 40.0),
    ],
    columns=["panel", "x", "y", "n"],
)


def test_a_heat_map_shares_out_each_row_and_leaves_rare_ones_empty():
    one, two = panels(heat(HEAT, **AXES, note=NOTE, fewest=20)).values()
    shares = np.ma.filled(one.collections[0].get_array(), np.nan).reshape(3, 4)  # rows 1 to 3, columns 0 to 3
    np.testing.assert_allclose(shares, [[0, 0.75, 0.25, 0], [0.25, 0, 0.75, 0], [np.nan] * 4])
    assert one.collections[0].get_clim() == (0, 1)
    of_two = np.ma.filled(two.collections[0].get_array(), np.nan).reshape(3, 4)
    np.testing.assert_allclose(of_two, [[np.nan] * 4, [np.nan] * 4, [0, 0, 0, 1]])
    labels = [[label.get_text() for label in labels] for labels in (one.get_xticklabels(), one.get_yticklabels())]
    assert labels == [["1", "2", "3"]] * 2


def test_on_the_dotted_line_of_a_heat_map_both_agree():
    (ax,) = panels(heat(HEAT[HEAT["panel"] == "two"], **AXES, note=NOTE)).values()
    x, y = (ticks[-1] for ticks in (ax.get_xticks(), ax.get_yticks()))  # where 3 is, in cells of the drawing
    (line,) = ax.lines
    (x0, x1), (y0, y1) = line.get_data()
    assert (y - y0) / (y1 - y0) == pytest.approx((x - x0) / (x1 - x0))


def test_a_tie_adds_a_part_of_a_count():
    table = pd.DataFrame([(1, 1, 12.5), (1, 1, 0.5), (2, 1, 13.0)], columns=["x", "y", "n"])
    (ax,) = panels(heat(table, **AXES, note=NOTE)).values()
    assert np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(2, 3)[0].tolist() == [0, 0.5, 0.5]


# Scatter


SCATTER = pd.DataFrame(
    [("one", "red", 1.0, 2.0, 0.5), ("one", "blue", 3.0, 4.0, 1.0), ("two", "red", -1.0, 5.0, 0.0)],
    columns=["panel", "series", "x", "y", "colour"],
)


def test_points_are_coloured_on_a_scale():
    figure = scatter(SCATTER, **AXES, note=NOTE, colour="how far", limits=(0, 2), lines=(0.5, 0))
    one, two = panels(figure).values()
    assert one.collections[0].get_offsets().tolist() == [[1, 2], [3, 4]]
    assert one.collections[0].get_array().tolist() == [0.5, 1]
    assert two.collections[0].get_offsets().tolist() == [[-1, 5]]
    assert {ax.collections[0].get_clim() for ax in (one, two)} == {(0, 2)}
    assert [ax.get_xlabel() for ax in figure.figure.axes if ax.get_label() == "<colorbar>"] == ["how far"]
    upright, level = one.lines
    assert upright.get_xdata() == [0.5, 0.5]
    assert level.get_ydata() == [0, 0]


def test_what_is_counted_across_has_no_fractions():
    layers = SCATTER.assign(x=[0.1, 0.9, 1.2])
    for ax in panels(scatter(layers, **AXES, note=NOTE, looks=LOOKS, integers=True)).values():
        assert all(tick == round(tick) for tick in ax.get_xticks())
    counted = CURVES.assign(x=[1, 2, 1, 1, 3])
    for ax in panels(curves(counted, LOOKS, **AXES, note=NOTE)).values():
        assert all(tick == round(tick) for tick in ax.get_xticks())


def test_or_they_look_as_their_series_does():
    figure = scatter(SCATTER, **AXES, note=NOTE, looks=LOOKS)
    one, two = panels(figure).values()
    assert (points(one, RED), points(one, BLUE)) == ([(1, 2)], [(3, 4)])
    assert (points(two, RED), points(two, BLUE)) == ([(-1, 5)], [])
    assert len(figure.figure.axes) == 2, "there is no scale to show"


def test_a_diagonal_is_where_shares_are_equal():
    shares = SCATTER.assign(x=[0.1, 0.3, 0.2], y=[0.2, 0.4, 0.5])
    figure = scatter(shares, **AXES, note=NOTE, looks=LOOKS, diagonal=True)
    for ax in panels(figure).values():
        assert [of.get_xydata().tolist() for of in ax.lines if of.get_linestyle() == ":"] == [[[0, 0], [1, 1]]]
        assert all(isinstance(axis.get_major_formatter(), PercentFormatter) for axis in (ax.xaxis, ax.yaxis))
        assert ax.yaxis.get_major_formatter()(0.5) == "50%"
    assert legend(figure) == ["the red one", "the blue one"], "in the order of looks, and of those that occur"
    plain = scatter(shares, **AXES, note=NOTE, looks=LOOKS)
    assert legend(plain) == [], "each panel names what it shows"
    assert not any(of.get_linestyle() == ":" for ax in panels(plain).values() for of in ax.lines)
    coloured = scatter(shares, **AXES, note=NOTE, colour="how far", diagonal=True)
    assert legend(coloured) == []
    assert [ax.get_xlabel() for ax in coloured.figure.axes if ax.get_label() == "<colorbar>"] == ["how far"]


# All of them


TABLES: dict[str, tuple[Callable, pd.DataFrame]] = {
    "curves": (lambda table: curves(table, LOOKS, **AXES, note=NOTE), CURVES),
    "curves, logarithmic": (lambda table: curves(table, LOOKS, **AXES, note=NOTE, log=True, whole=False), CURVES),
    "forest": (lambda table: forest(table, LOOKS, x="across", **ALT, note=NOTE), FOREST),
    "crosses": (lambda table: crosses(table, LOOKS, **AXES, note=NOTE), CROSSES),
    "heat": (lambda table: heat(table, **AXES, note=NOTE), HEAT),
    "scatter": (lambda table: scatter(table, **AXES, note=NOTE, colour="how far"), SCATTER),
    "curves, shaded": (lambda table: curves(table, LOOKS, **AXES, note=NOTE, shaded=(1, 2), shares={1: 0.5}), CURVES),
    "scatter on a diagonal": (lambda table: scatter(table, **AXES, note=NOTE, looks=LOOKS, diagonal=True), SCATTER),
    "scatter by series": (lambda table: scatter(table, **AXES, note=NOTE, looks=LOOKS), SCATTER),
}


def test_every_figure_is_tested_here():
    assert {name.partition(",")[0].partition(" ")[0] for name in TABLES} == set(FIGURES)


@pytest.mark.parametrize(("plot", "table"), TABLES.values(), ids=list(TABLES))
def test_a_figure_has_a_caption_and_names_its_axes(plot, table):
    picture = plot(table)
    assert (picture.note, picture.alt) == (NOTE, ALT["alt"])
    for width in WIDTHS.values():
        figure = picture.drawn(width)
        assert figure.get_supxlabel() == "across"
        assert figure.get_supylabel() in ("upwards", "")
        assert list(panels_of(figure)) == list(dict.fromkeys(table["panel"]))
        assert figure.get_size_inches()[0] == width


@pytest.mark.parametrize(("plot", "table"), TABLES.values(), ids=list(TABLES))
def test_on_a_phone_panels_stand_below_one_another_or_in_twos(plot, table):
    picture = plot(pd.concat([table.assign(panel=name) for name in ("one", "two", "three")]))
    for ax in panels_of(picture.drawn(WIDTHS["narrow"])).values():
        assert ax.get_gridspec().ncols <= 2
        assert ax.xaxis.get_tick_params()["labelbottom"], "who scrolls sees the numbers of an axis below each"
    assert {ax.get_gridspec().ncols for ax in panels(picture).values()} == {3}


@pytest.mark.parametrize(
    ("plot", "table"),
    [(plot, empty) for plot, table in TABLES.values() for empty in (table[:0], *([tabulate([])] if "low" in table else []))],
)
def test_an_empty_table_makes_an_empty_figure(plot, table):
    figure = plot(table)
    assert "<svg" in figure.to_html()
    assert len(panels(figure)) == 1
    assert legend(figure) == []


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 3))])
def test_panels_are_set_in_rows(count, shape):
    table = pd.concat([CURVES.assign(panel=f"panel {i}") for i in range(count)])
    figure = curves(table, LOOKS, **AXES, note=NOTE, columns=3)
    assert figure.figure.axes[0].get_gridspec().get_geometry() == shape
    assert len(panels(figure)) == count


def far_apart(table: pd.DataFrame) -> pd.DataFrame:
    """The same marks in panels of which each next has greater numbers."""
    shares = table.get("value", pd.Series([2.0])).abs().max() <= 1
    numbers = [name for name in ("x", "y", "value", "low", "high", "x_low", "x_high") if name in table]
    panels = []
    for i, scale in enumerate((0.1, 0.4, 1.0) if shares else (1, 20, 400)):
        scaled = table[numbers] * scale
        panels.append(table.assign(panel=f"panel {i}", **{name: scaled[name] for name in numbers if name != "x" or not shares}))
    return pd.concat(panels)


DRAWN_POINTS = {
    **{name: TABLES[name] for name in ("curves", "curves, shaded", "crosses", "scatter", "scatter by series")},
    "curves, part": (lambda table: curves(table, LOOKS, **AXES, note=NOTE, whole=False), CURVES),
    "curves, plain": (lambda table: curves(table, LOOKS, **AXES, note=NOTE, plain="", columns=2), CURVES),
    "curves, plain and high": (
        lambda table: curves(table, LOOKS, **AXES, note=NOTE, plain="", log=True),
        CURVES.assign(value=CURVES["value"] * 3, high=CURVES["high"] * 3),
    ),
    "forest": (
        lambda table: forest(table, LOOKS, x="across", **ALT, note=NOTE, percent=False),
        FOREST.assign(value=FOREST["value"] * 9, low=FOREST["low"] * 9, high=FOREST["high"] * 9),
    ),
}


@pytest.mark.parametrize(("plot", "table"), DRAWN_POINTS.values(), ids=list(DRAWN_POINTS))
def test_every_point_lies_inside_its_axes(plot, table):
    figure = plot(far_apart(table))
    figure.figure.canvas.draw()
    assert len(panels(figure)) == 3
    for name, ax in panels(figure).items():
        lines = [ax.transData.transform(line.get_xydata()) for line in ax.lines if line.get_transform() == ax.transData]
        drawn = [collection.get_offsets() for collection in ax.collections if len(collection.get_offsets()) > 1]
        at = np.concatenate([*lines, *(ax.transData.transform(offsets) for offsets in drawn)])
        assert len(at), name
        (left, bottom), (right, top) = ax.bbox.min - 1, ax.bbox.max + 1
        assert ((at >= (left, bottom)) & (at <= (right, top))).all(), name


TITLES = ["queries, unseen_depth", "SVD of the weights:\ndivergence of attention (bits)", "one", "k-means, 256 clusters " * 2]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("plot", "table"), TABLES.values(), ids=list(TABLES))
def test_titles_do_not_run_into_each_other(plot, table, times):
    table = pd.concat([table.assign(panel=f"{title}{' ' * again}") for title in TITLES for again in range(times)])
    figure = plot(table).figure
    figure.canvas.draw()
    boxes = [ax._left_title.get_window_extent() for ax in figure.axes if ax.get_title("left")]
    assert len(boxes) == len(set(table["panel"]))
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    shown = " ".join(ax.get_title("left") for ax in figure.axes)
    assert " ".join(shown.split()).count("divergence of attention (bits)") == times, "nothing is cut off"
    assert len({ax._left_title.get_fontsize() for ax in figure.axes if ax.get_title("left")}) == 1


def test_short_titles_stay_as_they_are():
    (one, two) = panels(curves(CURVES, LOOKS, **AXES, note=NOTE)).values()
    assert [ax._left_title.get_fontsize() for ax in (one, two)] == [10, 10]
