"""How well one model predicts another, position by position. Means over positions are taken elsewhere.

Logits are those of the original model and of the model with a proxy, (n, vocabulary); patterns are rows of attention, one
query's weights over its keys, (..., T).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def choices(logits: Tensor, candidates: Tensor) -> Tensor:
    """(n,) the candidate token with the largest logit."""
    return candidates[logits[:, candidates].argmax(-1)]


def output_kl(original: Tensor, proxy: Tensor) -> Tensor:
    """(n,) Kullback-Leibler divergence from the model's next-token distribution to the proxy's, in nats."""
    p, q = original.log_softmax(-1), proxy.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).clamp_min(0)


def attention_jsd(original: Tensor, proxy: Tensor) -> Tensor:
    """(...) Jensen-Shannon divergence between two rows of attention (..., T), in bits: 0 if equal, 1 if disjoint.

    As the entropy of the mean less the mean of the entropies, which takes a logarithm less than the two divergences do.
    """
    divergence = _entropy((original + proxy) / 2) - (_entropy(original) + _entropy(proxy)) / 2
    return (divergence / math.log(2)).clamp(0, 1)


def _entropy(rows: Tensor) -> Tensor:
    """(...) entropy of probabilities (..., T), in nats."""
    smallest = torch.finfo(rows.dtype).tiny  # 0 log 0 is 0; `xlogy` says so as well, but takes several times as long
    return -(rows * rows.clamp_min(smallest).log()).sum(-1)


TIE = 1e-4  # weights that differ by less than this share of the larger are a tie: they would be equal but for rounding


def most_attended(rows: Tensor) -> Tensor:
    """(..., T) where rows of attention (..., T) have their largest weight: 1 at that key, or 1/m at each of m that tie.

    Ties are common, not an accident of rounding: clustered keys are equal, and so are the weights on them.
    """
    first = (rows >= rows.amax(-1, keepdim=True) * (1 - TIE)).to(rows.dtype)
    return first / first.sum(-1, keepdim=True)


def attention_top1(original: Tensor, proxy: Tensor) -> Tensor:
    """(...) the share of the most-attended key that two rows of attention (..., T) have in common.

    1 where both have their largest weight on the same key, or tie between the same keys; 0 where on others; 1/m where one of
    them ties between m keys of which one is the other's.
    """
    return torch.minimum(most_attended(original), most_attended(proxy)).sum(-1)
