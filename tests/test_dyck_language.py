"""Sentences of Dyck-(k, m): balanced, within their limits, annotated as by a stack, distributed as the automaton says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InputError
from lib.tasks.dyck.language import (
    END,
    FIRST_BRACKET,
    PAD,
    START,
    Automaton,
    Brackets,
    annotate,
    keys,
    sample_structures,
    structures_of,
    with_types,
)
from lib.tasks.dyck.splits import automaton_of
from lib.tasks.dyck.task import DyckTask


def walk(row: np.ndarray, k: int) -> tuple[list[int], list[int], list[int]]:
    """Depth, opener and distance of each token of one row, with a stack; fails where the row is not a padded sentence."""
    depths, openers, distances, stack = [], [], [], []
    row = row.tolist()
    assert row[0] == START
    end = row.index(END)
    assert all(token == PAD for token in row[end + 1 :]), "something follows END"
    for position, token in enumerate(row):
        depth, opener, distance = 0, -1, 0
        if 1 <= position < end:
            assert FIRST_BRACKET <= token < FIRST_BRACKET + 2 * k, f"token {token} is no bracket"
            if token < FIRST_BRACKET + k:
                stack.append((position, token))
                depth = len(stack)
            else:
                assert stack, "a bracket closes that was never opened"
                depth = len(stack)
                opener, opened = stack.pop()
                assert token == opened + k, "a bracket of another type closes"
                distance = position - opener
        depths.append(depth)
        openers.append(opener)
        distances.append(distance)
    assert not stack, "a bracket is left open"
    return depths, openers, distances


def assert_agrees_with_a_stack(sentences: Brackets, k: int) -> None:
    for row in range(len(sentences)):
        depths, openers, distances = walk(sentences.tokens[row], k)
        assert sentences.depth[row].tolist() == depths
        assert sentences.opener[row].tolist() == openers
        assert sentences.distance[row].tolist() == distances


def plain_depths(task: DyckTask, rng: np.random.Generator) -> list[int]:
    """The depth of each bracket of one sentence of the automaton, drawn one by one; too long sentences are discarded."""
    while True:
        depths, level = [], 0
        while len(depths) <= task.max_length:
            if level == 0 and len(depths) >= task.min_length and rng.random() < task.p_end:
                return depths
            chances = task.open_probability or (0.5,)
            if level == 0 or (level < task.max_depth and rng.random() < chances[min(level, len(chances)) - 1]):
                level += 1
                depths.append(level)
            else:
                depths.append(level)
                level -= 1


def sample(automaton: Automaton, k: int, count: int, seed: int) -> Brackets:
    rng = np.random.default_rng(seed)
    return with_types(sample_structures(count, automaton, rng), k, rng)


@st.composite
def automata(draw) -> Automaton:
    """Limits that some sentence meets."""
    max_depth = draw(st.integers(1, 8))
    min_depth = draw(st.integers(1, max_depth))
    min_length = draw(st.integers(2, 20))
    least = max(min_length + min_length % 2, 2 * min_depth)
    longest = draw(st.integers(least, least + 20))
    shortest = draw(st.integers(0, longest) | st.just(0))
    p_end = draw(st.floats(0.05, 1.0))
    opening = draw(st.lists(st.floats(0.05, 0.95), max_size=9).map(tuple))
    shortest -= shortest % 2
    return Automaton(max_depth, p_end, min_length, longest, shortest=shortest, min_depth=min_depth, open_probability=opening)


@given(automata(), st.integers(1, 30), st.integers(0, 60), st.integers(0, 2**32))
def test_sentences_are_balanced_within_limits_and_annotated_as_by_a_stack(automaton, k, count, seed):
    sentences = sample(automaton, k, max(count, 1), seed)
    assert sentences.tokens.shape == (max(count, 1), automaton.max_length + 2)
    assert_agrees_with_a_stack(sentences, k)
    lengths = (sentences.tokens >= FIRST_BRACKET).sum(1)
    deepest = sentences.depth.max(1)
    assert lengths.min() >= max(automaton.min_length, automaton.shortest)
    assert lengths.max() <= automaton.max_length
    assert deepest.min() >= automaton.min_depth
    assert deepest.max() <= automaton.max_depth


def test_more_sentences_than_fit_a_block_are_annotated_alike():
    """Blocks are worked on longest first; every sentence has to come back to its own row."""
    automaton = Automaton(max_depth=3, min_length=2, max_length=8)
    rng = np.random.default_rng(0)
    structures = sample_structures(20_000, automaton, rng)
    sentences = with_types(structures, 2, rng)
    np.testing.assert_array_equal(structures_of(sentences.tokens, 2), structures)
    for row in [*range(0, 20_000, 97), 8_191, 8_192, 16_383, 16_384, 19_999]:
        depths, openers, _ = walk(sentences.tokens[row], 2)
        assert sentences.depth[row].tolist() == depths
        assert sentences.opener[row].tolist() == openers


@given(automata(), st.integers(1, 5), st.integers(0, 1_000))
def test_annotating_tokens_gives_back_what_sampling_knew(automaton, k, seed):
    sentences = sample(automaton, k, 20, seed)
    again = annotate(sentences.tokens, k)
    for field in ("tokens", "depth", "opener", "distance"):
        np.testing.assert_array_equal(getattr(again, field), getattr(sentences, field))


def test_no_sentences_are_no_error():
    """A source may have nothing to offer; what follows from that is for the caller to say."""
    assert len(sample(Automaton(), 20, 0, 0)) == 0


def frequencies_agree(observed: Counter, expected: Counter) -> None:
    """Every category's frequency is the same up to 4.5 standard errors of the difference, in two independent samples."""
    n, m = observed.total(), expected.total()
    for category in observed.keys() | expected.keys():
        p, q = observed[category] / n, expected[category] / m
        pooled = (observed[category] + expected[category]) / (n + m)
        error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)) + 1 / min(n, m)
        assert abs(p - q) <= 4.5 * error, f"{category}: {p:.4f} against {q:.4f}"


def summary(depths: list[list[int]]) -> tuple[Counter, Counter, Counter]:
    """How often each length, each deepest level, and each level of any bracket occurs."""
    return (
        Counter(map(len, depths)),
        Counter(map(max, depths)),
        Counter(level for sentence in depths[::7] for level in sentence[:3]),
    )


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(DyckTask(), id="default"),
        pytest.param(
            DyckTask(max_depth=3, min_length=4, max_length=14, unseen_structure_length=14, p_end=0.4), id="short and shallow"
        ),
        pytest.param(
            DyckTask(max_depth=5, min_length=4, max_length=40, open_probability=(0.7, 0.2, 0.6)), id="opens by its depth"
        ),
        pytest.param(
            DyckTask(max_depth=2, min_length=2, max_length=8, unseen_structure_length=8, p_end=0.1), id="limit hit often"
        ),
    ],
)
def test_sentences_are_distributed_as_by_rejection_from_the_automaton(config):
    rng = np.random.default_rng(1)
    plain = [plain_depths(config, rng) for _ in range(4_000)]
    drawn = sample(automaton_of(config), 2, 20_000, 2)
    vectorized = [[d for d in row if d] for row in drawn.depth.tolist()]
    for observed, expected in zip(summary(vectorized), summary(plain), strict=True):
        frequencies_agree(observed, expected)


def test_half_everywhere_is_what_an_empty_open_probability_says():
    plain, said = (sample(Automaton(open_probability=chances), 2, 300, 7) for chances in ((), (0.5,)))
    np.testing.assert_array_equal(plain.tokens, said.tokens)


def test_deeper_than_its_last_value_that_value_counts_and_at_the_maximal_depth_a_bracket_closes():
    def depths(*chances: float) -> np.ndarray:
        automaton = Automaton(max_depth=4, open_probability=chances, min_length=2, max_length=30)
        return sample(automaton, 2, 500, 8).depth

    last = depths(0.5, 0.7)
    assert last.max() == 4
    np.testing.assert_array_equal(last, depths(0.5, 0.7, 0.7, 0.1), "at depth 4, none opens")
    assert (last != depths(0.5, 0.7, 0.1)).any()


def test_a_least_depth_conditions_the_distribution_and_nothing_else():
    """As drawing without it and keeping the sentences that get deep enough."""
    limits = {"max_depth": 4, "p_end": 0.3, "min_length": 4, "max_length": 20}
    conditioned = sample(Automaton(**limits, min_depth=3), 2, 12_000, 3)
    assert conditioned.depth.max(1).min() == 3
    anything = sample(Automaton(**limits), 2, 20_000, 4)
    kept = anything[anything.depth.max(1) >= 3]
    assert 2_000 < len(kept) < 20_000
    observed, expected = (summary([[d for d in row if d] for row in s.depth.tolist()]) for s in (conditioned, kept))
    for one, other in zip(observed, expected, strict=True):
        frequencies_agree(one, other)


def test_a_least_length_conditions_the_distribution_and_nothing_else():
    """`shortest` keeps the longer sentences of the same automaton, which `min_length` would have made another one."""
    limits = {"max_depth": 4, "p_end": 0.3, "min_length": 4, "max_length": 20}
    conditioned = sample(Automaton(**limits, shortest=12), 2, 12_000, 5)
    anything = sample(Automaton(**limits), 2, 30_000, 6)
    kept = anything[(anything.tokens >= FIRST_BRACKET).sum(1) >= 12]
    assert 2_000 < len(kept) < 28_000
    observed, expected = (summary([[d for d in row if d] for row in s.depth.tolist()]) for s in (conditioned, kept))
    for one, other in zip(observed, expected, strict=True):
        frequencies_agree(one, other)


def test_a_rare_depth_is_drawn_without_rejection():
    """Depth 15 in 32 brackets is so rare that rejection from the automaton would practically never end."""
    sentences = sample(Automaton(max_depth=15, min_depth=15, min_length=2, max_length=32), 2, 50, 0)
    assert set(sentences.depth.max(1).tolist()) == {15}


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        pytest.param({"min_length": 10, "max_length": 8}, "length 10 to 8", id="shortest above longest"),
        pytest.param({"min_length": 7, "max_length": 7}, "length 7 to 7", id="odd length only"),
        pytest.param({"min_depth": 8, "max_depth": 8, "max_length": 14}, "depth 8 to 8", id="too deep for its length"),
        pytest.param({"shortest": 20, "max_length": 18}, "length 20 to 18", id="least length above the longest"),
        pytest.param({"min_depth": 5, "max_depth": 4}, "depth 5 to 4", id="least depth above the largest"),
    ],
)
def test_limits_that_no_sentence_meets_are_refused_by_name(limits, named):
    with pytest.raises(InputError, match=named):
        sample_structures(1_000_000_000_000, Automaton(**limits), np.random.default_rng(0))  # refused before any is drawn


def test_the_same_seed_gives_the_same_sentences_and_another_gives_others():
    automaton = Automaton()
    one, same, other = (sample(automaton, 20, 200, seed).tokens for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(1).mean() > 0.99


def test_bracket_types_are_uniform():
    k = 20
    tokens = sample(Automaton(), k, 4_000, 0).tokens
    for first in (FIRST_BRACKET, FIRST_BRACKET + k):  # openers, then closers
        counts = np.bincount(tokens[(tokens >= first) & (tokens < first + k)] - first, minlength=k)
        expected = counts.sum() / k
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        assert chi_square < 43.8, "beyond the 99.9 % quantile of chi-square with 19 degrees of freedom"


@given(st.lists(st.integers(-1, 300), min_size=1, max_size=40), st.integers(0, 20))
def test_keys_do_not_depend_on_padding(row, padding):
    plain, padded = np.array([row], np.int16), np.array([row + [0] * padding], np.int32)
    assert keys(plain) == keys(padded)


def test_keys_tell_short_sentences_apart():
    tokens = np.unique(sample(Automaton(max_depth=3, max_length=12), 3, 5_000, 0).tokens, axis=0)
    assert len(np.unique(keys(tokens))) == len(tokens)


def test_keys_refuse_rows_that_are_too_long_for_them():
    with pytest.raises(InputError, match=r"5000 tokens long.*4096"):
        keys(np.ones((1, 5_000), np.int16))
