"""What a model has to offer so that its attention can be looked at, simplified and measured.

An *attention rule* maps the queries and keys of one layer to its attention pattern. It sees no positions: the model hands it
`attend`, its own way to score and normalize (mask, scale and whatever else belong to it). A proxy is a rule, and looking at
queries, keys and patterns is a rule that keeps what it sees (`Capture`), so neither needs hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lib.split import Sequences

Attend = Callable[[Tensor, Tensor], Tensor]  # queries (batch, head, Q, d_head), keys (batch, head, T, d_head) -> pattern
AttentionRule = Callable[[Tensor, Tensor, Attend], Tensor]  # queries, keys, attend -> pattern (batch, head, Q, T)
Heads = slice | Sequence[int]
ALL = slice(None)  # heads of a layer


class Positions:
    """P positions at which a layer is wanted, in a batch of sequences of T tokens with at most Q of them each."""

    def __init__(self, wanted: Tensor):
        """`wanted` is (batch, T) bool."""
        first = wanted.byte().argsort(dim=1, descending=True, stable=True)[:, : int(wanted.sum(1).max())]
        self.queries = first.sort(1).values  # (batch, Q), with others where a sequence has fewer
        masks = wanted, wanted.gather(1, self.queries)
        self._rows = {mask.shape[1]: mask.flatten().nonzero()[:, 0] for mask in masks}

    def take(self, of: Tensor) -> Tensor:
        """What belongs to all positions or to `queries`, (batch, T or Q, ...) -> (P, ...)."""
        return of.flatten(0, 1).index_select(0, self._rows[of.shape[1]])  # several times as fast as by a mask


class Paused(Protocol):
    """A layer that has read a residual stream and waits for its attention pattern, so that several can be tried on it."""

    queries: Tensor  # (batch, head, Q, d_head), or of all positions
    keys: Tensor  # (batch, head, T, d_head)
    pattern: Tensor  # (batch, head, Q, T) of the model itself, its queries as above

    def attend(self, queries: Tensor, keys: Tensor, heads: Heads = ALL) -> Tensor:
        """The model's own way to score and normalize: queries and keys of some heads -> their pattern."""

    def resume(self, pattern: Tensor, heads: Heads = ALL) -> Tensor:
        """The residual stream after the layer, as `Model.run`, if `heads` attend by `pattern`, and the others as they do."""


class Model(Protocol):
    """A decoder whose layers can be run one by one with replaced attention rules."""

    layers: int
    heads: int  # of each layer
    head_width: int  # dimensions of a head's queries and keys

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens (batch, T) -> residual stream (batch, T, width)."""

    def run(
        self,
        residual: Tensor,
        rules: Mapping[int, AttentionRule] | None = None,
        start: int = 0,
        stop: int | None = None,
        positions: Positions | None = None,
    ) -> Tensor:
        """Layers `start` to `stop` (excluded, None: all) on a residual stream (batch, T, width) -> the same; `rules` by layer.

        With `positions` -> (P, width): the last of these layers (there has to be one) may hand its rule only their queries.
        """

    def pause(self, residual: Tensor, layer: int, positions: Positions | None = None) -> Paused:
        """A layer on a residual stream (batch, T, width), stopped where its pattern is due; `RunAgain` does for any model."""

    def unembed(self, residual: Tensor) -> Tensor:
        """residual stream (..., width) -> logits (..., vocabulary)."""

    def attention_weights(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """W_Q and W_K of a layer, each (head, d_head, width), if queries and keys are these times what the layer reads."""


def attend_as_usual(queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
    """The attention rule of the original model."""
    return attend(queries, keys)


class Capture:
    """An attention rule that keeps the queries, keys and pattern of its last call, each (batch, head, T, ...)."""

    def __init__(self, rule: AttentionRule = attend_as_usual):
        self.rule = rule

    def __call__(self, queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
        self.queries, self.keys = queries, keys
        self.pattern = self.rule(queries, keys, attend)
        return self.pattern


class RunAgain:
    """A paused layer of any model: what a pattern leads to is found by running the layer once more."""

    def __init__(self, model: Model, residual: Tensor, layer: int, positions: Positions | None = None):
        def run(rule: AttentionRule) -> Tensor:
            return model.run(residual, {layer: rule}, layer, layer + 1, positions)

        def seen(queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
            self.queries, self.keys, self._attend, self.pattern = queries, keys, attend, attend(queries, keys)
            return self.pattern

        self._run, self._own = run, run(seen)

    def attend(self, queries: Tensor, keys: Tensor, heads: Heads = ALL) -> Tensor:
        """See `Paused`."""
        return self._attend(with_heads(self.queries, heads, queries), with_heads(self.keys, heads, keys))[:, heads]

    def resume(self, pattern: Tensor, heads: Heads = ALL) -> Tensor:
        """See `Paused`."""
        if pattern is self.pattern:
            return self._own
        return self._run(lambda *_: with_heads(self.pattern, heads, pattern))


def with_heads(of_all: Tensor, heads: Heads, of_heads: Tensor) -> Tensor:
    """What belongs to all heads (batch, head, ...), with that of some replaced."""
    replaced = of_all.clone()
    replaced[:, heads] = of_heads
    return replaced


_WEIGHTS = 2_000_000  # attention weights of a layer that are computed at a time, at most
_KEPT = 2**30  # bytes of queries and keys that are kept


class Captured(Mapping[int, tuple[Tensor, Tensor]]):
    """The queries and keys of every layer at the positions of `sequences` that proxies are fitted on, a sequence at a time.

    A layer is computed when asked for, from where the one before ended; of a large model only the last one is kept.
    """

    def __init__(self, model: Model, sequences: Sequences):
        self.model, self.sequences = model, sequences
        self._found: dict[int, tuple[Tensor, Tensor]] = {}
        self._entering: list[Tensor] = []  # by batch of sequences, what layer `_next` reads
        self._next = 0

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor]:
        if layer not in range(self.model.layers):
            raise KeyError(layer)
        if layer not in self._found:
            self._compute(layer)
        return self._found[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.model.layers))

    def __len__(self) -> int:
        return self.model.layers

    @torch.no_grad()
    def _compute(self, layer: int) -> None:
        batch_size = max(1, _WEIGHTS // (self.model.heads * self.sequences.tokens.shape[1] ** 2))
        batches = [slice(start, start + batch_size) for start in range(0, len(self.sequences), batch_size)]
        if not self._entering or layer < self._next:
            tokens = (torch.from_numpy(self.sequences.tokens[rows].astype(np.int64)) for rows in batches)
            self._entering, self._next = [self.model.embed(of.to(self.model.device)) for of in tokens], 0
        positions = self.sequences.real if self.sequences.fitted is None else self.sequences.fitted
        parts = []
        for batch, rows in enumerate(batches):
            residual = self.model.run(self._entering[batch], start=self._next, stop=layer)
            kept, paused = torch.from_numpy(positions[rows]).to(self.model.device), self.model.pause(residual, layer)
            parts.append(tuple(x.transpose(0, 1)[:, kept] for x in (paused.queries, paused.keys)))
            self._entering[batch] = paused.resume(paused.pattern)
        self._next = layer + 1
        queries, keys = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        if self.model.layers * (queries.nbytes + keys.nbytes) > _KEPT:
            self._found.clear()
        self._found[layer] = queries, keys
        if len(self._found) == self.model.layers:
            self._entering = []


TIE = 1e-4  # weights that differ by less than this share of the larger are a tie: they would be equal but for rounding


def largest(rows: Tensor) -> Tensor:
    """(..., T) 1 where rows of attention (..., T) have their largest weight, or one that ties with it, and 0 elsewhere.

    Ties are common, not an accident of rounding: clustered keys are equal, and so are the weights on them.
    """
    return torch.ge(rows, rows.amax(-1, keepdim=True) * (1 - TIE), out=torch.empty_like(rows))  # sums of bool take much longer


def most_attended(rows: Tensor) -> Tensor:
    """(..., T) where rows of attention (..., T) have their largest weight: 1 at that key, or 1/m at each of m that tie."""
    first = largest(rows)
    return first / first.sum(-1, keepdim=True)
