"""Sentences from estimates. What a chapter says follows from its numbers by these rules, which are fed every outcome in tests.

Tables have numbers in plain text, sentences set intervals apart as HTML, which the book shows on demand and every other reader
in brackets. Minus signs are real ones; what was not measured is said to be so, never shown as a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape
from math import isnan
from statistics import median

import pandas as pd

from lib.measuring.intervals import Estimate
from lib.proxies import PROXIES, Simplification

FEW = 6  # with intervals over fewer models or studies, a chapter says that they are wide
NOT_MEASURED = "not measured"  # in a table, or where a number would be the whole statement


def minus(text: str) -> str:
    """A number's text with a real minus sign."""
    return text.replace("-", "−")


def percent(estimate: Estimate, digits: int = 1, interval: bool = False) -> str:
    """A share in per cent: `95.4 %`, or with its interval `95.4 % [94.1, 96.2]`."""
    return _number(estimate.scaled(100), f".{digits}f", " %", interval)


def points(estimate: Estimate, digits: int = 1, sign: bool = False, interval: bool = True) -> str:
    """A difference of shares in percentage points, with its interval: `15.0 [13.1, 17.0]`; `sign` shows a plus, too."""
    return _number(estimate.scaled(100), f"{'+' if sign else ''}.{digits}f", "", interval)


def in_percent(estimate: Estimate) -> str:
    """A share within a sentence, in plain text: `95.4 %`, or `an unknown share`."""
    return percent(estimate) if estimate.measured else "an unknown share"


def quiet(estimate: Estimate, spec: str, unit: str = "", scale: float = 1) -> str:
    """A number whose interval is there for those who ask: `95 % [94, 96]` in HTML, where brackets are shown on demand."""
    if not estimate.measured:
        return NOT_MEASURED
    shown = _number(estimate.scaled(scale), spec, unit, True)
    value, bracket, interval = shown.partition(" [")
    return f'<span class="estimate" tabindex="0">{value}<span class="interval"> [{interval}</span></span>' if bracket else value


def share(estimate: Estimate) -> str:
    """A share within a sentence, in whole per cent, its interval set apart; or `an unknown share`."""
    return quiet(estimate, f".{_digits(estimate)}f", " %", 100) if estimate.measured else "an unknown share"


def whole(estimate: Estimate) -> str:
    """A share for a heading: `95 %`, without its interval; or `an unknown share`."""
    return percent(estimate, _digits(estimate)).replace(" ", "\N{NO-BREAK SPACE}") if estimate.measured else "an unknown share"


def _digits(estimate: Estimate) -> int:
    """One where whole per cent would say all or none of what is not quite that."""
    value = 100 * estimate.value
    return int(round(value) in (0, 100) and value not in (0, 100))


def difference(estimate: Estimate, unit: str = "points", sign: bool = False) -> str:
    """A difference within a sentence, its interval set apart: `15.0 points`; or `an unknown number of points`."""
    size = quiet(estimate, f"{'+' if sign else ''}.1f", "", 100) if estimate.measured else "an unknown number of"
    return f"{size} {unit}"


def live(text: str, s: Simplification) -> str:
    """A link that sets the live figure of its page to a simplification."""
    state = {"proxy": s.proxy, "complexity": s.complexity, "layer": s.layer}
    where = "&amp;".join(f"{name}={value}" for name, value in state.items() if value is not None)
    return f'<a class="live" href="#live:{where}">{text}</a>'


def finding(heading: str, *sentences: str) -> str:
    """A finding and what is to be said of it, as a paragraph of HTML."""
    return f"<p><b>{heading}.</b> {paragraph(*sentences)}</p>"


def how_sure(measured_on: str, intervals: str, over: int, *more: str) -> str:
    """How far the numbers of a chapter can be trusted."""
    few = "Over so few, intervals are wide: what cannot be told here may be there all the same." if over < FEW else ""
    shown = "Point at a number, tap it, or reach it with the tab key to see its interval"
    return paragraph(f"Measured on {measured_on}. {shown}; these are {intervals}.", few, *more)


def setup(items: Mapping[str, str], proxies: Iterable[str] = ()) -> str:
    """A box with what a chapter takes for granted, an item a line, and what each of `proxies` does, as HTML."""
    lines = items | {PROXIES[name].label: in_a_line(name) for name in proxies}
    entries = "".join(f"<dt>{escape(begin(name))}</dt><dd>{escape(text)}</dd>" for name, text in lines.items())
    return f'<div class="setup"><p><b>What is what</b></p><dl>{entries}</dl></div>'


def in_a_line(proxy: str) -> str:
    """What a proxy does: how its docstring begins."""
    return " ".join((PROXIES[proxy].__doc__ or "A proxy that was added.").split("\n\n")[0].split())


def _number(estimate: Estimate, spec: str, unit: str, interval: bool) -> str:
    if not estimate.measured:
        return NOT_MEASURED
    value, low, high = (_rounded(number, spec) for number in (estimate.value, *estimate.interval))
    return f"{value}{unit}" + (f" [{low}, {high}]" if interval and not isnan(estimate.interval[0]) else "")


def _rounded(value: float, spec: str) -> str:
    """A number's text; what rounds to zero has no sign."""
    text = f"{value:{spec}}"
    return minus(text) if float(text) else text.lstrip("+-")


def tell(estimate: Estimate, *, above: str, below: str, unclear: str, missing: str = NOT_MEASURED) -> str:
    """The one of four texts that fits: the whole interval above zero, below zero, neither, or nothing measured."""
    if not estimate.measured:
        return missing
    low, high = estimate.interval
    return above if low > 0 else below if high < 0 else unclear


def seeds(count: int) -> str:
    """`1 seed`, `3 seeds`."""
    return "1 seed" if count == 1 else f"{count} seeds"


def names(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; `none` where there are none."""
    words = list(words)
    if not words:
        return "none"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def span(levels: Collection[float]) -> str:
    """From the lowest to the highest of several shares: `55 to 65 %`, or `55 %`."""
    low, high = (f"{100 * of(levels):.0f}" for of in (min, max))
    return f"{low} %" if low == high else f"{low} to {high} %"


def resolution(gains: Iterable[Estimate]) -> str:
    """How large a difference has to be to be told; empty if no interval says, or all are as good as nothing."""
    widths = [high - low for low, high in (gain.interval for gain in gains) if high >= low]
    half = f"{100 * median(widths) / 2:.1f}" if widths else "0.0"
    return "" if half == "0.0" else f"Typically, differences of less than {half} points cannot be told here."


def begin(label: str) -> str:
    """A label at the beginning of a sentence: `One-hot`."""
    return label[:1].upper() + label[1:]


def paragraph(*sentences: str) -> str:
    """Sentences in a row; empty ones are left out."""
    return " ".join(" ".join(sentence.split()) for sentence in sentences if sentence)


def table(rows: Mapping[str, Mapping[str, str]], index: str = "") -> pd.DataFrame:
    """A table of texts, a line for each key of `rows`; the index is called `index`."""
    return pd.DataFrame(rows).T.fillna("").rename_axis(index or None)
