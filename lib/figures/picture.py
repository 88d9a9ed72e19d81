"""Pictures: figures as readers meet them, in words and drawn, for wide and narrow columns and for light and dark pages."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import sha1
from html import escape, unescape
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from PIL import Image

from lib.artifacts import writing
from lib.figures.colours import DARK, LIGHT, MARK, TEXT, on
from lib.figures.style import QUIET, RC, WIDTHS
from lib.studies import Study
from lib.tasks import Look

SVG = "http://www.w3.org/2000/svg"
FAMILY = "DejaVu Sans,Verdana,sans-serif"
DARK_PAGES = ":is([data-theme=dark],[data-jp-theme-light=false],.vscode-dark)"
CSS = """
.picture{container-type:inline-size;margin:1.2em 0 1.6em;padding:0}
.picture svg{display:block;width:100%;height:auto;max-width:46rem;margin:0;overflow:visible;background:none}
.picture svg.narrow{display:none;max-width:30rem}
.picture figcaption{font-size:.82em;line-height:1.45;text-align:left;margin:.5em 0 0;opacity:.85;max-width:46rem}
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
    measured on what. `key` names what is not named where it is drawn, with `lines` for what is drawn as lines.
    """

    def __init__(self, draw: Callable[[float], Figure], *, alt: str, note: str, key: Sequence[Look] = (), lines: bool = False):
        if not alt.strip():
            raise ValueError("a picture needs an alt text: say what it shows")
        self._draw, self.note, self.key, self.lines = draw, note, list(key), lines
        self.alt = " ".join(unescape(re.sub(r"<[^>]*>|[*`]", "", alt)).split())  # sentences may have markup

    def drawn(self, width: float) -> Figure:
        """The figure at a width in inches."""
        with mpl.rc_context(RC):
            return self._draw(width)

    @cached_property
    def figure(self) -> Figure:
        """The figure as it is where there is room."""
        return self.drawn(WIDTHS["wide"])

    def to_html(self) -> str:
        """The picture as HTML that needs nothing around it: key, drawings for wide and for narrow columns, caption."""
        parts = {name: _parsed(self.drawn(width)) for name, width in WIDTHS.items()}
        name = "p" + sha1(repr([self.alt, self.note, *map(_text, parts.values())]).encode()).hexdigest()[:8]
        paint = _Paint()
        key = "".join(f"<li>{_sample(look, self.lines, paint)}{escape(look.label)}</li>" for look in self.key)
        drawings = "".join(_text(_inline(svg, f"{name}{kind[0]}", kind, paint)) for kind, svg in parts.items())
        style = f"<style>{CSS}{paint.css(f'.{name}', DARK_PAGES)}</style>"
        listed = f'<ul class="key">{key}</ul>' if key else ""
        shown = f'<div role="img" aria-label="{escape(self.alt, quote=True)}">{drawings}</div>'
        caption = escape(self.note[:1].upper() + self.note[1:])
        return f'<figure class="picture {name}">{style}{listed}{shown}<figcaption>{caption}</figcaption></figure>'

    def to_svg(self) -> str:
        """The wide drawing as a file of its own, as light or dark as the reader's system; without key and caption."""
        paint, svg = _Paint(), _parsed(self.drawn(WIDTHS["wide"]))
        _inline(svg, "p", "wide", paint)
        del svg.attrib["class"]
        rules = f"{paint.rules(LIGHT, ':root')}@media (prefers-color-scheme:dark){{{paint.rules(DARK, ':root')}}}"
        style = ElementTree.Element(f"{{{SVG}}}style")
        style.text = rules
        svg.insert(0, style)
        return f"<?xml version='1.0' encoding='utf-8'?>\n{_text(svg)}\n"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": self.alt}


class _Paint:
    """The colours of a picture as variables, each with its values on light and dark pages."""

    def __init__(self):
        self._names: dict[tuple[str, float], str] = {}

    def __call__(self, colour: str, text: bool = False) -> str:
        least = 1.0 if colour.lower() in QUIET else TEXT if text else MARK
        return f"var({self._names.setdefault((colour.lower(), least), f'--c{len(self._names)}')})"

    def rules(self, page: str, selector: str) -> str:
        values = "".join(f"{name}:{on(page, colour, least)};" for (colour, least), name in self._names.items())
        return f"{selector}{{{values}}}"

    def css(self, selector: str, dark: str) -> str:
        return f"{self.rules(LIGHT, selector)}@media not print{{{self.rules(DARK, f'{dark} {selector}')}}}"


def _parsed(figure: Figure) -> ElementTree.Element:
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", dpi=120, metadata={"Date": None})
    return ElementTree.fromstring(buffer.getvalue())


def _text(svg: ElementTree.Element) -> str:
    ElementTree.register_namespace("", SVG)
    return re.sub(r">\s+<", "><", ElementTree.tostring(svg, encoding="unicode")).strip()


def _inline(svg: ElementTree.Element, prefix: str, kind: str, paint: _Paint) -> ElementTree.Element:
    """A drawing of matplotlib's made fit for a page: its own names, colours of the page, and no rules for others."""
    _drop(svg, {f"{{{SVG}}}metadata", f"{{{SVG}}}style"})
    href = "{http://www.w3.org/1999/xlink}href"
    used = {match for of in svg.iter() for value in of.attrib.values() for match in re.findall(r"#([\w-]+)\)?$", value)}
    names = {name: f"{prefix}{number}" for number, name in enumerate(sorted(used))}
    for of in svg.iter():
        if href in of.attrib:
            of.set("href", of.attrib.pop(href))
        if (name := of.attrib.pop("id", None)) in names:
            of.set("id", names[name])
        for attribute, value in of.attrib.items():
            of.set(attribute, _rewritten(value, attribute, names, of.tag.endswith("}text"), paint))
        if of.tag.endswith("}image"):
            of.set("href", _smaller(of.get("href")))
    for of in svg.iter():
        _share_style(of)
    _, _, width, height = map(float, svg.get("viewBox").split())
    svg.attrib = {"viewBox": f"0 0 {width:g} {height:g}", "class": kind, "aria-hidden": "true", "focusable": "false"}
    hidden = ";display:none" if kind == "narrow" else ""
    svg.set("style", f"font-family:{FAMILY};fill:{paint('#000000')};stroke-linejoin:round{hidden}")
    return svg


def _share_style(group: ElementTree.Element) -> None:
    """What all marks of a group look like is said once."""
    styles = {child.get("style") for child in group if child.tag.endswith("}use")}
    if len(styles) == 1 and len(group) > 1 and None not in styles and all(child.tag.endswith("}use") for child in group):
        group.set("style", styles.pop())
        for child in group:
            del child.attrib["style"]


def _drop(parent: ElementTree.Element, tags: Iterable[str]) -> None:
    for child in list(parent):
        if child.tag in tags:
            parent.remove(child)
        else:
            _drop(child, tags)


def _smaller(address: str) -> str:
    """An embedded PNG with a palette."""
    head, data = address.split(",", 1)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(b64decode(data))).convert("RGBA").quantize(64, Image.Quantize.FASTOCTREE).save(
        buffer, "png", optimize=True
    )
    return f"{head},{b64encode(buffer.getvalue()).decode()}"


def _rewritten(value: str, attribute: str, names: dict[str, str], text: bool, paint: _Paint) -> str:
    if attribute in ("href", "clip-path"):
        return re.sub(r"#([\w-]+)", lambda found: f"#{names.get(found[1], found[1])}", value)
    if attribute == "style":
        value = re.sub(r"font-family:[^;]*(DejaVu Sans|sans-serif)[^;]*;?\s*", "", value) if "ono" not in value else value
        value = re.sub(r"#[0-9a-fA-F]{6}", lambda found: paint(found[0], text), value)
        return re.sub(r"\s*([:;])\s*", r"\1", value)
    if attribute in ("d", "x", "y", "width", "height", "points", "transform"):
        return re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
    return value


def _sample(look: Look, lines: bool, paint: _Paint) -> str:
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
    """Keep a picture beside the study's results as well, in `figures/<name>.svg`, for pages other than the notebook's own."""
    with writing(study.folder.parent / "figures" / f"{name}.svg") as temporary:
        Path(temporary).write_text(picture.to_svg(), encoding="utf-8")
