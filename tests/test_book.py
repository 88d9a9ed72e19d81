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
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = ["snakemake", "--cores", "2", "--nolock", "--config", "preset=smoke"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what is under version control, with the book of preset smoke built in it."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    published = hashes(folder / "book")
    run(folder, *SNAKEMAKE)
    assert hashes(folder / "book") == published, "building a preset's book changed the published one"
    return folder


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess:
    """Run a command of this environment in a checkout, with artifacts inside it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LIB_ARTIFACTS": str(folder / "artifacts"), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "_build" not in p.parts)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@contextmanager
def open_browser():
    """Chromium without a window; skips the test where there is none, unless REQUIRE_BROWSER is set."""
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


def test_every_link_and_image_of_the_book_is_there(checkout):
    html = checkout / "artifacts/smoke/book/_build/html"
    pages = {page: Links(page) for page in html.glob("*.html")}
    assert {"index.html", "dyck_depth.html", "running.html", "structure.html", "references.html"} <= {p.name for p in pages}
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


def test_the_book_is_made_of_executed_notebooks(checkout):
    for source in (ROOT / "notebooks").glob("*.ipynb"):
        executed = nbformat.read(checkout / "artifacts/smoke/notebooks" / source.name, 4)
        cells = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert {"preset": "smoke", "seeds": 2}.items() <= executed.metadata.papermill.parameters.items()
        html = (checkout / f"artifacts/smoke/book/_build/html/{source.stem}.html").read_text()
        assert "preset smoke, 2 seeds" in json.dumps([c.get("outputs") for c in cells]) or "pasted-text" in html
        assert "{glue" not in html, "a number in the text was not filled in"


def test_a_second_run_does_nothing_and_says_so(checkout):
    html = checkout / "artifacts/smoke/book/_build/html/index.html"
    before = html.stat().st_mtime_ns
    assert "Nothing to be done" in run(checkout, *SNAKEMAKE).stderr
    assert html.stat().st_mtime_ns == before


def test_the_published_book_builds_without_artifacts_and_runs_nothing(checkout, tmp_path):
    shutil.copytree(checkout / "book", tmp_path / "book", ignore=shutil.ignore_patterns("_build"))  # follows the links
    published = hashes(tmp_path / "book")
    run(tmp_path, "jupyter-book", "build", "-W", "--keep-going", "book")  # -W: a warning is an error
    assert (tmp_path / "book/_build/html/index.html").exists()
    assert not (tmp_path / "artifacts").exists()
    assert hashes(tmp_path / "book") == published


@pytest.mark.parametrize(
    ("parameter", "value", "named"),
    [
        ("preset", "fast", "preset is 'fast', but must be one of: smoke, quick, paper"),
        ("seeds", "0", "seeds is 0, but must be a whole number"),
        ("layer", "7", "layer is 7, but must be one of: -1, 0, 1"),
        ("ranks", "[3]", "is 3, but must be one of: 2, 4, 8, 16, 32"),
    ],
)
def test_a_wrong_parameter_is_refused_with_the_allowed_values(checkout, tmp_path, parameter, value, named):
    settings = {"preset": "smoke", "seeds": "1"} | {parameter: value}
    options = [word for name, one in settings.items() for word in ("-y", f"{name}: {one}")]
    notebook = str(checkout / "notebooks/dyck_depth.ipynb")
    done = run(checkout, "papermill", notebook, str(tmp_path / "out.ipynb"), *options, check=False)
    assert done.returncode != 0
    assert named in done.stderr
    cells = [c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.cell_type == "code"]
    assert sum(bool(cell.execution_count) for cell in cells) <= 3, "the parameters are checked before anything else runs"


@pytest.mark.browser
def test_the_book_needs_no_network_and_shows_every_picture(checkout):
    html = checkout / "artifacts/smoke/book/_build/html"
    with open_browser() as browser:
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


@pytest.mark.browser
def test_the_explorer_redraws_when_its_controls_are_used(checkout, tmp_path):
    notebook = nbformat.read(checkout / "notebooks/dyck_depth.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].source = re.sub(r'preset = "\w+"', 'preset = "smoke"', code[0].source)
    notebook.cells = [*code[:2], *(cell for cell in code if "dyck_explorer" in cell.source)]
    nbformat.write(notebook, tmp_path / "explore.ipynb")
    with jupyter_lab(tmp_path, checkout / "artifacts") as address, open_browser() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.goto(f"{address}/lab/tree/explore.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.click(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        picture = page.locator("img.widget-image")
        picture.wait_for(timeout=120_000)

        def redraws(action) -> None:
            before = picture.get_attribute("src")
            action()
            page.wait_for_function("old => document.querySelector('img.widget-image').src !== old", arg=before, timeout=60_000)

        def slider(name: str):
            return page.locator(".widget-hslider", has_text=name).locator(".noUi-handle")

        redraws(lambda: slider("rank").press("ArrowRight"))
        redraws(lambda: slider("closes at").press("ArrowLeft"))
        redraws(lambda: page.locator(".widget-dropdown", has_text="proxy").locator("select").select_option("one_hot"))
        assert not slider("rank").is_visible(), "one_hot has no rank to choose"
        typed = page.get_by_placeholder("(a (b b) a)")
        redraws(lambda: (typed.fill("(a (b b) (c c) (d d) (e e) (f f) a)"), typed.press("Enter")))
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/explorer.png")
        assert slider("closes at").is_visible(), "every control but the rank stays"
        typed.fill("(a <b>")
        typed.press("Enter")
        message = page.locator(".widget-html-content", has_text="token 2")
        message.wait_for()
        assert "<b>" in message.inner_text(), "what was typed is shown as text, not as markup"
