"""What a simplification of an attention head is, and how it is fitted.

A `Proxy` stands for one head: it is fitted on that head's queries and keys (or weights, or nothing) and then replaces how the
head turns these into its pattern; all else stays. A `Simplification` says which, how complex, where, and what it is fitted on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from lib.errors import InputError, one_of, whole_number
from lib.models.base import Attend, Captured, Model, with_heads
from lib.proxies.divergence import Divergence
from lib.split import Sequences, Split

TRAINING = "training"  # `fit_on` of a proxy that is fitted on training sequences


@dataclass(frozen=True)
class Head:
    """What a proxy may be fitted on: one head's queries and keys at n positions, its weights, a seed, the model around it."""

    queries: Tensor  # (n, d_head)
    keys: Tensor  # (n, d_head)
    seed: int = 0
    weights: tuple[Tensor, Tensor] | None = None  # W_Q and W_K, each (d_head, width), where the model has them
    divergence: Callable[[Proxy, int | None], Tensor] | None = None
    """() how far the model's predictions move if a proxy replaces this head alone: a `Divergence` at a step, or on the whole.

    The proxy is handed vectors in double precision where the model is known in it. None where no model is known at all.
    """

    @property
    def width(self) -> int:
        """Dimensions of a query or key."""
        return self.queries.shape[-1]


@dataclass(frozen=True)
class Arrays:
    """A proxy as arrays: what becomes of queries, what of keys, and whether all attention then goes to its largest weight.

    Of each, nothing (unchanged), `centroids` (c, d_head), of which the nearest replaces a vector, or `offset` (d_head,) and
    `directions` (r, d_head), onto which its deviation is projected; an oblique projection goes `along` (r, d_head).
    """

    queries: Mapping[str, Tensor] = field(default_factory=dict)
    keys: Mapping[str, Tensor] = field(default_factory=dict)
    one_hot: bool = False


class Proxy(ABC):
    """A simplified attention head. `complexity` is what the class calls its `parameter`."""

    name: ClassVar[str]
    label: ClassVar[str]  # in figures and prose
    parameter: ClassVar[str | None]  # what complexity counts ("rank", "clusters"), None where there is none to choose
    fitted: ClassVar[bool]  # whether it is fitted on data
    control: ClassVar[bool]  # whether it is there for comparison, and nothing is claimed about it
    nested: ClassVar[bool]  # whether the directions of a rank are the first of those of a higher one
    colour: ClassVar[str]
    marker: ClassVar[str]

    def __init_subclass__(
        cls,
        name: str,
        label: str | None = None,
        parameter: str | None = "rank",
        fitted: bool = True,
        control: bool = False,
        nested: bool = False,
        colour: str = "#8C6D31",
        marker: str = "P",
    ):
        super().__init_subclass__()
        taken = PROXIES.get(name, cls).__module__
        if taken.startswith("lib.") and taken != cls.__module__:
            raise InputError(f"a proxy of this package is called {name!r} already: give yours another name")
        cls.name, cls.label, cls.parameter, cls.fitted, cls.control = name, label or name, parameter, fitted, control
        cls.nested, cls.colour, cls.marker = nested, colour, marker
        PROXIES[name] = cls

    @classmethod
    def most(cls, head_width: int) -> int | None:
        """The largest complexity that makes sense for heads of this width, None where only the data limit it."""
        return head_width if cls.parameter == "rank" else None

    @classmethod
    def example(cls, head_width: int) -> int | None:
        """A complexity to show the proxy at, for heads of any width."""
        if cls.parameter is None:
            return None
        return max(1, head_width // 4) if cls.parameter == "rank" else 16

    @classmethod
    @abstractmethod
    def fit(cls, head: Head, complexity: int | None) -> Proxy:
        """The proxy of this complexity for `head`; `InputError` where the data do not allow it."""

    def simplify(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """What queries (..., Q, d_head) and keys (..., T, d_head) are replaced by; they themselves are not to be changed."""
        return queries, keys

    def simplify_pattern(self, pattern: Tensor) -> Tensor:
        """What the attention pattern (..., Q, T) of the simplified queries and keys is replaced by."""
        return pattern

    def arrays(self) -> Arrays | None:
        """The proxy as arrays, so that it can be shown where there is no Python; None if `simplify` cannot be put so."""
        return None


PROXIES: dict[str, type[Proxy]] = {}


@dataclass(frozen=True)
class Simplification:
    """Which proxy, how complex, where, and what it is fitted on. Layers and heads count from 0."""

    proxy: str
    complexity: int | None = None
    layer: int = -1  # -1: every layer
    head: int = -1  # -1: every head of the layer
    fit_on: str = TRAINING  # or another source of sequences; the name of a split: the oracle, measured on that split alone

    def check(self, model: Model) -> None:
        """Raise `InputError` for a proxy, complexity, layer or head that `model` does not have."""
        one_of("proxy", self.proxy, PROXIES)
        one_of("layer", self.layer, range(-1, model.layers))
        one_of("head", self.head, range(-1, model.heads))
        proxy = PROXIES[self.proxy]
        if proxy.parameter is None:
            if self.complexity is not None:
                raise InputError(f"{self.proxy} has nothing to choose, but complexity is {self.complexity!r}; leave it empty")
        else:
            whole_number(f"{proxy.parameter} of {self.proxy}", self.complexity, 1, proxy.most(model.head_width))

    @property
    def label(self) -> str:
        """How it is called in figures and prose, without its place: `SVD, rank 8`."""
        if not self.proxy:
            return "model"
        proxy = PROXIES.get(self.proxy)
        label, parameter = (proxy.label, proxy.parameter) if proxy else (self.proxy, "complexity")
        if self.complexity is None:
            return label
        return f"{label}, rank {self.complexity}" if parameter == "rank" else f"{label}, {self.complexity} {parameter}"

    @property
    def phrase(self) -> str:
        """How it is called in a sentence: `SVD of rank 8`, `k-means with 64 clusters`."""
        name, _, complexity = self.label.partition(", ")
        return f"{name} {'of' if complexity.startswith('rank') else 'with'} {complexity}" if complexity else name

    @property
    def place(self) -> str:
        """Where it is: `all layers`, `layer 1`, `L1H0`."""
        if self.layer < 0:
            return "all layers"
        return f"layer {self.layer}" if self.head < 0 else f"L{self.layer}H{self.head}"


MODEL = Simplification("", fit_on="")  # in tables: the model itself, with nothing simplified


class Fitter:
    """Fits simplifications of a model, every proxy of a head once, on queries and keys that are captured once a source."""

    def __init__(self, model: Model, sources: Mapping[str, Sequences], seed: int = 0, exact: Model | None = None):
        """`sources` is what proxies may be fitted on, by the name that `fit_on` uses; `seed` is handed to the proxies.

        `exact`, the model in double precision, gives queries, keys (then rounded to single) and divergences: the same on every
        processor. By their rounding of single numbers, a vector would join one or another cluster that is about as near.
        """
        self.model, self.sources, self.seed, self.exact = model, sources, seed, exact
        self._captured: dict[str, Captured] = {}
        self._fitted: dict[tuple, Proxy] = {}

    def captured(self, source: str = TRAINING) -> Captured:
        """Queries and keys of every layer on a source, each (head, n, d_head)."""
        one_of("fit_on", source, self.sources)
        if source not in self._captured:
            self._captured[source] = Captured(self.exact or self.model, self.sources[source])
        return self._captured[source]

    def head(self, layer: int, head: int, source: str = TRAINING) -> Head:
        """What a proxy of one head is fitted on."""
        queries, keys = (vectors[head] for vectors in self.captured(source)[layer])
        weights = self.model.attention_weights(layer)
        of_layer = Divergence(self.exact or self.model, layer, self.sources[source], self.seed)
        return Head(
            queries.float() if self.exact else queries,
            keys.float() if self.exact else keys,
            self.seed,
            weights and (weights[0][head], weights[1][head]),
            lambda proxy, step: of_layer(LayerRule({head: proxy}), step),
        )

    def measures_on(self, simplification: Simplification, split: str) -> bool:
        """Whether it is fair to measure a simplification on a split: not if it was fitted on another one."""
        source = self.sources[simplification.fit_on]
        is_split = isinstance(source, Split) and source.name == simplification.fit_on  # not training sequences of that type
        return not is_split or source.name == split

    def proxies(self, simplification: Simplification) -> dict[int, dict[int, Proxy]]:
        """The fitted proxies, by layer and head."""
        simplification.check(self.model)
        layers = range(self.model.layers) if simplification.layer < 0 else (simplification.layer,)
        heads = range(self.model.heads) if simplification.head < 0 else (simplification.head,)
        return {layer: {head: self._proxy(simplification, layer, head) for head in heads} for layer in layers}

    def rules(self, simplification: Simplification) -> dict[int, LayerRule]:
        """Attention rules by layer, ready for `Model.run`."""
        return {layer: LayerRule(proxies) for layer, proxies in self.proxies(simplification).items()}

    def _proxy(self, simplification: Simplification, layer: int, head: int) -> Proxy:
        key = (simplification.proxy, simplification.complexity, simplification.fit_on, layer, head)
        if key not in self._fitted:
            of_head = self.head(layer, head, simplification.fit_on)
            self._fitted[key] = PROXIES[simplification.proxy].fit(of_head, simplification.complexity)
        return self._fitted[key]


@dataclass(frozen=True)
class LayerRule:
    """The attention rule of a layer in which the given heads are simplified and the others are not."""

    proxies: Mapping[int, Proxy]  # by head

    @cached_property
    def heads(self) -> list[int]:
        """Those that are simplified."""
        return list(self.proxies)

    def of_heads(self, queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
        """As an attention rule, but queries, keys and pattern are of the simplified heads alone."""
        return self._hardened(attend(*self.simplified(queries, keys)))

    def __call__(self, queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
        if self.heads == list(range(queries.shape[1])):
            return self.of_heads(queries, keys, attend)
        simplified = self.simplified(queries[:, self.heads], keys[:, self.heads])
        pairs = zip((queries, keys), simplified, strict=True)
        pattern = attend(*(with_heads(of_all, self.heads, part) for of_all, part in pairs))
        return with_heads(pattern, self.heads, self._hardened(pattern[:, self.heads]))

    def simplified(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """What the queries (batch, head, Q, d_head) and keys (batch, head, T, d_head) of its heads are replaced by."""
        pairs = [proxy.simplify(queries[:, i], keys[:, i]) for i, proxy in enumerate(self.proxies.values())]
        return tuple(_in_a_row(part) for part in zip(*pairs, strict=True))

    def _hardened(self, pattern: Tensor) -> Tensor:
        """What the pattern (batch, head, Q, T) of its heads is replaced by."""
        return _in_a_row([proxy.simplify_pattern(pattern[:, i]) for i, proxy in enumerate(self.proxies.values())])


def _in_a_row(heads: Sequence[Tensor]) -> Tensor:
    """(batch, head, ...) of heads (batch, ...); of a single one without a copy."""
    return torch.stack(heads, 1) if len(heads) > 1 else heads[0][:, None]
