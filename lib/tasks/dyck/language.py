"""Dyck-(k, m): sampling sentences and annotating their brackets, for many sentences at once.

A *structure* is a sentence without its bracket types: +1 opens, -1 closes, 0 pads. Sentences are sampled from the
probabilistic automaton of Hewitt et al. (2020, "RNNs can generate bounded hierarchical languages with optimal memory",
appendix on experiments), which Murty et al. (2023, "Grokking of hierarchical structure in vanilla Transformers") share:
at depth 0 the sentence ends with probability `p_end` once `min_length` is reached and a bracket opens otherwise; at the
maximal depth a bracket closes; in between it opens or closes with probability 1/2, or with that of `open_probability`.
Bracket types are uniform.

Everything below loops over *time* and treats all sentences in one numpy operation, which is what makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lib.errors import InputError

PAD, START, END = 0, 1, 2
FIRST_BRACKET = 3  # openers are FIRST_BRACKET + type, closers FIRST_BRACKET + k + type

DEEPEST = 127  # depths are kept in one signed byte
_BLOCK = 8_192  # sentences worked on at a time: what is looked up for them stays in the processor's cache


@dataclass(frozen=True)
class Automaton:
    """The automaton's parameters, and the limits on what is kept of its sentences."""

    max_depth: int = 10  # brackets close once this depth is reached
    p_end: float = 0.25  # probability to end the sentence, at depth 0
    min_length: int = 6  # in brackets; below it no sentence ends
    max_length: int = 64  # in brackets; only sentences up to this length are kept
    shortest: int = 0  # in brackets; only sentences of at least this length are kept
    min_depth: int = 1  # only sentences that get this deep are kept
    open_probability: tuple[float, ...] = ()  # at depths 1, 2, ...; deeper, its last one; empty: 1/2 everywhere

    def __str__(self) -> str:
        return f"length {max(self.min_length, self.shortest)} to {self.max_length}, depth {self.min_depth} to {self.max_depth}"


@dataclass(frozen=True)
class Brackets:
    """Sentences with what there is to know about each token. All arrays are [sentence, token], START first, padded.

    For tokens that are not brackets, `depth` is 0 and `opener` is -1. The depth of a bracket is the nesting level it
    lives on, 1 for the outermost; a closer has the depth of its opener.
    """

    tokens: np.ndarray  # int16
    depth: np.ndarray  # int8
    opener: np.ndarray  # int16: for a closing bracket the position of the opening bracket that it matches, else -1

    @property
    def distance(self) -> np.ndarray:
        """[sentence, token] int16: tokens from a closing bracket back to its opener, 0 where there is none."""
        positions = np.arange(self.tokens.shape[1], dtype=np.int16)
        return np.where(self.opener >= 0, positions - self.opener, 0).astype(np.int16)

    def __getitem__(self, rows) -> Brackets:
        return Brackets(self.tokens[rows], self.depth[rows], self.opener[rows])

    def __len__(self) -> int:
        return len(self.tokens)


def sample_structures(count: int, automaton: Automaton, rng: np.random.Generator) -> np.ndarray:
    """Draw structures from the automaton given that they stay within its limits: int8 [count, max_length].

    Nothing is drawn only to be thrown away: every step is taken with its probability *given* that the sentence will end
    within the limits. Raises `InputError` where no sentence does.
    """
    opens, ends = _conditional(automaton)
    structures = np.empty((count, automaton.max_length), np.int8)
    for start in range(0, count, _BLOCK):
        block = structures[start : start + _BLOCK]
        block[:] = _draw(len(block), automaton, opens, ends, rng).T
    return structures


def _draw(count: int, automaton: Automaton, opens: np.ndarray, ends: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Structures int8 [max_length, count], drawn with the probabilities [max_length, state] of `_conditional`."""
    steps = np.zeros((automaton.max_length, count), np.int8)
    active = np.arange(count)  # sentences that have not ended
    depth = np.zeros(count, np.int64)
    offset = np.zeros(count, np.int64)  # of the state: max_depth + 1 once min_depth was reached
    opens_or_ends = opens + ends
    for t in range(automaton.max_length):
        state = depth + offset
        chance = rng.random(len(active), np.float32)
        if t % 2 == 0 and t >= automaton.min_length:  # only here can a sentence end
            goes_on = chance >= ends[t].take(state)
            active, depth, offset = active[goes_on], depth[goes_on], offset[goes_on]
            state, chance = state[goes_on], chance[goes_on]
        step = np.where(chance < opens_or_ends[t].take(state), 1, -1)
        steps[t, active] = step
        depth += step
        np.maximum(offset, (depth >= automaton.min_depth) * (automaton.max_depth + 1), out=offset)
    return steps


def _conditional(automaton: Automaton) -> tuple[np.ndarray, np.ndarray]:
    """The automaton's probabilities to open, and to end, given that the sentence ends within the limits.

    Both are float32 [max_length, state] with state = depth + (max_depth + 1) * (min_depth was reached). Computed backwards
    in time: `kept` is the probability, from a state, to end within the limits (what probability theory calls Doob's
    h-transform of the chain).
    """
    levels = automaton.max_depth + 1
    depth = np.tile(np.arange(levels), 2)
    reached = np.repeat([False, True], levels)
    above = np.minimum(depth + 1, automaton.max_depth)
    after_open = above + levels * (reached | (above >= automaton.min_depth))
    after_close = np.maximum(depth - 1, 0) + levels * reached
    end = np.where(depth == 0, automaton.p_end, 0.0)
    opening = np.array(automaton.open_probability or (0.5,))
    between = np.where(depth == automaton.max_depth, 0.0, opening[np.clip(depth - 1, 0, len(opening) - 1)])
    may_stop = reached & (depth == 0)  # a sentence that never got deep enough is not kept
    kept = end * may_stop * (automaton.max_length >= automaton.shortest)  # at max_length it must end now
    opens, ends = (np.zeros((automaton.max_length, 2 * levels), np.float32) for _ in range(2))
    for t in reversed(range(automaton.max_length)):
        p_end = end if t >= automaton.min_length else np.zeros_like(end)
        p_open = np.where(depth == 0, 1 - p_end, between)
        by_end, by_open = p_end * may_stop * (t >= automaton.shortest), p_open * kept[after_open]
        by_close = np.where(depth == 0, 0.0, 1 - p_open) * kept[after_close]
        kept = by_end + by_open + by_close
        total = np.where(kept > 0, kept, 1.0)
        opens[t], ends[t] = by_open / total, by_end / total
    if automaton.min_length > automaton.max_length or kept[0] <= 0:
        raise InputError(
            f"no sentence of the automaton has {automaton}: a sentence of depth d has at least 2 d brackets, "
            f"and an even number of them; widen the length or the depth"
        )
    return opens, ends


def with_types(structures: np.ndarray, bracket_types: int, rng: np.random.Generator) -> Brackets:
    """Give every pair of brackets in `structures` (int8 [n, length]) a uniformly random type, and annotate the result."""
    return _assemble(
        structures, bracket_types, lambda rows, length: rng.integers(0, bracket_types, (length, len(rows)), np.int16)
    )


def annotate(tokens: np.ndarray, bracket_types: int) -> Brackets:
    """Annotate balanced sentences given as tokens (int [n, T]: START, brackets, END, padding)."""
    types = (tokens[:, 1:-1].astype(np.int16) - FIRST_BRACKET) % bracket_types
    structures = structures_of(tokens, bracket_types)
    return _assemble(structures, bracket_types, lambda rows, length: np.ascontiguousarray(types[rows, :length].T))


def structures_of(tokens: np.ndarray, bracket_types: int) -> np.ndarray:
    """Erase the types of tokens [n, T] (START, brackets, END, padding): int8 [n, T - 2] of +1, -1 and 0."""
    brackets = tokens[:, 1:-1]
    closers = brackets >= FIRST_BRACKET + bracket_types
    return (brackets >= FIRST_BRACKET).astype(np.int8) - 2 * closers.astype(np.int8)


def _assemble(structures: np.ndarray, bracket_types: int, types: Callable[[np.ndarray, int], np.ndarray]) -> Brackets:
    """Annotated sentences of `structures` [n, length].

    `types(rows, length)` gives the types of the first `length` brackets of some sentences, int16 [length, rows]; those of
    closers are ignored in favour of their opener's.
    """
    n, length = structures.shape
    empty = np.zeros((n, length + 2), np.int8)
    out = Brackets(np.full(empty.shape, PAD, np.int16), empty, np.full(empty.shape, -1, np.int16))
    lengths = np.count_nonzero(structures, axis=1).astype(np.int16)
    for rows in np.array_split(np.argsort(-lengths, kind="stable"), max(1, -(-n // _BLOCK))):
        longest = int(lengths[rows].max(initial=0))  # no work is spent on the padding of shorter blocks
        _assemble_block(structures[rows, :longest], types(rows, longest), lengths[rows], bracket_types, out, rows)
    return out


def _assemble_block(structures, types, lengths, bracket_types: int, out: Brackets, rows: np.ndarray) -> None:
    """Write the annotated sentences of a block, longest first, to `rows` of `out`. `types` is int16 [length, n]."""
    n, length = structures.shape
    steps = np.ascontiguousarray(structures.T)  # time first: each step touches contiguous memory
    closes = steps < 0
    depth = np.cumsum(steps, axis=0, dtype=np.int8) + closes  # a closer lives on the level that it closes
    depth *= steps != 0
    levels = (int(depth.max(initial=0)) + 1) * n
    latest, latest_type = np.zeros(levels, np.int16), np.zeros(levels, np.int16)  # [level, sentence]: the latest bracket there
    before = np.zeros((length, n), np.int16)  # position of the bracket before on the same level: of a closer, its opener
    sentence = np.arange(n)
    for t in range(length):
        active = np.searchsorted(-lengths, -t)  # sentences longer than t
        where = depth[t, :active] * np.int64(n) + sentence[:active]
        before[t, :active] = latest[where]
        latest[where] = t
        np.copyto(types[t, :active], latest_type[where], where=closes[t, :active])
        latest_type[where] = types[t, :active]
    brackets = slice(1, length + 1)  # START shifts every position by one
    out.depth[rows, brackets] = depth.T
    out.opener[rows, brackets] = np.where(closes, before + np.int16(1), np.int16(-1)).T
    types += FIRST_BRACKET + np.int16(bracket_types) * closes
    out.tokens[rows, brackets] = np.where(steps == 0, np.int16(PAD), types).T
    out.tokens[rows, 0] = START
    out.tokens[rows, lengths + 1] = END


_MULTIPLIERS = np.random.default_rng(20_231_203).integers(0, 2**63, 4096, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def keys(rows: np.ndarray) -> np.ndarray:
    """A 64-bit key for each row of small integers (uint64 [n]): equal rows have equal keys, whatever their padding.

    Used to keep evaluation sentences out of the training set. A collision of different rows can only make the sampler
    discard a sentence that it could have kept, so disjointness holds without exception.
    """
    if rows.shape[1] > len(_MULTIPLIERS):
        raise InputError(f"a sentence is {rows.shape[1]} tokens long, but at most {len(_MULTIPLIERS)} are supported")
    return (rows.astype(np.int64).astype(np.uint64) * _MULTIPLIERS[: rows.shape[1]]).sum(1, dtype=np.uint64)
