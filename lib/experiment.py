"""What is done: one task at one size, and which simplifications of its models are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from lib import provenance
from lib.config import Config
from lib.measuring.measures import MEASURES
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import PROXIES, TRAINING, Simplification
from lib.tasks import Task

Complexities = Mapping[str, tuple[int, ...]]  # by proxy; empty for a proxy that has nothing to choose


class MeasuringConfig(Config):
    """Which simplifications are measured, and on what they are fitted."""

    grid: dict[str, Complexities]
    """By layer ("0" the first, "all" for all at once), by proxy, the complexities; fitted on training sequences."""
    along_training: dict[str, Complexities] = Field(default_factory=dict)
    """Measured at every evaluation along training as well; as `grid`."""
    refitted: dict[str, Complexities] = Field(default_factory=dict)
    """Fitted on each of `refitted_on`; as `grid`."""
    refitted_on: tuple[str, ...] = ()
    """Names of splits (the oracle, measured on that split alone) or of other sources of training sequences, such as
    "training_more" (measured on every split)."""
    each_head: Complexities = Field(default_factory=dict)
    """Each head simplified on its own; as `grid` for one layer."""
    whole_model_only: tuple[str, ...] = ()
    """Patterns of splits on which only all layers at once are measured, to save time."""
    without: tuple[str, ...] = ()
    """Proxies that are left out of all these, though an experiment that this one inherits from measures them."""
    fit_sequences: int = Field(default=1_000, ge=1)
    """Training sequences that proxies are fitted on."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out(cls, values: dict) -> dict:
        def rest(grid: object) -> object:
            if not isinstance(grid, Mapping):
                return grid  # refused later
            return {key: rest(value) for key, value in grid.items() if key not in without}

        without = set(values.get("without", ()))
        if unknown := without - set(PROXIES):
            raise ValueError(f"without names {sorted(unknown)[0]!r}, but there are {', '.join(PROXIES)}")
        return {name: rest(value) for name, value in values.items()} if without else values

    @field_validator("grid", "along_training", "refitted")
    @classmethod
    def _layers(cls, grid: dict) -> dict:
        for layer in grid:
            if layer != "all" and layer not in map(str, range(1_000)):
                raise ValueError(f'layers are "0", "1", ... or "all", not {layer!r}')
        return grid

    @field_validator("grid", "along_training", "refitted", "each_head")
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
        for grid in (self.measuring.grid, self.measuring.along_training, self.measuring.refitted):
            for layer in grid:
                if layer != "all" and int(layer) >= self.model.layers:
                    raise ValueError(f"layer {layer} is measured, but the model has only {self.model.layers} (0 is the first)")
        for simplification in self._everything_measured():
            simplification.check(self.model)
        if self.measuring.along_training and not self.training.snapshots:
            raise ValueError("along_training asks for weights along training, but snapshots is false: keep them in training")
        if self.measuring.refitted and not self.measuring.refitted_on:
            raise ValueError("refitted names what is fitted once more, but refitted_on is empty: name splits or other sources")
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
        refitted = simplifications_of(measuring.refitted, measuring.refitted_on)
        return [*simplifications_of(measuring.grid), *refitted, *heads]

    def _everything_measured(self) -> list[Simplification]:
        """What is measured on the trained model and along training."""
        return [*self.simplifications(), *simplifications_of(self.measuring.along_training)]

    def with_proxies(self, names: Sequence[str]) -> Experiment:
        """This experiment with proxies, each at its example complexity, wherever simplifications are measured."""
        examples = {name: PROXIES[name].example(self.model.head_width) for name in names}
        added = {name: () if example is None else (example,) for name, example in examples.items()}
        widened = {
            part: {layer: {**added, **proxies} for layer, proxies in getattr(self.measuring, part).items()}
            for part in ("grid", "along_training", "refitted")
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
        code = provenance.code_of("lib.measuring.faithfulness", *sorted(defined))
        return {**code, "lib.runs": provenance.code_in(Path(__file__).with_name("runs.py"))}  # what is measured on what
