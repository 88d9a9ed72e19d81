"""The Dyck task: training sentences, splits that hold something that training did not, and controls.

Friedman et al. (2024) test on sentences of the training distribution, of structures seen and not seen in training (up to 32
brackets, and longer ones), and on deeper sentences. `iid`, `seen_structure`, `unseen_structure`, `unseen_structure_long` and
`unseen_depth` follow them. Ours are `unseen_length`, and two controls: `iid_matched`, as deep as training and as long as
`unseen_depth`, and `by_depth`, every depth at one band of lengths. No evaluation sentence occurs in the training set, by
construction: what was drawn and does occur is discarded and drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import InputError, naming, whole_number
from lib.split import Dataset, Sequences, Split
from lib.tasks.dyck.language import FIRST_BRACKET, PAD, Automaton, Brackets, annotate, keys, sample_structures, with_types
from lib.tasks.dyck.text import vocabulary

if TYPE_CHECKING:
    from lib.tasks.dyck.task import DyckTask

# What is drawn, each from a random stream of its own, so that no part depends on how much another drew. A new one goes to the
# end: then all others stay as they were.
_STREAMS = (
    "training", "iid", "seen_structure", "unseen_structure", "unseen_length", "unseen_depth", "iid_matched",
    "unseen_structure_long", "by_depth",
)  # fmt: skip

FREQUENCIES = ("never", "1 to 9", "10 to 99", "100 to 999", "1,000 to 9,999", "10,000 to 99,999", "100,000 or more")


def automaton_of(config: DyckTask) -> Automaton:
    """The distribution of training sentences."""
    limits = config.max_depth, config.p_end, config.min_length, config.max_length
    return Automaton(*limits, open_probability=config.open_probability)


def dyck_data(config: DyckTask, seed: int) -> Dataset:
    """Training sentences and the splits, all a function of `config` and `seed`.

    Raises `InputError` where the configured limits leave a split empty, naming the split and the limit.
    """
    whole_number("seed", seed, 0)
    streams = dict(zip(_STREAMS, np.random.default_rng(seed).spawn(len(_STREAMS)), strict=True))
    automaton = automaton_of(config)
    with naming("dyck, training"):
        training_structures = sample_structures(config.training_sentences, automaton, streams["training"])
    training = with_types(training_structures, config.bracket_types, streams["training"])
    known_sentences, known_structures = np.sort(keys(training.tokens)), np.sort(keys(training_structures))
    occurrences = _occurrences(training, config)

    splits: dict[str, Split] = {}

    def structures(**limits: int) -> Callable:
        return lambda count, rng: sample_structures(count, replace(automaton, **limits), rng)

    def seen_structures(count: int, rng: np.random.Generator) -> np.ndarray:
        return training_structures[rng.integers(0, len(training_structures), count)]

    def unseen_structures(**limits: int) -> Callable:
        def source(count: int, rng: np.random.Generator) -> np.ndarray:
            drawn = structures(**limits)(count, rng)
            return drawn[~_among(keys(drawn), known_structures)]

        return source

    sources = {
        "iid": structures(),
        "seen_structure": seen_structures,
        "unseen_structure": unseen_structures(max_length=config.unseen_structure_length),
        "unseen_structure_long": unseen_structures(shortest=config.unseen_structure_length + 1),
        "unseen_length": structures(shortest=config.max_length + 1, max_length=config.unseen_length),
        "unseen_depth": partial(_of_depths, config, range(config.max_depth + 1, config.unseen_depth + 1), 0),
        "iid_matched": lambda count, rng: _as_long_as(np.resize(splits["unseen_depth"].lengths - 2, count), config, rng),
        "by_depth": partial(_of_depths, config, range(1, config.unseen_depth + 1), _long(config)),
    }
    for name, source in sources.items():
        with naming(f"dyck, split {name!r}"):
            sentences = _new_sentences(source, config, known_sentences, streams[name])
        splits[name] = dyck_split(name, sentences, config, occurrences)
    return Dataset(vocabulary(config.bracket_types), config.unseen_length + 2, Sequences.padded(training.tokens), splits)


def _of_depths(config: DyckTask, depths: Iterable[int], shortest: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """As many sentences of each maximal depth as of any other: drawn naturally, the deepest would be too few to measure.

    Those of depth d are from the automaton that has to close once it is at depth d. Among training sentences, those that get
    no deeper than d closed there by chance, so the more often a sentence is at d the rarer it is; here it is not rarer.
    So these spend more of their brackets at d than training sentences of the same depth and length.
    """
    limits = [replace(automaton_of(config), max_depth=d, min_depth=d, shortest=shortest) for d in depths]
    drawn = np.stack([sample_structures(-(-count // len(limits)), limit, rng) for limit in limits], axis=1)
    return drawn.reshape(-1, drawn.shape[-1])  # depths take turns, so any prefix is balanced too


def _long(config: DyckTask) -> int:
    """The shortest sentence of `by_depth`: so long that every depth fits in, and in the last fifth or so of all lengths."""
    return max(2 * config.unseen_depth, 2 * round(0.39 * config.max_length))


def _as_long_as(lengths: np.ndarray, config: DyckTask, rng: np.random.Generator) -> np.ndarray:
    """No deeper than in training, and sentence by sentence of the given lengths, in brackets."""
    drawn = np.zeros((len(lengths), config.max_length), np.int8)
    for length in np.unique(lengths):
        rows = lengths == length
        limits = replace(automaton_of(config), shortest=int(length), max_length=int(length))
        drawn[rows, :length] = sample_structures(int(rows.sum()), limits, rng)
    return drawn


def _among(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[n] bool: which of the keys found are among the known ones, which are sorted once, as they are asked for often."""
    at = np.searchsorted(known, found).clip(max=len(known) - 1)
    return known[at] == found


def _new_sentences(source: Callable, config: DyckTask, known: np.ndarray, rng: np.random.Generator) -> Brackets:
    """`split_sentences` sentences over structures from `source`, none of which is among the sorted `known` keys.

    Only sentences with a scored position are of use; a split is a sample of the distribution all the same, so those
    without one stay in it.
    """
    tokens, found = [], 0
    for _ in range(100):
        drawn = with_types(source(config.split_sentences, rng), config.bracket_types, rng)
        drawn = drawn[~_among(keys(drawn.tokens), known)]
        tokens.append(drawn)
        found += len(drawn)
        if found >= config.split_sentences:
            merged = Brackets(*(np.concatenate([getattr(b, f) for b in tokens]) for f in ("tokens", "depth", "opener")))
            return merged[: config.split_sentences]
    raise InputError(
        f"only {found} of {config.split_sentences} sentences could be found that do not occur in training: raise max_length or "
        f"bracket_types, or lower training_sentences or split_sentences, in the table data of a preset"
    )


def _occurrences(training: Brackets, config: DyckTask) -> np.ndarray:
    """How often each (depth, distance) of a bracket occurs among what would be scored of training: [depth, distance].

    It is large enough for every split.
    """
    closers = np.flatnonzero(training.opener >= 0)  # much fewer than there are tokens and padding
    distance = closers % training.opener.shape[1] - training.opener.take(closers)
    scored = distance >= config.min_distance
    shape = config.unseen_depth + 1, config.unseen_length + 1
    cells = training.depth.take(closers[scored]).astype(np.int64) * shape[1] + distance[scored]
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def dyck_split(name: str, sentences: Brackets, config: DyckTask, occurrences: np.ndarray | None = None) -> Split:
    """A `Split` of annotated sentences: closing brackets at least `min_distance` tokens after their opener are scored.

    Covariates: `depth` (of the bracket to be closed), `sentence_depth` (the deepest bracket of the sentence), `distance`
    (tokens from the opener to the closer) and `length` (brackets in the sentence), each of the predicted token. With the
    `occurrences` [depth, distance] of scored predictions in training also `frequency`: how many there are of the same depth
    and distance, one of `FREQUENCIES`.
    """
    next_distance = np.pad(sentences.distance[:, 1:], ((0, 0), (0, 1)))
    next_depth = np.pad(sentences.depth[:, 1:], ((0, 0), (0, 1)))
    scored = next_distance >= config.min_distance
    if not scored.any():
        raise InputError(
            f"split {name!r} has no position to score: no bracket closes {config.min_distance} or more tokens after it opened "
            f"(data.min_distance of a preset); use longer sentences"
        )
    lengths = (sentences.tokens != PAD).sum(1)
    of_sentence = {"sentence_depth": sentences.depth.max(1), "length": lengths - 2}
    covariates = {"depth": next_depth, "distance": next_distance}
    covariates |= {key: np.broadcast_to(values[:, None], scored.shape) for key, values in of_sentence.items()}
    if occurrences is not None:
        category = np.digitize(occurrences, 10 ** np.arange(len(FREQUENCIES) - 1)).astype(np.int8)
        covariates["frequency"] = category[next_depth, next_distance]
    k = config.bracket_types
    return Split(
        name=name,
        tokens=sentences.tokens,
        lengths=lengths,
        scored=scored,
        candidates=np.arange(FIRST_BRACKET + k, FIRST_BRACKET + 2 * k),
        covariates=covariates,
        labels={"frequency": FREQUENCIES} if occurrences is not None else {},
    )


def balanced(training: Sequences, count: int, bracket_types: int, seed: int) -> Sequences:
    """Training sentences with as many fitted positions of each depth as of any other; START and END count as depth 0.

    In total as many as the first `count` sentences have; all of a depth that has too few, and then more of the others.
    Sentences are looked through in random order, and the first positions of each depth are taken: the fewer sentences it
    takes, the sooner a model has read them.
    """
    order = np.random.default_rng(seed).permutation(len(training))
    real = training.real[order]
    depth = annotate(training.tokens, bracket_types).depth[order][real]  # [position], sentence by sentence
    each = _share(np.bincount(depth), int(training.first(count).lengths.sum()))
    fitted = np.zeros_like(real)
    fitted[real] = _among_first(depth, each)
    rows = fitted.any(1)
    return Sequences(tokens=training.tokens[order[rows]], lengths=training.lengths[order[rows]], fitted=fitted[rows])


def _among_first(groups: np.ndarray, each: int) -> np.ndarray:
    """[n] bool: the first `each` of every group in `groups` [n]."""
    chosen = np.zeros(len(groups), bool)
    for group in np.unique(groups):
        chosen[np.flatnonzero(groups == group)[:each]] = True
    return chosen


def _share(available: np.ndarray, total: int) -> int:
    """How many to take of each group, as far as there are so many, to have at most `total` together."""
    left = total
    for taken, size in enumerate(np.sort(available).tolist()):
        share = left // (len(available) - taken)
        if size >= share:
            return share
        left -= size
    return int(available.max())
