"""Models of this package in the form of GPT-2, so that whatever reads language models of transformers reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lib.models.transformer import Transformer

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


def to_gpt2(model: Transformer) -> GPT2LMHeadModel:
    """The same model as one of transformers, which computes the same but for rounding; `save_pretrained` writes it down.

    GPT-2 has biases where ours has none: they are zero.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    config, vocabulary = model.config, model.unembedding.out_features
    shape = GPT2Config(
        vocab_size=vocabulary, n_positions=model.context, n_embd=config.width, n_layer=config.layers, n_head=config.heads,
        n_inner=config.mlp_width, activation_function="gelu", layer_norm_epsilon=model.norm.eps, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    exported = GPT2LMHeadModel(shape)
    weights = {f"transformer.{name}": value for name, value in _shared(model).items()}
    weights["lm_head.weight"] = model.unembedding.weight
    for number, block in enumerate(model.blocks):
        attention, mlp, width = block.attention, block.mlp, config.width
        parts = {
            "ln_1.weight": block.norm_attention.weight, "ln_1.bias": block.norm_attention.bias,
            "ln_2.weight": block.norm_mlp.weight, "ln_2.bias": block.norm_mlp.bias,
            "attn.c_attn.weight": attention.qkv.weight.T, "attn.c_attn.bias": torch.zeros(3 * width),
            "attn.c_proj.weight": attention.out.weight.T, "attn.c_proj.bias": torch.zeros(width),
            "mlp.c_fc.weight": mlp[0].weight.T, "mlp.c_fc.bias": _or_zero(mlp[0]),
            "mlp.c_proj.weight": mlp[2].weight.T, "mlp.c_proj.bias": _or_zero(mlp[2]),
        }  # fmt: skip
        weights |= {f"transformer.h.{number}.{name}": value for name, value in parts.items()}
    exported.load_state_dict({name: value.detach().contiguous() for name, value in weights.items()})
    return exported.to(model.unembedding.weight.dtype).eval()


def _shared(model: Transformer) -> dict[str, torch.Tensor]:
    """What is there once, by GPT-2's names."""
    return {
        "wte.weight": model.token_embedding.weight,
        "wpe.weight": model.positions,
        "ln_f.weight": model.norm.weight,
        "ln_f.bias": model.norm.bias,
    }


def _or_zero(layer: torch.nn.Linear) -> torch.Tensor:
    return torch.zeros(layer.out_features) if layer.bias is None else layer.bias
