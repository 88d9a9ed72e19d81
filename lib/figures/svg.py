"""Drawings of matplotlib's made fit for a page: of its colours, with names of their own, and without what nobody sees."""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from lib.figures.colours import DARK, LIGHT, MARK, TEXT, on
from lib.figures.style import QUIET, RC

SVG = "http://www.w3.org/2000/svg"
FAMILY = "DejaVu Sans,Verdana,sans-serif"
DIGITS = 1  # behind the point: a tenth of a typographic point, where a drawing is at most 550 wide
_HREF = "{http://www.w3.org/1999/xlink}href"
_APART = r"(?<!-)opacity:"  # where elements overlap, theirs shows and that of a group does not
_OWN = {"id": "is used elsewhere", "transform": "has a place of its own"}  # and so stays as it is


class Paint:
    """The colours of a picture as variables, each with its values on light and dark pages, and its styles as classes."""

    def __init__(self):
        self._colours: dict[tuple[str, float], str] = {}
        self._classes: dict[str, str] = {}

    def __call__(self, colour: str, text: bool = False) -> str:
        least = 1.0 if colour.lower() in QUIET else TEXT if text else MARK
        return f"var({self._colours.setdefault((colour.lower(), least), f'--c{len(self._colours)}')})"

    def class_of(self, style: str) -> str:
        """The class of what has these declarations."""
        return self._classes.setdefault(style, f"s{len(self._classes)}")

    def values(self, page: str, selector: str) -> str:
        """What colours are on a page, as a rule of CSS."""
        values = "".join(f"{name}:{on(page, colour, least)};" for (colour, least), name in self._colours.items())
        return f"{selector}{{{values}}}"

    def classes(self, within: str = "") -> str:
        """What the classes look like, as rules of CSS."""
        return "".join(f"{within}.{name}{{{style}}}" for style, name in self._classes.items())

    def css(self, selector: str, dark: str) -> str:
        """Colours and classes within `selector`, on dark pages where `dark` matches."""
        colours = f"{self.values(LIGHT, selector)}@media not print{{{self.values(DARK, f'{dark} {selector}')}}}"
        return colours + self.classes(f"{selector} ")


def saved(figure: Figure) -> bytes:
    """A figure as matplotlib writes it."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", dpi=120, metadata={"Date": None})
    return buffer.getvalue()


def written(svg: ElementTree.Element) -> str:
    """SVG as text."""
    ElementTree.register_namespace("", SVG)
    return re.sub(r">\s+<", "><", ElementTree.tostring(svg, encoding="unicode")).replace(" />", "/>").strip()


def inline(svg: ElementTree.Element, prefix: str, kind: str, paint: Paint) -> ElementTree.Element:
    """A drawing for a page: names that begin with `prefix`, colours and styles of `paint`, and no rules for others."""
    _drop(svg, {f"{{{SVG}}}metadata", f"{{{SVG}}}style"})
    used = {match for of in svg.iter() for value in of.attrib.values() for match in re.findall(r"#([\w-]+)\)?$", value)}
    names = {name: f"{prefix}{number}" for number, name in enumerate(sorted(used))}
    _, _, width, height = map(float, svg.get("viewBox").split())
    for of in svg.iter():
        if _HREF in of.attrib:
            of.set("href", of.attrib.pop(_HREF))
        if (name := of.attrib.pop("id", None)) in names:
            of.set("id", names[name])
        for attribute, value in of.attrib.items():
            of.set(attribute, _rewritten(value, attribute, names, of.tag == f"{{{SVG}}}text", paint))
        if of.tag == f"{{{SVG}}}image":
            of.set("href", _smaller(of.get("href")))
        if clip := of.attrib.pop("clip-path", None):
            of.set("style", ";".join(filter(None, (of.get("style"), f"clip-path:{clip}"))))
        if of.get("transform", "").startswith("rotate(-0 "):
            del of.attrib["transform"]
    svg.attrib = {"viewBox": f"0 0 {width:g} {height:g}", "class": kind, "aria-hidden": "true", "focusable": "false"}
    hidden = ";display:none" if kind == "narrow" else ""
    svg.set("style", f"font-family:{FAMILY};fill:{paint('#000000')};stroke-linejoin:round{hidden}")
    _flatten(svg)
    for of in svg.iter():
        if of is not svg and (style := of.attrib.pop("style", None)):
            of.set("class", paint.class_of(style))
    return svg


def _drop(parent: ElementTree.Element, tags: Iterable[str]) -> None:
    for child in list(parent):
        if child.tag in tags:
            parent.remove(child)
        else:
            _drop(child, tags)


def _flatten(parent: ElementTree.Element) -> None:
    """Take elements out of groups that say nothing, leave out what is not painted, and say once what neighbours share."""
    children = []
    for child in parent:
        _flatten(child)
        if child.tag == f"{{{SVG}}}g" and not child.attrib:
            children += child
        elif len(child) or child.tag not in {f"{{{SVG}}}g", f"{{{SVG}}}defs"}:
            children += [] if _is_unpainted(child) else [child]
    parent[:] = _grouped(children)


def _is_unpainted(of: ElementTree.Element) -> bool:
    """Whether it is an outline without a line or a filling, such as the ground of a transparent figure."""
    style = of.get("style", "")
    return of.tag == f"{{{SVG}}}path" and "fill:none" in style and "stroke:" not in style and of.get("id") is None


def _grouped(elements: Sequence[ElementTree.Element]) -> list[ElementTree.Element]:
    """Elements in their order, with those next to each other that look alike in a group that says what they look like."""
    found: list[ElementTree.Element] = []
    for style, alike in groupby(elements, lambda of: of.get("style", "")):
        run = list(alike)
        if len(run) > 2 and style and not re.search(_APART, style) and not any(_OWN.keys() & of.attrib.keys() for of in run):
            group = ElementTree.Element(f"{{{SVG}}}g", {"style": style})
            group[:] = run
            for of in run:
                del of.attrib["style"]
            run = [group]
        found += run
    return found


def _smaller(address: str) -> str:
    """An embedded PNG with a palette."""
    head, data = address.split(",", 1)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(b64decode(data))).convert("RGBA").quantize(64, Image.Quantize.FASTOCTREE).save(
        buffer, "png", optimize=True
    )
    return f"{head},{b64encode(buffer.getvalue()).decode()}"


def _rewritten(value: str, attribute: str, names: Mapping[str, str], text: bool, paint: Paint) -> str:
    if attribute in ("href", "clip-path"):
        return re.sub(r"#([\w-]+)", lambda found: f"#{names.get(found[1], found[1])}", value)
    if attribute == "style":
        value = re.sub(r"font-family:[^;]*(DejaVu Sans|sans-serif)[^;]*;?\s*", "", value) if "ono" not in value else value
        value = re.sub(r"#[0-9a-fA-F]{6}", lambda found: paint(found[0], text), value)
        return re.sub(r"\s*([:;])\s*", r"\1", value).strip("; ")
    if attribute == "d":
        return relative(value)
    if attribute in ("x", "y", "width", "height", "points", "transform"):
        return re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), DIGITS):g}", value)
    return value


def relative(path: str) -> str:
    """A path of absolute commands in fewer characters: from each point to the next.

    Points are rounded before they are subtracted, so that errors do not add up along a line.
    """
    said, before, x, y = [], "", 0.0, 0.0
    for command, given in re.findall(r"([MLQCz])([^MLQCz]*)", path):
        numbers = [round(float(number), DIGITS) for number in given.split()]
        if command == "z":
            said, before = [*said, "z"], ""
            continue
        to = numbers[-2:]
        moved = [round(number - (x, y)[i % 2], DIGITS) for i, number in enumerate(numbers)]
        if command == "M":
            letter, moved = "M", numbers
        elif command == "L" and 0.0 in moved:
            letter, moved = ("h", moved[:1]) if moved[1] == 0 else ("v", moved[1:])
        else:
            letter = command.lower()
        said.append(("" if letter == before else letter) + _side_by_side(moved, letter == before))
        before, (x, y) = letter, to
    return "".join(said)


def _side_by_side(numbers: Sequence[float], goes_on: bool) -> str:
    """Numbers, with a space only where they would run together; `goes_on`: after others."""
    texts = [re.sub(r"^(-?)0\.", r"\1.", f"{number:g}") for number in numbers]
    return "".join(text if text[0] == "-" or (i == 0 and not goes_on) else f" {text}" for i, text in enumerate(texts))
