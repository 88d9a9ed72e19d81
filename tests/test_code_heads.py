"""What else is asked of a code model: how well it predicts, which heads copy, what heads do on their own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from code_samples import write_tree
from code_study import small_study
from known_heads import Known, induction, to_itself, to_previous, to_start

from lib.errors import InputError
from lib.measuring.faithfulness import MARGINS
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import MODEL, Simplification
from lib.studies import Study
from lib.tasks.code.heads import BASELINE, copying_heads, pooled_heads, scores, single_heads
from lib.tasks.code.languages import CLASSES, NEW, REPEATED
from lib.tasks.code.ngram import NGram
from lib.tasks.code.splits import VOCABULARY

ONE_HEAD = [Simplification("svd", 1, layer, head) for layer in (0, 1) for head in (0, 1)]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def run(study):
    return study.runs[0]


def block_of(blocks: list, split: str):
    (block,) = [block for block in blocks if block.split == split]
    return block


def by_sequence(block, key, values=None) -> np.ndarray:
    return np.bincount(block.columns["sequence"], block.sums[key] if values is None else values, block.sequences)


# Scores


def test_the_accuracy_of_the_model_is_the_one_that_was_measured(study, run):
    scored = scores([run])[0]
    assert [block.split for block in scored] == study.splits
    for block in scored:
        measured = block_of(study.estimates.blocks(0), block.split)
        np.testing.assert_array_equal(by_sequence(block, (MODEL, "accuracy")), by_sequence(measured, (MODEL, "accuracy")))
        assert block.columns["n"].sum() == measured.columns["n"].sum()
        assert set(block.sums) == {(who, measure) for who in (MODEL, BASELINE) for measure in ("accuracy", "bits")}


@torch.no_grad()
def test_the_bits_of_the_model_are_those_of_its_distribution_over_characters(run):
    split, block = run.data.splits["c"], block_of(scores([run])[0], "c")
    found = by_sequence(block, (MODEL, "bits"))
    for row in range(3):
        logits = run.model(torch.from_numpy(split.tokens[[row]].astype(np.int64)))[0].numpy().astype(float)
        odds = np.exp(logits[:, 2:])
        chances = odds / odds.sum(1, keepdims=True)
        bits = -np.log2([chances[t, split.tokens[row, t + 1] - 2] for t in np.flatnonzero(split.scored[row])])
        assert found[row] == pytest.approx(bits.sum(), rel=1e-4)


def test_the_baseline_is_an_ngram_model_of_the_training_text(run):
    split, block = run.data.splits["javascript"], block_of(scores([run])[0], "javascript")
    right, bits = NGram(run.data.training, len(VOCABULARY)).score(split)
    sequence = np.nonzero(split.scored)[0]
    np.testing.assert_allclose(by_sequence(block, (BASELINE, "accuracy")), np.bincount(sequence, right))
    np.testing.assert_allclose(by_sequence(block, (BASELINE, "bits")), np.bincount(sequence, bits), rtol=1e-5)


@torch.no_grad()
def test_margins_are_how_far_the_best_character_is_ahead_of_the_next(study, run):
    split, block = run.data.splits["c"], block_of(study.estimates.blocks(0), "c")
    logits = run.model(torch.from_numpy(split.tokens.astype(np.int64)))[..., split.candidates].log_softmax(-1)
    ahead = np.diff(np.sort(logits.numpy(), -1)[..., -2:], axis=-1)[..., 0][split.scored]
    counts = np.bincount(block.columns["margin"], block.columns["n"], len(MARGINS) + 1)
    for edges in zip((0, *MARGINS), (*MARGINS, np.inf), strict=True):
        name = f"{edges[0]:g} to {edges[1]:g} nats"
        surely, perhaps = (((ahead >= edges[0] + by) & (ahead < edges[1] - by)).sum() for by in (1e-4, -1e-4))
        assert surely <= counts[block.labels["margin"].index(name)] <= perhaps


# Heads that copy


def as_run(model, seed: int = 0) -> SimpleNamespace:
    return SimpleNamespace(model=model, seed=seed)  # no data: none are sampled for it


def test_heads_that_attend_to_the_token_before_are_found():
    """With real weights: each position is told apart, and queries ask for the one before."""
    context = 21
    model = Transformer(ModelConfig(layers=1, heads=1, width=context, mlp_width=4), len(VOCABULARY), context)
    with torch.no_grad():
        model.token_embedding.weight.zero_()
        model.positions.copy_(torch.eye(context))
        before = 10 * torch.eye(context).roll(1, 1)  # maps position t to t - 1
        model.blocks[0].attention.qkv.weight.copy_(torch.cat([before, torch.eye(context), torch.eye(context)]))
    (row,) = copying_heads(as_run(model)).itertuples()
    assert row.previous_token > 0.99
    assert row.induction < 0.01


@pytest.mark.parametrize("context", [21, 22])
def test_copying_scores_of_heads_whose_attention_is_known(context):
    length = (context - 1) // 2
    model = Known(to_previous, induction(length), to_start, to_itself, context=context)
    table = copying_heads(as_run(model, 3))
    assert table[["seed", "layer", "head"]].to_numpy().tolist() == [[3, 0, head] for head in range(4)]
    start_is_before_the_first = 1 / (2 * length)
    expected = [1, start_is_before_the_first, start_is_before_the_first, 0]
    assert table["previous_token"].tolist() == pytest.approx(expected)
    assert table["induction"].tolist() == pytest.approx([0, 1, 0, 0])


def test_chance_is_the_score_of_even_attention():
    model = Known(to_start)
    model.pattern = lambda batch, length: torch.ones(batch, 1, length, length).tril() / torch.arange(1, length + 1)[:, None]
    (row,) = copying_heads(as_run(model)).itertuples()
    assert row.induction == pytest.approx(row.chance)


def test_scores_of_heads_are_the_same_each_time(run):
    first = copying_heads(run)
    pd.testing.assert_frame_equal(first, copying_heads(run))
    assert first[["layer", "head"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert first[["previous_token", "induction"]].to_numpy().min() >= 0
    assert first[["previous_token", "induction"]].to_numpy().max() <= 1


# Heads on their own


@pytest.mark.parametrize("proxy", [("svd", 1), ("one_hot", None)], ids=lambda p: p[0])
def test_heads_are_pooled_by_whether_they_do_induction(study, proxy):
    """Of seed 0 head 0 of layer 1 does; of seed 1 all but that one."""
    scores = pd.DataFrame({"seed": [0] * 4 + [1] * 4, "layer": [0, 0, 1, 1] * 2, "head": [0, 1] * 4})
    scores["induction"] = [0.1, 0.19, 0.2, 0.0, 0.9, 0.5, 0.1, 0.2]
    pooled, does, others = pooled_heads(study, Simplification(*proxy), scores)
    for seed, inductive in ((0, {(1, 0)}), (1, {(0, 0), (0, 1), (1, 1)})):
        for split in ("id", "c"):
            measured = block_of(study.estimates.blocks(seed), split)
            found = block_of(pooled.blocks(seed), split)
            for group, members in ((does, inductive), (others, {(0, 0), (0, 1), (1, 0), (1, 1)} - inductive)):
                sums = [measured.sums[Simplification(*proxy, *place), "same_prediction"] for place in members]
                np.testing.assert_allclose(found.sums[group, "same_prediction"], np.mean(sums, 0), rtol=1e-6)
            assert set(found.sums) == {(group, "same_prediction") for group in (does, others)}
            assert found.columns is measured.columns
    assert does != others
    value = pooled.estimate(does, "c", "same_prediction").value
    by_hand = []
    for seed, members in ((0, ONE_HEAD[2:3]), (1, [s for s in ONE_HEAD if (s.layer, s.head) != (1, 0)])):
        block = block_of(study.estimates.blocks(seed), "c")
        sums = [block.sums[Simplification(*proxy, s.layer, s.head), "same_prediction"].sum(dtype=float) for s in members]
        by_hand.append(np.mean(sums) / block.columns["n"].sum())
    assert value == pytest.approx(np.mean(by_hand))


@pytest.mark.parametrize("kind", ["", CLASSES[NEW], CLASSES[REPEATED]])
def test_single_heads_are_measured_as_all_else_and_their_gap_is_a_mean(study, kind):
    table = single_heads(study, ["c", "javascript"], kind)
    assert len(table) == 2 * 2 * 4  # proxies, seeds, heads
    for row in table.itertuples():
        alone = study.estimates_of({row.seed: study.estimates.blocks(row.seed)})
        s = Simplification(row.simplification.proxy, row.simplification.complexity, row.layer, row.head)
        where = {"character": kind} if kind else {}
        agreement = {x: alone.estimate(s, x, "same_prediction", **where).value for x in ("id", "c", "javascript")}
        assert row.inside == pytest.approx(agreement["id"], abs=1e-6)
        assert row.gap == pytest.approx(agreement["id"] - np.nanmean([agreement["c"], agreement["javascript"]]), abs=1e-6)


def test_a_split_without_such_characters_has_no_part_in_the_mean(study):
    """Nor has one that is not there."""
    whole, one = single_heads(study, ["c", "nowhere"]), single_heads(study, ["c"])
    pd.testing.assert_frame_equal(whole, one)
    assert len(single_heads(study, ["c"], CLASSES[0])) == len(one)


def test_a_study_whose_heads_were_not_simplified_has_an_empty_table(study):
    without = Study("code", study.experiment, study.folder, preset="tiny")
    blocks = {run.seed: study.estimates.blocks(run.seed) for run in study.runs}
    only = {key for key in blocks[0][0].sums if key[0].head < 0}
    without.estimates = study.estimates_of(
        {
            seed: [type(b)(b.split, b.sequences, b.columns, {k: b.sums[k] for k in only}, b.labels) for b in of]
            for seed, of in blocks.items()
        }
    )
    table = single_heads(without, ["c"])
    assert table.empty
    assert {"inside", "gap", "layer", "head", "simplification"} <= set(table)


def test_a_corpus_without_another_language_is_refused(tmp_path, study):
    """So no chapter and no claim has to do without."""
    only = write_tree(tmp_path / "only", {"python": 12}, functions=8)
    task = study.task.model_copy(update={"location": str(only)})
    with pytest.raises(InputError, match="a corpus with a second language"):
        task.sample(0)
