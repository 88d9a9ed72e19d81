"""Tables of texts as readers meet them: decimals one below the other, intervals below their numbers, effects as heat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import pandas as pd

NUMBER = re.compile(r"([+−-]?[\d,]*\.?\d+)( %)?(?: (\[[^\]]*\]))?")
BEHIND = re.compile(r" (\[[^\]]*\]|\([^)]*\))")  # an interval, or at what, after a word and its number
CSS = """
.sheet{margin:1.2em 0 1.6em;padding:0}
.sheet figcaption{font-size:.9em;line-height:1.4;text-align:left;margin:0 0 .4em;font-weight:600;max-width:46rem}
.sheet .scroll{overflow-x:auto;max-width:100%}
.sheet table{display:table;width:auto;table-layout:auto;border-collapse:separate;border-spacing:0;margin:0;border:0;
color:inherit;font-size:.82em;line-height:1.3;font-variant-numeric:tabular-nums lining-nums}
.sheet :is(th,td){padding:.35em .8em;border:0;text-align:left;vertical-align:top;white-space:normal;max-width:16em;
background:none;color:inherit;font-weight:400;overflow-wrap:normal}
.sheet tr,.sheet tr:hover,.sheet tr:nth-child(odd),.sheet tr:nth-child(even){background:none}
.sheet thead :is(th,td){vertical-align:bottom;border-bottom:1px solid;font-weight:600;max-width:9em;text-wrap:balance}
.sheet tbody :is(th,td){border-bottom:1px solid rgba(128,128,128,.28)}
.sheet tbody th{min-width:7em;max-width:15em}
.sheet.dense table{font-size:.76em}
.sheet.dense :is(th,td){padding:.35em .45em}
.sheet .number{text-align:right}
.sheet tbody .number{white-space:nowrap}
.sheet td small{display:block;font-size:.86em;opacity:.8}
.sheet td.none{opacity:.8;white-space:normal}
.sheet.heat tbody :is(th,td){border:1px solid transparent;background-clip:padding-box}
.sheet.heat td[style]{background-color:color-mix(in srgb,var(--hue) calc(var(--heat)*1%),transparent)}
.sheet.heat td small{opacity:1}
.sheet .above{--hue:#E69F00}
.sheet .below{--hue:#56B4E9}
.sheet .scroll:focus-visible{outline:2px solid;outline-offset:2px}
@media (max-width:600px){.sheet tbody th,.sheet thead tr>:first-child{position:sticky;left:0;z-index:1;max-width:8.5em;
background:var(--pst-color-background,var(--jp-layout-color0,#fff))}.sheet :is(th,td){padding:.35em .5em}}
@media print{.sheet .scroll{overflow:visible}.sheet tr{break-inside:avoid}}
""".replace("\n", "")
DENSE = 5  # columns up to which print need not be small
HOTTEST = 40  # per cent of colour, on which text stays legible on light and on dark pages


class _Column(NamedTuple):
    """How the cells of a column are shown."""

    number: bool
    per_cent: bool


class Table:
    """Texts in `frame` under a caption. With `heat`, numbers are differences, coloured by how far from zero they are."""

    def __init__(self, frame: pd.DataFrame, caption: str, heat: bool = False):
        self.frame, self.caption, self.heat = frame, caption, heat

    def to_html(self) -> str:
        """The table as HTML that needs nothing around it; everything is escaped."""
        columns = [_kind(self.frame.iloc[:, at]) for at in range(self.frame.shape[1])]
        corner = self.frame.index.name or ""
        heads = [_head(str(name), column) for name, column in zip(self.frame.columns, columns, strict=True)]
        first = f'<th scope="col">{escape(corner)}</th>' if corner else "<td></td>"
        hottest = max(
            (abs(value) for row in self.frame.to_numpy() for value in map(_value, row) if value is not None), default=0
        )
        body = []
        for name, row in zip(self.frame.index, self.frame.to_numpy(), strict=True):
            cells = (_cell(text, column, hottest if self.heat else 0) for text, column in zip(row, columns, strict=True))
            body.append(f'<tr><th scope="row">{escape(str(name))}</th>{"".join(cells)}</tr>')
        label = escape(self.caption, quote=True)
        table = (
            f'<table aria-label="{label}"><thead><tr>{first}{"".join(heads)}</tr></thead><tbody>{"".join(body)}</tbody></table>'
        )
        scroll = f'<div class="scroll" role="group" tabindex="0" aria-label="{label}">{table}</div>'
        kind = "sheet" + " heat" * self.heat + " dense" * (len(columns) > DENSE)
        return f'<figure class="{kind}"><style>{CSS}</style><figcaption>{escape(self.caption)}</figcaption>{scroll}</figure>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.to_html(), "text/plain": self.frame.to_string()}


def _kind(texts: Sequence[str]) -> _Column:
    """A column is one of numbers if it has any, and words only where there is none: `not measured`."""
    numbers = [found for found in map(NUMBER.fullmatch, texts) if found]
    words = {text for text in texts if text and not NUMBER.fullmatch(text)}
    per_cent = bool(numbers) and all(found[2] for found in numbers)
    return _Column(bool(numbers) and len(words) < 2 and not any(map(_has_digit, words)), per_cent)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _value(text: str) -> float | None:
    found = NUMBER.fullmatch(text)
    return float(found[1].replace("−", "-").replace(",", "")) if found else None


def _head(name: str, column: _Column) -> str:
    unit = ", %" if column.number and column.per_cent else ""
    kind = ' class="number"' if column.number else ""
    shown = escape(name + unit).replace("_", "_<wbr>")
    return f'<th scope="col"{kind}>{shown}</th>'


def _cell(text: str, column: _Column, hottest: float) -> str:
    found = NUMBER.fullmatch(text)
    if not column.number:
        shown = BEHIND.sub(r"<small>\1</small>", escape(text)) if "[" in text else escape(text)
        return f"<td>{shown}</td>"
    if not found:
        return f'<td class="number none">{escape(text)}</td>'
    interval = f"<small>{escape(found[3])}</small>" if found[3] else ""
    value = _value(text)
    shown = escape(found[1] if column.per_cent else found[1] + (found[2] or ""))
    heat = f' style="--heat:{HOTTEST * abs(value) / hottest:.0f}"' if hottest else ""
    side = f" {'below' if value < 0 else 'above'}" if hottest else ""
    return f'<td class="number{side}"{heat}>{shown}{interval}</td>'
