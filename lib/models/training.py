"""Training: batches of similar length, held-out splits along the way, checkpoints that resume to the very same weights.

Every batch and learning rate is a function of configuration, seed and step; nothing else is random after the first weights.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.artifacts import read_tensors
from lib.errors import ArtifactError, InputError
from lib.models.machine import DEFAULT, check_precision, faster, is_exact, spare_memory, use_threads
from lib.models.trainer import Trainer, TrainingConfig
from lib.models.transformer import ModelConfig, Transformer
from lib.provenance import digest_of
from lib.split import Dataset, Sequences

CHECKPOINT = "checkpoint.safetensors"


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


def evaluation_steps(config: TrainingConfig) -> set[int]:
    """The steps after which held-out splits are scored: denser early, where most is learned."""
    return {max(1, round(config.steps * (i / config.evaluations) ** 2)) for i in range(1, config.evaluations + 1)}


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
    """Train a model; leave `FILES` in `folder`, and return with what they were made: device, precision, library.

    A checkpoint in `folder` of the same `identity`, data and kind of device is resumed as it was begun, but for a library that
    is not exact here; another one is refused, or with `replace` overwritten. `training.csv` has a row per evaluation: `step`,
    `learning_rate`, `loss` (mean in nats since the row before) and `accuracy_<split>`; `snapshots.safetensors`, if asked for,
    weights as `<step>.<name>`.
    """
    training = dataset.training
    if len(training) < settings.batch_size:
        raise InputError(f"batch_size is {settings.batch_size}, but there are only {len(training)} training sequences")
    spare_memory()
    use_threads(settings.threads)
    check_precision(settings.precision, device)

    def begun(precision: str, library: str) -> Trainer:
        model = Transformer.seeded(model_config, len(dataset.vocabulary), dataset.context, seed).to(device)
        return Trainer(model, settings, precision, library)

    belongs_to = digest_of([dict(identity), device.type, dataset.fingerprint])
    checkpoint = _checkpoint(folder / CHECKPOINT, belongs_to, replace)
    if checkpoint:
        library = checkpoint[1]["products"][-1]
        run = begun(checkpoint[1]["precision"], library if is_exact(library) else DEFAULT)  # it may be from another machine
        run.resume(*checkpoint)
    else:
        run = begun(*faster(settings.precision, lambda *of: partial(some_steps, begun(*of), training), device))
    _go_on(run, dataset, seed, title, lambda: run.save(folder / CHECKPOINT, belongs_to))
    run.save(folder / CHECKPOINT, belongs_to)
    run.write(folder)
    return {"device": device.type, "precision": run.precision, "products": ", then ".join(run.libraries)}


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


def some_steps(run: Trainer, training: Sequences) -> float:
    """Steps on short, middling and long ones of the first sequences, for the time that they take."""
    size = run.config.batch_size
    order = np.argsort(training.lengths[: max(size, 1_000)], kind="stable")
    for part in (1, 3, 5):
        start = part * (len(order) - size) // 6
        run.train_on(*run.batch(training, order[start : start + size]))
    return run.mean_loss()  # waits for the device


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
