"""The code task: character windows of functions in one language to train on, and splits in that language and others.

`id` holds functions of packages that training saw nothing of; `seen_package` such of packages that it did see, held out; one
split a further language; and, where HumanEval-X is at hand, one for each of its languages, which hold the same functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.errors import InputError, whole_number
from lib.split import Dataset, Sequences, Split
from lib.tasks.code import humaneval
from lib.tasks.code.languages import CLASSES, WHITESPACE, language, repeated

if TYPE_CHECKING:
    from lib.tasks.code.task import CodeTask

PAD, START, FIRST_CHARACTER = 0, 1, 2
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
VOCABULARY = ("PAD", "START", *CHARACTERS)
_TOKEN_OF = np.zeros(128, np.int16)
_TOKEN_OF[[ord(c) for c in CHARACTERS]] = np.arange(FIRST_CHARACTER, len(VOCABULARY))


def dataset(task: CodeTask, seed: int) -> Dataset:
    """The data of a task. The seed draws the window of each evaluated function; training text is the same for all.

    Raises `InputError` where the corpus has too little of the training language, or nothing else.
    """
    whole_number("seed", seed, 0)
    parts = partition(task.load().functions, task)
    width = task.context + 1  # tokens of a window
    training = [window for code in parts.pop("training")["code"] for window in split_windows(encode(code), width)]
    rng = np.random.default_rng(seed)
    splits = {}
    for name, functions in parts.items():
        known = task.language if name in ("id", "seen_package") else name
        splits[name] = code_split(name, known, list(functions["code"]), width, rng, task.scored_characters)
    if not set(splits) - {"id", "seen_package"}:
        raise InputError(
            f"corpus {task.corpus!r} has {task.fewest_sequences} functions of no language but {task.language}: use "
            f"a corpus with a second language, or a preset of your own with a lower data.fewest_sequences"
        )
    if folder := humaneval.folder():
        for known, problems in humaneval.functions(folder).items():
            name = humaneval.PREFIX + known  # the same seed for each language, so that none is favoured by its windows
            drawn_by = np.random.default_rng(seed)
            splits[name] = code_split(name, known, list(problems.values()), width, drawn_by, task.scored_characters)
    return Dataset(VOCABULARY, width, Sequences.padded(_padded(training, width), PAD), splits)


def partition(functions: pd.DataFrame, task: CodeTask) -> dict[str, pd.DataFrame]:
    """The functions for training and of each split, as `training`, `id`, `seen_package`, and by language.

    Which packages are held out, and which functions of the others, is decided by hashes of their names and text, so that it
    does not depend on what else is in the corpus.
    """
    own = functions[functions["language"] == task.language]
    if own.empty:
        have = ", ".join(sorted(set(functions["language"]))) or "nothing"
        why = f"; {task.unavailable()}" * bool(task.unavailable())
        raise InputError(f"language is {task.language!r}, but corpus {task.corpus!r} has only {have}{why}")
    packages = sorted(set(own["package"]), key=_hash)
    held_out = set(packages[: max(1, round(task.held_out * len(packages)))])
    apart = own["package"].isin(held_out)
    rest = _by_hash(own[~apart])
    seen = rest.iloc[: min(task.split_sequences, len(rest) // 10)]
    parts = {
        "training": rest.iloc[len(seen) :],
        "id": _by_hash(own[apart]).iloc[: task.split_sequences],
        "seen_package": seen,
    }
    for name, part in parts.items():
        if len(part) < min(task.fewest_sequences, task.split_sequences):
            raise InputError(
                f"split {name!r} would have {len(part)} functions of {task.language} and needs {task.fewest_sequences}: "
                f"{len(own)} functions of {len(packages)} packages are too few; use a larger "
                f"corpus, or a preset of your own with a lower data.fewest_sequences"
            )
    for name, others in functions[functions["language"] != task.language].groupby("language"):
        if len(others) >= task.fewest_sequences:
            parts[name] = _by_hash(others).iloc[: task.split_sequences]
    return parts


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _by_hash(functions: pd.DataFrame) -> pd.DataFrame:
    return functions.iloc[np.argsort([_hash(code) for code in functions["code"]], kind="stable")]


def encode(code: str) -> np.ndarray:
    """START and the characters of a function as tokens [1 + characters]."""
    return np.concatenate([[START], _TOKEN_OF[np.frombuffer(code.encode("ascii"), np.uint8)]]).astype(np.int16)


def decode(tokens: Sequence[int]) -> str:
    """The text of tokens; START and padding have none."""
    return "".join(VOCABULARY[token] for token in tokens if token >= FIRST_CHARACTER)


def split_windows(tokens: np.ndarray, width: int) -> list[np.ndarray]:
    """A function's tokens in windows of at most `width`, each beginning with the last token of the one before.

    So every character is predicted in exactly one window.
    """
    return [tokens[start : start + width] for start in range(0, max(1, len(tokens) - 1), width - 1)]


def _padded(windows: Sequence[np.ndarray], width: int) -> np.ndarray:
    padded = np.zeros((len(windows), width), np.int16)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window)] = window
    return padded


def code_split(
    name: str, known: str, functions: Sequence[str], width: int, rng: np.random.Generator, most: int = 10_000
) -> Split:
    """A `Split` of one window (of at most `width` tokens) of each function, drawn by `rng`, as are its scored characters.

    At most `most` are scored of each window: those of one are much alike, and it takes time to score them. The covariate
    `character` says what kind of character is to be predicted (`CLASSES`).
    """
    chosen, classes = [], np.full((len(functions), width), WHITESPACE, np.int8)
    for row, (code, draw) in enumerate(zip(functions, rng.random(len(functions)), strict=True)):
        windows = split_windows(encode(code), width)
        index = int(draw * len(windows))
        window = windows[index]
        chosen.append(window)
        first = index * (width - 1)  # in the function, the first character that is predicted; the one before it is seen
        kinds = repeated(code, *language(known).classify(code), start=max(0, first - 1))
        classes[row, : len(window) - 1] = kinds[first : first + len(window) - 1]
    tokens = _padded(chosen, width)
    scored = np.pad(tokens[:, 1:] != PAD, ((0, 0), (0, 1)))
    if most < width - 1:
        order = np.where(scored, rng.random(scored.shape), 1).argsort(1)
        np.put_along_axis(scored, order[:, most:], False, 1)
    return Split(
        name=name,
        tokens=tokens,
        lengths=np.array([len(window) for window in chosen]),
        scored=scored,
        candidates=np.arange(FIRST_CHARACTER, len(VOCABULARY)),
        covariates={"character": classes},
        labels={"character": CLASSES},
    )
