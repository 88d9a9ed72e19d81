"""Means with 95 % intervals, by a hierarchical bootstrap: over seeds and, within a seed, over sequences.

Sequences, not positions, are drawn, because the positions of one sequence are not independent (Davison and Hinkley 1997,
section 3.8, on resampling nested data). With one seed the interval is over sequences only, and `Estimate.over` says so.
With few seeds the bootstrap sees too little of how they differ, and intervals are too narrow: `coverage` says by how much.

The same draw of seeds and sequences is used whatever is estimated. So differences between two proxies on one split are
paired, and estimates can be subtracted: the interval of the result is that of the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from lib.errors import InputError
from lib.measuring.table import Block
from lib.proxies.base import MODEL, Simplification


@dataclass(frozen=True)
class Estimate:
    """A mean, and what it was in each bootstrap resample."""

    value: float
    resamples: np.ndarray  # [resamples]
    seeds: int  # how many seeds it is over
    positions: int  # how many scored positions it is over, all seeds together

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The central 95 % of the resamples; NaN where nothing was measured."""
        if np.isnan(self.resamples).all():
            return np.nan, np.nan
        low, high = np.nanquantile(self.resamples, [0.025, 0.975])
        return float(low), float(high)

    @property
    def excludes_zero(self) -> bool:
        """True if the whole interval lies on one side of zero."""
        low, high = self.interval
        return low > 0 or high < 0

    @property
    def over(self) -> str:
        """What the interval is over, in words."""
        if self.seeds == 1:
            return "the sequences of one seed"
        return f"{self.seeds} seeds and their sequences" + (" (too narrow with so few seeds)" if self.seeds < 5 else "")

    def __sub__(self, other: Estimate) -> Estimate:
        fewest = {name: min(getattr(self, name), getattr(other, name)) for name in ("seeds", "positions")}
        return Estimate(self.value - other.value, self.resamples - other.resamples, **fewest)

    def minus(self, constant: float) -> Estimate:
        """The estimate above a constant."""
        return Estimate(self.value - constant, self.resamples - constant, self.seeds, self.positions)

    @property
    def measured(self) -> bool:
        """False where there was nothing to take a mean of."""
        return not np.isnan(self.value)

    def at_least(self, least: float) -> Estimate:
        """The estimate, with what lies below `least` raised to it."""
        return Estimate(max(self.value, least), np.maximum(self.resamples, least), self.seeds, self.positions)

    def scaled(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        return Estimate(self.value * factor, self.resamples * factor, self.seeds, self.positions)

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        low, high = self.interval
        return f"{self.value:{spec}} [{low:{spec}}, {high:{spec}}]"


class Estimates:
    """Estimates of means over the seeds of a study, from their blocks (see `lib.measuring.table`).

    Every seed counts the same, however many scored positions it has; within a seed the mean is over scored positions.
    """

    def __init__(self, blocks: Mapping[int, Sequence[Block]], same_sequences: bool = False, resamples: int = 1_000):
        """`blocks` by seed. `same_sequences`: sequence i of a split is the same in every seed, so seeds share the draw.

        Splits called `<name>/<part>` share it in any case: sequence i of each part is a version of the same.
        """
        self.resamples, self.same_sequences = resamples, same_sequences
        self._blocks = {seed: {block.split: block for block in of_seed} for seed, of_seed in blocks.items()}
        self.seeds = sorted(self._blocks)
        self.splits = list(self._blocks[self.seeds[0]])
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(self.seeds), (resamples, len(self.seeds)))
        self._seed_weights = np.stack([(drawn == i).sum(1) for i in range(len(self.seeds))], 1)  # [resamples, seeds]
        self._found: dict[tuple, Estimate] = {}

    def add(self, seed: int, blocks: Sequence[Block]) -> None:
        """Take in what else was measured on the same splits with a seed."""
        of_seed = self._blocks[seed]
        for block in blocks:
            of_seed[block.split] = of_seed[block.split] + block if block.split in of_seed else block

    def blocks(self, seed: int) -> list[Block]:
        """The blocks of a seed."""
        return list(self._blocks[seed].values())

    def has(self, simplification: Simplification, split: str) -> bool:
        """Whether a simplification was measured on a split, in every seed."""
        return all(split in of and (simplification, "same_prediction") in of[split].sums for of in self._blocks.values())

    def categories(self, split: str, covariate: str) -> list[int]:
        """The categories of a covariate that occur in a split, in any seed."""
        return sorted({int(v) for of in self._blocks.values() for v in of[split].columns.get(covariate, ())})

    def estimate(self, simplification: Simplification, split: str, measure: str, **where: object) -> Estimate:
        """The mean of `measure` for a simplification on a split, or where covariates have the given values.

        A value is a category of the covariate, the name of one, or several of them. NaN if no position was scored there.
        Raises `InputError` where the simplification was not measured on the split.
        """
        key = (simplification, split, measure, *((name, _hashable(value)) for name, value in sorted(where.items())))
        if key not in self._found:
            self._found[key] = self._estimate(simplification, split, measure, where)
        return self._found[key]

    def _estimate(self, simplification: Simplification, split: str, measure: str, where: Mapping[str, object]) -> Estimate:
        totals, means, positions = np.full((self.resamples, len(self.seeds)), np.nan), [], 0
        for i, seed in enumerate(self.seeds):
            block = self._blocks[seed].get(split)
            if block is None or (simplification, measure) not in block.sums:
                what = f"{simplification.label}, {simplification.place}"
                raise InputError(f"{measure} of {what}, was not measured on split {split!r} with seed {seed}")
            chosen = block.where(where)
            sequence, n = block.columns["sequence"][chosen], block.columns["n"][chosen]
            if not n.sum():
                continue
            sums = block.sums[simplification, measure][chosen]
            by_sequence = np.stack([np.bincount(sequence, part, block.sequences) for part in (sums, n)], 1)
            stream = (0 if self.same_sequences else seed, split.partition("/")[0])
            weights = _sequence_weights(*stream, block.sequences, self.resamples)
            drawn = weights @ by_sequence.astype(np.float32)  # [resamples, 2]
            with np.errstate(invalid="ignore", divide="ignore"):  # a resample may happen to draw no scored position
                totals[:, i] = drawn[:, 0] / drawn[:, 1]
            means.append(sums.sum(dtype=float) / n.sum())
            positions += int(n.sum())
        if not means:
            return nothing(self.resamples)
        return Estimate(float(np.mean(means)), _weighted(totals, self._seed_weights), len(means), positions)

    def gap(self, simplification: Simplification, split: str, reference: str, measure: str = "same_prediction") -> Estimate:
        """The generalization gap: `measure` on the reference split minus on `split`."""
        return self.estimate(simplification, reference, measure) - self.estimate(simplification, split, measure)

    def compare_with_model(self, simplification: Simplification, split: str) -> Estimate:
        """Accuracy with the proxy minus accuracy of the model: above zero where the proxy is better."""
        return self.estimate(simplification, split, "accuracy") - self.estimate(MODEL, split, "accuracy")

    def matched_gap(
        self,
        simplification: Simplification,
        split: str,
        control: str,
        covariates: Sequence[str],
        measure: str = "same_prediction",
        fewest: int = 20,
    ) -> Estimate:
        """The gap to `split` from a control split, with the control's positions weighted to the same values of covariates.

        Only combinations of values with at least `fewest` scored positions in both splits enter, on both sides alike.
        Raises `InputError` where there is none.
        """
        combinations = set()
        for of in self._blocks.values():
            block = of[split]
            block.where(dict.fromkeys(covariates, 0))  # refuses a covariate that the split does not have
            combinations |= set(zip(*(block.columns[name].tolist() for name in covariates), strict=True))
        parts = []
        for values in sorted(combinations):
            where = dict(zip(covariates, values, strict=True))
            inside, outside = (self.estimate(simplification, name, measure, **where) for name in (control, split))
            if min(inside.positions, outside.positions) >= fewest:
                parts.append((inside - outside, outside.positions))
        if not parts:
            named = " and ".join(covariates)
            raise InputError(f"no {named} has {fewest} scored positions in both {control!r} and {split!r}: measure more")
        weights = np.array([positions for _, positions in parts])
        value = float(np.average([part.value for part, _ in parts], weights=weights))
        resamples = _weighted(np.stack([part.resamples for part, _ in parts], 1), weights)
        return Estimate(value, resamples, min(part.seeds for part, _ in parts), int(weights.sum()))

    def transfer_at(
        self, family: Sequence[Simplification], split: str, reference: str, level: float, measure: str = "same_prediction"
    ) -> Estimate:
        """`measure` on `split` where a family has `level` on `reference`, between its members by linear interpolation.

        NaN where the family does not reach the level, in the data or in more than one of twenty resamples.
        """
        x, y = ([self.estimate(member, name, measure) for member in family] for name in (reference, split))

        def at_level(of_x: np.ndarray, of_y: np.ndarray) -> float:
            order = np.argsort(of_x)
            return np.interp(level, of_x[order], of_y[order], left=np.nan, right=np.nan)

        value = at_level(np.array([e.value for e in x]), np.array([e.value for e in y]))
        columns = zip(np.stack([e.resamples for e in x], 1), np.stack([e.resamples for e in y], 1), strict=True)
        resamples = np.array([at_level(of_x, of_y) for of_x, of_y in columns])
        if np.isnan(value) or np.isnan(resamples).mean() > 0.05:  # those that reach it would be a selection
            return nothing(self.resamples)
        return Estimate(float(value), resamples, len(self.seeds), min(e.positions for e in y))


def nothing(resamples: int = 1) -> Estimate:
    """The estimate of what was not measured."""
    return Estimate(np.nan, np.full(resamples, np.nan), 0, 0)


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [resamples] of values [resamples, parts]; a part that a resample did not draw (NaN) has no weight."""
    weights = np.where(np.isnan(values), 0, weights)
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(values) * weights).sum(1) / weights.sum(1)


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


@lru_cache(maxsize=48)  # the same for every study of the same seeds, and at full size too large to keep them all
def _sequence_weights(seed: int, split: str, sequences: int, resamples: int) -> np.ndarray:
    """How often each sequence of a split is drawn in each resample: float32 [resamples, sequences]."""
    rng = np.random.default_rng([seed, *split.encode()])
    return rng.multinomial(sequences, np.full(sequences, 1 / sequences), resamples).astype(np.float32)


def coverage(seeds: int, trials: int = 4_000, resamples: int = 1_000) -> float:
    """How often the 95 % interval of a bootstrap over `seeds` values holds their true mean, simulated with normal values.

    That is the worst case, in which seeds are all that differs.
    """
    rng = np.random.default_rng(0)
    values = rng.standard_normal((trials, seeds))  # whose true mean is 0
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    low, high = np.quantile(values @ drawn.T, [0.025, 0.975], axis=1)
    return float(((low <= 0) & (high >= 0)).mean())


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The plain mean of estimates that share their resamples."""
    resamples = np.mean([estimate.resamples for estimate in estimates], axis=0)
    value = float(np.mean([estimate.value for estimate in estimates]))
    fewest = {name: min(getattr(estimate, name) for estimate in estimates) for name in ("seeds", "positions")}
    return Estimate(value, resamples, **fewest)


def rank_correlation(table: pd.DataFrame, x: str, y: str, resamples: int = 500) -> Estimate:
    """Spearman's rank correlation between two columns over rows (sequences) of a table with a `seed` column, mean over seeds.

    The same two-stage bootstrap as above: over seeds and, within a seed, over rows. NaN where a column is constant.
    """
    rng = np.random.default_rng(0)
    by_seed = [rows[[x, y]].rank().to_numpy() for _, rows in table.groupby("seed")]
    with np.errstate(invalid="ignore"):
        values = [np.corrcoef(ranks.T)[0, 1] for ranks in by_seed]
        within = []
        for ranks in by_seed:
            draws = rng.integers(0, len(ranks), (resamples, len(ranks)))
            within.append([np.corrcoef(pd.DataFrame(ranks[draw]).rank().to_numpy().T)[0, 1] for draw in draws])
    drawn = rng.integers(0, len(by_seed), (resamples, len(by_seed)))
    mean = np.array(within).T[np.arange(resamples)[:, None], drawn].mean(1)
    return Estimate(float(np.mean(values)), mean, len(by_seed), len(table))


def share_interval(part: np.ndarray, whole: np.ndarray, resamples: int = 500) -> tuple[float, float]:
    """A 95 % bootstrap interval for sum(part) / sum(whole), drawing rows (sequences)."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), resamples) @ np.stack([part, whole], 1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
