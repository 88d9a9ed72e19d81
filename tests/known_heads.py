"""Models whose attention is known: each head attends to one place, which a function of the query says."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lib.models.base import RunAgain


class Known:
    """One layer of heads, each of which attends to the position `attends(query)` and nowhere else."""

    layers, head_width, device = 1, 4, torch.device("cpu")

    def __init__(self, *attends: Callable[[int], int], context: int = 21):
        self.attends, self.heads, self.context = attends, len(attends), context

    def embed(self, tokens):
        return torch.zeros(*tokens.shape, self.heads * self.head_width)

    def pattern(self, batch, length):
        pattern = torch.zeros(batch, self.heads, length, length)
        for head, attends in enumerate(self.attends):
            for query in range(length):
                pattern[:, head, query, attends(query)] = 1
        return pattern

    def run(self, residual, rules=None, start=0, stop=None, positions=None):
        batch, length, _ = residual.shape
        nothing = torch.zeros(batch, self.heads, length, self.head_width)
        rules[0](nothing, nothing, lambda queries, keys: self.pattern(batch, length))
        return residual if positions is None else positions.take(residual)

    def pause(self, residual, layer, positions=None):
        return RunAgain(self, residual, layer, positions)


def to_start(query: int) -> int:
    return 0


def to_itself(query: int) -> int:
    return query


def to_previous(query: int) -> int:
    return max(0, query - 1)


def induction(length: int) -> Callable[[int], int]:
    """In the second of two equal strings of a length, after START: to what followed the same token in the first."""
    return lambda query: query - length + 1 if query > length else 0
