"""Truncation of a head's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.errors import InputError
from lib.proxies.base import Head, Proxy


class WeightSVD(Proxy, name="weight_svd", label="SVD of the weights", fitted=False, colour="#CC79A7", marker="^"):
    """The head's bilinear form W_Q^T W_K is truncated to its top r singular components; uses no data.

    The truncated form is U U^T W_Q^T W_K with the top left singular vectors U (width, r), and U U^T acts on queries as
    the (oblique) projection W_Q U U^T W_Q^+, as U lies in the row space of W_Q. So only queries change.
    """

    def __init__(self, projection: Tensor):
        self.projection = projection  # (d_head, d_head), of rank r

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> WeightSVD:
        if head.weights is None:
            raise InputError(
                "weight_svd needs queries and keys that are linear in what the layer reads, and this model's are not"
            )
        w_q, w_k = (weights.double() for weights in head.weights)
        left, _, _ = torch.linalg.svd(w_q.T @ w_k)  # (width, width)
        left = left[:, :complexity]
        return cls((w_q @ left @ left.T @ torch.linalg.pinv(w_q)).to(head.weights[0].dtype))

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return queries @ self.projection.T, keys
