"""A projection of queries and keys that is optimized for what the model predicts."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lib.errors import InputError
from lib.proxies.base import Head
from lib.proxies.svd import JointSVD

_STEPS, _RATE = 320, 0.03  # of Adam, whose rate falls to zero; twice as many steps agree no better


class LearnedSubspace(JointSVD, name="learned_subspace", label="learned subspace", colour="#882255", marker="*"):
    """Queries and keys are projected onto the same directions, each about their own mean: those that keep predictions best.

    It starts from the joint SVD and lowers the divergence of the model's predictions from those with this head projected, on
    minibatches of the sequences that it is fitted on. On all of these together it is never worse than where it starts.
    """

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> LearnedSubspace:
        if head.divergence is None:
            raise InputError(
                "learned_subspace needs a model to agree with, and this head is known by its queries and keys only: "
                "fit it through a Fitter"
            )
        start = super().fit(head, complexity)
        double = start.queries.to(torch.float64), start.keys.to(torch.float64)  # roundings would add up over the steps

        def spanned(matrix: Tensor) -> LearnedSubspace:
            basis, _ = torch.linalg.qr(matrix)
            return cls(*(replace(part, basis=basis) for part in double))

        basis = double[0].basis.clone().requires_grad_()
        optimizer = torch.optim.Adam([basis], _RATE)
        for step in range(_STEPS):
            optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
            with torch.enable_grad():
                divergence = head.divergence(spanned(basis), step)
            known = divergence.requires_grad  # then it is the basis alone that gets a gradient, and no weight of the model
            (basis.grad,) = torch.autograd.grad(divergence, [basis], allow_unused=True) if known else [None]
            if basis.grad is None:
                raise InputError("learned_subspace needs a model that can be differentiated: let its run keep gradients")
            optimizer.step()
        with torch.no_grad():
            best = min((spanned(basis), cls(*double)), key=lambda proxy: float(head.divergence(proxy, None)))
            return cls(best.queries.to(head.queries.dtype), best.keys.to(head.keys.dtype))
