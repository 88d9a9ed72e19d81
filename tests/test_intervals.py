"""Intervals: a bootstrap over seeds and over sequences, paired wherever two estimates share sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.errors import InputError
from lib.faithfulness import METRICS
from lib.intervals import Bootstrap, coverage
from lib.proxies import Setting

A, B, HARD = Setting("svd", 2, layer=1), Setting("kmeans", 16, layer=1), Setting("one_hot", None, layer=0)


def rows(n: np.ndarray, sums: np.ndarray, *, seed=0, setting=A, split="iid", group="", value="", sequence=None) -> pd.DataFrame:
    """A piece of a sequences table: for each sequence its scored positions `n` and the sum of every measure."""
    return pd.DataFrame(
        {
            "task": "dyck",
            "seed": seed,
            "layer": setting.layer,
            "head": setting.head,
            "proxy": setting.proxy,
            "complexity": pd.array([setting.complexity] * len(n), dtype="Int64"),
            "fit_on": setting.fit_on,
            "split": split,
            "group": group,
            "group_value": value,
            "sequence": np.arange(len(n)) if sequence is None else sequence,
            "n": n,
            **dict.fromkeys(METRICS, sums),
        }
    )


def drawn(rng: np.random.Generator, mean: float, sequences: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scored positions and agreements of sequences, some without any; positions of a sequence are not independent."""
    n = rng.integers(0, 6, sequences)
    level = np.clip(rng.normal(mean, 0.15, sequences), 0, 1)
    return n, rng.binomial(n, level).astype(float)


def table(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def width(estimate) -> float:
    low, high = estimate.interval
    return high - low


def plain_bootstrap(seeds: list[tuple[np.ndarray, np.ndarray]], resamples: int, rng: np.random.Generator) -> list[float]:
    """Seeds with replacement and, within each, sequences with replacement."""
    means = []
    for _ in range(resamples):
        of_seeds = []
        for _ in seeds:
            n, sums = seeds[rng.integers(len(seeds))]
            picked = [int(rng.integers(len(n))) for _ in n]
            of_seeds.append(sum(sums[i] for i in picked) / sum(n[i] for i in picked))
        means.append(sum(of_seeds) / len(of_seeds))
    return means


def test_the_interval_of_one_seed_is_that_of_a_plain_bootstrap():
    n, sums = drawn(np.random.default_rng(0), 0.8)
    estimate = Bootstrap(table(rows(n, sums)), resamples=4_000).estimate(A, "iid", "accuracy")
    plain = plain_bootstrap([(n, sums)], 4_000, np.random.default_rng(1))
    assert estimate.value == pytest.approx(sums.sum() / n.sum())
    assert estimate.positions == n.sum()
    # The standard error of a 2.5 % quantile is about 2.7 standard deviations over the root of the resamples.
    tolerance = 5 * 2.7 * np.std(plain) / np.sqrt(4_000)
    assert np.allclose(estimate.interval, np.quantile(plain, [0.025, 0.975]), atol=tolerance)
    assert np.std(estimate.resamples) == pytest.approx(np.std(plain), rel=0.1)


def test_the_standard_deviation_over_two_levels_is_that_of_a_plain_bootstrap_within_each_seed():
    """With three seeds, against a bootstrap that draws the seeds and then, for each seed drawn, its sequences."""
    rng = np.random.default_rng(2)
    seeds = [drawn(rng, mean, 40) for mean in (0.6, 0.7, 0.9)]
    data = table(*(rows(n, sums, seed=i) for i, (n, sums) in enumerate(seeds)))
    estimate = Bootstrap(data, resamples=4_000).estimate(A, "iid", "accuracy")
    plain = plain_bootstrap(seeds, 3_000, np.random.default_rng(3))
    assert estimate.value == pytest.approx(np.mean([sums.sum() / n.sum() for n, sums in seeds]))
    assert np.allclose(estimate.interval, np.quantile(plain, [0.025, 0.975]), atol=0.02)
    assert np.std(estimate.resamples) == pytest.approx(np.std(plain), rel=0.1)


def test_every_seed_counts_the_same():
    many, few = (np.full(50, 10), np.full(50, 9.0)), (np.full(50, 1), np.full(50, 0.5))
    estimate = Bootstrap(table(rows(*many, seed=0), rows(*few, seed=1))).estimate(A, "iid", "accuracy")
    assert estimate.value == pytest.approx((0.9 + 0.5) / 2)
    assert (estimate.seeds, estimate.positions) == (2, 550)


def test_seeds_with_the_same_sequences_estimate_their_common_mean():
    n, sums = drawn(np.random.default_rng(4), 0.7)
    one = Bootstrap(table(rows(n, sums))).estimate(A, "iid", "accuracy")
    three = Bootstrap(table(*(rows(n, sums, seed=s) for s in range(3)))).estimate(A, "iid", "accuracy")
    assert three.value == pytest.approx(one.value)
    low, high = three.interval
    assert low < three.value < high


def test_the_interval_is_wider_where_seeds_differ():
    rng = np.random.default_rng(5)
    n, sums = drawn(rng, 0.7, 200)
    alike = Bootstrap(table(*(rows(n, sums, seed=s) for s in range(4))))
    apart = Bootstrap(table(*(rows(*drawn(rng, mean, 200), seed=s) for s, mean in enumerate((0.5, 0.65, 0.75, 0.9)))))
    assert width(apart.estimate(A, "iid", "accuracy")) > 2 * width(alike.estimate(A, "iid", "accuracy"))


def test_an_estimate_says_what_its_interval_is_over():
    n, sums = drawn(np.random.default_rng(6), 0.7)
    one = Bootstrap(table(rows(n, sums))).estimate(A, "iid", "accuracy")
    two = Bootstrap(table(rows(n, sums), rows(n, sums, seed=1))).estimate(A, "iid", "accuracy")
    assert one.over == "the sequences of one seed"
    assert two.over == "2 seeds and their sequences (so few seeds: too narrow)"


def test_differences_on_one_split_are_paired():
    """Two proxies of nearly the same agreement differ with far less uncertainty than each has on its own."""
    rng = np.random.default_rng(7)
    n, sums = drawn(rng, 0.7, 300)
    better = np.minimum(sums + (rng.random(300) < 0.1), n)
    bootstrap = Bootstrap(table(rows(n, sums), rows(n, better, setting=B), rows(n, sums, setting=HARD)))
    a, b, same = (bootstrap.estimate(s, "iid", "accuracy") for s in (A, B, HARD))
    assert (same - a).value == 0
    assert (same - a).interval == (0, 0)
    assert width(b - a) < 0.5 * width(a)
    assert (b - a).excludes_zero
    assert not (same - a).excludes_zero
    assert (b - a).value == pytest.approx(better.sum() / n.sum() - sums.sum() / n.sum())


def test_the_gap_on_the_reference_split_itself_is_exactly_0():
    bootstrap = Bootstrap(table(*(rows(*drawn(np.random.default_rng(s), 0.6 + s / 10), seed=s) for s in range(3))))
    gap = bootstrap.gap(A, "iid", "accuracy")
    assert gap.value == 0
    assert gap.interval == (0, 0)


def test_the_gap_is_in_distribution_minus_out_of_distribution():
    rng = np.random.default_rng(8)
    n, sums = drawn(rng, 0.9, 300)
    m, fewer = drawn(rng, 0.5, 300)
    bootstrap = Bootstrap(table(rows(n, sums), rows(m, fewer, split="unseen_depth")))
    gap = bootstrap.gap(A, "unseen_depth", "accuracy")
    assert gap.value == pytest.approx(sums.sum() / n.sum() - fewer.sum() / m.sum())
    assert gap.excludes_zero
    assert gap.interval[0] > 0.2
    iid, deep = (bootstrap.estimate(A, split, "accuracy") for split in ("iid", "unseen_depth"))
    assert np.std(gap.resamples) == pytest.approx(np.hypot(np.std(iid.resamples), np.std(deep.resamples)), rel=0.1), (
        "sequences of different splits are drawn independently"
    )


def test_about_95_of_100_intervals_contain_the_true_mean():
    """200 simulated studies; with the true coverage .95 the count stays above 179 but once in 10,000 times."""
    true_mean, covered = 0.7, 0
    for study in range(200):
        rng = np.random.default_rng([9, study])
        n = rng.integers(1, 6, 80)
        sums = n * np.clip(rng.normal(true_mean, 0.1, 80), 0, 1)
        low, high = Bootstrap(table(rows(n, sums)), resamples=300).estimate(A, "iid", "accuracy").interval
        covered += low <= true_mean <= high
    assert 179 <= covered <= 199


def test_a_group_value_is_estimated_over_its_own_positions():
    """The same draw of sequences as for the whole split, of which only some have positions of the group."""
    n, sums = np.array([3, 2, 4, 1] * 20), np.array([3.0, 1.0, 2.0, 0.0] * 20)
    deep = rows(np.array([1, 2] * 10), np.array([1.0, 1.0] * 10), group="depth", value="3", sequence=np.arange(0, 80, 4))
    bootstrap = Bootstrap(table(rows(n, sums), deep))
    estimate = bootstrap.estimate(A, "iid", "accuracy", "depth", 3)
    assert estimate.value == pytest.approx(20 / 30)
    assert estimate.positions == 30
    assert estimate.interval[0] < 20 / 30 < estimate.interval[1]


def test_a_group_that_is_the_whole_split_has_its_estimate():
    n, sums = drawn(np.random.default_rng(10), 0.7)
    bootstrap = Bootstrap(table(rows(n, sums), rows(n, sums, group="depth", value="1")))
    whole, group = bootstrap.estimate(A, "iid", "accuracy"), bootstrap.estimate(A, "iid", "accuracy", "depth", "1")
    np.testing.assert_array_equal(whole.resamples, group.resamples)


def test_a_group_value_that_does_not_occur_is_not_a_number():
    n, sums = drawn(np.random.default_rng(11), 0.7)
    bootstrap = Bootstrap(table(rows(n, sums), rows(n, sums, group="depth", value="1")))
    estimate = bootstrap.estimate(A, "iid", "accuracy", "depth", 9)
    assert np.isnan(estimate.value)
    assert np.isnan(estimate.resamples).all()
    assert (estimate.seeds, estimate.positions) == (0, 0)
    assert not estimate.excludes_zero


def test_a_group_value_that_one_seed_lacks_is_estimated_over_the_others():
    n, sums = drawn(np.random.default_rng(12), 0.7)
    deep = rows(n, sums, seed=1, group="depth", value="9")
    estimate = Bootstrap(table(rows(n, sums), rows(n, sums, seed=1), deep)).estimate(A, "iid", "accuracy", "depth", 9)
    assert estimate.value == pytest.approx(sums.sum() / n.sum())
    assert estimate.seeds == 1
    assert np.isfinite(estimate.interval).all()


@pytest.mark.parametrize(
    ("setting", "split"),
    [
        pytest.param(Setting("svd", 3, layer=1), "iid", id="another rank"),
        pytest.param(Setting("svd", 2, layer=0), "iid", id="another layer"),
        pytest.param(A, "unseen_depth", id="another split"),
    ],
)
def test_what_was_not_measured_is_refused(setting, split):
    bootstrap = Bootstrap(table(rows(*drawn(np.random.default_rng(13), 0.7))))
    with pytest.raises(InputError, match=f"proxy='svd'.*not measured on split '{split}'"):
        bootstrap.estimate(setting, split, "accuracy")


def test_the_same_table_gives_the_same_interval():
    data = table(*(rows(*drawn(np.random.default_rng(s), 0.7), seed=s) for s in range(2)))
    one, other = (Bootstrap(t).estimate(A, "iid", "accuracy") for t in (data, data.sample(frac=1, random_state=0)))
    assert one.interval == pytest.approx(other.interval)


def test_an_estimate_is_shown_with_its_interval():
    n = np.ones(40, int)
    estimate = Bootstrap(table(rows(n, np.ones(40)))).estimate(A, "iid", "accuracy")
    assert f"{estimate}" == "1.000 [1.000, 1.000]"
    assert f"{estimate:.1f}" == "1.0 [1.0, 1.0]"


def test_seeds_that_share_their_sequences_share_the_draw_of_them():
    """Two seeds with the very same text say no more about other text than one."""
    n, sums = drawn(np.random.default_rng(3), 0.7)
    one = Bootstrap(table(rows(n, sums))).estimate(A, "iid", "accuracy")
    both = table(rows(n, sums), rows(n, sums, seed=1))
    shared = Bootstrap(both, same_sequences=True).estimate(A, "iid", "accuracy")
    apart = Bootstrap(both).estimate(A, "iid", "accuracy")
    assert np.allclose(shared.resamples, Bootstrap(both, same_sequences=True).estimate(A, "iid", "accuracy").resamples)
    assert width(shared) == pytest.approx(width(one), rel=0.15)
    assert width(apart) < 0.93 * width(one)


def test_versions_of_the_same_sequences_are_drawn_together():
    """A difference between two parts of a split that differ by a constant has no spread."""
    n, sums = np.full(60, 10), np.random.default_rng(4).integers(3, 8, 60).astype(float)
    data = table(rows(n, sums, split="x/one"), rows(n, sums + 1, split="x/two"), rows(n, sums + 1, split="y/two"))
    bootstrap = Bootstrap(data, same_sequences=True)
    one, two, other = (bootstrap.estimate(A, split, "accuracy") for split in ("x/one", "x/two", "y/two"))
    assert np.allclose((two - one).resamples, 0.1, atol=1e-6)
    assert np.std((other - one).resamples) > 0.01


def test_coverage_with_few_seeds_is_what_counting_gives():
    """The lowest of two (three) values is the mean of 1 in 4 (27) resamples, so an interval goes from lowest to highest."""
    assert coverage(2) == pytest.approx(1 / 2, abs=0.03)
    assert coverage(3) == pytest.approx(3 / 4, abs=0.03)
    assert coverage(5) < coverage(40) < 0.95


def test_a_part_that_is_not_drawn_does_not_count_as_zero():
    """Two depths, each in one sentence of three: many resamples miss one of them, and all that is right stays right."""
    parts = [
        rows(np.array([2, 2, 2]), np.array([2.0, 2.0, 2.0])),
        *(rows(np.array([2]), np.array([2.0]), group="depth", value=str(d), sequence=np.array([d - 11])) for d in (11, 12)),
    ]
    above = Bootstrap(table(*parts)).above(A, "iid", "accuracy", "depth", 10)
    assert (above.value, *above.interval) == (1, 1, 1)
