"""Executing notebooks and building the pages of a book, each with a record of what it was made of."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from lib import executing, presets, provenance, rules
from lib.artifacts import read_json, root, write_json, writing
from lib.errors import ArtifactError, InputError
from lib.live import script

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "book"
OWN = ".made-by-the-workflow"  # in a folder that may be replaced
_HTML = Path("book", "_build", "html")  # in the folder of a preset


def notebooks(preset: presets.Preset, available: Iterable[str] = ()) -> dict[str, list[str]]:
    """The notebooks of the book by name, each with the experiments of the preset that it shows, the main one first.

    A notebook's metadata names them as `experiments`: patterns, or none if it shows no study. One of whose main experiment
    there is nothing is left out. With `available`, as if just these experiments could be done here.
    """
    available, found = available or preset.available(), {}
    for path in sorted(executing.NOTEBOOKS.glob("*.ipynb")):
        patterns = read_json(path, "restore it").get("metadata", {}).get("experiments", ["*"])
        shown = [name for pattern in patterns for name in available if fnmatch(name, pattern)]
        if not patterns or any(fnmatch(name, patterns[0]) for name in shown):
            found[path.stem] = list(dict.fromkeys(shown))
    return found


def pages() -> list[Path]:
    """What the book is made of beside notebooks: pages, settings, references, static files."""
    apart = {"_build", "__pycache__"}
    files = [path for path in PAGES.rglob("*") if path.is_file() and not apart & {*path.parts} and path.suffix != ".ipynb"]
    return [*sorted(p for p in files if not p.name.startswith("_")), ROOT / "_config.yml", ROOT / "_toc.yml"]


def notebook_identity(preset: presets.Preset, name: str, available: Iterable[str] = ()) -> dict:
    """What an executed notebook depends on: its source, its parameters, what was measured, and the code that it calls."""
    shown = {task: preset.study(task) for task in notebooks(preset, available)[name]}
    return {
        "source": provenance.checksum(executing.NOTEBOOKS / f"{name}.ipynb"),
        "preset": preset.name,
        "measured": {task: study.identity() for task, study in shown.items()},
        "rules": rules.RULES.plain(),
        "reads": {file: provenance.checksum(path) if path.exists() else "" for file, path in reads(name).items()},
        "code": code_of(name, [type(study.task).__module__ for study in shown.values()]),
    }


def code_of(name: str, tasks: Iterable[str]) -> dict[str, str]:
    """Digests of the modules that a notebook calls, directly or not, and that it was executed by; `tasks` are found by name."""
    cells = read_json(executing.NOTEBOOKS / f"{name}.ipynb", "restore it")["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if "outputs" in cell)
    called = provenance.imported(ast.walk(ast.parse(source)))
    return provenance.code_of("lib.executing", *called, *tasks, called=True)


def reads(name: str) -> dict[str, Path]:
    """Other results that a notebook shows where they are there, by their path in the folder of all results."""
    named = read_json(executing.NOTEBOOKS / f"{name}.ipynb", "restore it").get("metadata", {}).get("reads", [])
    return {file: root() / file for file in named}


def book_identity(preset: presets.Preset) -> dict:
    """What a built book depends on: pages, executed notebooks, and what makes HTML of them."""
    sources = {str(path.relative_to(ROOT)): path for path in pages()} | {n: executed(preset, n) for n in notebooks(preset)}
    return {
        "sources": {name: provenance.checksum(path) for name, path in sources.items() if path.exists()},
        "live": provenance.digest_of([script.script(), script.style()]),
        "versions": provenance.versions(("jupyter-book", "myst-nb", "sphinx")),
    }


def executed(preset: presets.Preset, name: str) -> Path:
    """Where a notebook of a preset is kept once it was executed."""
    return preset.folder / "notebooks" / f"{name}.ipynb"


def execute(preset: presets.Preset, name: str) -> Path:
    """Execute a notebook with papermill, once all that it shows is measured. Returns its path; a record beside it vouches."""
    import nbformat

    shown, path = notebooks(preset), executed(preset, name)
    if name not in shown:
        raise InputError(f"notebook is {name!r}, but must be one of: {', '.join(shown)}")
    for task in shown[name]:
        preset.study(task).save()
    identity, begun = notebook_identity(preset, name), time.monotonic()
    seeds = {"seeds": preset.experiment(shown[name][0]).seeds} if shown[name] else {}
    notebook = executing.execute_with(name, {"preset": preset.given, **seeds})
    notebook.metadata["provenance"] = {
        "fingerprint": provenance.digest_of(identity),
        "source": identity["source"],
        "seeds": {task: preset.study(task).seeds for task in shown[name]},
        "corpora": {task: corpus for task in shown[name] if (corpus := preset.study(task).task.describe().get("sha256"))},
        "device": sorted({run.measured.read()["made"]["device"] for task in shown[name] for run in preset.study(task).runs}),
        "commit": provenance.commit(),
        "seconds": round(time.monotonic() - begun),
        "versions": provenance.versions((*provenance.NUMERIC, "matplotlib", "jupyter-book")),
        **provenance.machine(),
    }
    with writing(path) as temporary:
        nbformat.write(notebook, temporary)
    _record(path.with_suffix(".json")).write(identity, [path.name, *_write_packs(preset, path)], {})
    return path


def _write_packs(preset: presets.Preset, notebook: Path) -> list[str]:
    """Write the models that an executed notebook's live figures load; returns the files' names as its record has them."""
    from lib.live.kept import packed

    names = packs_in(notebook)
    for name in names:
        task, _, seed = Path(name).stem.rpartition("-")
        run = preset.study(task).run(int(seed))
        with writing(preset.folder / "live" / name) as temporary:
            temporary.write_text(script.delivering(Path(name).stem, packed(run)), encoding="ascii")
    return [f"../live/{name}" for name in names]


def packs_in(notebook: Path) -> list[str]:
    """The files of models that the live figures of an executed notebook load."""
    return sorted(set(re.findall(rf"{script.FOLDER}/([\w.-]+\.mjs)", notebook.read_text(encoding="utf-8"))))


def is_executed(preset: presets.Preset, name: str) -> bool:
    """Whether a notebook was executed with what there is now, and is as it was then."""
    return is_whole(executed(preset, name).with_suffix(".json"), notebook_identity(preset, name))


def _record(path: Path) -> provenance.Record:
    """The record of what only this workflow reads, and makes again whatever is wrong with it."""
    return provenance.Record(path, "run the same command again")


def is_whole(path: Path, identity: Mapping) -> bool:
    """Whether what a record vouches for is of an identity, and as it was written."""
    record = _record(path)
    return not record.damage() and record.is_current(identity)


def assemble(preset: presets.Preset) -> Path:
    """Put pages and executed notebooks of a preset together and build the book; returns its first page.

    It is built beside the old one, which it replaces if that was made here, too.
    """
    book, new = preset.folder / "book", preset.folder / f"book.{os.getpid()}.part"
    check_that_it_may_be_replaced(book)
    if left := [name for name in notebooks(preset) if not executed(preset, name).exists()]:
        remedy = f"run: python -m lib book --preset {shlex.quote(preset.given)}"
        raise ArtifactError(f"not executed: {', '.join(left)}; {remedy}")
    identity = book_identity(preset)
    try:
        copy_pages(new)
        shutil.copy(ROOT / "_toc.yml", new)
        for name in notebooks(preset):
            shutil.copy(executed(preset, name), new)
        add_figures(preset, new)
        add_live(preset, new)
        build_pages(new)
        write_json(new / OWN, {"preset": preset.given})
        shutil.rmtree(book, ignore_errors=True)
        new.rename(book)
        html = sorted(path for path in (preset.folder / _HTML).rglob("*") if path.is_file())
        files = [str(path.relative_to(preset.folder)) for path in html]
        _record(preset.folder / "book.json").write(identity, files, {})
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return first_page(preset)


def copy_pages(to: Path) -> None:
    """Copy what a book is made of, beside executed notebooks and its table of contents, into a new folder."""
    apart = ("_build", "__pycache__", "*.ipynb", "_config.yml", "_toc.yml")
    shutil.copytree(PAGES, to, ignore=shutil.ignore_patterns(*apart))
    shutil.copy(ROOT / "_config.yml", to)


def build_pages(pages: Path) -> None:
    """Build the pages of a book in place; `InputError` where that fails or anything is amiss."""
    # not its script, which holds this environment's path; as for rfc3987_syntax, see `lib.executing`
    start = "import sys; sys.modules['rfc3987_syntax'] = None; from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", "-W", "--keep-going", str(pages)]
    done = subprocess.run(command, cwd=pages.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # it says much
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        raise InputError("the pages could not be built: jupyter-book says above why")


def add_figures(preset: presets.Preset, pages: Path) -> None:
    """Put beside pages the pictures that are shown elsewhere: in the README, and with links to the book."""
    for figure in sorted(of for of in (preset.folder / "figures").glob("*") if of.suffix in (".svg", ".png")):
        with writing(pages / "_static" / figure.name) as temporary:
            shutil.copy(figure, temporary)


def add_live(preset: presets.Preset, pages: Path) -> None:
    """Put beside pages the models that their live figures load, no others; the script comes with building (`book_pages`)."""
    needed = {pack for name in notebooks(preset) for pack in packs_in(executed(preset, name))}
    for pack in sorted(needed):
        with writing(pages / script.FOLDER / pack) as temporary:
            shutil.copy(preset.folder / "live" / pack, temporary)
    for other in set((pages / script.FOLDER).glob("*.mjs")) - {pages / script.FOLDER / pack for pack in needed}:
        other.unlink()


def check_that_it_may_be_replaced(book: Path) -> None:
    """Raise `InputError` for a folder of a book that was not made here."""
    if os.path.lexists(book) and not (book / OWN).exists():
        raise InputError(f"{book} is in the way: it was not made by this workflow, so it is not replaced; move it elsewhere")


def first_page(preset: presets.Preset) -> Path:
    """The first page of a preset's book."""
    return preset.folder / _HTML / "index.html"
