"""Training: AdamW, warm-up and cosine decay, batches of similar length, checkpoints that resume to the very same weights.

Every batch and every learning rate is a function of the configuration, the seed and the step; nothing else is random once
the weights are initialized. So weights, optimizer state and step are all that a checkpoint has to hold.
"""

from __future__ import annotations

import ctypes
import json
import math
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from lib.artifacts import first_difference, make_folder, read_tensors, write_json, write_tensors, writing
from lib.errors import ArtifactError, InputError
from lib.presets import TaskPreset, TrainingConfig
from lib.split import Split, Task
from lib.transformer import Transformer

CHECKPOINT = "checkpoint.safetensors"


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; anything else is PyTorch's own name for a device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        on = torch.ones(1, device=name)
        float(on)
        return on.device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device is {name!r}, which cannot be used here ({str(error).splitlines()[0]}); use auto or cpu"
        ) from None


def keep_freed_memory() -> None:
    """Have the C library keep the memory that a training step frees, instead of asking for it again, page by page, in the next.

    Only glibc knows how; elsewhere this does nothing.
    """
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, 2**30)


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bfloat16 where the hardware multiplies such matrices faster, else float32.

    That is on GPUs that know the format, and on processors with AMX tiles. AVX-512 alone does not do: where that was measured,
    training in bfloat16 took longer (`python -m lib bench precision` measures it).
    """
    if name != "auto":
        return name
    gains = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_amx_tile_supported()
    return "bfloat16" if gains else "float32"


def new_model(task: Task, config: TaskPreset, seed: int) -> Transformer:
    """An untrained model for `task`; the same weights for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Transformer(config.model, len(task.vocabulary), task.context)


def length_batches(lengths: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Endless batches of sequence indices [batch_size], of similar length, so that little of a batch is padding.

    Each epoch is shuffled, cut into pools of 50 batches, sorted by length within a pool, cut into batches, and shuffled
    again. What does not fill a batch at the end of a pool is left out of that epoch.
    """
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
    """Accuracy over the scored positions of the first `sequences` sequences of a split."""
    device = next(model.parameters()).device
    tokens, scored = (torch.from_numpy(a[:sequences]).to(device) for a in (split.tokens.astype(np.int64), split.scored))
    logits = model.unembed(model.run(model.embed(tokens))[scored])  # (scored, vocabulary)
    chosen = split.candidates[logits[:, torch.from_numpy(split.candidates).to(device)].argmax(-1).cpu().numpy()]
    targets = split.targets[:sequences][split.scored[:sequences]]
    return float((chosen == targets).mean()) if len(targets) else math.nan


def train(task: Task, config: TaskPreset, seed: int, folder: Path, *, device: str = "auto", description: str = "train") -> None:
    """Train a model; leave `model.safetensors`, `snapshots.safetensors`, `training.csv` and, last, `config.json` in `folder`.

    A checkpoint in `folder` from an interrupted run of the same configuration is resumed. `training.csv` has a row an
    evaluation: `step`, `learning_rate`, `loss` (mean training loss in nats since the row before) and `accuracy_<split>`.
    `snapshots.safetensors` has the weights at each of these steps, as `<step>.<name>`.
    """
    on = resolve_device(device)
    settings = config.training
    if len(task.training) < settings.batch_size:
        raise InputError(f"batch_size is {settings.batch_size}, but there are only {len(task.training)} training sequences")
    make_folder(folder)
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    precision = resolve_precision(settings.precision, on)
    identity = {
        **describe(task.name, config, seed),
        "fingerprint": task.fingerprint,
        "source": task.source,
        "device": on.type,
        "precision": precision,
    }
    run = Trainer(new_model(task, config, seed).to(on), settings, precision)
    run.resume(folder / CHECKPOINT, identity)

    lengths = (task.training != 0).sum(1)
    batches = length_batches(lengths, settings.batch_size, seed)
    for _ in range(run.step):
        next(batches)
    evaluate_after = evaluation_steps(settings)
    with tqdm(total=settings.steps, initial=run.step, desc=description, unit="step", mininterval=1) as bar:
        tokens_seen = 0
        while run.step < settings.steps:
            batch = next(batches)
            sequences = torch.from_numpy(task.training[batch, : lengths[batch].max()].astype(np.int64)).to(on)
            run.train_on(sequences)
            tokens_seen += int(lengths[batch].sum())
            bar.update()
            if run.step in evaluate_after:
                run.log(task.splits)
            if run.step % 100 == 0:
                rate = tokens_seen / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix(loss=f"{run.loss_sum.item() / max(run.loss_steps, 1):.3f}", tokens_per_s=f"{rate:,.0f}")
            if run.step % settings.checkpoint_every == 0:
                run.save(folder / CHECKPOINT, identity)

    run.save(folder / CHECKPOINT, identity)
    write_tensors(folder / "model.safetensors", run.model.state_dict())
    write_tensors(folder / "snapshots.safetensors", run.snapshots)
    with writing(folder / "training.csv") as temporary:
        pd.DataFrame(run.rows).to_csv(temporary, index=False)
    write_json(folder / "config.json", {**identity, "versions": versions()})
    (folder / CHECKPOINT).unlink(missing_ok=True)


class Trainer:
    """A model in training: what changes from step to step."""

    def __init__(self, model: Transformer, config: TrainingConfig, precision: str):
        self.model, self.config = model, config
        self.autocast = torch.autocast(next(model.parameters()).device.type, torch.bfloat16, precision == "bfloat16")
        matrices = [p for n, p in model.named_parameters() if p.dim() > 1 and "embedding" not in n and n != "positions"]
        decayed = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in decayed]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.peak_learning_rate,
            fused=True,
        )
        self.step = 0
        self.loss_sum, self.loss_steps = torch.zeros((), device=next(model.parameters()).device), 0  # since the last row
        self.rows: list[dict] = []  # of training.csv
        self.snapshots: dict[str, Tensor] = {}  # weights at the steps of these rows

    def train_on(self, sequences: Tensor) -> None:
        """One step on sequences (batch, T); every token but padding is predicted."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.config)
        with self.autocast:
            logits = self.model(sequences[:, :-1])  # (batch, T - 1, vocabulary)
        loss = F.cross_entropy(logits.flatten(0, 1).float(), sequences[:, 1:].flatten(), ignore_index=0)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.loss_sum += loss.detach()
        self.loss_steps += 1
        self.step += 1

    def log(self, splits: dict[str, Split]) -> None:
        """Add a row to what becomes `training.csv`, and keep the weights."""
        for name, tensor in self.model.state_dict().items():
            self.snapshots[f"{self.step}.{name}"] = tensor.detach().cpu().clone()
        accuracies = {
            f"accuracy_{name}": heldout_accuracy(self.model, split, self.config.heldout_sequences)
            for name, split in splits.items()
        }
        loss = self.loss_sum.item() / self.loss_steps
        self.rows.append(
            {"step": self.step, "learning_rate": learning_rate(self.step - 1, self.config), "loss": loss, **accuracies}
        )
        self.loss_sum.zero_()
        self.loss_steps = 0

    def save(self, path: Path, identity: dict) -> None:
        """Write all that the rest of the run depends on."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"snapshots.{name}": tensor for name, tensor in self.snapshots.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
        progress = {"step": self.step, "loss_sum": self.loss_sum.item(), "loss_steps": self.loss_steps, "rows": self.rows}
        write_tensors(path, tensors, {"progress": json.dumps(progress), "identity": json.dumps(identity)})

    def resume(self, path: Path, identity: dict) -> None:
        """Continue from the checkpoint at `path`, if there is one and it is this run's; otherwise begin at step 0."""
        if not path.exists():
            return
        remedy = f"delete it to train from the beginning: rm {path}"
        tensors, metadata = read_tensors(path, remedy)
        try:
            stored, progress = json.loads(metadata["identity"]), json.loads(metadata["progress"])
        except (KeyError, ValueError) as error:
            raise ArtifactError(f"{path} is not a checkpoint of this project; {remedy}") from error
        if difference := first_difference(stored, json.loads(json.dumps(identity))):
            raise ArtifactError(f"{path} belongs to a run of another configuration ({difference}); {remedy}")
        try:
            self.model.load_state_dict(with_prefix(tensors, "model."))
        except RuntimeError as error:
            raise ArtifactError(f"{path} does not hold the weights of this model; {remedy}") from error
        self.snapshots = with_prefix(tensors, "snapshots.")
        state: dict[int, dict] = {}
        for name, tensor in with_prefix(tensors, "optimizer.").items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step, self.loss_steps, self.rows = progress["step"], progress["loss_steps"], progress["rows"]
        self.loss_sum.fill_(progress["loss_sum"])


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def describe(task: str, config: TaskPreset, seed: int) -> dict:
    """What a trained model depends on, as stored in `config.json` beside the fingerprint of the training data."""
    return {"task": task, "seed": seed, **{part: asdict(getattr(config, part)) for part in ("data", "model", "training")}}


def versions() -> dict[str, str]:
    """Versions of what the numbers may depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
