"""How well a simplified model predicts the original, position by position. Means over positions are taken elsewhere.

A measure is a function from a `Comparison` at P scored positions to P values; `measure` registers one under its name. A new
one joins all tables that way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lib.models.base import most_attended


@dataclass(frozen=True)
class Output:
    """What a model computes at P scored positions."""

    logits: Tensor  # (P, vocabulary)
    patterns: dict[int, Tensor]  # by layer: attention of the scored queries, (P, head, T)
    candidates: Tensor  # (c,) token ids that a prediction may choose from
    dropped: dict[int, Tensor] = field(default_factory=dict)  # by layer: `dropped_share` at the scored queries, (P, head)

    @cached_property
    def choices(self) -> Tensor:
        """(P,) the candidate token with the largest logit."""
        return self.candidates[self.logits[:, self.candidates].argmax(-1)]

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(P, vocabulary) in nats."""
        return self.logits.log_softmax(-1)


@dataclass(frozen=True)
class Comparison:
    """A model and a simplification of it at P scored positions."""

    original: Output
    simplified: Output  # with patterns and what is dropped of the simplified layers
    targets: Tensor  # (P,) the true next token
    heads: Sequence[int] | slice  # those that are simplified, in each simplified layer

    def over_heads(self, measure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """(P,) mean over simplified heads of a measure of two rows of attention (..., T)."""
        pairs = [(self.original.patterns[layer], pattern) for layer, pattern in self.simplified.patterns.items()]
        return torch.cat([measure(a[:, self.heads], b[:, self.heads]) for a, b in pairs], 1).mean(1)


Measure = Callable[[Comparison], Tensor]
MEASURES: dict[str, Measure] = {}
LABELS: dict[str, str] = {}  # what a measure is called in figures


def measure(label: str) -> Callable[[Measure], Measure]:
    """Register a function as a measure under its own name; figures call it `label`."""

    def register(function: Measure) -> Measure:
        MEASURES[function.__name__], LABELS[function.__name__] = function, label
        return function

    return register


@measure("same prediction as the model")
def same_prediction(c: Comparison) -> Tensor:
    """1 where both choose the same candidate."""
    return (c.original.choices == c.simplified.choices).float()


@measure("accuracy")
def accuracy(c: Comparison) -> Tensor:
    """1 where the simplified model chooses the true token. That of the model itself is the accuracy of `MODEL`."""
    return (c.simplified.choices == c.targets).float()


@measure("divergence of attention (bits)")
def attention_jsd(c: Comparison) -> Tensor:
    """Jensen-Shannon divergence between original and simplified attention, in bits, mean over simplified heads."""
    return c.over_heads(jensen_shannon)


@measure("same most-attended key")
def attention_top1(c: Comparison) -> Tensor:
    """How far original and simplified attention have the same most-attended key, mean over simplified heads."""
    return c.over_heads(overlap_of_first)


@measure("divergence of the output (nats)")
def output_kl(c: Comparison) -> Tensor:
    """Kullback-Leibler divergence from the model's next-token distribution to the simplified model's, in nats."""
    p, q = c.original.log_probabilities, c.simplified.log_probabilities
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)


@measure("share of query and key dropped")
def outside(c: Comparison) -> Tensor:
    """The share of the query, and of the keys it attends to, that a proxy drops (mean of both), mean over simplified heads."""
    return torch.cat([share[:, c.heads] for share in c.simplified.dropped.values()], 1).mean(1)


def dropped_share(vectors: Tensor, replaced: Tensor) -> Tensor:
    """(...) the squared distance of vectors (..., d) from what replaces them, as a share of their squared length, at most 1."""
    moved, length = (torch.linalg.vector_norm(x, dim=-1) for x in (vectors - replaced, vectors))
    return (moved / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1).square()  # 0, not 0 / 0, where nothing moves


def jensen_shannon(original: Tensor, simplified: Tensor) -> Tensor:
    """(...) Jensen-Shannon divergence between two rows of attention (..., T), in bits: 0 if equal, 1 if disjoint.

    As the entropy of the mean less the mean of the entropies, which takes a logarithm less than the two divergences do.
    """
    divergence = _entropy((original + simplified) / 2) - (_entropy(original) + _entropy(simplified)) / 2
    return (divergence / math.log(2)).clamp(0, 1)


def _entropy(rows: Tensor) -> Tensor:
    """(...) entropy of probabilities (..., T), in nats."""
    smallest = torch.finfo(rows.dtype).tiny  # 0 log 0 is 0; `xlogy` says so as well, but takes several times as long
    return -(rows * rows.clamp_min(smallest).log()).sum(-1)


def overlap_of_first(original: Tensor, simplified: Tensor) -> Tensor:
    """(...) the share of the most-attended key that two rows of attention (..., T) have in common.

    1 where both have their largest weight on the same key, or tie between the same keys; 0 where on others; 1/m where one of
    them ties between m keys of which one is the other's.
    """
    return torch.minimum(most_attended(original), most_attended(simplified)).sum(-1)
