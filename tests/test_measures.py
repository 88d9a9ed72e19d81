"""Measures against a plain computation: the whole model, the proxies and every mean again, in numpy, loops and float64."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from lib import measures
from lib.faithfulness import COLUMNS, METRICS, SETTING, measure, summarize
from lib.presets import ModelConfig
from lib.proxies import Setting
from lib.split import Split

CONFIG = ModelConfig(layers=2, heads=2, width=12, mlp_width=16)
SEED = 3  # of the fits
SETTINGS = [
    Setting("svd", 2, layer=1),
    Setting("svd", 1),
    Setting("kmeans", 5, layer=0),
    Setting("one_hot", None, layer=1, head=1),
    Setting("one_hot", None, layer=0),
    Setting("kmeans", 3, head=0),
    Setting("weight_svd", 2, layer=1),
    Setting("svd", 2, layer=1, fit_on="iid"),
    Setting("kmeans", 4, layer=0, fit_on="unseen_depth"),
]


# The model once more


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


class PlainModel:
    """One sequence at a time, one head at a time, one query at a time."""

    def __init__(self, model):
        self.w = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + 1e-5) * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def mlp(self, x: np.ndarray, block: str) -> np.ndarray:
        hidden = x @ self.w[f"{block}.mlp.0.weight"].T + self.w[f"{block}.mlp.0.bias"]
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        return hidden @ self.w[f"{block}.mlp.2.weight"].T + self.w[f"{block}.mlp.2.bias"]

    def run(self, tokens: list[int], simplify: dict | None = None):
        """Logits [T, vocabulary], then patterns, and queries and keys, by (layer, head); `simplify` replaces patterns."""
        residual = self.w["token_embedding.weight"][tokens] + self.w["positions"][: len(tokens)]
        patterns, vectors = {}, {}
        for layer in range(CONFIG.layers):
            block = f"blocks.{layer}"
            qkv = self.norm(residual, f"{block}.norm_attention") @ self.w[f"{block}.attention.qkv.weight"].T
            mixed = []
            for head in range(CONFIG.heads):
                d = CONFIG.head_width
                q, k, v = (qkv[:, part * CONFIG.width + head * d :][:, :d] for part in range(3))
                vectors[layer, head] = q, k
                rule = (simplify or {}).get((layer, head), plain_pattern)
                patterns[layer, head] = rule(q, k)
                mixed.append(patterns[layer, head] @ v)
            residual = residual + np.concatenate(mixed, 1) @ self.w[f"{block}.attention.out.weight"].T
            residual = residual + self.mlp(self.norm(residual, f"{block}.norm_mlp"), block)
        return self.norm(residual, "norm") @ self.w["unembedding.weight"].T, patterns, vectors


def plain_pattern(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    pattern = np.zeros((len(queries), len(keys)))
    for t, query in enumerate(queries):
        pattern[t, : t + 1] = softmax(keys[: t + 1] @ query / math.sqrt(len(query)))
    return pattern


def plain_one_hot(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    pattern = np.zeros((len(queries), len(keys)))
    for t, query in enumerate(queries):
        scores = keys[: t + 1] @ query / math.sqrt(len(query))
        pattern[t, : t + 1] = plain_largest(softmax(scores))
    return pattern


def plain_largest(weights: np.ndarray) -> np.ndarray:
    """1/m at each of the m keys that have the largest weight; what differs from it by rounding has it too."""
    ties = [i for i, weight in enumerate(weights) if weight > max(weights) * 0.9999]
    return np.array([1 / len(ties) if i in ties else 0.0 for i in range(len(weights))])


# The proxies once more


def projection(vectors: np.ndarray, rank: int):
    mean = vectors.mean(0)
    _, eigenvectors = np.linalg.eigh((vectors - mean).T @ (vectors - mean))
    top = eigenvectors[:, ::-1][:, :rank]
    return lambda x: mean + (x - mean) @ top @ top.T


def clustering(vectors: np.ndarray, clusters: int):
    centroids = KMeans(clusters, n_init=1, max_iter=100, random_state=SEED).fit(vectors).cluster_centers_
    return lambda x: np.array([centroids[np.argmin([np.sum((row - c) ** 2) for c in centroids])] for row in x])


def plain_rules(setting: Setting, plain: PlainModel, training: np.ndarray) -> dict:
    """A pattern for each head that `setting` simplifies, by (layer, head)."""
    seen = [plain.run([t for t in row if t])[2] for row in training.tolist()]
    rules = {}
    for layer in range(CONFIG.layers) if setting.layer < 0 else [setting.layer]:
        for head in range(CONFIG.heads) if setting.head < 0 else [setting.head]:
            if setting.proxy == "one_hot":
                rules[layer, head] = plain_one_hot
                continue
            if setting.proxy == "weight_svd":
                rules[layer, head] = plain_weight_svd(plain, layer, head, setting.complexity)
                continue
            fit = {"svd": projection, "kmeans": clustering}[setting.proxy]
            q, k = (fit(np.concatenate([vectors[layer, head][i] for vectors in seen]), setting.complexity) for i in (0, 1))
            rules[layer, head] = lambda queries, keys, q=q, k=k: plain_pattern(q(queries), k(keys))
    return rules


def plain_weight_svd(plain: PlainModel, layer: int, head: int, rank: int):
    """Queries q = W_Q x are replaced by W_Q U U^T x, for the top left singular vectors U of W_Q^T W_K and x of least norm."""
    qkv, d = plain.w[f"blocks.{layer}.attention.qkv.weight"], CONFIG.head_width
    w_q, w_k = (qkv[part * CONFIG.width + head * d :][:d] for part in (0, 1))
    left = np.linalg.svd(w_q.T @ w_k)[0][:, :rank]

    def rule(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
        streams = [np.linalg.lstsq(w_q, query, rcond=None)[0] for query in queries]
        return plain_pattern(np.array([w_q @ (left @ (left.T @ x)) for x in streams]), keys)

    return rule


# The measures once more


def entropy_in_bits(p: np.ndarray) -> float:
    return -sum(x * math.log2(x) for x in p if x > 0)


def plain_measures(plain: PlainModel, split: Split, rules: dict, row: int) -> dict[int, dict[str, float]]:
    """Every measure at each scored position of a sequence. Attention measures are means over the simplified heads."""
    tokens = [t for t in split.tokens[row].tolist() if t]
    original, patterns, _ = plain.run(tokens)
    simplified, simplified_patterns, _ = plain.run(tokens, rules)
    found = {}
    for t in np.flatnonzero(split.scored[row]).tolist():
        truth = tokens[t + 1]
        choice, proxy_choice = (max(split.candidates.tolist(), key=lambda c: logits[t, c]) for logits in (original, simplified))
        p, q = softmax(original[t]), softmax(simplified[t])
        pairs = [(patterns[at][t], simplified_patterns[at][t]) for at in rules]
        found[t] = {
            "same_prediction": float(choice == proxy_choice),
            "accuracy": float(proxy_choice == truth),
            "original_accuracy": float(choice == truth),
            "attention_jsd": np.mean(
                [entropy_in_bits((a + b) / 2) - (entropy_in_bits(a) + entropy_in_bits(b)) / 2 for a, b in pairs]
            ),
            "attention_top1": np.mean([np.minimum(plain_largest(a), plain_largest(b)).sum() for a, b in pairs]),
            "output_kl": sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)),
        }
    return found


def plain_sequences(plain: PlainModel, splits: list[Split], training: np.ndarray, settings: list[Setting]) -> dict:
    """{(setting, split, group, value, sequence): [n, sum of each measure]}, of all groups where something is scored."""
    sums = defaultdict(lambda: np.zeros(1 + len(METRICS)))
    for setting in settings:
        source = {"training": training, **{split.name: split.tokens for split in splits}}[setting.fit_on]
        rules = plain_rules(setting, plain, source)
        for split in splits if setting.fit_on == "training" else [s for s in splits if s.name == setting.fit_on]:
            for row in range(len(split)):
                for t, values in plain_measures(plain, split, rules, row).items():
                    one = np.array([1, *(values[m] for m in METRICS)])
                    sums[setting, split.name, "", "", row] += one
                    for group, categories in split.groups.items():
                        sums[setting, split.name, group, str(categories[row, t]), row] += one
    return sums


@pytest.fixture(scope="module")
def model(random_model):
    """In double precision, so that both computations are exact to many digits and no prediction is a tie."""
    return random_model(CONFIG, seed=1).double()


@pytest.fixture(scope="module")
def splits(small_task):
    """A few sentences of two splits, some of them without a scored position."""
    return [small_task.splits["iid"].first(14), small_task.splits["unseen_depth"].first(9)]


@pytest.fixture(scope="module")
def training(small_task):
    return small_task.training[:20]


@pytest.fixture(scope="module")
def sequences(model, splits, training) -> pd.DataFrame:
    return measure(model, splits, SETTINGS, training, seed=SEED)


@pytest.fixture(scope="module")
def expected(model, splits, training) -> dict:
    return plain_sequences(PlainModel(model), splits, training, SETTINGS)


def test_a_split_for_the_whole_model_is_not_measured_with_single_layers(model, splits, training):
    everywhere, one_layer = Setting("svd", 2), Setting("svd", 2, layer=1)
    both = [replace(splits[0], name="control", whole_model=True), splits[1]]
    table = measure(model, both, [everywhere, one_layer], training)
    assert set(zip(table["split"], table["layer"], strict=True)) == {
        ("control", -1),
        (splits[1].name, -1),
        (splits[1].name, 1),
    }


@torch.no_grad()
def test_the_plain_model_is_the_model(model, splits):
    for tokens in splits[0].tokens[:4]:
        kept = [t for t in tokens.tolist() if t]
        np.testing.assert_allclose(PlainModel(model).run(kept)[0], model(torch.tensor([kept]))[0].numpy(), atol=1e-10)


@pytest.mark.parametrize("metric", METRICS)
def test_sums_per_sequence_and_group_are_those_of_the_plain_computation(sequences, expected, metric):
    column = 1 + METRICS.index(metric)
    found = 0
    for row in sequences.itertuples():
        setting = Setting(row.proxy, None if pd.isna(row.complexity) else row.complexity, row.layer, row.head, row.fit_on)
        key = (setting, row.split, row.group, row.group_value, row.sequence)
        want = expected.get(key, np.zeros(1 + len(METRICS)))
        assert row.n == want[0], key
        assert getattr(row, metric) == pytest.approx(want[column], abs=2e-5), key
        found += key in expected
    assert found == len(expected), "everything scored is in the table, once"


def test_the_cases_compared_are_telling(expected):
    """The settings, sentences and weights above exercise the measures: none is trivial on them."""
    whole = np.sum([sums for (_, _, group, _, _), sums in expected.items() if group == ""], axis=0)
    means = dict(zip(METRICS, whole[1:] / whole[0], strict=True))
    for metric in ("same_prediction", "accuracy", "original_accuracy", "attention_jsd", "attention_top1"):
        assert 0.05 < means[metric] < 0.95, metric
    assert means["output_kl"] > 0.05


def test_results_are_means_over_scored_positions(sequences, expected):
    results = summarize(sequences.assign(task="dyck", seed=7))
    totals = defaultdict(lambda: np.zeros(1 + len(METRICS)))
    for (setting, split, group, value, _), sums in expected.items():
        totals[setting, split, group, value] += sums
    assert len(results) == len(totals) * len(METRICS)
    for row in results.itertuples():
        setting = Setting(row.proxy, None if pd.isna(row.complexity) else row.complexity, row.layer, row.head, row.fit_on)
        total = totals[setting, row.split, row.group, row.group_value]
        assert (row.task, row.seed, row.n) == ("dyck", 7, total[0])
        assert row.value == pytest.approx(total[1 + METRICS.index(row.metric)] / total[0], abs=2e-5)


def test_the_results_table_has_the_columns_that_users_rely_on(sequences):
    results = summarize(sequences.assign(task="dyck", seed=0))
    assert list(results.columns) == [
        *("task", "seed", "layer", "head", "proxy", "complexity", "fit_on"),
        *("split", "group", "group_value", "metric", "value", "n"),
    ]
    assert list(results.columns) == COLUMNS
    assert set(results["metric"]) == {
        *("same_prediction", "accuracy", "original_accuracy", "attention_jsd", "attention_top1", "output_kl")
    }
    assert set(results["group"]) == {"", "depth", "sentence_depth", "distance"}
    assert (results.loc[results["group"] == "", "group_value"] == "").all()
    assert set(results.loc[results["proxy"] == "one_hot", "complexity"]) == {pd.NA}
    assert set(results.loc[results["proxy"] == "svd", "complexity"]) == {1, 2}
    assert set(results["fit_on"]) == {"training", "iid", "unseen_depth"}
    oracle = results[results["fit_on"] != "training"]
    assert (oracle["fit_on"] == oracle["split"]).all(), "an oracle is tested on what it was fitted on"
    assert {-1, 0, 1} == set(results["layer"]) == set(results["head"])
    assert not results.duplicated([c for c in COLUMNS if c not in ("value", "n")]).any()
    assert not results.drop(columns="complexity").isna().any().any()


def test_every_group_adds_up_to_the_whole(sequences):
    keys = [*SETTING, "split"]
    whole = sequences[sequences["group"] == ""].groupby(keys, dropna=False)[["n", *METRICS]].sum()
    for group in ("depth", "sentence_depth", "distance"):
        parts = sequences[sequences["group"] == group].groupby(keys, dropna=False)[["n", *METRICS]].sum()
        pd.testing.assert_frame_equal(parts, whole, check_exact=False, atol=1e-4)


def test_measuring_twice_gives_the_same_table(model, splits, training, sequences):
    again = measure(model, splits, SETTINGS, training, seed=SEED)
    pd.testing.assert_frame_equal(again, sequences, check_exact=True)
    shuffled = again.assign(task="dyck", seed=0).sample(frac=1, random_state=0)
    once, twice = (summarize(t) for t in (sequences.assign(task="dyck", seed=0), shuffled))
    pd.testing.assert_frame_equal(twice, once, rtol=1e-9)


def test_the_order_of_settings_and_splits_does_not_matter(model, splits, training, sequences):
    keys = [*SETTING, "split", "group", "group_value", "sequence"]
    reversed_order = measure(model, splits[::-1], SETTINGS[::-1], training, seed=SEED)
    one, other = (t.sort_values(keys, ignore_index=True) for t in (sequences, reversed_order))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_single_precision_agrees_with_the_plain_computation(random_model, splits, training):
    """What is used in practice; averages over the split hide no more than rounding."""
    settings = SETTINGS[:1]
    single = random_model(CONFIG, seed=1)
    results = summarize(measure(single, splits, settings, training, seed=SEED).assign(task="dyck", seed=0))
    totals = np.zeros(1 + len(METRICS))
    for (_, split, group, _, _), sums in plain_sequences(PlainModel(single), splits[1:], training, settings).items():
        assert split == "unseen_depth"
        totals += sums if group == "" else 0
    values = results[(results["split"] == "unseen_depth") & (results["group"] == "")].set_index("metric")["value"]
    for metric, total in zip(METRICS, totals[1:], strict=True):
        assert values[metric] == pytest.approx(total / totals[0], abs=1e-4), metric


# Laws of the measures themselves


@st.composite
def rows_of_attention(draw):
    """Two distributions over the same keys."""
    length = draw(st.integers(1, 12))
    weights = st.lists(st.floats(0, 1) | st.just(0.0), min_size=length, max_size=length).filter(lambda w: sum(w) > 1e-3)
    return tuple(torch.tensor(w, dtype=torch.float64) / sum(w) for w in (draw(weights), draw(weights)))


@given(rows_of_attention())
def test_jensen_shannon_divergence_is_symmetric_and_between_0_and_1_bit(rows):
    p, q = rows
    divergence = measures.attention_jsd(p, q)
    torch.testing.assert_close(divergence, measures.attention_jsd(q, p))
    assert 0 <= divergence <= 1
    expected = entropy_in_bits(((p + q) / 2).numpy()) - (entropy_in_bits(p.numpy()) + entropy_in_bits(q.numpy())) / 2
    assert divergence.item() == pytest.approx(expected, abs=1e-6)
    assert measures.attention_jsd(p, p).item() == 0


@pytest.mark.parametrize(
    ("p", "q", "jsd", "top1"),
    [
        pytest.param([0.25, 0.75, 0.0], [0.25, 0.75, 0.0], 0, 1, id="equal rows"),
        pytest.param([0.5, 0.5, 0.0], [0.0, 0.0, 1.0], 1, 0, id="disjoint rows"),
        pytest.param([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], 0.311278, 0.5, id="half of it elsewhere: a tie of two"),
        pytest.param([0.4, 0.4, 0.2], [0.4, 0.4, 0.2], 0, 1, id="the same tie"),
        pytest.param([1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0], 0.190875, 2 / 3, id="ties of three and of two"),
    ],
)
def test_attention_measures_by_hand(p, q, jsd, top1):
    p, q = torch.tensor(p), torch.tensor(q)
    assert measures.attention_jsd(p, q).item() == pytest.approx(jsd, abs=1e-6)
    assert measures.attention_top1(p, q).item() == pytest.approx(top1)


@pytest.mark.parametrize("noise", [1e-7, 1e-6, 1e-5])
def test_ties_are_ties_however_a_processor_rounds(noise):
    """Weights of equal keys that differ by rounding count as equal, whichever of them comes out larger."""
    tied = torch.tensor([0.3, 0.3, 0.1, 0.3])
    for signs in ([1, -1, 1, 0], [-1, 1, 0, 1], [0, 0, 1, -1]):
        rounded = tied * (1 + noise * torch.tensor(signs))
        torch.testing.assert_close(measures.most_attended(rounded), torch.tensor([1, 1, 0, 1]) / 3)
        assert measures.attention_top1(rounded, torch.tensor([1.0, 0.0, 0.0, 0.0])).item() == pytest.approx(1 / 3)


def test_divergence_of_equal_logits_is_0_and_shifting_logits_changes_nothing():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(0)) * 10
    assert measures.output_kl(logits, logits).abs().max() == 0
    assert measures.output_kl(logits, logits + 3.0).max() < 1e-5


def test_divergence_by_hand_is_in_nats_and_from_the_model_to_the_proxy():
    """From (1/2, 1/2) to (1/4, 3/4): the other way round it would be .131."""
    model, proxy = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert measures.output_kl(model, proxy).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-6)


def test_only_candidates_are_chosen():
    logits = torch.tensor([[9.0, 1.0, 2.0, 0.0], [9.0, 3.0, 2.0, 8.0]])
    assert measures.choices(logits, torch.tensor([1, 2])).tolist() == [2, 1]
