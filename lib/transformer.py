"""A small decoder-only Transformer whose attention takes a replaceable rule.

Pre-norm, GELU, no dropout (Vaswani et al. 2017; Radford et al. 2019). An *attention rule* maps the queries and keys of one
layer to its attention pattern; `softmax_attention` is the usual one. A proxy is another rule, and looking at queries, keys
and patterns is a rule that keeps what it sees (`Capture`), so neither needs hooks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.presets import ModelConfig

# On the CPU, PyTorch's kernels keep a plan and its working memory for each of the last 1,024 shapes of products. Batches come
# in hundreds of lengths, so that is gigabytes; fewer cost no time. Read once, at the first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

# queries (batch, head, Q, d_head), keys (batch, head, T, d_head), positions of the queries (batch, Q), None for all T
# -> pattern (batch, head, Q, T)
AttentionRule = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def attention_scores(queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
    """Scaled dot products (batch, ..., Q, T); -inf where a query would look into the future.

    `positions` (batch, Q) says where in the sequence the queries stand; None if there is one for each of the T keys.
    """
    scores = queries @ keys.mT / math.sqrt(queries.shape[-1])  # (batch, ..., query, key)
    key = torch.arange(keys.shape[-2], device=keys.device)
    if positions is None:
        return scores.masked_fill(key > key[:, None], -torch.inf)
    future = key > positions[..., None]  # (batch, query, key)
    return scores.masked_fill(future.unflatten(0, (-1, *[1] * (scores.dim() - 3))), -torch.inf)


def softmax_attention(queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
    """The attention rule of the original model: each row of the pattern sums to 1 over its past."""
    return attention_scores(queries, keys, positions).softmax(-1)


class Capture:
    """An attention rule that keeps the queries, keys and pattern of its last call, each (batch, head, T, ...)."""

    def __init__(self, rule: AttentionRule = softmax_attention):
        self.rule = rule

    def __call__(self, queries: Tensor, keys: Tensor, positions: Tensor | None = None) -> Tensor:
        self.queries, self.keys = queries, keys
        self.pattern = self.rule(queries, keys, positions)
        return self.pattern


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
        )  # each (batch, head, T, d_head)
        if positions is not None:
            queries = queries.take_along_dim(positions[:, None, :, None], 2)  # (batch, head, Q, d_head)
        if rule is None and positions is None:  # the same function as softmax_attention, without holding the pattern
            mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        else:
            mixed = (rule or softmax_attention)(queries, keys, positions) @ values  # (batch, head, Q, d_head)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP, each reading the normalized residual stream and adding to it."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm_mlp = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.mlp_width, bias=config.mlp_bias),
            nn.GELU(),
            nn.Linear(config.mlp_width, config.width, bias=config.mlp_bias),
        )

    def forward(self, residual: Tensor, rule: AttentionRule | None = None, positions: Tensor | None = None) -> Tensor:
        """residual stream (batch, T, width) -> the stream after this block, at all T positions or only at `positions`."""
        added = self.attention(self.norm_attention(residual), rule, positions)
        if positions is not None:
            residual = residual.take_along_dim(positions[..., None], 1)
        residual = residual + added
        return residual + self.mlp(self.norm_mlp(residual))


class Transformer(nn.Module):
    """Token and position embedding, blocks, final norm, unembedding; `forward` is the three parts in a row."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, context: int):
        super().__init__()
        self.config, self.context = config, context
        self.token_embedding = nn.Embedding(vocabulary_size, config.width)
        self.positions = _positions(config, context)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.unembedding = nn.Linear(config.width, vocabulary_size, bias=False)
        self._initialize()

    def _initialize(self) -> None:
        """Normal weights with GPT-2's small standard deviation, zero biases.

        Small weights seem to matter here: in one trial a Dyck model with 1/sqrt(width) instead learned more slowly.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
            elif "norm" not in name:
                nn.init.zeros_(parameter)

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
        stop = self.config.layers if stop is None else stop
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
