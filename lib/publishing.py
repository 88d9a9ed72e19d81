"""Publishing: executed notebooks into `book/`; models, tables of results, and records of what all that depends on into
`published/`.
"""

from __future__ import annotations

import glob
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lib import book, presets, provenance, shipped
from lib.artifacts import writing
from lib.cards import card
from lib.errors import ArtifactError, InputError
from lib.live import kept, script
from lib.shipped import ROOT

BEGIN, END = "<!-- claims, as published: not to be edited by hand -->", "<!-- end of claims -->"


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
    for task in dict.fromkeys(task for shown in names.values() for task in shown):
        write_results(preset, task)
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


def write_results(preset: presets.Preset, task: str) -> None:
    """Write what was measured on whole splits of an experiment as a table, with a record."""
    study, record = preset.study(task), results_of(preset.name, task)
    table = pd.read_parquet(study.save())
    with writing(record.path.with_suffix(".parquet")) as temporary:
        table[table["group"] == ""].to_parquet(temporary, index=False, compression="zstd")
    record.write(study.identity(), [record.path.with_suffix(".parquet").name], {})


def ship(preset: presets.Preset, tasks: Iterable[str] = ()) -> None:
    """Copy the trained models of a preset's experiments (of all that there are) to where they come with the repository."""
    studies = [preset.study(task) for task in tasks or preset.available()]
    for study in studies:
        for run in study.runs:
            shipped.ship(run.folder, run.identity, run.trained)
        first = study.runs[0]
        if (arrays := kept.record_of(first)).is_current(identity := kept.identity_of(first)):
            shipped.ship(first.folder, identity, arrays)
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


def results_of(preset: str, task: str) -> provenance.Record:
    """The record of a published table of results."""
    path = home() / preset / task / "results.json"
    return provenance.Record(path, f"to bring it back: git -C {shlex.quote(str(ROOT))} checkout -- published")


def published() -> list[str]:
    """The presets of which something is published."""
    return sorted(path.name for path in home().iterdir() if path.is_dir()) if home().is_dir() else []


def models(preset: str) -> list[tuple[str, int]]:
    """The models of a preset that come with the repository: experiment and seed."""
    folders = [path.parent for path in home().glob(f"{glob.escape(preset)}/*/seed-*/config.json")]
    return sorted((folder.parent.name, int(folder.name.removeprefix("seed-"))) for folder in folders)
