"""Each proxy is the simplification that its name promises, of the chosen heads and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.faithfulness import METRICS, measure, summarize
from lib.presets import ModelConfig
from lib.proxies import PROXIES, Head, Proxy, Setting, capture, fit_rules
from lib.transformer import Capture, softmax_attention

CONFIG = ModelConfig(layers=2, heads=2, width=16, mlp_width=24)  # heads of width 8


@pytest.fixture(scope="module")
def model(random_model):
    return random_model(CONFIG)


@pytest.fixture(scope="module")
def training(small_task):
    return small_task.training[:40]


@pytest.fixture(scope="module")
def data(model, training):
    return capture(model, training, range(CONFIG.layers))


def head_of(data, layer: int, head: int, seed: int = 0) -> Head:
    queries, keys = data[layer]
    return Head(queries[head], keys[head], seed)


def fitted(data, proxy: str, complexity: int | None, layer: int = 1, head: int = 0, seed: int = 0) -> Proxy:
    return PROXIES[proxy].fit(head_of(data, layer, head, seed), complexity)


@torch.no_grad()
def test_only_tokens_are_captured_and_padding_is_not(model, data, training):
    tokens = torch.from_numpy(training.astype(np.int64))
    seen = Capture()
    model(tokens, {1: seen})
    for head in range(CONFIG.heads):
        expected = [
            seen.queries[row, head, position] for row, position in np.argwhere(training != 0).tolist()
        ]  # sentence by sentence
        torch.testing.assert_close(data[1][0][head], torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert data[0][1].shape == (2, int((training != 0).sum()), 8)


# Identities


@torch.no_grad()
def test_full_rank_svd_changes_nothing(model, data, small_task):
    tokens = torch.from_numpy(small_task.splits["unseen_depth"].tokens.astype(np.int64))
    rules = fit_rules(model, Setting("svd", CONFIG.head_width), data)
    original, simplified = model(tokens), model(tokens, rules)
    torch.testing.assert_close(simplified, original, atol=1e-3, rtol=1e-3)
    assert (original.argmax(-1) == simplified.argmax(-1)).all()


@torch.no_grad()
def test_a_cluster_for_every_distinct_vector_changes_nothing(model, training):
    """On the very sentences that it was fitted on, as only there every vector has a centroid of its own."""
    few = training[:4]
    data = capture(model, few, range(CONFIG.layers))
    tokens = torch.from_numpy(few.astype(np.int64))
    for layer in range(CONFIG.layers):
        distinct = {len(torch.unique(x, dim=0)) for x in (*data[layer][0], *data[layer][1])}
        assert len(distinct) == 1, "the queries and keys of every head are equally many"
        rules = fit_rules(model, Setting("kmeans", distinct.pop(), layer), data)
        original, simplified = model(tokens), model(tokens, rules)
        torch.testing.assert_close(simplified[tokens != 0], original[tokens != 0], atol=1e-3, rtol=1e-3)
        assert (original.argmax(-1) == simplified.argmax(-1))[tokens != 0].all()


@pytest.mark.parametrize(
    "setting", [Setting("svd", 8), Setting("svd", 8, layer=1, head=1)], ids=["every head", "one head of the second layer"]
)
def test_an_identity_has_the_measures_of_one(model, training, small_task, setting):
    table = summarize(measure(model, small_task.splits.values(), [setting], training).assign(task="dyck", seed=0))
    values = table[table["group"] == ""].pivot_table(index="split", columns="metric", values="value")
    np.testing.assert_array_equal(values["same_prediction"], 1)
    np.testing.assert_array_equal(values["accuracy"], values["original_accuracy"])
    np.testing.assert_allclose(values["attention_top1"], 1)
    np.testing.assert_allclose(values[["attention_jsd", "output_kl"]], 0, atol=1e-4)


# SVD


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_svd_projects_onto_the_top_singular_directions_about_the_mean(data, rank):
    """Against numpy's singular value decomposition of the centred vectors, in double precision."""
    head = head_of(data, 1, 0)
    simplified = PROXIES["svd"].fit(head, rank).simplify(head.queries, head.keys)
    for vectors, replaced in zip((head.queries, head.keys), simplified, strict=True):
        exact = vectors.double().numpy()
        centred = exact - exact.mean(0)
        u, s, vt = np.linalg.svd(centred, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ vt[:rank] + exact.mean(0)
        np.testing.assert_allclose(replaced.numpy(), best, atol=1e-4)
        remaining = np.linalg.svd(replaced.double().numpy() - exact.mean(0), compute_uv=False)
        assert (remaining[:rank] > 1e-2).all()
        assert (remaining[rank:] < 1e-3).all()


def test_projecting_twice_is_projecting_once(data):
    head = head_of(data, 0, 1)
    proxy = PROXIES["svd"].fit(head, 3)
    once = proxy.simplify(head.queries, head.keys)
    for one, two in zip(once, proxy.simplify(*once), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-5)


def test_fewer_vectors_than_the_rank_are_refused():
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="rank is 4, but there are only 3 vectors"):
        PROXIES["svd"].fit(Head(vectors, vectors), 4)


# k-means


def test_kmeans_replaces_each_vector_by_the_nearest_of_its_centroids(data):
    head, other = head_of(data, 1, 0), head_of(data, 1, 1)
    proxy = PROXIES["kmeans"].fit(head, 12)
    simplified = proxy.simplify(other.queries, other.keys)  # vectors that it was not fitted on
    pairs = [(other.queries, simplified[0], proxy.query_centroids), (other.keys, simplified[1], proxy.key_centroids)]
    for vectors, replaced, centroids in pairs:
        assert centroids.shape == (12, 8)
        distances = np.linalg.norm(vectors.double().numpy()[:, None] - centroids.double().numpy(), axis=-1)
        np.testing.assert_array_equal(replaced.numpy(), centroids.numpy()[distances.argmin(1)])


def test_centroids_are_the_means_of_their_own_vectors(data):
    """What Lloyd's algorithm converges to, for queries and keys each on their own."""
    head = head_of(data, 0, 0)
    proxy = PROXIES["kmeans"].fit(head, 6)
    for vectors, centroids in ((head.queries, proxy.query_centroids), (head.keys, proxy.key_centroids)):
        exact, means = vectors.double().numpy(), centroids.double().numpy()
        nearest = np.linalg.norm(exact[:, None] - means, axis=-1).argmin(1)
        for cluster in range(6):
            np.testing.assert_allclose(means[cluster], exact[nearest == cluster].mean(0), atol=1e-3)


def test_clusters_follow_from_data_and_seed(data):
    one, same, other = (fitted(data, "kmeans", 12, seed=seed) for seed in (0, 0, 1))
    torch.testing.assert_close(one.query_centroids, same.query_centroids, atol=0, rtol=0)
    torch.testing.assert_close(one.key_centroids, same.key_centroids, atol=0, rtol=0)
    assert not torch.equal(one.query_centroids, other.query_centroids)


def test_more_clusters_than_distinct_vectors_are_refused_with_both_numbers():
    vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert len(PROXIES["kmeans"].fit(Head(vectors, vectors), 3).query_centroids) == 3
    with pytest.raises(InputError, match="clusters is 4, but there are only 3 distinct vectors"):
        PROXIES["kmeans"].fit(Head(vectors, vectors), 4)


def test_too_many_clusters_for_the_training_sentences_are_refused_when_measured(model, training, small_task):
    with pytest.raises(InputError, match=r"clusters is 100000, but there are only \d+ distinct vectors"):
        measure(model, [small_task.splits["iid"]], [Setting("kmeans", 100_000, layer=0)], training)


# One-hot


def test_one_hot_attends_to_one_key_and_it_has_the_largest_score(data):
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 4, 11, 8, generator=generator)  # each (batch, T, d_head)
    pattern = fitted(data, "one_hot", None)(queries, keys)
    for row in range(4):
        for query in range(11):
            weights = pattern[row, query].tolist()
            assert sorted(weights, reverse=True) == [1.0] + [0.0] * 10
            scores = [float(queries[row, query].double() @ keys[row, key].double()) for key in range(query + 1)]
            assert weights.index(1.0) == int(np.argmax(scores))


# Other subspaces


@pytest.mark.parametrize("rank", [1, 3])
def test_uncentred_svd_projects_about_the_origin(data, rank):
    head = head_of(data, 1, 0)
    simplified = PROXIES["svd_uncentred"].fit(head, rank).simplify(head.queries, head.keys)
    for vectors, replaced in zip((head.queries, head.keys), simplified, strict=True):
        u, s, vt = np.linalg.svd(vectors.double().numpy(), full_matrices=False)
        np.testing.assert_allclose(replaced.numpy(), (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_random_subspace_has_its_rank_and_follows_from_the_seed(data, rank):
    head = head_of(data, 1, 0, seed=5)
    proxy = PROXIES["random_subspace"].fit(head, rank)
    for vectors, replaced in zip((head.queries, head.keys), proxy.simplify(head.queries, head.keys), strict=True):
        moved = (replaced - vectors.mean(0)).double()
        assert torch.linalg.matrix_rank(moved, atol=1e-3) == rank
        removed = (vectors - replaced).double()
        torch.testing.assert_close((moved * removed).sum(-1), torch.zeros(len(moved)).double(), atol=1e-4, rtol=0)
    again, other = (PROXIES["random_subspace"].fit(head_of(data, 1, 0, seed), rank).queries for seed in (5, 6))
    assert torch.equal(again.basis, proxy.queries.basis)
    assert not torch.allclose(other.basis, proxy.queries.basis)


@pytest.mark.parametrize("rank", [1, 3, 8])
@torch.no_grad()
def test_weight_svd_truncates_the_bilinear_form_of_the_head(model, training, data, rank):
    """Attention is as from x^T M y with the truncated M, for the normalized residual stream x, y; at full rank as before."""
    layer, d = 1, CONFIG.head_width
    tokens = torch.from_numpy(training[:5].astype(np.int64))
    stream = model.blocks[layer].norm_attention(model.run(model.embed(tokens), stop=layer)).double().numpy()
    weights = model.blocks[layer].attention.qkv.weight.double().numpy()
    rule = fit_rules(model, Setting("weight_svd", rank, layer=layer), data)[layer]
    seen = Capture(rule)
    model(tokens, {layer: seen})
    for head in range(CONFIG.heads):
        w_q, w_k = (weights[part * CONFIG.width + head * d :][:d] for part in (0, 1))
        u, s, vt = np.linalg.svd(w_q.T @ w_k)
        form = (u[:, :rank] * s[:rank]) @ vt[:rank]
        scores = torch.from_numpy(np.einsum("bix,xy,bjy->bij", stream, form, stream) / np.sqrt(d))
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        expected = scores.masked_fill(future, -torch.inf).softmax(-1).float()
        torch.testing.assert_close(seen.pattern[:, head], expected, atol=1e-4, rtol=1e-3)


# Where


@pytest.mark.parametrize("proxy", [("svd", 2), ("kmeans", 8), ("one_hot", None)], ids=lambda p: p[0])
@pytest.mark.parametrize(
    ("layer", "head", "changed"),
    [
        pytest.param(-1, -1, {(0, 0), (0, 1), (1, 0), (1, 1)}, id="every head"),
        pytest.param(0, -1, {(0, 0), (0, 1)}, id="the first layer"),
        pytest.param(1, 0, {(1, 0)}, id="one head"),
        pytest.param(-1, 1, {(0, 1), (1, 1)}, id="the second head of every layer"),
    ],
)
def test_only_the_chosen_heads_are_simplified(model, data, proxy, layer, head, changed):
    rules = fit_rules(model, Setting(*proxy, layer, head), data)
    assert rules.keys() == {layer for layer, _ in changed}
    generator = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(2, 3, CONFIG.heads, 10, 8, generator=generator)
    original = softmax_attention(queries, keys)
    for at_layer, rule in rules.items():
        pattern = rule(queries, keys)
        for at_head in range(CONFIG.heads):
            if (at_layer, at_head) in changed:
                expected = fitted(data, *proxy, at_layer, at_head)(queries[:, at_head], keys[:, at_head])
                torch.testing.assert_close(pattern[:, at_head], expected)
                assert not torch.allclose(pattern[:, at_head], original[:, at_head], atol=1e-3)
            else:
                torch.testing.assert_close(pattern[:, at_head], original[:, at_head])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        pytest.param(Setting("svd", 0), "rank of svd is 0.*between 1 and 8", id="rank 0"),
        pytest.param(Setting("svd", 9), "rank of svd is 9.*between 1 and 8", id="rank above the head's width"),
        pytest.param(Setting("svd", None), "rank of svd is None", id="no rank"),
        pytest.param(Setting("svd", 2.0), "rank of svd is 2.0.*whole number", id="rank that is no whole number"),
        pytest.param(Setting("kmeans", 0), "clusters of kmeans is 0.*at least 1", id="no clusters"),
        pytest.param(Setting("kmeans", -3), "clusters of kmeans is -3", id="fewer than no clusters"),
        pytest.param(Setting("one_hot", 4), "one_hot has nothing to choose.*4", id="complexity of one_hot"),
        pytest.param(Setting("pca", 2), "proxy is 'pca'.*svd, kmeans, one_hot", id="unknown proxy"),
        pytest.param(Setting("svd", 2, layer=2), "layer is 2.*-1, 0, 1", id="a layer too high"),
        pytest.param(Setting("svd", 2, layer=-2), "layer is -2", id="a layer too low"),
        pytest.param(Setting("svd", 2, head=2), "head is 2.*-1, 0, 1", id="a head too high"),
        pytest.param(
            Setting("svd", 2, fit_on="unseen"), "fit_on is 'unseen'.*training, iid", id="fitted on a split that is not there"
        ),
    ],
)
def test_a_setting_that_the_model_does_not_have_is_refused(model, training, small_task, setting, says):
    with pytest.raises(InputError, match=says):
        measure(model, [small_task.splits["iid"]], [Setting("one_hot", None), setting], training)


# New ones


@pytest.fixture
def rounded():
    """A new proxy, as the docstring of `lib.proxies` says that one is made."""

    class Rounded(Proxy, name="rounded", parameter="steps"):
        """Queries and keys are rounded to so many steps a unit."""

        def __init__(self, steps):
            self.steps = steps

        @classmethod
        def fit(cls, head, complexity):
            return cls(complexity)

        def simplify(self, queries, keys):
            return (queries * self.steps).round() / self.steps, (keys * self.steps).round() / self.steps

    yield Rounded
    del PROXIES["rounded"]


def test_a_new_proxy_is_taken_up_by_name(rounded, model, training, small_task):
    assert PROXIES["rounded"] is rounded
    settings = [Setting("rounded", 1), Setting("rounded", 3, layer=1, head=0), Setting("rounded", 100_000)]
    table = summarize(measure(model, [small_task.splits["iid"]], settings, training).assign(task="dyck", seed=0))
    assert set(table["complexity"]) == {1, 3, 100_000}
    value = table[(table["group"] == "") & (table["proxy"] == "rounded")].set_index(["complexity", "metric"])["value"]
    assert value[100_000, "same_prediction"] == 1, "so little rounding is no simplification"
    assert value[1, "same_prediction"] < 1
    assert set(table["metric"]) == set(METRICS)
    with pytest.raises(InputError, match=r"steps of rounded is 0.*at least 1"):
        measure(model, [small_task.splits["iid"]], [Setting("rounded", 0)], training)


def test_the_sweep_over_all_ranks_predicts_what_running_the_whole_model_predicts(capsys):
    from lib.bench import rank_sweep

    rank_sweep(sentences=30)  # raises where a prediction differs
    assert "the same predictions" in capsys.readouterr().out


def test_the_proxy_that_the_book_shows_as_an_example_works_as_printed(random_model, small_task):
    import re
    from pathlib import Path

    from lib import proxies
    from lib.figures import name_of, shades_of

    page = (Path(__file__).resolve().parent.parent / "book" / "structure.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(class .*?)```", page, re.DOTALL)
    config = ModelConfig(layers=2, heads=2, width=16, mlp_width=24)
    model = random_model(config, len(small_task.vocabulary), small_task.context)
    try:
        exec(example, vars(proxies).copy())
        settings = [Setting("top_coordinates", rank, 1) for rank in (2, config.head_width)]
        table = measure(model, [small_task.splits["iid"]], settings, small_task.training[:40])
        whole = table[table["group"] == ""].groupby("complexity")[["same_prediction", "n"]].sum()
        assert whole.loc[config.head_width, "same_prediction"] == whole.loc[config.head_width, "n"], "all coordinates kept"
        assert whole.loc[2, "same_prediction"] < whole.loc[2, "n"]
        assert name_of(settings[0]) == "top_coordinates, rank 2"
        assert set(shades_of(settings)) == set(settings)
    finally:
        PROXIES.pop("top_coordinates", None)
