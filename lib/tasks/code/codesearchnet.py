"""CodeSearchNet (Husain et al. 2019): functions by repository, from its published files or from the hub."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from lib.errors import InputError, naming
from lib.tasks.code.files import files_below, lines, sha256_of_all
from lib.tasks.code.languages import language
from lib.tasks.code.sources import Package, Sources

HUB = "code-search-net/code_search_net"
_FIELDS = (  # repository, path, text and language: as its own files call them, and as the hub does
    ("repo", "path", "original_string", "language"),
    ("repo", "path", "code", "language"),
    ("repository_name", "func_path_in_repository", "whole_func_string", "language"),
    ("repository_name", "func_path_in_repository", "func_code_string", "language"),
)


def codesearchnet(location: str) -> Sources:
    """All repositories in the files of a folder or, if `location` is empty, on the hub; in an order that means nothing.

    The hub is told by its name alone, as one cannot ask it without network.
    """
    if not location:
        return Sources(HUB, lambda: _repositories(_hub_rows()))
    folder = Path(os.path.expanduser(location))
    if not os.path.isdir(folder):
        raise InputError(
            f"location is {location!r}, which is no folder: name one with CodeSearchNet's .jsonl.gz or .parquet files"
        )
    files = files_below(folder, lambda name: name.endswith((".jsonl.gz", ".jsonl", ".parquet")))
    if not files:
        raise InputError(
            f"{folder} holds no .jsonl.gz or .parquet file (links are not followed): name the folder with CodeSearchNet's files"
        )
    return Sources(sha256_of_all(files), lambda: _repositories(_local_rows(file for _, file in files)))


def _repositories(rows: Iterable[tuple[dict, str]]) -> Iterator[Package]:
    grouped: dict[tuple[str, str], list[tuple[str, list[str]]]] = {}
    for row, origin in rows:
        repository, path, code, name = _values(row, origin)
        with naming(origin):
            grouped.setdefault((language(name).name, repository), []).append((path, [code]))
    for key in sorted(grouped, key=lambda key: hashlib.sha256(repr(key).encode()).digest()):
        yield Package(*key, "", lambda key=key: grouped[key])


def _values(row: dict, origin: str) -> list[str]:
    """Repository, path, text and language of a row, whatever they are called."""
    for names in _FIELDS:
        if all(name in row for name in names):
            return [str(row[name]) for name in names]
    wanted = " or ".join(map(", ".join, _FIELDS))
    raise InputError(f"{origin} lacks the fields of CodeSearchNet (it has {', '.join(row) or 'none'}; needed: {wanted})")


def _local_rows(files: Iterable[Path]) -> Iterator[tuple[dict, str]]:
    for file in files:
        for row in _parquet_rows(file) if file.suffix == ".parquet" else lines(file):
            yield row, str(file)


def _parquet_rows(file: Path) -> Iterator[dict]:
    import pyarrow
    import pyarrow.parquet

    try:
        opened = pyarrow.parquet.ParquetFile(file)
        known = [column for column in opened.schema_arrow.names if any(column in names for names in _FIELDS)]
        for batch in opened.iter_batches(columns=known):
            yield from batch.to_pylist()
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise InputError(f"{file} cannot be read as parquet ({error}): fetch it again") from None


def _hub_rows(functions: int = 60_000) -> Iterator[tuple[dict, str]]:
    """The first functions of each language on the hub, read as a stream."""
    from datasets import load_dataset

    for name in ("python", "javascript", "java", "go", "php", "ruby"):
        try:
            stream = load_dataset(HUB, name, split="train", streaming=True)
            yield from ((row, f"{HUB}, {name}") for row in islice(stream, functions))
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"CodeSearchNet cannot be read from the hub ({HUB}, {name}: {error}): without network, name a folder as "
                f"location that has its .jsonl.gz or .parquet files, or use corpus 'installed'"
            ) from error
