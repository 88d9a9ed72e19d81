"""Tiny random language models of many families, a tokenizer of characters, and text, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

_COMMON = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64, "vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2}
_WINDOW = {**_COMMON, "sliding_window": 6}
_MAMBA = {"mamba_d_state": 8, "use_mamba_kernels": False}
FAMILIES = {
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "vocab_size": 97},  # ALiBi
    "cohere": _COMMON,
    "deepseek_v3": {
        **_COMMON, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 4, "v_head_dim": 8,
        "qk_nope_head_dim": 4, "head_dim": 4, "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2,
        "moe_intermediate_size": 16, "first_k_dense_replace": 1,
    },
    "falcon": {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 97},  # one key for all heads
    "gemma": _COMMON,
    "gemma2": {**_WINDOW, "query_pre_attn_scalar": 8},  # soft caps
    "gemma3_text": {**_WINDOW, "query_pre_attn_scalar": 8},
    "glm4": _COMMON,
    "gpt2": _GPT2,
    "gpt_neo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 4, "vocab_size": 97, "max_position_embeddings": 64, "window_size": 6,
        "attention_types": [[["global", "local"], 1]],
    },
    "gpt_neox": _COMMON,
    "gpt_oss": {**_WINDOW, "num_local_experts": 4},  # sinks
    "gptj": {**_GPT2, "rotary_dim": 4},
    "granite": _COMMON,
    "jamba": {  # hybrid
        **_COMMON, **_MAMBA, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4,
    },
    "llama": _COMMON,
    "mistral": _WINDOW,
    "mixtral": {**_COMMON, "num_local_experts": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 3, "vocab_size": 97},  # ALiBi
    "nemotron": _COMMON,
    "olmo2": _COMMON,
    "opt": {**_COMMON, "ffn_dim": 48, "word_embed_proj_dim": 16},
    "phi": _COMMON,
    "phi3": _COMMON,
    "qwen2": _COMMON,
    "qwen3": _COMMON,
    "qwen3_next": {
        **_COMMON, "num_hidden_layers": 4, "linear_num_value_heads": 2, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
        "linear_value_head_dim": 8, "num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
        "num_experts_per_tok": 2,
    },
    "smollm3": _COMMON,
    "stablelm": _COMMON,
    "starcoder2": _COMMON,
}  # fmt: skip
REFUSED = {
    "zamba2": {
        **_COMMON, **_MAMBA, "num_hidden_layers": 4, "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "mamba_headdim": 8, "mamba_ngroups": 1, "n_mamba_heads": 8, "num_mem_blocks": 1,
    },
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 97},
    "bert": {**_COMMON, "is_decoder": False},
}  # fmt: skip


def random_model(family: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A tiny model of a family whose weights are large enough that everything in it matters."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **({**FAMILIES, **REFUSED}[family]))
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.to(dtype)


def character_tokenizer(start: bool = False) -> PreTrainedTokenizerFast:
    """A token a character of ASCII, and an end of text; with `start`, every text begins with one, as in some families."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocabulary = {"<end>": 0, "<unknown>": 1, **{chr(code): code - 30 for code in range(32, 127)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    special = {"eos_token": "<end>", "unk_token": "<unknown>"}
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 0)])
        special["bos_token"] = "<end>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def saved(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None = None) -> Path:
    """A folder with a model, and a tokenizer, as anyone has them."""
    model.save_pretrained(folder)
    if tokenizer:
        tokenizer.save_pretrained(folder)
    return folder


def sentences(seed: int, count: int, words: str) -> str:
    """Text of paragraphs of a few words in random order."""
    rng = np.random.default_rng(seed)
    return "\n\n".join(" ".join(rng.choice(words.split(), 12)) + "." for _ in range(count))
