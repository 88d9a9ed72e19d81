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


def attention_top1(original: Tensor, proxy: Tensor) -> Tensor:
    """(...) 1 where both rows of attention (..., T) have their largest weight on the same key, else 0."""
    return (original.argmax(-1) == proxy.argmax(-1)).to(original.dtype)
