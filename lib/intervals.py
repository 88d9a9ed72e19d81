"""Means with 95 % intervals, by a hierarchical bootstrap: over seeds and, within a seed, over sequences.

Sequences, not positions, are drawn, because the positions of one sequence are not independent (Davison and Hinkley 1997,
section 3.8, on resampling nested data). With one seed the interval is over sequences only, and `Estimate.over` says so.

The same draw of seeds and sequences is used whatever is estimated. So differences between two proxies on one split are
paired, and estimates can be subtracted: the interval of the result is that of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        """The central 95 % of the resamples."""
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
        return f"{self.seeds} seeds and their sequences" if self.seeds > 1 else "the sequences of one seed"

    def __sub__(self, other: Estimate) -> Estimate:
        positions = min(self.positions, other.positions)
        return Estimate(self.value - other.value, self.resamples - other.resamples, self.seeds, positions)

    def minus(self, constant: float) -> Estimate:
        """The estimate above a constant."""
        return Estimate(self.value - constant, self.resamples - constant, self.seeds, self.positions)

    def scaled(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        return Estimate(self.value * factor, self.resamples * factor, self.seeds, self.positions)

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        low, high = self.interval
        return f"{self.value:{spec}} [{low:{spec}}, {high:{spec}}]"


class Bootstrap:
    """Estimates of means from a sequences table with a `seed` column (see `lib.faithfulness`).

    Every seed counts the same, however many scored positions it has; within a seed the mean is over scored positions.
    """

    def __init__(self, sequences: pd.DataFrame, resamples: int = 1_000, metrics: Sequence[str] = METRICS):
        self.seeds = sorted(map(int, sequences["seed"].unique()))
        self.resamples = resamples
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(self.seeds), (resamples, len(self.seeds)))
        self._seed_weights = np.stack([(drawn == i).sum(1) for i in range(len(self.seeds))], 1)  # [resamples, seeds]
        keys = ["seed", *SETTING, "split", "group", "group_value"]
        rows = sequences.assign(complexity=sequences["complexity"].fillna(0).astype(int)).reset_index(drop=True)
        self._index = rows.groupby(keys, observed=True).indices  # setting, split, group value -> rows
        self._columns = {name: rows[name].to_numpy() for name in ("sequence", "n", *metrics)}
        self._weights: dict[tuple[int, str], np.ndarray] = {}

    def estimate(self, setting: Setting, split: str, metric: str, group: str = "", value: object = "") -> Estimate:
        """The mean of `metric` for a setting on a split, or on one group value of it; NaN if no position was scored there.

        Raises `InputError` where the setting was not measured on the split.
        """
        totals, means, positions = np.full((self.resamples, len(self.seeds)), np.nan), [], 0
        for i, seed in enumerate(self.seeds):
            key = (seed, setting.layer, setting.head, setting.proxy, setting.complexity or 0, setting.fit_on, split)
            whole = self._index.get((*key, "", ""))
            if whole is None:
                raise InputError(f"{setting} was not measured on split {split!r} with seed {seed}")
            found = self._index.get((*key, group, str(value)))
            if found is None:
                continue
            sequence, sums, n = (self._columns[name][found] for name in ("sequence", metric, "n"))
            if not n.sum():
                continue
            by_sequence = np.zeros((len(whole), 2), np.float32)
            by_sequence[sequence, 0], by_sequence[sequence, 1] = sums, n
            drawn = self._sequence_weights(seed, split, len(whole)) @ by_sequence  # [resamples, 2]
            with np.errstate(invalid="ignore", divide="ignore"):  # a resample may happen to draw no scored position
                totals[:, i] = drawn[:, 0] / drawn[:, 1]
            means.append(sums.sum() / n.sum())
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

    def _sequence_weights(self, seed: int, split: str, sequences: int) -> np.ndarray:
        """How often each sequence of a split is drawn in each resample: float32 [resamples, sequences]."""
        if (seed, split) not in self._weights:
            rng = np.random.default_rng([seed, *split.encode()])
            drawn = rng.multinomial(sequences, np.full(sequences, 1 / sequences), self.resamples)
            self._weights[seed, split] = drawn.astype(np.float32)
        return self._weights[seed, split]
