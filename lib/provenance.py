"""What a result depends on, as one fingerprint, and how it is found again whole.

A result depends on configuration, data, the *code* of the modules that make it (without comments and docstrings), and the
versions of libraries whose numbers enter. A *record* beside the result's files has that fingerprint and the files' checksums.
The command line, the notebooks and the workflow all ask `Record`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from itertools import chain
from pathlib import Path

from lib.artifacts import check_regular, read_json, write_json
from lib.errors import ArtifactError, InputError

# These say what went wrong and where results are kept, and no number depends on them.
_NEUTRAL = {"lib.errors", "lib.artifacts", "lib.provenance", "lib.config"}
NUMERIC = ("torch", "numpy", "scipy", "scikit-learn")


def digest_of(value: object) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_of(*modules: str, called: bool = False) -> dict[str, str]:
    """Digests of the code of modules and of all in `lib` that they import when they are loaded, directly or not, by module.

    Comments, docstrings and layout do not count; what functions import when they are called does if `called` is true.
    """
    seen, wanted = set(_NEUTRAL), list(modules)
    digests: dict[str, list[str]] = {}
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            label, digest, loaded, later = _module(name)
            digests.setdefault(label, []).append(digest)
            wanted += loaded + later if called else loaded
    return {label: "+".join(sorted(of_label)) for label, of_label in sorted(digests.items())}


@cache
def _module(name: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """What a module is called wherever it lies, the digest of its code, and which modules of `lib` are loaded with it, and
    which later, by its functions.
    """
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded else _spec(name)
    origin = spec.origin if spec else getattr(loaded, "__file__", None)
    if origin is None:
        raise InputError(f"{name} has no file, so nobody could tell whether what it defines has changed: move it into a file")
    tree = ast.parse(Path(origin).read_text(encoding="utf-8"))
    package = spec.parent if spec else ""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    later = imported(chain.from_iterable(map(ast.walk, functions)), package)
    label = name if name.startswith("lib.") else Path(origin).name
    return label, _digest(tree), imported(tree.body, package), later


def imported(nodes: Iterable[ast.AST], package: str = "") -> tuple[str, ...]:
    """The modules of `lib` that import statements among some nodes of a syntax tree name."""
    found = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            of = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{of}.{alias.name}" for alias in node.names]
            found += [n if n.startswith("lib.") and _spec(n) else of for n in names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return tuple(name for name in dict.fromkeys(found) if name.startswith("lib."))


@cache
def code_in(file: Path) -> str:
    """Digest of the code of a Python file, as in `code_of`; nothing is imported for it."""
    return _digest(ast.parse(file.read_text(encoding="utf-8")))


def _digest(tree: ast.AST) -> str:
    return digest_of(_plain(tree))[:16]


def _plain(node: object) -> object:
    """A syntax tree as plain values, without texts that nothing uses (docstrings) and fields that only some Pythons have."""
    if isinstance(node, list):
        return [_plain(inner) for inner in node if not _is_text(inner)]
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *(field for field in fields if field[1] not in (None, []))]
    return node if node is None else repr(node)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, None if there is none of this name; neither it nor a package that it is in is loaded to find out.

    But for a folder without `__init__.py`: where that lies, Python tells once what it is in is loaded.
    """
    package = name.rpartition(".")[0]
    within = _spec(package) if package else None
    if not package or (within and within.origin is None):
        return importlib.util.find_spec(name)
    places = within.submodule_search_locations if within else None
    return PathFinder.find_spec(name, places) if places else None


def versions(packages: Iterable[str] = NUMERIC) -> dict[str, str]:
    """Versions of libraries whose numbers enter a result; without the suffix that says for which processor they were built."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    return metadata.version(package).partition("+")[0]


@dataclass(frozen=True)
class Record:
    """A result's record, `path`: a JSON file beside the files that it vouches for, and with a checksum of its own."""

    path: Path
    remedy: str  # what to do where something is wrong

    def read(self) -> dict:
        """What the record says; empty where there is none. `ArtifactError` where it cannot be read or a bit has changed."""
        if not self.path.exists():
            return {}
        content = read_json(self.path, self.remedy)
        if content.pop("sha256", None) != digest_of(content):
            raise ArtifactError(f"{self.path} is damaged: its checksum is not that of its content; {self.remedy}")
        return content

    def identity(self) -> dict:
        """What the result that is there depends on."""
        return {key: value for key, value in self.read().items() if key not in ("fingerprint", "files", "made")}

    def is_current(self, identity: Mapping) -> bool:
        """Whether there is a result of this identity. Its files are checked when they are read."""
        return self.read().get("fingerprint") == digest_of(identity)

    def write(self, identity: Mapping, files: Iterable[str], made: Mapping) -> None:
        """Vouch for `files` beside the record; `made` says with what they were made, on which nothing else depends. Unless it
        names a processor, as what was made elsewhere does, that was here.
        """
        sums = {name: checksum(self.path.parent / name) for name in files}
        here = {} if "processor" in made else machine()
        content = {"fingerprint": digest_of(identity), **identity, "files": sums, "made": {**here, **made}}
        write_json(self.path, {**content, "sha256": digest_of(content)})

    def missing(self) -> list[str]:
        """The record's files that are not there any more."""
        return [name for name in self.read().get("files", {}) if not (self.path.parent / name).exists()]

    def verified(self, name: str) -> Path:
        """A file that the record vouches for; `ArtifactError` where it is missing or is not what was written."""
        path = self.path.parent / name
        check_regular(path)
        try:
            found = checksum(path)
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing; {self.remedy}") from None
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read ({error.strerror}); {self.remedy}") from error
        if found != self.read().get("files", {}).get(name):
            raise ArtifactError(f"{path} is damaged: its checksum is not the one in {self.path.name}; {self.remedy}")
        return path

    def damage(self) -> str:
        """What is wrong with the record's files; empty if nothing is."""
        try:
            for name in self.read().get("files", {}):
                self.verified(name)
        except ArtifactError as error:
            return str(error)
        return ""


def machine() -> dict:
    """What results may differ by between machines: recorded, but no reason to make anything again."""
    made = {"python": platform.python_version(), "processor": platform.processor() or platform.machine()}
    if "torch" in sys.modules:
        import torch

        made |= {"torch": torch.__version__, "kernels": torch.backends.cpu.get_cpu_capability()}
    chosen = ("MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    return made | {name: os.environ[name] for name in chosen if name in os.environ}


@cache
def commit() -> str:
    """The commit that is checked out, with `-dirty` where files differ from it; empty where that cannot be told."""
    here = str(Path(__file__).resolve().parent)
    command = ["git", "-C", here, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
