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
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from lib.artifacts import read_json, write_json
from lib.errors import ArtifactError

# These say what went wrong and where results are kept, and no number depends on them.
_NEUTRAL = {"lib", "lib.errors", "lib.artifacts", "lib.provenance", "lib.config"}
NUMERIC = ("torch", "numpy", "scipy", "scikit-learn")


def digest_of(value: object) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_of(*modules: str) -> str:
    """SHA-256 of the code of modules and of all in `lib` that they import when they are loaded, directly or not.

    Comments, docstrings and layout do not count, nor does what a function imports when it is called.
    """
    found: dict[str, str] = {}
    wanted = list(modules)
    while wanted:
        name = wanted.pop()
        if name not in found and name not in _NEUTRAL:
            code, imported = _module(name)
            found[name] = code
            wanted += imported
    return digest_of(found)


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """The code of a module, and which modules of `lib` it imports when it is loaded."""
    spec = importlib.util.find_spec(name) if name not in sys.modules else sys.modules[name].__spec__
    origin = spec.origin if spec else getattr(sys.modules[name], "__file__", None)
    tree = ast.parse(Path(origin).read_text(encoding="utf-8"))
    imported = []
    for node in tree.body:  # at the top only: what stands in a function or under TYPE_CHECKING is not loaded with the module
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            imported += [n if n.startswith("lib.") and _exists(n) else node.module for n in names]
        elif isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree), tuple(n for n in dict.fromkeys(imported) if n == "lib" or n.startswith("lib."))


@cache
def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def versions(packages: Iterable[str] = NUMERIC) -> dict[str, str]:
    """Versions of libraries whose numbers enter a result; without the suffix that says for which processor they were built."""
    return {package: metadata.version(package).partition("+")[0] for package in packages}


@dataclass(frozen=True)
class Record:
    """A result's record, `path`: a JSON file beside the files that it vouches for."""

    path: Path
    remedy: str  # what to do where something is wrong

    def read(self) -> dict:
        """What the record says; empty where there is none. `ArtifactError` where it cannot be read."""
        return read_json(self.path, self.remedy) if self.path.exists() else {}

    def is_current(self, identity: Mapping) -> bool:
        """Whether there is a result of this identity. Its files are checked when they are read."""
        return self.read().get("fingerprint") == digest_of(identity)

    def write(self, identity: Mapping, files: Iterable[str], made: Mapping) -> None:
        """Vouch for `files` beside the record; `made` says with what they were made, on which nothing else depends."""
        sums = {name: checksum(self.path.parent / name) for name in files}
        content = {"fingerprint": digest_of(identity), **identity, "files": sums, "made": {**machine(), **made}}
        write_json(self.path, content)

    def verified(self, name: str) -> Path:
        """A file that the record vouches for; `ArtifactError` where it is missing or is not what was written."""
        path = self.path.parent / name
        if not path.exists():
            raise ArtifactError(f"{path} is missing; {self.remedy}")
        if checksum(path) != self.read().get("files", {}).get(name):
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
