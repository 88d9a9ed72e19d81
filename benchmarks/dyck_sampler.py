"""Sampling Dyck sentences, all at once against the token by token of structural-grokking."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from harness import Contest, Difference, importing, timed

from lib.tasks.dyck.language import END, FIRST_BRACKET, PAD, START, Automaton, Brackets, annotate, sample_structures, with_types

PEER = "structural-grokking"
TYPES = 20
LANGUAGE = Automaton(max_depth=10, p_end=0.5, min_length=4, max_length=500)  # as that of their script


def generator(folder: Path | None, types: int, depth: int):
    """Their automaton. Modules beside it that it does not use need packages that are not installed here; empty ones do."""
    beside = {name: ModuleType(name) for name in ("vocabulary", "util")}
    beside["vocabulary"].WordVocabulary = beside["util"].test_continuations = None
    with importing(folder, PEER) as where:
        spec = importlib.util.spec_from_file_location("dyck_generator", where / "data_utils" / "dyck_helpers.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules.update(beside)
        try:
            spec.loader.exec_module(module)
        finally:
            for name in beside:
                del sys.modules[name]
        return module.DyckPDFA(depth, types)


def theirs(automaton, sentences: int) -> list[tuple[list[str], int]]:
    """Sentences as they sample them: words such as `(a` and `a)`, and how deep it is."""
    return [automaton.sample(LANGUAGE.min_length, LANGUAGE.max_length)[:2] for _ in range(sentences)]


def ours(sentences: int, rng: np.random.Generator) -> Brackets:
    """Sentences as `lib` samples them, with depth and opener of each bracket."""
    return with_types(sample_structures(sentences, LANGUAGE, rng), TYPES, rng)


def as_brackets(words: list[list[str]]) -> Brackets:
    """Their sentences in our form."""
    names = sorted({word.strip("()") for sentence in words for word in sentence[:-1]})
    token = {form: FIRST_BRACKET + i + k * TYPES for i, n in enumerate(names) for k, form in enumerate((f"({n}", f"{n})"))}
    tokens = np.full((len(words), max(map(len, words)) + 1), PAD)
    for row, sentence in zip(tokens, words, strict=True):
        row[: len(sentence)] = [START, *map(token.__getitem__, sentence[:-1])]
        row[len(sentence)] = END
    found = annotate(tokens, TYPES)
    wrong = (found.tokens != tokens).any(1)  # closers get the type of their opener
    return Brackets(np.where(wrong[:, None], -1, found.tokens), found.depth, found.opener)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference of two distribution functions, in units of what chance makes of equal ones."""
    points = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max() / np.sqrt(1 / len(one) + 1 / len(other)))


def differences(sampled: list[tuple[list[str], int]], own: Brackets) -> list[Difference]:
    """How far their sentences are from ours: as single ones, and in distribution."""
    kept = [(words, depth) for words, depth in sampled if len(words) - 1 <= LANGUAGE.max_length]  # theirs have no limit
    found = as_brackets([words for words, _ in kept])
    wrong = (found.tokens[:, 0] < 0) | (found.depth.max(1) != [depth for _, depth in kept])
    both = found, own
    compared = {
        "length": [np.count_nonzero(b.depth, axis=1) for b in both],
        "depth": [b.depth.max(1) for b in both],
        "turns": [np.diff(b.opener >= 0, axis=1).sum(1) for b in both],  # from opening to closing or back
    }
    statistic = "Kolmogorov–Smirnov statistic times √(mn / (m + n))"
    return [
        Difference("sentences of theirs that are annotated otherwise, as a share", float(wrong.mean()), 0.0),
        *(Difference(f"distribution of {name}, {statistic}", apart(*pair), 2.2) for name, pair in compared.items()),
    ]


def begin(folder: Path | None, threads: int, sentences: int = 40_000) -> Contest:
    """Sentences all at once, against a hundredth of them token by token; both by the bracket."""
    torch.manual_seed(0)  # theirs draws from it
    automaton, rng = generator(folder, TYPES, LANGUAGE.max_depth), np.random.default_rng(0)
    few = -(-sentences // 100)
    found = differences(theirs(automaton, 4 * few), ours(sentences, rng))  # it has kept what it knows of many states now

    def by_bracket(sample, count) -> float:
        made = []
        took = timed(lambda: made.append(sample()), threads)()
        return took / count(made[0])

    return Contest(
        lambda: by_bracket(lambda: ours(sentences, rng), lambda own: np.count_nonzero(own.depth)),
        lambda: by_bracket(lambda: theirs(automaton, few), lambda sampled: sum(len(words) - 1 for words, _ in sampled)),
        found,
    )
