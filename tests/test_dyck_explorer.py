"""The explorer: every control redraws the picture, what cannot be shown is said in place, and it recovers from that."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest
from chapters import new_proxy

from lib.presets import load
from lib.proxies import PROXIES, Simplification
from lib.runs import Run
from lib.tasks.dyck.explorer import DyckExplorer

pytestmark = pytest.mark.slow  # as a whole
TYPED = "(a (b b) (c (a a) c) a)"  # with closing brackets, START first, at 3, 6, 7 and 8


@pytest.fixture(scope="module")
def run(tiny, tiny_artifacts) -> Iterator[Run]:
    """Of a preset in which a proxy of one's own was measured, with one complexity that it refuses."""
    with new_proxy(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
        run = load(tiny).study("dyck").runs[0]
        grid = {layer: {**proxies, "rounded": (2, 1_000)} for layer, proxies in run.experiment.measuring.grid.items()}
        measuring = run.experiment.measuring.model_copy(update={"grid": grid})
        run.experiment = run.experiment.model_copy(update={"measuring": measuring})
        yield run


@pytest.fixture
def explorer(run) -> Iterator[DyckExplorer]:
    yield DyckExplorer(run)
    plt.close("all")


def shows(explorer: DyckExplorer) -> bytes:
    """The picture; there is no message, and the closing brackets offered are those of the sentence."""
    assert explorer.message.value == ""
    assert explorer.picture.layout.opacity == "1"
    assert explorer.position.value in explorer.current().closers
    assert list(explorer.position.options) == explorer.current().closers
    return bytes(explorer.picture.value)


def complains(explorer: DyckExplorer, of: str) -> None:
    assert of in explorer.message.value
    assert explorer.picture.layout.opacity == "0.3"


def test_it_begins_with_a_deep_sentence_where_the_proxy_does_worst(explorer):
    assert explorer.choice.value.startswith("unseen_depth")
    assert explorer.layer.value == 1, "the last"
    assert shows(explorer).startswith(b"\x89PNG")
    assert explorer.position.value == explorer.current().hardest()
    assert {option.split()[0] for option in explorer.choice.options} == set(explorer.run.data.splits)


def test_every_control_redraws_and_only_once(explorer):
    drawn = []
    explorer.picture.observe(drawn.append, "value")
    for control, choose in (
        ("choice", lambda e: e.choice.options[-1]),
        ("typed", lambda e: TYPED),
        ("layer", lambda e: 0),
        ("complexity", lambda e: 1),
        ("position", lambda e: next(p for p in e.position.options if p != e.position.value)),
        ("proxy", lambda e: "one_hot"),
    ):
        before = shows(explorer)
        drawn.clear()
        getattr(explorer, control).value = choose(explorer)
        assert len(drawn) == 1, f"{control}: not once for its value and once for its options"
        assert shows(explorer) != before, control


def test_the_complexities_offered_are_those_that_the_proxy_has(explorer):
    assert list(explorer.complexity.options) == list(range(1, 9)), "ranks up to the width of a head"
    assert (explorer.complexity.description, explorer.complexity.value) == ("rank", PROXIES["svd"].example(8))
    explorer.proxy.value = "kmeans"
    assert list(explorer.complexity.options) == [8, 16], "measured, and the example"
    assert explorer.complexity.description == "clusters"
    explorer.proxy.value = "one_hot"
    assert explorer.complexity.layout.visibility == "hidden"
    assert explorer.current().simplification == Simplification("one_hot", None, 1)
    explorer.proxy.value = "svd"
    assert explorer.complexity.layout.visibility == "visible"


def test_a_new_proxy_is_offered_with_its_complexities(explorer):
    assert ("rounded off", "rounded") in explorer.proxy.options
    before = shows(explorer)
    explorer.proxy.value = "rounded"
    assert list(explorer.complexity.options) == [2, 16, 1_000]
    assert explorer.complexity.description == "steps"
    explorer.complexity.value = 2
    assert shows(explorer) != before
    assert explorer.current().simplification == Simplification("rounded", 2, 1)


def test_a_sentence_that_cannot_be_read_is_refused_in_place_and_the_picture_fades(explorer):
    before = shows(explorer)
    for typed in ("(a <b>", "(a b)", "(a (b b)", "(z z)", "(a a) " * 20):
        explorer.typed.value = typed
        complains(explorer, "sentence")
        assert "<b>" not in explorer.message.value.removeprefix('<b style="color: #B00020">')
        assert explorer.picture.value == before, "the last good one"
    explorer.typed.value = TYPED
    assert shows(explorer) != before
    assert list(explorer.position.options) == [3, 6, 7, 8]
    explorer.typed.value = ""
    assert shows(explorer) == before


def test_choosing_a_sentence_clears_what_was_typed(explorer):
    before = shows(explorer)
    explorer.typed.value = "(a"
    explorer.choice.value = explorer.choice.options[0]
    assert explorer.typed.value == ""
    assert shows(explorer) != before


@pytest.mark.parametrize("how", ["typed", "choice"])
def test_a_sentence_that_comes_while_the_proxy_is_refused_is_drawn_once_it_is_not(explorer, how):
    """Its closing brackets stand elsewhere than those of the sentence before."""
    explorer.proxy.value = "rounded"
    explorer.complexity.value = 1_000
    complains(explorer, "so many steps are no &lt;simplification&gt;")
    if how == "typed":
        explorer.typed.value = TYPED
    else:
        explorer.choice.value = explorer.choice.options[0]
    complains(explorer, "so many steps")
    explorer.proxy.value = "one_hot"
    picture = shows(explorer)
    assert explorer.position.value == explorer.current().hardest()
    explorer.draw()
    assert explorer.picture.value == picture
