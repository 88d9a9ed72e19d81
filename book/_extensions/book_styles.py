"""Style sheets of a theme, without what they have for pages that a book does not have: most of a theme is that."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_STRING = r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"""
_COMMENT = r"/\*.*?\*/"
_GROUPS = ("@media", "@supports", "@layer", "@container")  # which hold rules


def classes(pages: Iterable[str], scripts: Iterable[str]) -> Callable[[str], bool]:
    """Whether a class is on one of the pages, or one of their scripts may put it there: it has that word, or how it begins."""
    scripts = [*scripts]
    for page in pages:
        scripts += re.findall(r"<script\b[^>]*>(.*?)</script>", page, re.DOTALL)
    words = {word for script in scripts for word in re.findall(r"[\w-]+", script)}
    begun = tuple(word for word in words if re.fullmatch(r"[A-Za-z][\w-]+-", word))  # to which a script adds something
    words |= {name for page in pages for found in re.findall(r'class="([^"]*)"', page) for name in found.split()}
    return lambda name: name in words or name.startswith(begun)


def needed(css: str, may_be: Callable[[str], bool]) -> str:
    """A style sheet without the rules of which every selector asks for a class that cannot be; the others to the letter."""
    kept, depth, start, opened = [], 0, 0, 0
    for found in re.finditer(rf"{_COMMENT}|{_STRING}|[{{}};]", css, re.DOTALL):
        if found[0] == "{":
            depth += 1
            opened = found.start() if depth == 1 else opened
        elif found[0] == "}":
            depth -= 1
            if depth == 0:
                kept.append(_rule(css[start:opened], css[opened : found.end()], may_be))
                start = found.end()
        elif found[0] == ";" and depth == 0:  # after @charset, say
            kept.append(css[start : found.end()])
            start = found.end()
    return "".join(kept) + css[start:]


def _rule(head: str, body: str, may_be: Callable[[str], bool]) -> str:
    """A rule as it is if it may have an effect, else nothing; of a group of rules, those that may."""
    selectors = re.sub(_COMMENT, "", head, flags=re.DOTALL).strip()
    if selectors.startswith(_GROUPS):
        inner = needed(body[1:-1], may_be)
        return f"{head}{{{inner}}}" if inner.strip() else ""
    kept = selectors.startswith("@") or any(_may_match(selector, may_be) for selector in _alternatives(selectors))
    return head + body if kept else ""


def _alternatives(selectors: str) -> list[str]:
    """The selectors of a list, without what stands in brackets: what is excluded, one of several, or no class."""
    before, selectors = "", re.sub(_STRING, "", selectors)
    while before != selectors:
        before, selectors = selectors, re.sub(r"\([^()]*\)|\[[^][]*\]", "", selectors)
    return selectors.split(",")


def _may_match(selector: str, may_be: Callable[[str], bool]) -> bool:
    """Whether all the classes may be that an element needs for it; what has a sign of its own in a name is not looked into."""
    return "\\" in selector or all(map(may_be, re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector)))
