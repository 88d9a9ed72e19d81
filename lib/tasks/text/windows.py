"""Token windows of texts: on which proxies are fitted, and splits in which some predictions of each window are scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from lib.config import Config
from lib.errors import InputError
from lib.split import Dataset, Sequences, Split
from lib.tasks.text.reading import Document, read, without_shared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

COVARIATES = ("position", "frequency", "repeated")
_FREQUENCIES = (1, 4, 16, 64, 256)  # lower edges of the classes: how often a token is in the text that proxies are fitted on
_POSITIONS = (16, 32, 64, 128, 256, 512)
_FEWEST = 20  # windows of a split: intervals are over these
_CHARACTERS = 12  # of a token, at most on average: so many characters are read for each token that is needed


class Windows(Config):
    """How much of each text is used, in windows of tokens."""

    sequences: int = Field(default=200, ge=_FEWEST, le=100_000)
    """Of each text, to test on; fewer where it has fewer."""
    length: int = Field(default=256, ge=16, le=100_000)
    """Of a window, in tokens."""
    positions: int = Field(default=32, ge=1, le=100_000)
    """Of a window, at which the prediction of the next token is scored."""
    fit_sequences: int = Field(default=40, ge=1, le=100_000)
    """Of the first half of each text, to fit on."""
    fit_positions: int = Field(default=200, ge=1, le=100_000)
    """Of each of these, whose queries and keys proxies are fitted on."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Draws the positions."""


@dataclass(frozen=True)
class Texts(Dataset):
    """Several texts: the first half of the first to fit on, and a split a text."""

    oracles: Mapping[str, Split] = field(default_factory=dict)  # by text: the half of it that is not tested on
    shared: Mapping[str, float] = field(default_factory=dict)  # by text: the share left out, as the first has it, too
    documents: Mapping[str, int] = field(default_factory=dict)  # by text: how many it was read from


def texts(given: Mapping[str, Path], tokenizer: PreTrainedTokenizerBase, vocabulary_size: int, windows: Windows) -> Texts:
    """The texts at `given`, of which the first is in distribution, as windows.

    `InputError` where there are fewer than two, or one of them is too short.
    """
    if len(given) < 2:
        raise InputError("one text is not enough: give one in distribution and at least one that is not")
    needed = 2 * windows.length * max(windows.sequences, windows.fit_sequences)
    documents, shared = without_shared({name: read(path, _CHARACTERS * needed) for name, path in given.items()})
    for name, of in documents.items():
        if not of:
            raise InputError(f"text {name!r} has nothing that {next(iter(given))!r} does not have as well: give another one")
    halves = {name: np.array_split(_windows(name, of, tokenizer, windows, shared[name]), 2) for name, of in documents.items()}
    check_known((half for of in halves.values() for half in of), vocabulary_size)
    first = next(iter(given))
    counts = np.bincount(halves[first][0].ravel(), minlength=vocabulary_size)
    rng = np.random.default_rng(windows.seed)

    def some(of: np.ndarray, count: int) -> np.ndarray:
        """So many windows, spread over a half."""
        return of[np.unique(np.linspace(0, len(of) - 1, min(count, len(of))).astype(int))]

    fitted = {name: _split(name, some(half, windows.fit_sequences), windows, counts, rng) for name, (half, _) in halves.items()}
    tested = {name: _split(name, some(half, windows.sequences), windows, counts, rng) for name, (_, half) in halves.items()}
    training = fitted.pop(first)
    training = Sequences(tokens=training.tokens, lengths=training.lengths, fitted=training.fitted)
    vocabulary = tuple(map(str, tokenizer.convert_ids_to_tokens(range(min(vocabulary_size, len(tokenizer))))))
    counted = {name: len(of) for name, of in documents.items()}
    return Texts(vocabulary, windows.length, training, tested, fitted, shared, counted)


def check_known(tokens: Iterable[np.ndarray], vocabulary_size: int) -> None:
    """Raise `InputError` for tokens that a model does not have."""
    largest = max(int(of.max()) for of in tokens)
    if largest >= vocabulary_size:
        raise InputError(f"there is a token {largest}, but the model knows {vocabulary_size:,}: use this model's own tokenizer")


def _windows(
    name: str, documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, windows: Windows, shared: float
) -> np.ndarray:
    """[window, token] documents, one after the other, cut into windows; each starts as the tokenizer starts a text.

    `shared` is the share of the text that was left out, for the error where too little is left.
    """
    start = tokenizer("a").input_ids[: -len(tokenizer("a", add_special_tokens=False).input_ids) or None]
    start = start if start == [tokenizer.bos_token_id] else []
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    stream: list[int] = []
    for document in documents:
        stream += tokenizer("".join(document), add_special_tokens=False, verbose=False).input_ids + end
    width = windows.length - len(start)
    count = len(stream) // width
    if count < 2 * _FEWEST:
        left = f" ({100 * shared:.0f} % of it was left out, as another text has it alike)" if shared > 0.005 else ""
        raise InputError(
            f"text {name!r} is too short{left}: {len(stream):,} tokens make {count} windows of {windows.length}, and "
            f"{2 * _FEWEST} are needed, half of them to fit on; give more text, or shorter windows (length)"
        )
    cut = np.array(stream[: count * width], np.int64).reshape(count, width)
    return np.concatenate([np.broadcast_to(np.array(start, np.int64), (count, len(start))), cut], 1)


def _split(name: str, tokens: np.ndarray, windows: Windows, counts: np.ndarray, rng: np.random.Generator) -> Split:
    """A split of windows; its covariates are about the token that a position predicts, and are known without any model.

    `position` in the window, `frequency` in the half of the first text that proxies are fitted on, and whether it is
    `repeated`: in the window before.
    """
    predicted = np.pad(tokens[:, 1:], ((0, 0), (0, 1)))
    some = [_drawn(tokens.shape, count, rng) for count in (windows.positions, windows.fit_positions)]
    covariates = {
        "position": np.broadcast_to(np.digitize(np.arange(tokens.shape[1]), _POSITIONS), tokens.shape),
        "frequency": np.digitize(counts[predicted], _FREQUENCIES),
        "repeated": _repeated(tokens),
    }
    labels = {
        "position": _named((0, *_POSITIONS)),
        "frequency": ("never", *_named(_FREQUENCIES)),
        "repeated": ("new in the window", "in the window before"),
    }
    return Split(
        name=name,
        tokens=tokens,
        lengths=np.full(len(tokens), tokens.shape[1]),
        fitted=some[1],
        scored=some[0],
        candidates=np.arange(len(counts)),
        covariates=covariates,
        labels=labels,
    )


def _drawn(shape: tuple[int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """[n, T] bool: so many positions of each row, not the last, which predicts nothing."""
    order = rng.random((shape[0], shape[1] - 1)).argsort(1)
    return np.pad(order < count, ((0, 0), (0, 1)))


def _named(edges: Sequence[int]) -> tuple[str, ...]:
    """What classes are called whose lower edges are given."""
    closed = [f"{low} to {high - 1}" if high - low > 1 else f"{low}" for low, high in pairwise(edges)]
    return (*closed, f"{edges[-1]} or more")


def _repeated(tokens: np.ndarray) -> np.ndarray:
    """[n, T] 1 where the next token stands in the window before, else 0."""
    found = np.zeros(tokens.shape, np.int8)
    for row, window in zip(found, tokens, strict=True):
        _, first = np.unique(window, return_index=True)
        new = np.zeros(len(window), bool)
        new[first] = True
        row[:-1] = ~new[1:]
    return found
