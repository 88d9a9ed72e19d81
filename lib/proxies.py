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
from lib.measures import most_attended
from lib.presets import ModelConfig
from lib.transformer import AttentionRule, Capture, Transformer, softmax_attention


@dataclass(frozen=True)
class Head:
    """What a proxy may be fitted on: one head's queries and keys at n positions, its weights, and a seed."""

    queries: Tensor  # (n, d_head)
    keys: Tensor  # (n, d_head)
    seed: int = 0
    query_weights: Tensor | None = None  # (d_head, width): queries are these times the normalized residual stream
    key_weights: Tensor | None = None  # (d_head, width)


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

    def __call__(self, queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
        """The simplified attention pattern (batch, Q, T) of queries (batch, Q, d_head) and keys (batch, T, d_head)."""
        return softmax_attention(*self.simplify(queries, keys), positions)


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
    def principal(cls, vectors: Tensor, rank: int, centred: bool = True) -> Subspace:
        """The r top singular directions of vectors (n, d_head), about their mean or about the origin."""
        if len(vectors) < rank:
            raise InputError(f"rank is {rank}, but there are only {len(vectors)} vectors to fit on: fit on more sequences")
        mean = vectors.double().mean(0) * centred
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


class UncentredSVD(SVD, name="svd_uncentred", parameter="rank"):
    """As `svd`, but about the origin: the first direction then is mostly the mean."""

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> UncentredSVD:
        return cls(*(Subspace.principal(vectors, complexity, centred=False) for vectors in (head.queries, head.keys)))


class RandomSubspace(SVD, name="random_subspace", parameter="rank"):
    """A control: queries and keys are projected onto the same random directions, each about their own mean.

    The directions of a lower rank are among those of a higher one. One basis for both keeps their scalar products meaningful,
    as the principal directions do, which largely coincide for queries and keys.
    """

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> RandomSubspace:
        generator, width = torch.Generator().manual_seed(head.seed), head.queries.shape[1]
        basis, _ = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))
        return cls(*(Subspace(x.mean(0), basis[:, :complexity].to(x)) for x in (head.queries, head.keys)))


class WeightSVD(Proxy, name="weight_svd", parameter="rank"):
    """The head's bilinear form W_Q^T W_K is truncated to its top r singular components; uses no data.

    The truncated form is U U^T W_Q^T W_K with the top left singular vectors U (width, r), and U U^T acts on queries as
    the (oblique) projection W_Q U U^T W_Q^+, as U lies in the row space of W_Q. So only queries change.
    """

    def __init__(self, projection: Tensor):
        self.projection = projection  # (d_head, d_head), of rank r

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> WeightSVD:
        w_q, w_k = head.query_weights.double(), head.key_weights.double()
        left, _, _ = torch.linalg.svd(w_q.T @ w_k)  # (width, width)
        left = left[:, :complexity]
        return cls((w_q @ left @ left.T @ torch.linalg.pinv(w_q)).to(head.query_weights.dtype))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return queries @ self.projection.T, keys


class KMeans(Proxy, name="kmeans", parameter="clusters"):
    """Queries and keys are replaced by the nearest of their own cluster centroids."""

    def __init__(self, query_centroids: Tensor, key_centroids: Tensor):
        self.query_centroids, self.key_centroids = query_centroids, key_centroids  # (clusters, d_head)

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> KMeans:
        return cls(*(_centroids(vectors, complexity, head.seed) for vectors in (head.queries, head.keys)))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(c[nearest(x, c)] for x, c in ((queries, self.query_centroids), (keys, self.key_centroids)))


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


def nearest(vectors: Tensor, centroids: Tensor) -> Tensor:
    """The index of the centroid (of (c, d)) nearest to each of vectors (..., d), by Euclidean distance."""
    closeness = vectors @ centroids.T - centroids.square().sum(-1) / 2  # -distance² / 2, up to a term that is the same for all
    return closeness.argmax(-1)


class OneHot(Proxy, name="one_hot", parameter=None):
    """All attention goes to the highest-scoring key, in equal parts to those that tie; uses no data."""

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> OneHot:
        return cls()

    def __call__(self, queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
        return most_attended(softmax_attention(queries, keys, positions))


@dataclass(frozen=True)
class Setting:
    """One simplification to measure: which proxy, how complex, where, and what it is fitted on."""

    proxy: str
    complexity: int | None
    layer: int = -1  # counted from 0; -1: every layer
    head: int = -1  # counted from 0; -1: every head of the layer
    fit_on: str = "training"  # or the name of the split to fit on and to measure: the oracle

    def check(self, model: ModelConfig) -> None:
        """Raise `InputError` for a proxy, complexity, layer or head that `model` does not have."""
        one_of("proxy", self.proxy, PROXIES)
        one_of("layer", self.layer, range(-1, model.layers))
        one_of("head", self.head, range(-1, model.heads))
        PROXIES[self.proxy].check(self.complexity, model)


MODEL = Setting("", None, fit_on="")  # in tables: the model itself, with nothing simplified

QueriesAndKeys = Mapping[int, tuple[Tensor, Tensor]]  # by layer: queries and keys, each (head, n, d_head)
TRAINING = "training"  # `fit_on` of a proxy that is fitted on training sequences


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


Fitted = dict[tuple, Proxy]  # proxies that were fitted before, by proxy, complexity, source, layer and head


def fit_proxies(
    model: Transformer, setting: Setting, data: QueriesAndKeys, seed: int = 0, fitted: Fitted | None = None
) -> dict[int, dict[int, Proxy]]:
    """Fit `setting` on captured queries and keys: proxies by layer and head.

    Heads are fitted each on its own, so what is in `fitted` is taken from there, and what is not is added to it.
    """
    fitted = {} if fitted is None else fitted
    config = model.config
    setting.check(config)
    layers = range(config.layers) if setting.layer < 0 else (setting.layer,)
    heads = range(config.heads) if setting.head < 0 else (setting.head,)
    proxies: dict[int, dict[int, Proxy]] = {}
    for layer in layers:
        query_weights, key_weights, _ = model.blocks[layer].attention.qkv.weight.detach().unflatten(0, (3, config.heads, -1))
        proxies[layer] = {}
        for head in heads:
            key = (setting.proxy, setting.complexity, setting.fit_on, layer, head)
            if key not in fitted:
                queries, keys = data[layer]
                of_head = Head(queries[head], keys[head], seed, query_weights[head], key_weights[head])
                fitted[key] = PROXIES[setting.proxy].fit(of_head, setting.complexity)
            proxies[layer][head] = fitted[key]
    return proxies


def fit_rules(
    model: Transformer, setting: Setting, data: QueriesAndKeys, seed: int = 0, fitted: Fitted | None = None
) -> dict[int, AttentionRule]:
    """Fit `setting` on captured queries and keys: attention rules by layer, ready for `Transformer.run`."""
    return {layer: layer_rule(proxies) for layer, proxies in fit_proxies(model, setting, data, seed, fitted).items()}


def layer_rule(proxies: Mapping[int, Proxy]) -> AttentionRule:
    """The attention rule of a layer in which the given heads are simplified and the others are not."""

    def rule(queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
        patterns: Sequence[Tensor] = [
            proxies.get(head, softmax_attention)(queries[:, head], keys[:, head], positions) for head in range(queries.shape[1])
        ]
        return torch.stack(patterns, 1)

    return rule
