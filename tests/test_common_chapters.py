"""Chapters on all tasks together: what was foreseen over all cells, and the study beside the paper, on planted numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from chapters import panel
from planted import estimate, study
from readable import flaw

from lib import figures
from lib.chapters.beside import DEVIATIONS, Beside, compared
from lib.chapters.foreseeing import ForeseeingChapter
from lib.claims import Cell
from lib.errors import InputError
from lib.experiment import Experiment, MeasuringConfig
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.intervals import Estimate, nothing
from lib.models.training import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import MODEL, PROXIES, Simplification
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED, VERDICTS
from lib.studies import Study
from lib.tasks.code.task import CodeTask

NAMED = RULES.foreseeing.diagnostic  # the diagnostic of the rules
OTHER = next(name for name in DIAGNOSTICS if name not in ("unchanged", NAMED))


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        figures.set_style()
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def two(small_experiment) -> list[Study]:
    """Studies, of three seeds and of one."""
    first, second = (study(small_experiment, {"iid": {(MODEL, "accuracy"): 0.9}}, seeds=seeds) for seeds in (3, 1))
    second.name = "another"
    return [first, second]


# Foreseeing


def row(
    task: str = "planted", seed: int = 0, family: str = "SVD", split: str = "far", measured: float = 0.5, **by: float
) -> dict:
    """A cell: by how much each diagnostic is above what was measured; those that are not named are 0.3 off."""
    off = {**dict.fromkeys(DIAGNOSTICS, 0.3), **by}
    return {
        "task": task, "seed": seed, "family": family, "control": False, "setting": family, "place": "layer 1", "split": split,
        "inside": 0.9, "measured": measured, **{name: measured + error for name, error in off.items()},
    }  # fmt: skip


def chapter_of(studies: Sequence[Study], rows: Sequence[dict]) -> ForeseeingChapter:
    chapter = ForeseeingChapter(studies)
    vars(chapter)["cells"] = pd.DataFrame(rows)
    return chapter


ROWS = [
    row(seed=0, unchanged=0.3, **{NAMED: -0.1}),
    row(seed=0, unchanged=0.1, split="near", **{NAMED: 0.1}),
    row(seed=1, unchanged=-0.4, **{NAMED: 0.2}),
    row(seed=2, unchanged=0.2, family="k-means", split="near", **{NAMED: 0.0}),
    row(task="another", unchanged=0.3, family="k-means", **{NAMED: -0.3}),
]


def test_errors_are_means_over_the_cells_of_a_model_then_over_models(two):
    """Of the baseline 0.2 (of two cells), 0.4, 0.2 and 0.3; signs aside."""
    chapter = chapter_of(two, ROWS)
    of = chapter._error()
    assert {name: of[name].value for name in (NAMED, "unchanged", OTHER)} == pytest.approx(
        {NAMED: (0.1 + 0.2 + 0 + 0.3) / 4, "unchanged": (0.2 + 0.4 + 0.2 + 0.3) / 4, OTHER: 0.3}
    )
    assert {estimate.seeds for estimate in of.values()} == {4}
    assert of[NAMED].interval[0] == 0, "no error is less than none"
    table = chapter.error_table()
    assert list(table.index) == ["all cells", "SVD", "k-means"]
    assert list(table.columns) == ["cells", *DIAGNOSTICS]
    assert table["cells"].tolist() == ["5", "3", "2"]
    assert re.fullmatch(r"15\.0 \[.*\]", table.loc["all cells", NAMED])
    assert table[NAMED].tolist()[1:] == ["15.0", "15.0"]
    assert table["unchanged"].tolist()[1:] == ["30.0", "25.0"]
    assert not table.isin(["", "nan"]).any(axis=None)


@pytest.mark.parametrize(
    ("own", "baseline", "verdict"),
    [
        ([0.1, 0.11, 0.12], [0.3, 0.31, 0.33], "clearly less"),
        ([0.3, 0.31, 0.33], [0.1, 0.11, 0.12], "clearly more"),
        ([0.1, 0.3, 0.2], [0.3, 0.1, 0.2], "no clear difference"),
        ([0.1], [0.3], "no clear difference"),
    ],
)
def test_whether_foreseeing_is_better_than_expecting_no_change_is_told(two, own, baseline, verdict):
    rows = [row(seed=i, unchanged=b, **{NAMED: -a}) for i, (a, b) in enumerate(zip(own, baseline, strict=True))]
    chapter = chapter_of(two, rows)
    said = chapter.errors_text()
    assert flaw(said) is None
    a, b = (f"{100 * np.mean(of):.1f}" for of in (own, baseline))
    assert re.search(
        rf"is off by {b}( \[[^]]*\])? points on average; the {NAMED} is off by {a}( \[[^]]*\])? \({verdict}\)", said
    )
    best = NAMED if np.mean(own) < 0.3 else OTHER
    assert f"Of all but that baseline, `{best}` has the smallest error over all cells" in said
    assert flaw(chapter.headline()) is None
    assert re.search(rf"error of {a}.* points on average over {len(rows)} cells; .* is off by {b}", chapter.headline())


def test_what_a_diagnostic_is_worth_where_it_was_not_chosen(two):
    """On the SVD `OTHER` is best, on k-means the one of the rules: each is chosen where it is not."""
    rows = [row(family="SVD", split=x, unchanged=0.25, **{OTHER: 0.1, NAMED: 0.3}) for x in ("near", "far", "wide")]
    rows += [row(family="k-means", split=x, unchanged=0.2, **{OTHER: 0.15, NAMED: -0.05}) for x in ("near", "far")]
    chapter = chapter_of(two, rows)
    table = chapter.left_out_table()
    assert list(table.index) == [
        "family of proxies: SVD", "family of proxies: k-means", "split: near", "split: far", "split: wide",
    ]  # fmt: skip
    assert table.loc["family of proxies: SVD"].tolist() == [NAMED, "30.0", "25.0", "3"]
    assert table.loc["family of proxies: k-means"].tolist() == [OTHER, "15.0", "20.0", "2"]
    said = chapter.left_out_text()
    assert flaw(said) is None
    assert "With a whole family of proxies left out" in said
    # weighted by cells: (3 * 30 + 2 * 15) / 5 and (3 * 25 + 2 * 20) / 5
    assert "in 1 of 2 (mean error over cells 24.0 points; no change 23.0)" in said
    assert "study" not in said, "there is but one"
    assert "in 3 of 3" in said, "on every split `OTHER` is chosen, or the one of the rules, and either is better"


def test_where_nothing_can_be_left_out_nothing_is_said(two):
    chapter = chapter_of(two, [row(), row(seed=1)])
    assert chapter.left_out_text() == ""
    assert chapter.left_out_table().empty
    for item in chapter.summary().split("\n"):
        assert flaw(item.removeprefix("- ")) is None, item


@pytest.mark.parametrize(("by", "says"), [(0.2, "20.0 points too high"), (-0.2, "20.0 points too low")])
def test_where_foreseeing_fails_most_is_told_with_the_side(two, by, says):
    """On average over a family, split and study: errors of both signs may cancel."""
    rows = [
        row(family="SVD", **{NAMED: 0.9}), row(family="SVD", seed=1, **{NAMED: -0.9}),
        row(family="k-means", **{NAMED: 0.19}), row(family="k-means", split="near", **{NAMED: by}),
        row(family="k-means", split="near", task="another", **{NAMED: 0.1}),
    ]  # fmt: skip
    said = chapter_of(two, rows).fails_text()
    assert flaw(said) is None
    assert (
        said == f"The {NAMED} is furthest off for k-means on `near` (planted): agreement foreseen there is {says} on average."
    )


def test_the_figure_has_a_panel_a_diagnostic_with_what_is_foreseen_across(two):
    figure = chapter_of(two, ROWS).figure()
    for name in DIAGNOSTICS:
        ax = panel(figure, name)
        (svd,) = [of for of in ax.lines if of.get_marker() == PROXIES["svd"].marker and of.get_color() == PROXIES["svd"].colour]
        assert svd.get_xydata().tolist() == [[of[name], 0.5] for of in ROWS if of["family"] == "SVD"]
        assert [of.get_xydata().tolist() for of in ax.lines if of.get_linestyle() == ":"] == [[[0, 0], [1, 1]]]
    assert {text.get_text() for text in figure.legends[0].texts} == {"SVD", "k-means"}, "and no others"
    assert figure.texts[-1].get_text().startswith("preset made-up: planted (3 seeds) and another (1 seed); 5 cells; dotted")


def test_a_study_without_cells_is_not_named(two):
    assert chapter_of(two, ROWS[:4]).measured_on() == "preset made-up: planted (3 seeds); 4 cells"


SVD, KMEANS = Simplification("svd", 2, 1), Simplification("kmeans", 8, 1)


@pytest.fixture(scope="module")
def measured(small_experiment) -> Study:
    """Agreement depends on depth alone, and there are more deep brackets on one split; too few for anything on another."""
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": {"svd": (2,), "kmeans": (8,)}}})
    splits = ("iid", "seen_structure", "unseen_structure", "unseen_length", "unseen_depth")
    rates = {
        split: {(s, m): r for s in (SVD, KMEANS) for m, r in (("same_prediction", {"deep": 0.5, "": 0.9}), ("outside", 0.3))}
        for split in splits
    }
    counts = {"unseen_depth": {"deep": 6, "": 2}, "unseen_length": {"deep": 1, "": 1}}
    experiment = small_experiment.model_copy(update={"measuring": measuring})
    return study(experiment, rates, ("shallow", "deep"), n=counts, by=("depth", "margin"), shifts=dict.fromkeys(range(3), 0.0))


def test_cells_are_those_of_all_studies(measured, two):
    chapter = ForeseeingChapter([*two[1:], measured])
    assert len(chapter.cells) == 2 * 3 * 2, "proxies, seeds, and splits with enough to foresee anything"
    assert set(chapter.cells["split"]) == {"unseen_structure", "unseen_depth"}
    deep = chapter.cells[chapter.cells["split"] == "unseen_depth"]
    assert deep["measured"].tolist() == pytest.approx([0.6] * 6)
    assert deep["mix"].tolist() == pytest.approx([0.6] * 6)
    assert deep["unchanged"].tolist() == pytest.approx([0.7] * 6)
    for item in chapter.summary().split("\n"):
        assert item.startswith("- ")
        assert flaw(item.removeprefix("- ")) is None, item


def test_without_any_cell_it_is_said_what_to_do(two):
    with pytest.raises(InputError, match="no split has enough scored predictions to foresee anything: measure more"):
        assert ForeseeingChapter(two[1:]).cells


# Beside the paper


EFFECTS: dict[str, Estimate] = {
    GAP: estimate(0.05, 0.07), OPPOSITE: estimate(-0.07, -0.05), EQUAL: estimate(-0.001, 0.001),
    UNDECIDED: estimate(-0.1, 0.3), NOT_APPLICABLE: nothing(),
}  # fmt: skip


def cell(number: int, verdict: str, reading: str = "A", split: str = "unseen_depth", decides: bool = True) -> Cell:
    made = Cell(RULES.claim(number), reading, "svd", "SVD, rank 2", split, "iid", (0, 1, 2), EFFECTS[verdict], decides=decides)
    assert made.verdict == verdict
    return made


SETS = list(chain.from_iterable(combinations(VERDICTS, count) for count in range(len(VERDICTS) + 1)))


@pytest.mark.parametrize("verdicts", SETS, ids=lambda verdicts: ", ".join(verdicts) or "none")
def test_whether_a_finding_is_the_same_follows_from_the_verdicts(verdicts):
    said = compared([cell(1, verdict) for verdict in verdicts])
    there = {*verdicts}
    assert said.startswith("the same") == (GAP in there)
    assert ("in some cases" in said) == (GAP in there and bool(there & {OPPOSITE, EQUAL}))
    assert said.startswith("not comparable") == (there <= {NOT_APPLICABLE})
    others = GAP not in there and bool(there & {OPPOSITE, EQUAL})
    assert said.startswith("different") == others
    assert ("as far as it is decided" in said) == (others and UNDECIDED in there)
    assert (said == "not decided") == (there - {NOT_APPLICABLE} == {UNDECIDED})
    assert flaw(f"It is {said}.") is None


@pytest.fixture(scope="module")
def beside(small_experiment) -> Beside:
    accuracy = {"iid": 0.9, "unseen_depth": 0.75, "unseen_length": 0.6}
    made = study(small_experiment, {split: {(MODEL, "accuracy"): of} for split, of in accuracy.items()})
    found = Beside([made])
    vars(found)["cells"] = {
        "planted": [
            *(cell(1, verdict, split=x) for verdict, x in ((GAP, "unseen_depth"), (GAP, "unseen_length"), (EQUAL, "iid"))),
            cell(2, GAP), cell(2, OPPOSITE), cell(2, UNDECIDED),
            cell(3, EQUAL), cell(3, GAP, reading="B"), cell(3, GAP, decides=False),
            cell(4, NOT_APPLICABLE, split="a contrast"),
        ]
    }  # fmt: skip
    return found


def test_findings_stand_beside_those_of_the_paper(beside):
    table = beside.findings()
    rows = {int(name.split(".")[0]): table.loc[name] for name in table.index}
    assert list(rows) == [1, 2, 3, 4], "of other claims there is nothing here"
    assert all(name.endswith(" (planted)") and RULES.claim(n).text in name for n, name in zip(rows, table.index, strict=True))
    assert all(of["the paper"] == RULES.claim(number).paper for number, of in rows.items())
    assert rows[1].tolist()[1:] == ["of 3 cells: gap in 2 and equal in 1", "the same, in some cases"]
    assert rows[2]["here"].startswith("the model is right on 75.0 % [")
    assert rows[2]["here"].endswith("of unseen_depth; of 3 cells: loses more in 1, loses less in 1 and undecided in 1")
    assert rows[3].tolist()[1:][1] == "different", "by the seeds that verdicts rest on, and as the paper says it"
    assert rows[3]["here"].endswith("of 1 cell: equal in 1")
    assert rows[4]["here"] == "of 1 cell: not applicable in 1"
    assert rows[4]["compared"].startswith("not comparable")
    assert not table.isin(["", "nan"]).any(axis=None)


def test_what_differs_is_read_from_the_configurations(two):
    table = Beside(two).deviations()
    assert list(table.index) == list(DEVIATIONS)
    assert list(table.columns) == ["the paper", "here: planted", "here: another"]
    assert table["the paper"].tolist() == [paper for paper, _ in DEVIATIONS.values()]
    here = table["here: planted"]
    expected = {
        "bracket types": "3", "depth of training sentences, at most": "4", "training sentences": "600",
        "length of training sentences, at most": "16", "layers": "2", "heads of a layer": "2", "width": "16",
        "training steps": "40", "sequences in a batch": "16", "models": "3",
    }  # fmt: skip
    assert here.to_dict() == expected
    assert table.loc["models", "here: another"] == "1"


def test_a_setting_that_a_task_does_not_have_is_left_empty():
    experiment = Experiment(
        task=CodeTask(corpus="directory", location="nowhere"),
        model=ModelConfig(layers=1, heads=2, width=1_024, mlp_width=16),
        training=TrainingConfig(steps=1),
        measuring=MeasuringConfig(grid={}),
        seeds=1,
    )
    made = study(experiment, {"id": {(MODEL, "accuracy"): 0.9}})
    here = Beside([made]).deviations()["here: planted"]
    assert here["bracket types"] == here["training sentences"] == ""
    assert here["width"] == "1,024", "thousands are set apart"
