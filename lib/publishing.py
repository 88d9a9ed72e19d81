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
from lib.answers import rests_on
from lib.artifacts import writing
from lib.cards import card
from lib.errors import ArtifactError, InputError
from lib.live import kept, script
from lib.shipped import ROOT

BEGIN, END = "<!-- claims, as published: not to be edited by hand -->", "<!-- end of claims -->"


def publish(preset: presets.Preset) -> None:
    """Put a preset's executed notebooks, figures and live models into the published book, in place of those of another preset,
    with tables of results and records; refuses what is not current.
    """
    names = book.notebooks(preset)
    if left := [name for name in names if not book.is_executed(preset, name)]:
        remedy = f"run: python -m lib book --preset {shlex.quote(preset.given)}"
        raise ArtifactError(f"not executed, or not with what there is now: {', '.join(left)}; {remedy}")
    said = claims_of(preset)  # what takes time comes first, so that nothing is replaced before all is there
    tables = {task: results_table(preset, task) for task in dict.fromkeys(t for shown in names.values() for t in shown)}
    before, _, after = readme_parts()
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
    for task, content in tables.items():
        record = results_of(preset.name, task)
        with writing(record.path.with_suffix(".parquet")) as temporary:
            temporary.write_bytes(content)
        record.write(preset.study(task).identity(), [record.path.with_suffix(".parquet").name], {})
    for path, text in (
        (ROOT / "README.md", f"{before}{BEGIN}\n{said}{END}{after}"),
        (home() / preset.name / "claims.md", said),
    ):
        with writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for pattern in ("notebooks/*.json", "*/results.*", "claims.md"):
        for old in home().glob(f"*/{pattern}"):
            if not old.is_relative_to(home() / preset.name):
                old.unlink()


def claims_of(preset: presets.Preset) -> str:
    """The verdicts on all claims for the README, and how many models they rest on."""
    from lib.chapters.scorecard import Scorecard

    studies = [preset.study(name) for name in preset.claimed()]
    models = "; ".join(f"{study.name}: {rests_on(study.seeds)}" for study in studies)
    return f"As computed at preset `{preset.name}` ({models}):\n\n{Scorecard(studies).markdown()}"


def readme_parts() -> tuple[str, str, str]:
    """The README before, between and after the marks of its table; `InputError` where it has lost them."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{path} has lost the marks of its table of claims: put {BEGIN} and {END} where it is to be")
    return before, table.removeprefix("\n"), after


def results_table(preset: presets.Preset, task: str) -> bytes:
    """What was measured on whole splits of an experiment, as a file of parquet."""
    table = pd.read_parquet(preset.study(task).save())
    return table[table["group"] == ""].to_parquet(index=False, compression="zstd")


def ship(preset: presets.Preset, tasks: Iterable[str] = ()) -> None:
    """Copy the trained models of all seeds of a preset's experiments to where they come with the repository, and fitted proxies
    of those on which pages open: the first seed, of experiments that vary no other one. Of all that there are, unless `tasks`
    says of which.
    """
    for task in tasks or preset.available():
        study = preset.study(task)
        for run in study.runs:
            shipped.ship(run.folder, run.identity, run.trained)
        first = study.runs[0]
        if "-" not in task and (arrays := kept.record_of(first)).is_current(identity := kept.identity_of(first)):
            shipped.ship(first.folder, identity, arrays)
    known = [preset.study(task) for task in dict.fromkeys(task for task, _ in models(preset.name))]
    with writing(home() / preset.name / "README.md") as temporary:
        temporary.write_text(card(preset, known), encoding="utf-8")


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
    """The presets of which something is published; git leaves folders behind in which nothing is any more."""
    return sorted({path.relative_to(home()).parts[0] for path in home().glob("*/**/*") if path.is_file()})


def models(preset: str) -> list[tuple[str, int]]:
    """The models of a preset that come with the repository: experiment and seed."""
    folders = [path.parent for path in home().glob(f"{glob.escape(preset)}/*/seed-*/config.json")]
    return sorted((folder.parent.name, int(folder.name.removeprefix("seed-"))) for folder in folders)
