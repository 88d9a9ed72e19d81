"""Measurements with planted effects, made up in memory: estimates, blocks, and studies that hold them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from lib.experiment import Experiment
from lib.measuring.intervals import Estimate
from lib.measuring.table import Block
from lib.proxies import Simplification
from lib.studies import Study

Rates = Mapping[tuple[Simplification, str], float | Mapping[str, float]]


def estimate(low: float, high: float, seeds: int = 3) -> Estimate:
    """An estimate half-way between two numbers, which are its interval: over seeds, or with one seed over sequences."""
    middle, half = (low + high) / 2, (high - low) / 2
    if seeds == 1:
        return Estimate(np.array([middle]), np.linspace(middle - half / 0.95, middle + half / 0.95, 1_001), 100)
    spread = np.linspace(-1, 1, seeds)
    width = stats.t.ppf(0.975, seeds - 1) * spread.std(ddof=1) / np.sqrt(seeds)
    return Estimate(middle + half / width * spread, None, 100)


def block(
    split: str,
    rates: Rates,
    kinds: Sequence[str] = (),
    shift: float = 0,
    sequences: int = 40,
    n: int | Mapping[str, int] = 4,
    by: Sequence[str] = ("character",),
) -> Block:
    """A block of sequences with `n` scored positions of each kind (of one, if none are named), all at the same rates.

    A rate or a number holds for all kinds, or is one by kind ("" for the rest). `shift` is added to all rates. `by`: the
    covariates that kinds are the categories of.
    """
    names = list(kinds) or [""]

    def of_kind(value: float | Mapping[str, float]) -> np.ndarray:
        return np.array([value[name if name in value else ""] if isinstance(value, Mapping) else value for name in names])

    counts = of_kind(n)
    columns = {"sequence": np.repeat(np.arange(sequences), len(names)), "n": np.tile(counts, sequences)}
    if kinds:
        columns |= {covariate: np.tile(np.arange(len(names)), sequences) for covariate in by}
    chosen = columns["n"] > 0

    def sums(rate: float | Mapping[str, float]) -> np.ndarray:
        return np.tile(counts * (of_kind(rate) + shift), sequences).astype(np.float32)[chosen]

    columns = {name: values[chosen] for name, values in columns.items()}
    return Block(
        split, sequences, columns, {key: sums(rate) for key, rate in rates.items()}, dict.fromkeys(by, kinds) if kinds else {}
    )


def study(
    experiment: Experiment,
    rates: Mapping[str, Rates],
    kinds: Sequence[str] = (),
    seeds: int = 3,
    n: Mapping[str, Mapping[str, int]] | None = None,
    by: Sequence[str] = ("character",),
    shifts: Mapping[int, float] | None = None,
) -> Study:
    """A study of an experiment that measured, on each split, these rates; seeds differ a little, and not on all splits.

    `n` has by split the numbers of positions of each kind; `shifts` by seed what is added to rates on all splits but the first.
    """
    made = Study("planted", experiment, Path("nowhere/planted"), seeds, "cpu", "made-up")
    little = {seed: 0.001 * (seed - (seeds - 1) / 2) for seed in range(seeds)}  # their mean is 0
    made.estimates = made.estimates_of(
        {
            seed: [
                block(
                    split, of, kinds, shift * (i % 3) if shifts is None else shift * (i > 0), n=(n or {}).get(split, 4), by=by
                )
                for i, (split, of) in enumerate(rates.items())
            ]
            for seed, shift in (little if shifts is None else shifts).items()
        }
    )
    return made


def scrambled(
    blocks: Sequence[Block], seed: int, fixed: Mapping[tuple[Simplification, str], float] | None = None
) -> list[Block]:
    """Blocks of one seed with other sums: shares that differ for every simplification, split and measure.

    So a number that is shown gives away where it comes from. Shares depend on each covariate, too, and hardly on the seed.
    `fixed` has agreement with the model, by simplification and split, where it is not to be just any.
    """

    def sums(block: Block, s: Simplification, measure: str) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(repr((block.split, block.step, s, measure)).encode()))
        share = rng.uniform(0.2, 0.9)
        if measure == "same_prediction":
            share = (fixed or {}).get((s, block.split), share)
        of_row = np.full(len(block.columns["n"]), share + 0.01 * seed)
        for name in block.covariates:
            of_row += rng.uniform(-0.04, 0.04, 200)[block.columns[name] % 200]
        return (block.columns["n"] * of_row.clip(0, 1)).astype(np.float32)

    return [replace(block, sums={key: sums(block, *key) for key in block.sums}) for block in blocks]
