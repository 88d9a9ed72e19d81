"""Where results are kept, and how they get there: whole or not at all.

    artifacts/<preset>/<task>/seed-<n>/     config.json, model.safetensors, snapshots.safetensors, training.csv,
                                            measurements.json, measurements.parquet, along_training.parquet,
                                            proxies.json, proxies.safetensors; foreseen, projections (dyck) and scores
                                            (code), each .json and .parquet, once a chapter has asked for them
    artifacts/<preset>/<task>/faithfulness.parquet, and faithfulness.json that vouches for it
    artifacts/corpora/<corpus>-<key>.parquet    functions that tasks on source code are made of

Every file is written under a temporary name and then renamed, so that no reader meets half of one and an interrupted run
leaves the previous state behind.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lib.errors import ArtifactError, InputError, looking_for

if TYPE_CHECKING:
    import torch

_TEMPORARY = ".part"
_REMEDIES = {  # where a file cannot be written, by the system's reason
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make the folder writable"),
}
_IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)


def root() -> Path:
    """The artifacts folder: `LIB_ARTIFACTS` if that is set, else `artifacts` beside the package."""
    given = os.environ.get("LIB_ARTIFACTS")
    if not given:
        return Path(__file__).resolve().parent.parent / "artifacts"
    with looking_for("LIB_ARTIFACTS", given):
        folder = Path(given).expanduser()
        folder.resolve().exists()  # links in a circle, a name too long, a closed folder: named here, not where it is used
    return folder


def _lock(file: int, wait: bool = False) -> bool:
    """Take the system's lock on an open file; False if somebody else has it. It goes with its owner, however that ends."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except ImportError:  # Windows: nothing is cleared there
        return False
    except OSError:
        return False
    return True


def _clear(folder: Path, name: str) -> None:
    """Remove what interrupted writes of a file left; what somebody is writing, here or in another container, is locked."""
    leftovers = [p for p in folder.iterdir() if p.name.startswith(f"{name}.") and p.name.endswith(_TEMPORARY)]
    for leftover in leftovers:
        with suppress(OSError), leftover.open("rb") as file:
            if _lock(file.fileno()):
                leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> tuple[BinaryIO, Path]:
    """A new locked file beside `path`, open for as long as somebody writes there, and its name."""
    while True:
        handle, name = tempfile.mkstemp(_TEMPORARY, f"{path.name}.", path.parent)
        file = os.fdopen(handle, "rb")
        _lock(handle, wait=True)  # somebody who is about to clear it has it for a moment
        if os.path.exists(name):  # else that is what happened
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(name, 0o666 & ~umask)  # as any file; `mkstemp` lets only its owner read
            return file, Path(name)
        file.close()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to `path` if the block succeeds and removed if it does not.

    It is this writer's own, so two that write the same file do not mix: the later one replaces it as a whole.
    """
    file = temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path.parent, path.name)
        file, temporary = _temporary(path)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno, "free some space, make the folder writable")
        remedy = f"{remedy}, or set LIB_ARTIFACTS to another folder"
        if error.errno in _IN_THE_WAY:
            remedy = f"set LIB_ARTIFACTS to another folder, or {_moving(path)}"
        raise ArtifactError(f"{path} cannot be written: {error.strerror or error}; {remedy}") from error
    finally:
        if file:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            file.close()


def _moving(path: Path) -> str:
    """The command that moves away what stands where a file, or a folder on the way to it, should be."""
    there = next(str(p) for p in (path, *path.absolute().parents) if os.path.lexists(p))
    return f"move away what is there instead: mv {shlex.quote(there)} {shlex.quote(f'{there}.old')}"


def check_regular(path: Path) -> None:
    """Raise `ArtifactError` for what is there and no file: a folder, or a pipe or a device, which may never end."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ArtifactError(f"{path} is no regular file; {_moving(path)}")


def check_folder(argument: str, folder: Path) -> None:
    """Raise `InputError` where nothing can be written into a folder, whether it is there already or still to be made."""
    with looking_for(argument, folder):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise InputError(f"{argument} is {str(folder)!r}, but {str(there)!r} is a file: name a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"{argument} is {str(folder)!r}, but nothing may be written to {str(there)!r}: name another")


def write_json(path: Path, value: Mapping) -> None:
    """Write `value` as indented JSON."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, remedy: str) -> dict:
    """Read a JSON object; `ArtifactError` names the file and the `remedy` where that is not possible."""
    check_regular(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({type(error).__name__}: {error}); {remedy}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds no JSON object; {remedy}")
    return value


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, with a checksum of tensors and metadata."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    known = dict(metadata or {})
    with writing(path) as temporary:
        temporary.write_bytes(save(contiguous, {**known, _CHECKSUM: _checksum(contiguous, known)}))


def read_tensors(path: Path, remedy: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote: tensors and metadata.

    `ArtifactError` names the file and the `remedy` where that is not possible, or where a bit of it has changed.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError, RuntimeError) as error:  # the last by PyTorch, which opens it again, and it may be gone
        raise ArtifactError(f"{path} cannot be read as safetensors ({error}); {remedy}") from error
    if metadata.pop(_CHECKSUM, None) != _checksum(tensors, metadata):
        raise ArtifactError(f"{path} is damaged: its checksum is not that of its content; {remedy}")
    return tensors, metadata


_CHECKSUM = "sha256"


def _checksum(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    import torch

    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def first_difference(found: object, expected: object, name: str = "") -> str | None:
    """Say where two nested configurations differ, as `name is a instead of b`; None where they are equal."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in sorted({*found, *expected}, key=str):
            inner = f"{name}.{key}" if name else str(key)
            if difference := first_difference(found.get(key), expected.get(key), inner):
                return difference
        return None
    return None if found == expected else f"{name} is {found!r} instead of {expected!r}"
