"""Projections of queries and keys onto a few directions: their principal ones, apart or together; as a control, random ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from lib.errors import InputError
from lib.proxies.base import Arrays, Head, Proxy


@dataclass(frozen=True)
class Subspace:
    """An affine subspace of query (or key) space."""

    mean: Tensor  # (d_head,)
    basis: Tensor  # (d_head, r), orthonormal columns

    def project(self, vectors: Tensor) -> Tensor:
        """The nearest points of the subspace to vectors (..., d_head), in their precision."""
        matrix, offset = (part.to(vectors.dtype) for part in self._affine)
        return torch.addmm(offset, vectors.reshape(-1, len(offset)), matrix).view(vectors.shape)

    @cached_property
    def _affine(self) -> tuple[Tensor, Tensor]:
        """The projection as one product: vectors times a matrix (d_head, d_head), plus an offset (d_head,)."""
        matrix = self.basis @ self.basis.T
        return matrix, self.mean - self.mean @ matrix

    def to(self, precision: torch.dtype) -> Subspace:
        """The same in another precision."""
        return Subspace(self.mean.to(precision), self.basis.to(precision))

    def arrays(self) -> dict[str, Tensor]:
        """As a part of `Arrays`."""
        return {"offset": self.mean, "directions": self.basis.T}

    @classmethod
    def principal(cls, vectors: Tensor, rank: int, centred: bool = True) -> Subspace:
        """The r top singular directions of vectors (n, d_head), about their mean or about the origin."""
        if len(vectors) < rank:
            raise InputError(f"rank is {rank}, but there are only {len(vectors)} vectors to fit on: fit on more sequences")
        mean = vectors.double().mean(0) * centred
        deviations = vectors.double() - mean
        _, directions = torch.linalg.eigh(deviations.T @ deviations)  # (d, d), the smallest first; an SVD of (n, d) takes long
        return cls(mean, directions.flip(1)[:, :rank]).to(vectors.dtype)


class SVD(Proxy, name="svd", label="SVD", nested=True, colour="#0072B2", marker="o"):
    """Queries and keys are projected onto their own top singular directions, about their mean."""

    def __init__(self, queries: Subspace, keys: Subspace):
        self.queries, self.keys = queries, keys

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> SVD:
        return cls(Subspace.principal(head.queries, complexity), Subspace.principal(head.keys, complexity))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return self.queries.project(queries), self.keys.project(keys)

    def arrays(self) -> Arrays:
        return Arrays(self.queries.arrays(), self.keys.arrays())


class UncentredSVD(SVD, name="svd_uncentred", label="uncentred SVD", control=True, nested=True, colour="#56B4E9", marker="v"):
    """As by the SVD, but about the origin: the first direction then is mostly the mean."""

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> UncentredSVD:
        return cls(*(Subspace.principal(vectors, complexity, centred=False) for vectors in (head.queries, head.keys)))


class JointSVD(SVD, name="svd_joint", label="joint SVD", nested=True, colour="#E69F00", marker=">"):
    """Queries and keys are projected onto the same directions, each about their own mean: the top ones of both together.

    One basis for both, as scores are their scalar products: what a basis of the queries keeps, another of the keys may drop.
    """

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> JointSVD:
        centred = torch.cat([vectors - vectors.double().mean(0) for vectors in (head.queries, head.keys)])
        return cls(*_about_means(head, Subspace.principal(centred, complexity, centred=False).basis))


class RandomSubspace(
    SVD, name="random_subspace", label="random subspace", control=True, nested=True, colour="#6B6B6B", marker="X"
):
    """A control: queries and keys are projected onto the same random directions, each about their own mean.

    One basis for both keeps scalar products meaningful, as principal directions do, which largely coincide for the two.
    """

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> RandomSubspace:
        generator = torch.Generator().manual_seed(head.seed)
        basis, _ = torch.linalg.qr(torch.randn(head.width, head.width, generator=generator, dtype=torch.float64))
        return cls(*_about_means(head, basis[:, :complexity].to(head.queries.device)))


def _about_means(head: Head, basis: Tensor) -> Iterator[Subspace]:
    """The subspaces of queries and of keys with the same directions, a double basis (d_head, r), each about their own mean."""
    return (Subspace(vectors.double().mean(0), basis).to(vectors.dtype) for vectors in (head.queries, head.keys))
