"""Sizes of the whole study, one file each: `smoke` (seconds, meaningless numbers), `quick` (minutes), `paper` (full size).

A preset is a TOML file with a table per experiment. A user writes one of their own: it may build on another with
`inherits = "quick"`, and name `plugins`, Python files with proxies, measures or tasks of their own. Within a preset an
experiment may build on another of it with `inherits`, too. Names are resolved here, for the command line and the notebooks.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

from lib.artifacts import root
from lib.config import checked, read_toml
from lib.errors import InputError, looking_for, naming, one_of
from lib.experiment import Experiment, MeasuringConfig
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.provenance import digest_of
from lib.proxies import PROXIES
from lib.studies import Study
from lib.tasks import task_class

_FOLDER = Path(__file__).parent
NAMES = ("smoke", "quick", "paper")
_TAKEN = (*NAMES, ".", "..", "corpora")  # in the artifacts folder
_NAME = re.compile(r"\w[\w.-]*")  # of an experiment
_OTHERS = ("notebooks", "figures", "book")  # in the folder of a preset
_SECTIONS = {"model": ModelConfig, "training": TrainingConfig, "measuring": MeasuringConfig}


@dataclass(frozen=True)
class Preset:
    """A size of the whole study: its experiments by name."""

    name: str  # of its folder of results, and in captions
    given: str  # what it is asked for by: a name or an absolute path
    experiments: Mapping[str, Experiment]

    @property
    def folder(self) -> Path:
        """Where its results are kept."""
        return root() / self.name

    def available(self, kind: str = "") -> list[str]:
        """The experiments (on a kind of task) whose data can be had on this machine."""
        known = self.experiments.items()
        return [name for name, e in known if kind in ("", e.task.kind) and not e.task.unavailable()]

    def claimed(self) -> list[str]:
        """The experiments on which claims are tested."""
        return [name for name in self.available() if self.experiments[name].claims]

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`. `<experiment>-<variant>` also is one where the task of <experiment> has that variant.

        `InputError` names those that there are.
        """
        base, _, variant = name.partition("-")
        if name not in self.experiments and base in self.experiments:
            task = self.experiments[base].task.variant(variant)
            if task is not None:
                return self.experiments[base].model_copy(update={"task": task})
        variants = {f"{base}-{v}" for base, e in self.experiments.items() if "-" not in base for v in e.task.variants()}
        one_of("task", name, [*self.experiments, *sorted(variants - {*self.experiments})])
        return self.experiments[name]

    def study(self, name: str, seeds: int | None = None, device: str = "auto", **options: str) -> Study:
        """The study of an experiment; `options`, those that are not empty, replace values of its task's configuration."""
        experiment = self.experiment(name)
        command = [name, "--preset", self.given]
        if given := {key: value for key, value in options.items() if value}:
            known = type(experiment.task).model_fields
            if unknown := [key for key in given if key not in known]:
                raise InputError(f"{unknown[0]} is {given[unknown[0]]!r}, but task {name!r} has no {unknown[0]}")
            task = checked(type(experiment.task), {**experiment.task.model_dump(), **given}, f"task {name!r}")
            experiment = experiment.model_copy(update={"task": task})
            name += "@" + "-".join(_called(key, value) for key, value in given.items())
            command += [word for key, value in given.items() for word in (f"--{key}", value)]
        return Study(name, experiment, self.folder / name, seeds, device, self.name, shlex.join(command))


def _called(option: str, value: str) -> str:
    """What stands for an option's value in the name of a study: of a path the last part."""
    with looking_for(option, value):
        return Path(value).resolve().stem if "/" in value else value


def load(preset: str) -> Preset:
    """The preset called so, or in the TOML file of that path; `InputError` says where a file is not as it should be."""
    path = Path(os.path.expanduser(preset) if isinstance(preset, str | os.PathLike) else "")
    if path.suffix != ".toml":
        one_of("preset", preset, (*NAMES, "the path of a file of your own, which ends in .toml"))
        path = _FOLDER / f"{preset}.toml"
    else:
        path = Path(os.path.abspath(path))
        preset = str(path)  # from here on, wherever it is used
        if path.stem in _TAKEN and path.resolve().parent != _FOLDER:
            raise InputError(f"preset {preset!r} is called {path.stem!r}, which is taken: give the file another name")
    tables, plugins = _read(path)
    own = sorted(set().union(*map(_import, plugins)))
    experiments = {}
    for name in tables:
        where = f"{path}, [{name}]"
        if not _NAME.fullmatch(name):
            raise InputError(f"{where}: an experiment's name is that of a folder: use letters, digits, '_', '.' and '-'")
        if name in _OTHERS:
            raise InputError(f"{where}: an experiment cannot be called {name!r}: its folder is that of something else")
        experiment = _experiment(name, tables, where)
        named = {p for grid in experiment.measuring.grid.values() for p in grid}
        with naming(where):
            experiments[name] = experiment.with_proxies([p for p in own if p not in named])
    return Preset(path.stem, preset, experiments)


def _read(path: Path, seen: tuple[Path, ...] = ()) -> tuple[dict, list[Path]]:
    """The experiments' tables of a file, over those that it inherits, and the plugins of all."""
    with looking_for("preset", path):
        path = path.resolve()
    if path in seen:
        raise InputError(f"{path} inherits from itself: {' from '.join(map(str, (*seen, path)))}")
    content = read_toml(path, "preset")
    inherits, plugins = content.pop("inherits", None), content.pop("plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise InputError(f"{path}: plugins is {plugins!r}, but must be a list of Python files")
    if wrong := next((key for key, value in content.items() if not isinstance(value, dict)), None):
        raise InputError(f"{path}: {wrong} is no table of an experiment, and no key that there is: inherits, plugins")
    files = [path.parent / os.path.expanduser(plugin) for plugin in plugins]
    if inherits is None:
        return content, files
    if not isinstance(inherits, str):
        raise InputError(f"{path}: inherits is {inherits!r}, but must be the name or the path of a preset")
    parent = _FOLDER / f"{inherits}.toml" if inherits in NAMES else path.parent / os.path.expanduser(inherits)
    below, of_parent = _read(parent, (*seen, path))
    return _merged(below, content), of_parent + files


def _merged(below: Mapping, above: Mapping) -> dict:
    """Nested tables on top of others; an empty table, and what is no table, replaces what is below."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and value and isinstance(below.get(key), Mapping)
        merged[key] = _merged(below[key], value) if both else value
    return merged


def _experiment(name: str, tables: Mapping, where: str) -> Experiment:
    """The experiment of a table, over the one of the same preset that it inherits."""
    content = _inherited(name, tables, where)
    unknown = set(content) - {"task", "data", "seeds", "claims", *_SECTIONS}
    if unknown:
        keys = ", ".join(("inherits", "task", "data", *_SECTIONS, "seeds", "claims"))
        raise InputError(f"{where}: {sorted(unknown)[0]} is no key that there is: use one of {keys}")
    parts = {}
    for section in ("data", *_SECTIONS):
        parts[section] = content.get(section, {})
        if not isinstance(parts[section], dict):
            raise InputError(f"{where}: {section} is {parts[section]!r}, but must be a table")
    with naming(where):
        kind = task_class(content.get("task"))
    task = checked(kind, parts["data"], f"{where}, data")
    configs = {section: checked(config, parts[section], f"{where}, {section}") for section, config in _SECTIONS.items()}
    rest = {key: content[key] for key in ("seeds", "claims") if key in content}
    return checked(Experiment, {"task": task, "seeds": 1, **configs, **rest}, where)


def _inherited(name: str, tables: Mapping, where: str, seen: tuple[str, ...] = ()) -> dict:
    if name in seen:
        raise InputError(f"{where} inherits from itself: {' from '.join((*seen, name))}")
    content = dict(tables[name])
    inherits = content.pop("inherits", None)
    if inherits is None:
        return content
    if not isinstance(inherits, str) or inherits not in tables:
        raise InputError(f"{where}: inherits is {inherits!r}, but must be one of: {', '.join(tables)}")
    return _merged(_inherited(inherits, tables, where, (*seen, name)), content)


def _import(file: Path) -> set[str]:
    """Load a Python file of the user's, once; the names of the proxies that it brings."""
    with looking_for("plugin", file):
        file = file.resolve()
    if file not in _PLUGINS:
        if not file.is_file():
            raise InputError(f"plugin {str(file)!r} does not exist")
        name = f"plugin_{file.stem}_{digest_of(str(file))[:8]}"
        spec = importlib.util.spec_from_file_location(name, file, loader=SourceFileLoader(name, str(file)))
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        before = dict(PROXIES)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise InputError(f"plugin {str(file)!r} cannot be loaded: {type(error).__name__}: {error}") from error
        _PLUGINS[file] = {proxy for proxy, of in PROXIES.items() if of is not before.get(proxy)}
    return _PLUGINS[file]


_PLUGINS: dict[Path, set[str]] = {}  # those that were loaded, and the proxies that each brought
