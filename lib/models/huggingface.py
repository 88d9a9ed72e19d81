"""Causal language models of the `transformers` library as a `Model`: nothing in them is written anew.

transformers calls attention through a registry. Here a function is registered that hands queries and keys (after rotary
position and normalization, where a model has these) to an attention rule, and has the model file's own code score them: with
the model's own mask, window, scale, soft cap and sinks. A layer is called with what the model itself would call it with, so
any layer can be run from its residual stream. Whether a model really can be run so is checked when it is loaded
(`lib.audit.checks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lib.models import inline
from lib.models.attention import NAME, Call, UnsuitableModel, by_rule, register, watching, wide
from lib.models.base import Attend, AttentionRule, Paused, Positions, RunAgain

_SHAPES = 4  # of tokens, for which is kept what layers are called with


class _Stop(Exception):
    """Thrown where nothing further is needed of a forward pass."""


class _Called(NamedTuple):
    """What a block is called with, beside the residual stream, for tokens of one shape."""

    given: tuple
    named: Mapping[str, object]


class HuggingFace:
    """A causal language model of transformers; satisfies `lib.models.base.Model`.

    A *layer* is a block that attends, with those before it that do not; layers count from 0. Heads that share keys have them
    one each here, so that a proxy may simplify one of them alone.
    """

    def __init__(self, model: PreTrainedModel):
        """`model` is put into evaluation mode, and its attention stays replaceable; left alone it computes as before.

        Raises `UnsuitableModel` where attention does not go through transformers' registry, or layers are not of one shape.
        """
        register()
        self.model, self.name = model.eval().requires_grad_(False), type(model).__name__
        try:
            model.set_attn_implementation(NAME)
        except (ValueError, AttributeError, KeyError, ImportError) as error:
            raise UnsuitableModel(f"{self.name} does not let its attention be replaced ({error})") from error
        self._called: dict[tuple[int, int], list[_Called]] = {}  # by shape of tokens
        self._find_layers()

    @property
    def blocks(self) -> int:
        """How many blocks it has, those that do not attend among them."""
        return len(self._blocks)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.model.get_input_embeddings().weight.dtype

    @property
    def vocabulary_size(self) -> int:
        """How many tokens it predicts."""
        return self.model.config.get_text_config().vocab_size

    @property
    def context(self) -> int | None:
        """The longest sequence that it was made for, in tokens; None where it does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Within it, the model attends by its own plain code."""
        self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.model.set_attn_implementation(NAME)

    def logits(self, tokens: Tensor, rule: AttentionRule | None = None) -> Tensor:
        """tokens (batch, T) -> logits (batch, T, vocabulary), by the model's own forward pass; with a rule in every layer."""
        if rule and self._inline:
            return self.unembed(self.run(self.embed(tokens), dict.fromkeys(range(self.layers), rule)))
        with watching(by_rule(rule)) if rule else nullcontext():
            return wide(self.model(input_ids=tokens, use_cache=False).logits)

    @torch.no_grad()
    def _find_layers(self) -> None:
        """Which blocks attend, and with heads of which shape: by those that call attention, or else by trying each block."""
        tokens = torch.arange(4, device=self.device)[None] % self.vocabulary_size
        calls: list[Call] = []

        def note(call: Call) -> Tensor:
            calls.append(call)
            return call.attend(call.query, call.of_each_head(call.key))

        with watching(note):
            self.model(input_ids=tokens, use_cache=False)
        self._inline = not calls
        if calls:
            self._blocks, attending = self._blocks_of([call.module for call in calls])
            self._in_tuple = self._which_return_tuples(tokens)
            found = [(call.query.shape[1], call.query.shape[3]) for call in calls]
        else:
            self.model.config._attn_implementation = "eager"  # which such a model reads itself, where it has several ways
            self._blocks = self._repeated()
            self._in_tuple = self._which_return_tuples(tokens)
            tried = {index: self._tried(tokens, index) for index in range(len(self._blocks))}
            attending, found = [index for index, shape in tried.items() if shape], list(filter(None, tried.values()))
        if not found:
            raise UnsuitableModel(f"{self.name} has no attention, or computes it in code of its own that nothing can replace")
        if len(set(found)) > 1:
            each = ", ".join(f"{heads} heads of width {width}" for heads, width in sorted(set(found)))
            raise UnsuitableModel(f"{self.name} has layers of different shapes ({each}), which no one rank describes")
        self.heads, self.head_width = found[0]
        self.layers, self._attending = len(attending), attending
        ends = [*(block + 1 for block in attending[:-1]), len(self._blocks)]
        self._layers = [range(*pair) for pair in zip([0, *ends[:-1]], ends, strict=True)]

    def _repeated(self) -> nn.ModuleList:
        """The blocks of a model none of which calls attention: the list of as many as its configuration says."""
        count = self.model.config.get_text_config().num_hidden_layers
        for blocks in self.model.modules():
            if isinstance(blocks, nn.ModuleList) and len(blocks) == count:
                return blocks
        raise UnsuitableModel(f"{self.name} has no list of {count} blocks, so where its layers begin and end is not known")

    def _tried(self, tokens: Tensor, index: int) -> tuple[int, int] | None:
        """Heads and their width of a block that computes attention in code of its own; None where it does not attend."""
        shapes: list[tuple[int, int]] = []

        def note(queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
            shapes.append((queries.shape[1], queries.shape[3]))
            return attend(queries, keys)

        residual = self.embed(tokens)
        try:
            inline.run_with(note, lambda: self._run_block(index, residual), len(tokens))
        except UnsuitableModel:
            return None
        return shapes[0]

    def _blocks_of(self, attentions: Sequence[nn.Module]) -> tuple[nn.ModuleList, list[int]]:
        """The list of blocks, and which of them hold the modules that attended, in their order."""
        paths = {module: name.split(".") for name, module in self.model.named_modules()}
        paths = [paths[module] for module in attentions]
        for name, blocks in self.model.named_modules():
            depth = len(name.split("."))
            if isinstance(blocks, nn.ModuleList) and all(".".join(path[:depth]) == name for path in paths):
                attending = [int(path[depth]) for path in paths]
                if sorted(set(attending)) == attending:
                    return blocks, attending
        raise UnsuitableModel(f"{self.name} does not attend once a block, in one block after the other")

    def _which_return_tuples(self, tokens: Tensor) -> list[bool]:
        found = [False] * len(self._blocks)

        def note(index: int) -> Callable:
            return lambda module, given, output: found.__setitem__(index, isinstance(output, tuple))

        with ExitStack() as hooks:
            for index, block in enumerate(self._blocks):
                hooks.enter_context(block.register_forward_hook(note(index)))
            self.model(input_ids=tokens, use_cache=False)
        return found

    @contextmanager
    def _blocks_as(self, stand_in: Callable[[int, Tensor, _Called], Tensor]) -> Iterator[None]:
        """Within it, `stand_in` is called in place of blocks: with a block's index, what it reads, and what else it gets."""

        def forward(index: int) -> Callable:
            def called(*given, **named):
                residual, *others = given or [named.pop("hidden_states")]
                after = stand_in(index, residual, _Called(tuple(others), named))
                return (after,) if self._in_tuple[index] else after

            return called

        before = [block.forward for block in self._blocks]
        try:
            for index, block in enumerate(self._blocks):
                block.forward = forward(index)
            yield
        finally:
            for block, own in zip(self._blocks, before, strict=True):
                block.forward = own

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens (batch, T) -> residual stream (batch, T, width)."""
        called: list[_Called] = []

        def note(index: int, residual: Tensor, with_: _Called) -> Tensor:
            called.append(with_)
            if index == len(self._blocks) - 1:
                entering.append(residual)
                raise _Stop
            return residual

        entering: list[Tensor] = []
        with self._blocks_as(note), suppress(_Stop):
            self.model(input_ids=tokens, use_cache=False)
        shape = tuple(tokens.shape)
        self._called.pop(shape, None)
        self._called[shape] = called
        while len(self._called) > _SHAPES:
            del self._called[next(iter(self._called))]
        return entering[0]

    def _called_for(self, residual: Tensor) -> list[_Called]:
        """What blocks are called with for a residual stream (batch, T, width)."""
        shape = tuple(residual.shape[:2])
        if shape not in self._called:
            self.embed(torch.zeros(shape, dtype=torch.long, device=self.device))
        return self._called[shape]

    def _run_block(self, index: int, residual: Tensor) -> Tensor:
        """What a block makes of a residual stream (batch, T, width)."""
        called = self._called_for(residual)[index]
        output = self._blocks[index](residual, *called.given, **called.named)
        return output[0] if isinstance(output, tuple) else output

    def run(
        self,
        residual: Tensor,
        rules: Mapping[int, AttentionRule] | None = None,
        start: int = 0,
        stop: int | None = None,
        positions: Positions | None = None,
    ) -> Tensor:
        """Layers `start` to `stop` (excluded) on a residual stream (batch, T, width); `rules` by layer, 0 the first.

        With `positions` only these are returned, (P, width).
        """
        for layer in range(start, self.layers if stop is None else stop):
            for index in self._layers[layer]:
                rule = (rules or {}).get(layer) if index == self._attending[layer] else None
                if rule and self._inline:
                    residual = inline.run_with(rule, partial(self._run_block, index, residual), len(residual))
                else:
                    with watching(by_rule(rule)) if rule else nullcontext():
                        residual = self._run_block(index, residual)
        return residual if positions is None else positions.take(residual)

    def pause(self, residual: Tensor, layer: int, positions: Positions | None = None) -> Paused:
        """A layer on a residual stream (batch, T, width), stopped where its pattern is due."""
        return RunAgain(self, residual, layer, positions)

    def unembed(self, residual: Tensor) -> Tensor:
        """residual stream (..., width) -> logits (..., vocabulary), in float32."""
        rows = residual.reshape(-1, 1, residual.shape[-1])  # each a sequence of its own: positions do not count here
        tokens = torch.zeros(rows.shape[:2], dtype=torch.long, device=self.device)
        with self._blocks_as(lambda index, before, called: rows):
            logits = self.model(input_ids=tokens, use_cache=False).logits
        return wide(logits).view(*residual.shape[:-1], -1)

    def attention_weights(self, layer: int) -> None:
        """None: between what a layer reads and its queries and keys stand biases, normalization or rotary position."""
