"""The book of preset smoke in a reader's browser, and one of its notebooks run by hand in JupyterLab."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError, expect
from plugins import plugins_forgotten
from test_live import assert_equal, computed, expected
from whole_book import CHAPTERS, shortened, words_of

from lib import presets
from lib.experiment import simplifications_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LEFT = "net::ERR_ABORTED"  # a page's icon was still on its way when the next page was called; a missing file says otherwise
NARROW, WIDE = {"width": 390, "height": 800}, {"width": 1440, "height": 900}


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_the_book_needs_no_network_and_shows_every_picture(html, browser, size):
    page = browser.new_page(viewport=size)
    elsewhere, errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else elsewhere.append(r.url))
    page.on("requestfailed", lambda of: None if of.failure == LEFT else errors.append(f"{of.url}: {of.failure}"))
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
        # Of what violates nothing axe-core would tell every element, with a selector: half of its time.
        violations = axe.run(page, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
        found += [
            f"{name.name}: {of['id']} ({of['impact']}): {node['html'][:200]}" for of in violations for node in of["nodes"]
        ]
    context.close()
    assert found == []


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
def told(tmp_path_factory) -> Path:
    """The file in which the notebook keeps what its figure tells Python."""
    return tmp_path_factory.mktemp("told") / "found.json"


@pytest.fixture(scope="module")
def lab(checkout, browser, told, tmp_path_factory):
    """A page of JupyterLab with a part of the chapter on depth, sentences and a live figure, after Run All.

    A cell at the end keeps in a file what the figure tells Python, and puts the model of the beginning of training into it.
    Its results are a copy: in the built checkout, other tests see to it that nothing is written.
    """
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(checkout / "artifacts", folder / "artifacts", ignore=shutil.ignore_patterns("_build"))
    wanted = ("chapter.learned()", "chapter.gap()", "chapter.better()", "chapter.hardest()")
    shortened(checkout, folder / "chapter.ipynb", *wanted)
    notebook = nbformat.read(folder / "chapter.ipynb", 4)
    (figure,) = [cell for cell in notebook.cells if cell.source == "chapter.hardest()"]
    figure.source = f"figure = chapter.hardest()\n{LISTENING.format(str(told))}figure"
    notebook.cells.append(nbformat.v4.new_code_cell(EARLY))
    nbformat.write(notebook, folder / "chapter.ipynb")
    with jupyter_lab(folder, folder / "artifacts") as address:
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.goto(f"{address}/lab/tree/chapter.ipynb?reset")
        page.locator(".jp-Notebook .jp-Cell").first.click(timeout=60_000)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(timeout=60_000)  # else cells are not run
        begun = page.locator(".jp-InputPrompt", has_text=re.compile(r"\[(\*|\d+)\]")).first
        for _ in range(10):  # what is asked while the kernel is not quite connected is forgotten
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            with suppress(TimeoutError):
                begun.wait_for(timeout=10_000)
                break
        yield page
        page.close()


def test_a_live_figure_in_jupyterlab_shares_its_state_with_python(lab, told):
    """What is chosen in the figure arrives in Python, what Python sets is shown, and Python computes what no page can."""
    expect(lab.locator(".jp-OutputArea-output", has_text="early in training")).to_be_visible(timeout=300_000)  # all has run
    of = lab.locator(".live.live-ready").first
    of.wait_for(timeout=120_000)

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


def test_a_notebook_in_jupyterlab_reads_like_the_book(html, lab):
    """Sentences with numbers are there as outputs, and no role of the book's language is left as it is written."""
    sentence = lab.locator(".jp-OutputArea-output", has_text="One-hot attention closes")
    sentence.wait_for(timeout=120_000)
    shown = re.sub(r"\s+", " ", sentence.inner_text()).strip()
    assert shown in words_of(html / "dyck_depth.html")
    text = lab.locator(".jp-Notebook").inner_text()
    assert re.findall(r"\{\w+(?::\w+)?\}`", text) == []
