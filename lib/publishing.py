"""What is published: executed notebooks in `book/`, models and records in `published/`; and whether it still is what it says.

A record in `published/<preset>/notebooks/` holds what a published notebook depends on, part by part, and the checksums of all
files that belong to it. So anyone can tell, without having measured anything, what has changed since.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

from lib import book, presets, provenance, shipped
from lib.artifacts import first_difference, writing
from lib.cards import card
from lib.errors import ArtifactError, InputError
from lib.live import script
from lib.shipped import ROOT

BEGIN, END = "<!-- claims, as published: not to be edited by hand -->", "<!-- end of claims -->"
CURRENT, STALE, MISSING, DAMAGED = "current", "stale", "missing", "damaged"


class Item(NamedTuple):
    """Something that is published, or should be."""

    name: str
    file: str  # relative to the project
    state: str  # one of the four above
    why: str = ""  # what has changed, or is wrong, and what to do about it


def publish(preset: presets.Preset, models: bool = False) -> None:
    """Copy executed notebooks, figures and the models of live figures into the published book; refuses what is not current.

    With `models`, also the trained models of every seed, so that nobody has to train them again.
    """
    names = book.notebooks(preset)
    if left := [name for name in names if not book.is_executed(preset, name)]:
        remedy = f"run: python -m lib book --preset {shlex.quote(preset.given)}"
        raise ArtifactError(f"not executed, or not with what there is now: {', '.join(left)}; {remedy}")
    if models:
        ship(preset)
    book.add_figures(preset, book.PAGES)
    book.add_live(preset, book.PAGES)
    for name in names:
        executed, to = book.executed(preset, name), book.PAGES / f"{name}.ipynb"
        with writing(to) as temporary:
            shutil.copy(executed, temporary)
        files = [to, *(book.PAGES / script.FOLDER / pack for pack in book.packs_in(executed))]
        record = record_of(preset.name, name)
        record.path.parent.mkdir(parents=True, exist_ok=True)  # as paths go through it
        relative = [os.path.relpath(file, record.path.parent) for file in files]
        record.write(book.notebook_identity(preset, name), relative, {})
    write_claims(preset)
    for other in home().glob("*/notebooks/*.json"):
        if other.parent.parent.name != preset.name or other.stem not in names:
            other.unlink()


def write_claims(preset: presets.Preset) -> None:
    """Put the verdicts on all claims into the README, and how many models they rest on."""
    from lib.chapters.scorecard import Scorecard

    studies = [preset.study(name) for name in preset.claimed()]
    models = ", ".join(f"{study.name} {study.seeds}" for study in studies)
    said = f"As computed at preset `{preset.name}` (models: {models}):\n\n{Scorecard(studies).markdown()}"
    before, _, after = readme_parts()
    with writing(ROOT / "README.md") as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{said}{END}{after}", encoding="utf-8")
    with writing(home() / preset.name / "claims.md") as temporary:
        temporary.write_text(said, encoding="utf-8")


def readme_parts() -> tuple[str, str, str]:
    """The README before, between and after the marks of its table; `InputError` where it has lost them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"README.md has lost the marks of its table of claims: put {BEGIN} and {END} where it is to be")
    return before, table.removeprefix("\n"), after


def ship(preset: presets.Preset, tasks: Iterable[str] = ()) -> None:
    """Copy the trained models of a preset's experiments (of all that there are) to where they come with the repository."""
    studies = [preset.study(task) for task in tasks or preset.available()]
    for study in studies:
        for run in study.runs:
            shipped.ship(run.folder, run.identity, run.trained)
    with writing(home() / preset.name / "README.md") as temporary:
        temporary.write_text(card(preset, studies), encoding="utf-8")


def home() -> Path:
    """Where records and models are."""
    found = shipped.folder()
    if found is None:
        raise InputError(f"{shipped.VARIABLE} is empty, so nothing is published: unset it")
    return found


def record_of(preset: str, notebook: str) -> provenance.Record:
    """The record of a published notebook."""
    remedy = f"to bring it back: git -C {shlex.quote(str(ROOT))} checkout -- book published"
    return provenance.Record(home() / preset / "notebooks" / f"{notebook}.json", remedy)


def published() -> list[str]:
    """The presets of which something is published."""
    return sorted(path.name for path in home().iterdir() if path.is_dir()) if home().is_dir() else []


def models(preset: str) -> list[tuple[str, int]]:
    """The models of a preset that come with the repository: experiment and seed."""
    folders = [path.parent for path in home().glob(f"{glob.escape(preset)}/*/seed-*/config.json")]
    return sorted((folder.parent.name, int(folder.name.removeprefix("seed-"))) for folder in folders)


def status() -> Iterator[Item]:
    """All that is published, and whether it is current."""
    for name in published():
        if name not in presets.NAMES:
            file = os.path.relpath(home() / name, ROOT)
            yield Item(f"preset {name}", file, MISSING, "no preset of this name is in lib/presets")
            continue
        preset = presets.load(name)
        yield from _models(preset)
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


def _notebook(preset: presets.Preset, name: str) -> Item:
    record = record_of(preset.name, name)
    file = os.path.relpath(book.PAGES / f"{name}.ipynb", ROOT)
    if not record.path.exists():
        return Item(f"chapter {name}", file, MISSING, "execute it, and publish it: python -m lib publish")
    if wrong := record.damage():
        return Item(f"chapter {name}", file, DAMAGED, wrong)
    stored = record.identity()
    why = changed(stored, _as_it_would_be(preset, name, stored))
    return Item(f"chapter {name}", file, STALE if why else CURRENT, why)


def _claims(preset: presets.Preset) -> Item:
    """The table in the README: whether it is the one that was published with the notebooks."""
    path = home() / preset.name / "claims.md"
    if not path.exists():
        return Item("claims in README", "README.md", MISSING, "publish them: python -m lib publish")
    same = readme_parts()[1] == path.read_text(encoding="utf-8")
    return Item("claims in README", "README.md", *((CURRENT,) if same else (DAMAGED, "it was edited: python -m lib publish")))


def _as_it_would_be(preset: presets.Preset, name: str, stored: Mapping) -> dict:
    """What a notebook would depend on, were it executed now; of what is not part of the repository, as it was."""
    identity = book.notebook_identity(preset, name, list(preset.experiments))
    for task, now in identity["measured"].items():
        study, then = preset.study(task), stored["measured"].get(task)
        if then is None:
            continue
        now["tested_on"] = then.get("tested_on")
        if study.task.unavailable():
            now["training"]["data"] = then["training"].get("data")
        for run in study.runs:
            record, seed = shipped.record_of(run.folder), str(run.seed)
            files = record.read().get("files") if record else None
            now["weights"][seed] = files or then["weights"].get(seed)
    left_out = {t for t in identity["measured"] if t not in stored["measured"] and preset.experiments[t].task.unavailable()}
    measured = {task: now for task, now in identity["measured"].items() if task not in left_out}
    return identity | {"measured": measured, "reads": stored.get("reads")}


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
