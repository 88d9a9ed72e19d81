"""The n-gram baseline: it is interpolated Witten-Bell, computed again here with dictionaries, and by hand."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from lib.split import Sequences, Split
from lib.tasks.code.ngram import NGram

VOCABULARY = 7
CANDIDATES = np.arange(2, VOCABULARY)


def sequences(seed: int, count: int = 20, width: int = 12) -> np.ndarray:
    """START (1) and random tokens, padded with 0; some tokens are much more frequent than others."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(CANDIDATES, (count, width), p=[0.5, 0.3, 0.1, 0.06, 0.04]).astype(np.int16)
    drawn[:, 0] = rng.choice([1, 2], count)  # a window that is not its function's first begins with a character
    for row, length in zip(drawn, rng.integers(7, width + 1, count), strict=True):
        row[length:] = 0
    return drawn


def split_of(tokens: np.ndarray) -> Split:
    scored = np.zeros(tokens.shape, bool)
    scored[:, :-1] = tokens[:, 1:] != 0
    return Split(name="x", tokens=tokens, lengths=(tokens != 0).sum(1), scored=scored, candidates=CANDIDATES)


def model_of(tokens: np.ndarray, order: int = 6) -> NGram:
    return NGram(Sequences.padded(tokens), VOCABULARY, order)


class Slow:
    """Witten-Bell with dictionaries."""

    def __init__(self, sequences: np.ndarray, order: int):
        self.order = order
        self.counts: dict[tuple, Counter] = defaultdict(Counter)
        for sequence in sequences.tolist():
            for t in range(1, len(sequence)):
                for length in range(min(order - 1, t) + 1):
                    if sequence[t] != 0:
                        self.counts[tuple(sequence[t - length : t])][sequence[t]] += 1

    def probability(self, context: tuple, token: int) -> float:
        lower = self.probability(context[1:], token) if context else 1 / len(CANDIDATES)
        found = self.counts.get(context)
        if not found:
            return lower
        n, distinct = sum(found.values()), len(found)
        share = n / (n + distinct)
        return share * found[token] / n + (1 - share) * lower

    def distribution(self, history: list[int]) -> dict[int, float]:
        context = tuple(history[-(self.order - 1) :]) if self.order > 1 else ()
        return {int(token): self.probability(context, int(token)) for token in CANDIDATES}


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_bits_and_predictions_are_those_of_a_slow_witten_bell(order):
    training, split = sequences(0), split_of(sequences(1, 8))
    right, bits = model_of(training, order).score(split)
    slow, expected_right, expected_bits = Slow(training, order), [], []
    for row, t in zip(*np.nonzero(split.scored), strict=True):
        distribution = slow.distribution(split.tokens[row, : t + 1].tolist())
        assert sum(distribution.values()) == pytest.approx(1)
        target = int(split.tokens[row, t + 1])
        expected_bits.append(-np.log2(distribution[target]))
        expected_right.append(max(distribution, key=distribution.get) == target)
    np.testing.assert_allclose(bits, expected_bits, rtol=1e-9)
    np.testing.assert_array_equal(right, expected_right)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_sum_to_one_over_the_candidates_in_every_context(order):
    """Each candidate in turn as the next token, after the same text."""
    model = model_of(sequences(2), order)
    for prefix in ([1], [1, 2], [1, 2, 3, 2], [6, 6, 6, 6, 6], [2, 5, 4, 3]):
        split = split_of(np.array([[*prefix, token, 0] for token in CANDIDATES], np.int16))
        _, bits = model.score(split)
        of_next = bits.reshape(len(CANDIDATES), -1)[:, -1]
        assert (2.0**-of_next).sum() == pytest.approx(1)


def test_a_tiny_case_by_hand():
    """After 2 there follow a 2 and a 3. Alone: 2, 2, 3; so P(2) = (2 + 2 / 5) / 5 and P(3) = (1 + 2 / 5) / 5."""
    p2, p3 = (2 + 2 / 5) / 5, (1 + 2 / 5) / 5
    split = split_of(np.array([[1, 2, 3, 0], [1, 2, 2, 4]], np.int16))
    model = model_of(np.array([[1, 2, 2, 3]], np.int16), order=2)
    right, bits = model.score(split)
    after_start = (1 + p2) / 2
    expected = [after_start, (1 + 2 * p3) / 4, after_start, (1 + 2 * p2) / 4, (0 + 2 * (2 / 5) / 5) / 4]
    np.testing.assert_allclose(bits, -np.log2(expected))
    assert right.tolist() == [True, False, True, True, False]


def test_without_any_observation_of_a_token_it_still_has_a_probability():
    _, bits = model_of(np.array([[1, 2, 2, 2]], np.int16), order=1).score(split_of(np.array([[1, 6, 0]], np.int16)))
    assert bits.tolist() == pytest.approx([-np.log2((1 / 5) / 4)])


def test_padding_is_never_counted():
    padded = np.pad(sequences(3), ((0, 0), (0, 5)))
    split = split_of(sequences(4, 5))
    for one, other in zip(model_of(padded).score(split), model_of(sequences(3)).score(split), strict=True):
        np.testing.assert_array_equal(one, other)


def test_padding_is_known_by_lengths_whatever_token_fills_it():
    tokens = sequences(3)
    lengths = (tokens != 0).sum(1)
    filled = Sequences(tokens=np.where(tokens == 0, 3, tokens), lengths=lengths)
    split = split_of(sequences(4, 5))
    for one, other in zip(NGram(filled, VOCABULARY).score(split), model_of(tokens).score(split), strict=True):
        np.testing.assert_array_equal(one, other)


def test_chunks_make_no_difference():
    model, split = model_of(sequences(5), 3), split_of(sequences(6, 6))
    for one, other in zip(model.score(split), model.score(split, chunk=7), strict=True):
        np.testing.assert_array_equal(one, other)
