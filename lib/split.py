"""What a model is tested on (`Split`) and trained on (`Task`). Everything downstream knows only these two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from lib.errors import InputError


@dataclass(frozen=True)
class Split:
    """A named evaluation set of n sequences of T tokens.

    Position t predicts token t + 1; `scored` and `groups` describe the *prediction* made at a position. So the last
    column of `scored` is False always.
    """

    name: str
    tokens: np.ndarray  # [n, T] integers, padded on the right with 0
    scored: np.ndarray  # [n, T] bool: positions whose next-token prediction counts
    candidates: np.ndarray  # [c] token ids that a prediction may choose from
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)  # name -> [n, T] integer category of the predicted token
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> names of its categories 0, 1, ...
    whole_model: bool = False  # measured only with every layer simplified, not with single layers and heads, to save time

    def __post_init__(self):
        arrays = {"scored": self.scored, **{f"groups[{g!r}]": a for g, a in self.groups.items()}}
        for name, array in arrays.items():
            if array.shape != self.tokens.shape:
                raise InputError(f"split {self.name!r}: {name} has shape {array.shape}, but tokens {self.tokens.shape}")
        if not self.scored.any():
            raise InputError(f"split {self.name!r} holds no position to score")
        if self.scored[:, -1].any():
            raise InputError(f"split {self.name!r}: the last position predicts nothing, so it cannot be scored")

    @property
    def targets(self) -> np.ndarray:
        """[n, T] the token that each position predicts; 0 in the last column."""
        return np.pad(self.tokens[:, 1:], ((0, 0), (0, 1)))

    @property
    def lengths(self) -> np.ndarray:
        """[n] tokens of each sequence without its padding."""
        return (self.tokens != 0).sum(1)

    def first(self, sequences: int | None) -> Split:
        """The split of only the first sequences; None for all."""
        groups = {name: values[:sequences] for name, values in self.groups.items()}
        return replace(self, tokens=self.tokens[:sequences], scored=self.scored[:sequences], groups=groups)

    def label(self, group: str, value: int) -> str:
        """What a category of a group is called: its label, or the number itself where the group has none."""
        return self.labels[group][value] if group in self.labels else str(value)

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Task:
    """Training sequences, a vocabulary, and the splits to test on."""

    name: str
    vocabulary: tuple[str, ...]  # the text of each token id; id 0 pads
    context: int  # longest sequence that any split needs, in tokens
    training: np.ndarray  # [n, T] integers, padded on the right with 0
    splits: Mapping[str, Split]
    source: str = ""  # what identifies where the data come from, if they were not sampled: the SHA-256 of a corpus

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the training data: two models with the same one saw the same text in the same order."""
        import hashlib

        digest = hashlib.sha256(repr((self.vocabulary, self.training.shape)).encode())
        digest.update(np.ascontiguousarray(self.training, dtype="<i4").tobytes())
        return digest.hexdigest()
