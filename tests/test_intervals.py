"""Intervals over seeds and over sequences, paired wherever two estimates share them, and how often they hold the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr, ttest_1samp

from lib.errors import InputError
from lib.measuring.association import rank_correlation, share_interval
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of, nothing
from lib.measuring.table import Block
from lib.proxies import MODEL, Simplification
from lib.studies import refuse_twins

kernels = pytest.mark.kernels

A, B, HARD = Simplification("svd", 2, 1), Simplification("kmeans", 16, 1), Simplification("one_hot", None, 0)


def block(n, sums, split="iid", simplification=A, sequence=None, sequences=None, labels=(), **covariates) -> Block:
    """A row for each of `n` (scored positions) that is not 0; of sequence 0, 1, ... unless `sequence` says of which."""
    n, sums = np.asarray(n), np.asarray(sums, np.float32)
    sequence = np.arange(len(n)) if sequence is None else np.asarray(sequence)
    columns = {"sequence": sequence, "n": n, **{name: np.asarray(values) for name, values in covariates.items()}}
    columns = {name: column[n > 0] for name, column in columns.items()}
    values = {(simplification, measure): sums[n > 0] for measure in ("same_prediction", "accuracy")}
    return Block(split, sequences or int(sequence.max()) + 1, columns, values, dict(labels))


def estimates(*of_seeds: Block | list[Block], **options) -> Estimates:
    """Estimates over seeds 0, 1, ..., each with one block or several."""
    return Estimates({seed: of if isinstance(of, list) else [of] for seed, of in enumerate(of_seeds)}, **options)


def drawn(rng: np.random.Generator, mean: float, sequences: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Scored positions and agreements of sequences, some without any; positions of a sequence are not independent."""
    n = rng.integers(0, 6, sequences)
    level = np.clip(rng.normal(mean, 0.15, sequences), 0, 1)
    return n, rng.binomial(n, level).astype(float)


def rates(counts: dict, rate, split: str = "iid", sequences: int = 40, simplification=A) -> Block:
    """So many positions of each combination of depth and distance in every sequence; the share `rate(...)` of them is right."""
    depth, distance, n = (np.tile(part, sequences) for part in zip(*((*at, n) for at, n in counts.items()), strict=True))
    sums = [rate(*at) * n for at, n in counts.items()] * sequences
    sequence = np.repeat(np.arange(sequences), len(counts))
    return block(n, sums, split, simplification, sequence, depth=depth, distance=distance)


def width(estimate: Estimate) -> float:
    low, high = estimate.interval
    return high - low


def apart(estimate: Estimate) -> bool:
    """Whether the interval excludes zero."""
    low, high = estimate.interval
    return low > 0 or high < 0


def plain_bootstrap(n: np.ndarray, sums: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Means of sequences that are drawn with replacement."""
    draws = rng.integers(0, len(n), (resamples, len(n)))
    return sums[draws].sum(1) / n[draws].sum(1)


def test_the_interval_of_one_seed_is_that_of_a_plain_bootstrap():
    n, sums = drawn(np.random.default_rng(0), 0.8)
    estimate = estimates(block(n, sums), resamples=4_000).estimate(A, "iid", "accuracy")
    plain = plain_bootstrap(n, sums, 4_000, np.random.default_rng(1))
    assert estimate.value == pytest.approx(sums.sum() / n.sum())
    assert estimate.positions == n.sum()
    # The standard error of a 2.5 % quantile is about 2.7 standard deviations over the root of the resamples.
    tolerance = 5 * 2.7 * np.std(plain) / np.sqrt(4_000)
    assert np.allclose(estimate.interval, np.quantile(plain, [0.025, 0.975]), atol=tolerance)
    assert np.std(estimate.resamples) == pytest.approx(np.std(plain), rel=0.1)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_over_seeds_with_sequences_of_their_own_is_students(seeds):
    rng = np.random.default_rng(2)
    of_seeds = [drawn(rng, mean, 40) for mean in rng.uniform(0.4, 0.9, seeds)]
    estimate = estimates(*(block(n, sums) for n, sums in of_seeds)).estimate(A, "iid", "accuracy")
    means = [sums.sum() / n.sum() for n, sums in of_seeds]
    low, high = ttest_1samp(means, 0).confidence_interval(0.95)
    assert estimate.value == pytest.approx(np.mean(means))
    assert estimate.interval == pytest.approx((max(low, 0), min(high, 1)))
    assert estimate.resamples is None


def test_where_seeds_share_sequences_half_widths_add_as_squares():
    rng = np.random.default_rng(3)
    n, sums = drawn(rng, 0.6, 80)
    right = [np.clip(sums + shift * n, 0, n) for shift in (-0.05, 0, 0.05)]
    shared = estimates(*(block(n, of) for of in right), same_sequences=True)
    estimate = shared.estimate(A, "iid", "accuracy")
    middle = np.median(estimate.resamples)
    low, high = np.quantile(estimate.resamples, [0.025, 0.975])
    over_seeds = np.diff(ttest_1samp(estimate.by_seed, 0).confidence_interval(0.95))[0] / 2
    expected = estimate.value - np.hypot(over_seeds, middle - low), estimate.value + np.hypot(over_seeds, high - middle)
    assert estimate.interval == pytest.approx(expected)
    plain = plain_bootstrap(n, np.mean(right, 0), 4_000, rng)
    assert np.std(estimate.resamples) == pytest.approx(np.std(plain), rel=0.1)


def test_what_is_not_linear_in_means_is_as_wide_on_either_side_as_its_draws_are():
    """A ratio of means is not the mean of ratios: all draws lie below it, and yet the interval reaches as far down as up."""
    ratio = Estimate(np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.1, 2.2, 2.3, 2.4]))
    low, high = ratio.interval
    assert ratio.value - low == pytest.approx(high - ratio.value)
    over_seeds = np.diff(ttest_1samp(ratio.by_seed, 0).confidence_interval(0.95))[0] / 2
    assert high - ratio.value > over_seeds


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, 1 - 0.05 / 12])
def test_the_interval_over_seeds_follows_the_confidence(confidence):
    of = Estimate(np.array([0.5, 0.6, 0.9]))
    low, high = ttest_1samp(of.by_seed, 0).confidence_interval(confidence)
    assert of.interval_at(confidence) == pytest.approx((low, high))
    assert of.interval == of.interval_at(0.95)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, 1 - 0.05 / 12])
def test_the_interval_over_sequences_follows_the_confidence(confidence):
    drawn = np.random.default_rng(40).gamma(4, 0.1, 4_000)  # not symmetric
    alone = Estimate(np.array([0.4]), drawn)
    tail = (1 - confidence) / 2
    assert alone.interval_at(confidence) == pytest.approx(tuple(np.quantile(drawn, [tail, 1 - tail])))
    several = Estimate(np.array([0.3, 0.4, 0.5]), drawn)
    low, middle, high = np.quantile(drawn, [tail, 0.5, 1 - tail])
    over_seeds = np.diff(ttest_1samp(several.by_seed, 0).confidence_interval(confidence))[0] / 2
    expected = 0.4 - np.hypot(over_seeds, middle - low), 0.4 + np.hypot(over_seeds, high - middle)
    assert several.interval_at(confidence) == pytest.approx(expected)


def test_beyond_its_draws_an_interval_goes_on_as_a_normal_distribution_does():
    """No quantile of 200 draws is further out than the last one: at a tail of 1 in 20,000 it would be too narrow."""
    drawn = norm.ppf(np.linspace(0, 1, 202)[1:-1])
    low, high = Estimate(np.array([0.0]), drawn).interval_at(0.9999)
    assert (low, high) == pytest.approx((-norm.ppf(0.99995), norm.ppf(0.99995)), rel=0.1)
    assert high > 1.3 * drawn.max()
    widths = [width_at(Estimate(np.array([0.0]), drawn), c) for c in (0.5, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.999, 0.9999)]
    assert widths == sorted(widths), "and nowhere does it become narrower"


def width_at(of: Estimate, confidence: float) -> float:
    low, high = of.interval_at(confidence)
    return high - low


def test_every_seed_counts_the_same():
    many, few = block([10] * 50, [9.0] * 50), block([1] * 50, [0.5] * 50)
    estimate = estimates(many, few).estimate(A, "iid", "accuracy")
    assert estimate.value == pytest.approx((0.9 + 0.5) / 2)
    assert (estimate.seeds, estimate.positions) == (2, 550)


def test_the_interval_is_wider_where_seeds_differ():
    rng = np.random.default_rng(5)
    alike = estimates(*(block(*drawn(rng, 0.7, 200)) for _ in range(4)))
    different = estimates(*(block(*drawn(rng, mean, 200)) for mean in (0.5, 0.65, 0.75, 0.9)))
    assert width(different.estimate(A, "iid", "accuracy")) > 2 * width(alike.estimate(A, "iid", "accuracy"))


def test_estimates_say_what_their_intervals_are_over():
    one = block(*drawn(np.random.default_rng(6), 0.7))
    assert [estimates(*[one] * seeds).over for seeds in (1, 2, 5)] == [
        "the sequences of one seed",
        "2 seeds, each with its own sequences",
        "5 seeds, each with its own sequences",
    ]
    assert estimates(one, one, same_sequences=True).over == "2 seeds and their sequences"
    assert estimates(one, same_sequences=True).over == "the sequences of one seed"


def test_some_of_the_seeds():
    rng = np.random.default_rng(8)
    of_seeds = [block(*drawn(rng, mean)) for mean in (0.5, 0.6, 0.8, 0.9)]
    whole = estimates(*of_seeds)
    part = whole.only([3, 1])
    assert part.seeds == [1, 3]
    expected = estimates(of_seeds[1], of_seeds[3]).estimate(A, "iid", "accuracy")
    found = part.estimate(A, "iid", "accuracy")
    assert (found.value, *found.interval) == (expected.value, *expected.interval)
    assert whole.only([0, 1, 2, 3]) is whole
    assert whole.only((1, 3)) is part, "what was computed once is kept"
    alone = whole.only([2]).estimate(A, "iid", "accuracy")
    assert alone.resamples is not None, "of one seed the sequences are drawn"
    with pytest.raises(InputError, match="seed is 7, but must be one of: 0, 1, 2, 3"):
        whole.only([7])
    whole.add(1, [block([4], [4], "late")])
    assert [b.split for b in whole.only([1, 3]).blocks(1)] == ["iid", "late"]


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_seeds_that_are_one_model_are_refused(seeds):
    refuse_twins({seed: f"weights {seed}" for seed in range(seeds)})
    with pytest.raises(InputError, match=f"seeds 0 and {seeds} are one and the same model: .*share a fingerprint"):
        refuse_twins({**{seed: f"weights {seed}" for seed in range(seeds)}, seeds: "weights 0"})


# How often intervals hold the truth

SEQUENCES, TRIALS, TRUTH = 150, 500, 0.5
DIFFERS = {  # standard deviations of what seeds, sequences, and both together add to a mean
    "seeds": (0.02, 0, 0),
    "sequences": (0, 0.02, 0),
    "both": (0, 0, 0.02),
    "all alike": (0.01, 0.01, 0.01),
    "mostly seeds": (0.02, 0.005, 0.005),
}


def simulated(seeds: int, crossed: bool, differs: tuple[float, float, float], number: int) -> tuple[Estimates, list]:
    """Estimates of many studies at once, each in the place of a simplification. One position a sequence."""
    rng = np.random.default_rng([17, seeds, crossed, number])
    studies = [Simplification("svd", trial + 1, 1) for trial in range(TRIALS)]
    of_seed, of_sequence, of_both = (sd * np.sqrt(SEQUENCES) ** (k > 0) for k, sd in enumerate(differs))
    shared = rng.normal(0, of_sequence, (TRIALS, SEQUENCES))
    columns = {"sequence": np.arange(SEQUENCES), "n": np.ones(SEQUENCES, int)}
    blocks = {}
    for seed in range(seeds):
        own = shared if crossed else rng.normal(0, of_sequence, (TRIALS, SEQUENCES))
        values = TRUTH + rng.normal(0, of_seed, (TRIALS, 1)) + own + rng.normal(0, of_both, (TRIALS, SEQUENCES))
        sums = {(s, "accuracy"): row.astype(np.float32) for s, row in zip(studies, values, strict=True)}
        blocks[seed] = [Block("iid", SEQUENCES, columns, sums, {})]
    return Estimates(blocks, same_sequences=crossed), studies


@pytest.mark.parametrize("differs", DIFFERS)
@pytest.mark.parametrize("crossed", [False, True], ids=["own sequences", "the same sequences"])
@pytest.mark.parametrize("seeds", [3, 5])
def test_at_least_93_of_100_intervals_hold_the_truth(seeds, crossed, differs):
    of_all, studies = simulated(seeds, crossed, DIFFERS[differs], [*DIFFERS].index(differs))
    intervals = np.array([of_all.estimate(s, "iid", "accuracy").interval for s in studies])
    assert ((intervals[:, 0] <= TRUTH) & (intervals[:, 1] >= TRUTH)).mean() >= 0.93


def test_a_bootstrap_over_three_seeds_would_not():
    """Where seeds are all that differs, it goes from the lowest to the highest: the truth lies there in 3 of 4 cases."""
    of_all, studies = simulated(3, False, DIFFERS["seeds"], 0)
    means = np.stack([of_all.estimate(s, "iid", "accuracy").by_seed for s in studies])
    draws = np.random.default_rng(0).integers(0, 3, (1_000, 3))
    low, high = np.quantile(means[:, draws].mean(-1), [0.025, 0.975], axis=1)
    held = ((low <= TRUTH) & (high >= TRUTH)).mean()
    assert held == pytest.approx(3 / 4, abs=0.05)
    assert held < 0.93


def test_with_one_seed_the_interval_is_over_its_sequences_alone():
    """It holds the mean of that model, and says nothing of others."""
    (of_all, studies), (alike, _) = (simulated(1, False, DIFFERS[name], 9) for name in ("all alike", "sequences"))
    low, high = np.array([alike.estimate(s, "iid", "accuracy").interval for s in studies]).T
    assert ((low <= TRUTH) & (high >= TRUTH)).mean() >= 0.93
    low, high = np.array([of_all.estimate(s, "iid", "accuracy").interval for s in studies]).T
    assert ((low <= TRUTH) & (high >= TRUTH)).mean() < 0.93


# One estimate


def test_an_estimate_does_not_depend_on_the_order_of_rows():
    n, sums = drawn(np.random.default_rng(14), 0.7)
    order = np.random.default_rng(0).permutation(60)
    one, other = (
        estimates(b).estimate(A, "iid", "accuracy") for b in (block(n, sums), block(n[order], sums[order], sequence=order))
    )
    np.testing.assert_allclose(one.resamples, other.resamples, rtol=1e-6)


def test_an_estimate_is_shown_with_its_interval():
    estimate = estimates(block([1] * 40, [1.0] * 40)).estimate(A, "iid", "accuracy")
    assert f"{estimate}" == "1.000 [1.000, 1.000]"
    assert f"{estimate:.1f}" == "1.0 [1.0, 1.0]"


def test_estimates_are_moved_scaled_and_averaged_draw_by_draw():
    n, sums = drawn(np.random.default_rng(15), 0.7)
    both = estimates(block(n, sums) + block(n, n - sums, simplification=B))
    right, wrong = (both.estimate(s, "iid", "accuracy") for s in (A, B))
    assert mean_of([right, wrong]).interval == pytest.approx((0.5, 0.5))
    low, high = right.interval
    assert (right - 0.5).interval == pytest.approx((low - 0.5, high - 0.5))
    assert (right + 2).interval == pytest.approx((low + 2, high + 2))
    assert right.scaled(-100).interval == pytest.approx((-100 * high, -100 * low))
    assert (right / right).interval == (1, 1)
    assert (right * wrong).value == pytest.approx(right.value * wrong.value)
    assert (right.scaled(3) / 3).interval == pytest.approx(right.interval)


def test_arithmetic_is_seed_by_seed():
    one, other = Estimate(np.array([0.2, 0.4, np.nan])), Estimate(np.array([0.1, np.nan, 0.3]))
    for found, expected in ((one - other, 0.1), (one + other, 0.3), (one * other, 0.02), (one / other, 2)):
        assert (found.value, found.seeds) == (pytest.approx(expected), 1)
        assert np.isnan(found.interval).all(), "of one seed of three nothing says how far it may be off"
    assert not (one - nothing()).measured
    assert not mean_of([one, nothing()]).measured
    assert (Estimate(np.array([1.0]), None, 7) - Estimate(np.array([1.0]), None, 5)).positions == 5


def test_what_is_divided_by_zero_is_not_measured():
    """Neither seed by seed nor draw by draw, and without a warning."""
    ratio = Estimate(np.array([0.2, 0.4, 0.6])) / Estimate(np.array([0.1, 0.0, 0.2]))
    assert (ratio.seeds, ratio.value) == (2, pytest.approx(2.5))
    assert not (Estimate(np.array([0.2])) / Estimate(np.array([0.0]))).measured
    assert not (Estimate(np.array([0.2])) / 0).measured
    drawn_too = Estimate(np.array([0.2]), np.array([0.1, 0.2, 0.3])) / Estimate(np.array([0.1]), np.array([0.0, 0.1, 0.1]))
    assert drawn_too.interval[1] == pytest.approx(3, rel=0.05)
    never = Estimate(np.array([0.2]), np.array([0.1, 0.2])) / Estimate(np.array([0.1]), np.zeros(2))
    assert np.isnan(never.interval).all()


def test_an_interval_ends_where_values_do_and_a_difference_has_no_such_limits():
    shares = Estimate(np.array([0.9, 0.95, 1.0]), limits=(0.0, 1.0))
    assert shares.interval[1] == 1
    assert shares.scaled(100).interval[1] == 100
    assert shares.scaled(-100).interval[0] == -100
    assert (shares - 0.5).interval[1] > 0.5
    assert (shares - shares.scaled(0.5)).interval[1] > 0.5


def test_measures_that_may_exceed_one_are_not_cut_there():
    wide = [replace(block([1] * 4, [k] * 4), sums={(A, "bits"): np.full(4, k, np.float32)}) for k in (1, 3, 5)]
    assert estimates(*wide).estimate(A, "iid", "bits").interval[1] > 5
    wide = [replace(b, columns={**b.columns, "depth": np.ones(4, int)}) for b in wide]
    both = estimates(*([b, replace(b, split="deep")] for b in wide))
    assert both.matched(A, "deep", "iid", ["depth"], "bits", fewest=1).target.interval[1] > 5


# Differences


@kernels
def test_differences_on_one_split_are_paired():
    """Two proxies of nearly the same agreement differ with far less uncertainty than each has on its own."""
    rng = np.random.default_rng(7)
    n, sums = drawn(rng, 0.7, 300)
    better = np.minimum(sums + (rng.random(300) < 0.1), n)
    all_three = estimates(block(n, sums) + block(n, better, simplification=B) + block(n, sums, simplification=HARD))
    a, b, same = (all_three.estimate(s, "iid", "accuracy") for s in (A, B, HARD))
    assert (same - a).value == 0
    assert (same - a).interval == (0, 0)
    assert width(b - a) < 0.5 * width(a)
    assert apart(b - a)
    assert not apart(same - a)
    assert (b - a).value == pytest.approx(better.sum() / n.sum() - sums.sum() / n.sum())


@kernels
def test_the_gap_on_the_reference_split_itself_is_exactly_0():
    of_seeds = estimates(*(block(*drawn(np.random.default_rng(s), 0.6 + s / 10)) for s in range(3)))
    gap = of_seeds.gap(A, "iid", reference="iid")
    assert gap.value == 0
    assert gap.interval == (0, 0)


def test_the_gap_is_in_distribution_minus_out_of_distribution():
    rng = np.random.default_rng(8)
    n, sums = drawn(rng, 0.9, 300)
    m, fewer = drawn(rng, 0.5, 300)
    both = estimates([block(n, sums), block(m, fewer, "unseen_depth")])
    gap = both.gap(A, "unseen_depth", reference="iid", measure="accuracy")
    assert gap.value == pytest.approx(sums.sum() / n.sum() - fewer.sum() / m.sum())
    assert apart(gap)
    assert gap.interval[0] > 0.2
    iid, deep = (both.estimate(A, split, "accuracy") for split in ("iid", "unseen_depth"))
    assert np.std(gap.resamples) == pytest.approx(np.hypot(np.std(iid.resamples), np.std(deep.resamples)), rel=0.1), (
        "sequences of different splits are drawn independently"
    )


@pytest.mark.parametrize(("with_proxy", "sign"), [(0.9, 1), (0.5, -1)], ids=["a better proxy", "a worse proxy"])
def test_a_proxy_that_is_more_often_right_than_the_model_is_above_zero(with_proxy, sign):
    rng = np.random.default_rng(16)
    n = rng.integers(1, 6, 300)
    compared = block(n, rng.binomial(n, with_proxy)) + block(n, rng.binomial(n, 0.7), simplification=MODEL)
    found = estimates(compared).compare_with_model(A, "iid")
    assert found.value == pytest.approx(with_proxy - 0.7, abs=0.05)
    assert sign * found.value > 0
    assert apart(found)


def test_seeds_that_share_their_sequences_share_the_draw_of_them():
    """Two seeds with the very same text and predictions say no more about other text than one."""
    one = block(*drawn(np.random.default_rng(3), 0.7))
    alone = estimates(one).estimate(A, "iid", "accuracy")
    shared = estimates(one, one, same_sequences=True).estimate(A, "iid", "accuracy")
    np.testing.assert_allclose(shared.resamples, alone.resamples, rtol=1e-6)
    assert width(shared) == pytest.approx(width(alone))


@kernels
def test_versions_of_the_same_sequences_are_drawn_together():
    """A difference between two parts of a split that differ by a constant has no spread."""
    n, sums = np.full(60, 10), np.random.default_rng(4).integers(3, 8, 60)
    parts = estimates([block(n, sums, "x/one"), block(n, sums + 1, "x/two"), block(n, sums + 1, "y/two")])
    one, two, other = (parts.estimate(A, split, "accuracy") for split in ("x/one", "x/two", "y/two"))
    np.testing.assert_allclose((two - one).resamples, 0.1, atol=1e-6)
    assert np.std((other - one).resamples) > 0.01


# Where covariates have given values


def test_a_category_is_estimated_over_its_own_positions():
    """The same draw of sequences as for the whole split, of which only some have positions of the category."""
    n, sums = [3, 2, 4, 1] * 20 + [1, 2] * 10, [3, 1, 2, 0] * 20 + [1, 1] * 10
    depth, sequence = [1] * 80 + [3] * 20, [*range(80), *range(0, 80, 4)]
    both = estimates(block(n, sums, sequence=sequence, depth=depth))
    deep = both.estimate(A, "iid", "accuracy", depth=3)
    assert deep.value == pytest.approx(20 / 30)
    assert deep.positions == 30
    assert deep.interval[0] < 20 / 30 < deep.interval[1]
    assert both.estimate(A, "iid", "accuracy", depth=[1, 3]).positions == sum(n)


@kernels
def test_categories_that_are_the_whole_split_have_its_estimate():
    n, sums = drawn(np.random.default_rng(10), 0.7)
    kind = np.arange(60) % 2
    both = estimates(block(n, sums, kind=kind, depth=np.ones(60), labels={"kind": ("even", "odd")}))
    whole = both.estimate(A, "iid", "accuracy")
    for where in ({"depth": 1}, {"kind": ["odd", "even"]}, {"kind": (0, "odd"), "depth": range(3)}):
        np.testing.assert_array_equal(both.estimate(A, "iid", "accuracy", **where).resamples, whole.resamples)
    assert both.estimate(A, "iid", "accuracy", kind="odd").positions == n[kind == 1].sum()


def test_a_category_that_does_not_occur_is_not_a_number():
    n, sums = drawn(np.random.default_rng(11), 0.7)
    estimate = estimates(block(n, sums, depth=np.ones(60))).estimate(A, "iid", "accuracy", depth=9)
    assert np.isnan([estimate.value, *estimate.interval, *estimate.resamples]).all()
    assert (estimate.seeds, estimate.positions) == (0, 0)
    assert not apart(estimate)
    assert not estimate.measured


def test_a_category_that_one_seed_lacks_is_estimated_over_the_others():
    n, sums = drawn(np.random.default_rng(12), 0.7)
    shallow, deep = (block(n, sums, depth=np.full(60, depth)) for depth in (1, 9))
    both = estimates(shallow, deep)
    estimate = both.estimate(A, "iid", "accuracy", depth=9)
    assert estimate.value == pytest.approx(sums.sum() / n.sum())
    assert estimate.seeds == 1
    assert np.isnan(estimate.interval).all(), "neither seeds nor sequences are drawn"
    shared = estimates(shallow, deep, same_sequences=True).estimate(A, "iid", "accuracy", depth=9)
    assert np.isfinite(shared.interval).all()
    assert both.categories("iid", "depth") == [1, 9]


@kernels
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_part_that_is_not_drawn_does_not_count_as_zero(seeds):
    """Two depths, each in one sentence of three: many resamples miss one of them, and all that is right stays right."""
    all_right = block([2, 1, 1], [2, 1, 1], sequence=[0, 1, 2], depth=[10, 11, 12])
    of = estimates(*[all_right] * seeds)
    for where in ({"depth": 11}, {"depth": [11, 12]}, {}):
        estimate = of.estimate(A, "iid", "accuracy", **where)
        assert (estimate.value, *estimate.interval) == (1, 1, 1)
    wrong_elsewhere = replace(all_right, split="control", sums={key: s * 0.5 for key, s in all_right.sums.items()})
    matched = estimates(*[[all_right, wrong_elsewhere]] * seeds).matched_gap(A, "iid", "control", ["depth"], fewest=1)
    assert (matched.value, *matched.interval) == (-0.5, -0.5, -0.5)


@pytest.mark.parametrize(
    ("simplification", "split", "says"),
    [
        pytest.param(
            Simplification("svd", 3, 1), "iid", "accuracy of SVD, rank 3, layer 1, was not measured", id="another rank"
        ),
        pytest.param(
            Simplification("svd", 2, 0), "iid", "accuracy of SVD, rank 2, layer 0, was not measured", id="another layer"
        ),
        pytest.param(A, "unseen_depth", "not measured on split 'unseen_depth' with seed 0", id="another split"),
        pytest.param(MODEL, "iid", "accuracy of model, .*not measured", id="the model"),
    ],
)
def test_what_was_not_measured_is_refused(simplification, split, says):
    with pytest.raises(InputError, match=says):
        estimates(block([1, 2], [1, 1])).estimate(simplification, split, "accuracy")


def test_what_a_seed_lacks_is_refused_and_can_be_added():
    first, second = block([1, 2], [1, 1]), block([1, 2], [0, 1], simplification=B)
    both = estimates(first + second, first)
    assert both.has(A, "iid")
    assert not both.has(B, "iid")
    assert not both.has(A, "unseen_depth")
    with pytest.raises(InputError, match="not measured on split 'iid' with seed 1"):
        both.estimate(B, "iid", "accuracy")
    both.add(1, [second, block([4], [4], "unseen_depth")])
    assert both.estimate(B, "iid", "accuracy").value == pytest.approx(1 / 3)
    assert both.estimate(A, "iid", "accuracy").value == pytest.approx(2 / 3)
    assert [b.split for b in both.blocks(1)] == ["iid", "unseen_depth"]
    with pytest.raises(InputError, match="has no covariate 'depth'"):
        both.estimate(A, "iid", "accuracy", depth=1)


# Matched gaps: the control's positions count as if they had the covariates of the split's

SHALLOW = {(1, 1): 6, (2, 1): 3, (3, 1): 1}
DEEP = {(1, 1): 1, (2, 1): 3, (3, 1): 6}
EVEN = {(depth, distance): 5 for depth in (1, 2) for distance in (1, 2)}
DIAGONAL = {(depth, distance): 8 if depth == distance else 2 for depth in (1, 2) for distance in (1, 2)}


def by_depth(depth: int, distance: int) -> float:
    return {1: 0.9, 2: 0.8, 3: 0.4}[depth]


def better(depth: int, distance: int) -> float:
    return by_depth(depth, distance) + 0.1


def if_equal(depth: int, distance: int) -> float:
    return 1.0 if depth == distance else 0.5


@kernels
@pytest.mark.parametrize(
    ("effect", "matched"),
    [
        pytest.param(lambda depth: 0, 0, id="nothing but depth"),
        pytest.param(lambda depth: 0.1, 0.1, id="worse at every depth"),
        pytest.param(lambda depth: -0.1, -0.1, id="better at every depth"),
        pytest.param(
            lambda depth: 0.1 * (depth - 1), 0.3 * 0.1 + 0.6 * 0.2, id="worse the deeper: as often as the split is so deep"
        ),
    ],
)
def test_a_matched_gap_is_what_covariates_do_not_explain(effect, matched):
    control = rates(SHALLOW, by_depth, "control")
    split = rates(DEEP, lambda depth, distance: by_depth(depth, distance) - effect(depth), "split")
    both = estimates([control, split], [control, split])
    found = both.matched_gap(A, "split", "control", ["depth"])
    assert (found.value, *found.interval) == pytest.approx((matched, matched, matched), abs=1e-6)
    assert (found.seeds, found.positions) == (2, 2 * 40 * 10)
    explained = 0.5 * 0.9 - 0.5 * 0.4  # five of ten positions are at depth 3 instead of 1
    assert both.gap(A, "split", "control").value == pytest.approx(explained + matched, abs=1e-6)


@kernels
def test_a_gap_may_need_several_covariates_at_once():
    """A proxy that is right where depth and distance are equal: each alone is distributed alike, both together are not."""
    both = estimates([rates(EVEN, if_equal, "control"), rates(DIAGONAL, if_equal, "split")])
    for covariates in (["depth"], ["distance"]):
        assert both.matched_gap(A, "split", "control", covariates).value == pytest.approx(0.75 - 0.9, abs=1e-6)
    for covariates in (["depth", "distance"], ["distance", "depth"]):
        assert both.matched_gap(A, "split", "control", covariates).interval == pytest.approx((0, 0), abs=1e-6)


def test_a_matched_gap_of_noisy_sequences_has_an_interval_that_finds_what_was_planted():
    rng = np.random.default_rng(17)

    def noisy(split: str, means: dict[int, float], shares: list[float]) -> Block:
        depth = rng.choice(list(means), 400, p=shares)
        n = rng.integers(1, 6, 400)
        return block(n, rng.binomial(n, [means[d] for d in depth]), split, depth=depth)

    control, same = (noisy(name, {1: 0.9, 2: 0.6}, shares) for name, shares in (("control", [0.8, 0.2]), ("same", [0.2, 0.8])))
    worse = noisy("worse", {1: 0.8, 2: 0.5}, [0.2, 0.8])
    found = estimates([control, same, worse])
    assert not apart(found.matched_gap(A, "same", "control", ["depth"]))
    assert apart(found.gap(A, "same", "control"))
    gap = found.matched_gap(A, "worse", "control", ["depth"])
    assert apart(gap)
    assert gap.value == pytest.approx(0.1, abs=0.06)


def test_what_is_too_rare_in_either_split_is_not_matched():
    """At depth 2 the split has 19 positions, at depth 3 the control; only depth 1 is in both."""
    control = block([60, 60, 19], [60, 60, 19], "control", depth=[1, 2, 3])
    split = block([60, 19, 60], [30, 0, 0], "split", depth=[1, 2, 3])
    both = estimates([control, split])
    found = both.matched_gap(A, "split", "control", ["depth"])
    assert (found.value, found.positions) == (0.5, 60)
    everything = both.matched_gap(A, "split", "control", ["depth"], fewest=19)
    assert everything.value == pytest.approx((0.5 * 60 + 19 + 60) / 139)


def test_a_gap_that_nothing_matches_is_refused():
    both = estimates([rates({(1, 1): 9}, by_depth, "control"), rates({(2, 1): 9}, by_depth, "split")])
    with pytest.raises(InputError, match="no depth and distance has 20 scored positions in both 'control' and 'split'"):
        both.matched_gap(A, "split", "control", ["depth", "distance"])
    with pytest.raises(InputError, match="split 'control' has no covariate 'margin', but only: depth, distance"):
        both.matched_gap(A, "split", "control", ["depth", "margin"])


def test_without_covariates_a_matched_gap_is_the_gap_of_the_same_measure():
    pair = [
        replace(b, sums={**b.sums, (A, "accuracy"): b.sums[A, "accuracy"] * 0.5})
        for b in (rates(SHALLOW, by_depth, "control"), rates(DEEP, by_depth, "split"))
    ]
    both = estimates(pair)
    for measure in ("same_prediction", "accuracy"):
        expected = both.gap(A, "split", "control", measure)
        assert both.matched_gap(A, "split", "control", [], measure=measure).value == expected.value
    assert expected.value == pytest.approx(0.5 * both.gap(A, "split", "control").value)


def test_each_seed_is_matched_to_its_own_mix():
    """Seed 1 has nothing of depth 3 in its control, so there only depths 1 and 2 count."""
    control = [rates(SHALLOW, by_depth, "control"), rates({(1, 1): 5, (2, 1): 5}, by_depth, "control")]
    split = rates(DEEP, lambda depth, distance: by_depth(depth, distance) - 0.1 * (depth == 3), "split")
    found = estimates(*([c, split] for c in control)).matched(A, "split", "control", ["depth"])
    shared = (0.9 + 3 * 0.8) / 4
    assert found.reference.by_seed == pytest.approx([0.09 + 0.24 + 0.24, shared], abs=1e-6)
    assert found.target.by_seed == pytest.approx([0.09 + 0.24 + 0.18, shared], abs=1e-6)
    assert found.gap.by_seed == pytest.approx([0.06, 0], abs=1e-6)


@kernels
@pytest.mark.parametrize("options", [{}, {"same_sequences": True}], ids=["own sequences", "the same sequences"])
def test_a_gap_is_made_of_another_mix_of_what_changes_and_of_what_is_beyond(options):
    """Of ten positions 6, 3, 1 of the reference are at depth 1, 2, 3, and 1, 3, 4 of the split; 2 are at 4, where none agrees.

    Depth 4 aside, the reference weighted as the split has (0.9 + 3 * 0.8 + 4 * 0.4) / 8, and the split 0.1 less at depth 3.
    """
    split_counts = {(1, 1): 1, (2, 1): 3, (3, 1): 4, (4, 1): 2}
    agreed = {1: 0.9, 2: 0.8, 3: 0.3, 4: 0}
    pair = [rates(SHALLOW, by_depth, "control"), rates(split_counts, lambda depth, distance: agreed[depth], "split")]
    found = estimates(*[pair] * 3, **options).decomposition(A, "split", "control", "depth")
    reference, whole = 0.6 * 0.9 + 0.3 * 0.8 + 0.1 * 0.4, 0.09 + 0.24 + 0.12
    weighted, target = (0.9 + 3 * 0.8 + 4 * 0.4) / 8, (0.9 + 3 * 0.8 + 4 * 0.3) / 8
    parts = {"mix": reference - weighted, "within": weighted - target, "beyond": target - whole}
    for name, expected in parts.items():
        of = getattr(found, name)
        assert (of.value, *of.interval) == pytest.approx((expected,) * 3, abs=1e-6)
    assert found.gap.value == pytest.approx(reference - whole, abs=1e-12 + 1e-7)


def test_the_parts_of_a_noisy_gap_add_up_to_it_seed_by_seed_and_draw_by_draw():
    rng = np.random.default_rng(23)

    def noisy(split: str, depths: list[int]) -> Block:
        n = rng.integers(1, 6, 300)
        return block(n, rng.binomial(n, 0.7), split, depth=rng.choice(depths, 300))

    pairs = [[noisy("control", [1, 2, 3]), noisy("split", [2, 3, 4])] for _ in range(3)]
    for of in (estimates(*pairs), estimates(*pairs, same_sequences=True)):
        gap, parts = of.gap(A, "split", "control"), of.decomposition(A, "split", "control", "depth")
        assert parts.gap.by_seed == pytest.approx(gap.by_seed, abs=1e-12)
        assert parts.gap.interval == pytest.approx(gap.interval, abs=1e-5)


def test_the_share_of_a_split_with_given_covariates_is_a_mean_over_seeds():
    both = estimates(rates(SHALLOW, by_depth), rates(DEEP, by_depth))
    assert both.share("iid", depth=1) == pytest.approx((0.6 + 0.1) / 2)
    assert both.share("iid", depth=[2, 3]) == pytest.approx((0.4 + 0.9) / 2)
    assert both.share("iid", depth=9) == 0


# At a level of agreement

RANKS = [Simplification("svd", rank, 1) for rank in (1, 2, 4, 8)]


def family_of(split: str, shares: list[float], rng: np.random.Generator | None = None) -> Block:
    """A family that is right in these shares of 200 positions a sequence, exactly so or, with `rng`, by chance."""
    n = np.full(50, 200)
    found = [block(n, rng.binomial(n, s) if rng else n * s, split, member) for member, s in zip(RANKS, shares, strict=True)]
    return found[0] + found[1] + found[2] + found[3]


def at_level(of: Estimates, level: float, family: list[Simplification] = RANKS, split: str = "deep") -> Estimate:
    """Agreement on a split where that on iid is `level`."""
    return of.at_level(family, "iid", level, lambda member: of.estimate(member, split, "same_prediction"))


@kernels
@pytest.mark.parametrize("seeds", [1, 2])
def test_at_a_level_an_effect_is_between_the_members_of_a_family(seeds):
    of_seed = [family_of("iid", [0.5, 0.7, 0.9, 1.0]), family_of("deep", [0.3, 0.4, 0.8, 1.0])]
    both = estimates(*[of_seed] * seeds)
    for level, elsewhere in ((0.6, 0.35), (0.8, 0.6), (0.95, 0.9)):
        for family in (RANKS, RANKS[::-1]):
            found = at_level(both, level, family)
            assert (found.value, *found.interval) == pytest.approx((elsewhere,) * 3, abs=1e-6)
    assert at_level(both, 0.8, split="iid").value == pytest.approx(0.8)


def test_a_level_is_read_off_seed_by_seed():
    seeds = [([0.5, 0.7, 0.9, 1.0], [0.3, 0.4, 0.8, 1.0]), ([0.4, 0.6, 0.7, 0.9], [0.2, 0.2, 0.2, 0.6])]
    both = estimates(*([family_of("iid", x), family_of("deep", y)] for x, y in seeds))
    assert at_level(both, 0.8).by_seed == pytest.approx([0.6, 0.4], abs=1e-6)


def test_a_level_that_the_family_does_not_reach_has_no_effect():
    both = estimates([family_of("iid", [0.5, 0.7, 0.9, 0.95]), family_of("deep", [0.3, 0.4, 0.8, 1.0])])
    for level in (0.45, 0.99):
        assert not at_level(both, level).measured


def test_a_level_that_one_seed_does_not_reach_has_no_effect():
    """Those that reach it would be a selection."""
    deep = family_of("deep", [0.3, 0.4, 0.8, 1.0])
    both = estimates(*([family_of("iid", x), deep] for x in ([0.5, 0.7, 0.9, 1.0], [0.5, 0.7, 0.75, 0.78])))
    assert not at_level(both, 0.8).measured
    assert at_level(both, 0.75).measured


def test_a_level_that_only_some_draws_reach_has_no_effect():
    """Half of the draws are below the best member's own mean; those above would be a selection."""
    rng = np.random.default_rng(18)
    both = estimates([family_of("iid", [0.5, 0.6, 0.7, 0.8], rng), family_of("deep", [0.3, 0.4, 0.5, 0.6], rng)])
    best = both.estimate(RANKS[3], "iid", "same_prediction").value
    assert not at_level(both, best - 1e-4).measured
    lower = at_level(both, best - 0.05)
    assert lower.interval[0] < best - 0.05 - 0.2 < lower.interval[1]


def test_a_level_may_be_held_where_covariates_have_given_values():
    both = estimates([rates(SHALLOW, by_depth, x) + rates(SHALLOW, better, x, simplification=B) for x in ("iid", "deep")])
    found = both.at_level([A, B], "iid", 0.85, lambda s: both.estimate(s, "deep", "same_prediction"), depth=2)
    agreement = [both.estimate(s, "deep", "same_prediction").value for s in (A, B)]
    assert found.value == pytest.approx(np.mean(agreement), abs=1e-6), "at depth 2 they have 0.8 and 0.9"
    nowhere = both.at_level([A, B], "iid", 0.85, lambda s: both.estimate(s, "deep", "same_prediction"), depth=7)
    assert not nowhere.measured, "nothing was scored there"


def test_between_the_members_of_a_family_of_one_there_is_nothing():
    both = estimates([family_of("iid", [0.5, 0.7, 0.9, 1.0])])
    with pytest.raises(InputError, match="a family of 1 has nothing to interpolate between"):
        at_level(both, 0.8, RANKS[:1])


# Sequences as points


def points(rng: np.random.Generator, slope: float, seeds: int = 2, rows: int = 80) -> pd.DataFrame:
    x = rng.normal(size=(seeds, rows))
    y = slope * x + rng.normal(size=x.shape)
    return pd.DataFrame({"seed": np.repeat(np.arange(seeds), rows), "x": x.ravel(), "y": y.ravel()})


@pytest.mark.parametrize("constant", ["x", "y"])
def test_the_rank_correlation_with_a_constant_is_not_measured(constant):
    assert not rank_correlation(points(np.random.default_rng(19), 1).assign(**{constant: 1.0}), "x", "y").measured


def test_the_rank_correlation_of_one_seed_has_an_interval_over_sequences():
    table = points(np.random.default_rng(24), 1, seeds=1)
    found = rank_correlation(table, "x", "y")
    assert found.interval[0] < found.value < found.interval[1] <= 1
    assert found.resamples is not None


def test_the_rank_correlation_is_spearmans_mean_over_seeds():
    table = points(np.random.default_rng(19), 1).round(1)  # rounded, so that there are ties
    expected = np.mean([spearmanr(rows["x"], rows["y"]).statistic for _, rows in table.groupby("seed")])
    found = rank_correlation(table, "x", "y")
    assert found.value == pytest.approx(expected)
    assert (found.seeds, found.positions) == (2, 160)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rank_correlation_has_the_sign_of_what_was_planted(sign):
    rng = np.random.default_rng(20)
    found = rank_correlation(points(rng, sign * 0.8, seeds=3), "x", "y")
    assert sign * found.value > 0.3
    assert apart(found)
    assert not apart(rank_correlation(points(rng, 0, seeds=3), "x", "y"))
    table = points(rng, 1)
    monotone = rank_correlation(table.assign(y=sign * np.exp(table["x"])), "x", "y")
    assert monotone.interval == pytest.approx((sign, sign))


def test_a_share_of_sums_has_the_interval_of_a_plain_bootstrap():
    rng = np.random.default_rng(21)
    whole, part = drawn(rng, 0.3, 80)
    low, high = share_interval(part, whole, resamples=2_000)
    plain = plain_bootstrap(whole, part, 2_000, rng)
    assert (low, high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.02)
    assert low < part.sum() / whole.sum() < high
    assert share_interval(whole * 0.25, whole) == pytest.approx((0.25, 0.25))


def test_what_was_not_measured_has_no_interval():
    assert np.isnan(nothing().interval).all()
    assert np.isnan(nothing().interval_at(0.99)).all()
    assert not apart(nothing())
