"""The script behind live figures: one text, which a page loads as it is and a notebook as a module."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path

FOLDER = "_static/live"  # of packs, beside a page
_FOLDER = Path(__file__).parent
_FILES = (
    "engine",
    "page",
    "setting",
    "depth",
    "brackets",
    "reading",
    "representation",
    "gap",
)  # in this order; they share one scope
_STARTED = """
if (document.readyState === "loading") addEventListener("DOMContentLoaded", startPage);
else startPage();
"""
_EXPORTED = "\nexport default { render };\nexport { FIGURES, Model, Pack, parseSentence, readTensors };\n"


@cache
def _source() -> str:
    return "\n".join((_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in _FILES)


def script() -> str:
    """For a page: starts every `data-live` element on it. A classic script, as a page opened from disk can load no other."""
    return f'"use strict";\n(() => {{\n{_source()}{_STARTED}}})();\n'


def module() -> str:
    """For a notebook: the same as an ES module, in the form that anywidget expects."""
    return f"{_source()}{_EXPORTED}"


@cache
def style() -> str:
    """What live figures look like."""
    return (_FOLDER / "live.css").read_text(encoding="utf-8")


def delivering(name: str, packed: bytes) -> str:
    """A pack as a script that hands it to a page: one that is opened from disk can load nothing else."""
    return f'(globalThis.livePacks ??= {{}})["{name}"] = "{base64.b64encode(packed).decode()}";\n'
