"""Pictures: figures as readers meet them, in words and drawn, for wide and narrow columns and for light and dark pages."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha1
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from PIL import Image

from lib.artifacts import writing
from lib.figures.colours import DARK, LIGHT
from lib.figures.style import RC, WIDTHS
from lib.figures.svg import SVG, Paint, inline, saved, written
from lib.studies import Study
from lib.tasks import Look

MUCH = 100_000  # bytes of numbers
CARD, CARD_WIDTH = (1200, 630), 6.6  # pixels that networks ask for; inches of a drawing that nearly fills them
DARK_PAGES = ":is([data-theme=dark],[data-jp-theme-light=false],.vscode-dark)"
CSS = """
.picture{container-type:inline-size;margin:1.2em 0 1.6em;padding:0}
.picture svg{display:block;width:100%;height:auto;max-width:46rem;margin:0;overflow:visible;background:none}
.picture svg.narrow{display:none;max-width:30rem}
.picture figcaption{font-size:.82em;line-height:1.45;text-align:left;margin:.5em 0 0;opacity:.85;max-width:46rem}
.picture .numbers{display:inline-block;min-height:24px;line-height:24px;margin-left:.3em;white-space:nowrap}
.picture ul.key{display:flex;flex-wrap:wrap;gap:.15em 1.2em;list-style:none;margin:0 0 .4em;padding:0;font-size:.85em;
line-height:1.4;max-width:46rem}
.picture ul.key li{display:flex;align-items:center;gap:.45em;margin:0;padding:0}
.picture ul.key svg{width:26px;height:12px;flex:none}
@container (max-width:30rem){.picture svg.wide{display:none}.picture svg.narrow{display:block!important}}
@media not print{DARK .picture image{filter:invert(1) hue-rotate(180deg)}}
@media print{.picture{break-inside:avoid}}
""".replace("DARK", DARK_PAGES).replace("\n", "")


class Picture:
    """A figure that is drawn when it is shown, for a width in inches by `draw`.

    `alt` says in a sentence or more what is to be seen in it, for those who do not see it; `note` is its caption: what was
    measured on what. `key` names what is not named where it is drawn, with `lines` for what is drawn as lines. `table` is what
    is drawn, for readers who want the numbers.
    """

    def __init__(
        self,
        draw: Callable[[float], Figure],
        *,
        alt: str,
        note: str,
        key: Sequence[Look] = (),
        lines: bool = False,
        table: pd.DataFrame | None = None,
    ):
        if not alt.strip():
            raise ValueError("a picture needs an alt text: say what it shows")
        self._draw, self.note, self.key, self.lines, self.table = draw, note, list(key), lines, table
        self._saved: dict[str, bytes] = {}
        self.alt = " ".join(unescape(re.sub(r"<[^>]*>|[*`]", "", alt)).split())  # sentences may have markup

    def drawn(self, width: float) -> Figure:
        """The figure at a width in inches."""
        with mpl.rc_context(RC):
            return self._draw(width)

    @cached_property
    def figure(self) -> Figure:
        """The figure as it is where there is room."""
        return self.drawn(WIDTHS["wide"])

    def _drawing(self, kind: str) -> ElementTree.Element:
        """The drawing of a kind of column as SVG of its own; it is drawn once, on however many pages it is."""
        if kind not in self._saved:
            self._saved[kind] = saved(self.drawn(WIDTHS[kind]))
        return ElementTree.fromstring(self._saved[kind])

    def to_html(self) -> str:
        """The picture as HTML that needs nothing around it: key, drawings for wide and for narrow columns, caption."""
        parts = {kind: self._drawing(kind) for kind in WIDTHS}
        name = "p" + sha1(repr([self.alt, self.note, *map(written, parts.values())]).encode()).hexdigest()[:8]
        paint = Paint()
        key = "".join(f"<li>{_sample(look, self.lines, paint)}{escape(look.label)}</li>" for look in self.key)
        drawings = "".join(written(inline(svg, f"{name}{kind[0]}", kind, paint)) for kind, svg in parts.items())
        style = f"<style>{CSS}{paint.css(f'.{name}', DARK_PAGES)}</style>"
        listed = f'<ul class="key">{key}</ul>' if key else ""
        shown = f'<div role="img" aria-label="{escape(self.alt, quote=True)}">{drawings}</div>'
        caption = escape(self.note[:1].upper() + self.note[1:]) + self._link_to_table(name)
        return f'<figure class="picture {name}">{style}{listed}{shown}<figcaption>{caption}</figcaption></figure>'

    def _link_to_table(self, name: str) -> str:
        """A link to the numbers, which it holds itself; the book puts them into a file beside the page. Many are compressed."""
        if self.table is None:
            return ""
        drawn = self.table.dropna(axis="columns", how="all")
        content = drawn.to_csv(index=False, float_format="%.5g", lineterminator="\n").encode()
        kind, ending, said = "text/csv", "csv", "CSV"
        if len(content) > MUCH:
            content = gzip.compress(content, mtime=0)  # without the time, so that the same figure is the same page
            kind, ending, said = "application/gzip", "csv.gz", "CSV, gzip"
        address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        return f' <a class="numbers" download="{name}.{ending}" href="{address}">Numbers ({said})</a>'

    def to_svg(self) -> str:
        """The wide drawing as a file of its own, as light or dark as the reader's system; without key and caption."""
        paint, svg = Paint(), self._drawing("wide")
        inline(svg, "p", "wide", paint)
        del svg.attrib["class"]
        dark = f"@media (prefers-color-scheme:dark){{{paint.values(DARK, ':root')}}}"
        style = ElementTree.Element(f"{{{SVG}}}style")
        style.text = f"{paint.values(LIGHT, ':root')}{dark}{paint.classes()}"
        svg.insert(0, style)
        return f"<?xml version='1.0' encoding='utf-8'?>\n{written(svg)}\n"

    def to_png(self) -> bytes:
        """The drawing as a picture of pixels, for networks that show one beside a link: on white, without key and caption."""
        figure = self.drawn(CARD_WIDTH)
        buffer = io.BytesIO()
        with mpl.rc_context(RC):
            figure.savefig(buffer, format="png", dpi=CARD[0] / CARD_WIDTH, facecolor="white", metadata={"Software": None})
        drawn = Image.open(buffer)
        drawn.thumbnail(CARD)
        card = Image.new("RGB", CARD, "white")
        card.paste(drawn, tuple((room - size) // 2 for room, size in zip(CARD, drawn.size, strict=True)))
        buffer = io.BytesIO()
        card.quantize(64).save(buffer, "png", optimize=True)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": self.alt}


def _sample(look: Look, lines: bool, paint: Paint) -> str:
    """What a series looks like, for a key."""
    colour, line, mark = paint(look.colour), "", ""
    if lines:
        dash = "" if look.marker else ' stroke-dasharray="4 3"'
        line = f'<path d="M1 6H25" stroke-width="2"{dash}/>'
    if look.marker or not lines:
        made = MarkerStyle(look.marker or "o")
        path = made.get_path().transformed(made.get_transform())
        curves = path.to_polygons(closed_only=False)
        d = "".join("M" + "L".join(f"{13 + 8 * x:.1f} {6 - 8 * y:.1f}" for x, y in of) + "Z" for of in curves)
        mark = f'<path d="{d}"/>'
    style = f"width:26px;height:12px;fill:{colour};stroke:{colour}"
    return f'<svg viewBox="0 0 26 12" aria-hidden="true" style="{style}">{line}{mark}</svg>'


def save(picture: Picture, study: Study, name: str) -> None:
    """Keep a picture beside the study's results as well, in `figures/`, for other places than the notebook's own page: as
    `<name>.svg`, and as `<name>.png` where nothing else is shown.
    """
    folder = study.folder.parent / "figures"
    with writing(folder / f"{name}.svg") as temporary:
        Path(temporary).write_text(picture.to_svg(), encoding="utf-8")
    with writing(folder / f"{name}.png") as temporary:
        Path(temporary).write_bytes(picture.to_png())
