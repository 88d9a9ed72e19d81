"""What follows from a run, but takes longer than a reader waits: computed once, and kept beside its measurements."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pandas as pd

from lib import provenance
from lib.artifacts import writing
from lib.errors import ArtifactError
from lib.runs import Run

T = TypeVar("T")


def _write(path: Path, table: pd.DataFrame) -> None:
    with writing(path) as temporary:
        table.to_parquet(temporary, index=False)


def derived(
    run: Run,
    name: str,
    identity: Mapping,
    compute: Callable[[], T],
    write: Callable[[Path, T], None] = _write,
    read: Callable[[Path], T] = pd.read_parquet,
) -> T:
    """What `compute` gives, kept in a run's folder as `<name>.parquet`; `identity` is all that it depends on, as plain values,
    but for versions of libraries.

    It is computed where it is not there, damaged or of something else. Where nothing can be written it is not kept. `write`
    and `read` are needed only for what is no `DataFrame`; `write` has to leave the file whole or not at all.
    """
    identity = {**identity, "versions": provenance.versions()}
    path = run.folder / f"{name}.json"
    record = provenance.Record(path, f"delete its record, and it is made again: rm {shlex.quote(str(path))}")
    with suppress(ArtifactError):  # of one that is damaged
        if record.is_current(identity):
            return read(record.verified(f"{name}.parquet"))
    found = compute()
    with suppress(ArtifactError, OSError):
        write(run.folder / f"{name}.parquet", found)
        record.write(identity, [f"{name}.parquet"], {})
    return found
