"""The splits hold what their names say, nothing of it occurs in training, and scored positions are the hard closers."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lib.config import checked
from lib.errors import InputError
from lib.experiment import Experiment, MeasuringConfig
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import TRAINING
from lib.runs import MORE, TIMES, Run
from lib.split import Sequences, Split
from lib.tasks import Reference
from lib.tasks.dyck import splits
from lib.tasks.dyck.language import FIRST_BRACKET
from lib.tasks.dyck.splits import FREQUENCIES, balanced, dyck_split
from lib.tasks.dyck.task import DyckTask
from lib.tasks.dyck.text import parse_sentences

UNSEEN = ["unseen_structure", "unseen_structure_long", "unseen_length", "unseen_depth"]
SPLITS = ["iid", "seen_structure", *UNSEEN, "iid_matched", "by_depth"]
FIRST_EDITION = {  # digests of the tokens of `small_data`, seed 0, from when there were only these splits
    "iid": "a194674b",
    "seen_structure": "42d2dad9",
    "unseen_structure": "f3d303c0",
    "unseen_length": "1ebe01ba",
    "unseen_depth": "c4d0f2ee",
    "iid_matched": "21971158",
}

SHALLOW = DyckTask(  # most sentences are short and shallow, as those of Murty et al. (2023)
    open_probability=(0.45, 0.36, 0.31, 0.27, 0.23, 0.17, 0.17, 0.2, 0.3),
    p_end=0.45,
    max_length=76,
    unseen_length=108,
    training_sentences=4_000,
    split_sentences=60,
)


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


def test_long_unseen_structures_are_longer_and_do_not_occur_in_training_either(structures, small_data):
    assert not set(structures["unseen_structure_long"]) & set(structures["training"])
    assert min(map(len, structures["unseen_structure_long"])) > small_data.unseen_structure_length
    assert max(map(len, structures["unseen_structure_long"])) <= small_data.max_length
    assert max(map(deepest, structures["unseen_structure_long"])) <= small_data.max_depth


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


@pytest.mark.parametrize(
    ("change", "shortest", "longest"),
    [
        pytest.param({}, 50, 64, id="default"),
        pytest.param({"max_length": 76, "unseen_length": 108}, 60, 76, id="shallow"),
        pytest.param({"unseen_depth": 30}, 60, 64, id="the deepest fits in"),
    ],
)
def test_every_depth_is_alike_at_one_band_of_lengths(change, shortest, longest):
    split = other(DyckTask(training_sentences=1_000, split_sentences=400), **change).sample(0).splits["by_depth"]
    lengths, depths = (split.covariates[name][:, 0] for name in ("length", "sentence_depth"))
    assert {shortest, longest} <= set(lengths.tolist()) <= set(range(shortest, longest + 1, 2))
    counts = np.bincount(depths)[1:]
    assert len(counts) == change.get("unseen_depth", 16)
    assert counts.max() - counts.min() <= 1
    assert set(depths[: len(counts)].tolist()) == set(range(1, len(counts) + 1)), "they take turns"


def all_structures(length: int, max_depth: int, begun: str = "", depth: int = 0) -> Iterator[str]:
    """Every structure of a length that gets no deeper."""
    if len(begun) == length:
        yield from [begun] if depth == 0 else []
        return
    if depth < max_depth:
        yield from all_structures(length, max_depth, begun + "(", depth + 1)
    if depth > 0:
        yield from all_structures(length, max_depth, begun + ")", depth - 1)


def test_a_sentence_of_each_depth_is_of_the_automaton_that_has_to_close_there(small_data):
    """Against the probability of every structure there is, by its length and how often it is at its deepest."""
    opens = (0.6, 0.3)
    task = other(small_data, bracket_types=20, split_sentences=7_000, open_probability=opens)
    split = task.sample(0).splits["by_depth"]
    found = [structure_of(s, 20) for s in sentences_of(split.tokens)]
    for most in (2, 3, 5):
        expected: Counter = Counter()
        for structure in (s for length in (14, 16) for s in all_structures(length, most) if deepest(s) == most):
            chance, depth = 1.0, 0
            for position, bracket in enumerate(structure):
                opening = opens[min(depth, 2) - 1] if 0 < depth < most else float(depth == 0)
                if depth == 0 and position >= task.min_length:
                    opening = 1 - task.p_end
                chance *= opening if bracket == "(" else 1 - opening
                depth += 1 if bracket == "(" else -1
            expected[len(structure), deepest_pairs(structure)] += chance
        drawn = Counter((len(s), deepest_pairs(s)) for s in found if deepest(s) == most)
        assert drawn.total() == 1_000
        for category in expected.keys() | drawn.keys():
            p = expected[category] / expected.total()
            assert abs(drawn[category] / 1_000 - p) <= 4.5 * math.sqrt(p * (1 - p) / 1_000) + 1e-3, category


def deepest_pairs(structure: str) -> int:
    """How many brackets open at the deepest level of a structure."""
    depths = [structure[: i + 1].count("(") - structure[: i + 1].count(")") for i in range(len(structure))]
    return depths.count(max(depths))


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


def plain_occurrences(training: np.ndarray, config: DyckTask) -> Counter:
    """How often each depth and distance occurs among what would be scored of training."""
    found = (bracket for row in training.tolist() for bracket in plain_annotation(row, config.bracket_types) if bracket)
    return Counter(bracket for bracket in found if bracket[1] >= config.min_distance)


def assert_scored_and_grouped_by_plain_loops(split: Split, config: DyckTask, occurrences: Counter) -> None:
    for row, tokens in enumerate(split.tokens.tolist()):
        predicted = plain_annotation(tokens, config.bracket_types)
        most = max(p[0] for p in predicted if p)
        for position, bracket in enumerate(predicted):
            depth, distance = bracket or (0, 0)
            assert split.scored[row, position] == (distance >= config.min_distance)
            assert split.covariates["depth"][row, position] == depth
            assert split.covariates["distance"][row, position] == distance
            assert split.covariates["sentence_depth"][row, position] == most
            assert split.covariates["length"][row, position] == sum(token >= FIRST_BRACKET for token in tokens)
            frequency = bisect_right([1, 10, 100, 1_000, 10_000, 100_000], occurrences[depth, distance])
            assert split.covariates["frequency"][row, position] == frequency


@pytest.mark.parametrize("name", SPLITS)
def test_scored_are_the_predictions_of_closers_far_from_their_opener(small_dataset, small_data, name):
    split = small_dataset.splits[name]
    assert set(split.covariates) == {"depth", "sentence_depth", "distance", "length", "frequency"}
    occurrences = plain_occurrences(small_dataset.training.tokens, small_data)
    assert_scored_and_grouped_by_plain_loops(split, small_data, occurrences)
    targets = split.tokens[:, 1:][split.scored[:, :-1]]
    assert set(targets.tolist()) <= set(split.candidates.tolist())
    np.testing.assert_array_equal(split.targets[split.scored], targets)


def test_how_often_training_has_a_prediction_is_told_in_words(small_dataset, small_data):
    """Each category's name is a range, and they follow one another; what training is too shallow for it never has."""
    split = small_dataset.splits["unseen_depth"]
    assert split.labels == {"frequency": FREQUENCIES}
    numbers = [[int(n) for n in name.replace(",", "").split() if n.isdecimal()] for name in FREQUENCIES]
    assert numbers == [[], [1, 9], [10, 99], [100, 999], [1_000, 9_999], [10_000, 99_999], [100_000]]
    assert (FREQUENCIES[0], FREQUENCIES[-1]) == ("never", "100,000 or more")
    deeper = split.covariates["depth"] > small_data.max_depth
    assert set(split.covariates["frequency"][deeper].tolist()) == {0}
    occurring = {int(f) for s in small_dataset.splits.values() for f in s.covariates["frequency"][s.scored]}
    assert len(occurring) >= 3, "or the comparison with plain loops would show little"


def test_a_split_from_a_file_has_all_covariates_but_that_of_training(small_data, tmp_path):
    (tmp_path / "mine.txt").write_text("(a (b (b (c c) b) b) a)\n(a a) (b b)\n")
    split = small_data.read_split(tmp_path / "mine.txt")
    assert set(split.covariates) == {"depth", "sentence_depth", "distance", "length"}
    assert split.labels == {}
    assert split.covariates["length"][:, 0].tolist() == [8, 4]


# What the splits are for


def test_each_split_is_compared_in_distribution_with_what_matches_it(small_dataset, small_data):
    assert small_data.unseen(SPLITS) == UNSEEN
    assert {name: small_data.references(name) for name in SPLITS if name not in UNSEEN} == {
        name: [] for name in ("iid", "seen_structure", "iid_matched", "by_depth")
    }
    assert [r.label for name in UNSEEN for r in small_data.references(name)] == [
        "seen_structure at the same length",
        "seen_structure at the same length",
        "iid at the same depth",
        "iid_matched",
        "iid_matched at the same depth",
    ]
    assert Reference("iid", ("sentence_depth", "length")).label == "iid at the same sentence depth and length"


@pytest.mark.parametrize(
    "task", [DyckTask(training_sentences=20_000, split_sentences=600), SHALLOW], ids=["default", "shallow"]
)
def test_what_a_split_is_compared_with_has_the_same_covariates_and_values(task):
    data = task.sample(0)
    for name in UNSEEN:
        split = data.splits[name]
        for reference in task.references(name):
            control = data.splits[reference.split]
            assert {*reference.covariates} <= {*split.covariates} & {*control.covariates}
            combinations = [
                Counter(zip(*(s.covariates[c][s.scored].tolist() for c in reference.covariates or ["depth"]), strict=True))
                for s in (split, control)
            ]
            shared = sum(count for values, count in combinations[0].items() if values in combinations[1])
            assert shared > combinations[0].total() / 5, f"{name} with {reference.label}"


def test_what_is_known_before_a_proxy_runs_are_covariates_of_every_split(small_dataset, small_data):
    for split in small_dataset.splits.values():
        assert {*small_data.foreseen_by} == {*split.covariates}
    assert small_data.key_covariate in small_data.foreseen_by


def test_figures_show_all_but_the_controls_and_tell_them_apart(small_data):
    assert small_data.shown(SPLITS) == ["iid", "seen_structure", *UNSEEN]
    looks = [small_data.look(name) for name in (*SPLITS, "mine")]
    for parts in zip(*looks, strict=True):
        assert len(set(parts)) == len(parts)


@pytest.mark.parametrize("seed", range(5))
def test_the_shallow_language_has_all_splits_at_the_size_of_a_trial(seed):
    data = SHALLOW.sample(seed)
    assert list(data.splits) == SPLITS
    assert [len(split) for split in data.splits.values()] == [60] * len(SPLITS)
    brackets = data.training.lengths - 2
    depths = Counter(deepest(structure_of(s, 20)) for s in sentences_of(data.training.tokens))
    assert brackets.min() == 6
    assert 0.45 < (brackets <= 12).mean() < 0.6
    assert sum(depths[d] for d in (2, 3, 4)) > 0.7 * depths.total()
    assert not {s for split in data.splits.values() for s in sentences_of(split.tokens)} & set(
        sentences_of(data.training.tokens)
    )


# What proxies may be fitted on


def positions_by_depth(sequences: Sequences, k: int) -> Counter:
    """How many fitted positions there are of each depth, by plain loops."""
    fitted = sequences.real if sequences.fitted is None else sequences.fitted
    found: Counter = Counter()
    for tokens, chosen in zip(sequences.tokens.tolist(), fitted.tolist(), strict=True):
        predicted = plain_annotation(tokens, k)
        for position, token in enumerate(tokens):
            if chosen[position]:
                found[predicted[position - 1][0] if token >= FIRST_BRACKET else 0] += 1
                assert token, "padding is never fitted on"
    return found


@pytest.mark.parametrize("count", [1, 40, 150])
def test_balanced_positions_are_as_many_of_each_depth(small_dataset, small_data, count):
    training, k = small_dataset.training, small_data.bracket_types
    chosen = balanced(training, count, k, seed=0)
    available, found = positions_by_depth(training, k), positions_by_depth(chosen, k)
    most = max(found.values())
    assert found == {depth: min(most, there) for depth, there in available.items()}
    assert 0 <= training.first(count).lengths.sum() - found.total() < len(available)
    uneven = positions_by_depth(training.first(count), k)
    assert max(uneven.values()) > 1.5 * most, "or there was nothing to balance"


def test_where_all_positions_are_wanted_all_are_taken(small_dataset, small_data):
    training = small_dataset.training
    chosen = balanced(training, len(training), small_data.bracket_types, seed=0)
    assert positions_by_depth(chosen, 3) == positions_by_depth(training, 3)
    assert len(chosen) == len(training)


def test_only_training_sentences_that_are_needed_are_read(small_dataset, small_data):
    """Some of the deepest among them, however few there are; drawn anew for another seed."""
    training = small_dataset.training
    one, same, another = (balanced(training, 40, small_data.bracket_types, seed) for seed in (0, 0, 1))
    assert one.fitted.any(1).all()
    assert not (one.fitted & ~one.real).any()
    assert len(one) < len(training) / 2
    known = Counter(sentences_of(training.tokens))
    assert not Counter(sentences_of(one.tokens)) - known
    for field in ("tokens", "lengths", "fitted"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert sentences_of(one.tokens) != sentences_of(another.tokens)
    assert sentences_of(one.tokens)[:5] != sentences_of(training.tokens)[:5], "not only the first sentences"


def test_the_first_sequences_keep_what_is_fitted_on(small_dataset):
    split = small_dataset.splits["iid"]
    for sequences in (small_dataset.training, split):
        assert sequences.first(3).fitted is None
        chosen = replace(sequences, fitted=sequences.real & (np.arange(sequences.tokens.shape[1]) % 2 == 0))
        np.testing.assert_array_equal(chosen.first(3).fitted, chosen.fitted[:3])


def test_a_run_can_fit_on_more_and_on_balanced_sentences_made_when_asked_for(small_data, tmp_path, monkeypatch):
    experiment = Experiment(
        task=small_data,
        model=ModelConfig(layers=1, heads=1, width=8, mlp_width=8),
        training=TrainingConfig(steps=2, batch_size=4, warmup_steps=1, evaluations=1, heldout_sequences=5),
        measuring=MeasuringConfig(grid={"0": {"svd": (2,)}}, fit_sequences=40),
        seeds=1,
    )
    made = []
    monkeypatch.setattr(splits, "balanced", lambda *arguments: made.append(arguments) or balanced(*arguments))
    run = Run("small", experiment, tmp_path, 0)
    sources = run.fitter.sources
    assert list(sources) == [TRAINING, MORE, "training_balanced", *SPLITS]
    assert len(sources) == 3 + len(SPLITS)
    assert len(sources[MORE]) == TIMES * len(sources[TRAINING]) == 8 * 40
    assert made == []
    captured = {name: run.fitter.captured(name)[0][0].shape[1] for name in (TRAINING, MORE, "training_balanced", "iid")}
    assert captured["training_balanced"] == sources["training_balanced"].fitted.sum()
    assert captured[MORE] == run.data.training.first(320).lengths.sum()
    assert captured["iid"] == run.data.splits["iid"].lengths.sum()
    assert len(made) == 1, "once"
    assert made[0] == (run.data.training, 40, 3, 0)


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


def test_the_splits_of_the_first_edition_are_what_they_were(small_data):
    """A split that is added draws from a stream of its own, at the end."""
    found = {
        name: hashlib.sha256(split.tokens.tobytes()).hexdigest()[:8] for name, split in small_data.sample(0).splits.items()
    }
    assert {name: found[name] for name in FIRST_EDITION} == FIRST_EDITION


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
        pytest.param({"unseen_structure_length": 16}, "split 'unseen_structure_long'", id="nothing longer"),
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
        pytest.param({"open_probability": (0.5, 1.0)}, r"open_probability.1 is 1.0: .*less than 1", id="never closes"),
        pytest.param({"open_probability": (0.0,)}, r"open_probability.0 is 0.0: .*greater than 0", id="never opens"),
        pytest.param({"open_probability": 0.4}, r"open_probability is 0.4: .*tuple", id="one number"),
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
