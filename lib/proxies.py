"""Simplifications of attention heads, behind one small interface.

A `Proxy` stands for one head: it is fitted on that head's queries and keys (or weights, or nothing) and then is the rule by
which the head turns queries and keys into its attention pattern. Values, output projection, MLPs and other heads stay as
they are. The first three are those of Friedman et al. (2024, section 3).

A new proxy is one more class here: give it a name, what its complexity counts, and a `fit`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lib.errors import InputError, one_of, whole_number
from lib.presets import ModelConfig
from lib.transformer import AttentionRule, Capture, Transformer, attention_scores, softmax_attention


@dataclass(frozen=True)
class Head:
    """What a proxy may be fitted on: the queries and keys of one head at n positions, and a seed for fits that draw lots."""

    queries: Tensor  # (n, d_head)
    keys: Tensor  # (n, d_head)
    seed: int = 0


class Proxy(ABC):
    """A simplified attention rule for one head. `complexity` is what the class calls its `parameter`."""

    name: ClassVar[str]
    parameter: ClassVar[str | None]  # what complexity counts ("rank", "clusters"), None where there is none to choose

    def __init_subclass__(cls, name: str, parameter: str | None, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name, cls.parameter = name, parameter
        PROXIES[name] = cls

    @classmethod
    def check(cls, complexity: int | None, model: ModelConfig) -> None:
        """Raise `InputError` for a complexity that no head of `model` allows."""
        if cls.parameter is None:
            if complexity is not None:
                raise InputError(f"{cls.name} has nothing to choose, but complexity is {complexity!r}; leave it empty")
        else:
            whole_number(f"{cls.parameter} of {cls.name}", complexity, 1, cls.most_complex(model))

    @classmethod
    def most_complex(cls, model: ModelConfig) -> int | None:
        """The largest sensible complexity for a head of `model`, None where only the data limit it."""
        return model.head_width if cls.parameter == "rank" else None

    @classmethod
    @abstractmethod
    def fit(cls, head: Head, complexity: int | None) -> Proxy:
        """The proxy of this complexity for `head`; `InputError` where the data do not allow it."""

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """What the queries and keys (..., T, d_head) are replaced by."""
        return queries, keys

    def __call__(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The simplified attention pattern (..., T, T) for queries and keys (..., T, d_head)."""
        return softmax_attention(*self.simplify(queries, keys))


PROXIES: dict[str, type[Proxy]] = {}


@dataclass(frozen=True)
class Subspace:
    """An affine subspace of query (or key) space."""

    mean: Tensor  # (d_head,)
    basis: Tensor  # (d_head, r), orthonormal columns

    def project(self, vectors: Tensor) -> Tensor:
        """The nearest points of the subspace to vectors (..., d_head)."""
        return self.mean + (vectors - self.mean) @ self.basis @ self.basis.T

    @classmethod
    def principal(cls, vectors: Tensor, rank: int) -> Subspace:
        """The r directions of largest variance of vectors (n, d_head) about their mean."""
        if len(vectors) < rank:
            raise InputError(f"rank is {rank}, but there are only {len(vectors)} vectors to fit on: fit on more sequences")
        mean = vectors.double().mean(0)
        _, _, directions = torch.linalg.svd(vectors.double() - mean, full_matrices=False)  # (min(n, d), d)
        return cls(mean.to(vectors.dtype), directions[:rank].T.to(vectors.dtype))


class SVD(Proxy, name="svd", parameter="rank"):
    """Queries and keys are projected onto their own top singular directions, about their mean."""

    def __init__(self, queries: Subspace, keys: Subspace):
        self.queries, self.keys = queries, keys

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> SVD:
        return cls(Subspace.principal(head.queries, complexity), Subspace.principal(head.keys, complexity))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return self.queries.project(queries), self.keys.project(keys)


class KMeans(Proxy, name="kmeans", parameter="clusters"):
    """Queries and keys are replaced by the nearest of their own cluster centroids."""

    def __init__(self, query_centroids: Tensor, key_centroids: Tensor):
        self.query_centroids, self.key_centroids = query_centroids, key_centroids  # (clusters, d_head)

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> KMeans:
        return cls(*(_centroids(vectors, complexity, head.seed) for vectors in (head.queries, head.keys)))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return _nearest(queries, self.query_centroids), _nearest(keys, self.key_centroids)


def _centroids(vectors: Tensor, clusters: int, seed: int) -> Tensor:
    """Centroids (clusters, d_head) of vectors (n, d_head) by Lloyd's algorithm from k-means++ starts."""
    from sklearn.cluster import KMeans as LloydKMeans
    from threadpoolctl import threadpool_limits

    distinct = np.unique(vectors.cpu().numpy(), axis=0)
    if clusters > len(distinct):
        raise InputError(
            f"clusters is {clusters}, but there are only {len(distinct)} distinct vectors to cluster: "
            f"ask for at most that many, or fit on more sequences"
        )
    if clusters == len(distinct):
        centroids = distinct
    else:
        with threadpool_limits(1):  # partial sums of several threads are added in the order in which they finish
            fitted = LloydKMeans(clusters, n_init=1, max_iter=100, random_state=seed).fit(vectors.cpu().numpy())
        centroids = fitted.cluster_centers_
    return torch.from_numpy(centroids).to(vectors)


def _nearest(vectors: Tensor, centroids: Tensor) -> Tensor:
    """The centroid (of (c, d)) nearest to each of vectors (..., d), by Euclidean distance."""
    closeness = vectors @ centroids.T - centroids.square().sum(-1) / 2  # -distance² / 2, up to a term that is the same for all
    return centroids[closeness.argmax(-1)]


class OneHot(Proxy, name="one_hot", parameter=None):
    """All attention goes to the highest-scoring key; uses no data."""

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> OneHot:
        return cls()

    def __call__(self, queries: Tensor, keys: Tensor) -> Tensor:
        scores = attention_scores(queries, keys)
        return torch.zeros_like(scores).scatter_(-1, scores.argmax(-1, keepdim=True), 1.0)


@dataclass(frozen=True)
class Setting:
    """One simplification to measure: which proxy, how complex, where, and what it is fitted on."""

    proxy: str
    complexity: int | None
    layer: int = -1  # counted from 0; -1: every layer
    head: int = -1  # counted from 0; -1: every head of the layer
    fit_on: str = "training"

    def check(self, model: ModelConfig) -> None:
        """Raise `InputError` for a proxy, complexity, layer or head that `model` does not have."""
        one_of("proxy", self.proxy, PROXIES)
        one_of("layer", self.layer, range(-1, model.layers))
        one_of("head", self.head, range(-1, model.heads))
        PROXIES[self.proxy].check(self.complexity, model)


QueriesAndKeys = Mapping[int, tuple[Tensor, Tensor]]  # by layer: queries and keys, each (head, n, d_head)


@torch.no_grad()
def capture(model: Transformer, tokens: np.ndarray, layers: Iterable[int], batch_size: int = 250) -> QueriesAndKeys:
    """The queries and keys of `layers` at all positions of `tokens` [n, T] that are not padding."""
    rules = {layer: Capture() for layer in layers}
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in rules}
    device = next(model.parameters()).device
    for start in range(0, len(tokens), batch_size):
        batch = torch.from_numpy(tokens[start : start + batch_size].astype(np.int64)).to(device)
        model.run(model.embed(batch), rules, stop=max(rules) + 1)
        for layer, seen in rules.items():
            found[layer].append(tuple(x.transpose(0, 1)[:, batch != 0] for x in (seen.queries, seen.keys)))
    return {layer: tuple(torch.cat(parts, 1) for parts in zip(*pairs, strict=True)) for layer, pairs in found.items()}


def fit_rules(model: ModelConfig, setting: Setting, data: QueriesAndKeys, seed: int = 0) -> dict[int, AttentionRule]:
    """Fit `setting` on captured queries and keys: attention rules by layer, ready for `Transformer.run`."""
    setting.check(model)
    layers = range(model.layers) if setting.layer < 0 else (setting.layer,)
    heads = range(model.heads) if setting.head < 0 else (setting.head,)
    cls = PROXIES[setting.proxy]
    return {
        layer: layer_rule({h: cls.fit(Head(data[layer][0][h], data[layer][1][h], seed), setting.complexity) for h in heads})
        for layer in layers
    }


def layer_rule(proxies: Mapping[int, Proxy]) -> AttentionRule:
    """The attention rule of a layer in which the given heads are simplified and the others are not."""

    def rule(queries: Tensor, keys: Tensor) -> Tensor:
        patterns: Sequence[Tensor] = [
            proxies.get(head, softmax_attention)(queries[:, head], keys[:, head]) for head in range(queries.shape[1])
        ]
        return torch.stack(patterns, 1)

    return rule
