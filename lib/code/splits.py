"""The code task: character windows of functions in one language to train on, and splits in that language and others.

`id` holds functions of packages that training saw nothing of; `seen_package` such of packages that it did see, held out; one
split a further language; and, where HumanEval-X is at hand, one for each of its languages, which hold the same functions.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lib.code.corpora import CORPORA, Corpus, corpus, humaneval_x
from lib.code.languages import CLASSES, WHITESPACE, language, repeated
from lib.errors import InputError, one_of, whole_number
from lib.split import Split, Task

PAD, START, FIRST_CHARACTER = 0, 1, 2
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
VOCABULARY = ("PAD", "START", *CHARACTERS)
_TOKEN_OF = np.zeros(128, np.int16)
_TOKEN_OF[[ord(c) for c in CHARACTERS]] = np.arange(FIRST_CHARACTER, len(VOCABULARY))


@dataclass(frozen=True)
class CodeConfig:
    """Which corpus, and what is made of it."""

    corpus: str = "installed"
    location: str = ""  # folder, archive, or nothing, as the corpus asks for
    language: str = "python"  # that is trained on
    context: int = 256  # characters that are predicted in a window, each from what stands before it there
    package_functions: int = 1_000  # at most so many of one package
    language_functions: int = 40_000  # at most so many of one language
    split_sequences: int = 1_000  # functions of each split, one window of each; of a language that has fewer, all
    fewest_sequences: int = 100  # a language with fewer functions is left out
    held_out: float = 0.15  # share of the packages of the training language that is for `id` alone

    def __post_init__(self):
        one_of("corpus", self.corpus, CORPORA)
        language(self.language)
        whole_number("context", self.context, 8, 10_000)
        for name in ("package_functions", "language_functions", "split_sequences", "fewest_sequences"):
            whole_number(name, getattr(self, name), 1)
        if not 0 < self.held_out < 1:
            raise InputError(f"held_out is {self.held_out!r}, but must be a share between 0 and 1")

    def split_size(self, measured: int | None) -> str:
        """How much of a split is measured, in words; at most `measured` sequences, None for all."""
        most = min(self.split_sequences, measured or self.split_sequences)
        return f"up to {most:,} functions a split, one window of at most {self.context} characters each"


def humaneval_folder() -> str:
    """The folder of HumanEval-X that the user named in `LIB_HUMANEVAL_X`; empty if none."""
    return os.environ.get("LIB_HUMANEVAL_X", "")


def load(config: CodeConfig) -> Corpus:
    """The corpus of a configuration."""
    return corpus(config.corpus, config.location, config.package_functions, config.language_functions)


def code_task(config: CodeConfig, seed: int) -> Task:
    """The task of a configuration. The seed draws the window of each evaluated function; training text is the same for all.

    Raises `InputError` where the corpus has too little of the training language, or nothing else.
    """
    whole_number("seed", seed, 0)
    found = load(config)
    parts = partition(found.functions, config)
    width = config.context + 1  # tokens of a window
    training = [window for code in parts.pop("training")["code"] for window in split_windows(encode(code), width)]
    rng = np.random.default_rng(seed)
    splits = {}
    for name, functions in parts.items():
        known = config.language if name in ("id", "seen_package") else name
        splits[name] = code_split(name, known, list(functions["code"]), width, rng)
    if not set(splits) - {"id", "seen_package"}:
        raise InputError(
            f"corpus {config.corpus!r} has {config.fewest_sequences} functions of no language but {config.language}: use "
            f"a corpus with a second language, or lower fewest_sequences"
        )
    if folder := humaneval_folder():
        for known, problems in humaneval_x(folder).items():
            name = f"humaneval_x/{known}"  # the same seed for each language, so that none is favoured by its windows
            split = code_split(name, known, list(problems.values()), width, np.random.default_rng(seed))
            splits[name] = replace(split, whole_model=True)
    return Task("code", VOCABULARY, width, _padded(training, width), splits, found.manifest["sha256"])


def partition(functions: pd.DataFrame, config: CodeConfig) -> dict[str, pd.DataFrame]:
    """The functions for training and of each split, as `training`, `id`, `seen_package`, and by language.

    Which packages are held out, and which functions of the others, is decided by hashes of their names and text, so that it
    does not depend on what else is in the corpus.
    """
    own = functions[functions["language"] == config.language]
    if own.empty:
        have = ", ".join(sorted(set(functions["language"]))) or "nothing"
        java = "; for Java, install a JDK with its sources, or set LIB_JAVA_SOURCES to a src.zip" * (config.language == "java")
        raise InputError(f"language is {config.language!r}, but corpus {config.corpus!r} has only {have}{java}")
    packages = sorted(set(own["package"]), key=_hash)
    held_out = set(packages[: max(1, round(config.held_out * len(packages)))])
    apart = own["package"].isin(held_out)
    rest = _by_hash(own[~apart])
    seen = rest.iloc[: min(config.split_sequences, len(rest) // 10)]
    parts = {
        "training": rest.iloc[len(seen) :],
        "id": _by_hash(own[apart]).iloc[: config.split_sequences],
        "seen_package": seen,
    }
    for name, part in parts.items():
        if len(part) < min(config.fewest_sequences, config.split_sequences):
            raise InputError(
                f"split {name!r} would have {len(part)} functions of {config.language} and needs {config.fewest_sequences}: "
                f"{len(own)} functions of {len(packages)} packages are too few; use a larger corpus or lower fewest_sequences"
            )
    for name, others in functions[functions["language"] != config.language].groupby("language"):
        if len(others) >= config.fewest_sequences:
            parts[name] = _by_hash(others).iloc[: config.split_sequences]
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


def code_split(name: str, known: str, functions: Sequence[str], width: int, rng: np.random.Generator) -> Split:
    """A `Split` of one window (of at most `width` tokens) of each function, drawn by `rng`: all its characters are scored.

    The group `character` says what kind of character is to be predicted (`CLASSES`).
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
    scored = np.zeros(tokens.shape, bool)
    scored[:, :-1] = tokens[:, 1:] != PAD
    candidates = np.arange(FIRST_CHARACTER, len(VOCABULARY))
    return Split(name, tokens, scored, candidates, {"character": classes}, {"character": CLASSES})
