"""`python -m lib audit`: a model and texts from the command line, and what is printed of them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lib import artifacts, provenance
from lib.audit.audit import audit
from lib.audit.inputs import check_folder, check_names
from lib.audit.results import Audit
from lib.audit.settings import Settings
from lib.config import checked
from lib.errors import InputError, looking_for
from lib.models import pretrained
from lib.models.machine import use_threads

CAUTION = (
    "Which setting and which text are spoken of was decided by these numbers, and intervals take windows for independent: they "
    "are too narrow where a text is few documents."
)


def run(
    model: str,
    texts: Sequence[str],
    proxies: Sequence[str],
    settings: dict[str, object],
    *,
    gguf: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    threads: int | None = None,
    trust_remote_code: bool = False,
    folder: Path | None = None,
) -> tuple[Audit, Path]:
    """Audit a model on texts, of which the first is in distribution; returns what was found, and the folder that keeps it."""
    pretrained.require()
    checked(Settings, {**settings, "proxies": tuple(proxies)}, "audit")  # before a model is loaded
    named = named_texts(texts)
    if folder:
        check_folder(folder := folder.expanduser())
    source = pretrained.locate(model, gguf, trust_remote_code)
    if threads:
        use_threads(threads)
    tokenizer, loaded = pretrained.read_tokenizer(source), pretrained.read(source, device, dtype)
    chosen = {"model": list(source), "texts": {n: str(p.resolve()) for n, p in named.items()}, "dtype": dtype, **settings}
    folder = folder or artifacts.root() / "audits" / f"{called(source)}-{provenance.digest_of([chosen, *proxies])[:10]}"

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    found = audit(loaded, tokenizer, named, tuple(proxies), folder=folder, name=called(source), say=say, **settings)
    return found, folder


def called(source: pretrained.Source) -> str:
    """What a model is called in tables: its file without ending, or the last part of its folder or id."""
    name = Path(source.gguf).stem if source.gguf else Path(source.model).resolve().name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"


def named_texts(given: Iterable[str]) -> dict[str, Path]:
    """Texts by name. A text is a path, called by the last part of it, or NAME=PATH; `InputError` where two are called alike."""
    found: dict[str, Path] = {}
    for text in given:
        with looking_for("text", text):
            name, path = _name_and_path(text)
            exists = given_path(path).exists()
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
            like = shlex.quote(f"mine={path}")
            raise InputError(f"text {text!r} would be called {name!r}: give it a name of letters and digits, as in {like}")
        if name in found:
            raise InputError(f"two texts are called {name!r}: give one of them a name of its own, as in other={path}")
        if not path or not exists:
            raise InputError(f"text {path!r} does not exist: give a file or a folder of text")
        found[name] = Path(path).expanduser()
    check_names(found)
    return found


def given_path(path: str) -> Path:
    """The file or folder of a text, without the pattern of names that a folder may end in."""
    found = Path(path).expanduser()
    return found.parent if "*" in found.name else found


def _name_and_path(text: str) -> tuple[str, str]:
    """What a text is called, and where it is; a path with = in it that exists is one."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name or Path(text).expanduser().exists():
        return given_path(text).resolve().stem, text
    return name, path


def printed(found: Audit) -> str:
    """The tables of an audit and its three sentences, as text."""
    said = ["in % and points, with 95 % intervals over windows", found.shown().to_string(index=False)]
    if found.single:
        said += ["one layer or head at a time, on fewer windows", found.shown(single=True).to_string(index=False)]
    return "\n\n".join([*said, "\n".join([*found.sentences(), *found.doubts(), CAUTION])])


def too_large(found: Audit, most: float) -> list[str]:
    """The gaps of settings that are no control that exceed so many points, in words."""
    return [
        f"{s.label} on {split}: {100 * gap.value:.1f} points"
        for (s, split), gap in found.gaps().items()
        if gap.measured and 100 * gap.value > most
    ]
