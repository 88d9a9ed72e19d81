"""Files of the user's: regular ones, read whole and within limits, or refused by name."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from lib.errors import InputError
from lib.provenance import checksum, digest_of

MAX_RATIO = 200  # times that a compressed file may grow


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Name the file or folder that cannot be read in the block."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}): make it readable, or leave it out") from None


def bytes_of(path: Path) -> bytes:
    """What a file holds."""
    with reading(path):
        return path.read_bytes()


def files_below(folder: Path, wanted: Callable[[str], bool]) -> list[tuple[str, Path]]:
    """The regular files of a `wanted` name in a folder and those within: relative path, made text if it is none, and path.

    Links are not followed, and pipes, which never end, not read. `InputError` names a folder that cannot be read: were it
    left out, the corpus would silently be another.
    """
    found, folders = [], [folder]
    while folders:
        with reading(inner := folders.pop()), os.scandir(inner) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry))
                elif wanted(entry.name) and entry.is_file(follow_symlinks=False):
                    found.append(Path(entry))
    return sorted((path.relative_to(folder).as_posix().encode("utf-8", "replace").decode(), path) for path in found)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, which is read again only after it has changed."""
    with reading(path):
        state = path.stat()
        return _sha256(path, state.st_size, state.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    return checksum(path)


def sha256_of_all(files: Iterable[tuple[str, Path]]) -> str:
    """A SHA-256 of the names and contents of files."""
    return digest_of([[name, sha256_of(path)] for name, path in files])


def lines(path: Path) -> Iterator[dict]:
    """The JSON objects of a `.jsonl` or `.jsonl.gz` file, one a line; `InputError` names file, line and what is wrong."""
    number = 1
    try:
        limit = max(MAX_RATIO * path.stat().st_size, 1_000_000)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(limit + 1):
                limit -= len(line)
                if limit < 0:
                    raise ValueError(f"the file unpacks to more than {MAX_RATIO} times its size")
                value = json.loads(line)
                if b"\\ud" in line.lower():
                    json.dumps(value, ensure_ascii=False).encode()  # half a character is no text
                if not isinstance(value, dict):
                    raise ValueError(f"expected a JSON object, found {type(value).__name__}")
                yield value
                number += 1
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise InputError(f"{path}, line {number}, cannot be read ({error}): fetch it again") from None
