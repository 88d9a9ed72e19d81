"""An experiment over several seeds: results with intervals. The command line, the workflow and the notebooks all call this."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from lib import artifacts, provenance
from lib.errors import InputError, one_of, whole_number
from lib.experiment import Experiment, simplifications_of
from lib.live.kept import arrays_of
from lib.measuring import table
from lib.measuring.estimates import Estimates
from lib.measuring.table import Block
from lib.proxies import MODEL, Simplification
from lib.runs import Run
from lib.split import Split
from lib.tasks import Task


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
    def recorded(self) -> Estimates:
        """Estimates with intervals from what the experiment measures; measured now if it is not there."""
        blocks = {run.seed: run.blocks() for run in self.runs}
        refuse_twins({run.seed: run.trained.read()["files"]["model.safetensors"] for run in self.runs})
        return self.estimates_of(blocks)

    @cached_property
    def estimates(self) -> Estimates:
        """The same, which what is measured for this session only joins; of a split of the user's, on that."""
        if self.only is None:
            return self.recorded
        simplifications = simplifications_of(self.experiment.measuring.grid)
        return self.estimates_of({run.seed: run.compare([self.only], simplifications) for run in self.runs})

    @property
    def is_recorded(self) -> bool:
        """Whether the estimates are of what the experiment measures, and not of what somebody has put in their place."""
        return self.only is None and self.estimates is vars(self).get("recorded")

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
        planned = simplifications_of(self.experiment.measuring.grid)
        if all(s in planned for s in simplifications):  # so figures that only need a model wait for no measurements
            return
        usual = self.only.name if self.only else self.task.reference
        missing = [s for s in simplifications if not self.estimates.has(s, s.fit_on if s.fit_on in self.splits else usual)]
        if missing:
            for run in self.runs:
                splits = [self.only] if self.only else run.data.splits.values()
                fair = [split for split in splits if any(run.fitter.measures_on(s, split.name) for s in missing)]
                self.estimates.add(run.seed, run.compare(fair, missing))

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

    def identity(self) -> dict:
        """What its measurements depend on, the weights of every seed's model among them; in parts, so that one can say which
        of them has changed.
        """
        training, measuring = self.experiment.training_identity(0), self.experiment.measuring_identity(0)
        weights = {str(run.seed): run.trained.read().get("files", {}) for run in self.runs}
        del training["seed"], measuring["model"]  # which are of one run
        return {"training": training, **measuring, "weights": weights}

    def _results_identity(self) -> dict:
        return {"measured": self.identity(), "code": provenance.code_of("lib.measuring.table")}

    def results_stale(self) -> bool:
        """Whether there is a results table that is damaged or of something else."""
        record = self.tabulated
        return record.path.exists() and bool(record.damage() or not record.is_current(self._results_identity()))

    def save(self) -> Path:
        """Write the results table, `faithfulness.parquet`, and fitted proxies, unless there and current; returns the path.

        The table holds what the experiment measures, and nothing that was measured for this session only.
        """
        for run in self.runs:
            run.measure()
            arrays_of(run)  # now, as all is fitted
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
                **{x: f"{self.estimates.estimate(s, x, measure):.2f}" if self.estimates.has(s, x) else "" for x in splits},
            }
            for s in simplifications
        ]
        heading = (
            f"{measure} with 95 % intervals over {self.estimates.over} ({self.name}, preset {self.preset}; layers count from 0)"
        )
        return f"{head.to_string()}\n\n{heading}\n{pd.DataFrame(rows).to_string(index=False)}"


def refuse_twins(weights: Mapping[int, str]) -> None:
    """Raise `InputError` if two seeds have the same weights: an interval over them would take one model for several.

    `weights` has a checksum of each seed's.
    """
    first: dict[str, int] = {}
    for seed, checksum in weights.items():
        if checksum in first:
            raise InputError(
                f"seeds {first[checksum]} and {seed} are one and the same model: seeds that share a fingerprint are not "
                f"independent, and an interval over them would be too narrow; train seed {seed} anew"
            )
        first[checksum] = seed
