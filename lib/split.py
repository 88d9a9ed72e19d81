"""What a model is trained and tested on, and proxies are fitted on. Everything downstream of a task knows only these."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from lib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """n sequences of at most T tokens. Padding stands on the right and is known by `lengths`, whatever token fills it."""

    tokens: np.ndarray  # [n, T] integers
    lengths: np.ndarray  # [n] tokens of each sequence without its padding
    fitted: np.ndarray | None = None  # [n, T] bool: positions that proxies are fitted on; None: all that are not padding

    @classmethod
    def padded(cls, tokens: np.ndarray, padding: int = 0) -> Sequences:
        """Sequences whose padding is a token of its own."""
        return Sequences(tokens=tokens, lengths=(tokens != padding).sum(1))

    @property
    def real(self) -> np.ndarray:
        """[n, T] bool: what is not padding."""
        return np.arange(self.tokens.shape[1]) < self.lengths[:, None]

    def part(self, rows: slice) -> Self:
        """Only some of the sequences."""
        fitted = None if self.fitted is None else self.fitted[rows]
        return replace(self, tokens=self.tokens[rows], lengths=self.lengths[rows], fitted=fitted)

    def first(self, count: int | None) -> Self:
        """Only the first sequences; None for all."""
        return self.part(slice(count))

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, kw_only=True)
class Split(Sequences):
    """A named evaluation set.

    Position t predicts token t + 1; `scored` and `covariates` describe the *prediction* made at a position. So the last
    column of `scored` is False always. Covariates are categories (integers) by which results can be grouped and matched.
    """

    name: str
    scored: np.ndarray  # [n, T] bool: positions whose next-token prediction counts
    candidates: np.ndarray  # [c] token ids that a prediction may choose from
    covariates: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> [n, T] integers
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # covariate -> names of its categories 0, 1, ...

    def __post_init__(self):
        arrays = {"scored": self.scored, **{f"covariates[{name!r}]": a for name, a in self.covariates.items()}}
        for name, array in arrays.items():
            if array.shape != self.tokens.shape:
                raise InputError(f"split {self.name!r}: {name} has shape {array.shape}, but tokens {self.tokens.shape}")
        if not self.scored.any():
            raise InputError(f"split {self.name!r} holds no position to score")
        if (self.scored & (np.arange(self.tokens.shape[1]) >= self.lengths[:, None] - 1)).any():
            raise InputError(f"split {self.name!r}: the last position of a sequence predicts nothing, so it cannot be scored")

    @property
    def targets(self) -> np.ndarray:
        """[n, T] the token that each position predicts; 0 in the last column."""
        return np.pad(self.tokens[:, 1:], ((0, 0), (0, 1)))

    def part(self, rows: slice) -> Split:
        """The split of only some of the sequences."""
        parts = {"tokens": self.tokens, "lengths": self.lengths, "scored": self.scored}
        parts |= {} if self.fitted is None else {"fitted": self.fitted}
        covariates = {name: values[rows] for name, values in self.covariates.items()}
        return replace(self, **{name: part[rows] for name, part in parts.items()}, covariates=covariates)


class OnDemand(Mapping[str, Sequences]):
    """Sequences by name, each made when it is first asked for, and once."""

    def __init__(self, makers: Mapping[str, Callable[[], Sequences]]):
        self._makers, self._made = makers, {}

    def __getitem__(self, name: str) -> Sequences:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True)
class Dataset:
    """Training sequences, a vocabulary, and the splits to test on."""

    vocabulary: tuple[str, ...]  # the text of each token id
    context: int  # longest sequence that any split needs, in tokens
    training: Sequences
    splits: Mapping[str, Split]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the training data: two models with the same one saw the same text in the same order."""
        tokens = self.training.tokens
        digest = hashlib.sha256(repr((self.vocabulary, tokens.shape)).encode())
        digest.update(np.ascontiguousarray(tokens, dtype="<i4").tobytes())
        return digest.hexdigest()
