"""What pages of this book say of themselves, and what the theme puts on them that no reader needs.

`_config.yml` names it as a local extension of Sphinx. Pages get a description, cards for links to them, a link to the
repository where it is public, a line on where their numbers come from, and icons as drawings of their own. Scripts of
FontAwesome go, those of a service for running code, those of a search as one types, and rules of style for what is on no page.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import quote

import book_repository
import book_styles
from docutils import nodes

from lib.live import script

TABLES = "_static/tables"  # numbers of figures
UNWANTED = ("thebe", "fontawesome")  # in the name or the text of a script or a style
LONGEST = 300  # characters of a description
CARD = "_static/dyck-depth.png"  # what is shown beside links to pages: networks draw no SVG
ICONS = {  # by the name that the theme has for it: what is drawn in a square of 24
    "angle-left": "M15 5l-7 7 7 7",
    "angle-right": "M9 5l7 7-7 7",
    "arrow-up": "M12 20V5M5 12l7-7 7 7",
    "bars": "M4 6h16M4 12h16M4 18h16",
    "code-branch": "M6 2v13M6 15a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM18 3a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM18 9a9 9 0 0 1-9 9",
    "chevron-down": "M5 9l7 7 7-7",
    "circle-half-stroke": "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 3v18M15 4v16M18 6v12",
    "download": "M12 4v11M7 10l5 5 5-5M4 20h16",
    "file": "M6 3h8l4 4v14H6zM14 3v4h4",
    "file-pdf": "M7 9V3h10v6M7 17H4V9h16v8h-3M7 14h10v7H7z",
    "list": "M4 6h1M9 6h11M4 12h1M9 12h11M4 18h1M9 18h11",
    "magnifying-glass": "M10 4a6 6 0 1 0 0 12a6 6 0 0 0 0-12zM15 15l6 6",
    "moon": "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
    "sun": "M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1 1M18 18l1 1M5 19l1-1M18 6l1-1",
    "xmark": "M6 6l12 12M18 6L6 18",
}
SEARCHING = r'(?:<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>\s*)+'
REPLACED = (  # in every page: (what the theme writes, what stands there instead)
    (rf'(<meta name="doc[^>]*>\s*){SEARCHING}', r"\1"),  # as one types, which is off; the page for searching has them elsewhere
    (r'<script[^>]*src="[^"]*(?:fontawesome|sphinx-thebe)[^"]*"[^>]*></script>\s*', ""),
    (r"<script>const THEBE_JS_URL.*?</script>\s*", ""),
    (r'<link[^>]*href="[^"]*sphinx-thebe[^"]*"[^>]*/?>\s*', ""),
    (r'(<meta name="viewport"[^>]*>)(?=.*<meta name="viewport")', ""),
    (r'<div class="sidebar-primary-item">\s*<div id="ethical-ad-placement".*?</div>\s*</div>', ""),
    (r'<span class="search-button__kbd-shortcut">.*?</span>', ""),
    (r'placeholder="Search\.\.\."\s*aria-label="Search\.\.\."', 'placeholder="Search" aria-label="Search"'),
    (r'title="Search" aria-label="Search"', 'aria-label="Search"'),
    (r'title="(?:Toggle (\w+) sidebar)"', r'aria-label="Toggle \1 sidebar"'),
    (r'<div id="searchbox"></div>', ""),
    (r'<div id="pst-primary-sidebar" class="', '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class="'),
    (r' role="(?:doc-biblioentry|doc-backlink|list)"', ""),  # of citations, which are no longer right to have
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r"Show code cell source", "Code"),
    (r"Hide code cell source", "Hide code"),
    (r"(Show|Hide) code cell (?:output|outputs|content)", r"\1 details"),
)


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect("config-inited", add_live)
    app.connect("config-inited", find_repository)
    app.connect("html-page-context", describe, priority=900)  # after the theme
    app.connect("build-finished", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_live(app, config) -> None:
    """Have every page load the script of live figures and its style, as the package has them now."""
    folder = Path(app.doctreedir).parent / "live"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "live.js").write_text(script.script(), encoding="utf-8")
    (folder / "live.css").write_text(script.style(), encoding="utf-8")
    config.html_static_path.append(str(folder))
    app.add_js_file("live.js")
    app.add_css_file("live.css")


def find_repository(app, config) -> None:
    """Remember where the source of this book is public."""
    app.repository = book_repository.found(Path(app.srcdir), os.environ)


def describe(app, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Add what a page says of itself to its head and foot, and a link to the repository to its header."""
    if doctree is not None:
        title, said = doctree.next_node(nodes.title), description(doctree)
        name = app.config.html_title
        tags = card(title.astext() if title else name, said, name, f"{pagename}.html", app.repository, Path(app.srcdir))
        context["metatags"] = tags + re.sub(r'<meta name="viewport"[^>]*>', "", context.get("metatags", ""))
    if app.repository:
        link = {"type": "link", "url": app.repository, "tooltip": "Source repository"}
        context["header_buttons"].append({**link, "icon": "fas fa-code-branch", "label": "source-repository-button"})
    made = made_of(Path(app.srcdir, f"{pagename}.ipynb"))
    if made and "body" in context:
        context["body"] += f'<p class="provenance">{made}</p>\n'


def card(title: str, said: str, book: str, page: str, repository: str, source: Path) -> str:
    """Tags that say what a page is, for those who find or are sent it; with addresses where it is known where it is served.

    `said` describes it; `source` is the folder of the book, which may hold the picture of the card.
    """
    served = book_repository.site(repository)
    shown = served and (source / CARD).exists()
    values = {
        "og:title": title,
        "og:description": said,
        "og:type": "article",
        "og:site_name": book,
        "og:url": served and served + page.removesuffix("index.html"),
        "og:image": served + CARD if shown else "",
        "twitter:card": "summary_large_image" if shown else "summary",
    }
    tags = "".join(f'<meta property="{name}" content="{escape(value)}" />\n' for name, value in values.items() if value)
    return tags + (f'<meta name="description" content="{escape(said)}" />\n' if said else "")


def description(doctree: nodes.document) -> str:
    """How a page begins: whole sentences of its first paragraph, as many as fit."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        sentences = re.findall(r".+?[.?!](?=\s|$)", text)
        said = ""
        for sentence in sentences:
            if said and len(said + sentence) > LONGEST:
                break
            said += sentence
        if len(said) > 40:
            return said[:LONGEST].strip()
    return ""


def made_of(notebook: Path) -> str:
    """Where an executed notebook's numbers come from, in a sentence with a link to it, as HTML; empty where there is none."""
    if not notebook.exists():
        return ""
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    made, given = metadata.get("provenance"), metadata.get("papermill", {}).get("parameters", {})
    if not made:
        return ""
    reads = "reads" in metadata
    parts = [f"preset {Path(str(given['preset'])).stem}"] if "preset" in given and not reads else []
    seeds = made.get("seeds", {})
    parts += ["seeds " + ", ".join(f"{task} {number}" for task, number in seeds.items())] if seeds and not reads else []
    corpora = {} if reads else made.get("corpora", {})
    parts += [f"corpus of {task} {digest[:12]}" for task, digest in corpora.items()]
    parts += [f"{name} {made[name]}" for name in ("processor", "python", "torch") if name in made]
    parts += [f"measured on {' and '.join(made['device'])}"] if "device" in made and not reads else []
    parts += [f"{made['seconds']} s"] if "seconds" in made else []
    parts += [f"commit {made['commit']}"] if made.get("commit") else []
    fingerprint = str(made["fingerprint"]).split(":")[-1][:12]
    how = ", measured before" if reads else ""
    link = f'<a href="_sources/{quote(notebook.name)}" download>this page\u2019s notebook</a>'
    return f"{'Shown' if reads else 'Computed'} by {link}{how}: {escape(', '.join(parts))}; fingerprint {escape(fingerprint)}."


def tidy(app, exception: Exception | None) -> None:
    """Take from the built pages what they do not need, and draw the theme's icons."""
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for file in (out / "_static").rglob("*"):
        if file.is_file() and (file.suffix == ".map" or any(name in file.name for name in UNWANTED)):
            file.unlink()
    pages = [page for page in out.rglob("*.html") if "_static" not in page.relative_to(out).parts]
    written = {page: with_tables(tidied(page.read_text(encoding="utf-8")), page.stem, out) for page in pages}
    scripts = [file.read_text(encoding="utf-8") for file in out.rglob("*.js")]
    may_be = book_styles.classes(written.values(), scripts)
    versions = {}
    for sheet in (out / "_static").rglob("*.css"):
        name = sheet.relative_to(out).as_posix()
        text = sheet.read_text(encoding="utf-8")
        if sheet.name != "live.css" and not Path(app.srcdir, name).exists():  # the theme's, or another extension's
            text = book_styles.needed(text, may_be)
            sheet.write_text(text, encoding="utf-8")
        versions[name] = sha256(text.encode()).hexdigest()[:8]
    for page, html in written.items():
        page.write_text(versioned(html, versions), encoding="utf-8")


def with_tables(html: str, page: str, out: Path) -> str:
    """A page whose figures link to files with their numbers, which they held themselves."""
    numbers = itertools.count(1)

    def moved(found: re.Match) -> str:
        name = f"{page}-{next(numbers)}.{found[1]}"
        file = out / TABLES / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(found[2]))
        return f'download="{name}" href="{TABLES}/{name}"'

    return re.sub(r'download="[^".]*\.([\w.]+)" href="data:(?:text/csv|application/gzip);base64,([^"]*)"', moved, html)


def versioned(html: str, versions: Mapping[str, str]) -> str:
    """A page that asks for style sheets by what they hold, so that no browser takes one that it keeps from before."""
    return re.sub(r'((_static/[^"?]+\.css)\?)[^"]*', lambda found: f"{found[1]}v={versions.get(found[2], '')}", html)


def tidied(html: str) -> str:
    """A page of the theme's as this book has it."""
    for pattern, instead in REPLACED:
        html = re.sub(pattern, instead, html, flags=re.DOTALL)
    html = re.sub(r'<(i|span) class="([^"]*\bfa-[^"]*)"([^>]*)>\s*</\1>', _icon, html)
    return re.sub(r"<h[1-6]\b.*?</h[1-6]>", lambda heading: unbroken(heading[0]), html, flags=re.DOTALL)


def unbroken(heading: str) -> str:
    """A heading in which no line ends after a single letter and a hyphen, as in k-means; anchors stay as they are."""
    word = r"(<[^>]*>)|(?<![\w-])\w-\w+"
    return re.sub(word, lambda found: found[1] or f'<span class="unbroken">{found[0]}</span>', heading)


def _icon(found: re.Match) -> str:
    names = [name.removeprefix("fa-") for name in found[2].split()]
    (name,) = [name for name in names if name in ICONS] or ["file"]
    kind = " ".join(["icon", *(of for of in found[2].split() if not of.startswith("fa"))])
    rest = re.sub(r'\s*title="[^"]*"', "", found[3])
    return f'<svg class="{kind}"{rest} viewBox="0 0 24 24" aria-hidden="true"><path d="{ICONS[name]}"/></svg>'
