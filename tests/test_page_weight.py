"""How much a page of the published book loads from disk, all that it asks for together."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST = 1_500_000  # bytes of the chapter with the most figures, with the model that its figures run
pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def html(browser, tmp_path_factory) -> Path:
    """The folder of the published pages; they are built from what is executed already, at the size at which they are read."""
    book = tmp_path_factory.mktemp("weighed") / "book"
    shutil.copytree(ROOT / "book", book, ignore=shutil.ignore_patterns("_build", "__pycache__"))
    build = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "-q", str(book)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return book / "_build" / "html"


def weighed(browser, path: Path) -> Counter[str]:
    """The bytes of every file that a page asks for until its live figures run, by name."""
    page, found = browser.new_page(viewport={"width": 1440, "height": 900}), Counter()

    def weigh(request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob"):
            assert address.scheme == "file", request.url
            file = Path(unquote(address.path))
            found[file.name] = file.stat().st_size

    page.on("request", weigh)
    page.goto(path.as_uri())
    for figure in page.locator("[data-live]").all():
        figure.scroll_into_view_if_needed()
        figure.and_(page.locator(".live-ready")).wait_for(timeout=20_000)
    page.close()
    return found


def test_the_longest_chapter_is_light_with_the_first_model_that_it_runs(html, browser):
    found = weighed(browser, html / "dyck_depth.html")
    assert {"dyck_depth.html", "live.js", "dyck-0.mjs", "pydata-sphinx-theme.css"} <= found.keys()
    assert {"dyck-1.mjs", "searchindex.js"}.isdisjoint(found)
    assert found.total() < MOST, found.most_common()


def test_the_chapter_on_code_is_light_and_its_weights_are_there_when_asked_for(html, browser):
    page, found = browser.new_page(), Counter()
    page.on("request", lambda request: found.update([Path(unquote(urlsplit(request.url).path)).name]))
    page.goto((html / "code_completion.html").as_uri())
    figure = page.locator("[data-live]").first
    figure.scroll_into_view_if_needed()
    button = figure.get_by_role("button").first
    button.wait_for(timeout=20_000)
    assert not [name for name in found if name.endswith(".mjs")], "no weights before anybody asks"
    page.close()
    packs = re.findall(r"[\w-]+\.mjs", (html / "code_completion.html").read_text(encoding="utf-8"))
    sizes = [(html / "_static/live" / name).stat().st_size for name in set(packs)]
    assert 0 < sum(sizes) < 10_000_000
