"""How well a simplified model predicts the original, position by position. Means over positions are taken elsewhere.

A measure is a function from a `Comparison` at P positions to P values; with `measure`, a new one joins all tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from lib.models.base import largest
from lib.models.machine import log_


@dataclass(frozen=True)
class Output:
    """What a model predicts at P scored positions."""

    logits: Tensor  # (P, vocabulary)
    candidates: Tensor  # (c,) token ids that a prediction may choose from

    @cached_property
    def of_candidates(self) -> Tensor:
        """(P, c) the candidates' logits."""
        first, last = int(self.candidates[0]), int(self.candidates[-1])
        in_a_row = last - first + 1 == len(self.candidates) and bool((self.candidates.diff() == 1).all())
        return self.logits[:, first : last + 1] if in_a_row else self.logits[:, self.candidates]  # a view takes no time

    @cached_property
    def choices(self) -> Tensor:
        """(P,) the candidate token with the largest logit."""
        return self.candidates[self.of_candidates.max(-1).indices]  # as `argmax`, in less time

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(P, vocabulary) in nats."""
        return self.logits.log_softmax(-1)


@dataclass(frozen=True)
class AttentionRows:
    """Rows of attention, each a distribution over keys; what several comparisons need of them is computed once."""

    weights: Tensor  # (..., T); of scored queries (P, head, T)

    @cached_property
    def entropy(self) -> Tensor:
        """(...) in nats."""
        # 0 log 0 is 0; `xlogy` says so as well, but takes several times as long
        smallest = torch.finfo(self.weights.dtype).tiny
        return log_(self.weights.clamp_min(smallest)).mul_(self.weights).sum(-1).neg_()

    @cached_property
    def largest(self) -> Tensor:
        """(..., T) 1 at the keys with the largest weight, 0 elsewhere."""
        return largest(self.weights)


@dataclass(frozen=True)
class Vectors:
    """Queries or keys, of which a proxy drops a part; their lengths are computed once for several proxies."""

    values: Tensor  # (..., d)

    @cached_property
    def lengths(self) -> Tensor:
        """(...), none of them 0, so that nothing is divided by 0."""
        return torch.linalg.vector_norm(self.values, dim=-1).clamp_min(torch.finfo(self.values.dtype).tiny)

    def dropped_share(self, replaced: Tensor) -> Tensor:
        """(...) the squared distance from what replaces them (..., d), as a share of their squared length, at most 1."""
        return (torch.linalg.vector_norm(self.values - replaced, dim=-1) / self.lengths).clamp_max(1).square()


@dataclass(frozen=True)
class Comparison:
    """A model and a simplification of it at P scored positions."""

    original: Output
    simplified: Output
    targets: Tensor  # (P,) the true next token
    # by simplified layer, rows of the simplified heads: of the original and of the simplified model
    attention: Mapping[int, tuple[AttentionRows, AttentionRows]] = field(default_factory=dict)
    dropped: Mapping[int, Tensor] = field(default_factory=dict)  # by simplified layer: the share that is dropped, (P, head)

    def over_heads(self, measure: Callable[[AttentionRows, AttentionRows], Tensor]) -> Tensor:
        """(P,) mean over simplified heads of a measure of rows of attention of the original and of the simplified model."""
        return torch.cat([measure(*pair) for pair in self.attention.values()], 1).mean(1)


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
    return torch.cat(list(c.dropped.values()), 1).mean(1)


def jensen_shannon(original: AttentionRows, simplified: AttentionRows) -> Tensor:
    """(...) Jensen-Shannon divergence between rows of attention, in bits: 0 if equal, 1 if disjoint.

    As the entropy of the mean less the mean of the entropies, which takes a logarithm less than the two divergences do.
    """
    mean = AttentionRows((original.weights + simplified.weights).div_(2))
    return ((mean.entropy - (original.entropy + simplified.entropy) / 2) / math.log(2)).clamp_(0, 1)


def overlap_of_first(original: AttentionRows, simplified: AttentionRows) -> Tensor:
    """(...) the share of the most-attended key that rows of attention have in common: 1 where both have their largest weight on
    the same key or tie between the same, 0 where on others, 1/m where one ties between m keys of which one is the other's.
    """
    both = (original.largest * simplified.largest).sum(-1)
    return both / torch.maximum(original.largest.sum(-1), simplified.largest.sum(-1))
