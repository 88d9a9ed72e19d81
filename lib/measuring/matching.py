"""Comparing what is alike: rows of two splits in groups of equal covariates, and curves at equal agreement."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lib.measuring.intervals import Estimate
from lib.measuring.table import Block


class Matched(NamedTuple):
    """A measure on two splits where they have the same values of covariates."""

    reference: Estimate  # on the reference, weighted as these values occur in the other split
    target: Estimate  # on the other split

    @property
    def gap(self) -> Estimate:
        """What is lost from the one to the other."""
        return self.reference - self.target


class Decomposition(NamedTuple):
    """A gap in three parts that add up to it."""

    mix: Estimate  # what other shares of the covariates' values cost, at the agreement that they have in the reference
    within: Estimate  # what agreement loses at the same values
    beyond: Estimate  # what values cost that the reference does not have

    @property
    def gap(self) -> Estimate:
        """The whole."""
        return self.mix + self.within + self.beyond


class Cells(NamedTuple):
    """Combinations of values of covariates in two splits, as groups of rows."""

    codes: list[tuple[np.ndarray, np.ndarray]]  # by seed, of the reference and of the other split: [row] its group
    kept: np.ndarray  # [group] which groups have enough positions in both
    positions: int  # of the other split in these, all seeds together


class Grouped:
    """The rows of a block in groups."""

    def __init__(self, block: Block, codes: np.ndarray, kept: np.ndarray, values: np.ndarray):
        """`codes` [row] says which group each is in, `kept` [group] which groups count."""
        chosen = kept[codes]
        self.group, self.groups = (np.cumsum(kept) - 1)[codes[chosen]], int(kept.sum())
        self.sequence, self.sequences = block.columns["sequence"][chosen], block.sequences
        self.parts = values[chosen].astype(float), block.columns["n"][chosen].astype(float)

    def sums(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Sums of values and of positions [group], or with `weights` [resamples, sequences] of sequences [resamples, group]."""
        if weights is None:
            return tuple(np.bincount(self.group, part, self.groups) for part in self.parts)
        cell, shape = self.sequence * np.int64(self.groups) + self.group, (self.sequences, self.groups)
        return tuple(weights @ np.bincount(cell, part, np.prod(shape)).reshape(shape).astype(np.float32) for part in self.parts)


def reweighted(
    reference: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Means [...] of reference and target over groups [..., group] that the reference has, weighted as in the target."""
    weights = np.where(reference[1] > 0, target[1], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return tuple((np.nan_to_num(sums / n) * weights).sum(-1) / weights.sum(-1) for sums, n in (reference, target))


def interpolated(level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y at x = `level` of curves [member, curve], NaN where a curve does not reach it."""
    order = np.argsort(x, axis=0)
    x, y = (np.take_along_axis(of, order, 0) for of in (x, y))
    return np.array([np.interp(level, *curve, left=np.nan, right=np.nan) for curve in zip(x.T, y.T, strict=True)])
