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
from plugins import plugins_forgotten

from lib.errors import InputError

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
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "_build" not in p.parts)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def words_of(page: Path) -> str:
    """What a reader sees of a page as text; blocks of code are left out, and code in a sentence stands as `x`."""
    source = page.read_text(encoding="utf-8")
    for tag in ("script", "style", "pre", "nav"):
        source = re.sub(rf"<{tag}\b.*?</{tag}>", " ", source, flags=re.DOTALL)
    source = re.sub(r"<code\b.*?</code>", "x", source, flags=re.DOTALL)
    source = re.sub(r"</?(?:a|b|em|i|span|strong|sub|sup)\b[^>]*>", "", source)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", source)))


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; skips the tests where there is none, unless REQUIRE_BROWSER is set."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)("no Chromium was found on the PATH")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=quiet)
        try:
            yield browser
        finally:
            browser.close()


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
    written = {"index.html", "running.html", "extend.html", "structure.html", "references.html"}
    assert written | {f"{chapter}.html" for chapter in CHAPTERS} <= {p.name for p in pages}
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("https", "http", "mailto", "data"), target
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
            assert file.exists(), f"{page.name} refers to {target}, which is not there"
            if parts.fragment and file.suffix == ".html" and file in pages:
                assert parts.fragment in pages[file].anchors, f"{page.name} refers to {target}, but there is no such anchor"


def test_the_book_is_made_of_executed_notebooks(checkout, html):
    for source in (ROOT / "notebooks").glob("*.ipynb"):
        executed = nbformat.read(checkout / "artifacts/mine/notebooks" / source.name, 4)
        cells = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert executed.metadata.papermill.parameters.seeds == 2
        outputs = json.dumps([cell.get("outputs") for cell in cells])
        assert re.search(r"preset mine(, 2 seeds|: dyck \(2 seeds\)|: code \(2 seeds\))", outputs), source.name
        assert (html / f"{source.stem}.html").exists()


def unfilled(text: str) -> list[str]:
    """What a page must not show: numbers that are none, objects, roles, sentences without their middle."""
    nothing = r"\bnan\b|\bNone\b|\binf\b|\{(?:glue|cite|doc)|<[A-Za-z.]+ object|\(\)|\[\]| \. |\.\. "
    return re.findall(rf".{{0,30}}(?:{nothing}).{{0,30}}", text.replace("...", "…"))


def test_no_page_shows_what_is_no_number_or_an_empty_sentence(html):
    for page in html.glob("*.html"):
        assert page.stem == "references" or unfilled(words_of(page)) == [], page.name
    first = words_of(html / "index.html")
    assert (
        "A picture of a bracket-closing Transformer's layer 1 (SVD of rank 8 of 32) makes the model's prediction in " in first
    )
    assert "On source code, SVD of rank " in first


def test_the_published_pages_show_no_such_thing_either(published):
    for page in published.glob("*.html"):
        assert page.stem == "references" or unfilled(words_of(page)) == [], page.name


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_proxy_in_one_file_joins_every_chapter(checkout, chapter):
    """Figures are vectors that name in comments what they draw as shapes."""
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


@pytest.mark.browser
def test_the_book_needs_no_network_and_shows_every_picture(html, browser):
    page = browser.new_page()
    elsewhere, errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else elsewhere.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in sorted(html.glob("*.html")):
        page.goto(name.as_uri())
        page.wait_for_load_state("load")
        images = page.evaluate("[...document.images].map(i => [i.src, i.complete && i.naturalWidth > 0])")
        assert [src for src, shown in images if not shown] == [], name.name
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth + 1")
        assert not too_wide, f"{name.name} is wider than the window"
    page.close()
    assert elsewhere == []
    # sphinx-thebe, which Jupyter Book always loads, declares its constant twice; nothing here uses it
    assert [error for error in errors if "THEBE_JS_URL" not in error] == []


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


@pytest.fixture(scope="module")
def lab(checkout, browser, tmp_path_factory):
    """A page of JupyterLab with a part of the chapter on depth, sentences and the explorer, after Run All."""
    folder = tmp_path_factory.mktemp("lab")
    wanted = ("chapter.learned()", "chapter.gap()", "chapter.better()", "DyckExplorer(")
    shortened(checkout, folder / "chapter.ipynb", *wanted)
    with jupyter_lab(folder, checkout / "artifacts") as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.goto(f"{address}/lab/tree/chapter.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.click(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        yield page
        page.close()


@pytest.mark.browser
def test_the_explorer_redraws_when_its_controls_are_used(lab):
    picture = lab.locator("img.widget-image")
    picture.wait_for(timeout=120_000)

    def redraws(action) -> None:
        before = picture.get_attribute("src")
        action()
        lab.wait_for_function("old => document.querySelector('img.widget-image').src !== old", arg=before, timeout=60_000)

    def slider(name: str):
        return lab.locator(".widget-hslider", has_text=name).locator(".noUi-handle")

    redraws(lambda: slider("rank").press("ArrowRight"))
    redraws(lambda: slider("closes at").press("ArrowLeft"))
    proxies = lab.locator(".widget-dropdown", has_text="proxy").locator("select")
    redraws(lambda: proxies.select_option(label="one-hot"))
    assert not slider("rank").is_visible(), "one_hot has no rank to choose"
    assert "top coordinates" in proxies.inner_text().replace("\N{NO-BREAK SPACE}", " "), "a user's proxy is among them"
    typed = lab.get_by_placeholder("(a (b b) a)")
    redraws(lambda: (typed.fill("(a (b b) (c c) (d d) (e e) (f f) a)"), typed.press("Enter")))
    if folder := os.environ.get("SCREENSHOTS"):
        lab.screenshot(path=f"{folder}/explorer.png")
    assert slider("closes at").is_visible(), "every control but the rank stays"
    typed.fill("(a <b>")
    typed.press("Enter")
    message = lab.locator(".widget-html-content", has_text="token 2")
    message.wait_for()
    assert "<b>" in message.inner_text(), "what was typed is shown as text, not as markup"


@pytest.mark.browser
def test_a_notebook_in_jupyterlab_reads_like_the_book(html, lab):
    """Sentences with numbers are there as outputs, and no role of the book's language is left as it is written."""
    sentence = lab.locator(".jp-OutputArea-output", has_text="One-hot attention closes")
    sentence.wait_for(timeout=120_000)
    shown = re.sub(r"\s+", " ", sentence.inner_text()).strip()
    assert shown in words_of(html / "dyck_depth.html")
    text = lab.locator(".jp-Notebook").inner_text()
    assert re.findall(r"\{\w+(?::\w+)?\}`", text) == []
