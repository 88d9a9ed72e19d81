"""The book's own extension of Sphinx: where the source is public, what pages say of themselves, and what goes from them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lib.figures import curves
from lib.tasks import Look

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book" / "_extensions"))

import book_pages  # noqa: E402
import book_repository  # noqa: E402
import book_styles  # noqa: E402

# Where the source is public


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("https://github.com/owner/name/", "https://github.com/owner/name"),
        ("https://user:secret@github.com/owner/my.name.git", "https://github.com/owner/my.name"),
        ("https://x-access-token:ghs_a@b@GitHub.com/owner/name", "https://github.com/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@codeberg.org:22/owner/name.git", "https://codeberg.org/owner/name"),
        ("git@gitlab.com:group/part/name.git", "https://gitlab.com/group/part/name"),
        ("http://github.com/owner/name", ""),
        ("git://github.com/owner/name", ""),
        ("https://github.com.example.org/owner/name", ""),
        ("https://example.org/github.com/owner/name", ""),
        ("https://github.com@example.org/owner/name", ""),
        ("git@git.example.org:owner/name.git", ""),
        ("https://github.com/owner", ""),
        ("https://github.com/owner/../other/name", ""),
        ('https://github.com/owner/name"><script>', ""),
        ("/srv/github.com/owner/name", ""),
        ("file:///srv/git/name.git", ""),
        ("../name", ""),
        ("", ""),
    ],
)
def test_a_remote_is_public_at_known_hosts_only_and_without_who_fetches_it(remote, address):
    assert book_repository.public(remote) == address


@pytest.fixture
def clone(tmp_path) -> Path:
    """A repository with the book's extension in it."""
    shutil.copytree(
        ROOT / "book" / "_extensions", tmp_path / "book" / "_extensions", ignore=shutil.ignore_patterns("__pycache__")
    )
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder: Path, *command: str) -> None:
    subprocess.run(["git", "-C", str(folder), *command], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


def test_the_repository_is_what_git_calls_origin(clone, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    results = clone / "artifacts" / "quick" / "book"
    results.mkdir(parents=True)
    assert book_repository.found(clone / "book", {}) == "", "there is none"
    git(clone, "remote", "add", "origin", "https://me:secret@github.com/owner/name.git")
    assert book_repository.found(clone / "book", {}) == "https://github.com/owner/name"
    assert book_repository.found(results, {}) == "https://github.com/owner/name", "where a preset's book is built"
    git(clone, "remote", "set-url", "origin", str(clone))
    assert book_repository.found(clone / "book", {}) == "", "a folder is no address for others"


def test_results_that_are_kept_in_another_repository_do_not_name_that(clone, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git(clone, "remote", "add", "origin", "https://github.com/someone/notes.git")
    shutil.rmtree(clone / "book" / "_extensions")
    assert book_repository.found(clone / "book", {}) == ""


def test_without_git_no_repository_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert book_repository.found(ROOT / "book", {}) == ""


@pytest.mark.parametrize(
    ("server", "address"),
    [("https://github.com", "https://github.com/owner/fork"), ("https://git.example.org", ""), (None, "")],
)
def test_actions_say_for_which_repository_they_run(clone, server, address):
    """Which may be a fork of what `origin` is."""
    git(clone, "remote", "add", "origin", "https://github.com/owner/name.git")
    environment = {"GITHUB_REPOSITORY": "owner/fork"} | ({"GITHUB_SERVER_URL": server} if server else {})
    assert book_repository.found(clone / "book", environment) == address


@pytest.mark.parametrize(
    ("repository", "served"),
    [
        ("https://github.com/Owner/name", "https://owner.github.io/name/"),
        ("https://github.com/owner/owner.github.io", "https://owner.github.io/"),
        ("https://gitlab.com/owner/name", ""),
        ("", ""),
    ],
)
def test_only_github_says_by_its_name_where_pages_are_served(repository, served):
    assert book_repository.site(repository) == served


# What pages say of themselves


def tags(page: str, repository: str, source: Path) -> dict[str, str]:
    html = book_pages.card("A <title>", "What it is.", "The book", page, repository, source)
    return dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)" />\n', html))


def test_a_card_has_whole_addresses_where_it_is_known_where_pages_are_served(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / book_pages.CARD).write_bytes(b"")
    found = tags("chapter.html", "https://github.com/owner/name", tmp_path)
    assert found["og:title"] == "A &lt;title&gt;"
    assert found["og:url"] == "https://owner.github.io/name/chapter.html"
    assert found["og:image"] == "https://owner.github.io/name/_static/dyck-depth.png"
    assert found["twitter:card"] == "summary_large_image"
    assert tags("index.html", "https://github.com/owner/name", tmp_path)["og:url"] == "https://owner.github.io/name/"


@pytest.mark.parametrize("repository", ["", "https://codeberg.org/owner/name"])
def test_a_card_without_an_address_has_no_tag_for_it(tmp_path, repository):
    found = tags("chapter.html", repository, tmp_path)
    assert set(found) == {"og:title", "og:description", "og:type", "og:site_name", "twitter:card", "description"}
    assert found["twitter:card"] == "summary"
    assert "og:image" not in tags("chapter.html", "https://github.com/owner/name", tmp_path), "there is no picture"


def test_the_published_book_has_a_picture_for_cards():
    from PIL import Image

    with Image.open(ROOT / "book" / book_pages.CARD) as card:
        assert card.size == (1200, 630)
    assert (ROOT / "book" / book_pages.CARD).stat().st_size < 200_000


# What goes from pages


def test_a_heading_does_not_end_a_line_within_k_means():
    heading = '<h2>With k-means and one-hot<a class="x" href="#with-k-means" title="k-x">#</a></h2>'
    made = book_pages.tidied(f"<p>k-means</p>{heading}")
    assert made == f"<p>k-means</p>{heading}".replace("With k-means", 'With <span class="unbroken">k-means</span>')


def test_only_the_page_for_searching_loads_what_searches():
    scripts = "".join(f'<script src="_static/{name}.js"></script>\n' for name in ("searchtools", "language_data"))
    scripts += '<script src="searchindex.js"></script>\n'
    meta = '<meta name="docsearch:version" content="" />\n<meta name="docbuild:last-update" content="today"/>\n'
    assert book_pages.tidied(f"{meta}{scripts}</head>") == f"{meta}</head>"
    assert book_pages.tidied(f"{scripts}</head>{meta}") == f"{scripts}</head>{meta}"


CSS = """@charset "UTF-8";
/* { a comment */ .seen, .gone { a: "}"; } .gone { b: url('{') } .seen .gone > p{c:1}
.gone:hover, .seen:not(.gone) { d: 1 } :is(.gone, .seen) p { e: 1 } [class=".gone"] { f: 1 } .a\\:b { g: 1 }
@media print { .gone { h: 1 } @supports (x: y) { .gone { i: 1 } } } @media screen { .gone { j: 1 } .bs-top { k: 1 } }
@font-face { l: 1 } @keyframes m { from { top: .5em } } p { n: 1 }"""


def test_rules_for_classes_that_cannot_be_go_and_no_others():
    page = '<p class="x seen"></p><script>box.className = `bs-${side}`</script>'
    css = book_styles.needed(CSS, book_styles.classes([page], ["element.classList.add('open')"]))
    assert "".join(sorted(re.findall(r"\b([a-n]):", re.sub(r"a\\:b", "", css)))) == "adefgkln"
    assert "@media print" not in css
    assert css.startswith('@charset "UTF-8";\n/* { a comment */ .seen, .gone { a: "}"; }')
    everything = book_styles.needed(CSS, lambda name: True)
    assert everything == CSS, "to the letter"


def test_a_script_may_set_a_class_by_its_name_or_by_its_beginning():
    may_be = book_styles.classes(["<script>add('one-two')</script>", '<i class="three\n four">'], ["`tip-${side}`", "a-b"])
    assert all(map(may_be, ("one-two", "three", "four", "tip-left", "a-b")))
    assert not any(map(may_be, ("one", "tip", "a-", "class", "i")))


def test_a_page_asks_for_style_sheets_by_what_they_hold():
    html = '<link href="_static/styles/a.css?digest=1"/><link href="_static/b.css?v=2"/><script src="_static/c.js?v=3">'
    made = book_pages.versioned(html, {"_static/styles/a.css": "aa", "_static/b.css": "bb"})
    assert re.findall(r'"([^"]+)"', made) == ["_static/styles/a.css?v=aa", "_static/b.css?v=bb", "_static/c.js?v=3"]


LINK = '<a href="_sources/page.ipynb" download>this page’s notebook</a>'


@pytest.mark.parametrize(
    ("reads", "says"),
    [
        (
            {},
            f"Computed by {LINK}: preset quick, seeds a 3, corpus of b abc, python 3, measured on cpu, 9 s, commit 12-dirty",
        ),
        ({"reads": ["a.json"]}, f"Shown by {LINK}, measured before: python 3, 9 s, commit 12-dirty"),
    ],
)
def test_a_page_says_where_its_numbers_come_from(reads, says, tmp_path):
    """One that shows what was made elsewhere does not claim to have computed it."""
    made = {"fingerprint": "0123", "python": "3", "seeds": {"a": 3}, "corpora": {"b": "abc"}, "device": ["cpu"]}
    made |= {"seconds": 9, "commit": "12-dirty"}
    metadata = {"provenance": made, "papermill": {"parameters": {"preset": "quick"}}, **reads}
    (tmp_path / "page.ipynb").write_text(json.dumps({"metadata": metadata}))
    assert book_pages.made_of(tmp_path / "page.ipynb") == f"{says}; fingerprint 0123."


def test_numbers_of_figures_go_into_files_beside_the_page(tmp_path):
    table = pd.DataFrame(
        {"panel": ["a", "a"], "series": ["m", "m"], "x": [1, 2], "value": [0.25, 1 / 3], "nothing": [None, None]}
    )
    table = table.assign(low=table["value"], high=table["value"])
    picture = curves(table, {"m": Look("m", "#000000", "o")}, x="x", y="y", alt="It rises.", note="a")
    page = book_pages.with_tables(f"<p>{picture.to_html()}{picture.to_html()}</p>", "page", tmp_path)
    links = re.findall(r'<a class="numbers" download="([^"]*)" href="([^"]*)">', page)
    assert links == [(f"page-{n}.csv", f"_static/tables/page-{n}.csv") for n in (1, 2)]
    found = pd.read_csv(tmp_path / links[0][1])
    assert list(found) == ["panel", "series", "x", "value", "low", "high"]
    assert found["value"].tolist() == [0.25, 0.33333]
    assert "base64" not in page
    picture.table = pd.concat([table] * 5_000)
    page = book_pages.with_tables(picture.to_html(), "large", tmp_path)
    assert 'download="large-1.csv.gz" href="_static/tables/large-1.csv.gz">Numbers (CSV, gzip)</a>' in page
    assert len(pd.read_csv(tmp_path / "_static/tables/large-1.csv.gz")) == 10_000
