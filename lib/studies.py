"""Train and measure an experiment, reusing what is already there and current. The command line, the workflow and the notebooks
all call this.

An `Experiment` says what is done, a `Run` is one seed of it in a folder, a `Study` several seeds. Verbs do work (`train`,
`measure`); properties only look.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from lib import artifacts, provenance
from lib.artifacts import first_difference
from lib.config import Config
from lib.errors import ArtifactError, InputError, one_of, whole_number
from lib.measuring import faithfulness, table
from lib.measuring.intervals import Estimates
from lib.measuring.measures import MEASURES
from lib.measuring.table import Block
from lib.models import training
from lib.models.machine import resolve_device
from lib.models.training import TrainingConfig
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import MODEL, PROXIES, TRAINING, Fitter, Simplification
from lib.split import Dataset, Split
from lib.tasks import Task

Complexities = Mapping[str, tuple[int, ...]]  # by proxy; empty for a proxy that has nothing to choose


class MeasuringConfig(Config):
    """Which simplifications are measured, and on what they are fitted."""

    grid: dict[str, Complexities]
    """By layer ("0" the first, "all" for all at once), by proxy, the complexities; fitted on training sequences."""
    along_training: dict[str, Complexities] = Field(default_factory=dict)
    """Measured at every evaluation along training as well; as `grid`."""
    oracle: dict[str, Complexities] = Field(default_factory=dict)
    """Fitted on each of `oracle_splits`, and measured on that split alone; as `grid`."""
    oracle_splits: tuple[str, ...] = ()
    each_head: Complexities = Field(default_factory=dict)
    """Each head simplified on its own; as `grid` for one layer."""
    whole_model_only: tuple[str, ...] = ()
    """Patterns of splits on which only all layers at once are measured, to save time."""
    fit_sequences: int = Field(default=1_000, ge=1)
    """Training sequences that proxies are fitted on."""

    @field_validator("grid", "along_training", "oracle")
    @classmethod
    def _layers(cls, grid: dict) -> dict:
        for layer in grid:
            if layer != "all" and layer not in map(str, range(1_000)):
                raise ValueError(f'layers are "0", "1", ... or "all", not {layer!r}')
        return grid

    @field_validator("grid", "along_training", "oracle", "each_head")
    @classmethod
    def _proxies(cls, grid: dict) -> dict:
        for proxies in grid.values() if all(isinstance(v, Mapping) for v in grid.values()) else [grid]:
            if unknown := set(proxies) - set(PROXIES):
                raise ValueError(f"no proxy is called {', '.join(sorted(unknown))}; there are {', '.join(PROXIES)}")
        return grid


def simplifications_of(grid: Mapping[str, Complexities], fit_on: Sequence[str] = (TRAINING,)) -> list[Simplification]:
    """Every simplification of a grid, fitted on each of `fit_on`."""
    return [
        Simplification(proxy, complexity, -1 if layer == "all" else int(layer), fit_on=source)
        for layer, proxies in grid.items()
        for proxy, complexities in proxies.items()
        for complexity in complexities or [None]
        for source in fit_on
    ]


class Experiment(Config):
    """One task at one size: what is learned, by what, and what is measured."""

    task: SerializeAsAny[Task]
    model: ModelConfig
    training: TrainingConfig
    measuring: MeasuringConfig
    seeds: int = Field(ge=1, le=1_000)
    """How many models; 0 is the first seed."""
    claims: bool = True
    """Whether the claims about its task are tested on it; not so for a variant that is there for comparison."""

    @model_validator(mode="after")
    def _model_allows_what_is_measured(self):
        for grid in (self.measuring.grid, self.measuring.along_training, self.measuring.oracle):
            for layer in grid:
                if layer != "all" and int(layer) >= self.model.layers:
                    raise ValueError(f"layer {layer} is measured, but the model has only {self.model.layers} (0 is the first)")
        for simplification in self._everything_measured():
            simplification.check(self.model)
        if self.measuring.oracle and not self.measuring.oracle_splits:
            raise ValueError("oracle names what is fitted on splits, but oracle_splits is empty: name splits")
        return self

    def simplifications(self) -> list[Simplification]:
        """Everything that is measured on the trained model."""
        measuring, model = self.measuring, self.model
        heads = [
            Simplification(proxy, complexity, layer, head)
            for proxy, complexities in measuring.each_head.items()
            for complexity in complexities or [None]
            for layer in range(model.layers)
            for head in range(model.heads)
        ]
        oracle = simplifications_of(measuring.oracle, measuring.oracle_splits)
        return [*simplifications_of(measuring.grid), *oracle, *heads]

    def _everything_measured(self) -> list[Simplification]:
        """What is measured on the trained model and along training."""
        return [*self.simplifications(), *simplifications_of(self.measuring.along_training)]

    def with_proxies(self, names: Sequence[str]) -> Experiment:
        """This experiment with proxies, each at its example complexity, wherever simplifications are measured."""
        examples = {name: PROXIES[name].example(self.model.head_width) for name in names}
        added = {name: () if example is None else (example,) for name, example in examples.items()}
        widened = {
            part: {layer: {**added, **proxies} for layer, proxies in getattr(self.measuring, part).items()}
            for part in ("grid", "along_training", "oracle")
        }
        each_head = {**added, **self.measuring.each_head} if self.measuring.each_head else {}
        for name, example in examples.items():
            Simplification(name, example).check(self.model)
        return self.model_copy(update={"measuring": self.measuring.model_copy(update={**widened, "each_head": each_head})})

    def training_identity(self, seed: int) -> dict:
        """What a trained model depends on."""
        return {
            "seed": seed,
            "kind": self.task.kind,
            "task": self.task.plain(),
            "model": self.model.plain(),
            "training": self.training.plain(),
            "data": self.task.identity(),
            "code": self.training_code(),
            "versions": provenance.versions(),
        }

    def measuring_identity(self, seed: int) -> dict:
        """What measurements depend on."""
        model = provenance.digest_of(self.training_identity(seed))
        tested_on, code = self.task.tested_on(), self.measuring_code()
        return {"model": model, "tested_on": tested_on, "measuring": self.measuring.plain(), "code": code}

    def training_code(self) -> dict[str, str]:
        """Digests of the modules that a trained model depends on."""
        return provenance.code_of("lib.models.training", *(self.task.made_by or (type(self.task).__module__,)))

    def measuring_code(self) -> dict[str, str]:
        """Digests of the modules that measurements depend on, besides those of the model: of the proxies, those measured."""
        proxies = {PROXIES[simplification.proxy] for simplification in self._everything_measured()}
        defined = {part.__module__ for part in (*proxies, *MEASURES.values())}
        return provenance.code_of("lib.measuring.faithfulness", *sorted(defined))


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
        if not stored:
            return False
        if not record.is_current(self.identity):
            difference = first_difference(stored, self.identity)
            raise ArtifactError(f"{self.folder} holds a model of something else ({difference}); {record.remedy}")
        if missing := record.missing():
            raise ArtifactError(f"{self.folder / missing[0]} is missing; {record.remedy}")
        return True

    def _is_whole(self) -> bool:
        """Whether the model is there, undamaged, and was trained on these very data."""
        if self.trained.damage() or not self.trained.is_current(self.identity):
            return False
        return self.trained.read()["made"].get("data") == self.data.fingerprint

    def train(self, replace: bool = False) -> bool:
        """Train the model, unless that was done before; an interrupted training is resumed. True if there was work to do.

        With `replace`, a model that was trained on something else, or is damaged, is trained anew.
        """
        if self._is_whole() if replace else self.is_trained():
            return False
        config, title = self.experiment, f"train {self.title}"
        for split in config.measuring.oracle_splits:  # better now than after hours
            one_of("oracle_splits", split, self.data.splits)
        made = training.train(
            self.data, config.model, config.training, self.seed, self.folder, self.on, self.identity, title, replace
        )
        self.trained.write(self.identity, training.FILES, {**made, "data": self.data.fingerprint})
        (self.folder / training.CHECKPOINT).unlink(missing_ok=True)
        return True

    def _weights(self, file: str) -> dict[str, torch.Tensor]:
        self.train()
        return artifacts.read_tensors(self.trained.verified(file), self.trained.remedy)[0]

    def _model(self, weights: Mapping[str, torch.Tensor]) -> Transformer:
        model = Transformer.seeded(self.experiment.model, len(self.data.vocabulary), self.data.context, self.seed)
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
        """The trained model on the device; trained now if it is not there."""
        weights = self._weights("model.safetensors")
        if self.trained.read()["made"].get("data") != self.data.fingerprint:
            raise ArtifactError(
                f"{self.folder} holds a model trained on other data than are sampled here; {self.trained.remedy}"
            )
        return self._model(weights)

    def model_at(self, step: int) -> Transformer:
        """The model as it was after `step` training steps, one of those in `history`."""
        snapshots = self._weights("snapshots.safetensors")
        one_of("step", step, sorted({int(name.partition(".")[0]) for name in snapshots}))
        return self._model(training.with_prefix(snapshots, f"{step}."))

    @cached_property
    def history(self) -> pd.DataFrame:
        """`training.csv`: one row per evaluation along the way."""
        self.train()
        return pd.read_csv(self.trained.verified("training.csv"))

    @cached_property
    def fitter(self) -> Fitter:
        """Fits proxies to the trained model, on training sequences or on a split."""
        return self._fitter(self.model)

    def _fitter(self, model: Transformer) -> Fitter:
        sources = {TRAINING: self.data.training.first(self.experiment.measuring.fit_sequences), **self.data.splits}
        return Fitter(model, sources, self.seed)

    def measuring_identity(self) -> dict:
        """What the measurements depend on, the weights that were measured among them."""
        return {**self.experiment.measuring_identity(self.seed), "trained": self.trained.read().get("files", {})}

    def measure(self) -> bool:
        """Measure all that the experiment asks for, unless that was done before. True if there was work to do."""
        self.train()
        identity = self.measuring_identity()
        if self.measured.is_current(identity) and not self.measured.missing():
            return False
        torch.set_num_threads(self.experiment.training.threads)
        blocks = self.compare(list(self.data.splits.values()), self.experiment.simplifications())
        for file, made in (("measurements.parquet", blocks), ("along_training.parquet", self._along_training())):
            table.write(self.folder / file, made, {})
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


@dataclass
class Study:
    """An experiment over `seeds` seeds (0 to seeds - 1): results with intervals."""

    name: str
    experiment: Experiment
    folder: Path
    seeds: int | None = None  # None: as many as the experiment has
    device: str = "auto"
    preset: str = ""  # the name of its size, for captions
    command: str = ""  # the options that choose it on the command line, for remedies
    only: Split | None = field(default=None, repr=False)  # a split of the user's, in place of those of the task

    def __post_init__(self):
        if self.seeds is None:
            self.seeds = self.experiment.seeds
        whole_number("seeds", self.seeds, 1, 1_000)
        self.runs = [self.run(seed) for seed in range(self.seeds)]

    def run(self, seed: int) -> Run:
        """One seed of it, whichever."""
        whole_number("seed", seed, 0, 2**32 - 1)
        return Run(self.name, self.experiment, self.folder / f"seed-{seed}", seed, self.device, self.command)

    @property
    def task(self) -> Task:
        """The task."""
        return self.experiment.task

    @cached_property
    def estimates(self) -> Estimates:
        """Estimates with intervals from all that was measured; measured now if it is not there."""
        if self.only is None:
            return self.estimates_of({run.seed: run.blocks() for run in self.runs})
        simplifications = simplifications_of(self.experiment.measuring.grid)
        return self.estimates_of({run.seed: run.compare([self.only], simplifications) for run in self.runs})

    def estimates_of(self, blocks: Mapping[int, Sequence[Block]]) -> Estimates:
        """Estimates with intervals from other blocks of this task's splits, by seed."""
        return Estimates(blocks, self.task.same_sequences)

    @cached_property
    def along_training(self) -> dict[int, Estimates]:
        """Estimates at every evaluation along training, by step; empty where the experiment measures nothing there."""
        blocks = {run.seed: run.blocks_along_training() for run in self.runs}
        steps = dict.fromkeys(block.step for block in blocks[0])
        return {s: self.estimates_of({seed: [b for b in of if b.step == s] for seed, of in blocks.items()}) for s in steps}

    @cached_property
    def history(self) -> pd.DataFrame:
        """The training curves of all seeds."""
        return pd.concat([run.history.assign(seed=run.seed) for run in self.runs], ignore_index=True)

    @property
    def splits(self) -> list[str]:
        """The splits that were measured."""
        return self.estimates.splits

    def family(self, proxy: str, layer: int) -> list[Simplification]:
        """Every measured complexity of a proxy in a layer (-1: all), fitted on training sequences."""
        return [s for s in self.simplifications(layer) if s.proxy == proxy]

    def simplifications(self, layer: int) -> list[Simplification]:
        """Every measured simplification of a layer (-1: all), fitted on training sequences."""
        grid = self.experiment.measuring.grid
        name = "all" if layer == -1 else str(layer)
        one_of("layer", layer, sorted(-1 if known == "all" else int(known) for known in grid))
        return simplifications_of({name: grid[name]})

    def simplified(self, proxy: str, complexity: int | None, layer: int) -> Simplification:
        """One simplification, measured now if it was not measured before. `InputError` for one that the model does not have."""
        wanted = Simplification(proxy, complexity, layer)
        wanted.check(self.experiment.model)
        self.measure_also([wanted])
        return wanted

    def measure_also(self, simplifications: Sequence[Simplification]) -> None:
        """Measure, for this session only, what the experiment does not: it joins `estimates`."""
        split = self.only.name if self.only else self.task.reference
        missing = [s for s in simplifications if not self.estimates.has(s, split)]
        if missing:
            for run in self.runs:
                splits = [self.only] if self.only else list(run.data.splits.values())
                self.estimates.add(run.seed, run.compare(splits, missing))

    def with_split(self, file: Path) -> Study:
        """This study with a file of the user's as its only split, named after the file.

        Raises `InputError` for a file that the task does not read, that has nothing to score, or whose name is taken.
        """
        split = self.task.read_split(file)
        if split.name in self.runs[0].data.splits:
            raise InputError(f"{file} would be the split {split.name!r}, which exists already: give the file another name")
        study = replace(self, only=split)
        study.runs = self.runs  # with the models that they have loaded
        return study

    def results(self) -> Iterator[pd.DataFrame]:
        """The results table, one seed at a time."""
        for seed in range(self.seeds):
            yield table.tidy(self.estimates.blocks(seed), self.name, seed)

    @property
    def tabulated(self) -> provenance.Record:
        """The record of the results table."""
        path = self.folder / "faithfulness.json"
        return provenance.Record(path, f"delete its record, and it is made again: rm {shlex.quote(str(path))}")

    def _results_identity(self) -> dict:
        code = provenance.code_of("lib.measuring.table")
        return {"measured": [run.measuring_identity() for run in self.runs], "code": code}

    def results_stale(self) -> bool:
        """Whether there is a results table that is damaged or of something else."""
        record = self.tabulated
        return record.path.exists() and bool(record.damage() or not record.is_current(self._results_identity()))

    def save(self) -> Path:
        """Write the results table, `faithfulness.parquet`, unless it is there and current; returns its path.

        It holds what the experiment measures, and nothing that was measured for this session only.
        """
        for run in self.runs:
            run.measure()
        record, path = self.tabulated, self.folder / "faithfulness.parquet"
        if record.damage() or not record.is_current(self._results_identity()):
            replace(self, only=None).write_results(path)
            record.write(self._results_identity(), [path.name], {})
        return path

    def write_results(self, path: Path) -> None:
        """Write the results table as parquet."""
        with artifacts.writing(path) as temporary:
            pd.concat(self.results(), ignore_index=True).to_parquet(temporary, index=False, compression="zstd")

    def summary(self, measure: str = "same_prediction") -> str:
        """A readable table: for each split its number of scored predictions and the model's accuracy; then, one row per
        simplification and one column per split, the mean of `measure` with its interval.
        """
        splits, simplifications = self.splits, simplifications_of(self.experiment.measuring.grid)
        own = {split: self.estimates.estimate(MODEL, split, "accuracy") for split in splits}
        head = pd.DataFrame(
            {s: {"predictions": f"{e.positions:,}", "accuracy of the model": f"{e:.2f}"} for s, e in own.items()}
        )
        rows = [
            {
                "layer": "all" if s.layer < 0 else s.layer,
                "proxy": s.proxy,
                "complexity": s.complexity or "",
                **{split: f"{self.estimates.estimate(s, split, measure):.2f}" for split in splits},
            }
            for s in simplifications
        ]
        over = next(iter(own.values())).over
        heading = f"{measure} with 95 % intervals over {over} ({self.name}, preset {self.preset}; layers count from 0)"
        return f"{head.to_string()}\n\n{heading}\n{pd.DataFrame(rows).to_string(index=False)}"
