"""Whether a model may be looked at: what has to hold of any is tried on a few tokens, before anything is measured.

A model for which it does not hold would be wrong silently: numbers would come out, of something else than the model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lib.models.attention import UnsuitableModel
from lib.models.base import attend_as_usual
from lib.models.huggingface import HuggingFace
from lib.proxies import TRAINING, Fitter, Simplification
from lib.split import Sequences

_SEQUENCES, _LENGTH = 4, 24
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3}  # shares of the logits' spread; other precisions round coarsely:
_COARSE = 0.25
_VISIBLE = 1e-5  # in the same unit, what hard attention has to change

Check = Callable[[HuggingFace], float]
CHECKS: dict[str, Check] = {}


def _check(what: str) -> Callable[[Check], Check]:
    """Register a check: how far logits are off, as a share of their spread, when `what` is done."""

    def register(function: Check) -> Check:
        CHECKS[what] = function
        return function

    return register


@torch.no_grad()
def check(model: HuggingFace) -> dict[str, float]:
    """By what was tried, how far logits were off as a share of their spread; `UnsuitableModel` where that is too far."""
    tolerance, found = _TOLERANCE.get(model.dtype, _COARSE), {}
    for what, of in CHECKS.items():
        found[what] = of(model)
        if not found[what] <= tolerance:  # NaN is not
            raise UnsuitableModel(
                f"{model.name} is refused: when {what}, logits are off by {found[what]:.2g} of their spread, and {tolerance:g} "
                "is allowed; what would be measured would not be this model"
            )
    for layer in range(model.layers):
        changed = _deviation(_simplified(model, Simplification("one_hot", layer=layer)), model.logits(_tokens(model)))
        if not changed > _VISIBLE:
            raise UnsuitableModel(
                f"{model.name} is refused: hard attention in layer {layer} changes nothing, so the replaced pattern is not used"
            )
    return found


def _tokens(model: HuggingFace, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    length = min(_LENGTH, model.context or _LENGTH)
    return torch.randint(model.vocabulary_size, (_SEQUENCES, length), generator=generator).to(model.device)


def _deviation(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.std().clamp_min(torch.finfo(expected.dtype).tiny))


def _simplified(model: HuggingFace, simplification: Simplification) -> Tensor:
    """Logits on `_tokens` of the model with something simplified, run layer by layer."""
    batches = 1 + 2 * model.head_width // (_SEQUENCES * _LENGTH)  # so many that vectors span their space
    fitted = torch.cat([_tokens(model, seed) for seed in range(batches)]).cpu().numpy()
    rules = Fitter(model, {TRAINING: Sequences.padded(fitted, padding=-1)}).rules(simplification)
    return model.unembed(model.run(model.embed(_tokens(model)), rules))


@_check("attention is handed back unchanged")
def identity(model: HuggingFace) -> float:
    """Against the model with attention of its own."""
    tokens = _tokens(model)
    with model.untouched():
        expected = model.logits(tokens)
    return _deviation(model.logits(tokens, attend_as_usual), expected)


@_check("layers are run one by one")
def resume(model: HuggingFace) -> float:
    """Each from where the one before ended, after other tokens were seen, against a whole pass."""
    tokens = _tokens(model)
    residual = model.embed(tokens)
    model.embed(_tokens(model, seed=1))
    for layer in range(model.layers):
        residual = model.run(residual, start=layer, stop=layer + 1)
    return _deviation(model.unembed(residual), model.logits(tokens))


@_check("later tokens are others")
def causality(model: HuggingFace) -> float:
    """What is predicted before them."""
    tokens = _tokens(model)
    others, half = tokens.clone(), tokens.shape[1] // 2
    others[:, half:] = (others[:, half:] + 1) % model.vocabulary_size
    before, after = (model.logits(of, attend_as_usual)[:, :half] for of in (tokens, others))
    return _deviation(after, before)


@_check("queries and keys are projected onto all of their directions")
def full_rank(model: HuggingFace) -> float:
    """Which changes nothing but rounding."""
    return _deviation(_simplified(model, Simplification("svd", model.head_width)), model.logits(_tokens(model)))
