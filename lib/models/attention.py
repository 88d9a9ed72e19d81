"""Attention of transformers' models, replaceable: called through its registry, scored by the model file's own code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from lib.errors import InputError
from lib.models.base import AttentionRule

NAME = "lib_attention_rule"


class UnsuitableModel(InputError):
    """A model whose attention cannot be replaced, or not without changing what it computes."""


class Call(NamedTuple):
    """What a model calls attention with."""

    module: nn.Module
    query: Tensor  # (batch, head, T, d_head)
    key: Tensor  # (batch, group, T, d_head): heads of a group share one
    value: Tensor  # (batch, group, T, d_value)
    mask: Tensor | None
    options: Mapping[str, object]

    def of_each_head(self, of_groups: Tensor) -> Tensor:
        """(batch, head, T, ...) of what belongs to groups (batch, group, T, ...)."""
        return of_groups.repeat_interleave(self.query.shape[1] // of_groups.shape[1], 1)

    def attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The pattern (batch, head, T, T) that the model's own code makes of other queries and keys, one of each a head."""
        nothing = self.value.new_zeros(*keys.shape[:3], 1)
        with _ungrouped(self.module):
            of_model = (x.to(self.query.dtype) for x in (queries, keys))
            _, pattern = _own_attention(self.module)(self.module, *of_model, nothing, self.mask, **self.options)
        return wide(pattern)

    def output(self, pattern: Tensor) -> Tensor:
        """(batch, T, head, d_value) values as a pattern mixes them."""
        mixed = pattern.to(self.value.dtype) @ self.of_each_head(self.value)
        return mixed.transpose(1, 2).contiguous()


def wide(x: Tensor) -> Tensor:
    """The same in a precision in which small differences count: proxies are fitted and measures taken in it."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


_watchers: list[Callable[[Call], Tensor]] = []  # the last one is asked for the pattern


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: object
) -> tuple[Tensor, Tensor]:
    """What transformers calls in place of attention."""
    if not _watchers:
        return _own_attention(module)(module, query, key, value, attention_mask, **options)
    call = Call(module, query, key, value, attention_mask, options)
    pattern = _watchers[-1](call)
    return call.output(pattern), pattern


def _own_attention(module: nn.Module) -> Callable:
    """The plain attention function in the file that defines a module or a class that it derives from."""
    for of in type(module).__mro__:
        if found := getattr(sys.modules.get(of.__module__), "eager_attention_forward", None):
            return found
    raise UnsuitableModel(f"{type(module).__name__} comes without a plain attention function, so nothing says how it scores")


@contextmanager
def _ungrouped(module: nn.Module) -> Iterator[None]:
    """Within it, a module takes each head to have keys and values of its own."""
    name = "num_key_value_groups"
    before = getattr(module, name, None)
    if before is None:
        yield
        return
    setattr(module, name, 1)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextmanager
def watching(watcher: Callable[[Call], Tensor]) -> Iterator[None]:
    """Within it, a function is handed every call of attention, and gives its pattern."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.pop()


def by_rule(rule: AttentionRule) -> Callable[[Call], Tensor]:
    """A watcher that has an attention rule make the pattern; in float32 where the model computes in less."""
    return lambda call: rule(wide(call.query), wide(call.of_each_head(call.key)), call.attend)


def register() -> None:
    """Have transformers know this attention by `NAME`."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, eager_mask)  # without it nothing would be causal
