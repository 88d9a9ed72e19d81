"""What attention looks at, what proxies drop, and single sentences: computed again plainly, drawn, and explored."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Arc

from lib.errors import InputError
from lib.models.base import TIE, Capture
from lib.presets import load
from lib.proxies import MODEL, Simplification
from lib.runs import Run
from lib.studies import Study
from lib.tasks.dyck import mechanism
from lib.tasks.dyck.drawings import GREEN, VERMILION, attention_figure, sentence_figure
from lib.tasks.dyck.language import FIRST_BRACKET, annotate
from lib.tasks.dyck.sentences import compare_sentence, deepest_sentences, sentence_comparison_figure

SVD, FULL = Simplification("svd", 2, 1), Simplification("svd", 8, 1)
KMEANS, ONE_HOT = Simplification("kmeans", 4, 1), Simplification("one_hot", None, 1)


@pytest.fixture(scope="module")
def study(tiny, tiny_artifacts, tmp_path_factory) -> Study:
    """Measured, in a folder of its own, as projections are kept there."""
    folder = tmp_path_factory.mktemp("mechanism") / "artifacts"
    shutil.copytree(tiny_artifacts, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder))
        return load(tiny).study("dyck")


@pytest.fixture(scope="module")
def run(study) -> Run:
    return study.runs[0]


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    plt.close("all")


# Attention


@torch.no_grad()
def rows_of(run: Run, split: str, s: Simplification) -> Iterator[tuple[int, int, np.ndarray]]:
    """Sentence, position and attention (mean over heads) of each scored position, one sentence at a time."""
    of = run.data.splits[split]
    rule = {} if s == MODEL else run.fitter.rules(s)
    for sentence in range(len(of)):
        seen = Capture(rule[1]) if rule else Capture()
        run.model(torch.from_numpy(of.tokens[[sentence], : of.lengths[sentence]].astype(np.int64)), {1: seen})
        for query in np.flatnonzero(of.scored[sentence]):
            yield sentence, query, seen.pattern[0, :, query].mean(0).numpy()


@pytest.mark.parametrize("s", [MODEL, SVD, KMEANS, ONE_HOT], ids=lambda s: s.label)
def test_attention_on_the_opener_is_what_patterns_say_and_ties_are_shared(run, s):
    (block,), depths = mechanism.opener_attention(run, ["unseen_depth"], [SVD, KMEANS, ONE_HOT])
    split = run.data.splits["unseen_depth"]
    brackets = annotate(split.tokens, run.experiment.task.bracket_types)
    weight, first, counts, ties = np.zeros(len(split)), np.zeros(len(split)), Counter(), 0
    for sentence, query, attention in rows_of(run, "unseen_depth", s):
        opener, depth = brackets.opener[sentence, query + 1], brackets.depth[sentence, query + 1]
        most = [key for key, of in enumerate(attention) if of >= attention.max() * (1 - TIE)]
        weight[sentence] += attention[opener]
        first[sentence] += (opener in most) / len(most)
        ties += len(most) > 1
        for key in most:
            counts[int(depth), int(brackets.depth[sentence, key]), key == opener] += 1 / len(most)
    for measure, expected in (("opener_weight", weight), ("opener_first", first)):
        found = np.bincount(block.columns["sequence"], block.sums[s, measure], len(split))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    of_it = depths[[found == s for found in depths["simplification"]]]
    table = {(row.depth, row.attended, row.opener): row.n for row in of_it.itertuples()}
    assert table == pytest.approx(dict(counts), rel=1e-4)
    assert sum(table.values()) == pytest.approx(split.scored.sum())
    if s == KMEANS:
        assert ties, "equal keys tie, which is what is tested here"


def test_anywhere_is_every_bracket_before_alike(run):
    _, depths = mechanism.opener_attention(run, ["unseen_depth"], [SVD])
    split = run.data.splits["unseen_depth"]
    brackets = annotate(split.tokens, run.experiment.task.bracket_types)
    counts = Counter()
    for sentence, query in np.argwhere(split.scored):
        opener, depth = brackets.opener[sentence, query + 1], brackets.depth[sentence, query + 1]
        for key in range(1, query + 1):  # START stands at 0
            counts[int(depth), int(brackets.depth[sentence, key]), bool(key == opener)] += 1 / query
    found = depths[[of == mechanism.ANYWHERE for of in depths["simplification"]]]
    assert {(row.depth, row.attended, row.opener): row.n for row in found.itertuples()} == pytest.approx(dict(counts))


def test_openers_stand_at_positions_of_the_parity_of_their_depth(run):
    """And what closes at the others, so that a closer is predicted from a position of the parity of its opener's."""
    for split in run.data.splits.values():
        brackets = annotate(split.tokens, run.experiment.task.bracket_types)
        sentence, position = np.nonzero(brackets.depth)
        opens, depth = brackets.opener[sentence, position] < 0, brackets.depth[sentence, position]
        assert ((position - depth) % 2 == np.where(opens, 0, 1)).all()


def test_what_is_measured_of_attention_is_grouped_as_all_else(run, study):
    (block,), _ = mechanism.opener_attention(run, ["iid"], [SVD])
    (measured,) = [block for block in study.estimates.blocks(0) if block.split == "iid"]
    assert set(block.covariates) == set(measured.covariates) - {"margin"}
    assert block.columns["n"].sum() == measured.columns["n"].sum()


# What a proxy drops


def test_what_an_svd_drops_is_its_distance_as_a_share_of_the_variance(run, study):
    splits = ("iid", "unseen_depth")
    table = mechanism.unexplained(run, study.estimates.blocks(0), splits, SVD)
    proxy, head = run.fitter.proxies(SVD)[1][0], run.fitter.head(1, 0)
    for split in splits:
        of = run.data.splits[split]
        rows = table[table["split"] == split].set_index("sequence")
        assert set(rows.index) == set(np.flatnonzero(of.scored.any(1)))
        sentence = int(rows.index[3])
        seen = Capture()
        tokens = torch.from_numpy(of.tokens[[sentence], : of.lengths[sentence]].astype(np.int64))
        with torch.no_grad():
            run.model(tokens, {1: seen})
        shares = []
        for kind, train, space in (("queries", head.queries, proxy.queries), ("keys", head.keys, proxy.keys)):
            vectors = getattr(seen, kind)[0, 0].numpy()
            basis, mean = space.basis.numpy(), space.mean.numpy()
            lost = ((vectors - mean - (vectors - mean) @ basis @ basis.T) ** 2).sum(1).mean()
            shares.append(lost / ((train.numpy() - train.numpy().mean(0)) ** 2).sum(1).mean())
        assert rows["outside"][sentence] == pytest.approx(np.mean(shares), rel=1e-3)
        agreed = run.compare([of], [SVD])[0]
        chosen = agreed.columns["sequence"] == sentence
        n = agreed.columns["n"][chosen].sum()
        assert rows["n"][sentence] == n
        assert rows["disagreement"][sentence] == pytest.approx(1 - agreed.sums[SVD, "same_prediction"][chosen].sum() / n)


def test_a_full_rank_svd_drops_nothing_and_disagrees_nowhere(run):
    blocks = run.compare([run.data.splits["iid"]], [FULL])
    table = mechanism.unexplained(run, blocks, ["iid"], FULL)
    assert table["outside"].max() < 1e-6
    assert table["disagreement"].max() == 0


def test_projections_are_of_what_each_token_is(run):
    table = mechanism.projections(run, 1, ["iid", "unseen_depth"], clusters=4, sequences=10)
    split = run.data.splits["iid"].first(10)
    brackets = annotate(split.tokens, 3)
    of = table[(table["split"] == "iid") & (table["kind"] == "keys")]
    assert of["depth"].tolist() == brackets.depth[split.real].tolist()
    assert of["position"].tolist() == [t for length in split.lengths for t in range(length)]
    tokens = split.tokens[split.real]
    assert [int(kind) for kind in of["type"]] == [-1 if t < FIRST_BRACKET else (t - FIRST_BRACKET) % 3 for t in tokens.tolist()]
    assert set(of["cluster"]) <= set(range(4))
    keys = run.fitter.head(1, 0).keys.double().numpy()
    directions = np.linalg.svd(keys - keys.mean(0))[2][:2]
    spread = of[["x", "y"]].to_numpy()
    seen = Capture()
    with torch.no_grad():
        run.model(torch.from_numpy(split.tokens[[0], : split.lengths[0]].astype(np.int64)), {1: seen})
    expected = (seen.keys[0, 0].double().numpy() - keys.mean(0)) @ directions.T
    np.testing.assert_allclose(np.abs(spread[: split.lengths[0]]), np.abs(expected), atol=1e-3)  # directions have no sign


def test_projections_are_kept_with_the_run(run, monkeypatch):
    first = mechanism.projections(run, 1, ["iid"], clusters=4, sequences=10)
    monkeypatch.setattr(mechanism, "_projections", lambda *_: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(mechanism.projections(run, 1, ["iid"], clusters=4, sequences=10), first)
    with pytest.raises(pytest.fail.Exception):
        mechanism.projections(run, 1, ["iid"], clusters=4, sequences=9)


@pytest.mark.parametrize("covariates", [["depth"], ["distance"], ["distance", "depth"]])
def test_matching_a_split_with_itself_changes_nothing(study, covariates):
    gap = study.estimates.matched_gap(Simplification("svd", 2, 1), "unseen_depth", "unseen_depth", covariates, fewest=1)
    assert (gap.value, gap.interval) == (0, (0, 0))


# Sentences


def test_a_drawn_sentence_has_an_arc_for_each_pair_of_brackets():
    words, depth, opener = list("(a(bb)a)"), [1, 2, 3, 3, 2, 1], [-1, -1, -1, 2, 1, 0]
    words = ["(a", "(b", "(c", "c)", "b)", "a)"]
    picture = sentence_figure(words, depth, opener, "where it is from")
    top, bottom = picture.figure.axes
    arcs = {(arc.center[0], arc.width) for arc in top.patches if isinstance(arc, Arc)}
    assert arcs == {(2.5, 1), (2.5, 3), (2.5, 5)}
    assert [text.get_text() for text in top.texts] == words
    assert [bar.get_height() for bar in bottom.patches] == depth
    assert picture.note.startswith("where it is from; ")
    assert picture.alt.startswith(
        "A sentence of 6 brackets, 3 deep, with an arc from every bracket to the one that closes it; 0 of"
    )


@pytest.mark.parametrize(("weights", "arrows"), [([0, 0.1, 0.7, 0.2], [VERMILION]), ([0, 0.4, 0.4, 0.2], [GREEN, VERMILION])])
def test_drawn_attention_is_as_large_as_its_weight_and_points_where_most_of_it_is(weights, arrows):
    """The bracket to be closed is at position 1; where two tie there is an arrow to each."""
    words = ["^", "(a", "(b", "b)", "a)", "$"]
    depth, rows = [0, 1, 2, 2, 1, 0], {"model": np.array(weights)}
    picture = attention_figure(words, depth, 1, 3, rows, {"model": "predicts a)"}, "which model")
    assert picture.note == "which model"
    most = "2, at depth 2" if len(arrows) == 1 else "1, at depth 1, the bracket to be closed"
    assert picture.alt.endswith(f"Model predicts a); it attends most to position {most}.")
    (ax,) = picture.figure.axes
    drawn, ring = ax.collections
    assert drawn.get_offsets().tolist() == [[0, 0], [1, 1], [2, 2], [3, 2]]
    np.testing.assert_allclose(drawn.get_array(), weights)
    assert np.argsort(drawn.get_sizes(), kind="stable").tolist() == np.argsort(weights, kind="stable").tolist()
    assert ring.get_offsets().tolist() == [[1, 1]]
    assert [to_hex(a.arrow_patch.get_edgecolor()).upper() for a in ax.texts if getattr(a, "arrow_patch", None)] == arrows
    assert "model: predicts a)" in (ax.get_title(), ax.get_title("left"))


def test_a_sentence_is_compared_with_and_without_the_proxy(run):
    (sentence,) = deepest_sentences(run, "unseen_depth").values()
    compared = compare_sentence(run, sentence, ONE_HOT)
    assert compared.closers == np.flatnonzero(sentence.opener[0] >= 0).tolist()
    right = [compared.probabilities["proxy"][p - 1, sentence.tokens[0, p] - FIRST_BRACKET - 3] for p in compared.closers]
    of_type = {p: int(sentence.tokens[0, p] - FIRST_BRACKET - 3) for p in compared.closers}
    best = {who: of.argmax(-1) for who, of in compared.probabilities.items()}
    parted = [p for p, of in of_type.items() if best["model"][p - 1] == of and best["proxy"][p - 1] != of]
    assert compared.parted == parted
    among = [p in parted or not parted for p in compared.closers]
    assert compared.hardest() == compared.closers[int(np.argmin(np.where(among, right, 2)))]
    rows = {
        name: [row[row > 0] for row in patterns.reshape(-1, patterns.shape[-1])] for name, patterns in compared.patterns.items()
    }
    assert max(np.ptp(row) for row in rows["proxy"]) < 1e-6, "all on one key, or in equal parts on those that tie"
    assert max(np.ptp(row) for row in rows["model"]) > 1e-6
    vocabulary = run.data.vocabulary
    picture = sentence_comparison_figure(compared, position := compared.hardest(), vocabulary)
    for ax, (name, label) in zip(picture.figure.axes, (("model", "model"), ("proxy", "one-hot")), strict=True):
        chances = compared.probabilities[name][position - 1]
        chosen = int(chances.argmax()) + FIRST_BRACKET + 3
        verdict = "right" if chosen == sentence.tokens[0, position] else "wrong"
        title = ax.get_title() or ax.get_title("left")
        assert title.startswith(f"{label}: predicts {vocabulary[chosen]} ({chances.max():.0%}), {verdict}")
        assert f"{verdict}" in picture.alt
    assert picture.note == "preset tiny: model of seed 0, one sentence; layer 1 simplified"


def test_the_deepest_sentences_are_found_within_the_length_that_is_asked_for(run):
    split = run.data.splits["iid"]
    found = deepest_sentences(run, "iid", count=3, brackets=12)
    depths = [int(label.split(": ")[1].split()[0]) for label in found]
    assert depths == sorted(depths, reverse=True)
    assert all((sentence.tokens > 2).sum() <= 12 for sentence in found.values())
    eligible = [
        d
        for d, n, s in zip(split.covariates["sentence_depth"][:, 0], split.lengths, split.scored, strict=True)
        if n <= 14 and s.any()
    ]
    assert depths == sorted(eligible, reverse=True)[:3]
    with pytest.raises(InputError, match="hold none with at most 2 brackets"):
        deepest_sentences(run, "iid", brackets=2)
