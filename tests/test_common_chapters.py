"""Chapters on all tasks together: what was foreseen over all cells, and the study beside the paper, on planted numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from chapters import panel
from planted import estimate, study
from readable import flaw, seen
from scipy import stats

from lib.chapters.beside import DEVIATIONS, Beside, compared
from lib.chapters.foreseeing import ForeseeingChapter
from lib.claims import Cell
from lib.errors import InputError
from lib.experiment import Experiment, MeasuringConfig
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.intervals import Estimate, nothing
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import MODEL, PROXIES, Simplification
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED, VERDICTS
from lib.studies import Study
from lib.tasks.code.task import CodeTask

NAMED = RULES.foreseeing.diagnostic  # the diagnostic of the rules
OTHER = next(name for name in DIAGNOSTICS if name not in ("unchanged", NAMED))


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


def test_errors_are_means_over_the_cells_of_a_study_then_over_studies(two):
    """Of the baseline 0.3, 0.1, 0.4 and 0.2 in one study, and 0.3 in the other; signs aside."""
    chapter = chapter_of(two, ROWS)
    of = chapter._error()
    assert {name: of[name].value for name in (NAMED, "unchanged", OTHER)} == pytest.approx(
        {NAMED: ((0.1 + 0.1 + 0.2 + 0) / 4 + 0.3) / 2, "unchanged": ((0.3 + 0.1 + 0.4 + 0.2) / 4 + 0.3) / 2, OTHER: 0.3}
    )
    assert {estimate.seeds for estimate in of.values()} == {2}
    assert of[NAMED].interval[0] == 0, "no error is less than none"
    table = chapter.error_table().frame
    assert list(table.index) == ["all cells", "SVD", "k-means"]
    assert list(table.columns) == ["cells", *DIAGNOSTICS]
    assert table["cells"].tolist() == ["5", "3", "2"]
    assert re.fullmatch(r"20\.0 \[.*\]", table.loc["all cells", NAMED])
    assert table[NAMED].tolist()[1:] == ["15.0", "15.0"], "of one study over its models, of both over these"
    assert table["unchanged"].tolist()[1:] == ["30.0", "25.0"]
    assert not table.isin(["", "nan"]).any(axis=None)


def test_errors_of_one_study_are_means_over_its_models(two):
    """Of the baseline 0.2 (of two cells), 0.4 and 0.2."""
    of = chapter_of(two, ROWS[:4])._error()
    assert sorted(of["unchanged"].by_seed) == pytest.approx([0.2, 0.2, 0.4])
    assert of[NAMED].by_seed == pytest.approx([0.1, 0.2, 0])


STUDIES = ("planted", "another", "third")


@pytest.mark.parametrize("unit", ["study", "model"])
@pytest.mark.parametrize(
    ("own", "baseline", "verdict"),
    [
        ([0.1, 0.11, 0.12], [0.3, 0.31, 0.33], "nearer by 20.3 ["),
        ([0.3, 0.31, 0.33], [0.1, 0.11, 0.12], "further off by 20.3 ["),
        ([0.1, 0.3, 0.2], [0.3, 0.1, 0.2], "a difference of 0.0 ["),
        ([0.3, 0.2, 0.1], [0.31, 0.22, 0.12], "nearer by 1.7 ["),
        ([0.1, 0.3], [0.3, 0.1], "a difference of 0.0 ["),
        ([0.1], [0.3], "a difference of +20.0"),
    ],
)
def test_whether_foreseeing_is_better_than_expecting_no_change_is_told(two, own, baseline, verdict, unit):
    """By the difference study by study (or model by model): the fourth pair differs less than its members spread."""
    pairs = list(zip(own, baseline, strict=True))
    rows = [
        row(**({"task": STUDIES[i]} if unit == "study" else {"seed": i}), unchanged=sign * b, **{NAMED: -a})
        for i, (a, b) in enumerate(pairs)
        for sign in (1, -1)[: 1 + (i == 0)]  # of the first twice as many cells
    ]
    chapter = chapter_of(two, rows)
    said = seen(chapter.errors_text())
    assert flaw(said) is None
    a, b = (f"{100 * np.mean(of):.1f}" for of in (own, baseline))
    interval = r"(?: \[[^]]*\])?"
    found = re.search(
        rf"off by {b}{interval} points on average over {len(rows)} cells; the {NAMED} is off by {a}{interval} "
        r"points, (.*?)\. Of",
        said,
    )[1]
    assert found.startswith(verdict)
    assert found.endswith(", so not clearly nearer") == found.startswith("a difference")
    called = {"study": "studies", "model": "models"}[unit if len(own) > 1 else "model"]
    assert f"95 % intervals over {called}, each of which counts the same" in chapter.sure()
    assert flaw(chapter.sure()) is None
    best = NAMED if np.mean(own) < 0.3 else OTHER
    assert f"Of all but that baseline, `{best}` has the smallest error, but it was picked with these cells in view." in said
    heading = f"Agreement elsewhere can be foreseen with an error of {a} points; expecting no change errs by {b}"
    assert chapter.heading("errors") == f"## {heading}"
    assert flaw(chapter.in_short()) is None
    assert re.sub(r" \[.*?\]", "", seen(chapter.in_short())).startswith(f"{heading}. By a {NAMED}, from measurements")
    if len(own) > 1:
        difference = estimate_of(np.subtract(baseline, own))
        assert f"[{difference[0]}, {difference[1]}]" in found.replace("+", "")


def estimate_of(values: np.ndarray) -> tuple[str, str]:
    """The ends of the interval of a difference, as they are shown: its size if it has a side."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    ends = np.array([values.mean() - half, values.mean() + half])
    return tuple(f"{100 * end:.1f}".replace("-", "−") for end in (ends if ends[1] > 0 else -ends[::-1]))


def test_what_a_diagnostic_is_worth_where_it_was_not_chosen(two):
    """On the SVD `OTHER` is best, on k-means the one of the rules: each is chosen where it is not."""
    rows = [row(family="SVD", split=x, unchanged=0.25, **{OTHER: 0.1, NAMED: 0.3}) for x in ("near", "far", "wide")]
    rows += [row(family="k-means", split=x, unchanged=0.2, **{OTHER: 0.15, NAMED: -0.05}) for x in ("near", "far")]
    chapter = chapter_of(two, rows)
    table = chapter.left_out_table().frame
    assert list(table.index) == [
        "family of proxies: SVD", "family of proxies: k-means", "split: near", "split: far", "split: wide",
    ]  # fmt: skip
    assert table.loc["family of proxies: SVD"].tolist() == [NAMED, "30.0", "25.0", "3"]
    assert table.loc["family of proxies: k-means"].tolist() == [OTHER, "15.0", "20.0", "2"]
    said = chapter.left_out_text()
    assert flaw(said) is None
    either = " or ".join(f"`{name}`" for name in sorted((NAMED, OTHER)))
    assert said == f"What did best on all others was {either}. It does not beat expecting no change on SVD."
    heading = "## Chosen elsewhere, it does better than no change on 1 of 2 families and 3 of 3 splits"
    assert chapter.heading("left_out") == heading, "there is but one study; on every split either is better"


@pytest.mark.parametrize(
    ("svd", "kmeans", "says"),
    [
        (0.1, 0.1, ("2", "")),
        (0.1, 0.5, ("1", " It does not beat expecting no change on k-means.")),
        (0.5, 0.5, ("none", " It does not beat expecting no change on SVD and k-means.")),
        (0.2, 0.2, ("none", " It does not beat expecting no change on SVD and k-means.")),
    ],
)
def test_what_is_as_far_off_as_no_change_or_further_is_no_better(two, svd, kmeans, says):
    """One diagnostic is best everywhere; where it is not better than no change it is told, with the families if others are."""
    wide = dict.fromkeys(DIAGNOSTICS, 0.9)
    rows = [row(family=name, **{**wide, "unchanged": 0.2, NAMED: of}) for name, of in (("SVD", svd), ("k-means", kmeans))]
    chapter = chapter_of(two, rows)
    said = chapter.left_out_text()
    assert flaw(said) is None
    assert said == f"What did best on all others was always `{NAMED}`.{says[1]}"
    assert chapter.heading("left_out") == f"## Chosen elsewhere, it does better than no change on {says[0]} of 2 families"


def test_all_that_was_left_out_is_told_in_a_row(two):
    rows = [row(family=f, task=t, split=x, **{NAMED: 0.1}) for f in ("SVD", "k-means") for t in STUDIES[:2] for x in ("a", "b")]
    said = "## Chosen elsewhere, it does better than no change on 2 of 2 families, 2 of 2 splits and 2 of 2 studies"
    assert chapter_of(two, rows).heading("left_out") == said


def test_where_nothing_can_be_left_out_nothing_is_said(two):
    chapter = chapter_of(two, [row(), row(seed=1)])
    assert chapter.left_out_text() == ""
    assert chapter.left_out_table().frame.empty
    assert chapter.heading("left_out") == "## Nothing can be left out to see whether that carries over"


@pytest.mark.parametrize(("by", "says"), [(0.2, "20.0 points too high"), (-0.2, "20.0 points too low")])
def test_where_foreseeing_fails_most_is_told_with_the_side(two, by, says):
    """On average over a family, split and study: errors of both signs may cancel."""
    rows = [
        row(family="SVD", **{NAMED: 0.9}), row(family="SVD", seed=1, **{NAMED: -0.9}),
        row(family="k-means", **{NAMED: 0.19}), row(family="k-means", split="near", **{NAMED: by}),
        row(family="k-means", split="near", task="another", **{NAMED: 0.1}),
    ]  # fmt: skip
    chapter = chapter_of(two, rows)
    said = chapter.fails_text()
    assert flaw(said) is None
    assert said == (
        f"The {NAMED} is furthest off for k-means on near (study planted): agreement foreseen there is {says} on average."
    )
    assert chapter.heading("fails") == f"## The {NAMED} fails most for k-means: {says}"


def test_the_figure_has_a_panel_a_diagnostic_with_what_is_foreseen_across(two):
    picture = chapter_of(two, ROWS).figure()
    figure = picture.figure
    for name in DIAGNOSTICS:
        ax = panel(figure, name)
        (svd,) = [of for of in ax.lines if of.get_marker() == PROXIES["svd"].marker and of.get_color() == PROXIES["svd"].colour]
        assert svd.get_xydata().tolist() == [[of[name], 0.5] for of in ROWS if of["family"] == "SVD"]
        assert [of.get_xydata().tolist() for of in ax.lines if of.get_linestyle() == ":"] == [[[0, 0], [1, 1]]]
    assert {look.label for look in picture.key} == {"SVD", "k-means"}, "and no others"
    assert picture.note.startswith("preset made-up: planted (3 seeds) and another (1 seed); 5 cells; dotted")


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
    for said in (chapter.errors_text(), chapter.left_out_text(), chapter.fails_text(), chapter.in_short(), chapter.sure()):
        assert flaw(said) is None, said
    assert "<dt>Regression</dt>" in chapter.setup()


def test_without_any_cell_it_is_said_what_to_do(two):
    with pytest.raises(InputError, match="no split has enough scored predictions to foresee anything: measure more"):
        assert ForeseeingChapter(two[1:]).cells


# Beside the paper


EFFECTS: dict[str, Estimate] = {
    GAP: estimate(0.0599, 0.0601), OPPOSITE: estimate(-0.07, -0.05), EQUAL: estimate(-0.001, 0.001),
    UNDECIDED: estimate(-0.1, 0.3), NOT_APPLICABLE: nothing(),
}  # fmt: skip
HARDLY = estimate(0.01, 0.3)  # a gap, but not with an interval corrected for two cells


def cell(number: int, verdict: str, reading: str = "A", split: str = "unseen_depth", decides: bool = True, **of) -> Cell:
    effect = of.pop("effect", EFFECTS[verdict])
    made = Cell(RULES.claim(number), reading, "svd", "SVD, rank 2", split, "iid", (0, 1, 2), effect, decides=decides, **of)
    assert made.verdict == verdict
    return made


def cell_of(verdict: str, **of) -> Cell:
    return cell(1, verdict, **of)


SETS = list(chain.from_iterable(combinations(VERDICTS, count) for count in range(len(VERDICTS) + 1)))


@pytest.mark.parametrize("verdicts", SETS, ids=lambda verdicts: ", ".join(verdicts) or "none")
def test_whether_a_finding_is_the_same_follows_from_the_verdicts(verdicts):
    said = compared([cell(1, verdict) for verdict in verdicts])
    there = {*verdicts} - {NOT_APPLICABLE}
    if not there:
        expected = "not comparable: nothing here matches the model well enough, or it was not measured"
    elif GAP in there:
        expected = "the same, with SVD"
    else:
        expected = "not decided" if UNDECIDED in there else "different"
    assert said == expected
    assert flaw(f"It is {said}.") is None


@pytest.mark.parametrize("others", [[EQUAL], [UNDECIDED], [OPPOSITE] * 11])
def test_one_cell_of_many_is_not_the_same_unless_it_holds_corrected_for_their_number(others):
    cells = [cell(3, GAP, effect=HARDLY), *(cell(3, verdict) for verdict in others)]
    assert compared(cells) == "not shown once corrected for the number of cells"
    assert compared([*cells, cell(3, GAP)]) == "the same, with SVD"
    assert compared([cells[0], cell(3, NOT_APPLICABLE)]) == "the same, with SVD"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([], "the paper's families could not be tested"),
        ([cell_of(NOT_APPLICABLE)], "the paper's families could not be tested"),
        ([cell_of(UNDECIDED), cell_of(EQUAL)], "with the paper's (SVD), not decided"),
        ([cell_of(EQUAL), cell_of(OPPOSITE)], "with the paper's (SVD), different"),
        (
            [cell_of(GAP, effect=HARDLY), cell_of(UNDECIDED)],
            "with the paper's (SVD), not shown once corrected for the number of",
        ),
    ],
)
def test_what_only_families_of_ours_have_is_not_the_same(theirs, said):
    ours = [replace(cell_of(GAP), proxy=proxy) for proxy in ("svd_joint", "weight_svd", "svd_joint")]
    found = compared([*ours, *theirs])
    assert found.startswith(f"with families of ours alone (joint SVD and SVD of the weights); {said}")
    assert flaw(f"It is so {found}.") is None
    assert compared([*ours, *theirs, cell_of(GAP)]) == "the same, with SVD"


def test_where_nothing_applies_for_one_reason_that_is_told():
    cells = [cell(2, NOT_APPLICABLE, reason="the model fails") for _ in range(3)]
    assert compared(cells) == "not comparable: the model fails"
    assert "matches the model well enough" in compared([*cells, cell(2, NOT_APPLICABLE, reason="another")])


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
            cell(4, NOT_APPLICABLE, split="a <contrast>"),
        ]
    }  # fmt: skip
    return found


def test_findings_stand_beside_those_of_the_paper(beside):
    table = beside.rows()
    rows = {int(name.split(".")[0]): row for name, row in table.items()}
    assert list(rows) == [1, 2, 3, 4], "of other claims there is nothing here"
    assert all(name.endswith(" (planted)") and RULES.claim(n).text in name for n, name in zip(rows, table, strict=True))
    assert all(of["the paper"] == RULES.claim(number).paper for number, of in rows.items())
    assert rows[1]["here"] == "gap in 2 of 3 cells, 2 once corrected for their number"
    assert rows[1]["compared"] == "the same, with SVD"
    there = next(iter(beside.studies.values())).task.look("unseen_depth").label
    assert rows[2]["here"] == (
        f"the model is right on 75.0 % of {there}; loses more in 1 of 3 cells, 1 once corrected for their number"
    )
    assert rows[3]["compared"] == "different", "by the seeds that verdicts rest on, and as the paper says it"
    assert rows[3]["here"].endswith("; better in none of 1 cell")
    assert rows[4]["here"] == "nothing to test it on"
    assert rows[4]["compared"].startswith("not comparable")
    assert all(text for row in rows.values() for text in row.values())
    assert (
        beside.heading()
        == "## Of 4 findings, each of a claim and a study, 2 are the same in some case, with a family that the paper has"
    )


def test_the_page_says_what_was_measured(beside):
    assert beside.measured_on() == "Measured on preset made-up: planted (3 seeds)."


def test_each_finding_is_a_card_whose_text_wraps(beside):
    html = beside.findings()
    assert html.count("<section>") == 4
    for name in ("the paper", "here", "compared"):
        assert html.count(f"<dt>{name}</dt>") == 4
    assert "white-space: normal" in html
    assert "nowrap" not in html
    vars(beside)["cells"]["planted"].append(cell(5, NOT_APPLICABLE, reason="as <script> is & was"))
    assert "not comparable: as &lt;script&gt; is &amp; was" in beside.findings()
    assert "<script" not in beside.findings()
    vars(beside)["cells"]["planted"].pop()


def test_what_differs_is_shown_as_a_table(two):
    html = Beside(two).deviations().to_html()
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html) == ["the paper", "here: planted", "here: another"]
    assert re.findall(r'<th scope="row">(.*?)</th>', html) == list(DEVIATIONS)
    assert re.search(r'<th scope="row">models</th><td[^>]*>not known to us</td><td[^>]*>3</td><td[^>]*>1</td>', html)


def test_what_differs_is_read_from_the_configurations(two):
    table = Beside(two).differences()
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
    here = Beside([made]).differences()["here: planted"]
    assert here["bracket types"] == here["training sentences"] == ""
    assert here["width"] == "1,024", "thousands are set apart"
