"""Sentences from estimates. What a chapter says follows from its numbers by these rules, which are fed every outcome in tests.

Numbers stand in plain text with real minus signs; what was not measured is said to be so, never shown as a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan

import pandas as pd

from lib.measuring.intervals import Estimate

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


def in_percent(estimate: Estimate, interval: bool = False) -> str:
    """A share within a sentence: `95.4 %`, or `an unknown share`."""
    return percent(estimate, interval=interval) if estimate.measured else "an unknown share"


def in_points(estimate: Estimate, unit: str = "points", sign: bool = False) -> str:
    """A difference within a sentence: `15.0 [13.1, 17.0] points`, or `an unknown number of points`."""
    return f"{points(estimate, sign=sign) if estimate.measured else 'an unknown number of'} {unit}"


def number(estimate: Estimate, spec: str = ".2f") -> str:
    """A number with its interval."""
    return _number(estimate, spec, "", True)


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


def begin(label: str) -> str:
    """A label at the beginning of a sentence: `One-hot`."""
    return label[:1].upper() + label[1:]


def paragraph(*sentences: str) -> str:
    """Sentences in a row; empty ones are left out."""
    return " ".join(" ".join(sentence.split()) for sentence in sentences if sentence)


def table(rows: Mapping[str, Mapping[str, str]], index: str = "") -> pd.DataFrame:
    """A table of texts, a line for each key of `rows`; the index is called `index`."""
    return pd.DataFrame(rows).T.fillna("").rename_axis(index or None)
