"""Single functions as model and proxy read them: text is shown as text, whatever it says."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from code_samples import function, write_tree
from code_study import small_study

from lib.proxies import MODEL, Simplification
from lib.studies import Study
from lib.tasks.code.corpora import corpus
from lib.tasks.code.reading import Reading, about, composition, examples, median_sequence, read

EVIL = "<script>alert(1)</script> & \"double\" 'single' &lt;"
SVD = Simplification("svd", 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def run(study):
    return study.runs[0]


@pytest.fixture(scope="module")
def block(study):
    """What was measured on the split in C."""
    (block,) = [block for block in study.estimates.blocks(0) if block.split == "c"]
    return block


class Elements(HTMLParser):
    """The elements, titles and text of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def reading(text: str, model: str, proxy: str) -> Reading:
    agrees = np.array([m == p for m, p in zip(model, proxy, strict=True)])
    return Reading(text, list(model), list(proxy), agrees)


@pytest.mark.parametrize("proxy", [EVIL, EVIL[::-1], "x" * len(EVIL)], ids=["agrees", "differs", "differs throughout"])
def test_what_a_reading_shows_is_text_whatever_it_says(proxy):
    html = reading(EVIL, EVIL, proxy).to_html()
    shown = Elements(html)
    assert shown.text == EVIL
    assert all(f"&{name};" in html for name in ("lt", "gt", "amp", "quot"))
    assert "<script" not in html
    assert [tag for tag, _ in shown.found[:1]] == ["pre"]
    assert [tag for tag, _ in shown.found[1:]] == ["span"] * sum(m != p for m, p in zip(EVIL, proxy, strict=True))
    assert all(set(attributes) == {"class", "title"} for _, attributes in shown.found[1:])


@pytest.mark.parametrize("character", list("<>&\"'"))
def test_titles_of_a_reading_are_escaped(character):
    (_, (tag, attributes)) = Elements(reading("x", character, "y").to_html()).found
    assert (tag, attributes) == ("span", {"class": "differs neither", "title": f"model: {character}, proxy: y"})


def test_a_reading_marks_where_model_and_proxy_part_ways_and_who_is_right():
    found = Elements(reading("a\nb c", "a x z", "ay\nb ").to_html())
    assert found.text == "a↵\nb c"
    assert [attributes["class"] for _, attributes in found.found[1:]] == [
        "differs neither", "differs neither", "differs model", "differs neither",
    ]  # fmt: skip
    titles = [attributes["title"] for _, attributes in found.found[1:]]
    assert titles[:2] == ["model: blank, proxy: y", "model: x, proxy: line feed"]
    right = Elements(reading("ab", "ax", "yb").to_html())
    assert [attributes["class"] for _, attributes in right.found[1:]] == ["differs model", "differs proxy"]


def test_a_reading_of_the_model_is_what_was_measured(run, block):
    row = median_sequence(block, SVD)
    found = read(run, "c", row, SVD)
    chosen = block.columns["sequence"] == row
    assert len(found.text) == block.columns["n"][chosen].sum()
    assert found.agrees.sum() == block.sums[SVD, "same_prediction"][chosen].sum()
    for predicted, s in ((found.model, MODEL), (found.proxy, SVD)):
        assert sum(p == c for p, c in zip(predicted, found.text, strict=True)) == block.sums[s, "accuracy"][chosen].sum()
    assert Elements(found.to_html()).text.replace("↵", "") == found.text


@pytest.mark.parametrize("among", [range(100), range(5), [7, 2, 3]])
def test_the_sequence_shown_is_of_median_agreement_among_the_long_ones(run, block, among):
    n = np.bincount(block.columns["sequence"], block.columns["n"])
    agreed = np.bincount(block.columns["sequence"], block.sums[SVD, "same_prediction"]) / n
    known = [row for row in among if row < len(n)]
    long = [row for row in known if n[row] >= max(n[known]) / 2]
    shown = median_sequence(block, SVD, among)
    assert shown in long
    assert agreed[shown] == sorted(agreed[long])[len(long) // 2]


# The corpus


def test_examples_are_shown_as_text_whatever_they_say(tmp_path):
    folder = tmp_path / "<b>bold & more"
    folder.mkdir()
    code = f"def evil():\n    # {EVIL}\n    return '</pre><img src=x onerror=alert(1)>' + 'more and more of it'"
    (folder / "<i>.py").write_text(code + "\n")
    html = examples(corpus("directory", str(tmp_path), 10, 10))
    shown = Elements(html.partition("</style>")[2])
    assert [tag for tag, _ in shown.found] == ["p", "b", "pre"]
    assert shown.text.strip() == f"Python, <b>bold & more: <b>bold & more/<i>.py{code}"
    assert "<script" not in html
    assert "<img" not in html


def test_the_example_of_a_language_is_the_function_of_the_length_asked_for(tmp_path):
    found = corpus("directory", str(write_tree(tmp_path / "t", {"python": 1, "c": 1}, 9)), 100, 100)
    shown = Elements(examples(found, 200)).text
    for name in ("python", "c"):
        assert min((function(name, n) for n in range(9)), key=lambda code: abs(len(code) - 200)) in shown


def test_the_composition_of_a_corpus_has_one_row_for_each_language(tmp_path):
    found = corpus("directory", str(write_tree(tmp_path / "t", {"python": 2, "c": 1}, 5)), 100, 100)
    table = composition(found)
    assert list(table.index) == ["Python", "C"]
    assert table.loc["Python", ["packages", "functions"]].tolist() == ["2", "10"]
    assert table.loc["C", "characters"] == f"{sum(len(function('c', n)) for n in range(5)):,}"
    assert table.loc["C", "largest package"] == "c_0 (100 %)"


def test_how_a_corpus_was_made_is_told_with_its_checksum(tmp_path, study):
    found = corpus("directory", str(write_tree(tmp_path / "t", {"python": 1}, 5)), 100, 100)
    said = about(found, study.task)
    assert "Functions have 80 to 2,000 printable ASCII characters" in said
    assert "Dropped were 0 exact and 0 near duplicates" in said
    assert f"SHA-256 {found.manifest['sha256'][:16]}…" in said
