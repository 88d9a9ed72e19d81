"""Texts of the user's: files and folders as documents, documents as paragraphs. What is read is data; nothing of it is run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from lib.errors import InputError

_HTML = (".html", ".htm", ".xhtml")
_BLOCKS = ("p", "div", "li", "dt", "dd", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "td", "th", "title", "br", "tr", "table")
_UNSEEN = ("script", "style", "template", "noscript")
_LARGEST = 100_000_000  # bytes of a file
_SHARED = 60  # characters of a paragraph from which on it being in two texts is no accident

_PART = 20  # of what is enough, the part that a file of a folder contributes at most: one file is not a text
_OTHERS = ("site-packages", "dist-packages", "node_modules", "__pycache__")  # folders with what belongs to somebody else
_SPACE = {"\n": "\ue000", " ": "\ue001", "\t": "\ue002"}  # what stands for space that is kept

Document = list[str]  # its paragraphs, each with what separates it from the next


def read(path: Path, enough: int) -> list[Document]:
    """The documents of a file, or of all text files in a folder: in an order of their own, until there are `enough` characters.

    A folder may end in a pattern of names, as in `docs/*.html`. HTML is read as what it shows. In a folder, what is no text is
    left out, and so are hidden files and installed packages; of a long file only the beginning is read. `InputError` for a path
    that does not exist or holds no text.
    """
    path = path.expanduser()
    folder, pattern = (path.parent, path.name) if "*" in path.name else (path, "*")
    if not folder.exists():
        raise InputError(f"text {str(path)!r} does not exist: give a file or a folder of text")
    if not folder.is_dir():
        return [_document(path)]
    found, characters = [], 0
    files = (file for file in _files(folder) if fnmatch(file.name, pattern))
    for file in sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file.relative_to(folder))).digest()):
        try:
            found.append(_beginning(_document(file), max(1, enough // _PART)))
        except InputError:
            continue
        characters += sum(map(len, found[-1]))
        if characters >= enough:
            break
    if not found:
        raise InputError(f"{str(path)!r} holds no file with text in UTF-8: give a folder that does, or a file")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Files that are not hidden, in all folders below; links to folders are not followed."""
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _OTHERS]
        yield from (Path(inside, name) for name in names if not name.startswith("."))


def _beginning(document: Document, characters: int) -> Document:
    """The first paragraphs of a document, of so many characters together."""
    found = []
    for paragraph in document:
        if characters <= 0:
            break
        found.append(paragraph[:characters])
        characters -= len(paragraph)
    return found


def _document(file: Path) -> Document:
    try:
        plain = file.is_file()
    except OSError as error:
        raise InputError(
            f"text {str(file)!r} cannot be read: {error.strerror}; make it readable, or give another one"
        ) from None
    if not plain:  # a pipe, say, which would be waited for
        raise InputError(f"text {str(file)!r} is neither a file nor a folder: give one of these")
    if (size := file.stat().st_size) > _LARGEST:
        raise InputError(f"text {str(file)!r} has {size:,} bytes, at most {_LARGEST:,} are read: give a part of it")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"text {str(file)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"text {str(file)!r} is no text in UTF-8 (byte {error.start}): convert it first") from None
    if "\0" in text:
        raise InputError(f"text {str(file)!r} is binary: give one that people can read")
    paragraphs = _shown(text) if file.suffix.lower() in _HTML else re.findall(r".+?(?:\n\s*\n|\Z)", text, re.DOTALL)
    paragraphs = [paragraph for paragraph in paragraphs if paragraph.strip()]
    if not paragraphs:
        raise InputError(f"text {str(file)!r} is empty: give one with something in it")
    return paragraphs


def _shown(html: str) -> list[str]:
    """The paragraphs that a page shows."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    for tag in page.find_all(_UNSEEN):
        tag.decompose()
    for tag in page.find_all("pre"):
        tag.string = tag.get_text().strip("\n").translate(str.maketrans(_SPACE))
    for tag in page.find_all(_BLOCKS):
        tag.insert_before("\n\n")
        tag.insert_after("\n\n")
    shown = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", page.get_text()))
    back = str.maketrans({kept: space for space, kept in _SPACE.items()})
    return [paragraph.translate(back) + "\n\n" for paragraph in shown if paragraph]


def without_shared(texts: Mapping[str, Sequence[Document]]) -> tuple[dict[str, list[Document]], dict[str, float]]:
    """Texts without the longer paragraphs that the first has in common with another, and which share of characters these were.

    In translations, for one, whatever nobody has translated yet is still the original. They are left out on both sides: else
    the first would be a text with such paragraphs, and the others texts without.
    """
    first, *others = texts
    known = {name: {_key(p) for document in texts[name] for p in document if len(p) >= _SHARED} for name in texts}
    dropped = {name: known[name] & known[first] for name in others}
    dropped[first] = set().union(*dropped.values())
    kept, shares = {}, {}
    for name, documents in texts.items():
        kept[name] = [[p for p in document if _key(p) not in dropped[name]] for document in documents]
        before, after = (sum(len(p) for document in of for p in document) for of in (documents, kept[name]))
        kept[name], shares[name] = [document for document in kept[name] if document], 1 - after / before
    return kept, shares


def _key(paragraph: str) -> str:
    return " ".join(paragraph.split())
