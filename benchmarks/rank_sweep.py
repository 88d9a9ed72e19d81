"""Measuring an SVD of every rank on every Dyck split, as `lib` does it, against the whole model once per rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from harness import ratios, run, said

from lib.config import checked
from lib.measuring.faithfulness import compare
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import TRAINING, Fitter, Simplification
from lib.split import Dataset, Split
from lib.tasks.dyck.task import DyckTask

LAYER = 1


def model_and_rules(dataset: Dataset, dtype: torch.dtype) -> tuple[Transformer, dict]:
    """A model of random weights, as large as trained ones so that attention is not uniform, and an SVD of every rank."""
    model = Transformer.seeded(ModelConfig(), len(dataset.vocabulary), dataset.context, seed=0).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() > 1 else 1)
    fitter = Fitter(model, {TRAINING: dataset.training.first(200)})
    return model, {s: fitter.rules(s) for s in (Simplification("svd", r + 1, LAYER) for r in range(model.head_width))}


def plain(model: Transformer, split: Split, rules: dict, batch_size: int = 250) -> dict[Simplification, np.ndarray]:
    """Whether the model with each rule chooses as without, running all layers at all positions: [scored positions]."""
    choices = {name: [] for name in (None, *rules)}
    with torch.no_grad():
        for rows in (slice(start, start + batch_size) for start in range(0, len(split), batch_size)):
            tokens = torch.from_numpy(split.tokens[rows].astype(np.int64))
            for name, found in choices.items():
                logits = model(tokens, rules.get(name))[..., torch.from_numpy(split.candidates)]
                found.append(logits.argmax(-1).numpy()[split.scored[rows]])
    original, *simplified = (np.concatenate(found) for found in choices.values())
    return {name: found == original for name, found in zip(rules, simplified, strict=True)}


def check(dataset: Dataset, model: Transformer, rules: dict) -> None:
    """Both ways make the same predictions at every position."""
    for split in dataset.splits.values():
        position = np.broadcast_to(np.arange(split.tokens.shape[1]), split.tokens.shape)
        block = compare(model, replace(split, covariates={"position": position}), rules)  # a row for each scored position
        for simplification, expected in plain(model, split, rules).items():
            found = block.sums[simplification, "same_prediction"]
            assert np.array_equal(found, expected), f"{simplification} on {split.name}: other predictions"


def main(sentences: int = 300, rounds: int = 3) -> None:
    """Every measure of an SVD of every rank, against only the predictions of the whole model once per rank."""
    dataset = checked(DyckTask, {"training_sentences": 4_000, "split_sentences": sentences}, "rank_sweep").sample(seed=0)
    check(dataset, *model_and_rules(dataset, torch.float64))  # so precise that no two candidates tie by rounding
    model, rules = model_and_rules(dataset, torch.float32)
    splits = dataset.splits.values()
    found = ratios(lambda: [compare(model, s, rules) for s in splits], lambda: [plain(model, s, rules) for s in splits], rounds)
    print(f"time to sweep all ranks over that of the whole model once per rank: {said(found)}")


if __name__ == "__main__":
    run(main)
