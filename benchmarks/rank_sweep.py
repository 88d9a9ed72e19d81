"""An SVD of every rank of one layer, with all measures on every Dyck split, against predictions alone, found in other ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import Contest, Difference, importing, timed
from torch import Tensor

from lib.config import checked
from lib.measuring.faithfulness import compare
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import TRAINING, Fitter, LayerRule, Simplification
from lib.split import Dataset, Split
from lib.tasks.dyck.task import DyckTask

PEER = "TransformerLens"
LAYER = 1
BATCH = 128  # sequences; of 16 to 250, what took the others least time
Rules = Mapping[Simplification, Mapping[int, LayerRule]]
Choices = dict[Simplification, np.ndarray]  # by simplification, [scored positions]: whether the choice is the model's own
Chooser = Callable[[Transformer, Split, Rules], Choices]


def model_and_rules(dataset: Dataset, dtype: torch.dtype) -> tuple[Transformer, Rules]:
    """A model of random weights, as large as trained ones so that attention is not uniform, and an SVD of every rank."""
    model = Transformer.seeded(ModelConfig(), len(dataset.vocabulary), dataset.context, seed=0).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() > 1 else 1)
    fitter = Fitter(model, {TRAINING: dataset.training.first(200)})
    return model, {s: fitter.rules(s) for s in (Simplification("svd", r + 1, LAYER) for r in range(model.head_width))}


def chosen(split: Split, names: list, logits_of: Callable[[Tensor], Callable[[object], Tensor]]) -> Choices:
    """Choices of `names` but None, the model itself; `logits_of` tokens (batch, T) gives logits (batch, T, v) by name."""
    choices = {name: [] for name in names}
    with torch.inference_mode():
        for rows in (slice(start, start + BATCH) for start in range(0, len(split), BATCH)):
            logits = logits_of(torch.from_numpy(split.tokens[rows, : split.lengths[rows].max()].astype(np.int64)))
            scored = split.scored[rows, : split.lengths[rows].max()]
            for name, found in choices.items():
                found.append(logits(name)[..., torch.from_numpy(split.candidates)].argmax(-1).numpy()[scored])
    original = np.concatenate(choices.pop(None))
    return {name: np.concatenate(found) == original for name, found in choices.items()}


def plainly(model: Transformer, split: Split, rules: Rules) -> Choices:
    """Choices of the whole model once a rank."""
    return chosen(split, [None, *rules], lambda tokens: lambda name: model(tokens, rules.get(name)))


def lens_of(folder: Path | None, model: Transformer):
    """A HookedTransformer with the model's weights."""
    with importing(folder, PEER):
        from transformer_lens import HookedTransformer, HookedTransformerConfig
    config, (vocabulary, width) = model.config, model.token_embedding.weight.shape
    shape = {"n_layers": config.layers, "n_heads": config.heads, "d_model": width, "d_head": config.head_width}
    shape |= {"d_mlp": config.mlp_width, "d_vocab": vocabulary, "n_ctx": model.context, "dtype": model.unembedding.weight.dtype}
    lens = HookedTransformer(HookedTransformerConfig(**shape, act_fn="gelu", normalization_type="LN", device="cpu"))
    weights = lens.state_dict()
    for name, tensor in weights.items():
        if ".b_" in name or name.startswith("unembed.b"):
            tensor.zero_()  # ours has no biases but those below
    weights |= {"embed.W_E": model.token_embedding.weight, "pos_embed.W_pos": model.positions}
    weights |= {"ln_final.w": model.norm.weight, "ln_final.b": model.norm.bias, "unembed.W_U": model.unembedding.weight.T}
    for layer, block in enumerate(model.blocks):
        here, attention, mlp = f"blocks.{layer}.", block.attention, block.mlp
        for name, matrix in zip("QKV", attention.qkv.weight.chunk(3), strict=True):
            weights[f"{here}attn.W_{name}"] = matrix.unflatten(0, (config.heads, -1)).mT
        weights[f"{here}attn.W_O"] = attention.out.weight.T.unflatten(0, (config.heads, -1))
        for name, norm in (("ln1", block.norm_attention), ("ln2", block.norm_mlp)):
            weights |= {f"{here}{name}.w": norm.weight, f"{here}{name}.b": norm.bias}
        for name, linear in (("in", mlp[0]), ("out", mlp[2])):
            weights[f"{here}mlp.W_{name}"] = linear.weight.T
            if linear.bias is not None:
                weights[f"{here}mlp.b_{name}"] = linear.bias
    lens.load_state_dict(weights)
    return lens.eval()


def hooks(rules: Mapping[int, LayerRule]) -> list[tuple[str, Callable]]:
    """For TransformerLens, what projects queries and keys (batch, T, head, d_head)."""

    def project(vectors: Tensor, hook, proxies, side: str) -> Tensor:
        return torch.stack([getattr(proxy, side).project(vectors[:, :, head]) for head, proxy in proxies.items()], 2)

    sides = (("q", "queries"), ("k", "keys"))
    return [
        (f"blocks.{layer}.attn.hook_{letter}", partial(project, proxies=rule.proxies, side=side))
        for layer, rule in rules.items()
        for letter, side in sides
    ]


def by_hooks(lens, split: Split, rules: Rules, start: int | None = None) -> Choices:
    """Choices of TransformerLens once a rank, of the whole model or from layer `start` on."""

    def logits_of(tokens: Tensor) -> Callable[[object], Tensor]:
        reads = tokens if start is None else lens(tokens, stop_at_layer=start)
        return lambda name: lens.run_with_hooks(reads, fwd_hooks=hooks(rules.get(name, {})), start_at_layer=start)

    return chosen(split, [None, *rules], logits_of)


def share_that_differs(dataset: Dataset, model: Transformer, rules: Rules, choices: Callable[[Split, Rules], Choices]) -> float:
    """The largest share over simplifications and splits, at any scored position, by `compare` and in another way."""
    shares = []
    for split in dataset.splits.values():
        position = np.broadcast_to(np.arange(split.tokens.shape[1]), split.tokens.shape)
        block = compare(model, replace(split, covariates={"position": position}), rules)  # a row for each scored position
        found = choices(split, rules)
        shares += [float((block.sums[s, "same_prediction"] != same).mean()) for s, same in found.items()]
    return max(shares)


def begin(folder: Path | None, threads: int, sentences: int = 300, lens: bool = False, start: int | None = None) -> Contest:
    """Every rank on every split: with all measures, against only the predictions of the whole model, or from a layer on."""
    dataset = checked(DyckTask, {"training_sentences": 4_000, "split_sentences": sentences}, "rank_sweep").sample(seed=0)
    differences, ways = [], {}
    for dtype in (torch.float64, torch.float32):  # the first is so precise that no two candidates tie by rounding
        model, rules = model_and_rules(dataset, dtype)
        if lens:
            peer = lens_of(folder, model)
            tokens = torch.from_numpy(dataset.splits["unseen_length"].tokens[:20].astype(np.int64))
            with torch.inference_mode():
                logits = model(tokens)
                off = float((peer(tokens) - logits).abs().max() / logits.abs().max())
            differences.append(Difference(f"logits in {str(dtype)[6:]}, as a share of the largest", off, 1e-5))
        choices = partial(by_hooks, peer, start=start) if lens else partial(plainly, model)
        ways[dtype] = choices
        if dtype == torch.float64:
            share = share_that_differs(dataset, model, rules, choices)
            differences.append(Difference("predictions in float64, as a share", share, 0.0))
    splits = dataset.splits.values()
    return Contest(
        timed(lambda: [compare(model, split, rules) for split in splits], threads),
        timed(lambda: [choices(split, rules) for split in splits], threads),
        differences,
    )
