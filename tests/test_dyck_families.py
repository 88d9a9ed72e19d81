"""Families of proxies against each other: at equal agreement, off the line through all, one basis or two, an oracle."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from chapters import line, marks, of_split, panel, titles
from planted import study
from readable import flaw, seen
from scipy.stats import norm

from lib.errors import InputError
from lib.experiment import Experiment
from lib.proxies import PROXIES, Simplification
from lib.studies import Study
from lib.tasks.dyck.clustering import ClusteringChapter
from lib.tasks.dyck.families import LEVELS

SETTINGS = {"svd": (2, 4, 6), "svd_joint": (2, 4), "kmeans": (4, 8), "one_hot": (None,), "random_subspace": (2, 4)}
FAMILIES = {p: [Simplification(p, c, 1) for c in complexities] for p, complexities in SETTINGS.items()}
SVD, KMEANS, ONE_HOT = FAMILIES["svd"][1], FAMILIES["kmeans"][1], FAMILIES["one_hot"][0]
ORACLE, ORACLE_KMEANS = (Simplification(s.proxy, s.complexity, 1, fit_on="unseen_depth") for s in (SVD, KMEANS))
SPLITS = ("iid", "seen_structure", "unseen_length", "unseen_depth", "iid_matched")
ALIKE = {0: 0.0, 1: 0.0, 2: 0.0}  # seeds that do not differ

Planted = Mapping[tuple[Simplification, str], float | Mapping[str, float]]


@pytest.fixture(scope="module")
def experiment(small_experiment) -> Experiment:
    grid = {proxy: tuple(filter(None, complexities)) for proxy, complexities in SETTINGS.items()}
    refitted = {"refitted": {"1": {"svd": (4,), "kmeans": (8,)}}, "refitted_on": ("training_more", "unseen_depth")}
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": grid}, **refitted})
    return small_experiment.model_copy(update={"measuring": measuring})


@pytest.fixture(scope="module")
def planted(experiment) -> Callable[..., ClusteringChapter]:
    """A function that makes a chapter of planted agreement; where none is, one in two agree."""

    def make(agreement: Planted, n: Mapping | None = None, **of) -> ClusteringChapter:
        every = [s for family in FAMILIES.values() for s in family]
        rates = {
            split: {(s, m): 0.5 for s in (*every, ORACLE, ORACLE_KMEANS) for m in ("same_prediction", "attention_jsd")}
            for split in SPLITS
        }
        for (s, split), rate in agreement.items():
            rates[split][s, "same_prediction"] = rate
        made: Study = study(experiment, rates, ("shallow", "deep"), n=n, by=("depth", "distance"), **{"shifts": ALIKE, **of})
        return ClusteringChapter(made, layer=1, rank=4, clusters=8)

    return make


def both(proxy: str, inside: tuple[float, ...], outside: tuple[float, ...]) -> Planted:
    """Agreement of a family in distribution and at unseen depth, by setting."""
    pairs = zip(FAMILIES[proxy], inside, outside, strict=True)
    return {key: rate for s, x, y in pairs for key, rate in (((s, "iid"), x), ((s, "unseen_depth"), y))}


# At equal agreement


PROMISED = {
    **both("svd", (0.48, 0.72, 0.92), (0.38, 0.62, 0.82)),
    **both("kmeans", (0.48, 0.92), (0.28, 0.94)),
    **both("random_subspace", (0.58, 0.82), (0.48, 0.72)),
}


def test_what_is_kept_is_read_off_between_the_settings_of_a_family(planted):
    chapter = planted(PROMISED)
    figure = chapter.at_equal_agreement().figure
    deep = of_split(figure, chapter.study, "unseen_depth")
    svd = line(deep, PROXIES["svd"].colour)
    assert svd == pytest.approx({100 * level: level - 0.1 for level in LEVELS if level <= 0.9}, abs=1e-5)
    kmeans = line(deep, PROXIES["kmeans"].colour)
    assert kmeans == pytest.approx({100 * x: 0.31 + 1.5 * (x - 0.5) for x in LEVELS if x <= 0.9}, abs=1e-5)
    assert list(line(deep, PROXIES["random_subspace"].colour)) == [60, 65, 70, 75, 80], (
        "where all seeds have settings on either side"
    )
    assert not [of for of in deep.lines if of.get_color() == PROXIES["one_hot"].colour], "one setting has no between"
    assert line(of_split(figure, chapter.study, "unseen_length"), PROXIES["svd"].colour)[70] == pytest.approx(0.5)


def test_the_two_are_compared_level_by_level(planted):
    """The SVD keeps level - 0.1, k-means 0.31 + 1.5 (level - 0.5)."""
    chapter = planted(PROMISED)
    known = {level: of for level, of in chapter._differences.items() if of.measured}
    assert {level: of.value for level, of in known.items()} == pytest.approx(
        {level: 0.34 - 0.5 * level for level in LEVELS if level <= 0.9}, abs=1e-5
    )
    said = chapter.comparison()
    assert flaw(said) is None
    assert "in 50 to 90 % of cases;" in said
    assert "In deeper sentences the SVD keeps clearly more at 4 of 9 levels, and k-means at 5." in said
    heading = (
        "## At an equal promise of 50 to 90 %, the SVD keeps more at 4 of 9 levels and k-means keeps more at 5 of 9 levels"
    )
    assert chapter.heading("compared") == heading


def test_a_family_of_one_cannot_be_compared(planted):
    chapter = planted(PROMISED)
    chapter.families = {**chapter.families, "kmeans": [KMEANS]}
    said = chapter.comparison()
    assert flaw(said) is None
    assert "clearly" not in said
    assert said.startswith("The SVD and k-means never agree with the model equally often")
    assert chapter.heading("compared") == "## At equal promise, the two cannot be compared"
    assert not chapter._kept("weight_svd", "unseen_depth", 0.7).measured, "of which nothing was measured"


def test_figures_put_agreement_where_it_belongs(planted):
    chapter = planted(PROMISED)
    transfer = line(of_split(chapter.transfer().figure, chapter.study, "unseen_depth"), PROXIES["svd"].colour)
    assert [*transfer, *transfer.values()] == pytest.approx([0.48, 0.72, 0.92, 0.38, 0.62, 0.82], abs=1e-5)
    assert [text.get_text() for text in of_split(chapter.transfer().figure, chapter.study, "unseen_depth").texts] == [
        "2", "4", "6", "", "", "4", "8", "", "", "",
    ]  # fmt: skip
    complexity = chapter.complexity().figure
    assert titles(complexity)[2] == f"{chapter.study.task.look('unseen_depth').label}: same prediction as the model"
    assert line(complexity.axes[2], PROXIES["svd"].colour) == pytest.approx({2: 0.38, 4: 0.62, 6: 0.82}, abs=1e-5)
    assert line(complexity.axes[5], PROXIES["svd"].colour) == pytest.approx(dict.fromkeys((2, 4, 6), 0.5), abs=1e-5)


# On the line


def on(*inside: float, above: float = 0.0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Settings on a line of probits; `above` it, by so much in agreement."""
    return inside, tuple(float(norm.cdf(0.8 * norm.ppf(x) - 0.3)) + above for x in inside)


def test_what_is_on_the_line_is_neither_above_nor_below(planted):
    families = {"svd": on(0.4, 0.7, 0.9), "svd_joint": on(0.5, 0.8), "kmeans": on(0.3, 0.6), "random_subspace": on(0.2, 0.5)}
    agreement = {key: rate for proxy, pair in families.items() for key, rate in both(proxy, *pair).items()}
    chapter = planted(agreement | both("one_hot", *on(0.95)))
    assert {family: of.value for family, of in chapter.on_the_line.items()} == pytest.approx(
        dict.fromkeys((PROXIES[p].label for p in FAMILIES), 0), abs=1e-5
    )
    assert all(of.seeds == 3 for of in chapter.on_the_line.values())


@pytest.mark.parametrize("above", [0.1, -0.1])
def test_a_family_off_the_line_is_found_with_its_side(planted, above):
    families = {"svd": on(0.4, 0.7, 0.9), "svd_joint": on(0.5, 0.8, above=above), "kmeans": on(0.3, 0.6)}
    families |= {"random_subspace": on(0.2, 0.5), "one_hot": on(0.85)}
    agreement = {key: rate for proxy, pair in families.items() for key, rate in both(proxy, *pair).items()}
    chapter = planted(agreement)
    found = {family: of.value for family, of in chapter.on_the_line.items()}
    assert max(found, key=lambda family: abs(found[family])) == "joint SVD"
    assert 0.5 * abs(above) < found["joint SVD"] * np.sign(above) < abs(above)
    assert all(of * above < 0 for family, of in found.items() if family != "joint SVD"), "as it draws the line to itself"
    # By normal equations: each family has the weight 1, shared by its settings
    x, y, weights, names = [], [], [], []
    for proxy, (inside, outside) in families.items():
        x, y = [*x, *norm.ppf(inside)], [*y, *norm.ppf(outside)]
        weights += [1 / len(inside)] * len(inside)
        names += [PROXIES[proxy].label] * len(inside)
    design, w = np.stack([np.ones(len(x)), x], 1), np.diag(weights)
    fitted = design @ np.linalg.solve(design.T @ w @ design, design.T @ w @ np.array(y))
    off = pd.Series(norm.cdf(y) - norm.cdf(fitted)).groupby(names).mean().to_dict()
    assert found == pytest.approx(off, abs=1e-5)
    said = chapter.line()
    assert flaw(said) is None
    listed = re.search(
        r"sentences, (.*?) lies? above the line" if above > 0 else r"(?:, and |, )([^,]*?) \(by [^)]*\) lies? below", said
    )[1]
    assert listed.startswith("joint SVD")
    assert "oint SVD" in chapter.heading("line")


def test_settings_that_always_agree_say_nothing_about_the_line(planted):
    families = {"svd": on(0.4, 0.7, 0.9), "kmeans": on(0.3, 0.6)}
    agreement = {key: rate for proxy, pair in families.items() for key, rate in both(proxy, *pair).items()}
    agreement |= both("svd_joint", (1.0, 0.8), (0.3, 1.0)) | both("one_hot", (0.0,), (0.4,))
    agreement |= both("random_subspace", (0.5, 1.0), (float(norm.cdf(-0.3)), 0.9))
    found = planted(agreement).on_the_line
    assert {family: of.value for family, of in found.items()} == pytest.approx(
        {"SVD": 0, "k-means": 0, "random subspace": 0}, abs=1e-5
    )


@pytest.mark.parametrize("left", [0, 1, 2])
def test_fewer_than_three_settings_make_no_line(planted, left):
    agreement = {(s, split): 1.0 for family in FAMILIES.values() for s in family for split in ("iid", "unseen_depth")}
    agreement |= dict(list(both("svd", *on(0.4, 0.7, 0.9)).items())[: 2 * left])
    chapter = planted(agreement)
    assert chapter.on_the_line == {}
    below, _, rest = chapter.line().partition(" Too few settings")
    assert rest
    assert re.match(rf"Of \d+ settings, {left or 'none'} clearly keeps? less in deeper sentences than promised", below)


def test_settings_that_all_agree_equally_often_make_no_line(planted):
    assert planted({}).on_the_line == {}


def test_with_one_seed_no_side_is_taken(planted):
    families = {"svd": on(0.4, 0.7, 0.9), "kmeans": on(0.3, 0.6, above=0.2)}
    agreement = {key: rate for proxy, pair in families.items() for key, rate in both(proxy, *pair).items()}
    said = planted(agreement, seeds=1, shifts={0: 0.0}).line()
    assert flaw(said) is None
    assert said.endswith("In deeper sentences, no family lies clearly off the line that is fitted through all.")


# One basis or two


def test_one_basis_is_held_against_two_at_equal_rank(planted):
    agreement = {**both("svd", (0.5, 0.7, 0.9), (0.4, 0.6, 0.8)), **both("svd_joint", (0.6, 0.7), (0.3, 0.65))}
    chapter = planted(agreement)
    table = chapter.bases().frame
    assert list(table.index) == ["rank 2", "rank 4"], "6 was measured with two only"
    assert table.loc["rank 2"].str.split(" ").str[0].tolist() == ["60.0", "50.0", "+10.0", "30.0", "40.0", "−10.0"]
    inside = chapter.study.task.look("iid").label
    assert list(table.columns[:3]) == [f"one basis, {inside}", f"one each, {inside}", f"difference, {inside}, points"]
    assert chapter.bases_text() == (
        "One basis for both agrees with the model, against one for each, in distribution more often at rank 2; not clearly "
        "more or less often at rank 4; and in deeper sentences more often at rank 4; less often at rank 2."
    )
    said = "## In deeper sentences, one basis agrees more often at rank 4, and less often at rank 2"
    assert chapter.heading("bases") == said


def test_without_a_joint_basis_there_is_nothing_to_compare(planted):
    chapter = planted({})
    chapter.families = {"svd": FAMILIES["svd"]}
    assert chapter.bases_text() == ""
    assert chapter.bases().frame.empty


# The oracle, controls, what is dropped


def test_the_oracle_stands_beside_other_pictures_of_its_rank(planted):
    agreement = {
        (SVD, "unseen_depth"): 0.4, (ORACLE, "unseen_depth"): 0.5, (FAMILIES["svd_joint"][1], "unseen_depth"): 0.7,
        (KMEANS, "unseen_depth"): 0.6, (ORACLE_KMEANS, "unseen_depth"): 0.45,
        (FAMILIES["random_subspace"][1], "unseen_depth"): 0.9,
    }  # fmt: skip
    chapter = planted(agreement)
    assert seen(chapter.oracle_gains()) == (
        "SVD of rank 4 fitted on deeper sentences themselves gains 10.0 [10.0, 10.0] points. More than that is gained with "
        "joint SVD of rank 4, which never saw such sentences. K-means with 8 clusters fitted on deeper sentences themselves "
        "loses 15.0 [15.0, 15.0] points."
    )
    assert chapter.heading("oracle") == "## Fitted on deeper sentences, SVD clearly gains there"
    ax = of_split(chapter.oracle().figure, chapter.study, "unseen_depth")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["SVD, rank 4", "k-means, 8 clusters"]
    assert marks(ax, "#0072B2") == pytest.approx([0.4, 0.6], abs=1e-6)
    assert marks(ax, "#E69F00") == pytest.approx([0.5, 0.45], abs=1e-6)
    less = planted({**agreement, (FAMILIES["svd_joint"][1], "unseen_depth"): 0.45})
    assert "No other picture of that size, none of which saw such sentences, gains clearly more." in less.oracle_gains()


def test_controls_take_away_what_they_match(planted):
    """At unseen depth three quarters of the brackets are deep, where agreement is low, on both splits alike."""
    rates = {"shallow": 0.9, "deep": 0.5}
    agreement = {(SVD, "iid"): 0.95, (SVD, "iid_matched"): rates, (SVD, "unseen_depth"): rates}
    chapter = planted(agreement, {"iid_matched": {"shallow": 3, "deep": 1}, "unseen_depth": {"shallow": 1, "deep": 3}})
    gaps = {name: gap.value for name, gap in chapter.controlled[SVD.phrase].items()}
    expected = {"gap": 0.35, "length matched": 0.2, "length and distance matched": 0}
    expected |= {"length matched on depths of both": 0.2, "length and depth matched": 0}
    assert gaps == pytest.approx(expected, abs=1e-6)
    assert list(gaps) == list(expected), "what matching by depth starts from stands before it"
    assert chapter.controls().frame.loc[SVD.phrase, "gap"] == "35.0 [35.0, 35.0]"
    nothing_shared = planted({}, {"iid_matched": {"shallow": 4, "deep": 0}, "unseen_depth": {"shallow": 0, "deep": 4}})
    matched = nothing_shared.controls().frame.loc[SVD.phrase]
    assert matched.tolist() == ["0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", *["not measured"] * 3]
    assert nothing_shared.heading("controls") == "## Length and depth could not be matched"


@pytest.mark.parametrize(
    ("fewest", "deep", "kept"), [(120, (1, 6), True), (121, (1, 6), False), (121, (6, 1), False), (20, (0, 6), False)]
)
def test_a_depth_that_only_one_split_has_is_no_depth_of_both(planted, monkeypatch, fewest, deep, kept):
    """As when depths are matched: with too few brackets, all seeds together (120 of one depth), a depth is not there."""
    monkeypatch.setattr("lib.tasks.dyck.clustering.FEWEST", fewest)
    agreement = {(SVD, "iid_matched"): {"shallow": 0.9, "deep": 0.6}, (SVD, "unseen_depth"): {"shallow": 0.8, "deep": 0.2}}
    counts = {split: {"shallow": 2, "deep": n} for split, n in zip(("iid_matched", "unseen_depth"), deep, strict=True)}
    gaps = planted(agreement, counts).controlled[SVD.phrase]
    inside, outside = (2 * 0.9 + deep[0] * 0.6) / (2 + deep[0]), (2 * 0.8 + deep[1] * 0.2) / (2 + deep[1])
    assert gaps["length matched"].value == pytest.approx(inside - outside, abs=1e-5)
    assert gaps["length matched on depths of both"].value == pytest.approx(inside - outside if kept else 0.1, abs=1e-5)
    assert gaps["length and depth matched"].value == pytest.approx((0.1 + 3 * 0.4) / 4 if kept else 0.1, abs=1e-5)


def test_the_svd_is_held_against_random_subspaces_of_its_rank(planted):
    table = (
        planted(both("svd", (0.5, 0.7, 0.9), (0.4, 0.6, 0.8)) | both("random_subspace", (0.6, 0.3), (0.1, 0.1)))
        .against_random()
        .frame
    )
    assert list(table.index) == ["rank 2", "rank 4"]
    assert table.loc["rank 2"].str.split(" ").str[0].tolist() == ["50.0", "60.0", "−10.0"]
    assert table.loc["rank 4"].str.split(" ").str[0].tolist() == ["70.0", "30.0", "+40.0"]


def sentences(seeds: int, slope: float) -> pd.DataFrame:
    """Eight sentences a split and seed: what is dropped, and disagreement that goes with it, or against it."""
    rows = [
        {"seed": seed, "split": split, "sequence": i, "outside": base + 0.01 * i, "disagreement": 0.3 + slope * i, "n": 1 + i}
        for seed in range(seeds)
        for split, base in (("iid", 0.1), ("unseen_depth", 0.5))
        for i in range(8)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_dropped_goes_with_disagreement_or_not(planted, seeds):
    chapter = planted({})
    vars(chapter)["_sentences"] = {SVD: sentences(seeds, 0.05), KMEANS: sentences(seeds, -0.02), ONE_HOT: sentences(seeds, 0.0)}
    said = chapter.dropped()
    assert flaw(said) is None
    said = seen(said)
    svd, kmeans, one_hot = re.findall(r"[^.]+? drops .*? distribution and [^;]*? in deeper sentences\.", said)
    assert "SVD of rank 4 drops 13.5 % of the variance in distribution and 53.5 % in deeper sentences" in svd
    assert re.search(r"is 1\.00 (\[.*?\] )?in distribution and 1\.00 (\[.*?\] )?in deeper", svd)
    assert re.search(r"is −1\.00 (\[.*?\] )?in distribution and −1\.00", kmeans)
    assert "is not measured in distribution and not measured in deeper sentences" in one_hot, (
        "what is constant has no correlation"
    )
    found = line(panel(chapter.unexplained(bins=2).figure, SVD.label), chapter.study.task.look("iid").colour)
    halves = [range(4), range(4, 8)]
    expected = [sum((0.3 + 0.05 * i) * (1 + i) for i in half) / sum(1 + i for i in half) for half in halves]
    assert list(found) == pytest.approx([11.5, 15.5])
    assert list(found.values()) == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_chapter_reads_well_with_any_number_of_seeds(planted, seeds):
    chapter = planted(PROMISED, seeds=seeds, shifts=dict.fromkeys(range(seeds), 0.0))
    vars(chapter)["_sentences"] = {SVD: sentences(seeds, 0.05)}
    texts = (chapter.comparison(), chapter.line(), chapter.bases_text(), chapter.dropped(), chapter.oracle_gains())
    for said in (*texts, chapter.random_text(), chapter.in_short(), chapter.sure()):
        assert flaw(said) is None, said


def test_what_the_model_lacks_is_refused(planted):
    made = planted({}).study
    with pytest.raises(InputError, match="layer is 2"):
        ClusteringChapter(made, 2, 4, 8)
    with pytest.raises(InputError, match="rank of svd is 9"):
        ClusteringChapter(made, 1, 9, 8)
