"""How proxies and splits look, what tables figures are made from, and what their captions say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from planted import estimate, study

from lib import figures
from lib.figures import looks_of, split_looks, tabulate
from lib.figures.training import training_figure
from lib.measuring.intervals import nothing
from lib.proxies import PROXIES, Proxy, Simplification
from lib.studies import Study
from lib.tasks import Look

RANKS = [Simplification("svd", rank, 1) for rank in (16, 2, 8)]


@pytest.fixture
def made(small_experiment) -> Study:
    """A study with nothing measured."""
    return study(small_experiment, {"iid": {}}, seeds=2)


# Tables


def test_a_table_of_estimates_has_a_row_for_each_that_was_measured():
    few = estimate(0.2, 0.4)  # over 100 predictions
    unknown = replace(few, by_seed=few.by_seed * np.nan)  # such as a rank correlation of what is constant
    rows = ({"row": "a", "x": 3}, few), ({"row": "b"}, nothing()), ({"row": "b"}, unknown), ({"row": "c"}, few - 0.1)
    table = tabulate(rows)
    assert table["row"].tolist() == ["a", "c"]
    first = table.iloc[0]
    assert (first["x"], first["seeds"], first["n"]) == (3, 3, 100)
    assert [first["value"], first["low"], first["high"]] == pytest.approx([0.3, *few.interval])
    assert table["value"].tolist() == pytest.approx([0.3, 0.2])


@pytest.mark.parametrize(("fewest", "rows"), [(1, 1), (100, 1), (101, 0)])
def test_what_rests_on_too_few_predictions_is_left_out(fewest, rows):
    assert len(tabulate([({}, estimate(0.2, 0.4))], fewest)) == rows


def test_an_empty_table_has_the_columns_that_figures_read():
    assert {"row", "series", "panel", "x", "value", "low", "high"} <= set(tabulate([]))


# Looks


def test_a_simplification_is_lighter_the_less_complex_it_is():
    """In the colour of its proxy, which the most complex one has itself."""
    looks = looks_of([*RANKS, Simplification("one_hot", None, 1)])
    assert list(looks) == ["SVD, rank 16", "SVD, rank 2", "SVD, rank 8", "one-hot"]
    saturation = {label: rgb_to_hsv(to_rgb(look.colour))[1] for label, look in looks.items()}
    assert saturation["SVD, rank 2"] < saturation["SVD, rank 8"] < saturation["SVD, rank 16"]
    assert looks["SVD, rank 16"].colour.upper() == PROXIES["svd"].colour
    assert looks["one-hot"].colour.upper() == PROXIES["one_hot"].colour, "alone in its family"
    hues = [rgb_to_hsv(to_rgb(look.colour))[0] for label, look in looks.items() if label.startswith("SVD")]
    assert np.ptp(hues) < 0.02
    assert {look.marker for label, look in looks.items() if label.startswith("SVD")} == {PROXIES["svd"].marker}
    assert all(look.label == label for label, look in looks.items())


def test_no_two_proxies_look_the_same():
    looks = [(proxy.colour, proxy.marker) for proxy in PROXIES.values()]
    assert len(set(looks)) == len(looks) == len({proxy.label for proxy in PROXIES.values()})


def test_a_new_proxy_looks_as_it_says_or_has_a_look_all_the_same():
    class Mine(Proxy, name="mine", label="my own", colour="#123456", marker="h"):
        pass

    class Plain(Proxy, name="plain", parameter=None):
        pass

    try:
        looks = looks_of([Simplification("mine", 3), Simplification("plain")])
        assert looks == {"my own, rank 3": Look("my own, rank 3", "#123456", "h"), "plain": Look("plain", "#8c6d31", "P")}
    finally:
        del PROXIES["mine"], PROXIES["plain"]


def test_the_model_is_black_and_has_no_marker():
    assert looks_of([], model=True) == {"model": Look("model", "#000000", "")}
    assert "model" not in looks_of(RANKS)


def test_splits_look_as_their_task_says(made):
    looks = split_looks(made, ["unseen_depth", "iid", "of-mine"])
    assert list(looks) == ["unseen_depth", "iid", "of-mine"]
    assert all(look == made.task.look(split) for split, look in looks.items())
    assert looks["of-mine"].label == "of-mine"
    assert len({(look.colour, look.marker) for look in looks.values()}) == 3


# Training curves


def test_training_curves_are_means_over_seeds_between_the_lowest_and_the_highest(made):
    made.history = pd.DataFrame(
        [(0, 0, 0.1, 0.3, 2.0), (40, 0, 0.5, 0.7, 1.0), (0, 1, 0.2, 0.5, 2.0), (40, 1, 0.9, np.nan, 1.0)],
        columns=["step", "seed", "accuracy_iid", "accuracy_unseen_depth", "loss"],
    )
    picture = training_figure(made, ["iid", "unseen_depth"])
    figure = picture.figure
    (ax,) = [ax for ax in figure.axes if ax.get_visible()]
    iid, deep = ax.lines
    np.testing.assert_allclose(iid.get_xydata(), [[0, 0.15], [40, 0.7]])
    np.testing.assert_allclose(deep.get_xydata(), [[0, 0.4], [40, 0.7]])
    corners = {tuple(np.round(corner, 6)) for path in ax.collections[0].get_paths() for corner in path.vertices}
    assert corners == {(0, 0.1), (0, 0.2), (40, 0.5), (40, 0.9)}
    called = [made.task.look(split).label for split in ("iid", "unseen_depth")]
    assert [text.get_text() for text in ax.texts] == called
    assert picture.alt == "Accuracy of the model along training. At its end: {} 70 % and {} 70 %.".format(*called)
    assert picture.note == "preset made-up, 2 seeds, 20 sentences a split and seed; bands: from the lowest to the highest seed"
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("training step", "accuracy")


# Captions


@pytest.mark.parametrize(
    ("seeds", "counted", "over"),
    [
        (1, "1 seed", "the sequences of one seed"),
        (2, "2 seeds", "2 seeds, each with its own sequences"),
        (5, "5 seeds", "5 seeds, each with its own sequences"),
    ],
)
def test_a_caption_says_what_was_measured_and_what_intervals_are_over(small_experiment, seeds, counted, over):
    made = study(small_experiment, {"iid": {}}, seeds=seeds)
    assert figures.measured_on(made) == f"preset made-up, {counted}, 60 sentences a split and seed"
    assert figures.measured_on(made, 20) == f"preset made-up, {counted}, 20 sentences a split and seed"
    assert figures.interval_note(made) == f"95 % intervals over {over}"


def test_a_figure_that_is_kept_is_the_same_to_the_byte_each_time(made, tmp_path):
    made.folder = tmp_path / "preset" / "dyck"
    made.history = pd.DataFrame([(0, 0, 0.1), (9, 0, 0.2)], columns=["step", "seed", "accuracy_iid"])
    kept = []
    for _ in range(2):
        figures.save(training_figure(made, ["iid"]), made, "curves")
        kept.append((tmp_path / "preset" / "figures" / "curves.svg").read_bytes())
    assert kept[0] == kept[1]
    assert kept[0].startswith(b"<?xml")
