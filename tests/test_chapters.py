"""The chapters on Dyck: their figures, tables and sentences say what was measured, and a new proxy is in all of them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from readable import flaw

from lib import figures
from lib.errors import InputError
from lib.proxies import MODEL, PROXIES, Proxy, Simplification
from lib.studies import Study
from lib.tasks.dyck import mechanism
from lib.tasks.dyck.clustering import ClusteringChapter
from lib.tasks.dyck.depth import UNSEEN, DepthChapter

SVD, KMEANS, ONE_HOT = Simplification("svd", 2, 1), Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
ROUNDED = Simplification("rounded", 16, 1)
NEW = "rounded off, 16 steps"  # as figures and tables call it


@pytest.fixture(scope="module")
def rounded() -> Iterator[None]:
    """A proxy of one's own."""

    class Rounded(Proxy, name="rounded", label="rounded off", parameter="steps"):
        """Queries and keys are rounded to so many steps a unit."""

        def __init__(self, steps):
            self.steps = steps

        @classmethod
        def fit(cls, head, complexity):
            return cls(complexity)

        def simplify(self, queries, keys):
            return tuple((vectors * self.steps / 16).round() / self.steps * 16 for vectors in (queries, keys))

    yield
    del PROXIES["rounded"]


@pytest.fixture(scope="module")
def study(small_experiment, tiny_artifacts, tmp_path_factory, rounded) -> Study:
    """The models of the preset `tiny`, with more measured on them, the new proxy among it."""
    folder = tmp_path_factory.mktemp("chapters") / "tiny" / "dyck"
    shutil.copytree(tiny_artifacts / "tiny" / "dyck", folder)
    whole = {"svd": (1, 2, 4), "kmeans": (4, 8), "one_hot": (), "random_subspace": (2,)}
    measuring = small_experiment.measuring.model_copy(
        update={
            "grid": {"0": {"svd": (2,), "one_hot": ()}, "1": whole, "all": {"svd": (2,)}},
            "along_training": {"1": {"svd": (2,), "one_hot": ()}},
            "oracle": {"1": {"svd": (2,), "kmeans": (8,)}},
        }
    )
    experiment = small_experiment.model_copy(update={"measuring": measuring}).with_proxies(["rounded"])
    return Study("dyck", experiment, folder, preset="tiny")


@pytest.fixture(scope="module")
def depth(study) -> DepthChapter:
    return DepthChapter(study, layer=1, ranks=[1, 2, 3], example=2)


@pytest.fixture(scope="module")
def clustering(study) -> ClusteringChapter:
    return ClusteringChapter(study, layer=1, rank=2, clusters=8, level=0.9)


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        figures.set_style()
        yield
    plt.close("all")


def plain(study: Study, s: Simplification, split: str, measure: str = "same_prediction", where=lambda columns: True) -> float:
    """A mean over seeds, from the blocks of each."""
    means = []
    for run in study.runs:
        (block,) = [block for block in study.estimates.blocks(run.seed) if block.split == split]
        chosen = np.full(len(block.columns["n"]), True) & where(block.columns)
        means.append(block.sums[s, measure][chosen].sum() / block.columns["n"][chosen].sum())
    return float(np.mean(means))


def percent(value: float) -> str:
    return f"{100 * value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def shown_in(figure: Figure) -> str:
    """Every text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


def point(figure: Figure, panel: str, colour: str, x: float) -> float:
    """The value at `x` of the line of a colour in a panel."""
    (ax,) = [ax for ax in figure.axes if ax.get_title("left") == panel]
    (line,) = [line for line in ax.lines if line.get_color() == colour]
    return dict(zip(*line.get_data(), strict=True))[x]


# Everything runs and reads well

FIGURES = {
    "depth": (
        "sentence", "training", "along_training", "bracket_depth", "sentence_depth", "distance", "faithfulness", "opener",
        "attended_depth", "hardest",
    ),
    "clustering": ("shift", "complexity", "transfer", "unexplained", "oracle"),
}  # fmt: skip
SENTENCES = {
    "depth": ("learned", "gap", "better", "attention", "headline", "summary"),
    "clustering": ("comparison", "dropped", "oracle_gains", "lengths", "headline", "summary"),
}
TABLES = {"depth": ("ahead", "gaps", "gaps_elsewhere"), "clustering": ("controls", "against_random")}


def parts(of: dict) -> list[tuple[str, str]]:
    return [(chapter, name) for chapter, names in of.items() for name in names]


@pytest.mark.parametrize(("chapter", "name"), parts(FIGURES))
def test_every_figure_is_drawn_and_says_what_it_shows(request, chapter, name):
    figure = getattr(request.getfixturevalue(chapter), name)()
    figure.canvas.draw()
    assert re.search("tiny", figure.texts[-1].get_text())
    assert not re.search(r"\bnan\b", shown_in(figure))


@pytest.mark.parametrize("layer", [0, 1])
def test_projections_are_drawn_of_every_layer(clustering, layer):
    figure = clustering.projections(layer)
    titles = [ax.get_title("left") for ax in figure.axes[:8]]
    assert titles == [f"{kind} by {of}" for kind in ("queries", "keys") for of in ("depth", "position", "type", "cluster")]
    assert f"layer {layer} of seed 0" in shown_in(figure)


@pytest.mark.parametrize(("chapter", "name"), parts(SENTENCES))
def test_every_sentence_reads_well(request, chapter, name):
    said = getattr(request.getfixturevalue(chapter), name)()
    for line in said.split("\n"):
        assert flaw(line.removeprefix("- ")) is None, line
        assert line.startswith("- ") == (name == "summary")


@pytest.mark.parametrize(("chapter", "name"), parts(TABLES))
def test_every_table_is_whole(request, chapter, name):
    table = getattr(request.getfixturevalue(chapter), name)()
    assert len(table)
    assert table.index.is_unique
    assert not table.isin(["", "nan"]).any(axis=None)


def test_every_part_of_a_chapter_is_tested_here(depth, clustering):
    helpers = {"agreement", "encodings", "projections"}
    for name, chapter in (("depth", depth), ("clustering", clustering)):
        public = {n for n in vars(type(chapter)) if not n.startswith("_") and callable(getattr(type(chapter), n))}
        assert public - helpers == {*FIGURES[name], *SENTENCES[name], *TABLES[name]}


# Numbers are those that were measured


def test_sentences_on_depth_have_the_numbers_that_were_measured(study, depth):
    inside, outside = (percent(plain(study, SVD, split)) for split in ("iid", "unseen_depth"))
    assert f"at {inside} % of the scored brackets in distribution, and at {outside} % at unseen depth" in depth.gap()
    gap = plain(study, SVD, "iid") - plain(study, SVD, "unseen_depth")
    assert percent(abs(gap)) in depth.gap()
    others = [plain(study, (s := Simplification("svd", 4, 1)), "iid") - plain(study, s, "unseen_depth")]
    assert re.search(rf"At higher ranks the gap is {percent(others[0])} \[.*\] with SVD of rank 4\.", depth.gap())
    hard, model = (plain(study, s, "unseen_depth", "accuracy") for s in (ONE_HOT, MODEL))
    assert f"One-hot attention closes {percent(hard)} %" in depth.better()
    assert f"{percent(hard - model)} [" in depth.better().replace("+", "")
    deep = plain(study, MODEL, "unseen_depth", "accuracy", lambda columns: columns["depth"] > study.task.max_depth)
    numbers = [plain(study, MODEL, split, "accuracy") for split in ("iid", "unseen_depth", "unseen_length")]
    expected = [percent(value) for value in (*numbers[:2], deep, numbers[2])]
    assert re.findall(r"([\d.]+) % \[", depth.learned()) == expected
    assert re.findall(r"([\d.]+) %", depth.headline()) == [expected[1], inside, outside, percent(hard)]


def test_sentences_on_clustering_have_the_numbers_that_were_measured(study, clustering):
    for s in (SVD, KMEANS, ONE_HOT):
        row = clustering.controls().loc[s.phrase]
        for column, control in (("gap", "iid"), ("length matched", "iid_matched")):
            assert row[column].split()[0] == percent(plain(study, s, control) - plain(study, s, "unseen_depth"))
    table = clustering.against_random()
    assert list(table.index) == ["rank 2"]
    pair = [plain(study, s, "iid") for s in (SVD, Simplification("random_subspace", 2, 1))]
    found = [table.loc["rank 2", column].split()[0].removeprefix("+") for column in table]
    assert found == [percent(pair[0]), percent(pair[1]), percent(pair[0] - pair[1])]


def test_the_split_itself_is_what_an_oracle_is_fitted_on(study, clustering):
    deep = Simplification("svd", 2, 1, fit_on="unseen_depth")
    gain = study.estimates.estimate(deep, "unseen_depth", "same_prediction").value - plain(study, SVD, "unseen_depth")
    assert clustering.oracle_gains().split("SVD of rank 2 gains ")[1].lstrip("+").startswith(f"{percent(gain)} [")


def test_lines_by_depth_are_means_over_brackets_of_that_depth(study, depth):
    figure, task = depth.bracket_depth(), study.task
    at = lambda columns: columns["depth"] == 2  # noqa: E731
    found = point(figure, "iid: accuracy", "#000000", 2)
    assert found == pytest.approx(plain(study, MODEL, "iid", "accuracy", at))
    found = point(figure, "unseen_depth: same prediction as the model", PROXIES["one_hot"].colour.lower(), 2)
    assert found == pytest.approx(plain(study, ONE_HOT, "unseen_depth", where=at))
    by_sentence = depth.sentence_depth()
    for value, split in ((task.max_depth, "iid"), (task.max_depth + 1, "unseen_depth")):
        expected = plain(study, MODEL, split, "accuracy", lambda columns, d=value: columns["sentence_depth"] == d)
        assert point(by_sentence, "accuracy", "#000000", value) == pytest.approx(expected)
    dotted = [line.get_xdata() for line in by_sentence.axes[0].lines if line.get_linestyle() == ":"]
    assert dotted == [[task.max_depth + 0.5] * 2]


def test_attention_on_the_right_bracket_is_the_mean_over_seeds(study, depth):
    found = [mechanism.opener_attention(run, ["iid", "unseen_depth"], [SVD])[0] for run in study.runs]
    means = [
        percent(np.mean([of[split].sums[s, "opener_weight"].sum(dtype=float) / of[split].columns["n"].sum() for of in found]))
        for s in (MODEL, SVD)
        for split in (0, 1)
    ]
    assert re.findall(r"([\d.]+) %", depth.attention()) == means
    (ax,) = depth.opener().axes
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["model", "SVD, rank 2"]
    drawn = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1][:4]
    assert list(map(percent, drawn)) == means


# Tables


def test_tables_have_one_row_for_each_simplification(study, depth):
    everywhere = [s for layer in (0, 1, -1) for s in study.simplifications(layer)]
    rows = {f"{s.place}: {s.label}": s for s in everywhere}
    gaps, elsewhere = depth.gaps(), depth.gaps_elsewhere()
    assert list(gaps.columns) == list(elsewhere.columns) == list(UNSEEN)
    assert {rows[row] for row in gaps.index} == {s for s in everywhere if s.layer == 1 and s.proxy != "random_subspace"}
    assert {rows[row] for row in elsewhere.index} == {s for s in everywhere if s.layer != 1}
    for row, split in product((*gaps.index, *elsewhere.index), UNSEEN):
        shown = (gaps if row in gaps.index else elsewhere).loc[row, split]
        assert shown.split()[0] == percent(plain(study, rows[row], "iid") - plain(study, rows[row], split))
    ahead = depth.ahead()
    assert set(ahead.index) == {"layer 1: SVD, rank 2", "layer 1: one-hot", f"layer 1: {NEW}"}
    assert {cell.split(" / ")[2] for cell in ahead.to_numpy().ravel()} == {str(len(study.along_training))}


def test_other_encodings_stand_side_by_side(study, depth):
    table = depth.encodings({"learned": study, "none": study})
    assert list(table.columns) == ["learned (2 seeds)", "none (2 seeds)"]
    assert list(table.index)[:4] == ["model, iid", "model, unseen_length", "model, unseen_depth", "SVD, rank 2, iid"]
    assert table.iloc[0, 0].split()[0] == f"{100 * plain(study, MODEL, 'iid', 'accuracy'):.0f}"
    assert table.iloc[8, 1].split()[0] == f"{100 * plain(study, ONE_HOT, 'unseen_depth'):.0f}"


# A new proxy


def test_a_new_proxy_is_in_every_figure_of_simplifications(depth, clustering):
    for figure in (depth.along_training(), depth.distance(), depth.faithfulness(), depth.opener(), depth.attended_depth()):
        assert NEW in shown_in(figure)
    for figure in (clustering.complexity(), clustering.transfer(), clustering.oracle()):
        assert "rounded off" in shown_in(figure)
    assert PROXIES["rounded"].colour in [line.get_color() for line in clustering.complexity().axes[0].lines]


def test_a_new_proxy_is_in_every_table_and_claim(study, depth):
    for table, place in (
        (depth.gaps(), "layer 1"),
        (depth.gaps_elsewhere(), "layer 0"),
        (depth.gaps_elsewhere(), "all layers"),
    ):
        assert f"{place}: {NEW}" in table.index
    claimed = [finding for finding in study.task.findings(study) if finding.statement.startswith("rounded off: ")]
    assert [finding.claim.number for finding in claimed] == [1] * 3 + [2] * 2 + [3] * 2, "4 is about proxies without data"
    (gap,) = [finding for finding in claimed if finding.statement.endswith("on iid than on unseen_depth")]
    assert gap.effect.value == pytest.approx(plain(study, ROUNDED, "iid") - plain(study, ROUNDED, "unseen_depth"))


def test_what_the_model_lacks_is_refused(study):
    with pytest.raises(InputError, match="layer is 2"):
        DepthChapter(study, 2, [2], 2)
    with pytest.raises(InputError, match="rank of svd is 9"):
        DepthChapter(study, 1, [2, 9], 2)
    with pytest.raises(InputError, match=r"level is 1\.5"):
        ClusteringChapter(study, 1, 2, 8, 1.5)
