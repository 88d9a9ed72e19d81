"""Dyck sentences as text, in the form of the published generators `dyckkm-learning` and `structural-grokking`.

One sentence a line, tokens separated by spaces: `(a (b b) a)`, with an optional `END` at the end of the line. Bracket types
are a to z; beyond 26 the letters double (aa, bb, ...), then triple.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lib.errors import InputError
from lib.tasks.dyck.language import DEEPEST, END, FIRST_BRACKET, START, Brackets, annotate


def type_names(bracket_types: int) -> list[str]:
    """The names of the first `bracket_types` types: a ... z, aa, bb, ... zz, aaa, ..."""
    return [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(bracket_types)]


def vocabulary(bracket_types: int) -> tuple[str, ...]:
    """The text of every token id: PAD, START, END, then all openers, then all closers."""
    names = type_names(bracket_types)
    return ("PAD", "START", "END", *(f"({n}" for n in names), *(f"{n})" for n in names))


def write_sentences(tokens: np.ndarray, bracket_types: int) -> str:
    """The text of sentences given as tokens [n, T]; one line each, without START, END and padding."""
    words = np.array(vocabulary(bracket_types))
    return "".join(" ".join(words[row[row >= FIRST_BRACKET]]) + "\n" for row in tokens)


def parse_sentences(
    lines: Iterable[str],
    bracket_types: int,
    *,
    source: str = "text",
    max_depth: int | None = None,
    max_length: int | None = None,
) -> Brackets:
    """Read sentences, one a line; blank lines are skipped.

    Raises `InputError` with `source` and the line number for an unknown token, text that is not balanced, a bracket deeper
    than `max_depth` or a sentence of more than `max_length` brackets, and where there is no sentence at all.
    """
    max_depth = min(max_depth or DEEPEST, DEEPEST)
    ids = {word: i for i, word in enumerate(vocabulary(bracket_types)) if i >= FIRST_BRACKET}
    sentences = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and words[-1] == "END":
            words = words[:-1]
        if not words:
            continue
        where = f"{source}, line {number}"
        sentences.append(_check(words, ids, bracket_types, where, max_depth, max_length))
    if not sentences:
        raise InputError(f"{source} holds no sentence: expected one a line, such as (a (b b) a)")
    tokens = np.zeros((len(sentences), max(map(len, sentences)) + 2), np.int16)
    for row, sentence in zip(tokens, sentences, strict=True):
        row[: len(sentence) + 2] = [START, *sentence, END]
    return annotate(tokens, bracket_types)


def _check(
    words: Sequence[str], ids: dict[str, int], bracket_types: int, where: str, max_depth: int | None, max_length: int | None
):
    """The token ids of one balanced sentence; `InputError` that begins with `where` for anything else."""
    sentence, open_brackets = [], []
    for position, word in enumerate(words, 1):
        if word not in ids:
            names = type_names(bracket_types)
            expected = f"({names[0]} to ({names[-1]} or {names[0]}) to {names[-1]})"
            raise InputError(f"{where}: token {position} is {word[:40]!r}, but must be {expected}, separated by spaces")
        sentence.append(ids[word])
        if word.startswith("("):
            open_brackets.append(word[1:])
            if max_depth is not None and len(open_brackets) > max_depth:
                raise InputError(
                    f"{where}: token {position} ({word}) is {len(open_brackets)} deep, but at most {max_depth} is allowed"
                )
        elif not open_brackets:
            raise InputError(f"{where}: token {position} ({word}) closes a bracket that was never opened")
        elif (opened := open_brackets.pop()) != word[:-1]:
            raise InputError(f"{where}: token {position} ({word}) closes a ({opened}, so the sentence is not balanced")
    if open_brackets:
        missing = " ".join(f"{name})" for name in reversed(open_brackets[-5:]))
        raise InputError(
            f"{where}: not balanced, {len(open_brackets)} bracket(s) left open; it would have to go on with {missing}"
        )
    if max_length is not None and len(sentence) > max_length:
        raise InputError(f"{where}: {len(sentence)} brackets, but the model reads at most {max_length}")
    return sentence


def read_sentences(
    path: str | Path, bracket_types: int, *, max_depth: int | None = None, max_length: int | None = None
) -> Brackets:
    """Read a file of sentences; see `parse_sentences` for what is checked."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a pipe may never end
            raise InputError(f"{path} is no regular file: name a file with one sentence a line")
        text = path.read_text(encoding="utf-8-sig")  # some editors begin every file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file of sentences (not UTF-8 at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return parse_sentences(text.splitlines(), bracket_types, source=str(path), max_depth=max_depth, max_length=max_length)
