"""Means with 95 % intervals over seeds and, within a seed, over sequences.

Where every seed has sequences of its own, the means of seeds are independent and the interval is Student's t over them: what
differs between training runs and between samples is in it. Where all seeds are tested on the same sequences, those are drawn
anew as well (a bootstrap; whole sequences, because the positions of one are not independent), and the two half-widths are
added as squares. With one seed only sequences are drawn; where only one of several seeds has something to take a mean of, and
no sequences are drawn, there is no interval. Simulated studies in `tests/test_intervals.py` hold the truth in at least 93 % of
cases with three and with five seeds, in both designs.

Everything is computed seed by seed, and draws of sequences are the same whatever is estimated. So estimates can be subtracted:
the interval of the result is that of the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import special  # `scipy.stats` has the same by other names, and takes a second to load

CONFIDENCE = 0.95  # of intervals, where nothing else is asked for
UNBOUNDED = ("output_kl", "bits")  # measures that may exceed 1
_ANY = (-np.inf, np.inf)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, with what is needed for its interval."""

    by_seed: np.ndarray  # [seeds], NaN where a seed has nothing to take a mean of
    resamples: np.ndarray | None = field(default=None, repr=False)
    """[resamples] the mean over seeds with sequences drawn anew; None: the interval is over seeds alone."""
    positions: int = 0  # how many scored positions it is over, all seeds together
    limits: tuple[float, float] = _ANY  # what values are possible

    @cached_property
    def value(self) -> float:
        """The mean over the seeds that have one; NaN if none has."""
        return float(np.nanmean(self.by_seed)) if self.seeds else np.nan

    @property
    def seeds(self) -> int:
        """How many seeds it is over."""
        return int((~np.isnan(self.by_seed)).sum())

    @property
    def measured(self) -> bool:
        """False where there was nothing to take a mean of."""
        return self.seeds > 0

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval; NaN where nothing was measured, or nothing says how far it may be off."""
        return self.interval_at(CONFIDENCE)

    def interval_at(self, confidence: float) -> tuple[float, float]:
        """The interval at another confidence, over seeds and over sequences alike."""
        if not self.measured or (self.seeds == 1 and self.resamples is None):
            return np.nan, np.nan
        over_seeds = below = above = 0.0
        if self.seeds > 1:
            error = np.nanstd(self.by_seed, ddof=1) / np.sqrt(self.seeds)
            over_seeds = _t_quantile(self.seeds - 1, confidence) * float(error)
        if self.resamples is not None:
            below, above = self._over_sequences(confidence)
        low, high = self.value - np.hypot(over_seeds, below), self.value + np.hypot(over_seeds, above)
        return float(max(low, self.limits[0])), float(min(high, self.limits[1]))

    def _over_sequences(self, confidence: float) -> tuple[float, float]:
        """How far the interval reaches below and above the value because sequences are drawn.

        Draws are of a mean over seeds. What is computed from such means, a ratio say, is not the mean of the seeds' ratios, and
        a seed may lack what a draw has: so with several seeds distances count from the middle of the draws. Further out than
        the second of all draws it reaches as much further as a normal distribution does: a quantile would end at the last one.
        """
        drawn = self.resamples[~np.isnan(self.resamples)]
        if not len(drawn):
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        known = max(tail, min((1 - CONFIDENCE) / 2, 2 / len(drawn)))
        low, middle, high = np.quantile(drawn, [known, 0.5, 1 - known])
        middle = self.value if len(self.by_seed) == 1 else middle
        further = 1.0 if known == tail else float(special.ndtri(tail) / special.ndtri(known))
        return further * max(0.0, middle - low), further * max(0.0, high - middle)

    def _combined(self, other: Estimate | float, of: Callable) -> Estimate:
        """`of` both, seed by seed and draw by draw; without draws where either has none."""
        if not isinstance(other, Estimate):
            drawn = None if self.resamples is None else of(self.resamples, other)
            return replace(self, by_seed=of(self.by_seed, other), resamples=drawn, limits=_ANY)
        drawn = None if self.resamples is None or other.resamples is None else of(self.resamples, other.resamples)
        return Estimate(of(self.by_seed, other.by_seed), drawn, min(self.positions, other.positions))

    def __sub__(self, other: Estimate | float) -> Estimate:
        return self._combined(other, np.subtract)

    def __add__(self, other: Estimate | float) -> Estimate:
        return self._combined(other, np.add)

    def __mul__(self, other: Estimate | float) -> Estimate:
        return self._combined(other, np.multiply)

    def __truediv__(self, other: Estimate | float) -> Estimate:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self._combined(other, lambda a, b: np.where(b == 0, np.nan, np.divide(a, b)))

    def scaled(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        low, high = sorted(limit * factor for limit in self.limits)
        return replace(self._combined(factor, np.multiply), limits=(low, high))

    def __format__(self, spec: str) -> str:
        spec = spec or ".3f"
        low, high = self.interval
        return f"{self.value:{spec}} [{low:{spec}}, {high:{spec}}]"


@lru_cache
def _t_quantile(degrees: int, confidence: float) -> float:
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def limits_of(measure: str) -> tuple[float, float]:
    """What values of a measure are possible."""
    return 0.0, np.inf if measure in UNBOUNDED else 1.0


def nothing() -> Estimate:
    """The estimate of what was not measured."""
    return Estimate(np.array([np.nan]))


def mean_over_seeds(drawn: Sequence[np.ndarray]) -> np.ndarray | None:
    """[resamples] the mean over seeds, of those that a resample drew something of; None if nothing was drawn."""
    if not drawn:
        return None
    values = np.stack(drawn)
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(values).sum(0) / np.where(there.any(0), there.sum(0), np.nan)


@lru_cache(maxsize=48)  # the same for every study of the same seeds, and at full size too large to keep them all
def sequence_weights(seed: int, split: str, sequences: int, resamples: int) -> np.ndarray:
    """How often each sequence of a split is drawn in each resample: float32 [resamples, sequences]."""
    rng = np.random.default_rng([seed, *split.encode()])
    return rng.multinomial(sequences, np.full(sequences, 1 / sequences), resamples).astype(np.float32)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The plain mean of estimates of the same seeds."""
    first, *others = estimates
    for other in others:
        first = first + other
    return first.scaled(1 / len(estimates))
