"""Measurements with planted effects, made up in memory: estimates, blocks, and studies that hold them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lib.experiment import Experiment
from lib.measuring.intervals import Estimate
from lib.measuring.table import Block
from lib.proxies import Simplification
from lib.studies import Study

Rates = Mapping[tuple[Simplification, str], float | Mapping[str, float]]


def estimate(low: float, high: float, seeds: int = 3) -> Estimate:
    """An estimate half-way between two numbers, between which its resamples lie."""
    return Estimate((low + high) / 2, np.linspace(low, high, 1_001), seeds, 100)


def block(split: str, rates: Rates, kinds: Sequence[str] = (), shift: float = 0, sequences: int = 40, n: int = 4) -> Block:
    """A block of sequences with `n` scored positions of each kind (of one, if none are named), all at the same rates.

    A rate holds for all kinds, or is one by kind ("" for the rest). `shift` is added to all of them.
    """
    names = list(kinds) or [""]
    columns = {
        "sequence": np.repeat(np.arange(sequences), len(names)),
        "character": np.tile(np.arange(len(names)), sequences),
        "n": np.full(sequences * len(names), n),
    }

    def sums(rate: float | Mapping[str, float]) -> np.ndarray:
        of_kind = [rate.get(name, rate[""]) if isinstance(rate, Mapping) else rate for name in names]
        return np.tile(n * (np.array(of_kind) + shift), sequences).astype(np.float32)

    if not kinds:
        del columns["character"]
    return Block(split, sequences, columns, {key: sums(rate) for key, rate in rates.items()}, {"character": kinds})


def study(experiment: Experiment, rates: Mapping[str, Rates], kinds: Sequence[str] = (), seeds: int = 3) -> Study:
    """A study of an experiment that measured, on each split, these rates; seeds differ a little, and not on all splits."""
    made = Study("planted", experiment, Path("nowhere/planted"), seeds, "cpu", "made-up")
    shifts = {seed: 0.005 * (seed - (seeds - 1) / 2) for seed in range(seeds)}  # their mean is 0
    made.estimates = made.estimates_of(
        {
            seed: [block(split, of, kinds, shift * (i % 3)) for i, (split, of) in enumerate(rates.items())]
            for seed, shift in shifts.items()
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
