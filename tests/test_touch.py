"""Live figures under fingers: what can be tapped is large enough, and still reached by keys."""

from __future__ import annotations

from itertools import pairwise

import pytest
from live_pages import opened, write_page
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 800}
SENTENCE = "(a " * 4 + "a) " * 4 + "(b (c c) (a a) (c c) b) (a a)"  # as long as these models read


@pytest.fixture(scope="module")
def path(depth, tmp_path_factory):
    """A page with the live figure of one sentence."""
    return write_page(tmp_path_factory.mktemp("touch"), [depth.hardest()])


@pytest.fixture
def figure(browser, path):
    """It, as ready as on a phone."""
    with opened(browser, path) as page:
        page.set_viewport_size(PHONE)
        page.reload()
        page.locator("[data-live=brackets].live-ready").wait_for(timeout=20_000)
        of = page.locator("[data-live=brackets]")
        of.get_by_label("or type one").fill(SENTENCE)
        expect(of.locator(".live-click")).to_have_count(SENTENCE.count(")"))
        yield of


def test_brackets_to_tap_are_as_large_as_a_finger_and_the_page_is_not_wider(figure):
    boxes = [bracket.bounding_box() for bracket in figure.locator(".live-click").all()]
    assert min(box["width"] for box in boxes) >= 24
    assert min(box["height"] for box in boxes) >= 24
    over = [(a["x"] - b["x"]) ** 2 < 23**2 for a, b in pairwise(boxes)]
    assert not any(over), "none lies on another"
    assert figure.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert figure.locator(".live-scroll").evaluate("of => of.scrollWidth > of.clientWidth")


@pytest.mark.parametrize("which", [0, -1])
def test_a_bracket_that_is_chosen_by_keys_is_brought_into_sight(figure, which):
    slider = figure.get_by_label("Closing bracket", exact=True)
    slider.focus()
    slider.press("End" if which == 0 else "Home")
    slider.press("Home" if which == 0 else "End")
    at = [i for i, word in enumerate(["START", *SENTENCE.split()]) if word.endswith(")")][which]
    expect(figure.locator(".live-said")).to_contain_text(f"at position {at} closes")
    chosen = figure.locator(".live-query").bounding_box()
    shown = figure.locator(".live-scroll").bounding_box()
    assert shown["x"] <= chosen["x"]
    assert chosen["x"] + chosen["width"] <= shown["x"] + shown["width"]


def test_a_tap_chooses_a_bracket_and_the_row_stays_where_it_is(figure):
    scroll = figure.locator(".live-scroll")
    bracket = figure.locator(".live-click").nth(3)
    bracket.scroll_into_view_if_needed()
    before = scroll.evaluate("of => of.scrollLeft")
    bracket.click()
    expect(figure.locator(".live-said")).to_contain_text("at position 8 closes")
    assert scroll.evaluate("of => of.scrollLeft") == before
