"""One seed of an experiment in a folder: trained and measured, reusing what is already there and current.

Verbs do work (`train`, `measure`); properties only look.
"""

from __future__ import annotations

import copy
import shlex
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from lib import artifacts, provenance, shipped
from lib.artifacts import first_difference
from lib.errors import ArtifactError, InputError, one_of, whole_number
from lib.experiment import Experiment, simplifications_of
from lib.measuring import faithfulness, table
from lib.measuring.table import Block
from lib.models import trainer, training
from lib.models.machine import resolve_device, spare_memory, use_threads
from lib.models.transformer import Transformer
from lib.proxies import TRAINING, Fitter, Simplification
from lib.split import Dataset, Sequences, Split

MORE, TIMES = "training_more", 8  # `fit_on` of a proxy that is fitted on so many times the training sequences


@dataclass
class Run:
    """One seed of an experiment in a folder: its data, its trained model, its measurements."""

    name: str  # of the experiment, in tables and progress bars
    experiment: Experiment
    folder: Path
    seed: int
    device: str = "auto"
    command: str = ""  # the options that choose the experiment on the command line, for remedies

    def __post_init__(self):
        whole_number("seed", self.seed, 0, 2**32 - 1)
        self.on = resolve_device(self.device)
        self.experiment.training_code()  # read now, when it is the code that was loaded
        self.experiment.measuring_code()

    @property
    def title(self) -> str:
        """What it is, for progress bars."""
        return f"{self.name}, seed {self.seed}"

    @property
    def trained(self) -> provenance.Record:
        """The record of the trained model."""
        command = f"python -m lib train {self.command} --seed {self.seed} --replace"
        remedy = f"to train it anew: {command if self.command else 'run.train(replace=True)'}"
        return provenance.Record(self.folder / "config.json", remedy)

    @property
    def measured(self) -> provenance.Record:
        """The record of the measurements."""
        path = self.folder / "measurements.json"
        return provenance.Record(path, f"delete its record, and it is made again: rm {shlex.quote(str(path))}")

    @cached_property
    def data(self) -> Dataset:
        """Training sequences and splits."""
        return self.experiment.task.sample(self.seed)

    @cached_property
    def identity(self) -> dict:
        """What the trained model depends on."""
        return self.experiment.training_identity(self.seed)

    def is_trained(self) -> bool:
        """True if the model is there; `ArtifactError` if what is there was trained on something else, or not all is there."""
        record = self.trained
        stored = record.identity()
        if not stored or shipped.unwanted(record):
            return False
        if not record.is_current(self.identity):
            difference = first_difference(stored, self.identity)
            raise ArtifactError(f"{self.folder} holds a model of something else ({difference}); {record.remedy}")
        if missing := record.missing():
            raise ArtifactError(f"{self.folder / missing[0]} is missing; {record.remedy}")
        return True

    def _is_whole(self) -> bool:
        """Whether the model is there, undamaged, and was trained on these very data."""
        if self.trained.damage() or not self.trained.is_current(self.identity) or shipped.unwanted(self.trained):
            return False
        return self.trained.read()["made"].get("data") == self.data.fingerprint

    def train(self, replace: bool = False) -> bool:
        """Train the model, unless that was done before, here or for the repository; an interrupted training is resumed.

        With `replace`, a model that was trained on something else, or is damaged, is trained anew. True if it was trained now.
        """
        if self._is_whole() if replace else self.is_trained():
            return False
        if shipped.take(self.folder, self.identity, self.trained, self.data.fingerprint if replace else None):
            return False
        config, title = self.experiment, f"train {self.title}"
        for source in config.measuring.refitted_on:  # better now than after hours
            one_of("refitted_on", source, self._sources)
        made = training.train(
            self.data, config.model, config.training, self.seed, self.folder, self.on, self.identity, title, replace
        )
        made |= {"data": self.data.fingerprint, "vocabulary": list(self.data.vocabulary), "context": self.data.context}
        self.trained.write(self.identity, trainer.FILES, made)
        (self.folder / training.CHECKPOINT).unlink(missing_ok=True)
        return True

    def _weights(self, file: str) -> dict[str, torch.Tensor]:
        self.train()
        return artifacts.read_tensors(self.trained.verified(file), self.trained.remedy)[0]

    def _model(self, weights: Mapping[str, torch.Tensor]) -> Transformer:
        made = self.trained.read()["made"]
        model = Transformer.seeded(self.experiment.model, len(made["vocabulary"]), made["context"], self.seed)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ArtifactError(
                f"{self.folder} does not hold weights of this model ({reason}); {self.trained.remedy}"
            ) from error
        return model.eval().to(self.on)

    @cached_property
    def model(self) -> Transformer:
        """The trained model on the device; trained now if it is not there. No data are sampled for it."""
        return self._model(self._weights("model.safetensors"))

    @property
    def vocabulary(self) -> Sequence[str]:
        """The text of each token that the model knows."""
        self.train()
        return self.trained.read()["made"]["vocabulary"]

    def model_at(self, step: int) -> Transformer:
        """The model as it was after `step` training steps, one of those in `history`."""
        snapshots = self._weights("snapshots.safetensors")
        if not snapshots:
            raise InputError(f"{self.title} kept no weights along training: set training.snapshots, and train it anew")
        one_of("step", step, sorted({int(name.partition(".")[0]) for name in snapshots}))
        return self._model(trainer.with_prefix(snapshots, f"{step}."))

    @cached_property
    def history(self) -> pd.DataFrame:
        """`training.csv`: one row per evaluation along the way."""
        self.train()
        return pd.read_csv(self.trained.verified("training.csv"))

    @cached_property
    def fitter(self) -> Fitter:
        """Fits proxies to the trained model, on training sequences or on a split."""
        return self._fitter(self.model)

    @cached_property
    def _sources(self) -> Mapping[str, Sequences]:
        """What proxies may be fitted on."""
        training, count = self.data.training, self.experiment.measuring.fit_sequences
        of_task = self.experiment.task.fitting_sources(training, count, self.seed)
        of_training = {TRAINING: training.first(count), MORE: training.first(TIMES * count)}
        return ChainMap(dict(self.data.splits), of_task, of_training)  # in error messages the last ones come first

    def _fitter(self, model: Transformer) -> Fitter:
        if self.trained.read()["made"].get("data") != self.data.fingerprint:
            raise ArtifactError(
                f"{self.folder} holds a model trained on other data than are sampled here; {self.trained.remedy}"
            )
        return Fitter(model, self._sources, self.seed, exact=copy.deepcopy(model).double())

    def measuring_identity(self) -> dict:
        """What the measurements depend on, the weights that were measured among them."""
        return {**self.experiment.measuring_identity(self.seed), "trained": self.trained.read().get("files", {})}

    def is_measured(self) -> bool:
        """Whether the measurements are there, and of the model and the code as they now are."""
        return self.measured.is_current(self.measuring_identity()) and not self.measured.missing()

    def measure(self, replace: bool = False) -> bool:
        """Measure all that the experiment asks for, unless that was done before. True if there was work to do.

        Trains first what is not trained, as `train` does.
        """
        self.train(replace)
        if self.is_measured():
            return False
        identity = self.measuring_identity()
        spare_memory()
        use_threads(self.experiment.training.threads)
        blocks = self.compare(list(self.data.splits.values()), self.experiment.simplifications())
        for file, made in (("measurements.parquet", blocks), ("along_training.parquet", self._along_training())):
            table.write(self.folder / file, made)
        self.measured.write(identity, ("measurements.parquet", "along_training.parquet"), {"device": self.on.type})
        return True

    def compare(self, splits: Sequence[Split], simplifications: Sequence[Simplification]) -> list[Block]:
        """Measure simplifications of the trained model on splits."""
        patterns = self.experiment.measuring.whole_model_only
        parts = [s for s in simplifications if s.layer >= 0]
        skip = {split.name: parts for split in splits if any(fnmatch(split.name, pattern) for pattern in patterns)}
        return faithfulness.measure(splits, simplifications, self.fitter, skip, title=f"measure {self.title}")

    def _along_training(self) -> list[Block]:
        """Blocks at every step in `history`, of fewer simplifications and sequences, without the covariates of the task."""
        simplifications = simplifications_of(self.experiment.measuring.along_training)
        if not simplifications:
            return []
        count = self.experiment.training.heldout_sequences
        splits = [replace(split.first(count), covariates={}) for split in self.data.splits.values()]
        found = []
        for step in self.history["step"]:
            fitter, title = self._fitter(self.model_at(step)), f"measure {self.title}, step {step}"
            found += [replace(b, step=step) for b in faithfulness.measure(splits, simplifications, fitter, title=title)]
        return found

    def blocks(self) -> list[Block]:
        """What was measured on the trained model, a block a split; measured now if it is not there."""
        self.measure()
        return table.read(self.measured.verified("measurements.parquet"))

    def blocks_along_training(self) -> list[Block]:
        """What was measured along training, a block a step and split; measured now if it is not there."""
        self.measure()
        return table.read(self.measured.verified("along_training.parquet"))
