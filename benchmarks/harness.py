"""What the benchmarks share: their command line, ratios of times, the machine, and the training step that two of them time."""

from __future__ import annotations

import argparse
import inspect
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lib import provenance
from lib.errors import InputError, whole_number
from lib.models.machine import spare_memory
from lib.models.training import Trainer
from lib.models.transformer import Transformer
from lib.presets import load
from lib.tasks.code.splits import FIRST_CHARACTER, VOCABULARY

CODE = load("paper").experiment("code")


def run(benchmark: Callable[..., None]) -> None:
    """Run `benchmark` on one thread and name the machine; exit status 2 for input that cannot be used.

    Its parameters are options of the command line: whole numbers with a default, and folders, which have none.
    """
    parser = argparse.ArgumentParser(description=benchmark.__doc__)
    for name, parameter in inspect.signature(benchmark).parameters.items():
        if parameter.default is parameter.empty:
            parser.add_argument(f"--{name}", type=Path, required=True, metavar="FOLDER")
        else:
            parser.add_argument(f"--{name}", type=int, default=parameter.default, metavar="N", help="default: %(default)s")
    options = vars(parser.parse_args())
    torch.set_num_threads(1)
    try:
        for name, value in options.items():
            if isinstance(value, int):
                whole_number(name, value, at_least=1)
        benchmark(**options)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"on {machine()}")


def machine() -> str:
    """Processor, threads and versions: what a ratio may differ by."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = model[1] if model else platform.processor() or platform.machine()
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_initialized() else {}
    found = {**provenance.machine(), **provenance.versions(), "processor": processor, **gpu, "threads": torch.get_num_threads()}
    return ", ".join(f"{name} {value}" for name, value in found.items())


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds that a call takes, of processor time or by another clock."""
    start = clock()
    function()
    return clock() - start


def ratios(one: Callable[[], object], other: Callable[[], object], rounds: int, clock=time.process_time) -> np.ndarray:
    """Time of `one` over time of `other`, [rounds]; by turns, so that what else the machine does hits both."""
    return np.array([seconds(one, clock) / seconds(other, clock) for _ in range(rounds)])


def said(found: np.ndarray) -> str:
    """Ratios in words."""
    return f"{np.median(found):.3g} (median of {len(found)}, from {found.min():.3g} to {found.max():.3g})"


def code_training(precision: str, device: torch.device) -> tuple[Trainer, Callable[[], None]]:
    """A trainer of the model of code of preset `paper`, and a function that takes a step on windows full of random text.

    Every trainer begins with the same weights and sees the same text.
    """
    spare_memory()
    context, batch = CODE.task.context, CODE.training.batch_size
    model = Transformer.seeded(CODE.model, len(VOCABULARY), context, seed=0).to(device)
    trainer, rng = Trainer(model, CODE.training, precision), np.random.default_rng(0)

    def step() -> None:
        windows = torch.from_numpy(rng.integers(FIRST_CHARACTER, len(VOCABULARY), (batch, context + 1))).to(device)
        trainer.train_on(windows[:, :-1], windows[:, 1:])
        trainer.mean_loss()  # waits for the device

    return trainer, step
