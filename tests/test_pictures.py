"""Pictures and tables as readers meet them: in words, on light and dark pages, wide and narrow; and each on its own."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_figures import TABLES

from lib.figures import Picture, Table, curves
from lib.figures.colours import DARK, LIGHT, MARK, TEXT, contrast, on
from lib.figures.panels import sheet
from lib.figures.style import GRID, QUIET, WIDTHS
from lib.figures.svg import relative
from lib.proxies import PROXIES
from lib.tasks import Look

EVIL = "<script>alert(1)</script> & \"quotes\" 'more'"
LOOKS = {"a": Look(EVIL, "#E69F00", "o"), "b": Look("plain", "#000000", "")}


def picture(alt: str = "It falls.", note: str = "preset x", last: float = 3.0) -> Picture:
    rows = [(EVIL, series, x, 0.5, 0.4, 0.6) for series in LOOKS for x in (1.0, last if series == "a" else 9.0)]
    table = pd.DataFrame(rows, columns=["panel", "series", "x", "value", "low", "high"])
    return curves(table, LOOKS, x="x", y=EVIL, alt=alt, note=note)


class Page(HTMLParser):
    """Elements of a page with their attributes, its text, and what is open when."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text, self._open = [], []
        self.feed(html)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "wbr":
            return
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text.append(data)

    def of(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


every_plot = pytest.mark.parametrize(("plot", "table"), TABLES.values(), ids=list(TABLES))


def test_a_picture_says_what_it_shows_and_has_a_caption_in_the_page():
    html = picture(alt="In **half** of `cases` <b>it</b> falls, R&amp;D.", note=f"preset x; {EVIL}").to_html()
    page = Page(html)
    (shown,) = [of for _, of in page.elements if of.get("role") == "img"]
    assert shown["aria-label"] == "In half of cases it falls, R&D.", "plain text, whatever sentences are made of"
    assert html.endswith("</figcaption></figure>")
    assert f"Preset x; {EVIL} " in page.text
    (numbers,) = page.of("a")
    rows = pd.read_csv(io.BytesIO(base64.b64decode(numbers["href"].removeprefix("data:text/csv;base64,"))))
    assert list(rows["panel"]) == [EVIL] * 4, "what is drawn, as a table"
    assert page.of("script") == []
    assert [of["class"] for of in page.of("svg") if "class" in of] == ["wide", "narrow"]
    assert {of["aria-hidden"] for of in page.of("svg")} == {"true"}, "what is drawn is said once, by the label"


def test_a_picture_without_words_is_refused():
    with pytest.raises(TypeError):
        curves(pd.DataFrame(), LOOKS, x="", y="", note="")
    for alt in ("", "  "):
        with pytest.raises(ValueError, match="alt"):
            picture(alt=alt)


def test_texts_of_a_picture_are_text():
    html = picture(last=9.0).to_html() + picture(last=3.0).to_html()
    page = Page(html)
    assert page.of("script") == []
    assert "".join(page.text).count("<script>") >= 6, "of titles, axes, labels, the key"


@every_plot
def test_names_in_a_picture_are_its_own(plot, table):
    """Of two pictures on a page, and of the wide and the narrow drawing of one."""
    one, other = (plot(part).to_html() for part in (table, table[:1]))
    ids = [of["id"] for of in (found for html in (one, other) for _, found in Page(html).elements) if "id" in of]
    assert len(set(ids)) == len(ids)
    for html in (one, other):
        used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', html))
        assert used <= set(re.findall(r' id="([^"]+)"', html))
    rules = re.findall(r"[^{}]*(?=\{)", "".join(re.findall(r"<style>(.*?)</style>", one)))
    own = r"^@|\.p[0-9a-f]{8}( \.s\d+)?$"
    of_others = [rule for rule in rules if rule and "picture" not in rule and not re.search(own, rule)]
    assert of_others == [], "no rule for what is outside"


@every_plot
def test_the_same_picture_is_the_same_to_the_byte(plot, table):
    assert plot(table).to_html() == plot(table).to_html()


@every_plot
def test_every_colour_is_one_on_light_and_one_on_dark_pages(plot, table):
    html = plot(table).to_html()
    style, drawn = re.search(r"<style>(.*?)</style>(.*)", html, re.DOTALL).groups()
    classes = re.findall(r"\.p[0-9a-f]{8} \.s\d+\{(.*?)\}", style)
    used = set(re.findall(r"var\((--c\d+)\)", "".join([drawn, *classes])))
    assert used
    assert re.findall(r"#[0-9a-f]{6}", "".join([re.sub(r'href="data:[^"]*"', "", drawn), *classes])) == [], "none is fixed"
    light, dark = re.findall(r"([^{}]*)\.p[0-9a-f]{8}\{(.*?)\}", style)
    assert "dark" in dark[0]
    assert "dark" not in light[0]
    assert used == set(re.findall(r"(--c\d+):#", light[1])) == set(re.findall(r"(--c\d+):#", dark[1]))


@pytest.mark.parametrize(
    "colour", ["#E69F00", "#56B4E9", "#CC79A7", "#000000", "#6B6B6B", *(p.colour for p in PROXIES.values())]
)
def test_what_is_drawn_stands_out_on_every_page(colour):
    for page in (LIGHT, DARK):
        assert contrast(on(page, colour, MARK), page) >= MARK - 0.05
        assert contrast(on(page, colour, TEXT), page) >= TEXT - 0.05


def test_what_is_quiet_on_white_is_quiet_on_black():
    assert GRID in QUIET
    assert contrast(on(DARK, GRID), DARK) == pytest.approx(contrast(GRID, LIGHT), rel=0.05)
    assert contrast(on(DARK, "#ffffff"), DARK) == pytest.approx(1, abs=0.03)
    assert on(LIGHT, "#0072B2", MARK) == "#0072b2", "what stands out is left as it is"


def test_the_order_of_contrasts_is_kept():
    """What is pale on white, for it counts less, is dark on black."""
    shades = ("#d0e4f1", "#7fb8d8", "#0072b2", "#003a5a")
    for page in (LIGHT, DARK):
        found = [contrast(on(page, shade), page) for shade in shades]
        assert found == sorted(found)


# What it takes


def points_of(path: str) -> list[tuple[str, float, float]]:
    """The points of a path in either form, each after the command that leads there; control points, too."""
    found, x, y = [], 0.0, 0.0
    for command, given in re.findall(r"([MLQCzlqchv])([^MLQCzlqchv]*)", path):
        numbers = [float(number) for number in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", given)]
        step = {"q": 4, "c": 6, "h": 1, "v": 1}.get(command.lower(), 2)
        for i in range(0, len(numbers), step):
            part = numbers[i : i + step]
            if command in "hv":
                part = [part[0], 0.0] if command == "h" else [0.0, part[0]]
            if command.islower():
                part = [number + (x, y)[k % 2] for k, number in enumerate(part)]
            found += [("l" if command in "hv" else command.lower(), *part[k : k + 2]) for k in range(0, len(part), 2)]
            x, y = part[-2:]
        found += [("z", x, y)] if command == "z" else []
    return found


@pytest.mark.parametrize(
    ("path", "shorter"),
    [
        ("M 1.04 2 \nL 3.26 2 \nL 3.26 -5.51 \nL 4.5 -5 \nL 5 -4.5 \nz \n", "M1 2h2.3v-7.5l1.2 .5 .5 .5z"),
        ("M 0.55 0 Q 1 1 2 2 C 3 3 4 4 5 5 z M -0.5 0.25 L 9 9", "M.6 0q.4 1 1.4 2c1 1 2 2 3 3zM-.5 .2l9.5 8.8"),
    ],
)
def test_a_path_is_as_short_as_it_can_be_said(path, shorter):
    assert relative(path) == shorter


def test_a_path_goes_where_it_went_however_long_it_is():
    """Each of its points is rounded, and none of the errors is carried on to the next."""
    random = np.random.default_rng(0)
    at = np.cumsum(random.normal(0, 0.37, (500, 2)), axis=0)
    path = "M 0.123456 7.654321 " + " ".join(
        f"L {x:.6f} {y:.6f}" if i % 3 else f"C {x:.6f} {y:.6f} {y:.6f} {x:.6f} {x:.6f} {y:.6f}" for i, (x, y) in enumerate(at)
    )
    before, after = points_of(path), points_of(relative(path))
    assert [of[0] for of in before] == [of[0] for of in after]
    np.testing.assert_allclose([of[1:] for of in after], [of[1:] for of in before], atol=0.0501)


@every_plot
def test_a_picture_has_nothing_that_says_nothing(plot, table):
    html = plot(table).to_html()
    assert re.findall(r"<g>|<g/>|<defs/>|rotate\(-?0 ", html) == []
    _, drawn = html.split("</style>", 1)
    marks = re.sub(r'href="data:[^"]*"|viewBox="[^"]*"', "", "".join(re.findall(r"<[^>]*>", drawn)))
    numbers = re.findall(r"\d\.(\d+)", marks)
    assert max(map(len, numbers), default=0) <= 1
    assert len(re.findall(r' style="', drawn)) <= 2 + html.count("<li>"), "of drawings themselves, and samples of the key"


def test_a_picture_is_drawn_once_for_all_that_show_it():
    widths = []

    def draw(width):
        widths.append(width)
        return sheet(width, 1)

    shown = Picture(draw, alt="It falls.", note="preset x")
    assert shown.to_html() == shown.to_html()
    assert shown.to_svg() == shown.to_svg()
    assert sorted(widths) == sorted(WIDTHS.values())


def test_a_card_is_as_large_as_networks_ask_for_and_white_at_its_edges():
    with Image.open(io.BytesIO(picture().to_png())) as card:
        assert (card.format, card.size) == ("PNG", (1200, 630))
        pixels = np.asarray(card.convert("L"))
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[:, [0, -1]] == 255).all()
    assert (pixels < 128).mean() > 0.001, "something is drawn"
    assert picture().to_png() == picture().to_png()


def test_a_notebook_shows_a_picture_once():
    bundle = picture()._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == "It falls."
    assert plt.get_fignums() == [], "nothing is left for the inline backend to show again"


def test_it_is_kept_as_a_file_of_its_own():
    text = picture().to_svg()
    root = ElementTree.fromstring(text.encode())
    assert root.tag.endswith("}svg")
    assert "prefers-color-scheme:dark" in text
    assert set(re.findall(r"var\((--c\d+)\)", text)) <= set(re.findall(r"(--c\d+):#", text))


# Tables


FRAME = pd.DataFrame(
    {
        "gap_here": ["15.0 [13.1, 17.0]", "−2.5 [−3.0, 1.0]", "not measured"],
        "share": ["15.0 %", "2.0 %", "100.0 %"],
        "count": ["1,234", "5", "60"],
        "word": ["below <b> 1.5 [0.1, 2.0] (at rank 8)", "rank 8", "8"],
    },
    index=["SVD", EVIL, "k-means"],
)


def rows(table: Table) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", table.to_html())
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found]


def test_a_table_has_its_units_in_its_head_and_intervals_below_numbers():
    head, first, second, third = rows(Table(FRAME, "What it is"))
    assert head == ["", "gap_<wbr>here", "share, %", "count", "word"]
    assert first[1:4] == ["15.0<small>[13.1, 17.0]</small>", "15.0", "1,234"]
    assert first[4] == "below &lt;b&gt; 1.5<small>[0.1, 2.0]</small><small>(at rank 8)</small>"
    assert second[0].startswith("&lt;script&gt;")
    assert third[1:] == ["not measured", "100.0", "60", "8"]


def test_a_table_can_be_read_without_eyes_and_reached_without_a_mouse():
    page = Page(Table(FRAME, EVIL).to_html())
    assert page.of("script") == []
    assert EVIL in page.text
    assert [of["scope"] for of in page.of("th")] == ["col"] * 4 + ["row"] * 3
    (scroll,) = page.of("div")
    assert (scroll["tabindex"], scroll["role"], scroll["aria-label"]) == ("0", "group", EVIL)
    named = Page(Table(FRAME.rename_axis("family"), "x").to_html())
    assert len(named.of("th")) == 8, "a corner that says something is a heading"


def test_numbers_are_set_in_a_column_of_their_own_and_words_are_not():
    cells = Page(Table(FRAME, "x").to_html()).of("td")[1:]
    assert ["number" in of.get("class", "") for of in cells] == [True, True, True, False] * 3
    assert [of.get("class") for of in cells[8:9]] == ["number none"]


def test_heat_is_how_far_a_number_is_from_zero():
    page = Page(Table(FRAME[["gap_here"]], "x", heat=True).to_html())
    above, below, missing = page.of("td")[1:]
    assert (above["class"], above["style"]) == ("number above", "--heat:40")
    assert (below["class"], below["style"]) == ("number below", "--heat:7")
    assert "style" not in missing
    assert not any("style" in of for of in Page(Table(FRAME, "x").to_html()).of("td"))


@pytest.mark.parametrize("heat", [False, True])
def test_an_empty_table_is_a_table(heat):
    assert "<table" in Table(pd.DataFrame(), "Nothing", heat).to_html()
    assert "<table" in Table(FRAME[:0], "Nothing", heat).to_html()
    zeros = pd.DataFrame({"a": ["0.0"]})
    assert ' style="' not in Table(zeros, "Nothing", heat).to_html()


def test_a_notebook_shows_a_table_as_html():
    assert set(Table(FRAME, "x")._repr_mimebundle_()) == {"text/html", "text/plain"}
