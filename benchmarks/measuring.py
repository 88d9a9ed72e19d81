"""All measures of simplifications of a model of code, against the whole model run plainly, twice for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from harness import Contest, Difference, timed
from torch import Tensor
from torch.nn.functional import kl_div
from training import CODE

from lib.measuring.faithfulness import compare
from lib.models.base import Attend, Capture, attend_as_usual
from lib.models.transformer import Transformer
from lib.proxies import TRAINING, Fitter, LayerRule, Simplification
from lib.split import Sequences, Split
from lib.tasks.code.splits import FIRST_CHARACTER, VOCABULARY

Rules = Mapping[Simplification, Mapping[int, LayerRule]]
BATCH = 2  # sequences; of 1 to 16, what took the plain way least time


def split_of(sequences: int, seed: int) -> Split:
    """Random text, all of it scored."""
    width = CODE.task.context + 1
    tokens = np.random.default_rng(seed).integers(FIRST_CHARACTER, len(VOCABULARY), (sequences, width))
    scored = np.broadcast_to(np.arange(width) < width - 1, tokens.shape)
    position = {"position": np.broadcast_to(np.arange(width), tokens.shape)}  # a row of the block for each position
    candidates, lengths = np.arange(FIRST_CHARACTER, len(VOCABULARY)), np.full(sequences, width)
    return Split(name="random", tokens=tokens, lengths=lengths, scored=scored, candidates=candidates, covariates=position)


def model_and_rules(dtype: torch.dtype, every: int = 1) -> tuple[Transformer, Rules]:
    """The model of preset `paper` with random weights as large as trained ones; proxies everywhere, by layer and by head.

    Of the proxies only each `every`-th.
    """
    model = Transformer.seeded(CODE.model, len(VOCABULARY), CODE.task.context + 1, seed=0).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.dim() > 1 else 1)
    fitted = split_of(8, seed=1)
    fitter = Fitter(model, {TRAINING: Sequences(tokens=fitted.tokens, lengths=fitted.lengths)})
    wanted = [Simplification(*s) for s in (("svd", 8), ("svd_joint", 8), ("kmeans", 64), ("one_hot", None), ("weight_svd", 8))]
    of = [("svd", 8), ("one_hot", None)]
    wanted += [Simplification(*s, layer) for s in of for layer in range(model.layers)]
    wanted += [Simplification(*s, layer, head) for s in of for layer in range(model.layers) for head in range(model.heads)]
    return model, {s: fitter.rules(s) for s in wanted[::every]}


class Seen(Capture):
    """Keeps as well what the rule hands to `attend`."""

    def __call__(self, queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
        def kept(*replaced: Tensor) -> Tensor:
            self.replaced = replaced
            return attend(*replaced)

        return super().__call__(queries, keys, kept)


def dropped(vectors: Tensor, replaced: Tensor) -> Tensor:
    """(...) the squared length that vectors (..., d) lose, as a share, at most 1."""
    return ((vectors - replaced).square().sum(-1) / vectors.square().sum(-1)).clamp(max=1)


def first_keys(pattern: Tensor) -> Tensor:
    """Where rows (..., T) have their largest weight."""
    return pattern >= pattern.amax(-1, keepdim=True) * (1 - 1e-4)


def plain_measures(
    model: Transformer, tokens: Tensor, targets: Tensor, candidates: Tensor, rules: Mapping
) -> dict[str, Tensor]:
    """Every measure of one simplification at all positions (batch, T), from full patterns."""
    original, seen = (
        {layer: Seen(rule) for layer, rule in of.items()} for of in (dict.fromkeys(rules, attend_as_usual), rules)
    )
    before, after = (model.unembed(model.run(model.embed(tokens), of)).log_softmax(-1) for of in (original, seen))
    choices = [candidates[x[..., candidates].argmax(-1)] for x in (before, after)]
    over_heads = {"attention_jsd": [], "attention_top1": [], "outside": []}
    for layer, rule in rules.items():
        p, q = original[layer].pattern[:, rule.heads], seen[layer].pattern[:, rule.heads]
        middle = ((p + q) / 2).clamp_min(torch.finfo(p.dtype).tiny).log()
        nats = (kl_div(middle, p, reduction="none") + kl_div(middle, q, reduction="none")).sum(-1) / 2
        over_heads["attention_jsd"].append(nats / np.log(2))
        one, other = first_keys(p), first_keys(q)
        over_heads["attention_top1"].append((one & other).sum(-1) / torch.maximum(one.sum(-1), other.sum(-1)))
        own = original[layer]
        of_own = Seen(rule)  # what the rule makes of what the original model has: known without the simplified one
        of_own(own.queries, own.keys, lambda queries, keys, pattern=own.pattern: pattern)
        pairs = zip((own.queries, own.keys), of_own.replaced, strict=True)
        query, key = (dropped(a, b)[:, rule.heads] for a, b in pairs)
        over_heads["outside"].append((query + (p * key[:, :, None]).sum(-1)) / 2)
    return {
        "same_prediction": (choices[0] == choices[1]).float(),
        "accuracy": (choices[1] == targets).float(),
        "output_kl": kl_div(after, before, reduction="none", log_target=True).sum(-1),
        **{name: torch.cat(found, 1).mean(1) for name, found in over_heads.items()},
    }


@torch.no_grad()
def plainly(model: Transformer, split: Split, rules: Rules) -> dict[tuple[Simplification, str], np.ndarray]:
    """By simplification and measure, [scored positions]."""
    found = {}
    for rows in (slice(start, start + BATCH) for start in range(0, len(split), BATCH)):
        tokens = torch.from_numpy(split.tokens[rows].astype(np.int64))
        targets = torch.from_numpy(split.targets[rows].astype(np.int64))
        for simplification, rule in rules.items():
            measures = plain_measures(model, tokens, targets, torch.from_numpy(split.candidates), rule)
            for name, values in measures.items():
                found.setdefault((simplification, name), []).append(values.numpy()[split.scored[rows]])
    return {key: np.concatenate(parts) for key, parts in found.items()}


def differences(model: Transformer, split: Split, rules: Rules) -> list[Difference]:
    """How far the two ways are apart at any scored position, in predictions and in the other measures."""
    block, expected = compare(model, split, rules), plainly(model, split, rules)
    chosen = {key for key in expected if key[1] in ("same_prediction", "accuracy")}
    off = {key: float(np.abs(block.sums[key] - values).max()) for key, values in expected.items()}
    largest = [np.max([off[key] for key in of]).item() for of in (chosen, expected.keys() - chosen)]  # NaN if there is one
    return [
        Difference("predictions in float64, at any position", largest[0], 0.0),
        Difference("all other measures in float64, at any position", largest[1], 1e-4),
    ]


def begin(folder: Path | None, threads: int, sequences: int = 16, every: int = 1) -> Contest:
    """Every measure of every simplification over random text."""
    model, rules = model_and_rules(torch.float64, every)  # so precise that rounding decides nothing
    found = differences(model, split_of(min(sequences, 4), seed=0), rules)
    (model, rules), split = model_and_rules(torch.float32, every), split_of(sequences, seed=0)
    ours, theirs = (timed(lambda way=way: way(model, split, rules), threads) for way in (compare, plainly))
    return Contest(ours, theirs, found)
