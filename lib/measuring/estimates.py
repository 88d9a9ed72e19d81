"""Estimates from the blocks of several seeds: means of splits and parts of them, gaps, and gaps between what is alike.

How intervals are made is said in `lib.measuring.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lib.errors import InputError, one_of
from lib.measuring.intervals import Estimate, limits_of, mean_over_seeds, sequence_weights
from lib.measuring.matching import Cells, Comparisons
from lib.measuring.table import Block
from lib.proxies.base import MODEL, Simplification


class Estimates(Comparisons):
    """Estimates of means over the seeds of a study, from their blocks (see `lib.measuring.table`).

    Every seed counts the same, however many scored positions it has; within a seed the mean is over scored positions.
    """

    def __init__(self, blocks: Mapping[int, Sequence[Block]], same_sequences: bool = False, resamples: int = 1_000):
        """`blocks` by seed. `same_sequences`: sequence i of a split is the same in every seed, so seeds share the draw.

        Splits called `<name>/<part>` share it in any case: sequence i of each part is a version of the same.
        """
        self.same_sequences = same_sequences
        self._blocks = {seed: {block.split: block for block in of_seed} for seed, of_seed in blocks.items()}
        self.seeds = sorted(self._blocks)
        self._most = resamples
        self.resamples = resamples if same_sequences or len(self.seeds) == 1 else 0
        self.splits = list(self._blocks[self.seeds[0]])
        self._found: dict[tuple, Estimate] = {}
        self._found_cells: dict[tuple, Cells] = {}
        self._parts: dict[tuple[int, ...], Estimates] = {}

    @property
    def over(self) -> str:
        """What intervals are over, in words."""
        if len(self.seeds) == 1:
            return "the sequences of one seed"
        return f"{len(self.seeds)} seeds" + (" and their sequences" if self.same_sequences else ", each with its own sequences")

    def only(self, seeds: Sequence[int]) -> Estimates:
        """The same over some of the seeds."""
        wanted = tuple(sorted(seeds))
        for seed in wanted:
            one_of("seed", seed, self.seeds)
        if list(wanted) == self.seeds:
            return self
        if wanted not in self._parts:
            self._parts[wanted] = Estimates({seed: self.blocks(seed) for seed in wanted}, self.same_sequences, self._most)
        return self._parts[wanted]

    def add(self, seed: int, blocks: Sequence[Block]) -> None:
        """Take in what else was measured on the same splits with a seed."""
        self._parts.clear()  # they do not have it
        of_seed = self._blocks[seed]
        for block in blocks:
            of_seed[block.split] = of_seed[block.split] + block if block.split in of_seed else block

    def blocks(self, seed: int) -> list[Block]:
        """The blocks of a seed."""
        return list(self._blocks[seed].values())

    def block(self, seed: int, split: str) -> Block:
        """The block of a seed and split."""
        one_of("split", split, self._blocks[seed])
        return self._blocks[seed][split]

    def has(self, simplification: Simplification, split: str) -> bool:
        """Whether a simplification was measured on a split, in every seed."""
        return all(split in of and (simplification, "same_prediction") in of[split].sums for of in self._blocks.values())

    def categories(self, split: str, covariate: str) -> list[int]:
        """The categories of a covariate that occur in a split, in any seed."""
        return sorted({int(v) for of in self._blocks.values() for v in of[split].columns.get(covariate, ())})

    def share(self, split: str, **where: object) -> float:
        """The share of a split's scored positions where covariates have the given values, mean over seeds."""
        shares = []
        for of in self._blocks.values():
            n = of[split].columns["n"]
            shares.append(n[of[split].where(where)].sum() / n.sum())
        return float(np.mean(shares))

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
        means, drawn, positions = [], [], 0
        for seed in self.seeds:
            block = self._block(simplification, split, measure, seed)
            chosen = block.where(where)
            sequence, n = block.columns["sequence"][chosen], block.columns["n"][chosen]
            sums = block.sums[simplification, measure][chosen]
            total = int(n.sum())
            means.append(sums.sum(dtype=float) / total if total else np.nan)
            positions += total
            if self.resamples:
                by_sequence = np.stack([np.bincount(sequence, part, block.sequences) for part in (sums, n)], 1)
                weighted = self.draws(seed, block) @ by_sequence.astype(np.float32)  # [resamples, 2]
                with np.errstate(invalid="ignore", divide="ignore"):  # a resample may happen to draw no scored position
                    drawn.append(weighted[:, 0] / weighted[:, 1])
        return Estimate(np.array(means), mean_over_seeds(drawn), positions, limits_of(measure))

    def _block(self, simplification: Simplification, split: str, measure: str, seed: int) -> Block:
        block = self._blocks[seed].get(split)
        if block is None or (simplification, measure) not in block.sums:
            what = f"{simplification.label}, {simplification.place}"
            raise InputError(f"{measure} of {what}, was not measured on split {split!r} with seed {seed}")
        return block

    def draws(self, seed: int, block: Block) -> np.ndarray:
        """How often each sequence of a block is drawn in each resample: [resamples, sequences]."""
        stream = (0 if self.same_sequences else seed, block.split.partition("/")[0])
        return sequence_weights(*stream, block.sequences, self.resamples)

    def gap(self, simplification: Simplification, split: str, reference: str, measure: str = "same_prediction") -> Estimate:
        """The generalization gap: `measure` on the reference split minus on `split`."""
        return self.estimate(simplification, reference, measure) - self.estimate(simplification, split, measure)

    def compare_with_model(self, simplification: Simplification, split: str, **where: object) -> Estimate:
        """Accuracy with the proxy minus accuracy of the model: above zero where the proxy is better."""
        pair = (self.estimate(s, split, "accuracy", **where) for s in (simplification, MODEL))
        return next(pair) - next(pair)


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
