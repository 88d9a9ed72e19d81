"""What a model has to offer so that its attention can be looked at, simplified and measured.

An *attention rule* maps the queries and keys of one layer to its attention pattern. It sees no positions: the model hands it
`attend`, its own way to score and normalize (mask, scale and whatever else belong to it). A proxy is a rule, and looking at
queries, keys and patterns is a rule that keeps what it sees (`Capture`), so neither needs hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lib.split import Sequences

Attend = Callable[[Tensor, Tensor], Tensor]  # queries (batch, head, Q, d_head), keys (batch, head, T, d_head) -> pattern
AttentionRule = Callable[[Tensor, Tensor, Attend], Tensor]  # queries, keys, attend -> pattern (batch, head, Q, T)
QueriesAndKeys = Mapping[int, tuple[Tensor, Tensor]]  # by layer: queries and keys, each (head, n, d_head)
Heads = slice | Sequence[int]
ALL = slice(None)  # heads of a layer


class Paused(Protocol):
    """A layer that has read a residual stream and waits for its attention pattern, so that several can be tried on it."""

    queries: Tensor  # (batch, head, Q, d_head)
    keys: Tensor  # (batch, head, T, d_head)
    pattern: Tensor  # (batch, head, Q, T) of the model itself

    def attend(self, queries: Tensor, keys: Tensor, heads: Heads = ALL) -> Tensor:
        """The model's own way to score and normalize: queries and keys of some heads -> their pattern."""

    def resume(self, pattern: Tensor, heads: Heads = ALL) -> Tensor:
        """The residual stream after the layer if `heads` attend by `pattern`, and the others as they do."""


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
        positions: Tensor | None = None,
    ) -> Tensor:
        """Layers `start` to `stop` (excluded, None: all) on a residual stream (batch, T, width); `rules` by layer, 0 the first.

        With `positions` (batch, Q) the last of these layers is computed only there, and the result is (batch, Q, width).
        """

    def pause(self, residual: Tensor, layer: int, positions: Tensor | None = None) -> Paused:
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

    def __init__(self, model: Model, residual: Tensor, layer: int, positions: Tensor | None = None):
        def run(rule: AttentionRule) -> Tensor:
            return model.run(residual, {layer: rule}, layer, layer + 1, positions)

        def seen(queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
            self.queries, self.keys, self._attend, self.pattern = queries, keys, attend, attend(queries, keys)
            return self.pattern

        self._run = run
        run(seen)

    def attend(self, queries: Tensor, keys: Tensor, heads: Heads = ALL) -> Tensor:
        """See `Paused`."""
        return self._attend(with_heads(self.queries, heads, queries), with_heads(self.keys, heads, keys))[:, heads]

    def resume(self, pattern: Tensor, heads: Heads = ALL) -> Tensor:
        """See `Paused`."""
        return self._run(lambda *_: with_heads(self.pattern, heads, pattern))


def with_heads(of_all: Tensor, heads: Heads, of_heads: Tensor) -> Tensor:
    """What belongs to all heads (batch, head, ...), with that of some replaced."""
    replaced = of_all.clone()
    replaced[:, heads] = of_heads
    return replaced


@torch.no_grad()
def capture(model: Model, sequences: Sequences, batch_size: int = 250) -> QueriesAndKeys:
    """The queries and keys of every layer at the positions of `sequences` that proxies are fitted on, a sequence at a time."""
    positions = sequences.real if sequences.fitted is None else sequences.fitted
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in range(model.layers)}
    for start in range(0, len(sequences), batch_size):
        rows = slice(start, start + batch_size)
        residual = model.embed(torch.from_numpy(sequences.tokens[rows].astype(np.int64)).to(model.device))
        kept = torch.from_numpy(positions[rows]).to(model.device)
        for layer, parts in found.items():
            if layer:
                residual = model.run(residual, start=layer - 1, stop=layer)
            paused = model.pause(residual, layer)
            parts.append(tuple(x.transpose(0, 1)[:, kept] for x in (paused.queries, paused.keys)))
    return {layer: tuple(torch.cat(parts, 1) for parts in zip(*pairs, strict=True)) for layer, pairs in found.items()}


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
