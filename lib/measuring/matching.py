"""Comparing what is alike: rows of two splits in groups of equal covariates, and curves at equal agreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lib.errors import InputError, one_of
from lib.measuring.intervals import Estimate, limits_of, mean_over_seeds, nothing
from lib.measuring.table import Block
from lib.proxies.base import Simplification


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


class Comparisons:
    """What `Estimates` say of two splits, or of a family of proxies, once both sides are alike."""

    def matched(
        self,
        simplification: Simplification,
        split: str,
        reference: str,
        covariates: Sequence[str],
        measure: str = "same_prediction",
        fewest: int = 20,
    ) -> Matched:
        """`measure` on a reference split weighted to the values of covariates that `split` has, and on `split`.

        Only combinations of values with at least `fewest` scored positions in both splits, all seeds together, enter, on both
        sides alike. Raises `InputError` where there is none, or where a split lacks a covariate.
        """
        cells = self._cells(split, reference, tuple(covariates), fewest)
        means, drawn = ([], []), ([], [])
        for seed, codes in zip(self.seeds, cells.codes, strict=True):
            blocks = [self._block(simplification, name, measure, seed) for name in (reference, split)]
            pair = [
                Grouped(block, of_row, cells.kept, block.sums[simplification, measure])
                for block, of_row in zip(blocks, codes, strict=True)
            ]
            for side, value in enumerate(reweighted(*(grouped.sums() for grouped in pair))):
                means[side].append(float(value))
            if self.resamples:
                sums = [grouped.sums(self.draws(seed, block)) for grouped, block in zip(pair, blocks, strict=True)]
                for side, value in enumerate(reweighted(*sums)):
                    drawn[side].append(value)
        sides = zip(means, drawn, strict=True)
        return Matched(*(Estimate(np.array(m), mean_over_seeds(d), cells.positions, limits_of(measure)) for m, d in sides))

    def _cells(self, split: str, reference: str, covariates: tuple[str, ...], fewest: int) -> Cells:
        """The combinations of values of covariates in both splits."""
        key = (split, reference, covariates, fewest)
        if key not in self._found_cells:
            for name in (split, reference):
                one_of("split", name, self.splits)
            blocks = [self._blocks[seed][name] for seed in self.seeds for name in (reference, split)]
            for block in blocks:
                block.where(dict.fromkeys(covariates, 0))  # refuses a covariate that the split does not have
            rows = [np.stack([block.columns[name] for name in covariates], 1) for block in blocks]
            _, codes = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
            codes = np.split(codes.ravel(), np.cumsum([len(of) for of in rows])[:-1])
            count = 1 + max(int(of.max(initial=0)) for of in codes)
            totals = [np.bincount(of, block.columns["n"], count) for of, block in zip(codes, blocks, strict=True)]
            kept = np.minimum(sum(totals[0::2]), sum(totals[1::2])) >= fewest
            if not kept.any():
                named = " and ".join(covariates)
                raise InputError(f"no {named} has {fewest} scored positions in both {reference!r} and {split!r}: measure more")
            pairs = list(zip(codes[0::2], codes[1::2], strict=True))
            self._found_cells[key] = Cells(pairs, kept, int(sum(totals[1::2])[kept].sum()))
        return self._found_cells[key]

    def matched_gap(
        self, simplification: Simplification, split: str, reference: str, covariates: Sequence[str], **options
    ) -> Estimate:
        """The gap where both splits have the same values of covariates; `options` are those of `matched`. Without covariates,
        the gap.
        """
        if not covariates:
            return self.gap(simplification, split, reference, options.get("measure", "same_prediction"))
        return self.matched(simplification, split, reference, covariates, **options).gap

    def decomposition(
        self, simplification: Simplification, split: str, reference: str, covariate: str, **options
    ) -> Decomposition:
        """The gap from `reference` to `split` in what the mix of a covariate's values costs, what changes at the same values,
        and what values cost that the reference does not have (or too rarely; see `matched`).
        """
        whole = [self.estimate(simplification, name, "same_prediction") for name in (reference, split)]
        matched = self.matched(simplification, split, reference, [covariate], **options)
        return Decomposition(whole[0] - matched.reference, matched.gap, matched.target - whole[1])

    def at_level(
        self,
        family: Sequence[Simplification],
        reference: str,
        level: float,
        effect: Callable[[Simplification], Estimate],
        **where: object,
    ) -> Estimate:
        """An effect where a family agrees with the model in `level` of cases on `reference` (or there `where` covariates have
        these values): between its members by linear interpolation, seed by seed.

        NaN where one seed, or more than one of twenty draws, does not reach the level.

        Raises `InputError` for a family of one, in which there is nothing to interpolate.
        """
        if len(family) < 2:
            raise InputError(f"a family of {len(family)} has nothing to interpolate between: measure further settings of it")
        x = [self.estimate(member, reference, "same_prediction", **where) for member in family]
        y = [effect(member) for member in family]
        by_seed = interpolated(level, np.stack([e.by_seed for e in x]), np.stack([e.by_seed for e in y]))
        if np.isnan(by_seed).any():  # those that reach it would be a selection
            return nothing()
        drawn = None
        if all(e.resamples is not None for e in (*x, *y)):
            drawn = interpolated(level, np.stack([e.resamples for e in x]), np.stack([e.resamples for e in y]))
            if np.isnan(drawn).mean() > 0.05:
                return nothing()
        return Estimate(by_seed, drawn, min(e.positions for e in y))
