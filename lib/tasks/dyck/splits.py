"""The Dyck task: training sentences, five splits of which four hold something that training did not, and a control.

Friedman et al. (2024) test on sentences of the training distribution, of structures seen and not seen in training (up to 32
brackets, and longer ones), and on deeper sentences. `iid`, `seen_structure`, `unseen_structure` (up to 32) and `unseen_depth`
follow them; `unseen_length` and the control `iid_matched`, as deep as training and as long as `unseen_depth`, are ours.
No evaluation sentence occurs in the training set, by construction: what was drawn and does occur is discarded and drawn
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import InputError, naming, whole_number
from lib.split import Dataset, Sequences, Split
from lib.tasks.dyck.language import FIRST_BRACKET, PAD, Automaton, Brackets, keys, sample_structures, with_types
from lib.tasks.dyck.text import vocabulary

if TYPE_CHECKING:
    from lib.tasks.dyck.task import DyckTask


def automaton_of(config: DyckTask) -> Automaton:
    """The distribution of training sentences."""
    return Automaton(config.max_depth, config.p_end, config.min_length, config.max_length)


def dyck_data(config: DyckTask, seed: int) -> Dataset:
    """Training sentences and the splits, all a function of `config` and `seed`.

    Raises `InputError` where the configured limits leave a split empty, naming the split and the limit.
    """
    whole_number("seed", seed, 0)
    streams = np.random.default_rng(seed).spawn(7)  # one a part, so that no part depends on how much another drew
    automaton = automaton_of(config)
    with naming("dyck, training"):
        training_structures = sample_structures(config.training_sentences, automaton, streams[0])
    training = with_types(training_structures, config.bracket_types, streams[0])
    known_sentences, known_structures = keys(training.tokens), keys(training_structures)

    splits: dict[str, Split] = {}

    def structures(limits: Automaton) -> Callable:
        return lambda count, rng: sample_structures(count, limits, rng)

    def seen_structures(count: int, rng: np.random.Generator) -> np.ndarray:
        return training_structures[rng.integers(0, len(training_structures), count)]

    def unseen_structures(count: int, rng: np.random.Generator) -> np.ndarray:
        drawn = sample_structures(count, replace(automaton, max_length=config.unseen_structure_length), rng)
        return drawn[~np.isin(keys(drawn), known_structures)]

    longer = replace(automaton, shortest=config.max_length + 1, max_length=config.unseen_length)
    sources = {
        "iid": structures(automaton),
        "seen_structure": seen_structures,
        "unseen_structure": unseen_structures,
        "unseen_length": structures(longer),
        "unseen_depth": partial(_deep, config),
        "iid_matched": lambda count, rng: _as_long_as(np.resize(splits["unseen_depth"].lengths - 2, count), config, rng),
    }
    for (name, source), rng in zip(sources.items(), streams[1:], strict=True):
        with naming(f"dyck, split {name!r}"):
            sentences = _new_sentences(source, config, known_sentences, rng)
        splits[name] = dyck_split(name, sentences, config)
    return Dataset(vocabulary(config.bracket_types), config.unseen_length + 2, Sequences.padded(training.tokens), splits)


def _deep(config: DyckTask, count: int, rng: np.random.Generator) -> np.ndarray:
    """As many sentences of each maximal depth as of any other: drawn naturally, the deepest would be too few to measure."""
    depths = range(config.max_depth + 1, config.unseen_depth + 1)
    limits = [replace(automaton_of(config), max_depth=d, min_depth=d) for d in depths]
    drawn = np.stack([sample_structures(-(-count // len(limits)), limit, rng) for limit in limits], axis=1)
    return drawn.reshape(-1, drawn.shape[-1])  # depths take turns, so any prefix is balanced too


def _as_long_as(lengths: np.ndarray, config: DyckTask, rng: np.random.Generator) -> np.ndarray:
    """No deeper than in training, and sentence by sentence of the given lengths, in brackets."""
    drawn = np.zeros((len(lengths), config.max_length), np.int8)
    for length in np.unique(lengths):
        rows = lengths == length
        limits = replace(automaton_of(config), shortest=int(length), max_length=int(length))
        drawn[rows, :length] = sample_structures(int(rows.sum()), limits, rng)
    return drawn


def _new_sentences(source: Callable, config: DyckTask, known: np.ndarray, rng: np.random.Generator) -> Brackets:
    """`split_sentences` sentences over structures from `source`, none of which is among the `known` keys.

    Only sentences with a scored position are of use; a split is a sample of the distribution all the same, so those
    without one stay in it.
    """
    tokens, found = [], 0
    for _ in range(100):
        drawn = with_types(source(config.split_sentences, rng), config.bracket_types, rng)
        drawn = drawn[~np.isin(keys(drawn.tokens), known)]
        tokens.append(drawn)
        found += len(drawn)
        if found >= config.split_sentences:
            merged = Brackets(*(np.concatenate([getattr(b, f) for b in tokens]) for f in ("tokens", "depth", "opener")))
            return merged[: config.split_sentences]
    raise InputError(
        f"only {found} of {config.split_sentences} sentences could be found that do not occur in training: raise max_length or "
        f"bracket_types, or lower training_sentences or split_sentences"
    )


def dyck_split(name: str, sentences: Brackets, config: DyckTask) -> Split:
    """A `Split` of annotated sentences: closing brackets at least `min_distance` tokens after their opener are scored.

    Covariates: `depth` (of the bracket to be closed), `sentence_depth` (the deepest bracket of the sentence) and `distance`
    (tokens from the opener to the closer), each of the predicted token.
    """
    next_distance = np.pad(sentences.distance[:, 1:], ((0, 0), (0, 1)))
    next_depth = np.pad(sentences.depth[:, 1:], ((0, 0), (0, 1)))
    scored = next_distance >= config.min_distance
    if not scored.any():
        raise InputError(
            f"split {name!r} has no position to score: no bracket closes {config.min_distance} or more tokens after it opened "
            f"(min_distance); use longer sentences or a smaller min_distance"
        )
    deepest = np.broadcast_to(sentences.depth.max(1, keepdims=True), scored.shape)
    k = config.bracket_types
    return Split(
        name=name,
        tokens=sentences.tokens,
        lengths=(sentences.tokens != PAD).sum(1),
        scored=scored,
        candidates=np.arange(FIRST_BRACKET + k, FIRST_BRACKET + 2 * k),
        covariates={"depth": next_depth, "sentence_depth": deepest, "distance": next_distance},
    )
