"""The chapters on Dyck: numbers in their figures and sentences are those that were measured."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from chapters import figure_of, line, marks, mean, of_split, panel, percent
from readable import seen
from scipy.stats import spearmanr

from lib import figures
from lib.claims import representative
from lib.proxies import MODEL, PROXIES, Simplification
from lib.tasks.dyck import mechanism

SVD, KMEANS, ONE_HOT = Simplification("svd", 2, 1), Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)


def test_sentences_on_depth_have_the_numbers_that_were_measured(study, depth):
    inside, outside = (whole(mean(study, SVD, split)) for split in ("iid", "unseen_depth"))
    said = seen(depth.gap())
    assert re.findall(r"(\d+) % \[", said) == [inside, outside]
    gap = mean(study, SVD, "iid") - mean(study, SVD, "unseen_depth")
    assert percent(abs(gap)) in said
    others = [mean(study, (s := Simplification("svd", 4, 1)), "iid") - mean(study, s, "unseen_depth")]
    assert re.search(rf"With more directions, it is {percent(others[0])} \[.*\] points \(rank 4\)\.", said)
    hard, model = (mean(study, s, "unseen_depth", "accuracy") for s in (ONE_HOT, MODEL))
    better = seen(depth.better())
    assert f"One-hot attention closes {whole(hard)} % [" in better
    assert percent(abs(hard - model)) in better.replace("+", "").replace("−", "")
    deep = mean(study, MODEL, "unseen_depth", "accuracy", lambda columns: columns["depth"] > study.task.max_depth)
    numbers = [mean(study, MODEL, split, "accuracy") for split in ("iid", "unseen_depth", "unseen_length")]
    assert re.findall(r"(\d+) % \[", seen(depth.learned())) == [whole(value) for value in (*numbers, deep)]
    heading = depth.heading("learned").replace("\N{NO-BREAK SPACE}", " ")
    assert re.findall(r"(\d+) %", heading) == [whole(value) for value in numbers[:2]]
    first_page = seen(depth.in_short()["finding-deeper"])
    assert re.findall(r"(\d+) %", first_page) in ([inside, outside], [])
    left = study.estimates.matched_gap(SVD, "unseen_depth", "iid_matched", ["depth"], fewest=20)
    told = seen(depth.decomposition_text()).partition("and brackets that are as deep, ")[2]
    assert f"{percent(abs(left.value))} [" in told.replace("(−", "(")


def whole(value: float) -> str:
    """In whole per cent."""
    return f"{100 * value:.0f}"


def depths_of_both(study, *splits: str) -> list[int]:
    """The depths at which both splits have at least twenty scored brackets, all seeds together."""
    counts = []
    for split in splits:
        blocks = [b.columns for run in study.runs for b in study.estimates.blocks(run.seed) if b.split == split]
        counts.append(sum(np.bincount(of["depth"], of["n"], 50) for of in blocks))
    return np.flatnonzero(np.minimum(*counts) >= 20).tolist()


def test_sentences_on_clustering_have_the_numbers_that_were_measured(study, clustering):
    depths = depths_of_both(study, "iid_matched", "unseen_depth")
    of_both = lambda columns: np.isin(columns["depth"], depths)  # noqa: E731
    for s in (SVD, KMEANS, ONE_HOT):
        row = clustering.controls().frame.loc[s.phrase]
        for column, control in (("gap", "iid"), ("length matched", "iid_matched")):
            assert row[column].split()[0] == percent(mean(study, s, control) - mean(study, s, "unseen_depth"))
        for covariate in ("distance", "depth"):
            matched = study.estimates.matched_gap(s, "unseen_depth", "iid_matched", [covariate], fewest=20)
            assert row[f"length and {covariate} matched"].split()[0] == percent(matched.value)
        both = [mean(study, s, x, where=of_both) for x in ("iid_matched", "unseen_depth")]
        assert row["length matched on depths of both"].split()[0] == percent(both[0] - both[1])
    table = clustering.against_random().frame
    assert list(table.index) == ["rank 2"]
    pair = [mean(study, s, "iid") for s in (SVD, Simplification("random_subspace", 2, 1))]
    found = [table.loc["rank 2", column].split()[0].removeprefix("+") for column in table]
    assert found == [percent(pair[0]), percent(pair[1]), percent(pair[0] - pair[1])]


def test_what_is_kept_is_read_off_where_families_have_the_level(study, clustering):
    """Seed by seed, between the settings of a family."""
    levels, kept = [0.65, 0.7, 0.75, 0.8], {}
    for proxy, complexities in (("svd", (1, 2, 4)), ("kmeans", (4, 8))):
        family = [Simplification(proxy, complexity, 1) for complexity in complexities]
        of = [[study.estimates.estimate(s, x, "same_prediction").by_seed for s in family] for x in ("iid", "unseen_depth")]
        inside, outside = np.array(of)
        kept[proxy] = [np.mean([np.interp(x, inside[:, i], outside[:, i]) for i in range(2)]) for x in levels]
        drawn = line(of_split(figure_of(clustering, "at_equal_agreement"), study, "unseen_depth"), PROXIES[proxy].colour)
        assert [drawn[100 * x] for x in levels] == pytest.approx(kept[proxy])
    found = [clustering._differences[level].value for level in levels]
    assert found == pytest.approx(np.subtract(kept["svd"], kept["kmeans"]))


def test_what_is_dropped_is_told_with_how_it_goes_with_disagreement(study, clustering):
    tables = [mechanism.unexplained(run, study.estimates.blocks(run.seed), ("iid", "unseen_depth"), SVD) for run in study.runs]
    shares, correlations = [], []
    for split in ("iid", "unseen_depth"):
        of_split = [table[table["split"] == split] for table in tables]
        shares.append(percent(pd.concat(of_split)["outside"].mean()))
        ranks = [spearmanr(table["outside"], table["disagreement"]).statistic for table in of_split]
        correlations.append(f"{np.mean(ranks):.2f}".replace("-", "−"))
    said = seen(clustering.dropped())
    assert re.findall(r"([\d.]+) %", said)[:2] == shares
    assert re.findall(r"([−\d.]+) \[", said)[:2] == correlations


def test_disagreement_is_shown_over_groups_of_equally_many_sentences(study, clustering):
    tables = [mechanism.unexplained(run, study.estimates.blocks(run.seed), ["unseen_depth"], SVD) for run in study.runs]
    table = pd.concat(tables).sort_values("outside", kind="stable")
    found = line(panel(clustering.unexplained(bins=1).figure, SVD.label), study.task.look("unseen_depth").colour)
    expected = {100 * table["outside"].mean(): 1 - mean(study, SVD, "unseen_depth")}
    assert list(found) == pytest.approx(list(expected))
    assert list(found.values()) == pytest.approx(list(expected.values()), abs=0.01)  # there every seed counts the same
    found = line(panel(clustering.unexplained(bins=2).figure, SVD.label), study.task.look("unseen_depth").colour)
    low, high = table["outside"] <= table["outside"].median(), table["outside"] > table["outside"].median()
    assert list(found) == pytest.approx([100 * table["outside"][chosen].mean() for chosen in (low.to_numpy(), high.to_numpy())])


def test_the_split_itself_is_what_an_oracle_is_fitted_on(study, clustering):
    figure, gains = figure_of(clustering, "oracle"), []
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    for s in (SVD, KMEANS):
        usual, oracle = (mean(study, x, "unseen_depth") for x in (s, replace(s, fit_on="unseen_depth")))
        gains.append(oracle - usual)
        ax = of_split(figure, study, "unseen_depth")
        shown = [marks(ax, colour)[rows.index(s.label)] for colour in ("#0072B2", "#E69F00")]
        assert shown == pytest.approx([usual, oracle])
    found = re.findall(r"themselves (?:changes agreement by|gains|loses) ([−+\d.]+) \[", seen(clustering.oracle_gains()))
    assert [gain.lstrip("+−") for gain in found] == [percent(abs(gain)) for gain in gains]


def test_transfer_has_agreement_in_distribution_across_and_elsewhere_up(study, clustering):
    figure = figure_of(clustering, "transfer")
    for split in ("unseen_structure", "unseen_structure_long", "unseen_length", "unseen_depth"):
        found = line(of_split(figure, study, split), PROXIES["svd"].colour)
        for (across, up), rank in zip(found.items(), (1, 2, 4), strict=True):
            s = Simplification("svd", rank, 1)
            assert [across, up] == pytest.approx([mean(study, s, "iid"), mean(study, s, split)])
    agreement = of_split(figure_of(clustering, "complexity"), study, "unseen_length", "same prediction as the model")
    by_rank = line(agreement, PROXIES["svd"].colour)
    assert by_rank == pytest.approx({rank: mean(study, Simplification("svd", rank, 1), "unseen_length") for rank in (1, 2, 4)})


def test_lines_by_depth_are_means_over_sentences_of_that_depth(study, depth):
    figure = figure_of(depth, "boundary")
    for title, s, measure in (
        ("accuracy", MODEL, "accuracy"),
        ("same prediction as the model", ONE_HOT, "same_prediction"),
    ):
        found = line(panel(figure, title), PROXIES["one_hot"].colour if s == ONE_HOT else figures.BLACK)
        assert max(found) > study.task.max_depth > min(found)
        for value, share in found.items():
            expected = mean(study, s, "by_depth", measure, lambda columns, d=value: columns["sentence_depth"] == d)
            assert share == pytest.approx(expected)


def test_a_gap_is_taken_apart_into_parts_that_add_up(study, depth):
    figure = figure_of(depth, "decomposition")
    parts = study.estimates.decomposition(SVD, "unseen_depth", "iid", "depth")
    assert sum(part.value for part in parts) == pytest.approx(mean(study, SVD, "iid") - mean(study, SVD, "unseen_depth"))
    (ax,) = figure.axes
    rows = [label.get_text() for label in ax.get_yticklabels()]
    drawn = [marks(ax, colour)[rows.index(SVD.label)] for colour in ("#0072B2", "#E69F00", "#D55E00")]
    assert drawn == pytest.approx([100 * part.value for part in parts])
    said = seen(depth.decomposition_text()).partition(" hardly reach")[0]
    found = re.findall(r"([−\d.]+) \[[^]]*\](?: points,| come from| from)", said)
    expected = (parts.gap, *parts)
    assert found == [percent(part.value) for part in expected]


def test_what_helps_is_told_against_the_example(study, depth):
    joint, oracle = Simplification("svd_joint", 2, 1), replace(SVD, fit_on="unseen_depth")
    gains = {s: mean(study, s, "unseen_depth") - mean(study, SVD, "unseen_depth") for s in (joint, oracle)}
    assert depth.gains[joint.label].value == pytest.approx(gains[joint])
    assert depth.gains[f"{SVD.label}, fitted on deeper sentences themselves"].value == pytest.approx(gains[oracle])


def test_curves_along_training_are_those_of_each_step(study, depth):
    for measure, title in (("accuracy", "accuracy"), ("attention_jsd", "divergence of attention (bits)")):
        found = line(of_split(figure_of(depth, "along_training"), study, "unseen_depth", title), PROXIES["one_hot"].colour)
        assert list(found) == list(study.along_training) == sorted(set(study.history["step"]))
        for step, value in found.items():
            assert value == study.along_training[step].estimate(ONE_HOT, "unseen_depth", measure).value


def test_every_split_of_what_stands_for_a_family_is_in_the_forest(study, depth):
    families = dict.fromkeys(s.proxy for s in study.simplifications(1) if s.proxy != "random_subspace")
    shown = dict.fromkeys([*depth.by_depth, *(representative(study, 1, proxy) for proxy in families)])
    (ax,) = figure_of(depth, "faithfulness").axes
    for split in ("iid", "unseen_depth"):
        expected = [mean(study, s, split) for s in shown]
        assert marks(ax, study.task.look(split).colour) == pytest.approx(expected)


def test_attention_on_the_right_bracket_is_the_mean_over_seeds(study, depth):
    found = [mechanism.opener_attention(run, ["iid", "unseen_depth"], [SVD])[0] for run in study.runs]
    means = [
        np.mean([of[split].sums[s, "opener_weight"].sum(dtype=float) / of[split].columns["n"].sum() for of in found])
        for s in (MODEL, SVD)
        for split in (0, 1)
    ]
    assert re.findall(r"(\d+) %", seen(depth.attention())) == [f"{100 * value:.0f}" for value in means]
    (ax,) = figure_of(depth, "opener").axes
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["model", "SVD, rank 2"]
    assert marks(ax)[:4] == pytest.approx(means)
