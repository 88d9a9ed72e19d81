"""Tasks: what models are trained and tested on. One folder a domain, and nothing outside it knows its name.

A task is a class that derives from `Task`: its fields are what can be configured, `sample` makes the data, and a few class
attributes and methods tell the rest of the project which split is in distribution, how splits look in figures, and what is
claimed. It is registered by its `kind`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from lib.config import Config
from lib.errors import InputError, one_of
from lib.split import Dataset, Sequences, Split

if TYPE_CHECKING:
    from lib.claims import Cell
    from lib.studies import Study


class Look(NamedTuple):
    """How a split appears in figures."""

    label: str
    colour: str
    marker: str


class Reference(NamedTuple):
    """What a split is compared with: a split in distribution, weighted to have the same values of some covariates."""

    split: str
    covariates: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """In words: `iid at the same depth`."""
        matched = " and ".join(name.replace("_", " ") for name in self.covariates)
        return f"{self.split} at the same {matched}" if matched else self.split


class Task(Config, ABC):
    """A domain with its configuration."""

    kind: ClassVar[str]
    title: ClassVar[str]  # in prose
    reference: ClassVar[str]  # the split in distribution, from which gaps are measured
    chosen_on: ClassVar[str]  # the split on which settings are chosen, and no claim is tested
    foreseen_by: ClassVar[tuple[str, ...]] = ()  # covariates known of a text before any proxy is run; a split may lack some
    key_covariate: ClassVar[str] = ""  # the covariate by which mixes of predictions are compared; empty: none
    caveat: ClassVar[str] = ""  # how far what is found about it reaches, in a sentence
    same_sequences: ClassVar[bool] = False  # True: sequence i of a split is the same in every seed
    shared: ClassVar[bool] = False  # True: the data of all seeds are made of something that `describe` makes first
    made_by: ClassVar[tuple[str, ...]] = ()  # modules whose code the data depend on; if empty, the one that defines the task

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs):
        super().__pydantic_init_subclass__(**kwargs)
        taken = TASKS.get(cls.kind, cls).__module__
        if taken.startswith("lib.") and taken != cls.__module__:
            raise InputError(f"a task of this package is of kind {cls.kind!r} already: choose another")
        TASKS[cls.kind] = cls

    @abstractmethod
    def sample(self, seed: int) -> Dataset:
        """The data, a function of the configuration and the seed (and of `identity`)."""

    @abstractmethod
    def look(self, split: str) -> Look:
        """How a split of this task appears in figures."""

    @abstractmethod
    def size(self, sequences: int | None = None) -> str:
        """How much of a split is measured, in words; at most so many `sequences` of it, None for all."""

    def identity(self) -> dict:
        """What training data depend on besides configuration, seed and code, such as files of the user's: plain values."""
        return {}

    def tested_on(self) -> dict:
        """What splits depend on beyond that: plain values. A change here needs no new model, only new measurements."""
        return {}

    def describe(self) -> dict:
        """What the data are made of, as values that JSON has."""
        return {"kind": self.kind, **self.plain()}

    def unavailable(self) -> str:
        """Why the data cannot be had on this machine; empty if they can."""
        return ""

    def variants(self) -> list[str]:
        """The variants of this task that need no table in a preset: `<experiment>-<variant>` names them."""
        return []

    def variant(self, name: str) -> Task | None:
        """This task in a variant; None where there is none of the name."""
        return None

    def shown(self, splits: Sequence[str]) -> list[str]:
        """Those of `splits` that figures show side by side, in this order."""
        return list(splits)

    def unseen(self, splits: Sequence[str]) -> list[str]:
        """Those of `splits` on which gaps are claimed."""
        return [split for split in splits if split not in (self.reference, self.chosen_on)]

    def references(self, split: str) -> list[Reference]:
        """What `split` is compared with: splits of this task in distribution, matched in what it does not test."""
        return []

    def fitting_sources(self, training: Sequences, count: int, seed: int) -> Mapping[str, Sequences]:
        """What proxies may be fitted on beside the first `count` training sequences, by name; as much, or about as much."""
        return {}

    def read_split(self, file: Path) -> Split:
        """A further split from a file of the user's; `InputError` where the task has no such form."""
        raise InputError(f"{file}: a task of kind {self.kind!r} does not read sentences")

    def findings(self, study: Study) -> list[Cell]:
        """What is claimed about this task, tested on a study of it."""
        return []


TASKS: dict[str, type[Task]] = {}


def task_class(kind: str) -> type[Task]:
    """The task registered as `kind`; those of this package are loaded first. `InputError` names the ones there are."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    one_of("task", kind, TASKS)
    return TASKS[kind]
