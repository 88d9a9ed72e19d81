"""Where results are kept, and how they get there: whole or not at all.

    artifacts/<preset>/<task>/seed-<n>/     model.safetensors, config.json, training.csv, sequences.parquet
    artifacts/<preset>/<task>/faithfulness.parquet
    artifacts/corpora/<corpus>-<key>.parquet    functions that code tasks are made of

Every file is written under a temporary name and then renamed, so that no reader meets half of one and an interrupted run
leaves the previous state behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lib.errors import ArtifactError

if TYPE_CHECKING:
    import torch

_TEMPORARY = ".part"


def root() -> Path:
    """The artifacts folder: `LIB_ARTIFACTS` if that is set, else `artifacts` beside the package."""
    return Path(os.environ.get("LIB_ARTIFACTS") or Path(__file__).resolve().parent.parent / "artifacts")


def make_folder(folder: Path) -> Path:
    """Create `folder` and clear away what an interrupted write left in it; what another process is writing stays."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"*{_TEMPORARY}"):
            if not _is_running(leftover.name.split(".")[-2]):
                leftover.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"the folder {folder} cannot be used: {error.strerror}; make it writable or set LIB_ARTIFACTS to another folder"
        ) from error
    return folder


def _is_running(process: str) -> bool:
    """Whether the process with this number is running on this machine."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` if the block succeeds and removed if it does not.

    It is this process's own, so two processes that write the same file do not mix: the later one replaces it as a whole.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}{_TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written: {error.strerror or error}; free some space, make the folder writable, or set "
            f"LIB_ARTIFACTS to another folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Mapping) -> None:
    """Write `value` as indented JSON."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, remedy: str) -> dict:
    """Read a JSON object; `ArtifactError` names the file and the `remedy` where that is not possible."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({type(error).__name__}: {error}); {remedy}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds no JSON object; {remedy}")
    return value


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with writing(path) as temporary:
        temporary.write_bytes(save(contiguous, dict(metadata or {})))


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote: tensors and metadata; `ArtifactError` names the file and the `remedy` otherwise."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read as safetensors ({error}); {remedy}") from error


def first_difference(found: object, expected: object, name: str = "") -> str | None:
    """Say where two nested configurations differ, as `name is a instead of b`; None where they are equal."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in sorted({*found, *expected}, key=str):
            inner = f"{name}.{key}" if name else str(key)
            if difference := first_difference(found.get(key), expected.get(key), inner):
                return difference
        return None
    return None if found == expected else f"{name} is {found!r} instead of {expected!r}"
