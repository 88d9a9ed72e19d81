"""Measures against a plain computation: the whole model, the proxies and every mean again, in numpy, loops and float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import kmeans_plusplus

from lib.measuring import faithfulness, measures, table
from lib.measuring.faithfulness import measure
from lib.measuring.measures import LABELS, MEASURES, AttentionRows, Comparison, Output
from lib.models.base import most_attended
from lib.models.transformer import ModelConfig
from lib.proxies import MODEL, TRAINING, Fitter, Simplification
from lib.split import Sequences, Split

pytestmark = pytest.mark.kernels

CONFIG = ModelConfig(layers=2, heads=2, width=12, mlp_width=16)
SEED = 3  # of the fits
MORE = "more"  # a source of training sentences beside the usual one
SIMPLIFICATIONS = [
    Simplification("svd", 2, layer=1),
    Simplification("svd", 1),
    Simplification("svd_uncentred", 2, layer=0),
    Simplification("kmeans", 5, layer=0),
    Simplification("one_hot", None, layer=1, head=1),
    Simplification("one_hot", None, layer=0),
    Simplification("kmeans", 3, head=0),
    Simplification("weight_svd", 2, layer=1),
    Simplification("svd_joint", 2),
    Simplification("svd_joint", 1, layer=1, head=0, fit_on=MORE),
    Simplification("svd", 2, layer=1, fit_on="iid"),
    Simplification("kmeans", 4, layer=0, fit_on="unseen_depth"),
]
NAMES = ["same_prediction", "accuracy", "attention_jsd", "attention_top1", "output_kl", "outside"]


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

    def run(self, tokens: list[int], simplified: dict | None = None):
        """Logits [T, vocabulary], then patterns, and queries and keys before they are replaced, by (layer, head)."""
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
                plain = (simplified or {}).get((layer, head), PlainHead())
                patterns[layer, head] = plain.pattern(*plain.replace(q, k))
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
    return np.array([plain_largest(weights) for weights in plain_pattern(queries, keys)])


def plain_largest(weights: np.ndarray) -> np.ndarray:
    """1/m at each of the m keys that have the largest weight; what differs from it by rounding has it too."""
    ties = [i for i, weight in enumerate(weights) if weight > max(weights) * 0.9999]
    return np.array([1 / len(ties) if i in ties else 0.0 for i in range(len(weights))])


# The proxies once more


class PlainHead(NamedTuple):
    """By what queries and keys are replaced, and the pattern of what they are replaced by."""

    replace: Callable = lambda q, k: (q, k)
    pattern: Callable = plain_pattern


def projection(vectors: np.ndarray, rank: int, centred: bool = True):
    mean = vectors.mean(0) if centred else np.zeros(vectors.shape[1])
    _, eigenvectors = np.linalg.eigh((vectors - mean).T @ (vectors - mean))
    top = eigenvectors[:, ::-1][:, :rank]
    return lambda x: mean + (x - mean) @ top @ top.T


def uncentred_projection(vectors: np.ndarray, rank: int):
    return projection(vectors, rank, centred=False)


def clustering(vectors: np.ndarray, clusters: int):
    """Lloyd's algorithm in so many words, from the starts that the proxy takes."""
    sample = vectors[np.random.default_rng(SEED).permutation(len(vectors))[: 10 * clusters]]
    centroids, _ = kmeans_plusplus(sample, clusters, random_state=SEED)

    def nearest(x: np.ndarray) -> np.ndarray:
        return np.array([np.argmin([np.sum((row - c) ** 2) for c in centroids]) for row in x])

    for _ in range(30):
        of = nearest(vectors)
        centroids = np.array([vectors[of == cluster].mean(0) for cluster in range(clusters)])
    return lambda x: centroids[nearest(x)]


def joint_projections(queries: np.ndarray, keys: np.ndarray, rank: int):
    """Of queries and of keys, about the mean of each, onto the directions in which both together vary most."""
    means = queries.mean(0), keys.mean(0)
    scatter = sum(np.outer(x, x) for vectors, mean in zip((queries, keys), means, strict=True) for x in vectors - mean)
    top = np.linalg.eigh(scatter)[1][:, -rank:]
    return tuple(lambda x, mean=mean: mean + (x - mean) @ top @ top.T for mean in means)


FITS = {"svd": projection, "svd_uncentred": uncentred_projection, "kmeans": clustering}


def plain_rules(simplification: Simplification, plain: PlainModel, source: Sequences) -> dict:
    """Each head that is simplified, by (layer, head)."""
    seen = [plain.run(tokens)[2] for tokens in sentences_of(source)]
    rules = {}
    for layer in range(CONFIG.layers) if simplification.layer < 0 else [simplification.layer]:
        for head in range(CONFIG.heads) if simplification.head < 0 else [simplification.head]:
            proxy, complexity = simplification.proxy, simplification.complexity
            if proxy == "one_hot":
                rules[layer, head] = PlainHead(pattern=plain_one_hot)
                continue
            if proxy == "weight_svd":
                rules[layer, head] = PlainHead(plain_weight_svd(plain, layer, head, complexity))
                continue
            captured = [np.concatenate([vectors[layer, head][part] for vectors in seen]) for part in (0, 1)]
            q, k = (
                joint_projections(*captured, complexity)
                if proxy == "svd_joint"
                else [FITS[proxy](vectors, complexity) for vectors in captured]
            )
            rules[layer, head] = PlainHead(lambda queries, keys, q=q, k=k: (q(queries), k(keys)))
    return rules


def plain_weight_svd(plain: PlainModel, layer: int, head: int, rank: int):
    """Queries q = W_Q x are replaced by W_Q U U^T x, for the top left singular vectors U of W_Q^T W_K and x of least norm."""
    qkv, d = plain.w[f"blocks.{layer}.attention.qkv.weight"], CONFIG.head_width
    w_q, w_k = (qkv[part * CONFIG.width + head * d :][:d] for part in (0, 1))
    left = np.linalg.svd(w_q.T @ w_k)[0][:, :rank]

    def replace(queries: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        streams = [np.linalg.lstsq(w_q, query, rcond=None)[0] for query in queries]
        return np.array([w_q @ (left @ (left.T @ x)) for x in streams]), keys

    return replace


# The measures once more


def entropy_in_bits(p: np.ndarray) -> float:
    return -sum(x * math.log2(x) for x in p if x > 0)


def sentences_of(sequences: Sequences) -> list[list[int]]:
    return [[t for t in row if t] for row in sequences.tokens.tolist()]


def lead(logits: np.ndarray, split: Split) -> float:
    """How far the best candidate is ahead of the next."""
    best, second = sorted((logits[c] for c in split.candidates), reverse=True)[:2]
    return best - second


def plain_share(vector: np.ndarray, replaced: np.ndarray) -> float:
    """How much of a vector is dropped, of its squared length."""
    return min(1.0, sum((a - b) ** 2 for a, b in zip(vector, replaced, strict=True)) / sum(a**2 for a in vector))


def plain_outside(pattern: np.ndarray, vectors: tuple, head: PlainHead, t: int) -> float:
    """Half of the share dropped of the query at t and half of that of the keys that the model attends to from there."""
    (queries, keys), (new_queries, new_keys) = vectors, head.replace(*vectors)
    of_keys = sum(pattern[t, s] * plain_share(keys[s], new_keys[s]) for s in range(t + 1))
    return (plain_share(queries[t], new_queries[t]) + of_keys) / 2


def plain_measures(plain: PlainModel, split: Split, rules: dict) -> list[dict]:
    """Covariates and every measure at each scored position. Attention measures are means over the simplified heads."""
    everywhere = {(layer, head): PlainHead() for layer in range(CONFIG.layers) for head in range(CONFIG.heads)}
    found = []
    for row, tokens in enumerate(sentences_of(split)):
        original, patterns, vectors = plain.run(tokens)  # what is dropped of text is known without the simplified model
        simplified, simplified_patterns, _ = plain.run(tokens, rules)
        for t in np.flatnonzero(split.scored[row]).tolist():
            choice, other = (max(split.candidates.tolist(), key=lambda c: logits[t, c]) for logits in (original, simplified))
            p, q = softmax(original[t]), softmax(simplified[t])
            pairs = [(patterns[at][t], simplified_patterns[at][t]) for at in rules or everywhere]
            found.append(
                {
                    "split": split.name,
                    "sequence": row,
                    **{name: int(values[row, t]) for name, values in split.covariates.items()},
                    "margin": sum(lead(original[t], split) >= edge for edge in faithfulness.MARGINS),
                    "n": 1,
                    "same_prediction": float(choice == other),
                    "accuracy": float(other == tokens[t + 1]),
                    "attention_jsd": np.mean(
                        [entropy_in_bits((a + b) / 2) - (entropy_in_bits(a) + entropy_in_bits(b)) / 2 for a, b in pairs]
                    ),
                    "attention_top1": np.mean([np.minimum(plain_largest(a), plain_largest(b)).sum() for a, b in pairs]),
                    "output_kl": sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)),
                    "outside": np.mean(
                        [plain_outside(patterns[at], vectors[at], head, t) for at, head in (rules or everywhere).items()]
                    ),
                    "lead": min(lead(original[t], split), lead(simplified[t], split)),
                }
            )
    return found


def plain_positions(model, splits: list[Split], sources: dict, simplifications: list[Simplification]) -> pd.DataFrame:
    """One row per scored position and simplification (or the model itself), with the index of it among `simplifications`."""
    plain = PlainModel(model)
    tables = [pd.DataFrame(plain_measures(plain, split, {})).assign(index=-1) for split in splits]
    for i, simplification in enumerate(simplifications):
        rules = plain_rules(simplification, plain, sources[simplification.fit_on])
        for split in [s for s in splits if simplification.fit_on in (TRAINING, MORE, s.name)]:
            tables.append(pd.DataFrame(plain_measures(plain, split, rules)).assign(index=i))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def model(random_model):
    """In double precision, so that both computations are exact to many digits and no prediction is a tie."""
    return random_model(CONFIG, seed=1).double()


@pytest.fixture(scope="module")
def splits(small_dataset) -> list[Split]:
    """A few sentences of two splits, some of them without a scored position."""
    return [small_dataset.splits["iid"].first(14), small_dataset.splits["unseen_depth"].first(9)]


@pytest.fixture(scope="module")
def training(small_dataset) -> Sequences:
    return small_dataset.training.first(20)


@pytest.fixture(scope="module")
def sources(splits, training, small_dataset) -> dict[str, Sequences]:
    return {TRAINING: training, MORE: small_dataset.training.first(35), **{split.name: split for split in splits}}


@pytest.fixture(scope="module")
def fitter(model, sources) -> Fitter:
    return Fitter(model, sources, SEED)


@pytest.fixture(scope="module")
def blocks(fitter, splits) -> list[table.Block]:
    return measure(splits, SIMPLIFICATIONS, fitter)


@pytest.fixture(scope="module")
def positions(model, splits, sources) -> pd.DataFrame:
    return plain_positions(model, splits, sources, SIMPLIFICATIONS)


@torch.no_grad()
def test_the_plain_model_is_the_model(model, splits):
    for tokens in sentences_of(splits[0])[:4]:
        np.testing.assert_allclose(PlainModel(model).run(tokens)[0], model(torch.tensor([tokens]))[0].numpy(), atol=1e-10)


@pytest.fixture(scope="module")
def covariates(splits) -> list[str]:
    return [*splits[0].covariates, "margin"]


def test_a_block_is_of_one_split_and_all_that_was_measured_on_it(blocks, splits, covariates):
    assert [block.split for block in blocks] == [split.name for split in splits]
    assert [block.sequences for block in blocks] == [14, 9]
    for block in blocks:
        assert block.covariates == covariates
        assert block.measures == NAMES == list(MEASURES) == list(LABELS)
        measured = [s for s in SIMPLIFICATIONS if s.fit_on in (TRAINING, MORE, block.split)]
        assert block.simplifications == [MODEL, *measured], "an oracle is tested on what it was fitted on"


@pytest.mark.parametrize("name", NAMES)
def test_rows_hold_the_sums_of_the_plain_computation(blocks, positions, covariates, name):
    for block in blocks:
        for simplification in block.simplifications:
            index = SIMPLIFICATIONS.index(simplification) if simplification != MODEL else -1
            of = positions[(positions["split"] == block.split) & (positions["index"] == index)]
            rows = of.groupby(["sequence", *covariates], as_index=False)[["n", name]].sum()
            for column in ("sequence", *covariates, "n"):
                np.testing.assert_array_equal(block.columns[column], rows[column], err_msg=column)
            sums = block.sums[simplification, name]
            np.testing.assert_allclose(sums, rows[name], rtol=1e-6, atol=1e-6, err_msg=str(simplification))


def test_the_cases_compared_are_telling(positions):
    """The simplifications, sentences and weights above exercise the measures: none is trivial on them."""
    simplified, model = positions[positions["index"] >= 0], positions[positions["index"] < 0]
    for name in ("same_prediction", "accuracy", "attention_jsd", "attention_top1"):
        assert 0.05 < simplified[name].mean() < 0.95, name
    assert simplified["output_kl"].mean() > 0.05
    assert 0.05 < simplified["outside"].mean() < 0.95
    assert 0.05 < model["accuracy"].mean() < 0.95
    assert model["margin"].nunique() > 5
    assert positions["lead"].min() > 1e-6, "no prediction hangs on rounding"


def test_the_model_agrees_with_itself(blocks):
    for block in blocks:
        n = block.columns["n"]
        np.testing.assert_array_equal(block.sums[MODEL, "same_prediction"], n)
        np.testing.assert_allclose(block.sums[MODEL, "attention_top1"], n)
        for name in ("attention_jsd", "output_kl", "outside"):
            np.testing.assert_array_equal(block.sums[MODEL, name], 0)


def test_results_are_means_over_scored_positions(blocks, positions, covariates):
    names = {of: [blocks[0].labels[of][code] for code in positions[of]] for of in covariates if of in blocks[0].labels}
    named = positions.assign(**names, whole="").astype(dict.fromkeys(covariates, str))
    expected = {
        (*keys, "" if group == "whole" else group): part
        for group in ("whole", *covariates)
        for keys, part in named.groupby(["index", "split", group])[[*NAMES, "n"]]
    }
    results = table.tidy(blocks, "dyck", 7)
    for row in results.itertuples():
        complexity = None if pd.isna(row.complexity) else row.complexity
        index = SIMPLIFICATIONS.index(Simplification(row.proxy, complexity, row.layer, row.head, row.fit_on))
        key = (row.split, row.group_value, row.group)
        own = row.metric == "original_accuracy"
        wanted = expected[-1, *key]["accuracy"] if own else expected[index, *key][row.metric]
        assert (row.task, row.seed, row.n) == ("dyck", 7, len(wanted))
        assert row.value == pytest.approx(np.mean(wanted.to_numpy()), abs=1e-6)
    assert len(results) == (len(NAMES) + 1) * sum(index >= 0 for index, *_ in expected), "each once"


def test_the_margin_is_in_bins_of_nats(blocks):
    names = blocks[0].labels["margin"]
    assert names[:2] == ("0 to 0.05 nats", "0.05 to 0.1 nats")
    assert names[-1] == "6 to inf nats"
    assert len(names) == len(faithfulness.MARGINS) + 1


def test_a_model_with_one_candidate_is_certain(fitter, splits):
    (block,) = measure([replace(splits[0], candidates=splits[0].candidates[:1])], SIMPLIFICATIONS[:1], fitter)
    assert set(block.columns["margin"]) == {len(faithfulness.MARGINS)}
    np.testing.assert_array_equal(block.sums[SIMPLIFICATIONS[0], "same_prediction"], block.columns["n"])


def test_what_is_left_out_of_a_split_is_not_measured_there(fitter, splits):
    everywhere, one_layer = Simplification("svd", 2), Simplification("svd", 2, layer=1)
    blocks = measure(splits, [everywhere, one_layer], fitter, {"iid": [one_layer]})
    assert [block.simplifications for block in blocks] == [[MODEL, everywhere], [MODEL, everywhere, one_layer]]


def test_what_is_fitted_on_a_split_that_is_not_measured_is_measured_nowhere(model, sources, splits, small_dataset):
    """And what is fitted on training sentences is measured on all, whatever type and name these have."""
    elsewhere = small_dataset.splits["unseen_length"].first(20)
    fitter = Fitter(model, {**sources, "unseen_length": elsewhere, "of_users": elsewhere}, SEED)
    oracle, of_users = (Simplification("svd", 2, fit_on=source) for source in ("unseen_length", "of_users"))
    blocks = measure(splits, [oracle, of_users], fitter)
    assert [block.simplifications for block in blocks] == [[MODEL, of_users]] * 2


def assert_the_same(found: list[table.Block], expected: list[table.Block]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.split, set(one.sums)) == (other.split, set(other.sums))
        for name, column in other.columns.items():
            np.testing.assert_array_equal(one.columns[name], column)
        for key, sums in other.sums.items():
            np.testing.assert_allclose(one.sums[key], sums, rtol=1e-6, atol=1e-6)


def test_the_order_of_simplifications_and_splits_does_not_matter(fitter, splits, blocks):
    again = Fitter(fitter.model, fitter.sources, SEED)
    assert_the_same(measure(splits[::-1], SIMPLIFICATIONS[::-1], again)[::-1], blocks)


@pytest.mark.parametrize("weights", [1, 1_500], ids=["one by one", "in a few batches"])
def test_how_sequences_are_batched_does_not_matter(fitter, splits, blocks, monkeypatch, weights):
    monkeypatch.setattr(faithfulness, "_BATCH", weights)
    assert len(list(faithfulness.batches(fitter.model, splits[0]))) > 2
    assert_the_same(measure(splits, SIMPLIFICATIONS, fitter), blocks)


def test_single_precision_agrees_with_the_plain_computation(random_model, splits, training):
    """What is used in practice; averages over the split hide no more than rounding."""
    simplification = Simplification("svd", 2, layer=1)
    single = random_model(CONFIG, seed=1)
    (block,) = measure(splits[1:], [simplification], Fitter(single, {TRAINING: training}, SEED))
    positions = plain_positions(single, splits[1:], {TRAINING: training}, [simplification])
    assert positions["lead"].min() > 1e-3, "no prediction hangs on rounding"
    for index, measured in ((-1, MODEL), (0, simplification)):
        of = positions[positions["index"] == index]
        for name in NAMES:
            mean = block.sums[measured, name].sum() / block.columns["n"].sum()
            assert mean == pytest.approx(of[name].mean(), abs=1e-4), name


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
    one, other = map(AttentionRows, rows)
    divergence = measures.jensen_shannon(one, other)
    torch.testing.assert_close(divergence, measures.jensen_shannon(other, one))
    assert 0 <= divergence <= 1
    expected = entropy_in_bits(((p + q) / 2).numpy()) - (entropy_in_bits(p.numpy()) + entropy_in_bits(q.numpy())) / 2
    assert divergence.item() == pytest.approx(expected, abs=1e-9)
    assert measures.jensen_shannon(one, one).item() == 0


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
    p, q = AttentionRows(torch.tensor(p)), AttentionRows(torch.tensor(q))
    assert measures.jensen_shannon(p, q).item() == pytest.approx(jsd, abs=1e-6)
    assert measures.overlap_of_first(p, q).item() == pytest.approx(top1)


@pytest.mark.parametrize("noise", [1e-7, 1e-6, 1e-5])
def test_ties_are_ties_however_a_processor_rounds(noise):
    """Weights of equal keys that differ by rounding count as equal, whichever of them comes out larger."""
    tied = torch.tensor([0.3, 0.3, 0.1, 0.3])
    for signs in ([1, -1, 1, 0], [-1, 1, 0, 1], [0, 0, 1, -1]):
        rounded = tied * (1 + noise * torch.tensor(signs))
        torch.testing.assert_close(most_attended(rounded), torch.tensor([1, 1, 0, 1]) / 3)
        rows = AttentionRows(rounded), AttentionRows(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        assert measures.overlap_of_first(*rows).item() == pytest.approx(1 / 3)


def test_what_drops_nothing_all_and_more_than_all_by_hand():
    """A vector of length 0 is no exception, and neither is one whose square underflows in single precision."""
    vectors = torch.tensor([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [3e-30, 4e-30]])
    replaced = torch.tensor([[3.0, 4.0], [3.0, 0.0], [-9.0, 9.0], [0.0, 0.0], [0.0, 1e-3], [3e-30, 0.0]])
    torch.testing.assert_close(measures.Vectors(vectors).dropped_share(replaced)[:5], torch.tensor([0, 0.64, 1, 0, 1]))
    assert measures.Vectors(vectors).dropped_share(replaced).isfinite().all()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(lambda q, k, attend: attend(0 * q, k), 0.5, id="no query"),
        pytest.param(lambda q, k, attend: attend(q, 0 * k), 0.5, id="no keys"),
        pytest.param(lambda q, k, attend: attend(0 * q, 0 * k), 1, id="neither"),
        pytest.param(lambda q, k, attend: attend(q, k).square(), 0, id="both, but another pattern"),
        pytest.param(
            lambda q, k, attend: torch.eye(k.shape[2]).to(q)[: q.shape[2]].expand(*q.shape[:3], -1), 0, id="no scores"
        ),
    ],
)
def test_any_rule_is_measured_by_what_it_attends_with(model, splits, rule, expected):
    of = Simplification("a rule of one's own", layer=1)
    block = faithfulness.compare(model, splits[0], {of: {1: rule}})
    np.testing.assert_allclose(block.sums[of, "outside"], expected * block.columns["n"], rtol=1e-6)


# Learned subspaces


def plain_projector(proxy) -> np.ndarray:
    """The matrix of a proxy's projection, read off what it does, for queries and for keys; they have to be the same."""
    zero, unit = torch.zeros(1, 6).double(), torch.eye(6).double()
    (q0, k0), (q1, k1) = proxy.simplify(zero, zero), proxy.simplify(unit, unit)
    np.testing.assert_allclose(q1 - q0, k1 - k0, atol=1e-12)
    return (q1 - q0).numpy()


def plain_divergence(plain: PlainModel, source: Sequences, at: tuple[int, int], projector: np.ndarray) -> float:
    """Mean divergence over what is predicted, with one head's queries and keys projected about their means."""
    sentences, fitted = sentences_of(source), source.real if source.fitted is None else source.fitted
    seen = [plain.run(tokens)[2][at] for tokens in sentences]
    means = [np.mean([x for row, s in enumerate(seen) for x in s[part][fitted[row, : len(s[part])]]], 0) for part in (0, 1)]
    head = PlainHead(lambda *both: tuple(m + (x - m) @ projector for x, m in zip(both, means, strict=True)))
    found = []
    for row, tokens in enumerate(sentences):
        original, simplified = plain.run(tokens)[0], plain.run(tokens, {at: head})[0]
        for t in [t for t in range(len(tokens) - 1) if fitted[row, t]]:
            p, q = softmax(original[t]), softmax(simplified[t])
            found.append(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))
    return float(np.mean(found))


@pytest.mark.parametrize("some", [False, True], ids=["all positions", "some positions"])
@pytest.mark.parametrize("at", [(0, 1), (1, 0)], ids=["first layer", "last layer"])
@torch.no_grad()
def test_a_learned_subspace_lowers_the_divergence_that_it_reports(model, training, at, some):
    """And that is the divergence of the plain model; few sentences are one minibatch."""
    fitted = training.real & (np.indices(training.tokens.shape).sum(0) % 3 > 0) if some else None
    source = replace(training, fitted=fitted)
    fitter = Fitter(model, {TRAINING: source}, SEED)
    reported = {}
    for name in ("svd_joint", "learned_subspace"):
        proxy = fitter.proxies(Simplification(name, 2, *at))[at[0]][at[1]]
        projector = plain_projector(proxy)
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-9)
        np.testing.assert_allclose(projector, projector.T, atol=1e-9)
        assert np.linalg.matrix_rank(projector, tol=1e-6) == 2
        divergences = [float(fitter.head(*at).divergence(proxy, step)) for step in (None, 0, 5)]
        assert divergences == pytest.approx([plain_divergence(PlainModel(model), source, at, projector)] * 3, abs=1e-6)
        reported[name] = divergences[0]
    assert 0 < reported["learned_subspace"] < 0.95 * reported["svd_joint"]


def compared(original: torch.Tensor, simplified: torch.Tensor, candidates: tuple[int, ...] = (0, 1)) -> Comparison:
    """Two models that compute these logits (P, vocabulary); the true token is 0 always."""
    one, other = (Output(logits, torch.tensor(candidates)) for logits in (original, simplified))
    return Comparison(one, other, torch.zeros(len(original), dtype=torch.int64))


def test_divergence_of_equal_logits_is_0_and_shifting_logits_changes_nothing():
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(0)) * 10
    assert measures.output_kl(compared(logits, logits)).abs().max() == 0
    assert measures.output_kl(compared(logits, logits + 3.0)).max() < 1e-5


def test_divergence_by_hand_is_in_nats_and_from_the_model_to_the_proxy():
    """From (1/2, 1/2) to (1/4, 3/4): the other way round it would be .131."""
    model, proxy = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log()
    divergence = measures.output_kl(compared(model, proxy)).item()
    assert divergence == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), abs=1e-6)


def test_only_candidates_are_chosen():
    """The largest logit is that of token 0, and then of token 3, and neither is a candidate."""
    logits = torch.tensor([[9.0, 1.0, 2.0, 0.0], [9.0, 3.0, 2.0, 8.0]])
    assert compared(logits, logits, (1, 2)).simplified.choices.tolist() == [2, 1]
    assert measures.accuracy(compared(logits, logits, (1, 2))).tolist() == [0, 0]
    assert measures.accuracy(compared(logits, logits, (0, 1))).tolist() == [1, 1]


# New ones


@pytest.fixture
def certainty():
    """A new measure, as the docstring of `lib.measuring.measures` says that one is made."""

    @measures.measure("certainty")
    def certainty(c: Comparison) -> torch.Tensor:
        return c.simplified.log_probabilities.amax(-1).exp()

    yield certainty
    del MEASURES["certainty"], LABELS["certainty"]


@torch.no_grad()
def test_a_new_measure_joins_every_table(certainty, model, fitter, splits, tmp_path):
    blocks = measure(splits, SIMPLIFICATIONS[:2], fitter)
    assert blocks[0].measures == [*NAMES, "certainty"]
    assert LABELS["certainty"] == "certainty"
    table.write(tmp_path / "measurements.parquet", blocks)
    for block, stored, split in zip(blocks, table.read(tmp_path / "measurements.parquet"), splits, strict=True):
        probabilities = model(torch.from_numpy(split.tokens.astype(np.int64))).softmax(-1).amax(-1)  # [n, T]
        expected = probabilities[torch.from_numpy(split.scored)].sum().item()
        assert stored.sums[MODEL, "certainty"].sum() == pytest.approx(expected, rel=1e-6)
        np.testing.assert_array_equal(stored.sums[SIMPLIFICATIONS[1], "certainty"], block.sums[SIMPLIFICATIONS[1], "certainty"])
    results = table.tidy(blocks, "dyck", 0)
    assert set(results["metric"]) == {*NAMES, "original_accuracy", "certainty"}
    assert results.loc[results["metric"] == "certainty", "value"].between(1 / 9, 1).all()
