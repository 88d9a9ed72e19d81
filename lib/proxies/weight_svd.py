"""Truncation of a head's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.errors import InputError
from lib.proxies.base import Arrays, Head, Proxy


class WeightSVD(Proxy, name="weight_svd", label="SVD of the weights", fitted=False, nested=True, colour="#CC79A7", marker="^"):
    """The product of the head's query and key weights is cut down to its top singular components; uses no data.

    Of W_Q^T W_K, the top r components are kept: U U^T W_Q^T W_K with the top left singular vectors U (width, r). On queries,
    U U^T acts as the (oblique) projection W_Q U U^T W_Q^+, as U lies in the row space of W_Q. So only queries change.
    """

    def __init__(self, directions: Tensor, along: Tensor):
        self.directions, self.along = directions, along  # (r, d_head)

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> WeightSVD:
        if head.weights is None:
            raise InputError(
                "weight_svd needs queries and keys that are linear in what the layer reads, and this model's are not"
            )
        w_q, w_k = (weights.double() for weights in head.weights)
        left, _, _ = torch.linalg.svd(w_q.T @ w_k)  # (width, width)
        left = left[:, :complexity]
        parts = left.T @ torch.linalg.pinv(w_q), left.T @ w_q.T
        return cls(*(part.to(head.weights[0].dtype) for part in parts))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return queries @ self.directions.T @ self.along, keys

    def arrays(self) -> Arrays:
        directions = {"directions": self.directions, "along": self.along}
        return Arrays({"offset": torch.zeros_like(self.along[0]), **directions})
