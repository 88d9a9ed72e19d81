"""How far two properties of sequences go together, and shares of something in them, with intervals over sequences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lib.measuring.intervals import Estimate


def rank_correlation(table: pd.DataFrame, x: str, y: str, resamples: int = 500) -> Estimate:
    """Spearman's rank correlation between two columns over rows (sequences) of a table with a `seed` column, mean over seeds.

    With one seed its rows are drawn anew for the interval. NaN where a column is constant.
    """
    by_seed = [rows[[x, y]].rank().to_numpy() for _, rows in table.groupby("seed")]
    drawn = None
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [np.corrcoef(ranks.T)[0, 1] for ranks in by_seed]
        if len(by_seed) == 1:
            draws = np.random.default_rng(0).integers(0, len(by_seed[0]), (resamples, len(by_seed[0])))
            drawn = np.array([np.corrcoef(pd.DataFrame(by_seed[0][draw]).rank().to_numpy().T)[0, 1] for draw in draws])
    return Estimate(np.array(values), drawn, len(table), (-1.0, 1.0))


def share_interval(part: np.ndarray, whole: np.ndarray, resamples: int = 500) -> tuple[float, float]:
    """A 95 % bootstrap interval for sum(part) / sum(whole), drawing rows (sequences)."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), resamples) @ np.stack([part, whole], 1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
