"""Whether what is published still is what it says: current, stale (and what has changed), damaged or missing.

A record holds what a published file depends on, part by part, and its checksum. So anyone can tell, without having measured
anything, what has changed since.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from textwrap import shorten
from typing import NamedTuple

from lib import book, presets, shipped
from lib.artifacts import first_difference
from lib.publishing import home, published, readme_parts, record_of, results_of
from lib.shipped import ROOT

CURRENT, STALE, MISSING, DAMAGED = "current", "stale", "missing", "damaged"


class Item(NamedTuple):
    """Something that is published, or should be."""

    name: str
    file: str  # relative to the project
    state: str  # one of the four above
    why: str = ""  # what has changed, or is wrong, and what to do about it


def status() -> Iterator[Item]:
    """All that is published, and whether it is current."""
    for name in published():
        if name not in presets.NAMES:
            file = os.path.relpath(home() / name, ROOT)
            yield Item(f"preset {name}", file, MISSING, "no preset of this name is in lib/presets")
            continue
        preset = presets.load(name)
        yield from _models(preset)
        yield from _tables(preset)
        if (home() / name / "notebooks").is_dir():
            for notebook in sorted(path.stem for path in book.executing.NOTEBOOKS.glob("*.ipynb")):
                yield _notebook(preset, notebook)
            yield _claims(preset)


def _models(preset: presets.Preset) -> Iterator[Item]:
    """The models of every experiment of which any is published."""
    for task in preset.experiments:
        folder = home() / preset.name / task
        for run in preset.study(task).runs if folder.is_dir() else ():
            path = folder / run.folder.name / run.trained.path.name
            name, file = f"model of {run.title}", os.path.relpath(path, ROOT)
            record = shipped.record_of(run.folder)
            if record is None or not record.path.exists():
                yield Item(name, file, MISSING, "train it, and publish it: python -m lib publish --models")
            elif wrong := record.damage():
                yield Item(name, file, DAMAGED, wrong)
            else:
                stored, now = record.identity(), run.identity
                if run.experiment.task.unavailable():  # what it was trained on is not here to be compared
                    now = now | {"data": stored.get("data")}
                why = changed(stored, now)
                yield Item(name, file, STALE if why else CURRENT, why)


def _tables(preset: presets.Preset) -> Iterator[Item]:
    """The tables of results of every experiment that a published notebook shows, where there are any."""
    notebooks = (record_of(preset.name, name) for name in book.notebooks(preset, list(preset.experiments)))
    for task in dict.fromkeys(task for record in notebooks for task in record.identity().get("measured", ())):
        record = results_of(preset.name, task)
        name, file = f"results of {task}", os.path.relpath(record.path.with_suffix(".parquet"), ROOT)
        if not record.path.exists():
            yield Item(name, file, MISSING, "publish it: python -m lib publish")
        elif wrong := record.damage():
            yield Item(name, file, DAMAGED, wrong)
        else:
            stored = record.identity()
            why = changed(stored, _as_measured_now(preset, task, stored))
            yield Item(name, file, STALE if why else CURRENT, why)


def _notebook(preset: presets.Preset, name: str) -> Item:
    record = record_of(preset.name, name)
    file = os.path.relpath(book.PAGES / f"{name}.ipynb", ROOT)
    if not record.path.exists():
        return Item(f"chapter {name}", file, MISSING, "execute it, and publish it: python -m lib publish")
    if wrong := record.damage():
        return Item(f"chapter {name}", file, DAMAGED, wrong)
    stored = record.identity()
    why = changed(stored, _as_executed_now(preset, name, stored))
    return Item(f"chapter {name}", file, STALE if why else CURRENT, why)


def _claims(preset: presets.Preset) -> Item:
    """The table in the README: whether it is the one that was published with the notebooks."""
    path = home() / preset.name / "claims.md"
    if not path.exists():
        return Item("claims in README", "README.md", MISSING, "publish them: python -m lib publish")
    same = readme_parts()[1] == path.read_text(encoding="utf-8")
    return Item("claims in README", "README.md", *((CURRENT,) if same else (DAMAGED, "it was edited: python -m lib publish")))


def _as_executed_now(preset: presets.Preset, name: str, stored: Mapping) -> dict:
    """What a notebook would depend on, were it executed now; of what is not part of the repository, as it was."""
    identity = book.notebook_identity(preset, name, list(preset.experiments))
    left_out = {t for t in identity["measured"] if t not in stored["measured"] and preset.experiments[t].task.unavailable()}
    measured = {
        task: _as_measured_now(preset, task, stored["measured"].get(task, {}))
        for task in identity["measured"]
        if task not in left_out
    }
    return identity | {"measured": measured, "reads": stored.get("reads")}


def _as_measured_now(preset: presets.Preset, task: str, stored: Mapping) -> dict:
    """What measurements of an experiment would depend on, were they made now of models that come with the repository; of what
    is not part of it (other models, sources that this machine may lack), as it was.
    """
    study = preset.study(task)
    now = study.identity()
    now["tested_on"] = stored.get("tested_on", now["tested_on"])
    if study.task.unavailable() and "training" in stored:
        now["training"]["data"] = stored["training"].get("data")
    for run in study.runs:
        record, seed = shipped.record_of(run.folder), str(run.seed)
        files = record.read().get("files") if record else None
        now["weights"][seed] = files or stored.get("weights", {}).get(seed)
    return now


def changed(stored: Mapping, now: Mapping) -> str:
    """Which ingredient differs, in words; empty if none does."""
    difference = first_difference(stored, now)
    if not difference:
        return ""
    part, _, rest = difference.partition(" is ")
    if part == "source":
        return "the notebook was edited"
    if ".weights." in part or part.startswith("weights"):
        return f"another model is shipped ({part})"
    if "code." in part:
        return f"the code of {part.partition('code.')[2]} has changed"
    then, _, now = rest.partition(" instead of ")
    return f"{part} was {shorten(then, 60)} and is {shorten(now, 60)}"
