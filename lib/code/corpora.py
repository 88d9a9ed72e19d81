"""Corpora: functions of several languages, cut, filtered, freed of duplicates, and kept with a manifest.

A corpus is a table with a row a function: `language`, `package`, `path`, `code`. Its manifest says what it was made of; the
SHA-256 in it is that of the text, so that two machines can tell whether they have the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from lib.artifacts import root, writing
from lib.code.languages import LANGUAGES, language
from lib.code.sources import INSTALLED, Package, directory_packages, installed_packages, jdk_sources, lines
from lib.errors import ArtifactError, InputError, naming, one_of

FEWEST, MOST = 80, 2_000  # characters of a function
FILE_FUNCTIONS = 50  # at most so many of one file
NEAR = 0.8  # functions whose sets of five-token runs have this Jaccard similarity or more are near duplicates
HUB = "code-search-net/code_search_net"
_FORMAT = 3  # part of the cache's key: raise it when the same sources give another corpus
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
    one_of("corpus", name, _CORPORA)
    packages, versions = _CORPORA[name]
    key = [_FORMAT, name, versions(location), package_functions, language_functions, _grammars()]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = root() / "corpora" / f"{name}-{digest[:16]}.parquet"
    if path.exists():
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); delete it, and it is made again") from error
        return Corpus(table, table.attrs)
    made = harvest(name, packages(location), package_functions, language_functions)
    made.functions.attrs = made.manifest
    with writing(path) as temporary:
        made.functions.to_parquet(temporary, index=False, compression="zstd")
    return made


def harvest(name: str, packages: Iterable[Package], package_functions: int, language_functions: int) -> Corpus:
    """Cut functions out of packages, leave out what is too short, too long, not ASCII, too many, or there already."""
    rows, kept, dropped = [], Counter(), Counter()
    versions: dict[str, dict[str, str]] = {}
    new = _Novelty()
    for package in tqdm(packages, desc=f"corpus {name}", unit="package", mininterval=1):
        if kept[package.language] >= language_functions:
            continue
        versions.setdefault(package.language, {})[package.name] = package.version
        for path, code in _sample(package, dropped):
            if kept[package.language, package.name] >= package_functions or kept[package.language] >= language_functions:
                break
            if reason := new.repeats(code):
                dropped[reason] += 1
                continue
            rows.append((package.language, package.name, path, code))
            kept[package.language, package.name] += 1
            kept[package.language] += 1
    if not rows:
        raise InputError(
            f"corpus {name!r} holds no function of {FEWEST} to {MOST} printable ASCII characters: use other sources"
        )
    table = pd.DataFrame(rows, columns=["language", "package", "path", "code"])
    manifest = {
        "corpus": name,
        "sha256": _sha256(table.itertuples(index=False, name=None)),
        "functions": {name: int(n) for name, n in table["language"].value_counts(sort=False).items()},
        "characters": {
            name: int(n) for name, n in table["code"].str.len().groupby(table["language"], sort=False).sum().items()
        },
        "versions": versions,
        "dropped": dict(sorted(dropped.items())),
    }
    return Corpus(table, manifest)


def _sample(package: Package, dropped: Counter) -> Iterator[tuple[str, str]]:
    """Usable functions of a package: of each file at most `FILE_FUNCTIONS`, which ones a hash of their text decides."""
    for path, functions in package.files():
        usable = []
        for code in map(normalize, functions):
            if not FEWEST <= len(code) <= MOST:
                dropped["too short or too long"] += 1
            elif not _PRINTABLE.fullmatch(code):
                dropped["not printable ASCII"] += 1
            else:
                usable.append(code)
        usable.sort(key=lambda code: hashlib.sha256(code.encode()).digest())
        dropped["more of one file"] += max(0, len(usable) - FILE_FUNCTIONS)
        yield from ((path, code) for code in usable[:FILE_FUNCTIONS])


def normalize(code: str) -> str:
    """Line feeds between lines, four blanks for a tab, none at the end of a line: no language is told by its whitespace."""
    return "\n".join(line.rstrip() for line in code.expandtabs(4).splitlines()).strip("\n")


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


def _sha256(rows: Iterable[tuple]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _grammars() -> dict[str, str]:
    """Versions of what cuts and compares functions."""
    packages = ("tree-sitter", "datasketch", *sorted({known.package.replace("_", "-") for known in LANGUAGES.values()}))
    return {package: metadata.version(package) for package in packages}


# The corpora, each with what its cache depends on


def _installed(location: str) -> Iterator[Package]:
    if location:
        raise InputError(
            f"corpus 'installed' takes no location, but it is {location!r}: use corpus 'directory' for other sources"
        )
    return installed_packages()


def _installed_versions(location: str) -> dict:
    found = {package: _version(package) for packages in INSTALLED.values() for package in packages}
    archive = jdk_sources()
    return {**found, "jdk": _stat(archive) if archive else None}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _stat(path: Path) -> list:
    stat = path.stat()
    return [str(path), stat.st_size, stat.st_mtime_ns]


def _files_below(location: str) -> list:
    path = Path(location)
    if not location or not path.exists():
        return []
    return [_stat(file) for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [_stat(path)]


# The two field sets in which CodeSearchNet is published: repository, path, text, language.
_FIELDS = (
    ("repo", "path", ("original_string", "code"), "language"),
    ("repository_name", "func_path_in_repository", ("whole_func_string", "func_code_string"), "language"),
)


def _codesearchnet(location: str) -> Iterator[Package]:
    """CodeSearchNet by repository, from local files or from the hub."""
    rows = _local_rows(Path(location)) if location else _hub_rows()
    grouped: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row, origin in rows:
        repository, path, code, name = _fields(row, origin)
        with naming(origin):
            grouped.setdefault((language(name).name, repository), []).append((path, code))
    for (name, repository), functions in sorted(grouped.items(), key=lambda item: _shuffled(*item[0])):
        yield Package(name, repository, "", lambda f=functions: ((path, [code]) for path, code in f))


def _shuffled(*key: str) -> bytes:
    return hashlib.sha256(repr(key).encode()).digest()


def _fields(row: dict, origin: str) -> tuple[str, str, str, str]:
    for repository, path, texts, name in _FIELDS:
        text = next((text for text in texts if text in row), None)
        if text and repository in row and path in row and name in row:
            return tuple(str(row[field]) for field in (repository, path, text, name))
    wanted = " or ".join(", ".join((r, p, " or ".join(t), n)) for r, p, t, n in _FIELDS)
    raise InputError(f"{origin} lacks the fields of CodeSearchNet (it has {', '.join(row) or 'none'}; needed: {wanted})")


def _local_rows(folder: Path) -> Iterator[tuple[dict, str]]:
    if not folder.is_dir():
        raise InputError(
            f"location is {str(folder)!r}, which is no folder: name one with CodeSearchNet's .jsonl.gz or .parquet files"
        )
    files = sorted(file for file in folder.rglob("*") if file.name.endswith((".jsonl.gz", ".jsonl", ".parquet")))
    if not files:
        raise InputError(f"{folder} holds no .jsonl.gz or .parquet file: name the folder with CodeSearchNet's files")
    for file in files:
        if file.suffix == ".parquet":
            yield from ((row, str(file)) for row in _parquet_rows(file))
        else:
            yield from ((row, str(file)) for row in lines(file))


def _parquet_rows(file: Path) -> Iterator[dict]:
    import pyarrow
    import pyarrow.parquet

    try:
        opened = pyarrow.parquet.ParquetFile(file)
        known = [c for c in opened.schema_arrow.names if any(c in (r, p, *t, n) for r, p, t, n in _FIELDS)]
        for batch in opened.iter_batches(columns=known):
            yield from batch.to_pylist()
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise InputError(f"{file} cannot be read as parquet ({error}): fetch it again") from None


def _hub_rows(functions: int = 60_000) -> Iterator[tuple[dict, str]]:
    """The first functions of each language on the hub, read as a stream."""
    from itertools import islice

    from datasets import load_dataset

    for name in ("python", "javascript", "java", "go", "php", "ruby"):
        try:
            stream = load_dataset(HUB, name, split="train", streaming=True)
            yield from ((row, f"{HUB}, {name}") for row in islice(stream, functions))
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"CodeSearchNet cannot be read from the hub ({HUB}, {name}: {error}): without network, name a folder as "
                f"location that has its .jsonl.gz or .parquet files, or use corpus 'installed'"
            ) from error


_CORPORA: dict[str, tuple[Callable[[str], Iterable[Package]], Callable[[str], object]]] = {
    "installed": (_installed, _installed_versions),
    "directory": (directory_packages, _files_below),
    "codesearchnet": (_codesearchnet, _files_below),
}
CORPORA = tuple(_CORPORA)


# HumanEval-X is only ever tested on


def humaneval_x(folder: str) -> dict[str, dict[str, str]]:
    """Functions of HumanEval-X by language and problem number, from a folder with `humaneval_<language>.jsonl.gz` files.

    Only problems whose function is usable in every language are kept, so that all languages have the same ones.
    """
    path = Path(folder)
    files = sorted(path.glob("humaneval_*.jsonl*")) if path.is_dir() else []
    if not files:
        raise InputError(
            f"LIB_HUMANEVAL_X is {folder!r}, which is no folder with humaneval_<language>.jsonl.gz files: name the folder of "
            f"HumanEval-X, or unset it"
        )
    found: dict[str, dict[str, str]] = {}
    for file in files:
        short = file.name.removeprefix("humaneval_").split(".")[0]
        with naming(file):
            known = language({"js": "javascript"}.get(short, short))
        problems = found.setdefault(known.name, {})
        for row in lines(file):
            names = ("task_id", "declaration", "canonical_solution")
            if missing := [name for name in names if not isinstance(row.get(name), str)]:
                raise InputError(f"{file} lacks the field {missing[0]!r} as text (it has {', '.join(row)}): fetch it again")
            problem, *parts = (row[name] for name in names)
            number = re.fullmatch(r".*/(\d+)", problem)
            if number is None:
                raise InputError(f"{file}: task_id is {problem!r}, but must end in a number, as in 'Python/0': fetch it again")
            code = "\n\n".join(map(normalize, known.cut("".join(parts))))
            if FEWEST <= len(code) <= MOST and _PRINTABLE.fullmatch(code):
                problems[number[1]] = code
    common = set.intersection(*(set(problems) for problems in found.values()))
    if not common:
        raise InputError(f"{folder} has no problem with a usable function in each of {', '.join(found)}: fetch it again")
    return {name: {number: problems[number] for number in sorted(common, key=int)} for name, problems in found.items()}
