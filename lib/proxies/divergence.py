"""How far a model's predictions move when one head is replaced: what a proxy can be optimized for."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lib.errors import InputError
from lib.models.base import AttentionRule, Model, Paused
from lib.split import Sequences

_BATCHES, _POSITIONS = 32, 2_048  # at most so many minibatches, each of so many positions or of one sequence


class Minibatch(NamedTuple):
    """Sequences of similar length, and what the model makes of them."""

    paused: Paused  # the layer, waiting for its pattern
    predicting: Tensor  # (batch, T) bool: positions that are fitted on and followed by a token
    log_probabilities: Tensor  # (positions that predict, vocabulary) of the model, in nats


class Divergence:
    """The divergence of a model's predictions from those it makes with another attention rule in one layer.

    Taken on a few fixed minibatches in rotation, of sequences drawn by the seed. What the rule cannot change is computed once,
    when it is first asked for: what the layer reads, and the model's own predictions.
    """

    def __init__(self, model: Model, layer: int, sequences: Sequences, seed: int = 0):
        self.model, self.layer, self.sequences, self.seed = model, layer, sequences, seed

    def __call__(self, rule: AttentionRule, step: int | None = None) -> Tensor:
        """() mean Kullback-Leibler divergence in nats, on minibatch `step` modulo their number, or the mean of all minibatches.

        It can be differentiated with respect to what the rule computes with.
        """
        if step is None:
            return torch.stack([self._on(batch, rule) for batch in self.minibatches]).mean()
        return self._on(self.minibatches[step % len(self.minibatches)], rule)

    def _on(self, batch: Minibatch, rule: AttentionRule) -> Tensor:
        paused = batch.paused
        residual = paused.resume(rule(paused.queries, paused.keys, paused.attend))
        residual = self.model.run(residual, start=self.layer + 1)
        simplified = self.model.unembed(residual[batch.predicting]).log_softmax(-1)
        return (batch.log_probabilities.exp() * (batch.log_probabilities - simplified)).sum(-1).mean()

    @cached_property
    def minibatches(self) -> list[Minibatch]:
        """The minibatches, in the order of the rotation."""
        lengths, fitted, generator = self.sequences.lengths, self.sequences.fitted, np.random.default_rng(self.seed)
        predicting = np.arange(self.sequences.tokens.shape[1]) < lengths[:, None] - 1
        predicting &= True if fitted is None else fitted
        usable = np.flatnonzero(predicting.any(1))
        if not len(usable):
            raise InputError("no position to fit on is followed by a token, so none predicts anything: fit on other sequences")
        size = max(1, _POSITIONS // int(lengths[usable].max()))
        chosen = generator.permutation(usable)[: _BATCHES * size]
        chosen = chosen[np.argsort(lengths[chosen], kind="stable")]  # by similar length there is little padding
        parts = np.array_split(chosen, -(-len(chosen) // size))
        return [self._minibatch(parts[i], predicting) for i in generator.permutation(len(parts))]

    @torch.no_grad()
    def _minibatch(self, rows: np.ndarray, predicting: np.ndarray) -> Minibatch:
        length = self.sequences.lengths[rows].max()
        tokens = torch.from_numpy(self.sequences.tokens[rows, :length].astype(np.int64)).to(self.model.device)
        kept = torch.from_numpy(predicting[rows, :length]).to(self.model.device)
        entering = self.model.run(self.model.embed(tokens), stop=self.layer)
        logits = self.model.unembed(self.model.run(entering, start=self.layer)[kept])
        return Minibatch(self.model.pause(entering, self.layer), kept, logits.log_softmax(-1))
