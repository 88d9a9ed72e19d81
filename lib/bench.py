"""Benchmarks: how much faster a part of this project is than the plain way, as ratios that hold across machines."""

from __future__ import annotations

import time

import numpy as np

from lib.dyck.language import sample_structures, with_types
from lib.dyck.splits import DyckConfig


def plain_sentence(config: DyckConfig, rng: np.random.Generator) -> tuple[list[int], list[int], list[int]]:
    """One sentence of the same automaton, token by token: types (negative closes), depths, and openers as indices or -1."""
    while True:  # sentences that grow too long are discarded
        types, depths, openers, stack = [], [], [], []
        while len(types) <= config.max_length:
            if not stack and len(types) >= config.min_length and rng.random() < config.p_end:
                return types, depths, openers
            if not stack or (len(stack) < config.max_depth and rng.random() < 0.5):
                stack.append(len(types))
                depths.append(len(stack))
                types.append(int(rng.integers(1, config.bracket_types + 1)))
                openers.append(-1)
            else:
                depths.append(len(stack))
                openers.append(stack.pop())
                types.append(-types[openers[-1]])


def dyck_sampler(sentences: int = 200_000, plain_sentences: int = 2_000) -> float:
    """Time the vectorized sampler against `plain_sentence`, the best of five each; prints and returns the ratio of speeds."""
    config = DyckConfig()
    rng = np.random.default_rng(0)
    vectorized = min(_seconds(lambda: _vectorized(config, sentences)) for _ in range(5))
    plain = min(_seconds(lambda: [plain_sentence(config, rng) for _ in range(plain_sentences)]) for _ in range(5))
    ratio = (sentences / vectorized) / (plain_sentences / plain)
    print(f"vectorized: {sentences:,} sentences with types, depths and openers in {vectorized:.2f} s of processor time")
    print(f"token by token: {plain_sentences:,} sentences in {plain:.2f} s of processor time")
    print(f"ratio of sentences a second: {ratio:.0f}")
    return ratio


def _vectorized(config: DyckConfig, sentences: int) -> None:
    rng = np.random.default_rng(0)
    with_types(sample_structures(sentences, config.automaton, rng), config.bracket_types, rng)


def _seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start
