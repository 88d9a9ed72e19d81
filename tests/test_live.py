"""Models that run in a reader's browser: what the page computes is what Python computes, in a real Chromium."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from conftest import ROOT
from live_pages import in_double

from lib.live import script
from lib.live.packs import fitted_arrays, pack
from lib.models.transformer import ModelConfig, Transformer
from lib.proxies import PROXIES, Fitter, Simplification
from lib.split import Sequences

pytestmark = pytest.mark.browser
CONTEXT, VOCABULARY = 24, 13
SHAPES = {
    "one head": ModelConfig(layers=2, heads=1, width=8, mlp_width=16),
    "heads of a width that is no multiple of four, no biases": ModelConfig(
        layers=1, heads=3, width=18, mlp_width=10, bias=False
    ),
    "sinusoidal": ModelConfig(layers=3, heads=2, width=12, mlp_width=20, positions="sinusoidal"),
    "no positions": ModelConfig(layers=2, heads=2, width=16, mlp_width=8, positions="none"),
}
COMPLEXITIES = {"kmeans": (2, 9), "learned_subspace": (2,)}
RUN = """async ({ text, bytes, tokens, asked }) => {
    const live = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    const pack = new live.Pack(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)));
    const own = pack.model.run(tokens);
    const rows = (patterns) => patterns.map((of) => of.map((pattern) => pattern.map((row) => [...row])));
    const plain = ({ patterns, logits }) => ({ patterns: rows(patterns), logits: [...logits] });
    return [plain(own), ...asked.map(({ name, nested, complexity, layer }) => {
        const rules = pack.rules({ name, nested }, complexity, layer);
        const afresh = plain(pack.model.run(tokens, rules)), goneOn = plain(pack.model.run(tokens, rules, own));
        if (JSON.stringify(afresh) !== JSON.stringify(goneOn)) throw new Error("what is kept changes the result");
        return afresh;
    })];
}"""


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.goto("about:blank")
    yield page
    page.close()


def model_of(config: ModelConfig) -> tuple[Transformer, Fitter]:
    """A model of random weights that attends sharply, and what fits proxies to it."""
    model = Transformer.seeded(config, VOCABULARY, CONTEXT, 1).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.4)
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (12, CONTEXT)).astype(np.int16)
    sequences = Sequences.padded(tokens, 0)
    return model, Fitter(model, {"training": sequences})


def expected(model: Transformer, fitter: Fitter, tokens: list[int], s: Simplification | None) -> tuple[dict, np.ndarray]:
    """Patterns by layer [head, T, T] and logits [T, vocabulary], in double precision."""
    patterns, logits = in_double(model, fitter.rules(s) if s else {}, tokens)
    return patterns, logits.numpy()


def assert_equal(found: Mapping, patterns: Mapping, logits: np.ndarray) -> None:
    length = len(logits)
    for layer, pattern in patterns.items():
        square = np.array([[row + [0.0] * (length - len(row)) for row in head] for head in found["patterns"][layer]])
        np.testing.assert_allclose(square, pattern, atol=1e-5)
    shown = np.array(found["logits"]).reshape(length, -1)
    np.testing.assert_allclose(softmax(shown), softmax(logits), atol=1e-5)
    first, second = np.sort(logits, -1)[:, ::-1][:, :2].T
    clear = first - second > 1e-6  # no tie
    assert (shown.argmax(-1) == logits.argmax(-1))[clear].all()


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def measured(model: Transformer) -> list[Simplification]:
    """Every proxy of the registry in every layer, and in all; what takes long to fit only where there is one head."""
    simple = []
    for name, proxy in PROXIES.items():
        if name == "learned_subspace" and model.heads > 1:
            continue
        known = COMPLEXITIES.get(name, (1, 3, model.head_width) if proxy.nested else (proxy.example(model.head_width),))
        simple += [Simplification(name, c, layer) for c in known for layer in (-1, *range(model.layers))]
    return simple


def computed(page, model: Transformer, fitter: Fitter, asked: Sequence[Simplification], tokens: list[int]) -> list[dict]:
    """What the page computes: of the model itself, then of each simplification."""
    plain = [{**vars(s), "name": s.proxy, "nested": PROXIES[s.proxy].nested} for s in asked]
    packed = base64.b64encode(pack(model, fitted_arrays(fitter, asked))).decode()
    return page.evaluate(RUN, {"text": script.module(), "bytes": packed, "tokens": tokens, "asked": plain})


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_the_page_computes_what_pytorch_computes(page, config):
    model, fitter = model_of(config)
    asked = [
        s for s in measured(model) if s.complexity is None or s.complexity <= (PROXIES[s.proxy].most(model.head_width) or 99)
    ]
    tokens = np.random.default_rng(7).integers(1, VOCABULARY, CONTEXT - 3).tolist()
    own, *found = computed(page, model, fitter, asked, tokens)
    assert_equal(own, *expected(model, fitter, tokens, None))
    for simplification, of in zip(asked, found, strict=True):
        assert_equal(of, *expected(model, fitter, tokens, simplification))


@pytest.mark.parametrize("length", [*range(1, 10), CONTEXT])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_texts_of_every_length_are_computed(page, config, length):
    """A product takes four rows by three columns at once, and what remains one by one."""
    model, fitter = model_of(config)
    asked = [Simplification("svd", 3), Simplification("one_hot")]
    tokens = np.random.default_rng(length).integers(1, VOCABULARY, length).tolist()
    for s, found in zip((None, *asked), computed(page, model, fitter, asked, tokens), strict=True):
        assert_equal(found, *expected(model, fitter, tokens, s))


def test_every_proxy_of_the_registry_can_be_shown(page):
    """Unless a user's own has no arrays; and one that changes nothing would make the tests above say little."""
    model, fitter = model_of(SHAPES["one head"])
    shipped = {name.partition("/")[0].partition(":")[0] for name in fitted_arrays(fitter, measured(model))}
    assert shipped == set(PROXIES)
    tokens = np.random.default_rng(7).integers(1, VOCABULARY, CONTEXT - 3).tolist()
    _, own = expected(model, fitter, tokens, None)
    for name in PROXIES:
        simplest = next(s for s in measured(model) if s.proxy == name and s.layer == -1)
        assert np.abs(expected(model, fitter, tokens, simplest)[1] - own).max() > 1e-3


def test_a_proxy_of_ones_own_runs_in_the_page_once_it_says_its_arrays(page):
    """The example of the book, as it stands there."""
    text = (ROOT / "book/extend.md").read_text(encoding="utf-8")
    blocks = [re.search(rf"```python\n# {name}\n(.*?)```", text, re.DOTALL)[1] for name in ("a proxy", "as arrays")]
    model, fitter = model_of(SHAPES["one head"])
    s, known = Simplification("top_coordinates", 3, 1), dict(PROXIES)
    try:
        written: dict = {}
        exec(blocks[0], written)
        assert fitted_arrays(fitter, [s]) == {}
        exec(blocks[1], written)
        tokens = np.random.default_rng(7).integers(1, VOCABULARY, CONTEXT - 3).tolist()
        _, found = computed(page, model, fitter, [s], tokens)
        patterns, logits = in_double(model, fitter.rules(s), tokens)
    finally:
        PROXIES.clear()
        PROXIES.update(known)
    assert_equal(found, patterns, logits.numpy())
