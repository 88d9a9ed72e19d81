"""Each proxy is the simplification that its name promises, of the chosen heads and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.experiment import Experiment, MeasuringConfig
from lib.measuring import table
from lib.measuring.estimates import Estimates
from lib.measuring.faithfulness import measure
from lib.models.base import Capture, Captured
from lib.models.transformer import ModelConfig, attention_pattern, causal_mask
from lib.proxies import MODEL, PROXIES, TRAINING, Fitter, Head, Proxy, Simplification, divergence, learned
from lib.split import Sequences

pytestmark = pytest.mark.kernels

CONFIG = ModelConfig(layers=2, heads=2, width=16, mlp_width=24)  # heads of width 8


@pytest.fixture(scope="module")
def model(random_model):
    """In double precision, so that no nearest centroid and no prediction hangs on rounding."""
    return random_model(CONFIG).double()


@pytest.fixture(scope="module")
def training(small_dataset) -> Sequences:
    return small_dataset.training.first(40)


@pytest.fixture(scope="module")
def fitter(model, training, small_dataset) -> Fitter:
    return Fitter(model, {TRAINING: training, **small_dataset.splits})


def head_of(fitter: Fitter, layer: int = 1, head: int = 0, seed: int = 0) -> Head:
    queries, keys = fitter.captured()[layer]
    return Head(queries[head], keys[head], seed)


def tokens_of(sequences: Sequences) -> torch.Tensor:
    return torch.from_numpy(sequences.tokens.astype(np.int64))


def attend(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    batches = [x.reshape(-1, 1, *x.shape[-2:]) for x in (queries, keys)]
    return attention_pattern(*batches, causal_mask(keys)).view(*queries.shape[:-1], keys.shape[-2])


@torch.no_grad()
def test_only_tokens_are_captured_and_padding_is_not(model, training):
    seen = Capture()
    model(tokens_of(training), {1: seen})
    data = Captured(model, training)
    for head in range(CONFIG.heads):
        expected = [
            seen.queries[row, head, position] for row, position in np.argwhere(training.tokens != 0).tolist()
        ]  # sentence by sentence
        torch.testing.assert_close(data[1][0][head], torch.stack(expected))
    assert data[0][1].shape == (2, int(training.lengths.sum()), 8)


# Identities


@torch.no_grad()
def test_full_rank_svd_changes_nothing(model, fitter, small_dataset):
    tokens = tokens_of(small_dataset.splits["unseen_depth"])
    rules = fitter.rules(Simplification("svd", CONFIG.head_width))
    torch.testing.assert_close(model(tokens, rules), model(tokens), atol=1e-9, rtol=0)


@torch.no_grad()
def test_a_cluster_for_every_distinct_vector_changes_nothing(model, training):
    """On the very sentence that it was fitted on, in which every position has queries and keys of its own."""
    sentence = training.first(1)
    tokens = tokens_of(sentence)[:, : sentence.lengths[0]]
    fitter = Fitter(model, {TRAINING: sentence})
    for layer in range(CONFIG.layers):
        rules = fitter.rules(Simplification("kmeans", int(sentence.lengths[0]), layer))
        torch.testing.assert_close(model(tokens, rules), model(tokens), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    "simplification",
    [
        Simplification("svd", 8),
        Simplification("svd_joint", 8),
        Simplification("weight_svd", 8),
        Simplification("svd", 8, layer=1, head=1),
    ],
    ids=["every head", "both together of every head", "weights of every head", "one head of the second layer"],
)
def test_an_identity_has_the_measures_of_one(fitter, small_dataset, simplification):
    for block in measure(list(small_dataset.splits.values()), [simplification], fitter):
        found, n = {name: block.sums[simplification, name] for name in block.measures}, block.columns["n"]
        np.testing.assert_array_equal(found["same_prediction"], n)
        np.testing.assert_array_equal(found["accuracy"], block.sums[MODEL, "accuracy"])
        np.testing.assert_allclose(found["attention_top1"], n, rtol=1e-6)
        np.testing.assert_allclose([found["attention_jsd"], found["output_kl"], found["outside"]], 0, atol=1e-9)


# SVD


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_svd_projects_onto_the_top_singular_directions_about_the_mean(fitter, rank):
    """Against numpy's singular value decomposition of the centred vectors."""
    head = head_of(fitter)
    simplified = PROXIES["svd"].fit(head, rank).simplify(head.queries, head.keys)
    for vectors, replaced in zip((head.queries.numpy(), head.keys.numpy()), simplified, strict=True):
        mean = vectors.mean(0)
        u, s, vt = np.linalg.svd(vectors - mean, full_matrices=False)
        np.testing.assert_allclose(replaced.numpy(), (u[:, :rank] * s[:rank]) @ vt[:rank] + mean, atol=1e-9)
        remaining = np.linalg.svd(replaced.numpy() - mean, compute_uv=False)
        assert (remaining[:rank] > 1e-2).all()
        assert (remaining[rank:] < 1e-9).all()


def test_projecting_twice_is_projecting_once(fitter):
    head = head_of(fitter, 0, 1)
    proxy = PROXIES["svd"].fit(head, 3)
    once = proxy.simplify(head.queries, head.keys)
    for one, two in zip(once, proxy.simplify(*once), strict=True):
        torch.testing.assert_close(two, one)


def test_fewer_vectors_than_the_rank_are_refused():
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="rank is 4, but there are only 3 vectors"):
        PROXIES["svd"].fit(Head(vectors, vectors), 4)


# k-means


def test_kmeans_replaces_each_vector_by_the_nearest_of_its_centroids(fitter):
    head, other = head_of(fitter, 1, 0), head_of(fitter, 1, 1)
    proxy = PROXIES["kmeans"].fit(head, 12)
    simplified = proxy.simplify(other.queries, other.keys)  # vectors that it was not fitted on
    pairs = [(other.queries, simplified[0], proxy.query_centroids), (other.keys, simplified[1], proxy.key_centroids)]
    for vectors, replaced, centroids in pairs:
        assert centroids.shape == (12, 8)
        distances = np.linalg.norm(vectors.numpy()[:, None] - centroids.numpy(), axis=-1)
        np.testing.assert_array_equal(replaced.numpy(), centroids.numpy()[distances.argmin(1)])


def test_centroids_are_the_means_of_their_own_vectors(fitter):
    """What Lloyd's algorithm converges to, for queries and keys each on their own."""
    head = head_of(fitter, 0, 0)
    proxy = PROXIES["kmeans"].fit(head, 6)
    for vectors, centroids in ((head.queries, proxy.query_centroids), (head.keys, proxy.key_centroids)):
        exact, means = vectors.numpy(), centroids.numpy()
        nearest = np.linalg.norm(exact[:, None] - means, axis=-1).argmin(1)
        for cluster in range(6):
            np.testing.assert_allclose(means[cluster], exact[nearest == cluster].mean(0), atol=1e-3)


def test_clusters_follow_from_data_and_seed(fitter):
    one, same, other = (PROXIES["kmeans"].fit(head_of(fitter, seed=seed), 12) for seed in (0, 0, 1))
    torch.testing.assert_close(one.query_centroids, same.query_centroids)
    torch.testing.assert_close(one.key_centroids, same.key_centroids)
    assert not torch.allclose(one.query_centroids, other.query_centroids)


def test_more_clusters_than_distinct_vectors_are_refused_with_both_numbers():
    vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert len(PROXIES["kmeans"].fit(Head(vectors, vectors), 3).query_centroids) == 3
    with pytest.raises(InputError, match="clusters is 4, but there are only 3 distinct vectors"):
        PROXIES["kmeans"].fit(Head(vectors, vectors), 4)


def test_too_many_clusters_for_the_training_sentences_are_refused_when_measured(fitter, small_dataset):
    with pytest.raises(InputError, match=r"clusters is 100000, but there are only \d+ distinct vectors"):
        measure([small_dataset.splits["iid"]], [Simplification("kmeans", 100_000, layer=0)], fitter)


# One-hot


def test_one_hot_attends_to_one_key_and_it_has_the_largest_score(fitter):
    queries, keys = torch.randn(2, 4, 11, 8, generator=torch.Generator().manual_seed(0)).double()  # each (batch, T, d_head)
    one_hot = PROXIES["one_hot"].fit(head_of(fitter), None)
    assert one_hot.simplify(queries, keys)[0] is queries
    pattern = one_hot.simplify_pattern(attend(queries, keys))
    for row in range(4):
        for query in range(11):
            weights = pattern[row, query].tolist()
            assert sorted(weights, reverse=True) == [1.0] + [0.0] * 10
            scores = [float(queries[row, query] @ keys[row, key]) for key in range(query + 1)]
            assert weights.index(1.0) == int(np.argmax(scores))


def test_one_hot_attends_in_equal_parts_to_keys_that_tie(fitter):
    """The last of four queries sees the key of the largest score three times."""
    keys = torch.tensor([[2.0, 0], [2, 0], [1, 5], [2, 0]])[None]
    queries = torch.tensor([[1.0, 0]]).expand(1, 4, 2)
    pattern = PROXIES["one_hot"].fit(head_of(fitter), None).simplify_pattern(attend(queries, keys))
    expected = torch.tensor([[1, 0, 0, 0], [1 / 2, 1 / 2, 0, 0], [1 / 2, 1 / 2, 0, 0], [1 / 3, 1 / 3, 0, 1 / 3]])
    torch.testing.assert_close(pattern[0], expected)


# Other subspaces


@pytest.mark.parametrize("rank", [1, 3])
def test_uncentred_svd_projects_about_the_origin(fitter, rank):
    head = head_of(fitter)
    simplified = PROXIES["svd_uncentred"].fit(head, rank).simplify(head.queries, head.keys)
    for vectors, replaced in zip((head.queries, head.keys), simplified, strict=True):
        u, s, vt = np.linalg.svd(vectors.numpy(), full_matrices=False)
        np.testing.assert_allclose(replaced.numpy(), (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_joint_svd_projects_onto_the_top_directions_of_queries_and_keys_together(fitter, rank):
    head = head_of(fitter)
    vectors = [x.numpy() for x in (head.queries, head.keys)]
    moved = np.concatenate([x - x.mean(0) for x in vectors])
    u, s, vt = np.linalg.svd(moved, full_matrices=False)
    expected = np.split((u[:, :rank] * s[:rank]) @ vt[:rank], 2)
    for x, replaced, at in zip(
        vectors, PROXIES["svd_joint"].fit(head, rank).simplify(head.queries, head.keys), expected, strict=True
    ):
        np.testing.assert_allclose(replaced.numpy(), at + x.mean(0), atol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_random_subspaces_have_their_rank_follow_from_the_seed_and_lie_in_those_of_higher_rank(fitter, rank):
    head = head_of(fitter, seed=5)
    proxy = PROXIES["random_subspace"].fit(head, rank)
    for vectors, replaced in zip((head.queries, head.keys), proxy.simplify(head.queries, head.keys), strict=True):
        moved, removed = replaced - vectors.mean(0), vectors - replaced
        assert torch.linalg.matrix_rank(moved, atol=1e-6) == rank
        torch.testing.assert_close((moved * removed).sum(-1), torch.zeros(len(moved)).double(), atol=1e-9, rtol=0)
    again, other, larger = (
        PROXIES["random_subspace"].fit(head_of(fitter, seed=seed), r).queries for seed, r in ((5, rank), (6, rank), (5, 8))
    )
    torch.testing.assert_close(proxy.keys.basis, proxy.queries.basis)
    torch.testing.assert_close(again.basis, proxy.queries.basis)
    assert not torch.allclose(other.basis, proxy.queries.basis)
    torch.testing.assert_close(larger.basis[:, :rank], proxy.queries.basis)


@pytest.mark.parametrize("rank", [1, 3, 8])
@torch.no_grad()
def test_weight_svd_truncates_the_bilinear_form_of_the_head(model, training, fitter, rank):
    """Attention is as from x^T M y with the truncated M, for the normalized residual stream x, y; at full rank as before."""
    layer, d = 1, CONFIG.head_width
    tokens = tokens_of(training.first(5))
    stream = model.blocks[layer].norm_attention(model.run(model.embed(tokens), stop=layer)).numpy()
    weights = model.blocks[layer].attention.qkv.weight.numpy()
    seen = Capture(fitter.rules(Simplification("weight_svd", rank, layer=layer))[layer])
    model(tokens, {layer: seen})
    for head in range(CONFIG.heads):
        w_q, w_k = (weights[part * CONFIG.width + head * d :][:d] for part in (0, 1))
        u, s, vt = np.linalg.svd(w_q.T @ w_k)
        form = (u[:, :rank] * s[:rank]) @ vt[:rank]
        scores = torch.from_numpy(np.einsum("bix,xy,bjy->bij", stream, form, stream) / np.sqrt(d))
        future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        expected = scores.masked_fill(future, -torch.inf).softmax(-1)
        torch.testing.assert_close(seen.pattern[:, head], expected, atol=1e-9, rtol=0)


# Learned subspaces


@pytest.fixture
def few_steps(monkeypatch):
    """As few as do for what does not depend on how good the subspace is; minibatches of 16 sentences of 18 tokens at most."""
    monkeypatch.setattr(learned, "_STEPS", 12)
    monkeypatch.setattr(divergence, "_POSITIONS", 16 * 18)


@torch.no_grad()
def test_a_learned_subspace_follows_from_the_seed_and_leaves_the_model_as_it_was(few_steps, random_model, training):
    """Also where gradients are off, as they are while something is measured."""
    model = random_model(CONFIG).double()
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    one, same, other = (
        Fitter(model, {TRAINING: training}, seed).proxies(Simplification("learned_subspace", 3, 0, 1))[0][1]
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(one.queries.basis, same.queries.basis)
    torch.testing.assert_close(one.queries.basis, one.keys.basis)
    assert not torch.allclose(one.queries.basis, other.queries.basis)
    assert not one.queries.basis.requires_grad
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, before[name], rtol=0, atol=0)
        assert parameter.requires_grad
        assert parameter.grad is None


@torch.no_grad()
def test_minibatches_rotate_and_the_whole_is_their_mean(few_steps, monkeypatch, fitter):
    proxy = PROXIES["svd_joint"].fit(head_of(fitter), 2)

    def reported() -> list[float]:
        return [float(fitter.head(1, 0).divergence(proxy, step)) for step in (*range(6), None)]

    *steps, whole = reported()
    assert steps[:3] == steps[3:], "40 sentences are three minibatches of at most 16"
    assert len(set(steps)) == 3
    assert whole == pytest.approx(np.mean(steps))
    monkeypatch.setattr(divergence, "_POSITIONS", 1)
    assert len(set(reported()[:6])) == 6, "there is no less than a sentence"
    monkeypatch.setattr(divergence, "_BATCHES", 2)
    *steps, _ = reported()
    assert len(set(steps)) == 2


def test_a_learned_subspace_needs_a_model(fitter):
    head = head_of(fitter)
    with pytest.raises(InputError, match=r"learned_subspace needs a model to agree with.*through a Fitter"):
        PROXIES["learned_subspace"].fit(head, 2)


def test_a_learned_subspace_needs_a_model_with_gradients(monkeypatch, random_model, training):
    model = random_model(CONFIG)
    monkeypatch.setattr(model, "run", torch.no_grad()(model.run))
    with pytest.raises(InputError, match="learned_subspace needs a model that can be differentiated"):
        Fitter(model, {TRAINING: training}).rules(Simplification("learned_subspace", 2))


def test_a_learned_subspace_needs_predictions(model, training):
    alone = Sequences(tokens=training.tokens[:, :1], lengths=np.ones(len(training), int))
    with pytest.raises(InputError, match=r"no position to fit on is followed by a token.*fit on other sequences"):
        Fitter(model, {TRAINING: alone}).rules(Simplification("learned_subspace", 2))


# Where, and on what


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
def test_only_the_chosen_heads_are_simplified(fitter, proxy, layer, head, changed):
    rules = fitter.rules(Simplification(*proxy, layer, head))
    assert rules.keys() == {layer for layer, _ in changed}
    queries, keys = torch.randn(2, 3, CONFIG.heads, 10, 8, generator=torch.Generator().manual_seed(0)).double()
    original = attend(queries, keys)
    for at_layer, rule in rules.items():
        pattern = rule(queries, keys, attend)
        for at_head in range(CONFIG.heads):
            if (at_layer, at_head) in changed:
                fitted = PROXIES[proxy[0]].fit(head_of(fitter, at_layer, at_head), proxy[1])
                expected = fitted.simplify_pattern(attend(*fitted.simplify(queries[:, at_head], keys[:, at_head])))
                torch.testing.assert_close(pattern[:, at_head], expected)
                assert not torch.allclose(pattern[:, at_head], original[:, at_head], atol=1e-3)
            else:
                torch.testing.assert_close(pattern[:, at_head], original[:, at_head])


def test_an_oracle_is_fitted_on_the_split_that_it_names(model, fitter, small_dataset):
    split = small_dataset.splits["unseen_depth"]
    found = fitter.proxies(Simplification("svd", 2, layer=1, fit_on="unseen_depth"))[1][0]
    queries, keys = Captured(model, split)[1]
    expected = PROXIES["svd"].fit(Head(queries[0], keys[0]), 2)
    torch.testing.assert_close(found.queries.mean, expected.queries.mean)
    torch.testing.assert_close(found.queries.basis.abs(), expected.queries.basis.abs())


@pytest.mark.parametrize(
    ("simplification", "says"),
    [
        pytest.param(Simplification("svd", 0), "rank of svd is 0.*between 1 and 8", id="rank 0"),
        pytest.param(Simplification("svd", 9), "rank of svd is 9.*between 1 and 8", id="rank above the head's width"),
        pytest.param(Simplification("svd", None), "rank of svd is None", id="no rank"),
        pytest.param(Simplification("svd", 2.0), "rank of svd is 2.0.*whole number", id="rank that is no whole number"),
        pytest.param(Simplification("kmeans", 0), "clusters of kmeans is 0.*at least 1", id="no clusters"),
        pytest.param(Simplification("kmeans", -3), "clusters of kmeans is -3", id="fewer than no clusters"),
        pytest.param(Simplification("one_hot", 4), "one_hot has nothing to choose.*4", id="complexity of one_hot"),
        pytest.param(Simplification("pca", 2), "proxy is 'pca', but must be one of: .*svd", id="unknown proxy"),
        pytest.param(Simplification("svd", 2, layer=2), "layer is 2.*-1, 0, 1", id="a layer too high"),
        pytest.param(Simplification("svd", 2, layer=-2), "layer is -2", id="a layer too low"),
        pytest.param(Simplification("svd", 2, head=2), "head is 2.*-1, 0, 1", id="a head too high"),
        pytest.param(
            Simplification("svd", 2, fit_on="unseen"), "fit_on is 'unseen'.*training, iid", id="fitted on what is not there"
        ),
    ],
)
def test_a_simplification_that_the_model_does_not_have_is_refused(fitter, small_dataset, simplification, says):
    with pytest.raises(InputError, match=says):
        measure([small_dataset.splits["iid"]], [Simplification("one_hot"), simplification], fitter)


@pytest.mark.parametrize(
    ("simplification", "label", "place"),
    [
        (Simplification("svd", 4), "SVD, rank 4", "all layers"),
        (Simplification("kmeans", 16, layer=1), "k-means, 16 clusters", "layer 1"),
        (Simplification("one_hot", None, layer=0, head=1), "one-hot", "L0H1"),
        (Simplification("of_a_plugin", 3), "of_a_plugin, 3 complexity", "all layers"),
        (MODEL, "model", "all layers"),
    ],
)
def test_a_simplification_is_called_by_its_proxy_and_complexity(simplification, label, place):
    assert (simplification.label, simplification.place) == (label, place)


@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_has_an_example_for_heads_of_any_width(name, model, fitter):
    for width in (1, 2, 8, 64):
        example = PROXIES[name].example(width)
        assert (example is None) == (PROXIES[name].parameter is None)
        assert example is None or 1 <= example <= (PROXIES[name].most(width) or example)
    Simplification(name, PROXIES[name].example(model.head_width)).check(model)


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


def test_a_new_proxy_joins_what_is_measured(rounded, fitter, small_dataset):
    simplifications = [Simplification("rounded", 1), Simplification("rounded", 3, 1, 0), Simplification("rounded", 100_000)]
    blocks = measure([small_dataset.splits["iid"]], simplifications, fitter)
    rough, fine = (Estimates({0: blocks}).estimate(simplifications[i], "iid", "same_prediction") for i in (0, 2))
    assert fine.value == 1, "so little rounding is no simplification"
    assert rough.value < 1
    results = table.tidy(blocks, "dyck", 0)
    assert set(results["proxy"]) == {"rounded"}
    assert set(results["complexity"]) == {1, 3, 100_000}
    assert simplifications[1].label == "rounded, 3 steps"
    with pytest.raises(InputError, match=r"steps of rounded is 0.*at least 1"):
        measure([small_dataset.splits["iid"]], [Simplification("rounded", 0)], fitter)


def test_a_new_proxy_joins_an_experiment_wherever_something_is_measured(rounded, small_experiment):
    each_head = {"svd": (2,)}
    measuring = small_experiment.measuring.model_copy(update={"each_head": each_head})
    wider = small_experiment.model_copy(update={"measuring": measuring}).with_proxies(["rounded"])
    for grid in (wider.measuring.grid, wider.measuring.along_training, wider.measuring.refitted):
        assert grid
        assert all(proxies["rounded"] == (16,) for proxies in grid.values())
    assert wider.measuring.each_head == {"rounded": (16,), **each_head}
    added = {s for s in wider.simplifications() if s.proxy == "rounded"}
    assert added == {
        *(Simplification("rounded", 16, layer) for layer in (0, 1)),
        *(Simplification("rounded", 16, 1, fit_on=split) for split in small_experiment.measuring.refitted_on),
        *(Simplification("rounded", 16, layer, head) for layer in (0, 1) for head in (0, 1)),
    }
    assert Experiment.model_validate(wider) == wider
    assert MeasuringConfig(grid={"all": {"rounded": (2, 3)}}).grid == {"all": {"rounded": (2, 3)}}


# Other processors


def rounding(model: torch.nn.Module, by: float) -> torch.nn.Module:
    """The model, every product of which comes out a little different, as another processor might round it."""
    generator = torch.Generator().manual_seed(1)

    def rounded(_module: torch.nn.Module, _inputs: tuple, out: torch.Tensor) -> torch.Tensor:
        return out * (1 + by * torch.randn(out.shape, generator=generator, dtype=out.dtype))

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(rounded)
    return model


@pytest.mark.parametrize("simplification", [Simplification("kmeans", 60, 1, 0), Simplification("learned_subspace", 3, 1, 0)])
def test_how_single_numbers_are_rounded_makes_no_other_fit_to_a_model_in_double_precision(
    few_steps, random_model, small_dataset, simplification
):
    def replaced(by: float, exact: torch.nn.Module | None) -> torch.Tensor:
        fitter = Fitter(rounding(random_model(CONFIG), by), {TRAINING: small_dataset.training}, exact=exact)
        rules = fitter.rules(simplification)[1]
        queries, keys = torch.randn(2, 50, 1, 7, 8, generator=torch.Generator().manual_seed(0))
        simplified = torch.stack(rules.simplified(queries, keys))
        assert simplified.dtype == torch.float32
        return simplified

    in_double = random_model(CONFIG).double()
    torch.testing.assert_close(replaced(0, in_double), replaced(1e-5, in_double), rtol=0, atol=0)
    torch.testing.assert_close(
        replaced(0, in_double), replaced(0, rounding(random_model(CONFIG).double(), 1e-14)), rtol=0, atol=1e-5
    )
    assert (replaced(0, None) - replaced(1e-5, None)).abs().max() > 1e-5, "in single precision it does"
