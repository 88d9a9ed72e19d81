"""Foreseeing a gap: a proxy's agreement with its model on other text, from in-distribution measurements alone.

What may be used of a *target* split is its text and the model itself on it, never the simplified model's predictions there.
Each diagnostic is one guess at the agreement on the target:

- `unchanged`: what it was in distribution; the baseline that a diagnostic has to beat.
- `mix`: agreement by a covariate of the text (the task's `key_covariate`), weighted as its values occur in the target.
- `margin`: the same by how certain the model is of its own prediction.
- `outside`: the same by the share of query and key that the proxy drops.
- `regression`: a logistic regression of agreement on all covariates, the margin and that share.

Each is computed seed by seed. They are judged by their error over many cells in `left_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from lib.errors import InputError
from lib.measuring.table import Block
from lib.proxies.base import Simplification

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

FEWEST = 200  # scored positions that a cell needs in either split
_SUPPORT = 20  # scored positions of a value in distribution, so that its agreement is believed
_BINS = 10  # of `outside`, with equally many rows each


@dataclass(frozen=True)
class Cell:
    """One seed of a proxy, in distribution and on a target, with what may be known of the target."""

    inside: Block
    target: Block
    simplification: Simplification
    key: str  # the covariate of `mix`
    covariates: Sequence[str]  # those of `regression`, besides margin and outside

    def __post_init__(self):
        for block in (self.inside, self.target):
            missing = [name for name in (self.key, *self.covariates, "margin") if name not in block.covariates]
            if missing:
                raise InputError(f"split {block.split!r} lacks the covariate {missing[0]!r}, which this diagnostic needs")
            if (self.simplification, "outside") not in block.sums:
                raise InputError(f"on split {block.split!r} it was not measured what {self.simplification.label} drops")
            if block.columns["n"].sum() < FEWEST:
                raise InputError(f"split {block.split!r} has {block.columns['n'].sum()} scored positions, {FEWEST} are needed")
        if (self.simplification, "same_prediction") not in self.inside.sums:
            raise InputError(f"{self.simplification.label} was not measured on split {self.inside.split!r}")

    @cached_property
    def agreed(self) -> np.ndarray:
        """[row] at how many positions the proxy agreed with the model, in distribution."""
        return _agreed(self.inside, self.simplification)

    def reweighted(self, inside: np.ndarray, target: np.ndarray, ordered: bool) -> float:
        """Agreement by value (whole numbers, [row]), weighted as in the target.

        A value that is too rare in distribution gets the agreement of the nearest that is not, or if values have no order, of
        all.
        """
        values, codes = np.unique(inside, return_inverse=True)
        n, agreed = (np.bincount(codes, part) for part in (self.inside.columns["n"], self.agreed))
        enough = n >= _SUPPORT
        if not enough.any():
            return unchanged(self)
        values, share = values[enough], agreed[enough] / n[enough]
        nearest = values[np.abs(target[:, None] - values).argmin(1)]
        found = share[np.searchsorted(values, nearest)]
        if not ordered:
            found = np.where(nearest == target, found, agreed.sum() / n.sum())
        return float(np.average(found, weights=self.target.columns["n"]))


def unchanged(cell: Cell) -> float:
    """What agreement is in distribution."""
    return float(cell.agreed.sum() / cell.inside.columns["n"].sum())


def mix(cell: Cell) -> float:
    """Agreement by the key covariate, weighted as in the target."""
    ordered = cell.key not in cell.inside.labels
    return cell.reweighted(cell.inside.columns[cell.key], cell.target.columns[cell.key], ordered)


def margin(cell: Cell) -> float:
    """Agreement by the model's own margin, weighted as in the target."""
    return cell.reweighted(cell.inside.columns["margin"], cell.target.columns["margin"], True)


def outside(cell: Cell) -> float:
    """Agreement by the share of query and key that is dropped, weighted as in the target."""
    inside, target = (_dropped(block, cell.simplification) for block in (cell.inside, cell.target))
    edges = np.unique(np.quantile(inside, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return cell.reweighted(np.digitize(inside, edges), np.digitize(target, edges), True)


def regression(cell: Cell) -> float:
    """A logistic regression of agreement on everything that is known of a row."""
    columns = (*cell.covariates, "margin")
    fitted = _fitted(cell.inside, cell.simplification, columns)
    if fitted is None:
        return unchanged(cell)
    scores = _features(cell.target, cell.simplification, columns, cell.inside.labels) @ fitted[:-1] + fitted[-1]
    return float(np.average(special.expit(scores), weights=cell.target.columns["n"]))


@cache
def _threads() -> ThreadpoolController:
    """What limits threads; it looks once for the libraries that have them, which takes as long as a fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@lru_cache(maxsize=4_096)  # all of a book: what is foreseen is asked for cell by cell, and again by figures
def _fitted(inside: Block, simplification: Simplification, columns: tuple[str, ...]) -> np.ndarray | None:
    """[feature + 1] coefficients and constant of the regression, the same for all targets; None where all rows are alike."""
    from sklearn.linear_model import LogisticRegression

    agreed, n = _agreed(inside, simplification), inside.columns["n"].astype(float)
    if agreed.sum() in (0, n.sum()):  # one outcome only: nothing to fit
        return None
    features = _features(inside, simplification, columns, inside.labels)
    mean, spread = features.mean(0), features.std(0)
    spread[spread == 0] = 1
    features = (features - mean) / spread
    outcome, weights = np.repeat([1, 0], len(n)), np.concatenate([agreed, n - agreed])
    with _threads().limit(limits=1):  # sums in one order
        fitted = LogisticRegression(max_iter=300).fit(np.concatenate([features, features]), outcome, weights)
    coefficients = fitted.coef_[0] / spread
    return np.append(coefficients, fitted.intercept_ - mean @ coefficients)


@lru_cache(maxsize=32)  # of one proxy on all splits: a block reads values anew each time
def _agreed(block: Block, simplification: Simplification) -> np.ndarray:
    """[row] at how many positions a proxy agreed with the model."""
    return block.sums[simplification, "same_prediction"].astype(float)


@lru_cache(maxsize=32)
def _dropped(block: Block, simplification: Simplification) -> np.ndarray:
    """[row] the share of query and key that a proxy drops, mean over the row's positions."""
    return block.sums[simplification, "outside"] / block.columns["n"]


def _features(block: Block, simplification: Simplification, columns: Sequence[str], labels: Mapping) -> np.ndarray:
    """[row, feature] what the regression sees: a column a number, a column each category of a covariate with `labels`."""
    found = []
    for name in columns:
        values = block.columns[name]
        named = range(len(labels.get(name, ())))
        found += [values == code for code in named] or [values]
    return np.stack([*found, _dropped(block, simplification)], 1).astype(float)


DIAGNOSTICS: dict[str, Callable[[Cell], float]] = {of.__name__: of for of in (unchanged, mix, margin, outside, regression)}


def foresee(cell: Cell) -> dict[str, float]:
    """Every diagnostic's guess at the agreement on the target."""
    return {name: of(cell) for name, of in DIAGNOSTICS.items()}


def errors(table: pd.DataFrame) -> pd.DataFrame:
    """[cell, diagnostic] |foreseen - measured| of a table with a column `measured` and one a diagnostic, in shares."""
    return table[list(DIAGNOSTICS)].sub(table["measured"], axis=0).abs()


def left_out(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """What choosing a diagnostic is worth where it was not chosen: for each value of a column, the diagnostic with the smallest
    mean error on all other cells, and its error on these.

    One row per value: `chosen`, its mean error `chosen_error`, that of the baseline `baseline_error`, and `cells`. Raises
    `InputError` where there is nothing to leave out.
    """
    if table[by].nunique() < 2:
        raise InputError(f"all cells have the same {by}, so none can be left out: measure further ones")
    error, rows = errors(table), {}
    for value in dict.fromkeys(table[by]):
        of = table[by] == value
        chosen = error[~of].mean().drop("unchanged").idxmin()
        here = error[of].mean()
        rows[value] = {
            "chosen": chosen,
            "chosen_error": here[chosen],
            "baseline_error": here["unchanged"],
            "cells": int(of.sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
