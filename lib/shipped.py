"""Trained models that come with the repository, in `published/<preset>/<experiment>/seed-<n>/`: taken, not trained again.

Each is of one identity: of another configuration, data, code or libraries, it is not taken, and the model is trained instead.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from lib import artifacts, provenance
from lib.errors import ArtifactError, InputError, looking_for

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "LIB_PUBLISHED"  # the folder, where it is another one; empty: nothing is taken, all is trained
MODEL = "config.json"  # the record of a model
_MARK = "shipped"  # in the record of a model that was taken


def folder() -> Path | None:
    """Where the models are; None if none is to be taken."""
    given = os.environ.get(VARIABLE)
    if given is None:
        return ROOT / "published"
    if not given:
        return None
    with looking_for(VARIABLE, given):
        home = Path(given).expanduser()
        home.resolve().exists()
    return home


def record_of(run: Path, name: str = MODEL) -> provenance.Record | None:
    """The record called so of what is shipped for the run that is kept in a folder of artifacts; None where nothing is."""
    home = folder()
    try:
        relative = run.resolve().relative_to(artifacts.root().resolve())
    except ValueError:  # results of a study that somebody keeps elsewhere
        return None
    if home is None or not (home / relative).is_dir():
        return None
    remedy = f"to bring it back: git -C {shlex.quote(str(ROOT))} checkout -- {shlex.quote(str(home / relative))}"
    return provenance.Record(home / relative / name, remedy)


def unwanted(record: provenance.Record) -> bool:
    """Whether a model was taken from there and none is to be."""
    return folder() is None and bool(record.read().get("made", {}).get(_MARK))


def take(run: Path, identity: Mapping, record: provenance.Record, data: str | None = None) -> bool:
    """Copy what a run's `record` is to vouch for into its folder; False where there is none of this identity.

    With `data`, the fingerprint of training data, only one that was trained on these.
    `ArtifactError` names a shipped file that is missing or damaged, and the command that brings it back.
    """
    shipped = record_of(run, record.path.name)
    if shipped is None:
        return False
    if not shipped.path.exists() and shipped.path.name == MODEL:
        raise ArtifactError(f"{shipped.path} is missing; {shipped.remedy}")
    if not shipped.is_current(identity):
        return False
    content = shipped.read()
    if data not in (None, content["made"].get("data")):
        return False
    _copy(shipped, content["files"], run)
    record.write(identity, content["files"], {**content["made"], _MARK: True})
    return True


def ship(run: Path, identity: Mapping, record: provenance.Record) -> Path:
    """Copy what a run's `record` vouches for to where models are that come with the repository; returns the folder."""
    home = folder()
    if home is None:
        raise InputError(f"{VARIABLE} is empty, so nothing can be published there: unset it")
    if not record.is_current(identity):
        raise ArtifactError(f"{record.path} is missing, or of something else; {record.remedy}")
    content, to = record.read(), home / run.resolve().relative_to(artifacts.root().resolve())
    made = {key: value for key, value in content["made"].items() if key != _MARK}
    _copy(record, content["files"], to)
    provenance.Record(to / record.path.name, record.remedy).write(identity, content["files"], made)
    return to


def _copy(record: provenance.Record, names: Iterable[str], to: Path) -> None:
    """Copy files that a record vouches for, once all of them are found to be whole."""
    for file in [record.verified(name) for name in names]:
        with artifacts.writing(to / file.name) as temporary:
            shutil.copyfile(file, temporary)
