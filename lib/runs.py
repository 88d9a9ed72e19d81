"""Train and evaluate a preset, reusing what is already there. The command line, Snakemake and the notebooks all call this."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib import artifacts, faithfulness
from lib.artifacts import first_difference
from lib.code.splits import CodeConfig, code_task, humaneval_folder
from lib.dyck.splits import DyckConfig, dyck_split, dyck_task
from lib.dyck.text import read_sentences
from lib.errors import ArtifactError, InputError, one_of, whole_number
from lib.faithfulness import METRICS
from lib.intervals import Bootstrap
from lib.presets import Grid, ModelConfig, TaskPreset, preset, seed_folder, task_folder
from lib.proxies import PROXIES, TRAINING, QueriesAndKeys, Setting, capture
from lib.split import Split, Task
from lib.training import CHECKPOINT, describe, new_model, resolve_device, train, with_prefix
from lib.transformer import Transformer


def make_task(config: TaskPreset, seed: int) -> Task:
    """The task of a configuration, sampled anew; the same for the same seed."""
    match config.data:
        case DyckConfig():
            return dyck_task(config.data, seed)
        case CodeConfig():
            return code_task(config.data, seed)


def settings_of(grid: Grid, fit_on: Sequence[str] = (TRAINING,)) -> list[Setting]:
    """Every simplification of a grid, fitted on each of `fit_on`."""
    return [
        Setting(proxy, complexity, layer, fit_on=source)
        for layer, proxies in grid.items()
        for proxy, complexities in proxies.items()
        for complexity in complexities
        for source in fit_on
    ]


def head_settings(proxies: Mapping[str, Sequence[int | None]], model: ModelConfig) -> list[Setting]:
    """Every simplification of a single head: each of `proxies` at its complexities, in every head of the model."""
    return [
        Setting(proxy, complexity, layer, head)
        for proxy, complexities in proxies.items()
        for complexity in complexities
        for layer in range(model.layers)
        for head in range(model.heads)
    ]


@dataclass
class Run:
    """One seed of a task at a preset: its data, its trained model, its measurements. Each is made when first asked for."""

    task_name: str
    preset: str
    seed: int
    device: str = "auto"

    @cached_property
    def config(self) -> TaskPreset:
        """The configuration of this preset and task."""
        return preset(self.preset).task(self.task_name)

    @property
    def folder(self) -> Path:
        """Where its results are kept."""
        return seed_folder(self.preset, self.task_name, self.seed)

    @property
    def title(self) -> str:
        """What it is, for progress bars."""
        return f"{self.task_name}, {self.preset}, seed {self.seed}"

    @property
    def _remedy(self) -> str:
        task, data = self.task_name.partition("@")[0], self.config.data
        command = f"python -m lib train {task} --preset {self.preset} --seed {self.seed}"
        if task != self.task_name:
            command += f" --corpus {data.corpus}" + (f" --location {data.location}" if data.location else "")
        return f"to rebuild it, delete {self.folder} and run: {command}"

    @cached_property
    def task(self) -> Task:
        """Training sentences and splits."""
        return replace(make_task(self.config, self.seed), name=self.task_name)

    def is_trained(self) -> bool:
        """True if the model is there; `ArtifactError` if what is there was trained in another configuration."""
        path = self.folder / "config.json"
        if not path.exists():
            return False
        stored = artifacts.read_json(path, self._remedy)
        expected = json.loads(json.dumps(describe(self.task_name, self.config, self.seed)))
        if difference := first_difference({key: stored.get(key) for key in expected}, expected):
            raise ArtifactError(f"{path} belongs to another configuration ({difference}); {self._remedy}")
        if not (self.folder / "model.safetensors").exists():
            raise ArtifactError(f"{self.folder / 'model.safetensors'} is missing; {self._remedy}")
        return True

    def train(self) -> None:
        """Train the model, unless that was done before; an interrupted training is resumed."""
        if self.is_trained():
            (self.folder / CHECKPOINT).unlink(missing_ok=True)  # of a run that was cut off at its very end
        else:
            train(self.task, self.config, self.seed, self.folder, device=self.device, description=f"train {self.title}")

    @cached_property
    def model(self) -> Transformer:
        """The trained model on the device."""
        self.train()
        stored = artifacts.read_json(self.folder / "config.json", self._remedy)
        if stored.get("fingerprint") != self.task.fingerprint:
            raise ArtifactError(
                f"{self.folder} holds a model trained on other data than are sampled here: fingerprints differ; {self._remedy}"
            )
        weights, _ = artifacts.read_tensors(self.folder / "model.safetensors", self._remedy)
        return self._with_weights(weights, "model.safetensors")

    def model_at(self, step: int) -> Transformer:
        """The model as it was after `step` training steps, one of those in `history`."""
        self.train()
        weights, _ = artifacts.read_tensors(self.folder / "snapshots.safetensors", self._remedy)
        return self._with_weights(with_prefix(weights, f"{step}."), "snapshots.safetensors")

    def _with_weights(self, weights: Mapping[str, Tensor], file: str) -> Transformer:
        model = new_model(self.task, self.config, self.seed)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ArtifactError(
                f"{self.folder / file} does not hold the weights of this model ({reason}); {self._remedy}"
            ) from error
        return model.eval().to(resolve_device(self.device))

    @cached_property
    def history(self) -> pd.DataFrame:
        """`training.csv`: a row an evaluation along the way."""
        self.train()
        path = self.folder / "training.csv"
        try:
            history = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); {self._remedy}") from error
        if history.empty:
            raise ArtifactError(f"{path} holds no row; {self._remedy}")
        return history

    @cached_property
    def splits(self) -> list[Split]:
        """What is measured of the task's splits."""
        return [split.first(self.config.study.measured_sequences) for split in self.task.splits.values()]

    @cached_property
    def fitting_data(self) -> QueriesAndKeys:
        """Queries and keys of every layer on the training sequences that proxies are fitted on."""
        return capture(self.model, self.task.training[: self.config.study.fit_sequences], range(self.config.model.layers))

    def measure(self, splits: Sequence[Split], settings: Sequence[Setting], model: Transformer | None = None) -> pd.DataFrame:
        """The sequences table of `settings` on `splits`, with the columns `task` and `seed` in front."""
        model = model or self.model
        torch.set_num_threads(self.config.training.threads)
        if isinstance(self.config.data, CodeConfig):  # how certain a model is differs between languages
            splits = [faithfulness.with_margin(model, split) for split in splits]
        training = self.task.training[: self.config.study.fit_sequences]
        description = f"evaluate {self.title}"
        table = faithfulness.measure(model, splits, settings, training, seed=self.seed, description=description)
        table.insert(0, "seed", np.int64(self.seed))
        table.insert(0, "task", pd.Categorical([self.task_name]).repeat(len(table)))
        return table

    @property
    def sequences(self) -> pd.DataFrame:
        """The sequences table of the task's own splits, read from its file (it is large, so nobody keeps it in memory)."""
        study = self.config.study
        settings = [
            *settings_of(study.grid),
            *settings_of(study.oracle, study.oracle_splits),
            *head_settings(study.each_head, self.config.model),
        ]
        return self._measured("sequences.parquet", lambda: self.measure(self.splits, settings))

    @cached_property
    def along_training(self) -> pd.DataFrame:
        """A sequences table at every step in `history`, of fewer settings and sequences; the column `step` says which."""
        return self._measured("along_training.parquet", self._measure_along_training)

    def _measure_along_training(self) -> pd.DataFrame:
        settings = settings_of(self.config.study.along_training)
        if not settings:
            return self.sequences.iloc[:0].assign(step=0)
        sequences = self.config.training.heldout_sequences  # no groups here, they would only take up memory
        splits = [replace(split.first(sequences), groups={}) for split in self.task.splits.values()]
        steps = self.history["step"]
        return pd.concat([self.measure(splits, settings, self.model_at(s)).assign(step=s) for s in steps], ignore_index=True)

    def _measured(self, file: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The table in `file` if it was measured on these weights with this study, else a new one, kept there."""
        self.train()
        path = self.folder / file
        weights = hashlib.sha256((self.folder / "model.safetensors").read_bytes()).hexdigest()
        provenance = {"weights": weights, "study": json.loads(json.dumps(asdict(self.config.study)))}
        extra = ["humaneval_x"] if isinstance(self.config.data, CodeConfig) and humaneval_folder() else []
        if path.exists():
            table = read_table(path)
            measured = table.attrs.pop("extra", [])
            if table.attrs == provenance and set(extra) <= set(measured):
                return table
        table = make()
        table.attrs = {**provenance, "extra": extra}
        write_table(path, table)
        return table


@dataclass
class Study:
    """A task at a preset over `seeds` seeds (0 to seeds - 1): results with intervals."""

    task_name: str
    preset: str
    seeds: int | None = None  # None: as many as the preset has
    device: str = "auto"

    def __post_init__(self):
        if self.seeds is None:
            self.seeds = preset(self.preset).task(self.task_name).seeds
        whole_number("seeds", self.seeds, 1, 1_000)
        self.runs = [Run(self.task_name, self.preset, seed, self.device) for seed in range(self.seeds)]
        self.added: list[pd.DataFrame] = []  # for each seed, measurements of further splits

    @property
    def config(self) -> TaskPreset:
        """The configuration of this preset and task."""
        return self.runs[0].config

    def sequences(self) -> Iterator[pd.DataFrame]:
        """The sequences table of each seed; one at a time, as together they would take up gigabytes at full size."""
        for run, added in zip(self.runs, self.added or [None] * len(self.runs), strict=True):
            yield run.sequences if added is None else faithfulness.stacked([run.sequences, added])

    @property
    def splits(self) -> list[str]:
        """The splits that were measured."""
        return self.bootstrap.splits

    @cached_property
    def results(self) -> pd.DataFrame:
        """The results table: what `faithfulness.parquet` holds if `seeds` is the preset's."""
        return pd.concat(map(faithfulness.summarize, self.sequences()), ignore_index=True)

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Estimates with intervals."""
        return self.bootstrap_of(self.sequences())

    def bootstrap_of(self, tables: Iterable[pd.DataFrame], metrics: Sequence[str] = METRICS) -> Bootstrap:
        """Estimates with intervals from other sequences tables of this task's splits, of some or all seeds."""
        return Bootstrap(tables, metrics=metrics, same_sequences=isinstance(self.config.data, CodeConfig))

    @cached_property
    def along_training(self) -> dict[int, Bootstrap]:
        """Estimates at every evaluation along training, by step."""
        table = faithfulness.stacked([run.along_training for run in self.runs])
        return {int(step): self.bootstrap_of([rows]) for step, rows in table.groupby("step")}

    @cached_property
    def history(self) -> pd.DataFrame:
        """The training curves of all seeds."""
        return pd.concat([run.history.assign(seed=run.seed) for run in self.runs], ignore_index=True)

    def settings(self, layer: int) -> list[Setting]:
        """Every simplification of a layer that was fitted on training sequences and measured."""
        grid = self.config.study.grid
        one_of("layer", layer, sorted(grid))
        return settings_of({layer: grid[layer]})

    def setting(self, proxy: str, complexity: int | None, layer: int) -> Setting:
        """One measured simplification; `InputError` names the ones there are."""
        measured = self.settings(layer)
        one_of("proxy", proxy, {s.proxy for s in measured})
        family = {s.complexity: s for s in measured if s.proxy == proxy}
        what = f"{PROXIES[proxy].parameter or 'complexity'} of {proxy} at preset {self.preset}"
        one_of(what, complexity, family)
        return family[complexity]

    def summary(self, metric: str = "same_prediction") -> str:
        """A readable table of `metric`, one row a setting and one column a split, with 95 % intervals."""
        splits = self.splits

        def cell(setting: Setting, split: str) -> str:
            return f"{self.bootstrap.estimate(setting, split, metric):.2f}" if self.bootstrap.has(setting, split) else ""

        rows = [
            {
                "layer": setting.layer,
                "proxy": setting.proxy,
                "complexity": setting.complexity or "",
                **{split: cell(setting, split) for split in splits},
            }
            for setting in settings_of(self.config.study.grid)
        ]
        over = self.bootstrap.estimate(settings_of(self.config.study.grid)[0], splits[0], metric).over
        heading = f"{metric} with 95 % intervals over {over} ({self.task_name}, preset {self.preset}; layers count from 0)"
        return f"{heading}\n{pd.DataFrame(rows).to_string(index=False)}"

    def save(self) -> Path:
        """Write the results table; returns its path."""
        path = task_folder(self.preset, self.task_name) / "faithfulness.parquet"
        write_table(path, self.results)
        return path

    def with_sentences(self, file: str | Path) -> Study:
        """This study with the sentences of a file as a further split, named after the file.

        Raises `InputError` for a file that `read_sentences` refuses, that has nothing to score, or whose name is taken.
        """
        name, data = Path(file).stem, self.config.data
        if not isinstance(data, DyckConfig):
            raise InputError(f"task is {self.task_name!r}, but sentences are for dyck: for source code use --corpus directory")
        if name in self.runs[0].task.splits:
            raise InputError(f"{file} would be the split {name!r}, which exists already: give the file another name")
        sentences = read_sentences(file, data.bracket_types, max_length=data.unseen_length)
        split = dyck_split(name, sentences, data)
        extended = Study(self.task_name, self.preset, self.seeds, self.device)
        extended.runs = self.runs
        settings = settings_of(self.config.study.grid)
        extended.added = [run.measure([split], settings) for run in self.runs]
        return extended


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet."""
    with artifacts.writing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote; `ArtifactError` names the file where that is not possible."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as a table ({error}); delete it, and it is made again") from error
