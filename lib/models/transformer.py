"""A small decoder-only Transformer: pre-norm, GELU, no dropout (Vaswani et al. 2017; Radford et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from lib.config import Config
from lib.models.base import AttentionRule, attend_as_usual


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


def attention_scores(queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
    """Scaled dot products (batch, head, Q, T); -inf where a query would look into the future.

    `positions` (batch, Q) says where in the sequence the queries stand; None if there is one for each of the T keys.
    """
    scores = queries @ keys.mT / math.sqrt(queries.shape[-1])  # (batch, head, query, key)
    key = torch.arange(keys.shape[-2], device=keys.device)
    if positions is None:
        return scores.masked_fill(key > key[:, None], -torch.inf)
    return scores.masked_fill((key > positions[..., None])[:, None], -torch.inf)


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, rule: AttentionRule | None = None, positions: Tensor | None = None) -> Tensor:
        """x (batch, T, width) -> what is added at all T positions, or only at `positions` (batch, Q)."""
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1)
        )  # (batch, head, T, d_head)
        if positions is not None:
            queries = queries.take_along_dim(positions[:, None, :, None], 2)

        def attend(queries: Tensor, keys: Tensor) -> Tensor:
            return attention_scores(queries, keys, positions).softmax(-1)

        if rule is None and positions is None:  # the same function as `attend`, without holding the pattern
            mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        else:
            mixed = (rule or attend_as_usual)(queries, keys, attend) @ values  # (batch, head, Q, d_head)
        return self.out(mixed.transpose(1, 2).flatten(2))


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

    def forward(self, residual: Tensor, rule: AttentionRule | None = None, positions: Tensor | None = None) -> Tensor:
        """residual stream (batch, T, width) -> the stream after this block, at all T positions or only at `positions`."""
        added = self.attention(self.norm_attention(residual), rule, positions)
        if positions is not None:
            residual = residual.take_along_dim(positions[..., None], 1)
        residual = residual + added
        return residual + self.mlp(self.norm_mlp(residual))


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
        """Normal weights with GPT-2's small standard deviation, zero biases.

        Small weights seem to matter here: in one trial a Dyck model with 1/sqrt(width) instead learned more slowly.
        """
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
        positions: Tensor | None = None,
    ) -> Tensor:
        """Blocks `start` to `stop` (excluded) on a residual stream (batch, T, width); `rules` by layer, 0 the first.

        With `positions` (batch, Q) the last of these blocks is computed only there, and the result is (batch, Q, width).
        """
        stop = self.layers if stop is None else stop
        for layer in range(start, stop):
            only = positions if layer == stop - 1 else None
            residual = self.blocks[layer](residual, (rules or {}).get(layer), only)
        return residual

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
