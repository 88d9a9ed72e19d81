"""Corpora: functions of several languages, cut, filtered, freed of duplicates, and kept with a manifest.

A corpus is a table with a row a function: `language`, `package`, `path`, `code`. Its manifest says what it was made of; the
SHA-256 in it is that of the text, so that two machines can tell whether they have the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from lib.artifacts import check_regular, root, writing
from lib.errors import ArtifactError, InputError, one_of
from lib.provenance import code_of, digest_of, versions
from lib.tasks.code.codesearchnet import codesearchnet
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.sources import Package, directory, installed

FEWEST, MOST = 80, 2_000  # characters of a function
FILE_FUNCTIONS = 50  # at most so many of one file
NEAR = 0.8  # functions whose sets of five-token runs have this Jaccard similarity or more are near duplicates
CORPORA = {"installed": installed, "directory": directory, "codesearchnet": codesearchnet}
_PRINTABLE = re.compile(r"[\n -~]*")
_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Corpus:
    """Functions, and what they were made of."""

    functions: pd.DataFrame  # language, package, path, code
    manifest: dict

    @property
    def languages(self) -> list[str]:
        """The languages of which there are functions, in the order of `LANGUAGES`."""
        present = set(self.functions["language"])
        return [name for name in LANGUAGES if name in present]


def corpus(name: str, location: str, package_functions: int, language_functions: int) -> Corpus:
    """The corpus `name` from `location`, at most so many functions of one package and of one language.

    `installed` needs no location; `directory` names a folder or zip file; `codesearchnet` a folder with its files, or nothing
    for the hub. What was built once is read from `corpora/` in the artifacts folder, as long as its sources are the same.
    """
    key = digest_of([code_of(__name__), identity(name, location), package_functions, language_functions])
    path = root() / "corpora" / f"{name}-{key[:16]}.parquet"
    check_regular(path)
    if path.exists():
        return _read(path, path.stat().st_mtime_ns)
    made = harvest(name, CORPORA[name](location).packages(), package_functions, language_functions)
    made.functions.attrs = made.manifest
    with writing(path) as temporary:
        made.functions.to_parquet(temporary, index=False, compression="zstd")
    return made


def identity(name: str, location: str) -> dict:
    """What a corpus depends on besides limits and code, found without building it: its sources, and what cuts and compares."""
    one_of("corpus", name, CORPORA)
    grammars = sorted({known.package.replace("_", "-") for known in LANGUAGES.values()})
    return {"sources": CORPORA[name](location).identity, "versions": versions(("tree-sitter", "datasketch", *grammars))}


@lru_cache(maxsize=2)
def _read(path: Path, written: int) -> Corpus:
    """A corpus that was kept, as it was when it was `written`; every seed of a study asks for the same."""
    remedy = f"delete it, and it is made again: rm {shlex.quote(str(path))}"
    try:
        table = pd.read_parquet(path)
        whole = table.attrs["sha256"] == _sha256(table)
    except Exception as error:  # whatever damage does to the layers below
        raise ArtifactError(f"{path} cannot be read ({type(error).__name__}: {error}); {remedy}") from error
    if not whole:
        raise ArtifactError(f"{path} is damaged: its text is not what its manifest says; {remedy}")
    return Corpus(table, table.attrs)


def harvest(name: str, packages: Iterable[Package], package_functions: int, language_functions: int) -> Corpus:
    """Cut functions out of packages, leave out what is too short, too long, not ASCII, too many, or there already."""
    rows, kept, dropped = [], Counter(), Counter()
    origins: dict[str, dict[str, str]] = {}  # of each language, packages with their versions
    new = _Novelty()
    for package in tqdm(packages, desc=f"corpus {name}", unit="package", mininterval=1):
        if kept[package.language] >= language_functions:
            continue
        origins.setdefault(package.language, {})[package.name] = package.version
        for path, code in _sample(package, dropped):
            if kept[package.language, package.name] >= package_functions or kept[package.language] >= language_functions:
                break
            if reason := new.repeats(code):
                dropped[reason] += 1
                continue
            rows.append((package.language, package.name, path, code))
            kept.update([package.language, (package.language, package.name)])
    if not rows:
        raise InputError(
            f"corpus {name!r} holds no function of {FEWEST} to {MOST} printable ASCII characters: use other sources"
        )
    table = pd.DataFrame(rows, columns=["language", "package", "path", "code"])
    lengths = table["code"].str.len().groupby(table["language"], sort=False)
    manifest = {
        "corpus": name,
        "sha256": _sha256(table),
        "functions": lengths.size().to_dict(),
        "characters": lengths.sum().to_dict(),
        "versions": origins,
        "dropped": dict(sorted(dropped.items())),
    }
    return Corpus(table, manifest)


def _sample(package: Package, dropped: Counter) -> Iterator[tuple[str, str]]:
    """Usable functions of a package: of each file at most `FILE_FUNCTIONS`, which ones a hash of their text decides."""
    for path, functions in package.files():
        usable = []
        for code in map(normalize, functions):
            if reason := unusable(code):
                dropped[reason] += 1
            else:
                usable.append(code)
        usable.sort(key=lambda code: hashlib.sha256(code.encode()).digest())
        dropped["more of one file"] += max(0, len(usable) - FILE_FUNCTIONS)
        yield from ((path, code) for code in usable[:FILE_FUNCTIONS])


def normalize(code: str) -> str:
    """Line feeds between lines, four blanks for a tab, none at the end of a line: no language is told by its whitespace."""
    return "\n".join(line.rstrip() for line in code.expandtabs(4).splitlines()).strip("\n")


def unusable(code: str) -> str:
    """Why a function is left out, whatever others there are; empty if it is not."""
    if not FEWEST <= len(code) <= MOST:
        return "too short or too long"
    return "" if _PRINTABLE.fullmatch(code) else "not printable ASCII"


class _Novelty:
    """Tells whether a function, or one much like it, was seen before.

    Near duplicates are found with MinHash and locality-sensitive hashing (Broder 1997) over runs of five tokens.
    """

    def __init__(self):
        from datasketch import MinHash, MinHashLSH

        self.empty = MinHash(num_perm=64, seed=1, hashfunc=zlib.crc32)
        self.near = MinHashLSH(threshold=NEAR, num_perm=64)
        self.exact: set[str] = set()

    def repeats(self, code: str) -> str:
        """Why `code` is no news ("" if it is; then it is remembered)."""
        tokens = _TOKEN.findall(code)
        exact = " ".join(tokens)
        if exact in self.exact:
            return "exact duplicate"
        self.exact.add(exact)
        runs = {" ".join(tokens[i : i + 5]).encode() for i in range(max(1, len(tokens) - 4))}
        sketch = self.empty.copy()
        sketch.update_batch(sorted(runs))
        if self.near.query(sketch):
            return "near duplicate"
        self.near.insert(len(self.exact), sketch, check_duplication=False)
        return ""


def _sha256(functions: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for row in functions.itertuples(index=False, name=None):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()
