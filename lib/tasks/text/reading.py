"""Texts of the user's: files and folders as documents, documents as paragraphs. What is read is data; nothing of it is run."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lib.errors import InputError

_HTML = (".html", ".htm", ".xhtml")
_BLOCKS = ("p", "div", "li", "dt", "dd", "pre", "h1", "h2", "h3", "h4", "h5", "h6", "td", "th", "title", "br", "tr", "table")
_UNSEEN = ("script", "style", "template", "noscript")
_LARGEST = 100_000_000  # bytes of a file
_SHARED = 60  # characters of a paragraph from which on it being in two texts is no accident

Document = list[str]  # its paragraphs


def read(path: Path, enough: int) -> list[Document]:
    """The documents of a file, or of all text files in a folder: in an order of their own, until there are `enough` characters.

    HTML is read as what it shows. In a folder, what is no text is left out, and so are hidden files. `InputError` for a path
    that does not exist or holds no text.
    """
    path = path.expanduser()
    if not path.exists():
        raise InputError(f"text {str(path)!r} does not exist: give a file or a folder of text")
    if not path.is_dir():
        return [_document(path)]
    found, characters = [], 0
    for file in sorted(_files(path), key=lambda file: hashlib.sha256(os.fsencode(file.relative_to(path))).digest()):
        try:
            found.append(_document(file))
        except InputError:
            continue
        characters += sum(map(len, found[-1]))
        if characters >= enough:
            break
    if not found:
        raise InputError(f"folder {str(path)!r} holds no file with text in UTF-8: give one that does, or a file")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Files that are not hidden, in all folders below; links to folders are not followed."""
    for inside, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(inside, name) for name in names if not name.startswith("."))


def _document(file: Path) -> Document:
    if not file.is_file():  # a pipe, say, which would be waited for
        raise InputError(f"text {str(file)!r} is neither a file nor a folder")
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
    paragraphs = _shown(text) if file.suffix.lower() in _HTML else re.split(r"\n\s*\n", text)
    paragraphs = [paragraph.strip("\n") for paragraph in paragraphs if paragraph.strip()]
    if not paragraphs:
        raise InputError(f"text {str(file)!r} is empty: give one with something in it")
    return paragraphs


def _shown(html: str) -> list[str]:
    """The paragraphs that a page shows."""
    from bs4 import BeautifulSoup

    page = BeautifulSoup(html, "html.parser")
    for tag in page.find_all(_UNSEEN):
        tag.decompose()
    for tag in page.find_all(_BLOCKS):
        tag.insert_before("\n\n")
        tag.insert_after("\n\n")
    return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", page.get_text())]


def without_shared(documents: Sequence[Document], others: Sequence[Document]) -> tuple[list[Document], float]:
    """Documents without the longer paragraphs that others have as well, and which share of their characters these were.

    In translations, for one, whatever nobody has translated yet is still the original.
    """
    known = {_key(paragraph) for document in others for paragraph in document if len(paragraph) >= _SHARED}
    kept = [[paragraph for paragraph in document if _key(paragraph) not in known] for document in documents]
    before, after = (sum(len(paragraph) for document in of for paragraph in document) for of in (documents, kept))
    return [document for document in kept if document], 1 - after / before


def _key(paragraph: str) -> str:
    return " ".join(paragraph.split())
