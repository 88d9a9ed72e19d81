"""How long a preset takes here, from parts that are timed: steps of training, fits, some of the sequences."""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice

import torch
from harness import machine

from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring.faithfulness import compare
from lib.models.machine import faster, spare_memory
from lib.models.trainer import Trainer
from lib.models.training import length_batches, some_steps
from lib.models.transformer import Transformer
from lib.presets import load
from lib.proxies import Fitter
from lib.runs import Run

PART, FEWEST = 20, 50  # of the sequences of a split, one in so many is measured, but at least so many
STEPS = 12


def seconds(function: Callable[[], object]) -> float:
    """Seconds that a call takes by the clock."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def training(run: Run) -> float:
    """Seconds that one seed is trained, without held-out splits along the way."""
    settings, data = run.experiment.training, run.data

    def begun(precision: str, library: str) -> Trainer:
        model = Transformer.seeded(run.experiment.model, len(data.vocabulary), data.context, 0).to(run.on)
        return Trainer(model, settings, precision, library)

    batches = list(islice(length_batches(data.training.lengths, settings.batch_size, 0), STEPS))

    def steps(trainer: Trainer) -> None:
        for rows in batches:
            trainer.train_on(*trainer.batch(data.training, rows))
        trainer.mean_loss()  # waits for the device

    trainer = begun(*faster(settings.precision, lambda *of: partial(some_steps, begun(*of), data.training), run.on))
    steps(trainer)  # makes plans
    return min(seconds(lambda: steps(trainer)) for _ in range(3)) / STEPS * settings.steps


def measuring(run: Run) -> float:
    """Seconds that one seed is measured, the model and what it was along training; on a model that is not trained."""
    run.model = Transformer.seeded(run.experiment.model, len(run.data.vocabulary), run.data.context, 0).to(run.on)
    exact = copy.deepcopy(run.model).double()  # to which a run fits, too, but to that of a trained model alone
    run.fitter = Fitter(run.model, run._sources, run.seed, exact)
    along = simplifications_of(run.experiment.measuring.along_training)
    total = 0.0
    for simplifications, times in ((run.experiment.simplifications(), 1), (along, run.experiment.training.evaluations)):
        if not simplifications:
            continue
        rules: dict = {}
        fits = seconds(lambda found=rules, of=simplifications: found.update({s: run.fitter.rules(s) for s in of}))
        for name, split in run.data.splits.items():
            sequences = len(split) if times == 1 else min(len(split), run.experiment.training.heldout_sequences)
            few = split.first(max(FEWEST, sequences // PART))
            on_split = {s: rule for s, rule in rules.items() if run.fitter.measures_on(s, name)}
            fits += seconds(lambda few=few, of=on_split: compare(run.model, few, of)) * sequences / len(few)
        total += times * fits
    return total


def main() -> int:
    """Exit status: 2 for input that cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", default="paper", help="its name or file; default: paper")
    spare_memory()
    torch.set_num_threads(1)
    total = 0.0
    try:
        preset = load(parser.parse_args().preset)
        for name in preset.available():
            experiment = preset.experiment(name)
            run = Run(name, experiment, preset.folder / name / "estimate", 0)
            train, measure = training(run), measuring(run)
            total += experiment.seeds * (train + measure)
            each = f"{train / 60:.1f} minutes of training and {measure / 60:.1f} of measuring"
            print(f"{name}: {experiment.seeds} seeds, each {each}", flush=True)
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"in all {total / 3600:.1f} hours of one core, {total / 7200:.1f} on two; data, notebooks and pages come on top")
    print("on " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
