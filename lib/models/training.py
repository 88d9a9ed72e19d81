"""Training: AdamW, warm-up and cosine decay, batches of similar length, checkpoints that resume to the very same weights.

Every batch and learning rate is a function of configuration, seed and step; nothing else is random after the first weights.
They are the very same if the machine takes the same library for products again, which it finds out by timing them.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adamw import adamw
from tqdm.auto import tqdm

from lib.artifacts import read_tensors, write_tensors, writing
from lib.config import Config
from lib.errors import ArtifactError, InputError
from lib.models.machine import (
    by_onednn,
    check_precision,
    faster_precision,
    library_for_products,
    products_by,
    spare_memory,
    use_threads,
)
from lib.models.transformer import ModelConfig, Transformer
from lib.provenance import digest_of
from lib.split import Dataset, Sequences, Split

CHECKPOINT = "checkpoint.safetensors"
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


def length_batches(lengths: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of sequence indices [batch_size], sorted by length in pools of 50 batches, so that little is padding."""
    if len(lengths) < batch_size:
        raise InputError(f"batch_size is {batch_size}, but there are only {len(lengths)} training sequences")
    epoch = 0
    while True:
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(lengths))
        batches = []
        for pool in np.array_split(order, max(1, len(order) // (50 * batch_size))):
            kept = pool[: len(pool) // batch_size * batch_size]  # what is left out is random, not the longest
            by_length = kept[np.argsort(lengths[kept], kind="stable")]
            batches += np.split(by_length, len(kept) // batch_size)
        for i in rng.permutation(len(batches)):
            yield batches[i]
        epoch += 1


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step, 0 the first: linear warm-up, then a cosine to zero."""
    if step < config.warmup_steps:
        return config.peak_learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def evaluation_steps(config: TrainingConfig) -> set[int]:
    """The steps after which held-out splits are scored: denser early, where most is learned."""
    return {max(1, round(config.steps * (i / config.evaluations) ** 2)) for i in range(1, config.evaluations + 1)}


@torch.no_grad()
def heldout_accuracy(model: Transformer, split: Split, sequences: int) -> float:
    """Accuracy over the scored positions of the first `sequences` sequences of a split; NaN where there is none."""
    tokens, scored = (torch.from_numpy(a[:sequences]).to(model.device) for a in (split.tokens.astype(np.int64), split.scored))
    logits = model.unembed(model.run(model.embed(tokens))[scored])  # (scored, vocabulary)
    chosen = split.candidates[logits[:, torch.from_numpy(split.candidates).to(model.device)].argmax(-1).cpu().numpy()]
    targets = split.targets[:sequences][split.scored[:sequences]]
    return float((chosen == targets).mean()) if len(targets) else math.nan


def train(
    dataset: Dataset,
    model_config: ModelConfig,
    settings: TrainingConfig,
    seed: int,
    folder: Path,
    device: torch.device,
    identity: Mapping,
    title: str = "train",
    replace: bool = False,
) -> dict:
    """Train a model; leave `FILES` in `folder`, and return with what they were made: device, precision, library for products.

    A checkpoint in `folder` of the same `identity`, data and kind of device is resumed in its precision; another one is
    refused, or with `replace` overwritten. `training.csv` has a row per evaluation: `step`, `learning_rate`, `loss` (mean in
    nats since the row before) and `accuracy_<split>`; `snapshots.safetensors`, if asked for, weights as `<step>.<name>`.
    """
    training = dataset.training
    if len(training) < settings.batch_size:
        raise InputError(f"batch_size is {settings.batch_size}, but there are only {len(training)} training sequences")
    spare_memory()
    use_threads(settings.threads)
    check_precision(settings.precision, device)

    def begun(precision: str) -> Trainer:
        return Trainer(
            Transformer.seeded(model_config, len(dataset.vocabulary), dataset.context, seed).to(device), settings, precision
        )

    belongs_to = digest_of([dict(identity), device.type, dataset.fingerprint])
    checkpoint = _checkpoint(folder / CHECKPOINT, belongs_to, replace)
    precision = checkpoint[1]["precision"] if checkpoint else settings.precision
    library = library_for_products(device)
    with products_by(library):
        if precision == "auto":
            precision = faster_precision(lambda name: partial(_step, begun(name), training), device)
        run = begun(precision)
        if checkpoint:
            run.resume(*checkpoint)
        _go_on(run, dataset, seed, title, lambda: run.save(folder / CHECKPOINT, belongs_to))
    run.save(folder / CHECKPOINT, belongs_to)
    run.write(folder)
    return {"device": device.type, "precision": precision, "products": library}


def _go_on(run: Trainer, dataset: Dataset, seed: int, title: str, save: Callable[[], None]) -> None:
    """The steps that are left, with a progress bar, held-out splits along the way and checkpoints by `save`."""
    settings, training = run.config, dataset.training
    batches = islice(length_batches(training.lengths, settings.batch_size, seed), run.step, None)
    evaluate_after = evaluation_steps(settings)
    with tqdm(total=settings.steps, initial=run.step, desc=title, unit="step", mininterval=1) as bar:
        tokens_seen = 0
        while run.step < settings.steps:
            rows = next(batches)
            run.train_on(*run.batch(training, rows))
            tokens_seen += int(training.lengths[rows].sum())
            bar.update()
            if run.step in evaluate_after:
                run.log(dataset.splits)
            elif run.step % 100 == 0:
                rate = tokens_seen / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix(loss=f"{run.mean_loss():.3f}", tokens_per_s=f"{rate:,.0f}")
            if run.step % settings.checkpoint_every == 0:
                save()


def _step(run: Trainer, training: Sequences) -> float:
    """A step on the longest of the first sequences, for the time that it takes."""
    rows = np.argsort(-training.lengths[:1_000], kind="stable")[: run.config.batch_size]
    run.train_on(*run.batch(training, rows))
    return run.mean_loss()  # waits for the device


class Trainer:
    """A model in training: what changes from step to step."""

    def __init__(self, model: Transformer, config: TrainingConfig, precision: str):
        self.model, self.config, self.precision = model, config, precision
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
        step = 8 if by_onednn(getattr(torch, self.precision), self.model.device) else 1  # of few shapes it makes few plans
        length = min(-(-(training.lengths[rows].max() - 1) // step) * step + 1, training.tokens.shape[1])
        tokens = torch.from_numpy(training.tokens[rows, :length].astype(np.int64))
        real = torch.from_numpy(np.arange(1, length) < training.lengths[rows, None])
        targets = tokens[:, 1:].masked_fill(~real, -100)
        return tokens[:, :-1].to(self.model.device), targets.to(self.model.device)

    def train_on(self, tokens: Tensor, targets: Tensor) -> None:
        """One step on tokens (batch, T) and the tokens that they are to predict, -100 where nothing is."""
        with self.autocast:
            logits = self.model(tokens)  # (batch, T, vocabulary)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        self.model.zero_grad()
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
        progress = {"precision": self.precision, "step": self.step, "rows": self.rows}
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
        self.loss_sum.fill_(progress["loss_sum"])
        self.snapshots = with_prefix(tensors, "snapshots.")


def _checkpoint(path: Path, belongs_to: str, replace: bool) -> tuple[dict[str, Tensor], dict] | None:
    """Tensors and progress of a checkpoint of this run; without one None, `ArtifactError` if it is damaged or another's."""
    if not path.exists():
        return None
    remedy = f"delete it to train from the beginning: rm {shlex.quote(str(path))}"
    try:
        tensors, metadata = read_tensors(path, remedy)
        if metadata.get("belongs_to") != belongs_to:
            raise ArtifactError(f"{path} is from a run of another configuration, data, code or device; {remedy}")
    except ArtifactError:
        if replace or not path.exists():  # gone meanwhile: whoever trained the same at once is done
            return None
        raise
    return tensors, json.loads(metadata["progress"])


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
