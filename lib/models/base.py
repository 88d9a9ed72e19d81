"""What a model has to offer so that its attention can be looked at, simplified and measured.

An *attention rule* maps the queries and keys of one layer to its attention pattern. It sees no positions: the model hands it
`attend`, its own way to score and normalize (mask, scale and whatever else belong to it). A proxy is a rule, and looking at
queries, keys and patterns is a rule that keeps what it sees (`Capture`), so neither needs hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lib.split import Sequences

Attend = Callable[[Tensor, Tensor], Tensor]  # queries (batch, head, Q, d_head), keys (batch, head, T, d_head) -> pattern
AttentionRule = Callable[[Tensor, Tensor, Attend], Tensor]  # queries, keys, attend -> pattern (batch, head, Q, T)
QueriesAndKeys = Mapping[int, tuple[Tensor, Tensor]]  # by layer: queries and keys, each (head, n, d_head)


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


@torch.no_grad()
def capture(model: Model, sequences: Sequences, batch_size: int = 250) -> QueriesAndKeys:
    """The queries and keys of every layer at the positions of `sequences` that proxies are fitted on, a sequence at a time."""
    positions = sequences.real if sequences.fitted is None else sequences.fitted
    rules = {layer: Capture() for layer in range(model.layers)}
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in rules}
    for start in range(0, len(sequences), batch_size):
        rows = slice(start, start + batch_size)
        tokens = torch.from_numpy(sequences.tokens[rows].astype(np.int64)).to(model.device)
        kept = torch.from_numpy(positions[rows]).to(model.device)
        model.run(model.embed(tokens), rules)
        for layer, seen in rules.items():
            found[layer].append(tuple(x.transpose(0, 1)[:, kept] for x in (seen.queries, seen.keys)))
    return {layer: tuple(torch.cat(parts, 1) for parts in zip(*pairs, strict=True)) for layer, pairs in found.items()}


TIE = 1e-4  # weights that differ by less than this share of the larger are a tie: they would be equal but for rounding


def most_attended(rows: Tensor) -> Tensor:
    """(..., T) where rows of attention (..., T) have their largest weight: 1 at that key, or 1/m at each of m that tie.

    Ties are common, not an accident of rounding: clustered keys are equal, and so are the weights on them.
    """
    first = (rows >= rows.amax(-1, keepdim=True) * (1 - TIE)).to(rows.dtype)
    return first / first.sum(-1, keepdim=True)
