"""Means with 95 % intervals, by a hierarchical bootstrap: over seeds and, within a seed, over sequences.

Sequences, not positions, are drawn, because the positions of one sequence are not independent (Davison and Hinkley 1997,
section 3.8, on resampling nested data). With one seed the interval is over sequences only, and `Estimate.over` says so.
With few seeds the bootstrap sees too little of how they differ, and intervals are too narrow: `coverage` says by how much.

The same draw of seeds and sequences is used whatever is estimated. So differences between two proxies on one split are
paired, and estimates can be subtracted: the interval of the result is that of the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from lib.errors import InputError
from lib.faithfulness import METRICS, SETTING
from lib.proxies import Setting


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
        return f"{self.seeds} seeds and their sequences" + (" (so few seeds: too narrow)" if self.seeds < 5 else "")

    def __sub__(self, other: Estimate) -> Estimate:
        positions = min(self.positions, other.positions)
        return Estimate(self.value - other.value, self.resamples - other.resamples, self.seeds, positions)

    def minus(self, constant: float) -> Estimate:
        """The estimate above a constant."""
        return Estimate(self.value - constant, self.resamples - constant, self.seeds, self.positions)

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


class Bootstrap:
    """Estimates of means from sequences tables with a `seed` column (see `lib.faithfulness`), all seeds in one or one each.

    Every seed counts the same, however many scored positions it has; within a seed the mean is over scored positions.
    """

    def __init__(
        self,
        tables: pd.DataFrame | Iterable[pd.DataFrame],
        resamples: int = 1_000,
        metrics: Sequence[str] = METRICS,
        same_sequences: bool = False,
    ):
        """`same_sequences`: sequence i of a split is of the same function in every seed, so seeds share the draw of sequences.

        Splits called `<name>/<part>` share it in any case: sequence i of each part is a version of the same.
        """
        self.resamples, self.same_sequences = resamples, same_sequences
        self._rows: dict[tuple, list[Mapping[str, np.ndarray]]] = {}  # seed, setting, split, group value -> columns of its rows
        for table in [tables] if isinstance(tables, pd.DataFrame) else tables:
            self._add(table, ("sequence", "n", *metrics))
        self.seeds = sorted({key[0] for key in self._rows})
        self.splits = list(dict.fromkeys(key[-3] for key in self._rows))
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(self.seeds), (resamples, len(self.seeds)))
        self._seed_weights = np.stack([(drawn == i).sum(1) for i in range(len(self.seeds))], 1)  # [resamples, seeds]

    def _add(self, table: pd.DataFrame, columns: Sequence[str]) -> None:
        """Note which rows of a table belong to which measurement. Tables have millions of rows: only numbers are kept."""
        names = ["seed", *SETTING, "split", "group", "group_value"]
        begins = np.zeros(len(table), bool)
        for name in names:
            begins |= np.diff(pd.factorize(table[name])[0], prepend=-2) != 0
        starts = np.flatnonzero(begins)
        keys = table[names].iloc[starts].astype({"seed": int}).fillna({"complexity": 0}).itertuples(index=False, name=None)
        values = {name: table[name].to_numpy() for name in columns}
        for key, start, stop in zip(keys, starts, [*starts[1:], len(table)], strict=True):
            self._rows.setdefault(key, []).append({name: column[start:stop] for name, column in values.items()})

    def has(self, setting: Setting, split: str) -> bool:
        """Whether a setting was measured on a split."""
        return (*self._measurement(self.seeds[0], setting, split), "", "") in self._rows

    @staticmethod
    def _measurement(seed: int, setting: Setting, split: str) -> tuple:
        """What rows of a measurement are found by, but for the group."""
        return (seed, setting.layer, setting.head, setting.proxy, setting.complexity or 0, setting.fit_on, split)

    def estimate(self, setting: Setting, split: str, metric: str, group: str = "", value: object = "") -> Estimate:
        """The mean of `metric` for a setting on a split, or on one group value of it; NaN if no position was scored there.

        Raises `InputError` where the setting was not measured on the split.
        """
        totals, means, positions = np.full((self.resamples, len(self.seeds)), np.nan), [], 0
        for i, seed in enumerate(self.seeds):
            key = self._measurement(seed, setting, split)
            whole = self._rows.get((*key, "", ""))
            if whole is None:
                raise InputError(f"{setting} was not measured on split {split!r} with seed {seed}")
            found = self._rows.get((*key, group, str(value)))
            if found is None:
                continue
            sequence, sums, n = (np.concatenate([part[name] for part in found]) for name in ("sequence", metric, "n"))
            if not n.sum():
                continue
            by_sequence = np.zeros((sum(len(part["n"]) for part in whole), 2), np.float32)
            by_sequence[sequence, 0], by_sequence[sequence, 1] = sums, n
            stream = (0 if self.same_sequences else seed, split.partition("/")[0])
            drawn = _sequence_weights(*stream, len(by_sequence), self.resamples) @ by_sequence  # [resamples, 2]
            with np.errstate(invalid="ignore", divide="ignore"):  # a resample may happen to draw no scored position
                totals[:, i] = drawn[:, 0] / drawn[:, 1]
            means.append(sums.sum(dtype=float) / n.sum())
            positions += int(n.sum())
        if not means:
            return Estimate(np.nan, np.full(self.resamples, np.nan), 0, 0)
        weights = np.where(np.isnan(totals), 0, self._seed_weights)
        with np.errstate(invalid="ignore"):
            resamples = (np.nan_to_num(totals) * weights).sum(1) / weights.sum(1)
        return Estimate(float(np.mean(means)), resamples, len(means), positions)

    def gap(self, setting: Setting, split: str, metric: str = "same_prediction", reference: str = "iid") -> Estimate:
        """The generalization gap of a setting: `metric` on the reference split minus on `split`."""
        return self.estimate(setting, reference, metric) - self.estimate(setting, split, metric)

    def compare_with_model(self, setting: Setting, split: str) -> Estimate:
        """Accuracy with the proxy minus accuracy of the model: above zero where the proxy is better."""
        return self.estimate(setting, split, "accuracy") - self.estimate(setting, split, "original_accuracy")

    def above(self, setting: Setting, split: str, metric: str, group: str, value: int) -> Estimate:
        """The mean of `metric` over the positions of a split whose `group` value is larger than `value`, as one share."""
        larger = sorted({int(key[-1]) for key in self._rows if key[-3:-1] == (split, group) and int(key[-1]) > value})
        return self._pooled([self.estimate(setting, split, metric, group, v) for v in larger])

    def _pooled(self, parts: Sequence[Estimate]) -> Estimate:
        """The mean of estimates, each weighted by its positions; a part that a resample did not draw has no weight in it."""
        parts = [part for part in parts if part.positions]
        if not parts:
            return Estimate(np.nan, np.full(self.resamples, np.nan), 0, 0)
        weights = np.array([part.positions for part in parts])
        values = np.stack([part.resamples for part in parts], 1)  # [resamples, parts]
        drawn = np.where(np.isnan(values), 0, weights)
        with np.errstate(invalid="ignore"):
            resamples = (np.nan_to_num(values) * drawn).sum(1) / drawn.sum(1)
        value = float(np.average([part.value for part in parts], weights=weights))
        return Estimate(value, resamples, len(self.seeds), int(weights.sum()))

    def matched_gap(
        self, setting: Setting, split: str, control: str, group: str, metric: str = "same_prediction", fewest: int = 20
    ) -> Estimate:
        """The gap to `split` from a control split, with the control's positions weighted to the same values of `group`.

        Only values of the group with at least `fewest` scored positions in both splits enter, on both sides alike.
        """
        values = {key[-1] for key in self._rows if key[-3:-1] == (split, group)}
        pairs = [[self.estimate(setting, name, metric, group, value) for name in (control, split)] for value in sorted(values)]
        pairs = [(c, s) for c, s in pairs if min(c.positions, s.positions) >= fewest]
        if not pairs:
            raise InputError(
                f"no {group} has {fewest} scored positions in both {control!r} and {split!r}: measure more sentences"
            )
        return self._pooled([replace(c - s, positions=s.positions) for c, s in pairs])

    def transfer_at(self, family: Sequence[Setting], split: str, level: float, metric: str = "same_prediction") -> Estimate:
        """`metric` on `split` where a family of settings has `level` on iid, between settings by linear interpolation.

        NaN where the family does not reach the level, in the data or in more than one of twenty resamples.
        """
        x, y = ([self.estimate(setting, name, metric) for setting in family] for name in ("iid", split))

        def at_level(of_x: np.ndarray, of_y: np.ndarray) -> float:
            order = np.argsort(of_x)
            return np.interp(level, of_x[order], of_y[order], left=np.nan, right=np.nan)

        value = at_level(np.array([e.value for e in x]), np.array([e.value for e in y]))
        columns = zip(np.stack([e.resamples for e in x], 1), np.stack([e.resamples for e in y], 1), strict=True)
        resamples = np.array([at_level(of_x, of_y) for of_x, of_y in columns])
        if np.isnan(resamples).mean() > 0.05:  # those that reach it would be a selection
            value, resamples = np.nan, np.full_like(resamples, np.nan)
        return Estimate(float(value), resamples, len(self.seeds), min(e.positions for e in y))


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

    The same two-stage bootstrap as above: over seeds and, within a seed, over rows.
    """
    rng = np.random.default_rng(0)
    by_seed = [rows[[x, y]].rank().to_numpy() for _, rows in table.groupby("seed")]
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
