"""The Transformer looks back only, ignores padding, and is the same function whichever way its attention is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.errors import InputError
from lib.presets import ModelConfig
from lib.proxies import PROXIES, Setting, capture, fit_rules
from lib.transformer import Capture, Transformer, attention_scores, softmax_attention

VOCABULARY, CONTEXT = 9, 26
SHAPES = {
    "one layer, one head": ModelConfig(layers=1, heads=1, width=8, mlp_width=12),
    "two layers, two heads": ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
    "three layers, four heads": ModelConfig(layers=3, heads=4, width=16, mlp_width=24),
    "sinusoidal positions": ModelConfig(layers=2, heads=2, width=16, mlp_width=24, positions="sinusoidal"),
    "no positions": ModelConfig(layers=2, heads=2, width=16, mlp_width=24, positions="none"),
}
shapes = pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES.keys())


def random_tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(seed))


def rules_of(model: Transformer, name: str) -> dict | None:
    """No rule, the usual rule, or a proxy of every head of every layer, fitted on random sentences."""
    config = model.config
    if name == "no rule":
        return None
    if name == "softmax rule":
        return dict.fromkeys(range(config.layers), softmax_attention)
    complexity = {"rank": 2, "clusters": 5, None: None}[PROXIES[name].parameter]
    data = capture(model, random_tokens(8, 20, seed=1).numpy(), range(config.layers))
    return fit_rules(model, Setting(name, complexity), data)


@shapes
@pytest.mark.parametrize("rule", ["no rule", "softmax rule", *PROXIES])
@torch.no_grad()
def test_no_attention_to_the_future(random_model, config, rule):
    """Changing any token changes no logit before it, and does change those from it on."""
    model = random_model(config)
    rules = rules_of(model, rule)
    tokens = random_tokens(1, 14)
    changed = tokens.repeat(14, 1)  # row p is changed from position p on
    for position in range(14):
        changed[position, position:] = 1 + tokens[0, position:] % (VOCABULARY - 1)
    logits, after = model(tokens, rules)[0], model(changed, rules)
    for position in range(14):
        torch.testing.assert_close(after[position, :position], logits[:position], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(after[position, position], logits[position], atol=1e-3)


@shapes
@pytest.mark.parametrize("rule", ["no rule", "softmax rule", *PROXIES])
@torch.no_grad()
def test_padding_on_the_right_changes_nothing(random_model, config, rule):
    model = random_model(config)
    rules = rules_of(model, rule)
    tokens = random_tokens(3, 11)
    padded = torch.nn.functional.pad(tokens, (0, 7))
    torch.testing.assert_close(model(padded, rules)[:, :11], model(tokens, rules), atol=1e-5, rtol=1e-5)


@shapes
@torch.no_grad()
def test_the_softmax_rule_is_the_built_in_attention(random_model, config):
    model, tokens = random_model(config), random_tokens(4, 20)
    torch.testing.assert_close(model(tokens, rules_of(model, "softmax rule")), model(tokens), atol=1e-4, rtol=1e-4)


@shapes
@pytest.mark.parametrize("rule", ["softmax rule", *PROXIES])
@torch.no_grad()
def test_attention_is_a_distribution_over_the_past(random_model, config, rule):
    model = random_model(config)
    seen = {layer: Capture(inner) for layer, inner in rules_of(model, rule).items()}
    model(random_tokens(3, 12), seen)
    for layer in range(config.layers):
        pattern = seen[layer].pattern
        assert pattern.shape == (3, config.heads, 12, 12)
        torch.testing.assert_close(pattern.sum(-1), torch.ones(3, config.heads, 12))
        assert pattern.min() >= 0
        assert not pattern.triu(1).any()


@torch.no_grad()
def test_capturing_sees_what_the_model_uses_and_changes_nothing(random_model):
    """Queries and keys are those of the layer's own projection of its normalized input, and the pattern is theirs."""
    config = SHAPES["two layers, two heads"]
    model, tokens = random_model(config), random_tokens(3, 10)
    seen = {layer: Capture() for layer in range(config.layers)}
    logits = model(tokens, seen)
    torch.testing.assert_close(logits, model(tokens), atol=1e-4, rtol=1e-4)
    residual = model.embed(tokens)
    for layer, block in enumerate(model.blocks):
        projected = block.attention.qkv(block.norm_attention(residual))  # (batch, T, 3 width)
        for head in range(config.heads):
            columns = slice(head * config.head_width, (head + 1) * config.head_width)
            queries, keys, values = (part[..., columns] for part in projected.split(config.width, -1))
            torch.testing.assert_close(seen[layer].queries[:, head], queries)
            torch.testing.assert_close(seen[layer].keys[:, head], keys)
            torch.testing.assert_close(seen[layer].pattern[:, head], softmax_attention(queries, keys))
            assert values.shape == queries.shape
        residual = model.run(residual, None, layer, layer + 1)


def test_scores_are_scaled_dot_products():
    queries, keys = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    scores = attention_scores(queries, keys)
    for query in range(5):
        for key in range(5):
            expected = float(queries[query] @ keys[key]) / 2 if key <= query else -float("inf")
            assert scores[query, key].item() == pytest.approx(expected)


@shapes
@torch.no_grad()
def test_running_layers_one_after_the_other_is_running_them_all(random_model, config):
    model, tokens = random_model(config), random_tokens(2, 9)
    residual = model.embed(tokens)
    for layer in range(config.layers):
        residual = model.run(residual, start=layer, stop=layer + 1)
    torch.testing.assert_close(residual, model.run(model.embed(tokens)))
    torch.testing.assert_close(model.unembed(residual), model(tokens))
    assert model.run(residual, start=config.layers) is residual


@shapes
@pytest.mark.parametrize("rule", ["no rule", "softmax rule", *PROXIES])
@torch.no_grad()
def test_the_last_layer_at_chosen_positions_is_the_same_as_everywhere(random_model, config, rule):
    """Positions differ from sentence to sentence, in any order, and may repeat, as padding does."""
    model = random_model(config)
    rules = rules_of(model, rule)
    tokens = random_tokens(3, 12)
    positions = torch.tensor([[0, 5, 11], [7, 2, 3], [11, 11, 0]])
    residual = model.embed(tokens)
    everywhere, chosen = model.run(residual, rules), model.run(residual, rules, positions=positions)
    assert chosen.shape == (3, 3, config.width)
    for row in range(3):
        torch.testing.assert_close(chosen[row], everywhere[row, positions[row]], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_rule_applies_to_its_own_layer_only(random_model):
    config = SHAPES["three layers, four heads"]
    model, tokens = random_model(config), random_tokens(2, 9)
    rule = fit_rules(model, Setting("one_hot", None, layer=1), capture(model, tokens.numpy(), range(3)))
    before, after = ([Capture() for _ in range(3)] for _ in range(2))
    model(tokens, dict(enumerate(before)))
    after[1].rule = rule[1]
    model(tokens, dict(enumerate(after)))
    torch.testing.assert_close(after[0].pattern, before[0].pattern)
    assert not torch.allclose(after[1].pattern, before[1].pattern)
    torch.testing.assert_close(after[1].queries, before[1].queries)
    assert not torch.allclose(after[2].queries, before[2].queries)


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


@shapes
def test_a_sequence_that_does_not_fit_the_context_is_refused(random_model, config):
    model = random_model(config)
    assert model(random_tokens(1, CONTEXT)).shape == (1, CONTEXT, VOCABULARY)
    with pytest.raises(ValueError, match=f"{CONTEXT + 1} tokens does not fit the context of {CONTEXT}"):
        model(random_tokens(1, CONTEXT + 1))


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        pytest.param({"width": 30, "heads": 4}, "width is 30.*multiple of heads = 4", id="width that heads do not divide"),
        pytest.param({"layers": 0}, "layers is 0", id="no layers"),
        pytest.param({"heads": 1.0}, "heads is 1.0", id="a float"),
        pytest.param({"positions": "rotary"}, "positions is 'rotary'.*learned, sinusoidal, none", id="unknown positions"),
    ],
)
def test_a_shape_that_no_model_has_is_refused(shape, says):
    with pytest.raises(InputError, match=says):
        ModelConfig(**shape)


@pytest.mark.parametrize("mlp_bias", [True, False])
def test_the_mlp_has_biases_or_not(random_model, mlp_bias):
    model = random_model(ModelConfig(layers=2, heads=1, width=8, mlp_width=12, mlp_bias=mlp_bias))
    assert [name for name, _ in model.named_parameters() if "mlp" in name and name.endswith("bias") and "norm" not in name] == [
        f"blocks.{layer}.mlp.{part}.bias" for layer in (0, 1) for part in (0, 2) if mlp_bias
    ]
