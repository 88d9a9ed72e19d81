"""The baseline for code: a character n-gram model with interpolated Witten-Bell smoothing (Chen and Goodman 1999)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from lib.split import Sequences, Split


class NGram:
    """Predicts a character from up to `order - 1` before it, each context length smoothed with the next shorter one.

    With N occurrences of a context, of which D are distinct characters, the observed frequencies weigh N / (N + D) and the
    prediction from the shorter context the rest; the shortest is the uniform distribution.
    """

    def __init__(self, training: Sequences, vocabulary_size: int, order: int = 6):
        """Count in `training`."""
        self.vocabulary_size = vocabulary_size
        self.levels = [self._count(training, length) for length in range(order)]

    def _count(self, training: Sequences, length: int) -> tuple[np.ndarray, sparse.csr_matrix]:
        """The contexts of a length that occur, sorted, and how often which token follows each: [contexts, vocabulary]."""
        codes = self._contexts(training.tokens, length)[:, :-1]
        following = training.tokens[:, 1:].astype(np.int64)
        used = (codes >= 0) & training.real[:, 1:]
        pairs, counts = np.unique(codes[used] * self.vocabulary_size + following[used], return_counts=True)
        contexts, row = np.unique(pairs // self.vocabulary_size, return_inverse=True)
        shape = (len(contexts), self.vocabulary_size)
        return contexts, sparse.csr_matrix((counts.astype(float), (row, pairs % self.vocabulary_size)), shape)

    def _contexts(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """A number for the last `length` tokens at each position [n, T]; -1 where the sequence is younger than that."""
        codes = np.zeros(tokens.shape, np.int64)
        for back in reversed(range(length)):
            codes = codes * self.vocabulary_size + np.pad(tokens, ((0, 0), (back, 0)))[:, : tokens.shape[1]]
        codes[:, : max(0, length - 1)] = -1
        return codes

    def score(self, split: Split, chunk: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
        """At each scored position of a split: whether the most probable candidate is right, and the bits of the true token."""
        codes = [self._contexts(split.tokens, length)[split.scored] for length in range(len(self.levels))]
        targets = split.targets[split.scored]
        right, bits = np.empty(len(targets), bool), np.empty(len(targets))
        for start in range(0, len(targets), chunk):
            part = slice(start, start + chunk)
            probabilities = self._probabilities([code[part] for code in codes], split.candidates)
            right[part] = split.candidates[probabilities[:, split.candidates].argmax(1)] == targets[part]
            bits[part] = -np.log2(probabilities[np.arange(len(probabilities)), targets[part]])
        return right, bits

    def _probabilities(self, codes: list[np.ndarray], candidates: np.ndarray) -> np.ndarray:
        """The distribution of the next token in each context [positions, vocabulary]."""
        probabilities = np.zeros((len(codes[0]), self.vocabulary_size))
        probabilities[:, candidates] = 1 / len(candidates)
        for code, (contexts, counts) in zip(codes, self.levels, strict=True):
            found = np.searchsorted(contexts, code).clip(max=len(contexts) - 1)
            known = np.flatnonzero(contexts[found] == code)
            observed = counts[found[known]].toarray()
            total, distinct = observed.sum(1, keepdims=True), (observed > 0).sum(1, keepdims=True)
            probabilities[known] = (observed + distinct * probabilities[known]) / (total + distinct)
        return probabilities
