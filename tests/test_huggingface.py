"""Language models of transformers as models of this package: many families behave, and what does not is refused."""

from __future__ import annotations

import pytest
import torch
from language_models import FAMILIES, REFUSED, random_model

from lib.audit.checks import causality, check
from lib.models.attention import UnsuitableModel
from lib.models.base import Captured, attend_as_usual, most_attended
from lib.models.export import to_gpt2
from lib.models.huggingface import HuggingFace
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import TRAINING, Fitter, Simplification
from lib.split import Sequences

every_family = pytest.mark.parametrize("family", FAMILIES)


def some_tokens(seed: int = 0, length: int = 12) -> torch.Tensor:
    return torch.randint(97, (3, length), generator=torch.Generator().manual_seed(seed))


@every_family
def test_a_family_passes_every_check(family):
    """Handed back, resumed, causal, projected onto everything: and the first three to the last bit.

    With experts the third holds to 1e-12, in double precision: other tokens change how many of them an expert reads, and with
    that how its products are rounded.
    """
    found = check(HuggingFace(random_model(family)))
    assert len(found) == 4
    assert max(found.values()) < 5e-5
    nothing, model = 0.0, random_model(family, torch.float64)
    if any(name.endswith("experts") for name, _ in model.named_modules()):
        model.set_experts_implementation("eager")  # the usual one has no products in double precision
        found["later tokens are others"], nothing = causality(HuggingFace(model)), 1e-12
    assert found["attention is handed back unchanged"] == found["layers are run one by one"] == 0
    assert found["later tokens are others"] <= nothing


@torch.no_grad()
@every_family
def test_hard_attention_of_a_family_is_what_its_own_code_makes_of_a_hardened_pattern(family):
    """Run layer by layer with the proxy; against the model's own forward pass, in whose plain attention softmax is hardened."""
    model = HuggingFace(random_model(family))
    tokens = some_tokens()
    rules = Fitter(model, {TRAINING: Sequences.padded(tokens.numpy(), padding=-1)}).rules(Simplification("one_hot"))
    assert rules.keys() == set(range(model.layers))
    assert all(list(rule.proxies) == list(range(model.heads)) for rule in rules.values())
    found = model.unembed(model.run(model.embed(tokens), rules))
    expected = model.logits(tokens, lambda q, k, attend: most_attended(attend(q, k)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, model.logits(tokens), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_oss", "mistral", "jamba"])
def test_patterns_look_back_only_within_the_window_and_heads_have_keys_of_their_own(family):
    model = HuggingFace(random_model(family))
    residual = model.embed(some_tokens())
    for layer in range(model.layers):
        paused = model.pause(residual, layer)
        assert paused.queries.shape == paused.keys.shape == (3, model.heads, 12, model.head_width)
        assert paused.pattern.shape == (3, model.heads, 12, 12)
        assert (paused.pattern.triu(1) == 0).all()
        sums = paused.pattern.sum(-1)
        if family == "gpt_oss":
            assert (sums < 1 - 1e-4).any(), "its sinks take a part"
        else:
            torch.testing.assert_close(sums, torch.ones_like(sums))
        residual = paused.resume(paused.pattern)
    windowed = (HuggingFace(random_model(family)).pause(model.embed(some_tokens()), 0).pattern.tril(-6) == 0).all()
    assert windowed == (family in ("gemma2", "gpt_oss", "mistral"))


@torch.no_grad()
def test_one_head_of_a_group_can_be_simplified_alone():
    """Of two heads that share keys, the other keeps its pattern."""
    model = HuggingFace(random_model("llama"))
    tokens = some_tokens()
    residual = model.embed(tokens)
    before = model.pause(residual, 0)
    fitter = Fitter(model, {TRAINING: Sequences.padded(tokens.numpy(), padding=-1)})
    rule = fitter.rules(Simplification("svd", 1, layer=0, head=1))[0]
    after = rule(before.queries, before.keys, before.attend)
    torch.testing.assert_close(after[:, [0, 2, 3]], before.pattern[:, [0, 2, 3]])
    assert not torch.allclose(after[:, 1], before.pattern[:, 1], atol=1e-3)


@torch.no_grad()
def test_a_model_is_left_as_it_was():
    """Its own forward pass gives the same before, after, and with one look in between; weights get no gradient."""
    model = random_model("llama")
    tokens = some_tokens()
    before = model(input_ids=tokens).logits
    wrapped = HuggingFace(model)
    wrapped.run(wrapped.embed(tokens), {0: lambda q, k, attend: most_attended(attend(q, k))})
    torch.testing.assert_close(model(input_ids=tokens).logits, before, atol=1e-4, rtol=1e-3)
    with pytest.raises(ZeroDivisionError):
        wrapped.run(wrapped.embed(tokens), {0: lambda q, k, attend: 1 / 0})
    torch.testing.assert_close(model(input_ids=tokens).logits, before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(wrapped.logits(tokens, attend_as_usual), before, atol=1e-4, rtol=1e-3)


def test_what_is_optimized_for_predictions_can_be_optimized_here(monkeypatch):
    """A learned subspace needs gradients through the model; its divergence is no larger than where it starts."""
    monkeypatch.setattr("lib.proxies.learned._STEPS", 3)
    model = HuggingFace(random_model("llama"))
    fitter = Fitter(model, {TRAINING: Sequences.padded(some_tokens().numpy(), padding=-1)})
    named = (Simplification(name, 2, layer=1, head=0) for name in ("learned_subspace", "svd_joint"))
    learned, start = (fitter.proxies(simplification)[1][0] for simplification in named)
    divergence = fitter.head(1, 0).divergence
    assert float(divergence(learned, None)) <= float(divergence(start, None))


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_in_bfloat16_numbers_that_are_measured_are_in_float32(family):
    model = HuggingFace(random_model(family, torch.bfloat16))
    check(model)
    residual = model.embed(some_tokens())
    paused = model.pause(residual, 0)
    assert residual.dtype == torch.bfloat16
    assert {paused.queries.dtype, paused.keys.dtype, paused.pattern.dtype, model.unembed(residual).dtype} == {torch.float32}


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("zamba2", "Zamba2ForCausalLM is refused: when layers are run one by one, logits are off by"),
        ("mamba", "MambaForCausalLM has no attention"),
        ("bert", "BertLMHeadModel is refused: when later tokens are others, logits are off by"),
    ],
)
def test_a_family_that_would_be_wrong_is_refused_by_name_and_reason(family, says):
    with pytest.raises(UnsuitableModel, match=says):
        check(HuggingFace(random_model(family)))


def test_every_family_that_is_to_be_refused_is_tried():
    assert {*REFUSED} == {"zamba2", "mamba", "bert"}
    assert len(FAMILIES) >= 15


@torch.no_grad()
@pytest.mark.parametrize(("positions", "bias"), [("learned", True), ("sinusoidal", False), ("none", True)])
def test_a_model_of_this_package_computes_the_same_in_the_form_of_gpt_2(positions, bias):
    model = Transformer.seeded(ModelConfig(layers=3, heads=2, positions=positions, bias=bias), 20, 30, seed=0).eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    tokens = torch.randint(20, (3, 17), generator=torch.Generator().manual_seed(0))
    exported = to_gpt2(model)
    torch.testing.assert_close(exported(input_ids=tokens).logits, model(tokens), atol=1e-6, rtol=1e-5)
    there = HuggingFace(exported)
    for layer, (queries, keys) in Captured(model, Sequences.padded(tokens.numpy(), padding=-1)).items():
        found = Captured(there, Sequences.padded(tokens.numpy(), padding=-1))[layer]
        torch.testing.assert_close(found[0], queries, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(found[1], keys, atol=1e-6, rtol=1e-5)
