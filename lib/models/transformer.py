"""A small decoder-only Transformer: pre-norm, GELU, no dropout (Vaswani et al. 2017; Radford et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from lib.config import Config
from lib.models.base import ALL, AttentionRule, Heads, Positions, attend_as_usual
from lib.models.machine import by_onednn


class ModelConfig(Config):
    """The Transformer's shape."""

    layers: int = Field(default=2, ge=1, le=1_000)
    heads: int = Field(default=1, ge=1, le=1_000)
    width: int = Field(default=32, ge=1, le=100_000)
    """Of the residual stream; each head gets width / heads of it."""
    mlp_width: int = Field(default=128, ge=1, le=1_000_000)
    positions: Literal["learned", "sinusoidal", "none"] = "learned"
    bias: bool = True
    """Biases in the MLP, as GPT-2 has them. Models of code do without, which saves a twentieth of a training step."""

    @model_validator(mode="after")
    def _heads_share_the_width(self):
        if self.width % self.heads:
            raise ValueError(f"width is {self.width}, but must be a multiple of heads = {self.heads}")
        return self

    @property
    def head_width(self) -> int:
        """Dimensions of a head's queries and keys."""
        return self.width // self.heads


_SHORT = {torch.float32: 256, torch.bfloat16: 512}  # tokens; up to so many, oneDNN is faster at attention in parts than fused


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def read(self, x: Tensor, at: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (batch, T, width) -> queries, keys and values, each (batch, head, T, d_head).

        With `at` (batch, Q), the positions that ask, queries are (batch, head, Q, d_head).
        """
        if at is None:
            parts = self.qkv(x).chunk(3, -1)
        else:
            asking, others = self.qkv.weight.tensor_split([x.shape[-1]])
            parts = F.linear(x.take_along_dim(at[..., None], 1), asking), *F.linear(x, others).chunk(2, -1)
        return tuple(part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)

    def write(self, mixed: Tensor, positions: Positions | None = None) -> Tensor:
        """Values (batch, head, Q, d_head) as they were mixed -> what is added to the stream, (batch, Q, width) or (P, ...)."""
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.out(mixed if positions is None else positions.take(mixed))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, T, width) -> what is added at all positions; without a pattern that others could look at."""
        queries, keys, values = self.read(x)
        if by_onednn(queries.dtype, x.device) and x.shape[1] <= _SHORT[queries.dtype]:
            mixed = attention_pattern(queries, keys, causal_mask(keys)).to(values.dtype) @ values
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return self.write(mixed)


def causal_mask(keys: Tensor, positions: Tensor | None = None) -> Tensor:
    """What is added to scores (..., Q, T) of keys (batch, head, T, d_head): -inf where a query would look into the future.

    `positions` (batch, Q) says where in the sequence the queries stand; None if there is one for each of the T keys.
    """
    key = torch.arange(keys.shape[-2], device=keys.device)
    future = key > (key[:, None] if positions is None else positions[:, None, :, None])
    return torch.zeros(future.shape, dtype=keys.dtype, device=keys.device).masked_fill(future, -torch.inf)


def attention_pattern(queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Softmax of scaled dot products (batch, head, Q, T) and a mask that broadcasts to them: scores and mask in one product."""
    shape = (*queries.shape[:-1], keys.shape[-2])
    added = mask if mask.dim() == 2 else mask.expand(shape).flatten(0, 1)
    scores = torch.baddbmm(added, queries.flatten(0, 1), keys.flatten(0, 1).mT, alpha=1 / math.sqrt(queries.shape[-1]))
    return scores.view(shape).softmax(-1)


class Block(nn.Module):
    """Attention and MLP, each reading the normalized residual stream and adding to it."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm_mlp = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.mlp_width, bias=config.bias),
            nn.GELU(),
            nn.Linear(config.mlp_width, config.width, bias=config.bias),
        )

    def forward(self, residual: Tensor) -> Tensor:
        """residual stream (batch, T, width) -> the stream after this block."""
        return self.after(residual, self.attention(self.norm_attention(residual)))

    def after(self, residual: Tensor, added: Tensor) -> Tensor:
        """The stream after this block, from the one before and what attention adds to it."""
        residual = residual + added
        return residual + self.mlp(self.norm_mlp(residual))


class PausedBlock:
    """A block that waits for its attention pattern; satisfies `lib.models.base.Paused`."""

    def __init__(self, block: Block, residual: Tensor, positions: Positions | None = None):
        """`residual` (batch, T, width); with `positions` what comes out is computed only there."""
        self.block, self.positions = block, positions
        self.residual = residual if positions is None else positions.take(residual)
        at = None if positions is None else positions.queries
        self.queries, self.keys, self.values = block.attention.read(block.norm_attention(residual), at)
        self.mask = causal_mask(self.keys, at)

    def attend(self, queries: Tensor, keys: Tensor, heads: Heads = ALL) -> Tensor:
        """Pattern (batch, head, Q, T) of the queries and keys of any heads, which all score alike."""
        return attention_pattern(queries, keys, self.mask)

    @cached_property
    def pattern(self) -> Tensor:
        """(batch, head, Q, T) of the model itself."""
        return self.attend(self.queries, self.keys)

    @cached_property
    def mixed(self) -> Tensor:
        """Values as the model itself mixes them, (batch, head, Q, d_head)."""
        return self.pattern @ self.values

    def resume(self, pattern: Tensor, heads: Heads = ALL) -> Tensor:
        """The residual stream after the block, (batch, T, width), or (P, width) at the positions that were asked for."""
        mixed = pattern @ self.values[:, heads]
        if heads != ALL:
            of_heads, mixed = mixed, self.mixed.clone()
            mixed[:, heads] = of_heads
        return self.block.after(self.residual, self.block.attention.write(mixed, self.positions))


class Transformer(nn.Module):
    """Token and position embedding, blocks, final norm, unembedding; satisfies `lib.models.base.Model`."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, context: int):
        super().__init__()
        self.config, self.context = config, context
        self.layers, self.heads, self.head_width = config.layers, config.heads, config.head_width
        self.token_embedding = nn.Embedding(vocabulary_size, config.width)
        self.positions = _positions(config, context)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.unembedding = nn.Linear(config.width, vocabulary_size, bias=False)
        self._initialize()

    @classmethod
    def seeded(cls, config: ModelConfig, vocabulary_size: int, context: int, seed: int) -> Transformer:
        """An untrained model; the same weights for the same seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config, vocabulary_size, context)

    def _initialize(self) -> None:
        """Zero biases, normal weights, as small as GPT-2's: in one trial on Dyck those of 1/sqrt(width) learned more slowly."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif "norm" not in name:
                nn.init.zeros_(parameter)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.token_embedding.weight.device

    def embed(self, tokens: Tensor) -> Tensor:
        """tokens (batch, T) -> residual stream (batch, T, width)."""
        length = tokens.shape[1]
        if length > self.context:
            raise ValueError(f"a sequence of {length} tokens does not fit the context of {self.context}")
        return self.token_embedding(tokens) + self.positions[:length]

    def run(
        self,
        residual: Tensor,
        rules: Mapping[int, AttentionRule] | None = None,
        start: int = 0,
        stop: int | None = None,
        positions: Positions | None = None,
    ) -> Tensor:
        """Blocks `start` to `stop` (excluded) on a residual stream (batch, T, width) -> the same; at `positions` (P, width)."""
        stop = self.layers if stop is None else stop
        for layer in range(start, stop):
            rule, only = (rules or {}).get(layer), positions if layer == stop - 1 else None
            if rule is None and only is None:
                residual = self.blocks[layer](residual)
            else:
                paused = self.pause(residual, layer, only)
                residual = paused.resume((rule or attend_as_usual)(paused.queries, paused.keys, paused.attend))
        return residual

    def pause(self, residual: Tensor, layer: int, positions: Positions | None = None) -> PausedBlock:
        """A block on a residual stream (batch, T, width), stopped where its pattern is due."""
        return PausedBlock(self.blocks[layer], residual, positions)

    def unembed(self, residual: Tensor) -> Tensor:
        """residual stream (..., width) -> logits (..., vocabulary)."""
        return self.unembedding(self.norm(residual))

    def forward(self, tokens: Tensor, rules: Mapping[int, AttentionRule] | None = None) -> Tensor:
        """tokens (batch, T) -> logits of each next token (batch, T, vocabulary)."""
        return self.unembed(self.run(self.embed(tokens), rules))

    def attention_weights(self, layer: int) -> tuple[Tensor, Tensor]:
        """W_Q and W_K of a layer, each (head, d_head, width): queries are W_Q times the normalized residual stream."""
        queries, keys, _ = self.blocks[layer].attention.qkv.weight.detach().unflatten(0, (3, self.heads, -1))
        return queries, keys


def _positions(config: ModelConfig, context: int) -> Tensor:
    """What is added to the embedding of each position, (context, width): trained, fixed, or nothing."""
    if config.positions == "learned":
        return nn.Parameter(torch.empty(context, config.width))
    encoding = torch.zeros(context, config.width)
    if config.positions == "sinusoidal":  # Vaswani et al. 2017, section 3.5
        angles = torch.arange(context)[:, None] * 10_000 ** (-torch.arange(0, config.width, 2) / config.width)
        encoding[:, 0::2], encoding[:, 1::2] = angles.sin(), angles.cos()[:, : config.width // 2]
        encoding *= config.width**-0.5  # as large as the token embedding
    return nn.Buffer(encoding, persistent=False)
