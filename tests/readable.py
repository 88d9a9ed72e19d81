"""Whether a text can be shown to people."""

from __future__ import annotations

import re
from html import unescape


def seen(text: str) -> str:
    """A sentence without its markup, as plain text has it: intervals in brackets after their numbers."""
    return unescape(re.sub(r"</?(?:a|aside|b|code|p|span)\b[^>]*>", "", text))


def flaw(text: str) -> str | None:
    """What is wrong with a text that people read."""
    text = seen(text)
    flaws = {
        "nothing there": r"^\s*$",
        "not a number": r"\b(nan|inf|None|NaN)\b|<|>",
        "two blanks, or one before a stop": r"  | [.,;:!?)]|\( ",
        "a hyphen for a minus": r"(?<![A-Za-z0-9])-\d",
        "a zero with a sign": r"[−+]0(\.0+)?(?!\.?\d)",
        "two stops": r"\.\.|,,|[,;:]\.",
        "empty brackets": r"\(\)|\[\]",
        "no number where one is counted": r"not measured (points|percentage|%|of\b)|\b(at|on|by|of) not measured",
        "no stop at the end": r"[^.)]$|[^.]\)$",
        "no capital at the beginning": r"^[a-z]|\. [a-z]",
    }
    found = [name for name, pattern in flaws.items() if re.search(pattern, text)]
    if any(text.count(a) != text.count(b) for a, b in ("()", "[]")):
        found.append("brackets that do not match")
    return ", ".join(found) or None
