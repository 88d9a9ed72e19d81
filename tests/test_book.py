"""The whole way at preset smoke: Snakemake, papermill, Jupyter Book, and then a reader's browser and a hand-run notebook."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from plugins import plugins_forgotten
from test_live import assert_equal, computed, expected

from lib import presets
from lib.errors import InputError
from lib.experiment import simplifications_of

ROOT = Path(__file__).resolve().parent.parent
BUILD = [sys.executable, "-m", "lib", "book", "--cores", "2", "--preset"]
VARIANTS = """
from lib.presets import load
preset = load("mine.toml")
for name in preset.available():
    if "-" in name:  # the others, with two seeds each, are left to Snakemake, which starts Python for every step
        preset.study(name).save()
"""
CHAPTERS = ("dyck_depth", "svd_vs_clustering", "code_completion", "scorecard")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is under version control, with the book of preset smoke built in it, and a proxy of a user's own."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    page = (folder / "book/extend.md").read_text(encoding="utf-8")
    (proxy,) = re.findall(r"```python\n# a proxy\n(.*?)```", page, re.DOTALL)
    (folder / "mine.py").write_text(proxy, encoding="utf-8")
    (folder / "mine.toml").write_text('inherits = "smoke"\nplugins = ["mine.py"]\n', encoding="utf-8")
    published = hashes(folder / "book")
    run(folder, sys.executable, "-c", VARIANTS)
    made = {path: path.stat().st_mtime_ns for path in (folder / "artifacts/mine").glob("*-*/**/*") if path.is_file()}
    assert len({path.name for path in made}) > 5
    run(folder, *BUILD, "mine.toml")
    assert {path: path.stat().st_mtime_ns for path in made} == made, "what is there is not made again"
    assert hashes(folder / "book") == published, "building a preset's book changed the published one"
    return folder


@pytest.fixture(scope="module")
def html(checkout) -> Path:
    """The folder of the built pages."""
    return checkout / "artifacts/mine/book/_build/html"


def run(folder: Path, *command: str, within: str = ".", check: bool = True) -> subprocess.CompletedProcess:
    """Run a command of this environment in a checkout or within it, with artifacts inside it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LIB_ARTIFACTS": str(folder / "artifacts"), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder / within, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not {"_build", "__pycache__"} & {*p.parts})
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def words_of(page: Path) -> str:
    """What a reader sees of a page as text; blocks of code are left out, and code in a sentence stands as `x`."""
    source = page.read_text(encoding="utf-8")
    for tag in ("script", "style", "pre", "nav"):
        source = re.sub(rf"<{tag}\b.*?</{tag}>", " ", source, flags=re.DOTALL)
    source = re.sub(r"<code\b.*?</code>", "x", source, flags=re.DOTALL)
    source = re.sub(r"</?(?:a|b|em|i|span|strong|sub|sup)\b[^>]*>", "", source)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", source)))


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
        assert executed.metadata.papermill.parameters.seeds == 2
        assert "widgets" not in executed.metadata, "no page could use the state of widgets"
        (parameters,) = [cell for cell in cells if {"parameters", "injected-parameters"} & {*cell.metadata.tags}]
        values = dict(re.findall(r"^(preset|seeds) = (\S+)", parameters.source, re.MULTILINE))
        assert values["preset"].endswith("mine.toml'")
        assert values["seeds"] == "2"
        outputs = json.dumps([cell.get("outputs") for cell in cells])
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


def test_a_wrong_parameter_ends_papermill_which_says_why(checkout, tmp_path):
    """Given as `-y`, which tells whole numbers from text."""
    done = papermill(checkout, tmp_path, "-y", "preset: ../mine.toml", "-y", "seeds: 1", "-y", "layer: 7", check=False)
    assert done.returncode != 0
    assert "layer is 7, but must be one of: 0, 1" in done.stderr
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
        executed = (ROOT / "notebooks" / f"{page.stem}.ipynb").exists()
        assert len(made) == executed, page.name
        assert not executed or re.search(r"preset mine, .*torch [\d.]+\S*; fingerprint [0-9a-f]{12}\.$", made[0]), page.name
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


NARROW, WIDE = {"width": 390, "height": 800}, {"width": 1440, "height": 900}


@pytest.mark.browser
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_the_book_needs_no_network_and_shows_every_picture(html, browser, size):
    page = browser.new_page(viewport=size)
    elsewhere, errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else elsewhere.append(r.url))
    page.on("requestfailed", lambda request: errors.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    for name in sorted(html.glob("*.html")):
        page.goto(name.as_uri())
        page.wait_for_load_state("load")
        images = page.evaluate("[...document.images].map(i => [i.src, i.complete && i.naturalWidth > 0])")
        assert [src for src, shown in images if not shown] == [], name.name
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1")
        assert not too_wide, f"{name.name} is wider than the window"
        shown = page.evaluate(DRAWINGS)
        assert all(of["kinds"] == ["narrow" if of["room"] <= 480 else "wide"] for of in shown), name.name
        assert name.stem not in CHAPTERS[:3] or len(shown) > 3, "pictures are there"
    page.close()
    assert elsewhere == []
    assert errors == []


DRAWINGS = """[...document.querySelectorAll("figure.picture")].filter(of => of.checkVisibility()).map(of => ({
  room: of.clientWidth,
  kinds: [...of.querySelectorAll("svg[class]")].filter(svg => svg.getClientRects().length).map(svg => svg.classList[0]),
}))"""


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_nothing_on_any_page_keeps_readers_out(html, browser, mode):
    """By all rules of axe-core, whatever their severity, with everything unfolded."""
    context = browser.new_context(viewport=WIDE)
    context.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")
    page, axe, found = context.new_page(), Axe(), []
    for name in sorted(html.glob("*.html")):
        page.goto(name.as_uri())
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.dataset.theme") == mode
        page.evaluate("document.querySelectorAll('details').forEach(of => { of.open = true })")
        violations = axe.run(page, options={"preload": False}).response["violations"]
        found += [
            f"{name.name}: {of['id']} ({of['impact']}): {node['html'][:200]}" for of in violations for node in of["nodes"]
        ]
    context.close()
    assert found == []


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_on_paper_pages_are_text_and_pictures_in_dark_on_white(html, browser, mode):
    context = browser.new_context(viewport=WIDE)
    context.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')")
    page = context.new_page()
    page.goto((html / "dyck_depth.html").as_uri())
    page.emulate_media(media="print")
    for gone in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-area"):
        assert not page.locator(gone).first.is_visible(), gone
    colour = "of => getComputedStyle(of).%s"
    assert page.locator("body").evaluate(colour % "backgroundColor") == "rgb(255, 255, 255)"
    texts = page.locator("figure.picture svg.wide text").all()[:40]
    drawn = [text.evaluate(colour % "fill") for text in texts]
    assert all(max(map(int, re.findall(r"\d+", of)[:3])) < 200 for of in drawn), "dark, whatever the page was"
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("task", ["dyck", "code"])
def test_pages_compute_what_python_computes_of_the_trained_models(checkout, browser, monkeypatch, task):
    """In double precision: every proxy that is measured, in every layer, of the models of this preset."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(checkout / "artifacts"))
    with plugins_forgotten():
        run = presets.load(str(checkout / "mine.toml")).study(task).runs[0]
        asked = [s for s in simplifications_of(run.experiment.measuring.grid) if s.proxy != "top_coordinates"]  # has no arrays
        assert len({s.proxy for s in asked}) > 3
        split = run.data.splits[run.experiment.task.reference]
        tokens = split.tokens[0, : split.lengths[0]].tolist()
        page = browser.new_page()
        own, *found = computed(page, run.model, run.fitter, asked, tokens)
        page.close()
        for s, of in zip((None, *asked), (own, *found), strict=True):
            assert_equal(of, *expected(run.model, run.fitter, tokens, s))


@contextmanager
def jupyter_lab(folder: Path, artifacts: Path):
    """A JupyterLab over `folder`; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "LIB_ARTIFACTS": str(artifacts), "JUPYTER_CONFIG_DIR": str(folder / "jupyter")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate"]
    log = folder / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def shortened(checkout: Path, path: Path, *wanted: str) -> None:
    """The chapter on depth at the built preset, with its text, its first cells and those that hold one of `wanted`."""
    notebook = nbformat.read(checkout / "notebooks/dyck_depth.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].source = re.sub(r'preset = "\w+"', f"preset = {str(checkout / 'mine.toml')!r}", code[0].source)
    code[0].source = re.sub(r"seeds = \d+", "seeds = 2", code[0].source)
    kept = [*code[:2], *(cell for cell in code if any(text in cell.source for text in wanted))]
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "markdown" or cell in kept]
    nbformat.write(notebook, path)


LISTENING = """
import json, pathlib
told = pathlib.Path({!r})
figure.observe(lambda change: told.write_text(json.dumps(change.new)), "found")
"""
EARLY = """
from lib.proxies import Fitter
early = chapter.run.model_at(chapter.run.history["step"].min())
figure.show(early, Fitter(early, chapter.run.fitter.sources))
print("early in training")
"""


@pytest.fixture(scope="module")
def lab(checkout, browser, tmp_path_factory):
    """A page of JupyterLab with a part of the chapter on depth, sentences and a live figure, after Run All.

    A cell at the end keeps in a file what the figure tells Python, and puts the model of the beginning of training into it.
    """
    folder = tmp_path_factory.mktemp("lab")
    wanted = ("chapter.learned()", "chapter.gap()", "chapter.better()", "chapter.hardest()")
    shortened(checkout, folder / "chapter.ipynb", *wanted)
    notebook = nbformat.read(folder / "chapter.ipynb", 4)
    (figure,) = [cell for cell in notebook.cells if cell.source == "chapter.hardest()"]
    figure.source = f"figure = chapter.hardest()\n{LISTENING.format(str(checkout / 'notebooks' / 'found.json'))}figure"
    notebook.cells.append(nbformat.v4.new_code_cell(EARLY))
    nbformat.write(notebook, folder / "chapter.ipynb")
    with jupyter_lab(folder, checkout / "artifacts") as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.goto(f"{address}/lab/tree/chapter.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.click(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        yield page
        page.close()


@pytest.mark.browser
def test_a_live_figure_in_jupyterlab_shares_its_state_with_python(lab, checkout):
    """What is chosen in the figure arrives in Python, what Python sets is shown, and Python computes what no page can."""
    expect(lab.locator(".jp-OutputArea-output", has_text="early in training")).to_be_visible(timeout=300_000)  # all has run
    of = lab.locator(".live.live-ready").first
    of.wait_for(timeout=120_000)
    told = checkout / "notebooks" / "found.json"

    def found_is(**expected) -> None:
        for _ in range(300):
            if told.exists() and (text := told.read_text()) and expected.items() <= json.loads(text).items():
                return
            lab.wait_for_timeout(100)
        raise AssertionError(f"Python has not heard of {expected}: {told.exists() and told.read_text()}")

    sentence = "(a (b b) (c c) (d d) (e e) (f f) a)"
    of.get_by_label("or type one").fill(sentence)
    of.locator(".live-click").last.click()
    found_is(sentence=sentence, at=12, opener=1)
    of.get_by_label("Picture", exact=True).select_option(label="top coordinates")
    expect(of.locator(".live-said")).to_contain_text("top coordinates, rank ")  # without arrays: Python was asked
    assert of.locator(".live-message").inner_text() == ""
    if folder := os.environ.get("SCREENSHOTS"):
        lab.screenshot(path=f"{folder}/explorer.png")
    of.get_by_label("or type one").fill("(a <b>")
    expect(of.locator(".live-message")).to_contain_text("Token 2 is “<b>”, but must be")  # as text, not as markup


@pytest.mark.browser
def test_a_notebook_in_jupyterlab_reads_like_the_book(html, lab):
    """Sentences with numbers are there as outputs, and no role of the book's language is left as it is written."""
    sentence = lab.locator(".jp-OutputArea-output", has_text="One-hot attention closes")
    sentence.wait_for(timeout=120_000)
    shown = re.sub(r"\s+", " ", sentence.inner_text()).strip()
    assert shown in words_of(html / "dyck_depth.html")
    text = lab.locator(".jp-Notebook").inner_text()
    assert re.findall(r"\{\w+(?::\w+)?\}`", text) == []
