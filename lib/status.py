"""Whether what is published still is what it says: current, stale (and what has changed), damaged or missing.

A record holds what a published file depends on, part by part, and its checksum. So anyone can tell, without having measured
anything, what has changed since.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from lib import book, presets, shipped
from lib.artifacts import first_difference
from lib.provenance import Record
from lib.publishing import home, models, published, readme_parts, record_of, results_of
from lib.runs import Run
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
        if any((home() / name).glob("notebooks/*.json")) or (home() / name / "claims.md").exists():
            for notebook in sorted(path.stem for path in book.executing.NOTEBOOKS.glob("*.ipynb")):
                yield _notebook(preset, notebook)
            yield _claims(preset)


def _models(preset: presets.Preset) -> Iterator[Item]:
    """The models of every experiment of which any is published."""
    for task in dict.fromkeys(task for task, _ in models(preset.name)):
        for run in preset.study(task).runs:
            record, file = shipped.record_of(run.folder), home() / preset.name / task / run.folder.name
            yield _judged(f"model of {run.title}", record, file, partial(_as_trained_now, run), "lib ship")


def _as_trained_now(run: Run, stored: Mapping) -> dict:
    """What a model would depend on, were it trained now; of what it was trained on, as it was where that is not here."""
    return run.identity | ({"data": stored.get("data")} if run.experiment.task.unavailable() else {})


def _tables(preset: presets.Preset) -> Iterator[Item]:
    """The tables of results of every experiment that a published notebook shows, where there are any."""
    notebooks = (record_of(preset.name, name) for name in book.notebooks(preset, list(preset.experiments)))
    for task in dict.fromkeys(task for record in notebooks for task in record.identity().get("measured", ())):
        record, now = results_of(preset.name, task), partial(_as_measured_now, preset, task)
        yield _judged(f"results of {task}", record, record.path.with_suffix(".parquet"), now, "lib publish")


def _notebook(preset: presets.Preset, name: str) -> Item:
    now = partial(_as_executed_now, preset, name)
    return _judged(f"chapter {name}", record_of(preset.name, name), book.PAGES / f"{name}.ipynb", now, "lib publish")


def _judged(name: str, record: Record | None, file: Path, now: Callable[[Mapping], Mapping], command: str) -> Item:
    """Something that a record vouches for; `now` is what it would depend on if it were made now, given what it depended on."""
    shown = os.path.relpath(file, ROOT)
    if record is None or not record.path.exists():
        return Item(name, shown, MISSING, f"make it, and publish it: python -m {command}")
    if wrong := record.damage():
        return Item(name, shown, DAMAGED, wrong)
    stored = record.identity()
    why = changed(stored, now(stored))
    return Item(name, shown, STALE if why else CURRENT, why)


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
