"""HumanEval-X (Zheng et al. 2023), which is only ever tested on: the same functions in several languages."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lib.errors import InputError, looking_for, naming
from lib.tasks.code.corpora import normalize, unusable
from lib.tasks.code.files import lines, sha256_of_all
from lib.tasks.code.languages import Language, language

PREFIX = "humaneval_x/"  # of its splits' names, before the language


def folder() -> str:
    """The folder that the user named in `LIB_HUMANEVAL_X`; empty if none."""
    return os.path.expanduser(os.environ.get("LIB_HUMANEVAL_X", ""))


def identity(folder: str) -> str:
    """A SHA-256 of all that is read in the folder."""
    return sha256_of_all((file.name, file) for file in _files(folder))


def functions(folder: str) -> dict[str, dict[str, str]]:
    """Functions by language and problem number, from a folder with `humaneval_<language>.jsonl.gz` files.

    Only problems whose function is usable in every language are kept, so that all languages have the same ones.
    """
    found: dict[str, dict[str, str]] = {}
    for file in _files(folder):
        short = file.name.removeprefix("humaneval_").split(".")[0]
        with naming(file):
            known = language({"js": "javascript"}.get(short, short))
        problems = found.setdefault(known.name, {})
        for row in lines(file):
            number, code = _problem(row, known, file)
            if number in problems:
                raise InputError(f"{file}: problem {number} is there twice, here or in another file: fetch it again")
            problems[number] = "" if unusable(code) else code
    common = [n for n in set.intersection(*map(set, found.values())) if all(problems[n] for problems in found.values())]
    if not common:
        raise InputError(f"{folder} has no problem with a usable function in each of {', '.join(found)}: fetch it again")
    return {name: {number: problems[number] for number in sorted(common, key=int)} for name, problems in found.items()}


def _files(folder: str) -> list[Path]:
    with looking_for("LIB_HUMANEVAL_X", folder):
        files = [file for file in sorted(Path(folder).glob("humaneval_*.jsonl*")) if file.is_file()]
    if not files:
        raise InputError(
            f"LIB_HUMANEVAL_X is {folder!r}, which is no folder with humaneval_<language>.jsonl.gz files: name the folder of "
            f"HumanEval-X, or unset it"
        )
    return files


def _problem(row: dict, known: Language, file: Path) -> tuple[str, str]:
    """The number of a problem, and its function."""
    names = ("task_id", "declaration", "canonical_solution")
    if missing := [name for name in names if not isinstance(row.get(name), str)]:
        raise InputError(f"{file} lacks the field {missing[0]!r} as text (it has {', '.join(row)}): fetch it again")
    problem, declaration, solution = (row[name] for name in names)
    number = re.fullmatch(r".*/(\d+)", problem)
    if number is None:
        raise InputError(f"{file}: task_id is {problem!r}, but must end in a number, as in 'Python/0': fetch it again")
    return number[1], "\n\n".join(map(normalize, known.cut(declaration + solution)))
