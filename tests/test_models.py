"""Models look back only, ignore padding, and are the same functions however they are run; ours, and one of another make."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lib.config import checked
from lib.errors import InputError
from lib.measuring.estimates import Estimates
from lib.measuring.faithfulness import measure
from lib.models.base import ALL, Capture, Captured, Positions, RunAgain, attend_as_usual, most_attended
from lib.models.transformer import ModelConfig, Transformer, attention_pattern, causal_mask
from lib.proxies import MODEL, PROXIES, TRAINING, Fitter, Simplification
from lib.split import Sequences

kernels = pytest.mark.kernels

VOCABULARY, CONTEXT = 9, 26


@pytest.fixture(autouse=True)
def learned_in_few_steps(monkeypatch):
    """What is learned here is no matter, only that it is a proxy like others."""
    monkeypatch.setattr("lib.proxies.learned._STEPS", 3)


class OfAnotherMake:
    """A model that shares no code with ours: plain functions of fixed random weights, in double precision.

    Its layers rotate queries and keys by their positions, scale their products in another way, cap them softly, and take off
    more the farther a key is. Its heads together are wider than its residual stream.
    """

    layers, heads, head_width, width = 3, 2, 6, 10
    device = torch.device("cpu")

    def __init__(self, vocabulary_size: int = VOCABULARY, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.8

        self.tokens, self.logits = weights(vocabulary_size, self.width), weights(self.width, vocabulary_size)
        self.queries_keys_values = weights(self.layers, 3, self.heads, self.width, self.head_width)
        self.outputs = weights(self.layers, self.heads, self.head_width, self.width)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.tokens[tokens]

    def run(self, residual, rules=None, start=0, stop=None, positions=None) -> Tensor:
        stop = self.layers if stop is None else stop
        for layer in range(start, stop):
            rule = (rules or {}).get(layer, attend_as_usual)
            residual = self._layer(layer, residual, rule, positions if layer == stop - 1 else None)
        return residual

    def pause(self, residual, layer, positions=None) -> RunAgain:
        return RunAgain(self, residual, layer, positions)

    def _layer(self, layer: int, residual: Tensor, rule, positions: Positions | None) -> Tensor:
        everywhere = torch.arange(residual.shape[1])[None]
        read = residual / residual.square().mean(-1, keepdim=True).sqrt()
        queries, keys, values = (torch.einsum("btw,hwd->bhtd", read, w) for w in self.queries_keys_values[layer])
        if positions is not None:
            queries = queries.take_along_dim(positions.queries[:, None, :, None], 2)
        at = everywhere if positions is None else positions.queries

        def attend(queries: Tensor, keys: Tensor) -> Tensor:
            scores = self._rotated(queries, at) @ self._rotated(keys, everywhere).mT / self.head_width
            distance = (at[:, :, None] - everywhere[:, None])[:, None]  # (batch, 1, Q, T)
            slopes = torch.tensor([0.5, 0.05])[:, None, None]
            return (5 * (scores / 5).tanh() - slopes * distance).masked_fill(distance < 0, -torch.inf).softmax(-1)

        mixed = rule(queries, keys, attend) @ values
        added = torch.einsum("bhqd,hdw->bqw", mixed, self.outputs[layer]).tanh()
        return residual + added if positions is None else positions.take(residual) + positions.take(added)

    def _rotated(self, vectors: Tensor, at: Tensor) -> Tensor:
        """Pairs of coordinates (batch, head, T, d_head / 2) as complex numbers, turned by their positions (batch, T)."""
        turns = at[:, None, :, None] * torch.tensor([1.0, 0.3, 0.1], dtype=torch.float64)
        pairs = torch.view_as_complex(vectors.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(turns), turns)).flatten(-2)

    def unembed(self, residual: Tensor) -> Tensor:
        return residual @ self.logits

    def attention_weights(self, layer: int) -> None:
        return None


SHAPES = {
    "one layer, one head": ModelConfig(layers=1, heads=1, width=8, mlp_width=12),
    "two layers, two heads": ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
    "three layers, four heads": ModelConfig(layers=3, heads=4, width=16, mlp_width=24),
    "sinusoidal positions": ModelConfig(layers=2, heads=2, width=16, mlp_width=24, positions="sinusoidal"),
    "no positions": ModelConfig(layers=2, heads=2, width=16, mlp_width=24, positions="none"),
}
ANOTHER = "of another make"
RULES = ["no rule", "usual rule", *PROXIES]


@pytest.fixture
def model(request, random_model):
    """A model by its name; in double precision, so that nothing hangs on rounding."""
    return OfAnotherMake() if request.param == ANOTHER else random_model(SHAPES[request.param]).double()


def models(*names: str):
    return pytest.mark.parametrize("model", names, indirect=True)


every_model = models(*SHAPES, ANOTHER)
REPRESENTATIVE = [(name, rule) for name in ("three layers, four heads", ANOTHER) for rule in ("svd", "kmeans", "one_hot")]
models_and_rules = pytest.mark.parametrize(
    ("model", "rule"),
    [
        pytest.param(name, rule, marks=kernels if (name, rule) in REPRESENTATIVE else ())
        for name in (*SHAPES, ANOTHER)
        for rule in RULES
        if (name, rule) != (ANOTHER, "weight_svd")
    ],
    indirect=["model"],
)


def random_tokens(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(1, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def fitter_of(model) -> Fitter:
    """Fits proxies on random sentences."""
    return Fitter(model, {TRAINING: Sequences.padded(random_tokens(8, 20, seed=1).numpy())})


def rules_of(model, name: str) -> dict | None:
    """No rule, the usual rule, or a proxy of every head of every layer."""
    if name == "no rule":
        return None
    if name == "usual rule":
        return dict.fromkeys(range(model.layers), attend_as_usual)
    complexity = {"rank": 2, "clusters": 5, None: None}[PROXIES[name].parameter]
    return fitter_of(model).rules(Simplification(name, complexity))


def logits_of(model, tokens: Tensor, rules: dict | None = None) -> Tensor:
    return model.unembed(model.run(model.embed(tokens), rules))


# Laws of every model


@models_and_rules
@torch.no_grad()
def test_no_attention_to_the_future(model, rule):
    """Changing any token changes no logit before it, and does change those from it on."""
    rules = rules_of(model, rule)
    tokens = random_tokens(1, 14)
    changed = tokens.repeat(14, 1)  # row p is changed from position p on
    for position in range(14):
        changed[position, position:] = 1 + tokens[0, position:] % (VOCABULARY - 1)
    logits, after = logits_of(model, tokens, rules)[0], logits_of(model, changed, rules)
    for position in range(14):
        torch.testing.assert_close(after[position, :position], logits[:position], atol=1e-9, rtol=0)
        assert not torch.allclose(after[position, position], logits[position], atol=1e-3)


@models_and_rules
@torch.no_grad()
def test_padding_on_the_right_changes_nothing(model, rule):
    rules = rules_of(model, rule)
    tokens = random_tokens(3, 11)
    padded = torch.nn.functional.pad(tokens, (0, 7))
    found = logits_of(model, padded, rules)[:, :11]
    torch.testing.assert_close(found, logits_of(model, tokens, rules), atol=1e-9, rtol=0)


@models_and_rules
@torch.no_grad()
def test_attention_is_a_distribution_over_the_past(model, rule):
    inner = rules_of(model, rule) or {}
    seen = {layer: Capture(inner.get(layer, attend_as_usual)) for layer in range(model.layers)}
    model.run(model.embed(random_tokens(3, 12)), seen)
    for layer in range(model.layers):
        pattern = seen[layer].pattern
        assert pattern.shape == (3, model.heads, 12, 12)
        torch.testing.assert_close(pattern.sum(-1), torch.ones(3, model.heads, 12).double())
        assert pattern.min() >= 0
        assert not pattern.triu(1).any()


WANTED = (
    torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) < 0.3,
    torch.ones(4, 12, dtype=torch.bool),
    torch.ones(4, 12, dtype=torch.bool).tril(8),  # one sequence has them all, as many as there are tokens
    torch.eye(4, 12).bool(),
)


@pytest.mark.parametrize("wanted", WANTED)
def test_positions_that_are_wanted_are_taken_in_their_order(wanted):
    """Of what belongs to all, and of what belongs to queries, of which a sequence may have some that are not wanted."""
    positions, numbers = Positions(wanted), torch.arange(48).view(4, 12)
    assert positions.queries.shape == (4, wanted.sum(1).max())
    assert torch.equal(positions.take(numbers), numbers[wanted])
    assert torch.equal(positions.take(numbers.gather(1, positions.queries)), numbers[wanted])


@models_and_rules
@torch.no_grad()
def test_the_last_layer_at_chosen_positions_is_the_same_as_everywhere(model, rule):
    """Positions differ from sentence to sentence, and so does how many there are."""
    rules, residual = rules_of(model, rule), model.embed(random_tokens(4, 12))
    for wanted in WANTED:
        everywhere, chosen = model.run(residual, rules), model.run(residual, rules, positions=Positions(wanted))
        torch.testing.assert_close(chosen, everywhere[wanted], atol=1e-9, rtol=0)


@models_and_rules
@torch.no_grad()
def test_a_resumed_run_is_the_whole_run(model, rule):
    rules, tokens = rules_of(model, rule), random_tokens(2, 9)
    whole = model.run(model.embed(tokens), rules)
    for at in range(model.layers + 1):
        resumed = model.run(model.run(model.embed(tokens), rules, stop=at), rules, at)
        torch.testing.assert_close(resumed, whole, atol=1e-9, rtol=0)


@every_model
@pytest.mark.parametrize("positions", [None, Positions(torch.eye(2, 9).flip(1) > 0)], ids=["everywhere", "at positions"])
@torch.no_grad()
def test_a_paused_layer_goes_on_with_any_pattern_of_any_heads_as_if_it_had_been_run_with_it(model, positions):
    """By its own way to resume and by the general one."""
    residual, heads = model.embed(random_tokens(2, 9)), [model.heads - 1]
    for layer, pause in itertools.product(range(model.layers), (model.pause, lambda *of: RunAgain(model, *of))):
        usual = model.run(residual, None, layer, layer + 1, positions)
        paused = pause(residual, layer, positions)
        torch.testing.assert_close(paused.attend(paused.queries, paused.keys), paused.pattern)
        torch.testing.assert_close(paused.resume(paused.pattern), usual, atol=1e-9, rtol=0)
        for some in (heads, ALL):

            def flat(queries, keys, attend, some=some):
                pattern = attend(queries, keys)
                pattern[:, some] = attend(0 * queries, keys)[:, some]
                return pattern

            found = paused.attend(0 * paused.queries[:, some], paused.keys[:, some], some)
            expected = model.run(residual, {layer: flat}, layer, layer + 1, positions)
            torch.testing.assert_close(paused.resume(found, some), expected, atol=1e-9, rtol=0)
            assert not torch.allclose(expected, usual, atol=1e-3)


@every_model
@torch.no_grad()
def test_the_usual_rule_is_no_rule(model):
    tokens = random_tokens(4, 20)
    usual, none = (logits_of(model, tokens, rules_of(model, name)) for name in ("usual rule", "no rule"))
    torch.testing.assert_close(usual, none, atol=1e-9, rtol=0)


@models("three layers, four heads", ANOTHER)
@torch.no_grad()
def test_a_rule_applies_to_its_own_layer_only(model):
    tokens = random_tokens(2, 9)
    before, after = ([Capture() for _ in range(model.layers)] for _ in range(2))
    model.run(model.embed(tokens), dict(enumerate(before)))
    after[1].rule = fitter_of(model).rules(Simplification("one_hot", layer=1))[1]
    model.run(model.embed(tokens), dict(enumerate(after)))
    torch.testing.assert_close(after[0].pattern, before[0].pattern)
    torch.testing.assert_close(after[1].queries, before[1].queries)
    torch.testing.assert_close(after[1].pattern, most_attended(before[1].pattern))
    assert not torch.allclose(after[2].queries, before[2].queries)


@every_model
def test_captured_are_the_positions_that_are_fitted_on_and_all_tokens_where_none_are_named(model, monkeypatch):
    """Queries and keys of each layer, a sequence at a time, whatever the batches are."""
    monkeypatch.setattr("lib.models.base._WEIGHTS", 3 * model.heads * 12**2)  # three sequences at a time
    tokens = random_tokens(7, 12, seed=2)
    tokens[2:4, 5:] = 0
    everything = Sequences.padded(tokens.numpy())
    fitted = everything.real & (np.random.default_rng(0).random((7, 12)) < 0.3)
    fitted[1] = False  # a sequence may have none
    every, chosen = (
        Captured(model, sequences)
        for sequences in (everything, Sequences(tokens=everything.tokens, lengths=everything.lengths, fitted=fitted))
    )
    kept = torch.from_numpy(fitted[everything.real])
    assert 0 < kept.sum() < len(kept) == everything.lengths.sum()
    for layer in range(model.layers):
        for whole, part in zip(every[layer], chosen[layer], strict=True):
            assert whole.shape == (model.heads, len(kept), model.head_width)
            torch.testing.assert_close(part, whole[:, kept], rtol=0, atol=0)


@every_model
def test_of_a_model_too_large_to_keep_what_is_captured_is_the_same(model, monkeypatch):
    """In whatever order layers are asked for; then only the last is kept."""
    sequences = Sequences.padded(random_tokens(7, 12, seed=2).numpy())
    kept = Captured(model, sequences)
    expected = [kept[layer] for layer in range(model.layers)]
    monkeypatch.setattr("lib.models.base._KEPT", 0)
    found = Captured(model, sequences)
    for layer in (*range(model.layers), model.layers - 1, 0):
        for one, other in zip(found[layer], expected[layer], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert len(found._found) == 1
    assert len(kept._found) == len(kept) == model.layers
    with pytest.raises(KeyError):
        found[model.layers]


# A model of another make


@pytest.fixture(scope="module")
def measured_elsewhere(small_dataset):
    """Another model, simplifications of it, and estimates of how faithful they are."""
    model = OfAnotherMake(len(small_dataset.vocabulary), seed=1)
    simplifications = {
        "full rank": Simplification("svd", model.head_width),
        "one dimension": Simplification("svd", 1),
        "clusters": Simplification("kmeans", 8, layer=1),
        "one key of one head": Simplification("one_hot", None, layer=2, head=1),
    }
    splits = [small_dataset.splits[name] for name in ("iid", "unseen_depth")]
    fitter = Fitter(model, {TRAINING: small_dataset.training.first(40)})
    return model, simplifications, Estimates({0: measure(splits, list(simplifications.values()), fitter)})


@kernels
@pytest.mark.parametrize("split", ["iid", "unseen_depth"])
def test_full_rank_svd_of_another_model_changes_nothing(measured_elsewhere, split):
    _, simplifications, estimates = measured_elsewhere
    full = simplifications["full rank"]
    assert estimates.estimate(full, split, "same_prediction").interval == (1, 1)
    assert estimates.compare_with_model(full, split).interval == (0, 0)
    for name in ("attention_jsd", "output_kl"):
        assert estimates.estimate(full, split, name).value == pytest.approx(0, abs=1e-9)


@kernels
@pytest.mark.parametrize("name", ["one dimension", "clusters", "one key of one head"])
def test_proxies_of_another_model_are_measured_like_those_of_ours(measured_elsewhere, name):
    _, simplifications, estimates = measured_elsewhere
    simplification = simplifications[name]
    assert 0.1 < estimates.estimate(simplification, "iid", "same_prediction").value < 1
    assert estimates.estimate(simplification, "iid", "output_kl").value > 0.01
    assert 0.01 < estimates.estimate(simplification, "iid", "attention_jsd").value < 0.9
    assert np.isfinite(estimates.gap(simplification, "unseen_depth", "iid").interval).all()


@kernels
@torch.no_grad()
def test_the_accuracy_of_another_model_is_that_of_its_logits(measured_elsewhere, small_dataset):
    model, _, estimates = measured_elsewhere
    split = small_dataset.splits["iid"]
    logits = logits_of(model, torch.from_numpy(split.tokens.astype(np.int64))).numpy()
    chosen = split.candidates[logits[:, :, split.candidates].argmax(-1)]
    accuracy = (chosen == split.targets)[split.scored].mean()
    assert estimates.estimate(MODEL, "iid", "accuracy").value == pytest.approx(accuracy, abs=1e-6)


def test_weights_that_another_model_does_not_have_are_not_truncated(small_dataset):
    fitter = Fitter(OfAnotherMake(), {TRAINING: small_dataset.training.first(10)})
    with pytest.raises(InputError, match="weight_svd needs queries and keys that are linear in what the layer reads"):
        measure([small_dataset.splits["iid"]], [Simplification("weight_svd", 2)], fitter)


# Our Transformer


@kernels
@torch.no_grad()
def test_in_single_precision_the_built_in_attention_is_the_usual_rule(random_model):
    model, tokens = random_model(SHAPES["three layers, four heads"]), random_tokens(4, 20)
    torch.testing.assert_close(model(tokens), model(tokens, rules_of(model, "usual rule")), atol=1e-4, rtol=1e-4)


@models("two layers, two heads")
@torch.no_grad()
def test_capturing_sees_what_the_model_uses(model):
    """Queries and keys are those of the layer's own projection of its normalized input, and the pattern is theirs."""
    tokens, config = random_tokens(3, 10), model.config
    seen = {layer: Capture() for layer in range(model.layers)}
    model(tokens, seen)
    residual = model.embed(tokens)
    for layer, block in enumerate(model.blocks):
        projected = block.attention.qkv(block.norm_attention(residual))  # (batch, T, 3 width)
        for head in range(config.heads):
            columns = slice(head * config.head_width, (head + 1) * config.head_width)
            queries, keys, _ = (part[..., columns] for part in projected.split(config.width, -1))
            torch.testing.assert_close(seen[layer].queries[:, head], queries)
            torch.testing.assert_close(seen[layer].keys[:, head], keys)
            expected = attention_pattern(queries[:, None], keys[:, None], causal_mask(keys))[:, 0]
            torch.testing.assert_close(seen[layer].pattern[:, head], expected)
        residual = model.run(residual, None, layer, layer + 1)


@models("two layers, two heads")
@torch.no_grad()
def test_queries_and_keys_are_the_weights_times_what_the_layer_reads(model):
    tokens = random_tokens(2, 7)
    seen = Capture()
    model(tokens, {1: seen})
    read = model.blocks[1].norm_attention(model.run(model.embed(tokens), stop=1))
    for vectors, weights in zip((seen.queries, seen.keys), model.attention_weights(1), strict=True):
        torch.testing.assert_close(vectors, torch.einsum("btw,hdw->bhtd", read, weights))


@pytest.mark.parametrize("positions", [None, torch.tensor([[4, 0, 2], [1, 3, 3]])], ids=["everywhere", "at positions"])
def test_patterns_are_softmax_of_scaled_dot_products_with_the_past(positions):
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(2, 3, 5, 4, generator=generator).double()
    queries = torch.randn(2, 3, 5 if positions is None else 3, 4, generator=generator).double()
    pattern = attention_pattern(queries, keys, causal_mask(keys, positions))
    for sequence, head, query in np.ndindex(queries.shape[:3]):
        past = range((query if positions is None else int(positions[sequence, query])) + 1)
        scores = [float(queries[sequence, head, query] @ keys[sequence, head, key]) / 2 for key in past]
        expected = [math.exp(score) / sum(map(math.exp, scores)) for score in scores] + [0.0] * (5 - len(past))
        assert pattern[sequence, head, query].tolist() == pytest.approx(expected)


def test_the_initial_weights_follow_from_the_seed_and_draw_from_no_other_stream():
    config = SHAPES["one layer, one head"]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (Transformer.seeded(config, VOCABULARY, CONTEXT, seed).unembedding.weight for seed in (3, 3, 4))
    assert torch.rand(1) == expected
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize(
    ("positions", "tells_order", "trained"), [("learned", True, True), ("sinusoidal", True, False), ("none", False, False)]
)
@torch.no_grad()
def test_positions_are_learned_fixed_or_absent(random_model, positions, tells_order, trained):
    """Without positions the last token of a one-layer model sees a bag of tokens: swapping two earlier ones changes nothing."""
    model = random_model(ModelConfig(layers=1, heads=1, width=16, mlp_width=8, positions=positions))
    tokens = torch.tensor([[3, 4, 5, 6]])
    swapped = torch.tensor([[4, 3, 5, 6]])
    same = torch.allclose(model(tokens)[:, -1], model(swapped)[:, -1], atol=1e-5)
    assert same != tells_order
    assert ("positions" in dict(model.named_parameters())) == trained
    assert ("positions" in model.state_dict()) == trained


def test_sinusoidal_positions_are_those_of_vaswani_et_al():
    width = 7  # odd, so that the last sine has no cosine
    model = Transformer(ModelConfig(layers=1, width=width, mlp_width=4, positions="sinusoidal"), VOCABULARY, CONTEXT)
    for position in range(CONTEXT):
        for dimension in range(width):
            angle = position / 10_000 ** (2 * (dimension // 2) / width)
            expected = (np.cos if dimension % 2 else np.sin)(angle) / width**0.5
            assert model.positions[position, dimension].item() == pytest.approx(expected, abs=1e-5)


@models(*SHAPES)
def test_a_sequence_that_does_not_fit_the_context_is_refused(model):
    assert model(random_tokens(1, CONTEXT)).shape == (1, CONTEXT, VOCABULARY)
    with pytest.raises(ValueError, match=f"{CONTEXT + 1} tokens does not fit the context of {CONTEXT}"):
        model(random_tokens(1, CONTEXT + 1))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        pytest.param({"width": 30, "heads": 4}, "width is 30.*multiple of heads = 4", id="width that heads do not divide"),
        pytest.param({"layers": 0}, "layers is 0.*greater than or equal to 1", id="no layers"),
        pytest.param({"heads": 1.0}, "heads is 1.0.*integer", id="a float"),
        pytest.param(
            {"positions": "rotary"}, "positions is 'rotary'.*'learned', 'sinusoidal' or 'none'", id="unknown positions"
        ),
        pytest.param({"depth": 2}, "depth is no key that there is: use one of layers, heads, width", id="an unknown name"),
    ],
)
def test_a_shape_that_no_model_has_is_refused(shape, says):
    with pytest.raises(InputError, match=f"my.toml, model: {says}"):
        checked(ModelConfig, shape, "my.toml, model")


@pytest.mark.parametrize("bias", [True, False])
def test_the_mlp_has_biases_or_not(bias):
    model = Transformer(ModelConfig(layers=2, heads=1, width=8, mlp_width=12, bias=bias), VOCABULARY, CONTEXT)
    assert [name for name, _ in model.named_parameters() if "mlp" in name and name.endswith("bias") and "norm" not in name] == [
        f"blocks.{layer}.mlp.{part}.bias" for layer in (0, 1) for part in (0, 2) if bias
    ]
