"""The whole way at preset smoke: Snakemake, papermill, Jupyter Book. What a browser makes of it is in `test_pages.py`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import nbformat
import pytest
from plugins import plugins_forgotten
from whole_book import BUILD, CHAPTERS, ROOT, hashes, run, shortened, words_of

from lib.errors import InputError

pytestmark = pytest.mark.slow


class Links(HTMLParser):
    """The addresses that a page refers to, and the anchors that it offers."""

    def __init__(self, page: Path):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.targets += [values[name] for name in ("href", "src") if values.get(name)]
        self.anchors |= {values["id"]} if values.get("id") else set()


def test_every_link_and_image_of_the_book_is_there(html):
    pages = {page: Links(page) for page in html.glob("*.html")}
    written = {"index.html", "glossary.html", "running.html", "extend.html", "structure.html", "references.html"}
    assert written | {f"{chapter}.html" for chapter in CHAPTERS} <= {p.name for p in pages}
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("https", "http", "mailto", "data"), target
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            assert file.exists(), f"{page.name} refers to {target}, which is not there"
            if parts.fragment.startswith("live:"):  # sets the live figure of the page
                continue
            if parts.fragment and file.suffix == ".html" and file in pages:
                assert parts.fragment in pages[file].anchors, f"{page.name} refers to {target}, but there is no such anchor"


def test_the_book_is_made_of_executed_notebooks(checkout, html):
    for source in (ROOT / "notebooks").glob("*.ipynb"):
        executed = nbformat.read(checkout / "artifacts/mine/notebooks" / source.name, 4)
        cells = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        studies = bool(executed.metadata.get("experiments"))  # else it shows something else than studies of a preset
        assert executed.metadata.papermill.parameters.get("seeds") == (2 if studies else None)
        assert "widgets" not in executed.metadata, "no page could use the state of widgets"
        (parameters,) = [cell for cell in cells if {"parameters", "injected-parameters"} & {*cell.metadata.tags}]
        values = dict(re.findall(r"^(preset|seeds) = (\S+)", parameters.source, re.MULTILINE))
        assert values["preset"].endswith("mine.toml'")
        assert values["seeds"] == "2" or not studies
        outputs = json.dumps([cell.get("outputs") for cell in cells])
        if studies:
            assert re.search(r"(?i)preset mine(, 2 seeds|: dyck \(2 seeds\)|: code \(2 seeds\))", outputs), source.name
        assert (html / f"{source.stem}.html").exists()


def unfilled(text: str) -> list[str]:
    """What a page must not show: numbers that are none, objects, roles, sentences without their middle."""
    nothing = r"\bnan\b|\bNone\b|\binf\b|\{(?:glue|cite|doc)|<[A-Za-z.]+ object|\(\)|\[\]| \. |\.\. "
    return re.findall(rf".{{0,30}}(?:{nothing}).{{0,30}}", text.replace("...", "…"))


def test_no_page_shows_what_is_no_number_or_an_empty_sentence(html):
    for page in html.glob("*.html"):
        assert page.stem == "references" or unfilled(words_of(page)) == [], page.name
    first = words_of(html / "index.html")
    assert "Agreement is how often a picture, here one layer of a bracket-closing Transformer cut down to a few " in first
    assert "By a regression, from measurements in distribution, the other text and the model on it" in first


def numbers_in(page: Path) -> list[str]:
    """The numbers in a page's running text: not in tables, figures and code, nor in intervals, which are shown on demand."""
    source = page.read_text(encoding="utf-8")
    source = source[source.index("<article") : source.index("</article>")]
    for tag in ("script", "style", "pre", "code", "table", "figure", "svg", "nav"):
        source = re.sub(rf"<{tag}\b.*?</{tag}>", " ", source, flags=re.DOTALL)
    source = re.sub(r'<span class="interval">.*?</span>', "", source)
    return re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", unescape(re.sub(r"<[^>]+>", " ", source)))


@pytest.mark.parametrize("chapter", [*CHAPTERS, "foreseeing", "beside_the_paper", "index"])
def test_a_chapter_has_no_more_numbers_than_can_be_read(html, chapter):
    found = numbers_in(html / f"{chapter}.html")
    assert 2 < len(found) <= 150, found


def test_findings_on_the_first_page_have_at_most_two_numbers(html):
    source = (html / "index.html").read_text(encoding="utf-8")
    findings = re.findall(r"<p><b>(.*?)</b>(.*?)</p>", source, re.DOTALL)
    assert len(findings) == 3
    for finding in findings:
        shown = re.sub(r"<[^>]+>", "", re.sub(r'<span class="interval">.*?</span>', "", " ".join(finding)))
        shown = re.sub(r"of rank \d+|with \d+ clusters", "", shown)  # names of pictures
        assert len(re.findall(r"\d+(?:\.\d+)?", shown)) <= 2, shown


@pytest.mark.parametrize("chapter", [*CHAPTERS, "foreseeing", "beside_the_paper"])
def test_findings_are_headings_in_the_contents_of_their_page(checkout, html, chapter):
    source = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", 4)
    executed = nbformat.read(checkout / f"artifacts/mine/notebooks/{chapter}.ipynb", 4)
    page = (html / f"{chapter}.html").read_text(encoding="utf-8")
    contents = unescape(re.sub(r"\s+", " ", " ".join(re.findall(r"<nav[^>]*page-toc.*?</nav>", page, re.DOTALL))))
    findings = [cell.id for cell in source.cells if "finding" in cell.metadata.get("tags", [])]
    assert findings
    for finding in findings:
        (heading,) = (cell.source for cell in executed.cells if cell.id == f"{finding}-heading")
        assert f'id="{finding}"' in page
        assert " ".join(heading.partition("## ")[2].split()) in contents


def test_the_published_pages_show_no_such_thing_either(published):
    for page in published.glob("*.html"):
        assert page.stem == "references" or unfilled(words_of(page)) == [], page.name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_proxy_in_one_file_joins_every_chapter(checkout, chapter):
    """Figures are vectors, and their text is text."""
    executed = nbformat.read(checkout / f"artifacts/mine/notebooks/{chapter}.ipynb", 4)
    outputs = json.dumps([cell.get("outputs") for cell in executed.cells])
    assert "top coordinates" in outputs


def test_a_second_run_does_nothing_and_says_so(checkout, html):
    before = (html / "index.html").stat().st_mtime_ns
    assert "Nothing to be done" in (done := run(checkout, *BUILD, "mine.toml")).stderr + done.stdout
    assert (html / "index.html").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def published(checkout, tmp_path_factory) -> Path:
    """The pages of the published book, built without artifacts."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(checkout / "book", folder / "book", ignore=shutil.ignore_patterns("_build"))  # follows the links
    before = hashes(folder / "book")
    run(folder, "jupyter-book", "build", "-W", "--keep-going", "book")  # -W: a warning is an error
    assert not (folder / "artifacts").exists()
    assert hashes(folder / "book") == before
    return folder / "book/_build/html"


def test_the_published_book_builds_without_artifacts_and_runs_nothing(published):
    assert {f"{chapter}.html" for chapter in CHAPTERS} <= {page.name for page in published.glob("*.html")}


WRONG = [
    ("preset", "fast", "preset is 'fast', but must be one of: smoke, quick, paper"),
    ("seeds", 0, "seeds is 0, but must be a whole number"),
    ("layer", 7, "layer is 7, but must be one of: 0, 1"),
    ("ranks", [33], "rank of svd is 33, but must be a whole number, between 1 and 32"),
    ("ranks", "a, b", "ranks is 'a, b', but must be a list of whole numbers"),
]


@pytest.mark.parametrize(("parameter", "value", "named"), WRONG)
def test_a_wrong_parameter_is_refused_with_the_allowed_values(checkout, monkeypatch, parameter, value, named):
    """By the first cell after that of the parameters. It is executed here; with papermill, in a kernel, in the next test."""
    monkeypatch.chdir(checkout / "notebooks")
    monkeypatch.setenv("LIB_ARTIFACTS", str(checkout / "artifacts"))
    parameters, first = [cell.source for cell in nbformat.read("dyck_depth.ipynb", 4).cells if cell.cell_type == "code"][:2]
    variables = {}
    exec(parameters, variables)
    assert parameter in variables
    variables |= {"preset": "../mine.toml", "seeds": 1, parameter: value}
    with plugins_forgotten(), plt.rc_context(), pytest.raises(InputError) as refused:
        exec(first, variables)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("-y", "layer: 7"), "layer is 7, but must be one of: 0, 1"),
        (("-y", "rank: 7"), "the notebook has no parameter 'rank', but only: preset, seeds, layer, ranks, example"),
    ],
    ids=["wrong", "unknown"],
)
def test_a_wrong_parameter_ends_papermill_which_says_why(checkout, tmp_path, given, named):
    """Given as `-y`, which tells whole numbers from text."""
    done = papermill(checkout, tmp_path, "-y", "preset: ../mine.toml", "-y", "seeds: 1", *given, check=False)
    assert done.returncode != 0
    assert named in done.stderr
    cells = [c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.cell_type == "code"]
    assert sum(bool(cell.execution_count) for cell in cells) <= 3, "the parameters are checked before anything else runs"


def papermill(
    checkout: Path, folder: Path, *options: str, source: str | Path = "dyck_depth.ipynb", check: bool = True
) -> subprocess.CompletedProcess:
    """Execute a notebook in the folder of notebooks."""
    return run(checkout, "papermill", str(source), str(folder / "out.ipynb"), *options, within="notebooks", check=check)


def test_ranks_that_were_not_measured_are_measured_then_and_there(checkout, tmp_path):
    """`-p` hands over text; and 3 and 5 are in no grid. All that is built is left as it is."""
    before = hashes(checkout / "artifacts")
    shortened(checkout, tmp_path / "depth.ipynb", "chapter.decomposition()", "chapter.gap()")
    given = ("-p", "preset", "../mine.toml", "-p", "seeds", "1", "-p", "ranks", "[3, 5]")
    papermill(checkout, tmp_path, *given, source=tmp_path / "depth.ipynb")
    outputs = json.dumps([cell.get("outputs") for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells])
    assert "SVD, rank 3" in outputs
    assert "SVD, rank 5" in outputs
    assert hashes(checkout / "artifacts") == before


def test_every_page_says_what_it_is_and_where_its_numbers_come_from(html):
    described = {}
    for page in html.glob("*.html"):
        source = page.read_text(encoding="utf-8")
        if page.stem not in ("genindex", "search"):
            (described[page.stem],) = re.findall(r'<meta name="description" content="([^"]+)"', source)
            for name in ("og:title", "og:description", "og:site_name"):
                assert f'<meta property="{name}" content="' in source, page.name
        assert 'rel="icon" href="_static/favicon.svg"' in source, page.name
        assert "https://arxiv.org/abs/2312.03656" in source, page.name
        made = re.findall(r'<p class="provenance">(.*?)</p>', source)
        notebook = ROOT / "notebooks" / f"{page.stem}.ipynb"
        assert len(made) == notebook.exists(), page.name
        if made:  # a chapter that shows results from elsewhere does not claim that it made them
            shows = "reads" in nbformat.read(notebook, 4).metadata
            link = rf'<a href="_sources/{notebook.name}" download>this page’s notebook</a>'
            how = rf"Shown by {link}, measured before: " if shows else rf"Computed by {link}: preset mine, seeds .*"
            what = rf"{how}processor .*torch [\d.]+\S*, .*\d+ s(, commit .*)?; fingerprint [0-9a-f]{{12}}\."
            assert re.fullmatch(what, unescape(made[0])), page.name
            assert (html / "_sources" / notebook.name).is_file()
    assert len(set(described.values())) == len(described), "each of itself"
    assert all(40 <= len(said) <= 300 for said in described.values())


def test_pages_load_nothing_that_is_not_used(html):
    loaded = {
        name
        for page in html.glob("*.html")
        for name in re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"?]+)', page.read_text())
    }
    assert not [name for name in loaded if re.search("thebe|fontawesome|unpkg|jsdelivr", name)]
    assert not [file for file in html.rglob("*") if file.suffix == ".map" or re.search("fontawesome.js|thebe", file.name)]
    for page in html.glob("*.html"):
        assert re.findall(r'class="[^"]*\bfa-[^"]*"', page.read_text(encoding="utf-8")) == [], page.name
