"""Estimates from the blocks of several seeds: means of splits and parts of them, gaps, and gaps between what is alike.

How intervals are made is said in `lib.measuring.intervals`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from lib.errors import InputError, one_of
from lib.measuring.intervals import Estimate, mean_over_seeds, nothing, sequence_weights
from lib.measuring.matching import Cells, Decomposition, Grouped, Matched, interpolated, reweighted
from lib.measuring.table import Block
from lib.proxies.base import MODEL, Simplification

UNBOUNDED = ("output_kl", "bits")  # measures that may exceed 1


class Estimates:
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
                weighted = self._draws(seed, block) @ by_sequence.astype(np.float32)  # [resamples, 2]
                with np.errstate(invalid="ignore", divide="ignore"):  # a resample may happen to draw no scored position
                    drawn.append(weighted[:, 0] / weighted[:, 1])
        return Estimate(np.array(means), mean_over_seeds(drawn), positions, _limits(measure))

    def _block(self, simplification: Simplification, split: str, measure: str, seed: int) -> Block:
        block = self._blocks[seed].get(split)
        if block is None or (simplification, measure) not in block.sums:
            what = f"{simplification.label}, {simplification.place}"
            raise InputError(f"{measure} of {what}, was not measured on split {split!r} with seed {seed}")
        return block

    def _draws(self, seed: int, block: Block) -> np.ndarray:
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
                sums = [grouped.sums(self._draws(seed, block)) for grouped, block in zip(pair, blocks, strict=True)]
                for side, value in enumerate(reweighted(*sums)):
                    drawn[side].append(value)
        sides = zip(means, drawn, strict=True)
        return Matched(*(Estimate(np.array(m), mean_over_seeds(d), cells.positions, _limits(measure)) for m, d in sides))

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
        self,
        simplification: Simplification,
        split: str,
        reference: str,
        covariates: Sequence[str],
        measure: str = "same_prediction",
        **options,
    ) -> Estimate:
        """The gap where both splits have the same values of covariates; see `matched`. Without covariates, the gap."""
        if not covariates:
            return self.gap(simplification, split, reference, measure)
        return self.matched(simplification, split, reference, covariates, measure, **options).gap

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


def _limits(measure: str) -> tuple[float, float]:
    """What values of a measure are possible."""
    return 0.0, np.inf if measure in UNBOUNDED else 1.0


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value
