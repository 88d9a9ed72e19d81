"""Intervals: a bootstrap over seeds and over sequences, paired wherever two estimates share sequences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from lib.errors import InputError
from lib.measuring.intervals import Estimates, coverage, mean_of, nothing, rank_correlation, share_interval
from lib.measuring.table import Block
from lib.proxies import MODEL, Simplification

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
    estimate = estimates(block(n, sums), resamples=4_000).estimate(A, "iid", "accuracy")
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
    estimate = estimates(*(block(n, sums) for n, sums in seeds), resamples=4_000).estimate(A, "iid", "accuracy")
    plain = plain_bootstrap(seeds, 3_000, np.random.default_rng(3))
    assert estimate.value == pytest.approx(np.mean([sums.sum() / n.sum() for n, sums in seeds]))
    assert np.allclose(estimate.interval, np.quantile(plain, [0.025, 0.975]), atol=0.02)
    assert np.std(estimate.resamples) == pytest.approx(np.std(plain), rel=0.1)


def test_every_seed_counts_the_same():
    many, few = block([10] * 50, [9.0] * 50), block([1] * 50, [0.5] * 50)
    estimate = estimates(many, few).estimate(A, "iid", "accuracy")
    assert estimate.value == pytest.approx((0.9 + 0.5) / 2)
    assert (estimate.seeds, estimate.positions) == (2, 550)


def test_seeds_with_the_same_sequences_estimate_their_common_mean():
    one = block(*drawn(np.random.default_rng(4), 0.7))
    alone, three = (estimates(*[one] * seeds).estimate(A, "iid", "accuracy") for seeds in (1, 3))
    assert three.value == pytest.approx(alone.value)
    low, high = three.interval
    assert low < three.value < high


def test_the_interval_is_wider_where_seeds_differ():
    rng = np.random.default_rng(5)
    alike = estimates(*[block(*drawn(rng, 0.7, 200))] * 4)
    apart = estimates(*(block(*drawn(rng, mean, 200)) for mean in (0.5, 0.65, 0.75, 0.9)))
    assert width(apart.estimate(A, "iid", "accuracy")) > 2 * width(alike.estimate(A, "iid", "accuracy"))


def test_an_estimate_says_what_its_interval_is_over():
    one = block(*drawn(np.random.default_rng(6), 0.7))
    said = [estimates(*[one] * seeds).estimate(A, "iid", "accuracy").over for seeds in (1, 2, 5)]
    assert said == [
        "the sequences of one seed",
        "2 seeds and their sequences (too narrow with so few seeds)",
        "5 seeds and their sequences",
    ]


def test_about_95_of_100_intervals_contain_the_true_mean():
    """200 simulated studies; with the true coverage .95 the count stays above 179 but once in 10,000 times."""
    true_mean, covered = 0.7, 0
    for study in range(200):
        rng = np.random.default_rng([9, study])
        n = rng.integers(1, 6, 80)
        sums = n * np.clip(rng.normal(true_mean, 0.1, 80), 0, 1)
        low, high = estimates(block(n, sums), resamples=300).estimate(A, "iid", "accuracy").interval
        covered += low <= true_mean <= high
    assert 179 <= covered <= 199


def test_coverage_with_few_seeds_is_what_counting_gives():
    """The lowest of two (three) values is the mean of 1 in 4 (27) resamples, so an interval goes from lowest to highest."""
    assert coverage(2, trials=2_000) == pytest.approx(1 / 2, abs=0.04)
    assert coverage(3, trials=2_000) == pytest.approx(3 / 4, abs=0.04)
    assert coverage(5, trials=2_000) < coverage(40, trials=2_000) < 0.95


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


def test_estimates_are_moved_scaled_and_averaged_resample_by_resample():
    n, sums = drawn(np.random.default_rng(15), 0.7)
    both = estimates(block(n, sums) + block(n, n - sums, simplification=B))
    right, wrong = (both.estimate(s, "iid", "accuracy") for s in (A, B))
    assert mean_of([right, wrong]).interval == pytest.approx((0.5, 0.5))
    low, high = right.interval
    assert right.minus(0.5).interval == pytest.approx((low - 0.5, high - 0.5))
    assert right.scaled(-100).interval == pytest.approx((-100 * high, -100 * low))
    assert right.at_least(right.value).interval == (right.value, pytest.approx(high))
    assert right.at_least(2).value == 2


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
    assert (b - a).excludes_zero
    assert not (same - a).excludes_zero
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
    assert gap.excludes_zero
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
    assert found.excludes_zero


def test_seeds_that_share_their_sequences_share_the_draw_of_them():
    """Two seeds with the very same text say no more about other text than one."""
    one = block(*drawn(np.random.default_rng(3), 0.7))
    alone, apart = (estimates(*[one] * seeds).estimate(A, "iid", "accuracy") for seeds in (1, 2))
    shared = estimates(one, one, same_sequences=True).estimate(A, "iid", "accuracy")
    np.testing.assert_allclose(shared.resamples, alone.resamples, rtol=1e-6)
    assert width(apart) < 0.93 * width(alone)


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
    assert not estimate.excludes_zero
    assert not estimate.measured


def test_a_category_that_one_seed_lacks_is_estimated_over_the_others():
    n, sums = drawn(np.random.default_rng(12), 0.7)
    shallow, deep = (block(n, sums, depth=np.full(60, depth)) for depth in (1, 9))
    both = estimates(shallow, deep)
    estimate = both.estimate(A, "iid", "accuracy", depth=9)
    assert estimate.value == pytest.approx(sums.sum() / n.sum())
    assert estimate.seeds == 1
    assert np.isfinite(estimate.interval).all()
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
    assert not found.matched_gap(A, "same", "control", ["depth"]).excludes_zero
    assert found.gap(A, "same", "control").excludes_zero
    gap = found.matched_gap(A, "worse", "control", ["depth"])
    assert gap.excludes_zero
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
    with pytest.raises(InputError, match="split 'split' has no covariate 'margin', but only: depth, distance"):
        both.matched_gap(A, "split", "control", ["depth", "margin"])


# At a level of agreement

RANKS = [Simplification("svd", rank, 1) for rank in (1, 2, 4, 8)]


def family_of(split: str, shares: list[float], rng: np.random.Generator | None = None) -> Block:
    """A family that is right in these shares of 200 positions a sequence, exactly so or, with `rng`, by chance."""
    n = np.full(50, 200)
    found = [block(n, rng.binomial(n, s) if rng else n * s, split, member) for member, s in zip(RANKS, shares, strict=True)]
    return found[0] + found[1] + found[2] + found[3]


@kernels
def test_transfer_is_read_off_where_the_family_has_the_level_in_distribution():
    both = estimates([family_of("iid", [0.5, 0.7, 0.9, 1.0]), family_of("deep", [0.3, 0.4, 0.8, 1.0])])
    for level, elsewhere in ((0.6, 0.35), (0.8, 0.6), (0.95, 0.9)):
        found = both.transfer_at(RANKS, "deep", "iid", level)
        assert (found.value, *found.interval) == pytest.approx((elsewhere,) * 3, abs=1e-6)
        shuffled = both.transfer_at(RANKS[::-1], "deep", "iid", level)
        assert shuffled.value == pytest.approx(elsewhere, abs=1e-6)
    assert both.transfer_at(RANKS, "iid", "iid", 0.8).value == pytest.approx(0.8)


def test_a_level_that_the_family_does_not_reach_has_no_transfer():
    both = estimates([family_of("iid", [0.5, 0.7, 0.9, 0.95]), family_of("deep", [0.3, 0.4, 0.8, 1.0])])
    for level in (0.45, 0.99):
        assert not both.transfer_at(RANKS, "deep", "iid", level).measured


def test_a_level_that_only_some_resamples_reach_has_no_transfer():
    """Half of the resamples are below the best member's own mean; those above would be a selection."""
    rng = np.random.default_rng(18)
    both = estimates([family_of("iid", [0.5, 0.6, 0.7, 0.8], rng), family_of("deep", [0.3, 0.4, 0.5, 0.6], rng)])
    best = both.estimate(RANKS[3], "iid", "same_prediction").value
    assert not both.transfer_at(RANKS, "deep", "iid", best - 1e-4).measured
    lower = both.transfer_at(RANKS, "deep", "iid", best - 0.05)
    assert lower.measured
    assert lower.interval[0] < best - 0.05 - 0.2 < lower.interval[1]


# Sequences as points


def points(rng: np.random.Generator, slope: float, seeds: int = 2, rows: int = 80) -> pd.DataFrame:
    x = rng.normal(size=(seeds, rows))
    y = slope * x + rng.normal(size=x.shape)
    return pd.DataFrame({"seed": np.repeat(np.arange(seeds), rows), "x": x.ravel(), "y": y.ravel()})


def test_the_rank_correlation_is_spearmans_mean_over_seeds():
    table = points(np.random.default_rng(19), 1).round(1)  # rounded, so that there are ties
    expected = np.mean([spearmanr(rows["x"], rows["y"]).statistic for _, rows in table.groupby("seed")])
    found = rank_correlation(table, "x", "y")
    assert found.value == pytest.approx(expected)
    assert (found.seeds, found.positions) == (2, 160)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rank_correlation_has_the_sign_of_what_was_planted(sign):
    rng = np.random.default_rng(20)
    found = rank_correlation(points(rng, sign * 0.8), "x", "y")
    assert sign * found.value > 0.3
    assert found.excludes_zero
    assert not rank_correlation(points(rng, 0), "x", "y").excludes_zero
    table = points(rng, 1)
    monotone = rank_correlation(table.assign(y=sign * np.exp(table["x"])), "x", "y")
    assert monotone.interval == pytest.approx((sign, sign))


def test_a_share_of_sums_has_the_interval_of_a_plain_bootstrap():
    rng = np.random.default_rng(21)
    whole, part = drawn(rng, 0.3, 80)
    low, high = share_interval(part, whole, resamples=2_000)
    plain = plain_bootstrap([(whole, part)], 2_000, rng)
    assert (low, high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.02)
    assert low < part.sum() / whole.sum() < high
    assert share_interval(whole * 0.25, whole) == pytest.approx((0.25, 0.25))


def test_what_was_not_measured_has_no_interval():
    assert np.isnan(nothing().interval).all()
    assert not nothing().excludes_zero
