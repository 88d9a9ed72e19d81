"""Attention that a block computes in code of its own, made replaceable: known by its product of queries and keys, and softmax.

To score other queries and keys the block is run once more up to its softmax, with their product in place of its own: so what it
does to scores in between (scale, mask, ALiBi) stays its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from lib.models.attention import UnsuitableModel, wide
from lib.models.base import AttentionRule

_PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm}
_SOFTMAX = {torch.softmax, Tensor.softmax, F.softmax}
_NOT = "a block computes no softmax after a product of two tensors, so it does not attend"
Run = Callable[[], Tensor]  # of a block, on what it reads


class _Scored(Exception):
    """Thrown at the softmax, where nothing further is needed."""


class _Mode(TorchFunctionMode):
    """Within it, the first product that is not with a matrix, and the softmax after it, go through two functions."""

    def __init__(self, product: Callable, softmax: Callable):
        super().__init__()
        self.product, self.softmax, self.seen = product, softmax, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _PRODUCTS and self.seen == 0 and min(x.dim() for x in _operands(args, kwargs)) > 2:
            self.seen = 1
            return self.product(func, args, kwargs)
        if func in _SOFTMAX and self.seen == 1:
            self.seen = 2
            return self.softmax(func(*args, **kwargs))
        return func(*args, **kwargs)


def run_with(rule: AttentionRule, run: Run, batch: int) -> Tensor:
    """What a block makes of `batch` sequences if it attends by a rule; `UnsuitableModel` if it does not attend."""
    patterns: list[Tensor] = []

    def product(func: Callable, args: tuple, kwargs: dict) -> Tensor:
        queries, keys = _operands(args, kwargs)

        def attend(q: Tensor, k: Tensor) -> Tensor:
            return _pattern(run, q.reshape(queries.shape), k, batch)

        split = [x.reshape(batch, -1, *x.shape[-2:]) for x in (queries, keys)]
        heads = split[0].shape[1]
        patterns.append(rule(*(wide(x.expand(-1, heads, -1, -1)) for x in split), attend))
        return func(*args, **kwargs)

    def softmax(own: Tensor) -> Tensor:
        return patterns[0].reshape(own.shape).to(own.dtype)

    with _Mode(product, softmax) as mode:
        after = run()
    if mode.seen < 2:
        raise UnsuitableModel(_NOT)
    return after


def _pattern(run: Run, queries: Tensor, keys: Tensor, batch: int) -> Tensor:
    """(batch, head, T, T) what a block makes of queries in a shape of its own, and of keys (batch, head, T, d_head)."""
    found: list[Tensor] = []

    def product(func: Callable, args: tuple, kwargs: dict) -> Tensor:
        before, _ = _operands(args, kwargs)
        q, k = queries.to(before.dtype), keys.to(before.dtype).reshape(*before.shape[:-2], *keys.shape[-2:])
        if "baddbmm" in func.__name__:
            first = args[0] if args else kwargs.pop("input")
            scales = {name: kwargs[name] for name in ("alpha", "beta") if name in kwargs}
            return torch.baddbmm(first, q, k.mT, **scales)
        return q @ k.mT

    def softmax(own: Tensor) -> Tensor:
        found.append(own)
        raise _Scored

    with suppress(_Scored), _Mode(product, softmax):
        run()
    if not found:
        raise UnsuitableModel(_NOT)
    return wide(found[0]).reshape(batch, -1, *found[0].shape[-2:])


def _operands(args: tuple, kwargs: dict) -> tuple[Tensor, Tensor]:
    """Queries and keys of a product, each (..., T, d_head)."""
    named = [kwargs[name] for name in ("batch1", "batch2", "mat2", "other") if name in kwargs]
    queries, keys = [x for x in (*args, *named) if isinstance(x, Tensor)][-2:]
    return queries, keys.mT
