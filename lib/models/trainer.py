"""A model in training: AdamW, warm-up and cosine decay, a step after another, and all that the next one depends on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adamw import adamw

from lib.artifacts import write_tensors, writing
from lib.config import Config
from lib.models.machine import DEFAULT, ONEDNN, products_by
from lib.models.transformer import Transformer
from lib.split import Sequences, Split

FILES = ("model.safetensors", "snapshots.safetensors", "training.csv")


class TrainingConfig(Config):
    """AdamW with linear warm-up and cosine decay to zero."""

    steps: int = Field(ge=1, le=10**9)
    batch_size: int = Field(default=128, ge=1, le=10**6)
    """Sequences in a batch."""
    peak_learning_rate: float = Field(default=3e-3, gt=0, lt=1)
    warmup_steps: int = Field(default=200, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    """Of weight matrices."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    evaluations: int = Field(default=12, ge=1, le=10_000)
    """Times that the held-out splits are scored along the way."""
    heldout_sequences: int = Field(default=500, ge=1)
    """Of each split, along the way."""
    snapshots: bool = True
    """Whether weights are kept at each of these times; what is measured along training is measured on these."""
    checkpoint_every: int = Field(default=1_000, ge=1)
    """Steps; an interrupted run resumes from the last checkpoint."""
    threads: int = Field(default=1, ge=1, le=1_024)
    """On the CPU; seeds run in parallel instead. Part of the configuration: sums depend on it in the last bits."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of products in training; bfloat16: autocast; auto: whichever is faster on this machine, found out by a few steps."""


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step, 0 the first: linear warm-up, then a cosine to zero."""
    if step < config.warmup_steps:
        return config.peak_learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def heldout_accuracy(model: Transformer, split: Split, sequences: int) -> float:
    """Accuracy over the scored positions of the first `sequences` sequences of a split; NaN where there is none."""
    tokens, scored = (torch.from_numpy(a[:sequences]).to(model.device) for a in (split.tokens.astype(np.int64), split.scored))
    logits = model.unembed(model.run(model.embed(tokens))[scored])  # (scored, vocabulary)
    chosen = split.candidates[logits[:, torch.from_numpy(split.candidates).to(model.device)].argmax(-1).cpu().numpy()]
    targets = split.targets[:sequences][split.scored[:sequences]]
    return float((chosen == targets).mean()) if len(targets) else math.nan


class Trainer:
    """A model in training: what changes from step to step."""

    def __init__(self, model: Transformer, config: TrainingConfig, precision: str, library: str = DEFAULT):
        """`library` computes products of float32, of steps alone: what is measured along the way has PyTorch's default."""
        self.model, self.config, self.precision, self.library = model, config, precision, library
        self.libraries = [library]  # of all steps, in turn
        self.autocast = torch.autocast(model.device.type, torch.bfloat16, precision == "bfloat16")
        weights = dict(model.named_parameters())
        decayed = [n for n, weight in weights.items() if weight.dim() > 1 and "embedding" not in n and n != "positions"]
        self.groups = (config.weight_decay, decayed), (0.0, [n for n in weights if n not in decayed])
        self.moments = {
            key: {n: torch.zeros_like(weight) for n, weight in weights.items()} for key in ("exp_avg", "exp_avg_sq")
        }
        self.moments["step"] = {n: torch.zeros((), device=model.device) for n in weights}
        self.step = 0
        self.loss_sum, self.loss_steps = torch.zeros((), device=model.device), 0  # since the last row
        self.rows: list[dict] = []  # of training.csv
        self.snapshots: dict[str, Tensor] = {}  # weights at the steps of these rows

    def batch(self, training: Sequences, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Tokens (batch, T) of some sequences and the token that each is followed by, -100 where that is padding."""
        by_onednn = self.model.device.type == "cpu" and (self.library == ONEDNN or self.precision == "bfloat16")
        step = 8 if by_onednn else 1  # it makes a plan for every shape, so there should be few
        length = min(-(-(training.lengths[rows].max() - 1) // step) * step + 1, training.tokens.shape[1])
        tokens = torch.from_numpy(training.tokens[rows, :length].astype(np.int64))
        real = torch.from_numpy(np.arange(1, length) < training.lengths[rows, None])
        targets = tokens[:, 1:].masked_fill(~real, -100)
        return tokens[:, :-1].to(self.model.device), targets.to(self.model.device)

    def train_on(self, tokens: Tensor, targets: Tensor) -> None:
        """One step on tokens (batch, T) and the tokens that they are to predict, -100 where nothing is."""
        self.model.zero_grad()
        with products_by(self.library):
            with self.autocast:
                logits = self.model(tokens)  # (batch, T, vocabulary)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self._follow_gradients()
        self.loss_sum += loss.detach()
        self.loss_steps += 1
        self.step += 1

    @torch.no_grad()
    def _follow_gradients(self) -> None:
        """A step of AdamW, by PyTorch's function for it: an object of the class would load a compiler, for a second."""
        weights, rate = dict(self.model.named_parameters()), learning_rate(self.step, self.config)
        for decay, names in self.groups:
            average, average_of_squares, step = ([of[n] for n in names] for of in self.moments.values())
            adamw(
                [weights[n] for n in names], [weights[n].grad for n in names], average, average_of_squares, [], step,
                fused=True, amsgrad=False, maximize=False, lr=rate, weight_decay=decay, beta1=0.9, beta2=0.999, eps=1e-8,
            )  # fmt: skip

    def mean_loss(self) -> float:
        """Mean training loss in nats since the last row."""
        return self.loss_sum.item() / self.loss_steps

    def log(self, splits: Mapping[str, Split]) -> None:
        """Add a row to what becomes `training.csv`, and keep the weights if they are asked for."""
        for name, tensor in self.model.state_dict().items() if self.config.snapshots else ():
            self.snapshots[f"{self.step}.{name}"] = tensor.detach().cpu().clone()
        accuracies = {
            f"accuracy_{name}": heldout_accuracy(self.model, split, self.config.heldout_sequences)
            for name, split in splits.items()
        }
        rate = learning_rate(self.step - 1, self.config)
        self.rows.append({"step": self.step, "learning_rate": rate, "loss": self.mean_loss(), **accuracies})
        self.loss_sum.zero_()
        self.loss_steps = 0

    def save(self, path: Path, belongs_to: str) -> None:
        """Write all that the rest of the run depends on."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"snapshots.{name}": tensor for name, tensor in self.snapshots.items()}
        tensors |= {f"{key}.{name}": tensor for key, of in self.moments.items() for name, tensor in of.items()}
        progress = {"precision": self.precision, "products": self.libraries, "step": self.step, "rows": self.rows}
        progress |= {"loss_sum": self.loss_sum.item(), "loss_steps": self.loss_steps}
        write_tensors(path, tensors, {"progress": json.dumps(progress), "belongs_to": belongs_to})

    def write(self, folder: Path) -> None:
        """Write `FILES`."""
        write_tensors(folder / "model.safetensors", self.model.state_dict())
        write_tensors(folder / "snapshots.safetensors", self.snapshots)
        with writing(folder / "training.csv") as temporary:
            pd.DataFrame(self.rows).to_csv(temporary, index=False)

    def resume(self, tensors: Mapping[str, Tensor], progress: Mapping) -> None:
        """Continue from what `save` wrote."""
        self.model.load_state_dict(with_prefix(tensors, "model."))
        for key, of in self.moments.items():
            of.update({name: tensor.to(self.model.device) for name, tensor in with_prefix(tensors, f"{key}.").items()})
        self.step, self.loss_steps, self.rows = progress["step"], progress["loss_steps"], progress["rows"]
        self.libraries = list(dict.fromkeys([*progress["products"], self.library]))
        self.loss_sum.fill_(progress["loss_sum"])
        self.snapshots = with_prefix(tensors, "snapshots.")


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
