"""The boundary of training depth, what a gap is made of, where attention errs, and what helps: on planted numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from chapters import line, marks, panel, titles
from matplotlib.colors import to_hex
from planted import study
from readable import flaw, seen
from scipy import stats

from lib import figures
from lib.errors import InputError
from lib.experiment import Experiment
from lib.figures.style import BAR
from lib.measuring.intervals import Estimate, nothing
from lib.proxies import MODEL, Simplification
from lib.studies import Study
from lib.tasks.dyck import boundary
from lib.tasks.dyck.causes import FEWEST, PAIR
from lib.tasks.dyck.depth import PARTS, DepthChapter
from lib.tasks.dyck.mechanism import ANYWHERE

SVD, RANK_4, RANK_6 = (Simplification("svd", rank, 1) for rank in (2, 4, 6))
JOINT, FINE_JOINT = Simplification("svd_joint", 2, 1), Simplification("svd_joint", 4, 1)
KMEANS, ONE_HOT = Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
RANDOM = Simplification("random_subspace", 2, 1)
MORE, ORACLE = (Simplification("svd", 2, 1, fit_on=source) for source in ("training_more", "unseen_depth"))
EVERY = (SVD, RANK_4, RANK_6, JOINT, FINE_JOINT, KMEANS, ONE_HOT, RANDOM, MORE, ORACLE)
DEPTHS = tuple(map(str, range(8)))  # the deepest of training is 4
USUAL = 0.95  # where nothing else is planted, all agree with the model, and are right, so often

Rate = float | Mapping[str, float]
Planted = Mapping[tuple[Simplification, str], Rate]  # by simplification and split, for all depths or by depth


@pytest.fixture(scope="module")
def experiment(small_experiment) -> Experiment:
    grid = {"svd": (4, 2, 6), "svd_joint": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2,)}
    refitted = {"refitted": {"1": {"svd": (2,)}}, "refitted_on": ("training_more", "iid", "unseen_depth")}
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": grid}, **refitted})
    return small_experiment.model_copy(update={"measuring": measuring})


@pytest.fixture(scope="module")
def planted(experiment) -> Callable[..., Study]:
    """A function that makes a study with planted agreement by depth (of bracket and sentence alike), the model always right."""

    def make(agreement: Planted | None = None, n: Mapping[str, Mapping[str, int]] | None = None, **of) -> Study:
        splits = ("iid", "seen_structure", "unseen_structure", "unseen_depth", "iid_matched", "by_depth")
        rates = {
            split: {
                (MODEL, "accuracy"): 1.0,
                **{(s, "same_prediction"): {"": USUAL, **_rate((agreement or {}).get((s, split), {}))} for s in EVERY},
                **{(s, "accuracy"): USUAL for s in EVERY},
            }
            for split in splits
        }
        counts = {split: {"": 4, "0": 0, **(n or {}).get(split, {})} for split in splits}
        return study(experiment, rates, DEPTHS, n=counts, by=("depth", "sentence_depth", "length"), **of)

    return make


def _rate(rate: Rate) -> Mapping[str, float]:
    return rate if isinstance(rate, Mapping) else dict.fromkeys(DEPTHS, rate)


def chapter_of(made: Study) -> DepthChapter:
    return DepthChapter(made, layer=1, ranks=[2, 4], example=2)


def by_depth(*rates: float) -> dict[str, float]:
    """Agreement at depths 1, 2, ..."""
    return dict(zip(DEPTHS[1:], rates, strict=False))


STRAIGHT = (0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


# The boundary


@pytest.mark.parametrize(
    ("rates", "below"),
    [
        pytest.param(STRAIGHT, 0, id="a straight line"),
        pytest.param((0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9), 0, id="a straight line up"),
        pytest.param((*STRAIGHT[:4], 0.6, 0.55, 0.5), 0.1, id="a drop"),
        pytest.param((*STRAIGHT[:4], 0.7, 0.65, 0.3), 0.1, id="a drop at the last depth"),
        pytest.param((*STRAIGHT[:4], 0.73, 0.71, 0.69), -0.06, id="flatter"),
        pytest.param((0.9, 0.7, 0.8, 0.6, 0.5, 0.5, 0.5), 0.75 - 0.08 * 3.5 - 0.5, id="the line of least squares"),
        pytest.param((0.5, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9), 0.6 + 0.12 * 3.5 - 0.9, id="one depth alone is no line"),
    ],
)
def test_what_lies_below_the_line_through_the_last_depths_of_training(planted, rates, below):
    made = planted({(SVD, "by_depth"): by_depth(*rates)})
    found = boundary.below_trend(made, SVD)
    assert found.value == pytest.approx(below, abs=1e-6)
    x, y = np.arange(1, 8), np.array(rates)
    assert below == pytest.approx(np.polyval(np.polyfit(x[:4], y[:4], 1), x[4:]).mean() - y[4:].mean())
    assert boundary.below_trend(made, ONE_HOT).value == pytest.approx(0, abs=1e-6), "of another setting"


def test_only_the_last_four_depths_and_three_beyond_are_looked_at(planted, experiment):
    deep = experiment.model_copy(update={"task": experiment.task.model_copy(update={"max_depth": 5, "unseen_depth": 9})})
    rates = {"": 0.0, **{str(d): 0.9 - 0.05 * d for d in range(2, 9)}}
    depths = tuple(map(str, range(10)))
    made = study(deep, {"by_depth": {(SVD, "same_prediction"): rates}}, depths, by=("sentence_depth",))
    assert boundary.below_trend(made, SVD).value == pytest.approx(0, abs=1e-6)
    rates = {**rates, "8": 0.2}
    made = study(deep, {"by_depth": {(SVD, "same_prediction"): rates}}, depths, by=("sentence_depth",))
    assert boundary.below_trend(made, SVD).value == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("depth", [1, 4, 5, 7])
def test_without_a_depth_nothing_can_be_said_about_the_boundary(planted, depth):
    made = planted(n={"by_depth": {str(depth): 0}})
    with pytest.raises(InputError, match=f"sentences of depth {depth}, 20 are needed: nothing can be said about the boundary"):
        boundary.below_trend(made, SVD)
    chapter = chapter_of(made)
    assert chapter.heading("boundary") == "## What happens at the edge of training could not be measured"
    assert chapter.boundary_text() == (
        "Whether anything changes beyond depth 4 cannot be told for SVD of rank 2, joint SVD of rank 2, k-means with 8 "
        "clusters and one-hot."
    )
    assert set(chapter.boundaries({"a": made}).frame.iloc[:, 0]) == {
        "not measured (at rank 2)", "not measured (at 8 clusters)", "not measured",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "word"),
    [
        ([0.05, 0.051, 0.052], "below the line"),
        ([-0.05, -0.051, -0.052], "above the line"),
        ([0.001, 0.0, -0.001], "on the line"),
        ([0.1, 0.0, -0.1], "undecided"),
        ([0.05, 0.051], "undecided"),
        ([np.nan], "not measured"),
    ],
)
def test_each_verdict_has_its_word(effect, word):
    assert boundary.word(Estimate(np.array(effect))) == word
    assert boundary.word(None) == boundary.word(nothing()) == "not measured"


def test_the_boundary_is_told_setting_by_setting_and_study_by_study(planted):
    falls, flatter = (*STRAIGHT[:4], 0.6, 0.55, 0.5), (*STRAIGHT[:4], 0.75, 0.7, 0.65)
    made = planted({(SVD, "by_depth"): by_depth(*falls), (JOINT, "by_depth"): by_depth(*flatter)})
    said = seen(chapter_of(made).boundary_text())
    assert flaw(said) is None
    assert said == (
        "Beyond depth 4, the deepest of training, agreement is lower than the trend before it says for SVD of rank 2 (by 10.0 "
        "[10.0, 10.0] points); agreement is higher than the trend before it says for joint SVD of rank 2 (by 5.0 [5.0, 5.0] "
        "points); agreement goes on as before for k-means with 8 clusters and one-hot."
    )
    heading = "## At the edge of training, agreement drops in 1 of 4 pictures and rises in 1 of 4 pictures"
    assert chapter_of(made).heading("boundary") == heading
    one = planted({(SVD, "by_depth"): by_depth(*falls), (KMEANS, "by_depth"): 0.5}, seeds=1)
    one.name = "other"
    table = chapter_of(made).boundaries({"a": made, "b": one}).frame
    assert list(table.columns) == ["a (3 seeds)", "b (1 seed)"]
    assert list(table.index) == ["SVD", "joint SVD", "k-means", "one-hot"], "no control"
    assert table.loc["SVD", "a (3 seeds)"] == "below the line 10.0 [10.0, 10.0] (at rank 2)"
    assert re.fullmatch(r"undecided 10\.0 \[.*\] \(at rank 2\)", table.loc["SVD", "b (1 seed)"])
    assert table.loc["k-means", "a (3 seeds)"] == "on the line 0.0 [0.0, 0.0] (at 8 clusters)"
    assert table.loc["one-hot", "a (3 seeds)"] == "on the line 0.0 [0.0, 0.0]"


def test_the_boundary_is_told_of_the_example_and_of_what_stands_for_each_family(planted):
    """Of the SVD rank 4 stands for the family if rank 2 agrees too seldom: then both are told of."""
    made = planted({(SVD, "seen_structure"): 0.5})
    said = chapter_of(made).boundary_text()
    assert flaw(said) is None
    assert said == (
        "Beyond depth 4, the deepest of training, agreement goes on as before for SVD of rank 2, SVD of rank 4, joint SVD of "
        "rank 2, k-means with 8 clusters and one-hot."
    )
    assert chapter_of(made).heading("boundary") == "## At the edge of training, agreement goes on as before"


def test_a_family_that_another_study_did_not_measure_is_called_so(planted, small_experiment):
    grid = {"1": {"svd": (2,), "one_hot": ()}}
    other = small_experiment.model_copy(
        update={"measuring": small_experiment.measuring.model_copy(update={"grid": grid, "refitted": {}})}
    )
    rates = {(s, "same_prediction"): USUAL for s in (SVD, ONE_HOT)}
    splits = dict.fromkeys(("iid", "seen_structure", "unseen_depth", "by_depth"), rates)
    fewer = study(other, splits, DEPTHS, by=("depth", "sentence_depth"))
    chapter = chapter_of(planted())
    table = chapter.boundaries({"fewer": fewer}).frame
    assert table.loc["k-means", "fewer (3 seeds)"] == "not measured"
    assert table.loc["SVD", "fewer (3 seeds)"].startswith("on the line")
    assert list(chapter.decompositions({"fewer": fewer}).frame.index) == ["fewer: SVD, rank 2", "fewer: one-hot"]


def test_the_figure_shows_agreement_at_each_depth_and_how_often_it_occurs(planted):
    falls = (*STRAIGHT[:4], 0.6, 0.55, 0.5)
    counts = {"iid": {"1": 24, "2": 12, "3": 3, "4": 1, "5": 0, "6": 0, "7": 0}}
    made = planted({(RANK_4, "by_depth"): by_depth(*falls)}, counts)
    chapter = chapter_of(made)
    assert boundary.occurrence(made, range(1, 6)) == pytest.approx({1: 0.6, 2: 0.3, 3: 0.075, 4: 0.025, 5: 0})
    picture = chapter.boundary()
    figure = picture.figure
    agreement = panel(figure, "same prediction as the model")
    assert line(agreement, figures.looks_of(chapter.by_depth)[RANK_4.label].colour) == pytest.approx(
        dict(zip(range(1, 8), falls, strict=True)), abs=1e-6
    )
    assert line(panel(figure, "accuracy"), figures.BLACK) == pytest.approx(dict.fromkeys(range(1, 8), 1.0))
    bars = [patch for patch in agreement.patches if to_hex(patch.get_facecolor()) == BAR]
    heights = [bar.get_height() for bar in bars]
    assert heights == pytest.approx([share * heights[0] for share in (1, 1 / 2, 1 / 8, 1 / 24)])
    assert heights[0] == pytest.approx(1 / 6, rel=0.05), "the tallest is a sixth of the panel"
    (shaded,) = [patch for patch in agreement.patches if patch not in bars]
    assert shaded.get_x() == 0.5
    assert shaded.get_width() == 4, "the depths of training are 1 to 4"
    note = picture.note
    assert "sentences of 1 to 7 brackets; shaded: depths of training" in note
    assert note.endswith("the tallest being 60 %")
    said = chapter.occurrence_text()
    assert said.endswith("10.0 % lie at depth 3 or more; in deeper sentences, 71.4 %.")


# What the gap is made of


COUNTS = {
    "iid": {"": 0, "1": 30, "2": 10},
    "unseen_depth": {"": 0, "1": 10, "2": 10, "5": 20},
}
PLANTED = {(SVD, "iid"): by_depth(0.9, 0.5), (SVD, "unseen_depth"): {"": 0.0, "1": 0.8, "2": 0.4, "5": 0.1}}


def test_a_gap_is_taken_apart(planted):
    made = planted(PLANTED, COUNTS)
    parts = boundary.decomposition(made, SVD)
    assert {name: part.value for name, part in parts._asdict().items()} == pytest.approx(
        {"mix": 0.8 - 0.7, "within": 0.7 - 0.6, "beyond": 0.6 - 0.35}, abs=1e-6
    )
    assert parts.gap.value == pytest.approx(made.estimates.gap(SVD, "unseen_depth", "iid").value)
    assert parts.gap.value == pytest.approx(0.45)
    said = seen(chapter_of(made).decomposition_text())
    assert flaw(said) is None
    number = r"([\d.]+) \[.*?\]"
    assert re.match(
        rf"Of the gap of SVD of rank 2, {number} points, {number} come from the mix of depths, {number} from a change of "
        rf"agreement at the same depth, and {number} from depths",
        said,
    ).groups() == ("45.0", "10.0", "10.0", "25.0")
    first_page = seen(chapter_of(made).in_short()["finding-depth"])
    assert re.search(rf"Of the gap in deeper sentences, {number} points come.*? {number} points lie", first_page).groups() == (
        "10.0",
        "25.0",
    )
    (ax,) = chapter_of(made).decomposition().figure.axes
    assert marks(ax)[:3] == pytest.approx([10, 10, 25], abs=1e-4)


def test_the_parts_stand_in_a_table_and_a_figure(planted):
    made = planted(PLANTED, COUNTS)
    chapter = chapter_of(made)
    table = chapter.decompositions({"a": made, "b": made}).frame
    assert list(table.columns) == ["gap", "mix of depths", "change at the same depth", "depths hardly there in distribution"]
    assert [row for row in table.index if row.startswith("a: ")] == [
        "a: SVD, rank 2", "a: joint SVD, rank 2", "a: k-means, 8 clusters", "a: one-hot",
    ]  # fmt: skip
    assert [cell.split()[0] for cell in table.loc["b: SVD, rank 2"]] == ["45.0", "10.0", "10.0", "25.0"]
    (ax,) = chapter.decomposition().figure.axes
    drawn = [marks(ax, look.colour)[0] for look in PARTS.values()]
    assert drawn == pytest.approx([10, 10, 25], abs=1e-4)


def test_a_gap_of_depths_that_are_not_shared_cannot_be_taken_apart(planted):
    made = planted(n={"iid": {"": 0, "1": 4}, "unseen_depth": {"": 0, "5": 4}})
    chapter = chapter_of(made)
    assert not boundary.decomposition(made, SVD).gap.measured
    assert chapter.decomposition_text().startswith("The gap of SVD of rank 2 in deeper sentences could not be taken apart.")
    assert chapter.decompositions({"a": made}).frame.loc["a: SVD, rank 2"].tolist() == ["0.0 [0.0, 0.0]", *["not measured"] * 3]
    assert "<svg" in chapter.decomposition().to_html()


# Where attention goes


Attended = Sequence[tuple[int, int, bool, float]]  # depth to be closed, depth attended, whether it is the opener, how many


def with_attention(made: Study, of: Mapping[tuple[Simplification, str], Sequence[Attended]]) -> DepthChapter:
    """A chapter on attention that is made up, seed by seed (or the same in every seed, if only one is given)."""
    rows = [
        {"depth": depth, "attended": attended, "opener": opener, "n": n, "split": split, "seed": seed, "simplification": s}
        for (s, split), seeds in of.items()
        for seed in range(made.seeds)
        for depth, attended, opener, n in seeds[seed % len(seeds)]
    ]
    chapter = chapter_of(made)
    vars(chapter)["_attention"] = (made.estimates, pd.DataFrame(rows))
    return chapter


RIGHT = (3, 3, True, 60.0)
EITHER = [(3, 1, False, 10.0), (3, 2, False, 10.0), (3, 4, False, 10.0), (3, 5, False, 10.0)]  # as often even as odd
CASES = {
    "even": ([RIGHT, (3, 1, False, 30.0), (3, 5, False, 10.0)], {"missed": 0.4, "level": 0, "even": 1, "deeper": 0.25}),
    "odd": ([RIGHT, (3, 2, False, 10.0), (3, 4, False, 30.0)], {"missed": 0.4, "level": 0, "even": 0, "deeper": 0.75}),
    "the right level": ([RIGHT, (3, 3, False, 40.0)], {"missed": 0.4, "level": 1, "even": np.nan, "deeper": np.nan}),
    "nothing missed": ([RIGHT], {"missed": 0, "level": np.nan, "even": np.nan, "deeper": np.nan}),
    "START": ([RIGHT, (3, 0, False, 30.0), (2, 0, False, 10.0)], {"missed": 0.4, "level": 0, "even": np.nan, "deeper": np.nan}),
    "some of each": (
        [RIGHT, (3, 3, False, 10.0), (3, 0, False, 10.0), (2, 4, False, 15.0), (2, 1, False, 5.0)],
        {"missed": 0.4, "level": 0.25, "even": 0.75, "deeper": 0.75},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_attended_wrongly_is_counted_by_kind(planted, case):
    attended, expected = CASES[case]
    chapter = with_attention(planted(), {(SVD, "unseen_depth"): [attended], (SVD, "iid"): [[RIGHT]]})
    found = chapter.misses(SVD, "unseen_depth")
    assert {name: of.value for name, of in found.items()} == pytest.approx(expected, nan_ok=True)
    assert found["missed"].positions == 3 * sum(n for *_, n in attended)
    assert found["level"].positions == 3 * sum(n for _, _, opener, n in attended if not opener)
    assert chapter.misses(SVD, "iid")["missed"].value == 0, "on another split"


def test_seeds_count_the_same(planted):
    even, odd = CASES["even"][0], [(d, a, o, 7 * n) for d, a, o, n in CASES["odd"][0]]
    chapter = with_attention(planted(), {(SVD, "iid"): [even, odd, [RIGHT]]})
    found = chapter.misses(SVD, "iid")
    assert found["even"].by_seed == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert found["missed"].by_seed == pytest.approx([0.4, 0.4, 0])
    assert found["even"].positions == 8 * 40


@pytest.mark.parametrize(
    ("weights", "even", "deeper"), [((0, 40), 0.75, 0.2), ((40, 0), 0.25, 1), ((20, 20), 0.5, 0.6), ((30, 10), 0.375, 0.8)]
)
def test_chance_is_at_the_depths_at_which_a_picture_errs(planted, weights, even, deeper):
    """At depth 1 a quarter of all other depths is at an even distance, at depth 3 three quarters."""
    anywhere = [
        (1, 1, False, 50.0), (1, 2, False, 30.0), (1, 3, False, 10.0),
        (3, 1, False, 26.0), (3, 5, False, 4.0), (3, 2, False, 6.0), (3, 4, False, 4.0), (3, 3, True, 5.0), (2, 1, False, 99.0),
    ]  # fmt: skip
    errs = [(1, 2, False, weights[0]), (3, 2, False, weights[1]), (3, 3, True, 1000.0), (2, 2, False, 70.0), (2, 0, False, 9.0)]
    chapter = with_attention(planted(), {(ANYWHERE, "iid"): [anywhere], (SVD, "iid"): [errs]})
    found = chapter.chance(SVD, "iid")
    assert {name: of.value for name, of in found.items()} == pytest.approx({"even": even, "deeper": deeper})
    never = with_attention(planted(), {(ANYWHERE, "iid"): [anywhere], (SVD, "iid"): [[RIGHT]]})
    assert not any(of.measured for of in never.chance(SVD, "iid").values())


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ("even", "more often than by chance"),
        ("odd", "less often than by chance"),
        ("some of each", "more often than by chance"),
    ],
)
def test_errors_are_told_against_chance(planted, case, verdict):
    level = [(2, 1, False, 10.0), (2, 4, False, 10.0)]
    of = {(ANYWHERE, "unseen_depth"): [[*EITHER, *level]], (SVD, "unseen_depth"): [CASES[case][0]]}
    chapter = with_attention(planted(), of)
    said, expected = seen(chapter.misses_text()), CASES[case][1]
    assert flaw(said) is None
    opener = "In deeper sentences, SVD of rank 2 gives most attention to something other than the opener in 40 % ["
    assert said.startswith(opener)
    assert f"an even number of levels away, {verdict}, and {100 * expected['deeper']:.0f} % [" in said
    assert re.search(r"are deeper than the opener\. By chance, at .* errs, it would be 50 % \[.*?\] and 50 % \[.*?\]\.$", said)
    even = f"{100 * expected['even']:.0f}\N{NO-BREAK SPACE}%"
    assert chapter.heading("misses") == f"## Of the wrong depths that attention finds, {even} are an even number of levels away"


@pytest.mark.parametrize("case", ["nothing missed", "the right level", "START"])
def test_where_no_depth_is_wrong_nothing_is_said(planted, case):
    of = {(ANYWHERE, "unseen_depth"): [EITHER], (SVD, "unseen_depth"): [CASES[case][0]]}
    assert with_attention(planted(), of).misses_text() == ""
    assert with_attention(planted(), of).heading("misses") == "## Where attention goes instead"


@pytest.mark.parametrize(("n", "says"), [(FEWEST / 3 - 1, False), (FEWEST, True)])
def test_a_few_errors_are_too_few_to_speak_of(planted, n, says):
    of = {(ANYWHERE, "unseen_depth"): [EITHER], (SVD, "unseen_depth"): [[RIGHT, (3, 1, False, n)]]}
    assert bool(with_attention(planted(), of).misses_text()) == says


def test_the_table_of_errors_has_a_row_for_each_picture_and_split(planted):
    shown = (ANYWHERE, MODEL, SVD, JOINT, KMEANS, ONE_HOT)
    of = {(s, split): [CASES["some of each"][0]] for s in shown for split in PAIR}
    of[MODEL, "iid"] = [[RIGHT]]
    chapter = with_attention(planted(), of)
    assert chapter.compared == list(shown[2:]), "of each other proxy that is fitted one of its size, and no control"
    finer = DepthChapter(chapter.study, layer=1, ranks=[2], example=6)
    assert finer.compared == [RANK_6, FINE_JOINT, KMEANS, ONE_HOT], "or the finest, if there is none"
    table = chapter.misses_table().frame
    inside, deep = (chapter.study.task.look(split).label for split in PAIR)
    assert list(table.index) == [f"{split}: {s.label}" for split in (inside, deep) for s in shown]
    assert table.loc[f"{deep}: SVD, rank 2"].str.split(" %").str[0].tolist() == ["40.0", "25.0", "75.0", "75.0"]
    assert table.loc[f"{inside}: model"].tolist() == ["0.0 % [0.0, 0.0]", *["too few"] * 3]
    assert not table.isin(["", "nan"]).any(axis=None)
    figure = chapter.attended_depth().figure
    apart = [s for s in shown[1:] if s != JOINT]  # whose parameter is a rank, as the example's
    assert titles(figure) == [f"{split}: {s.label}" for split in (inside, deep) for s in apart]


# What helps


def test_other_ways_to_make_a_picture_are_those_of_its_rank_and_the_next_two(planted):
    chapter = chapter_of(planted())
    assert chapter.remedies == {
        "SVD, rank 2": SVD,
        "joint SVD, rank 2": JOINT,
        "random subspace, rank 2": RANDOM,
        "SVD, rank 2, fitted on more sentences": MORE,
        "SVD, rank 2, fitted on deeper sentences themselves": ORACLE,
        "SVD, rank 4": RANK_4,
        "SVD, rank 6": RANK_6,
    }
    finest = DepthChapter(chapter.study, layer=1, ranks=[2], example=6)
    assert finest.remedies == {"SVD, rank 6": RANK_6}
    assert finest.gains == {}
    assert finest.helps_text() == ""


def test_what_helps_is_told_with_what_it_gains(planted):
    at = {SVD: 0.5, JOINT: 0.6, RANDOM: 0.3, MORE: 0.5, ORACLE: 0.55, RANK_4: 0.9, RANK_6: 0.92}
    chapter = chapter_of(planted({(s, "unseen_depth"): rate for s, rate in at.items()}))
    assert {label: gain.value for label, gain in chapter.gains.items()} == pytest.approx(
        {label: at[s] - 0.5 for label, s in chapter.remedies.items() if s != SVD}, abs=1e-6
    )
    said = seen(chapter.helps_text())
    assert flaw(said) is None
    assert said == (
        "In deeper sentences, agreement is higher than with SVD of rank 2 for joint SVD of rank 2 (by 10.0 [10.0, 10.0] "
        "points) and SVD of rank 2 fitted on deeper sentences themselves (by 5.0 [5.0, 5.0] points, which has seen such "
        "sentences). It is lower for random subspace of rank 2. No clear difference can be told for SVD of rank 2 fitted on "
        "more sentences. More directions change it by +40.0 [+40.0, +40.0] points with SVD of rank 4 and +42.0 [+42.0, +42.0] "
        "points with SVD of rank 6."
    )
    assert chapter.heading("helps") == "## More directions help in 2 of 2 cases and other directions in 2 of 4 cases"
    (ax,) = chapter.helps().figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == list(chapter.remedies)
    deep = marks(ax, chapter.study.task.look("unseen_depth").colour)
    assert deep == pytest.approx([at[s] for s in chapter.remedies.values()], abs=1e-6)
    assert marks(ax, chapter.study.task.look("iid").colour) == pytest.approx([USUAL] * 7, abs=1e-6)


def test_nothing_that_helps_is_said_to_help(planted):
    said = chapter_of(planted()).helps_text()
    assert said.startswith(
        "In deeper sentences, no other picture of the same size agrees clearly more often than SVD of rank 2."
    )
    assert flaw(said) is None
    assert (
        chapter_of(planted()).heading("helps")
        == "## More directions help in none of 2 cases and other directions in none of 4 cases"
    )


def test_how_large_a_difference_can_be_told_is_half_of_what_intervals_are_wide(planted):
    """Shifts by seed are on all splits and settings alike; so intervals of differences are made from agreement by seed."""
    chapter = chapter_of(planted())
    by_seed = np.array([0.5, 0.55, 0.6])
    spread = {JOINT: by_seed[::-1], RANDOM: by_seed + 0.01, MORE: by_seed[[0, 2, 1]], ORACLE: by_seed, RANK_4: by_seed[::-1]}
    chapter._agreement = lambda s: Estimate(spread.get(s, by_seed), None, 100)
    halves = []
    for s in (JOINT, RANDOM, MORE, ORACLE):
        difference = spread[s] - by_seed
        halves.append(stats.t.ppf(0.975, 2) * difference.std(ddof=1) / np.sqrt(3))
    said = chapter.helps_text()
    assert flaw(said) is None
    assert f"Typically, differences of less than {100 * np.median(halves):.1f} points cannot be told here." in said


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        (0.9, "SVD of rank 2 has a gap of 20.0 points left"),
        (0.6, "SVD of rank 2 agrees more often, by 10.0 points"),
        (None, "What the gap of SVD of rank 2 is made of"),
    ],
)
def test_the_first_page_has_the_gap_at_equal_length_and_depth(planted, inside, says):
    """Depths that only one of the splits has do not count, nor does how often each occurs in distribution."""
    agreement = {(SVD, "unseen_depth"): {"": 0.0, "1": 0.7, "2": 0.75, "5": 0.1}}
    counts = {"iid_matched": {"": 0, "3": 10}, "unseen_depth": {"": 0, "1": 10, "2": 10, "5": 30}}
    if inside is not None:
        agreement[SVD, "iid_matched"] = by_depth(inside, inside + 0.05, 0.1)
        counts["iid_matched"] |= {"1": 30, "2": 10}
    chapter = chapter_of(planted(agreement, counts))
    deeper, depth = chapter.in_short().values()
    assert flaw(deeper) is flaw(depth) is None
    assert re.search(r"agreement of SVD of rank 2 falls from 95 % \[[^]]*\] to 35 % \[", seen(deeper))
    assert re.sub(r" \[.*?\]", "", seen(depth.partition(".</b>")[0])).endswith(says)
    text = seen(chapter.decomposition_text())
    assert flaw(text) is None
    assert ("that are as deep, a gap of 20.0 [" in text, "by 10.0 [" in text) == (inside == 0.9, inside == 0.6)


def test_the_gap_is_told_with_those_of_the_next_ranks(planted):
    at = {(SVD, "unseen_depth"): 0.5, (RANK_4, "unseen_depth"): 0.8, (RANK_6, "unseen_depth"): 0.9}
    said = seen(chapter_of(planted(at)).gap())
    assert re.findall(r"([\d.]+) \[[^]]*\] points \((rank \d)\)", said) == [("15.0", "rank 4"), ("5.0", "rank 6")]
    assert re.search(r"That is a gap of 45\.0 \[", said)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_chapter_reads_well_with_any_number_of_seeds(planted, seeds):
    made = planted(PLANTED, COUNTS, seeds=seeds)
    of = {(ANYWHERE, "unseen_depth"): [EITHER], (SVD, "unseen_depth"): [[RIGHT, *EITHER]]}
    chapter = with_attention(made, of)
    said = (chapter.gap(), chapter.boundary_text(), chapter.decomposition_text(), chapter.misses_text(), chapter.helps_text())
    for text in (*said, chapter.sure(), *chapter.in_short().values()):
        assert flaw(text) is None, text
