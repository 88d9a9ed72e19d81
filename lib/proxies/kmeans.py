"""Clustering of queries and keys."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lib.errors import InputError
from lib.proxies.base import Arrays, Head, Proxy

# Vectors a cluster among which starts are looked for, and rounds of Lloyd's algorithm: with all vectors, or till nothing moves,
# the clusters of Dyck models were as tight to a hundredth, and took up to four times as long to find. In double precision, so
# that no two processors see another centroid as the nearest, from where on their clusters would differ.
_STARTED_FROM, _ITERATIONS = 10, 20


class KMeans(Proxy, name="kmeans", label="k-means", parameter="clusters", colour="#D55E00", marker="s"):
    """Queries and keys are replaced by the nearest of their own cluster centroids."""

    def __init__(self, query_centroids: Tensor, key_centroids: Tensor):
        self.query_centroids, self.key_centroids = query_centroids, key_centroids  # (clusters, d_head)

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> KMeans:
        return cls(*(_centroids(vectors, complexity, head.seed) for vectors in (head.queries, head.keys)))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(c[nearest(x, c)] for x, c in ((queries, self.query_centroids), (keys, self.key_centroids)))

    def arrays(self) -> Arrays:
        return Arrays({"centroids": self.query_centroids}, {"centroids": self.key_centroids})


def _centroids(vectors: Tensor, clusters: int, seed: int) -> Tensor:
    """Centroids (clusters, d_head) of vectors (n, d_head) by Lloyd's algorithm from k-means++ starts."""
    from sklearn.cluster import KMeans as LloydKMeans
    from sklearn.cluster import kmeans_plusplus
    from threadpoolctl import threadpool_limits

    points = vectors.cpu().double().numpy()
    sample = points[np.random.default_rng(seed).permutation(len(points))[: _STARTED_FROM * clusters]]
    if len(np.unique(sample, axis=0)) <= clusters:
        sample = np.unique(points, axis=0)
    if clusters > len(sample):
        raise InputError(
            f"clusters is {clusters}, but there are only {len(sample)} distinct vectors to cluster: "
            f"ask for at most that many, or fit on more sequences"
        )
    if clusters == len(sample):
        centroids = sample
    else:
        with threadpool_limits(1):  # partial sums of several threads are added in the order in which they finish
            starts, _ = kmeans_plusplus(sample, clusters, random_state=seed)
            centroids = LloydKMeans(clusters, init=starts, n_init=1, max_iter=_ITERATIONS).fit(points).cluster_centers_
    return torch.from_numpy(centroids).to(vectors)


def nearest(vectors: Tensor, centroids: Tensor) -> Tensor:
    """The index of the centroid (of (c, d)) nearest to each of vectors (..., d), by Euclidean distance."""
    closeness = vectors @ centroids.T - centroids.square().sum(-1) / 2  # -distance² / 2, up to a term that is the same for all
    return closeness.max(-1).indices  # as `argmax`, in less time
