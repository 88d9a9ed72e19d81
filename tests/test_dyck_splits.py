"""The splits hold what their names say, nothing of it occurs in training, and scored positions are the hard closers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lib.config import checked
from lib.errors import InputError
from lib.split import Sequences, Split
from lib.tasks.dyck.language import FIRST_BRACKET
from lib.tasks.dyck.splits import dyck_split
from lib.tasks.dyck.task import DyckTask
from lib.tasks.dyck.text import parse_sentences

SPLITS = ["iid", "seen_structure", "unseen_structure", "unseen_length", "unseen_depth", "iid_matched"]


def other(task: DyckTask, **change: object) -> DyckTask:
    return DyckTask(**{**task.model_dump(), **change})


def sentences_of(tokens: np.ndarray) -> list[tuple[int, ...]]:
    """Each row without its padding."""
    return [tuple(token for token in row if token) for row in tokens.tolist()]


def structure_of(sentence: tuple[int, ...], k: int) -> str:
    return "".join("(" if token < FIRST_BRACKET + k else ")" for token in sentence[1:-1])


def deepest(structure: str) -> int:
    depths = [structure[: i + 1].count("(") - structure[: i + 1].count(")") for i in range(len(structure))]
    return max(depths)


@pytest.fixture(scope="module")
def structures(small_dataset, small_data):
    """The structures of each split, and of training, as text."""
    parts = {name: split.tokens for name, split in small_dataset.splits.items()} | {"training": small_dataset.training.tokens}
    k = small_data.bracket_types
    return {name: [structure_of(s, k) for s in sentences_of(tokens)] for name, tokens in parts.items()}


def test_there_are_the_splits_in_their_order_and_size(small_dataset, small_data):
    assert list(small_dataset.splits) == SPLITS
    for name, split in small_dataset.splits.items():
        assert split.name == name
        assert len(split) == small_data.split_sentences
    assert len(small_dataset.training) == small_data.training_sentences
    assert small_dataset.context == small_data.unseen_length + 2
    assert len(small_dataset.vocabulary) == 3 + 2 * small_data.bracket_types


@pytest.mark.parametrize("name", SPLITS)
def test_no_evaluation_sentence_occurs_in_training(small_dataset, name):
    """Whole sentences are compared, not keys."""
    assert not set(sentences_of(small_dataset.splits[name].tokens)) & set(sentences_of(small_dataset.training.tokens))


def test_a_small_language_needs_the_exclusion(small_dataset):
    """Without it some sentence would be drawn that training has: many training sentences occur more than once."""
    training = sentences_of(small_dataset.training.tokens)
    assert len(set(training)) < len(training)


def test_seen_structures_occur_in_training(structures):
    assert set(structures["seen_structure"]) <= set(structures["training"])


def test_unseen_structures_do_not_occur_in_training(structures, small_data):
    assert not set(structures["unseen_structure"]) & set(structures["training"])
    assert max(map(len, structures["unseen_structure"])) <= small_data.unseen_structure_length
    assert max(map(deepest, structures["unseen_structure"])) <= small_data.max_depth


@pytest.mark.parametrize("part", ["training", "iid", "seen_structure", "iid_matched"])
def test_in_distribution_lengths_and_depths_are_those_of_training(structures, small_data, part):
    lengths = set(map(len, structures[part]))
    assert small_data.min_length <= min(lengths)
    assert max(lengths) <= small_data.max_length
    assert max(map(deepest, structures[part])) <= small_data.max_depth


def test_unseen_lengths_are_longer_than_any_in_training_and_no_deeper(structures, small_data):
    lengths = set(map(len, structures["unseen_length"]))
    assert min(lengths) > max(map(len, structures["training"]))
    assert lengths == set(range(small_data.max_length + 2, small_data.unseen_length + 1, 2))
    assert max(map(deepest, structures["unseen_length"])) <= small_data.max_depth


def test_unseen_depths_are_equally_represented_and_no_longer(structures, small_data):
    counts = Counter(map(deepest, structures["unseen_depth"]))
    assert sorted(counts) == list(range(small_data.max_depth + 1, small_data.unseen_depth + 1))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert max(map(len, structures["unseen_depth"])) <= small_data.max_length


def test_the_matched_control_has_the_lengths_of_unseen_depth(small_data):
    """Where nothing has to be discarded, as with many bracket types, sentence by sentence."""
    splits = other(small_data, bracket_types=20).sample(0).splits
    np.testing.assert_array_equal(splits["iid_matched"].lengths, splits["unseen_depth"].lengths)
    assert len(set(splits["iid_matched"].lengths.tolist())) > 1


def plain_annotation(row: list[int], k: int) -> list[tuple[int, int] | None]:
    """For each position depth and distance of the bracket that it predicts, None where the next token is no bracket."""
    found, stack = [None] * len(row), []
    for position, token in enumerate(row):
        if token < FIRST_BRACKET:
            continue
        if token < FIRST_BRACKET + k:
            stack.append(position)
            found[position - 1] = (len(stack), 0)
        else:
            depth = len(stack)
            found[position - 1] = (depth, position - stack.pop())
    return found


def assert_scored_and_grouped_by_plain_loops(split: Split, config: DyckTask) -> None:
    for row, tokens in enumerate(split.tokens.tolist()):
        predicted = plain_annotation(tokens, config.bracket_types)
        most = max(p[0] for p in predicted if p)
        for position, bracket in enumerate(predicted):
            depth, distance = bracket or (0, 0)
            assert split.scored[row, position] == (distance >= config.min_distance)
            assert split.covariates["depth"][row, position] == depth
            assert split.covariates["distance"][row, position] == distance
            assert split.covariates["sentence_depth"][row, position] == most


@pytest.mark.parametrize("name", SPLITS)
def test_scored_are_the_predictions_of_closers_far_from_their_opener(small_dataset, small_data, name):
    split = small_dataset.splits[name]
    assert set(split.covariates) == {"depth", "sentence_depth", "distance"}
    assert_scored_and_grouped_by_plain_loops(split, small_data)
    targets = split.tokens[:, 1:][split.scored[:, :-1]]
    assert set(targets.tolist()) <= set(split.candidates.tolist())
    np.testing.assert_array_equal(split.targets[split.scored], targets)


def test_candidates_are_the_closing_brackets(small_dataset, small_data):
    for split in small_dataset.splits.values():
        assert [small_dataset.vocabulary[c] for c in split.candidates] == ["a)", "b)", "c)"]


def test_the_default_distance_scores_what_murty_et_al_score():
    """Closers at least ten tokens after their opener; here the outermost pair is 11 apart and the next one 9."""
    sentences = parse_sentences(["(a (b (c (c (c (c c) c) c) c) b) a)"], 20)
    split = dyck_split("mine", sentences, DyckTask())
    assert np.argwhere(split.scored).tolist() == [[0, 11]]
    assert split.targets[0, 11] == FIRST_BRACKET + 20
    assert (
        split.covariates["distance"][0, 11],
        split.covariates["depth"][0, 11],
        split.covariates["sentence_depth"][0, 11],
    ) == (11, 1, 6)


def test_the_seed_decides_everything(small_data):
    one, same, other = (small_data.sample(seed) for seed in (0, 0, 1))
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint
    np.testing.assert_array_equal(one.training.tokens, same.training.tokens)
    for name in SPLITS:
        np.testing.assert_array_equal(one.splits[name].tokens, same.splits[name].tokens)
        assert (one.splits[name].tokens != other.splits[name].tokens).any()


def test_the_fingerprint_does_not_change_between_machines_and_versions(small_data):
    """If this fails, models trained before can no longer be told to have seen the same data."""
    assert small_data.sample(0).fingerprint == "42e5bfa10c0cc80d1eed8a4654a22c8dd7814b6e8607f8f7ec10093950369246"


def test_the_fingerprint_notices_a_single_token(small_dataset):
    tokens = small_dataset.training.tokens
    changed = tokens.copy()
    changed[-1, 1] += 1
    for different in (changed, np.pad(tokens, ((0, 0), (0, 1))), tokens[:-1], tokens[::-1]):
        training = Sequences.padded(different)
        assert replace(small_dataset, training=training).fingerprint != small_dataset.fingerprint
    same = replace(small_dataset, training=Sequences.padded(tokens.astype(np.int64)))
    assert same.fingerprint == small_dataset.fingerprint, "how numbers are stored does not count"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param({"unseen_depth": 9}, "split 'unseen_depth'", id="deeper than half the length"),
        pytest.param({"max_length": 5, "min_length": 5, "unseen_structure_length": 5}, "training", id="odd length only"),
        pytest.param({"min_length": 15, "unseen_structure_length": 15}, "split 'unseen_structure'", id="odd shorter limit"),
    ],
)
def test_limits_that_leave_a_part_empty_are_refused_by_its_name(small_data, change, part):
    with pytest.raises(InputError, match=f"dyck, {part}: .*length .* depth"):
        other(small_data, **change).sample(0)


def test_a_distance_that_scores_nothing_is_refused_with_the_split(small_data):
    with pytest.raises(InputError, match=r"split 'iid'.*no position to score.*50.*min_distance"):
        other(small_data, min_distance=50).sample(0)


def test_a_language_with_too_few_sentences_is_refused(small_data):
    """One bracket type and up to 6 brackets: after 600 draws training holds every sentence there is."""
    tiny = other(small_data, bracket_types=1, max_depth=2, max_length=6, unseen_structure_length=6, unseen_depth=3)
    with pytest.raises(InputError, match=r"split 'iid': only 0 of 60 sentences .* do not occur in training.*bracket_types"):
        tiny.sample(0)


def test_training_on_every_structure_there_is_leaves_no_unseen_structure(small_data):
    tiny = other(small_data, bracket_types=20, max_depth=2, max_length=6, unseen_structure_length=6, unseen_depth=3)
    with pytest.raises(InputError, match=r"split 'unseen_structure': only 0 of 60 sentences"):
        other(tiny, min_distance=2).sample(0)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, None], ids=repr)
def test_a_seed_that_is_no_whole_number_from_0_is_refused(small_data, seed):
    with pytest.raises(InputError, match=r"seed is .* must be a whole number"):
        small_data.sample(seed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"bracket_types": 0}, "bracket_types is 0", id="no bracket types"),
        pytest.param({"p_end": 0.0}, "p_end is 0.0: .*greater than 0", id="never ends"),
        pytest.param({"p_end": 1.5}, "p_end is 1.5: .*less than or equal to 1", id="no probability"),
        pytest.param({"p_end": float("nan")}, "p_end is nan: .*finite", id="no number"),
        pytest.param({"min_length": 1}, "min_length is 1: .*greater than or equal to 2", id="shorter than a pair"),
        pytest.param({"max_length": 2}, "max_length is 2.*at least min_length = 4", id="longest below shortest"),
        pytest.param({"unseen_length": 17}, "unseen_length is 17.*at least .* = 18", id="no length is new"),
        pytest.param({"unseen_depth": 4}, "unseen_depth is 4.*at least .* = 5", id="no depth is new"),
        pytest.param(
            {"unseen_structure_length": 17}, "unseen_structure_length is 17.*above max_length = 16", id="longer than training"
        ),
        pytest.param({"split_sentences": 0}, "split_sentences is 0", id="no evaluation sentences"),
        pytest.param({"training_sentences": 2.0}, "training_sentences is 2.0: .*integer", id="a float"),
        pytest.param({"training_sentences": "2"}, "training_sentences is '2': .*integer", id="a text"),
        pytest.param({"training_sentences": True}, "training_sentences is True: .*integer", id="a truth value"),
        pytest.param({"depth": 3}, "depth is no key that there is: use one of bracket_types, max_depth, ", id="unknown key"),
    ],
)
def test_a_configuration_out_of_range_is_refused_by_its_argument(small_data, change, says):
    with pytest.raises(ValidationError):
        other(small_data, **change)
    with pytest.raises(InputError, match=f"^mine.toml, data: {says}"):
        checked(DyckTask, {**small_data.model_dump(), **change}, "mine.toml, data")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"scored": np.zeros((1, 3), bool)}, "no position to score", id="nothing scored"),
        pytest.param(
            {"scored": np.array([[True, False, True]])},
            "predicts nothing",
            id="last position scored",
        ),
        pytest.param({"lengths": np.array([2])}, "predicts nothing", id="padding is predicted"),
        pytest.param({"scored": np.ones((1, 4), bool)}, "scored has shape", id="shape of scored"),
        pytest.param({"covariates": {"depth": np.ones((2, 3))}}, r"covariates\['depth'\] has shape", id="shape of a covariate"),
    ],
)
def test_a_split_whose_parts_do_not_fit_is_refused(change, says):
    parts = {"tokens": np.array([[1, 3, 2]]), "lengths": np.array([3]), "candidates": np.array([3])}
    parts["scored"] = np.array([[False, True, False]])
    assert len(Split(name="mine", **parts)) == 1
    with pytest.raises(InputError, match=f"split 'mine'.*{says}"):
        Split(name="mine", **{**parts, **change})
