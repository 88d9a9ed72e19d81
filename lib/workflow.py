"""The whole way from nothing to a book: which parts of it are current, executing notebooks, building pages, publishing.

Snakemake orders and parallelizes the work (`Snakefile`); what is current is decided here, by fingerprints and checksums.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from lib import presets, provenance
from lib.artifacts import read_json, root, write_json, writing
from lib.errors import ArtifactError, InputError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS, PAGES = ROOT / "notebooks", ROOT / "book"
_OWN = ".made-by-the-workflow"  # in a folder that may be replaced
_HTML = Path("book", "_build", "html")  # in the folder of a preset


def notebooks(preset: presets.Preset) -> dict[str, list[str]]:
    """The notebooks of the book by name, each with the experiments of the preset that it shows, the main one first.

    A notebook's metadata names them as `experiments`: patterns. One of whose main experiment there is nothing is left out.
    """
    available, found = preset.available(), {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        patterns = read_json(path, "restore it").get("metadata", {}).get("experiments", ["*"])
        shown = [name for pattern in patterns for name in available if fnmatch(name, pattern)]
        if any(fnmatch(name, patterns[0]) for name in shown):
            found[path.stem] = list(dict.fromkeys(shown))
    return found


def pages() -> list[Path]:
    """What the book is made of beside notebooks: pages, settings, references, static files."""
    files = [path for path in PAGES.rglob("*") if path.is_file() and "_build" not in path.parts and path.suffix != ".ipynb"]
    return [*sorted(p for p in files if not p.name.startswith("_")), ROOT / "_config.yml", ROOT / "_toc.yml"]


def notebook_identity(preset: presets.Preset, name: str) -> dict:
    """What an executed notebook depends on: its source, its parameters, what was measured, and the code of the package."""
    shown = {task: preset.study(task) for task in notebooks(preset)[name]}
    return {
        "source": provenance.checksum(NOTEBOOKS / f"{name}.ipynb"),
        "preset": preset.name,
        "measured": {task: [run.measuring_identity() for run in study.runs] for task, study in shown.items()},
        "code": {str(path.relative_to(ROOT)): provenance.code_in(path) for path in sorted((ROOT / "lib").rglob("*.py"))},
    }


def book_identity(preset: presets.Preset) -> dict:
    """What a built book depends on: pages, executed notebooks, and what makes HTML of them."""
    sources = {str(path.relative_to(ROOT)): path for path in pages()} | {n: executed(preset, n) for n in notebooks(preset)}
    return {
        "sources": {name: provenance.checksum(path) for name, path in sources.items() if path.exists()},
        "versions": provenance.versions(("jupyter-book", "myst-nb", "sphinx")),
    }


def executed(preset: presets.Preset, name: str) -> Path:
    """Where a notebook of a preset is kept once it was executed."""
    return preset.folder / "notebooks" / f"{name}.ipynb"


def execute(preset: presets.Preset, name: str) -> Path:
    """Execute a notebook with papermill, once all that it shows is measured. Returns its path; a record beside it vouches."""
    import nbformat
    import papermill

    shown, path = notebooks(preset), executed(preset, name)
    if name not in shown:
        raise InputError(f"notebook is {name!r}, but must be one of: {', '.join(shown)}")
    for task in shown[name]:
        preset.study(task).save()
    identity = notebook_identity(preset, name)
    parameters = {"preset": preset.given, "seeds": preset.experiment(shown[name][0]).seeds}
    with TemporaryDirectory() as folder:
        made = Path(folder, path.name)  # papermill writes after every cell: nobody is to meet a notebook half executed
        from_to = [str(p).replace("{", "{{").replace("}", "}}") for p in (NOTEBOOKS / path.name, made)]  # it formats them
        try:
            papermill.execute_notebook(*from_to, parameters, cwd=str(NOTEBOOKS))
        except papermill.PapermillExecutionError as error:
            raise InputError(f"notebook {name} failed\n{error}") from None
        notebook = nbformat.read(made, 4)
    for cell in notebook.cells:  # the page shows the parameters that were used, not those that were replaced
        if "parameters" in cell.metadata.get("tags", []):
            cell.metadata.tags = [*cell.metadata.tags, "remove-cell"]
    notebook.metadata["provenance"] = {"fingerprint": provenance.digest_of(identity), **provenance.machine()}
    with writing(path) as temporary:
        nbformat.write(notebook, temporary)
    _record(path.with_suffix(".json")).write(identity, [path.name], {})
    return path


def is_executed(preset: presets.Preset, name: str) -> bool:
    """Whether a notebook was executed with what there is now, and is as it was then."""
    return _is_whole(executed(preset, name).with_suffix(".json"), notebook_identity(preset, name))


def _record(path: Path) -> provenance.Record:
    """The record of what only this workflow reads, and makes again whatever is wrong with it."""
    return provenance.Record(path, "run the same command again")


def _is_whole(path: Path, identity: Mapping) -> bool:
    record = _record(path)
    return not record.damage() and record.is_current(identity)


def assemble(preset: presets.Preset) -> Path:
    """Put pages and executed notebooks of a preset together and build the book; returns its first page.

    It is built beside the old one, which it replaces if that was made here, too.
    """
    book, new = preset.folder / "book", preset.folder / f"book.{os.getpid()}.part"
    _check_that_it_may_be_replaced(book)
    identity = book_identity(preset)
    try:
        shutil.copytree(PAGES, new, ignore=shutil.ignore_patterns("_build", "*.ipynb", "_config.yml", "_toc.yml"))
        for name in ("_config.yml", "_toc.yml"):
            shutil.copy(ROOT / name, new)
        for name in notebooks(preset):
            shutil.copy(executed(preset, name), new)
        for figure in (preset.folder / "figures").glob("*.svg"):
            shutil.copy(figure, new / "_static")
        start = "from jupyter_book.cli.main import main; main()"  # not its script: that holds this environment's path
        done = subprocess.run([sys.executable, "-c", start, "build", "-W", "--keep-going", str(new)], cwd=preset.folder)
        if done.returncode:
            raise InputError("the pages could not be built: jupyter-book says above why")
        write_json(new / _OWN, {"preset": preset.given})
        shutil.rmtree(book, ignore_errors=True)
        new.rename(book)
        html = sorted(path for path in (preset.folder / _HTML).rglob("*") if path.is_file())
        files = [str(path.relative_to(preset.folder)) for path in html]
        _record(preset.folder / "book.json").write(identity, files, {})
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return first_page(preset)


def _check_that_it_may_be_replaced(book: Path) -> None:
    if os.path.lexists(book) and not (book / _OWN).exists():
        raise InputError(f"{book} is in the way: it was not made by this workflow, so it is not replaced; move it elsewhere")


def first_page(preset: presets.Preset) -> Path:
    """The first page of a preset's book."""
    return preset.folder / _HTML / "index.html"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep everybody else from building in a folder; says who does, and waits for them."""
    from filelock import FileLock, Timeout

    lock, who = FileLock(folder / ".building"), folder / ".builder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)  # by then, who has it has said so
    except Timeout:
        owner = who.read_text(encoding="utf-8") if who.exists() else "another process"
        print(f"{folder} is being built by {owner}; waiting until that is done", file=sys.stderr, flush=True)
        lock.acquire()
    except OSError as error:
        raise ArtifactError(
            f"{folder} cannot be written to: {error.strerror}; make it writable, or set LIB_ARTIFACTS"
        ) from error
    try:
        who.write_text(f"process {os.getpid()} on {os.uname().nodename}", encoding="utf-8")
        yield
    finally:
        who.unlink(missing_ok=True)
        lock.release()


def stale(preset: presets.Preset) -> list[str]:
    """The files of a preset, relative to its folder, that are there but not current, so that they have to be made again.

    Raises `ArtifactError` for a trained model that is damaged: whether to train again is for its owner to say.
    """
    found = []
    for task in preset.available():
        for run in preset.study(task).runs:
            if problem := run.trained.damage():
                raise ArtifactError(problem)
            if run.trained.read() and not run.trained.is_current(run.identity):
                found.append(run.trained.path)
            measured = run.measured
            if measured.path.exists() and (measured.damage() or not measured.is_current(run.measuring_identity())):
                found.append(measured.path)
        if preset.study(task).results_stale():
            found.append(preset.folder / task / "faithfulness.json")
    made = {executed(preset, n).with_suffix(".json"): notebook_identity(preset, n) for n in notebooks(preset)}
    made[preset.folder / "book.json"] = book_identity(preset)
    found += [path for path, identity in made.items() if path.exists() and not _is_whole(path, identity)]
    return [str(path.relative_to(preset.folder)) for path in found]


def build(preset: presets.Preset, cores: str = "all", extra: tuple[str, ...] = ()) -> Path:
    """Make all that is missing or not current, and the book; returns its first page. `extra` options are for Snakemake."""
    folder = preset.folder.resolve()
    _check_before_building(preset, folder)
    given = {name: value for name, value in os.environ.items() if name.startswith("LIB_") and value}
    os.environ |= {name: str(Path(value).expanduser().resolve()) for name, value in given.items()}
    os.environ |= {"LIB_ARTIFACTS": str(root().resolve()), "PRESET": preset.given}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", cores]
    command += ["--resources", "mem_mb=6000", "--rerun-incomplete", "--rerun-triggers", "mtime", "--nolock"]
    command += [*extra, "--quiet", "rules", "host"]
    with _alone(folder):
        _clear(folder)
        for task in preset.available():  # once, before all seeds would make the same corpus at the same time
            if not all(run.trained.is_current(run.identity) for run in preset.study(task).runs):
                preset.experiment(task).task.describe()
        if forced := stale(preset):
            command += ["--forcerun", *forced]
        if failed := _snakemake(command):
            raise InputError(f"the book was not built: a step above failed (Snakemake ended with {failed})")
        if not extra and (left := stale(preset)):
            raise ArtifactError(f"the book is not current: {', '.join(left)}; run the same command again")
    return first_page(preset)


def _check_before_building(preset: presets.Preset, folder: Path) -> None:
    """Refuse what would not become a book, before hours are spent on it."""
    for name in (str(ROOT), str(folder), preset.given):
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise InputError(f"{name!a} is not UTF-8, so no page could name it: choose another name")
    if os.pathsep in str(ROOT):
        raise InputError(f"{ROOT} holds {os.pathsep!r}, which for Python separates folders: move the project to another one")
    if left_out := sorted({path.stem for path in NOTEBOOKS.glob("*.ipynb")} - {*notebooks(preset)}):
        raise InputError(
            f"preset {preset.given!r} has no experiment that can be done here for {', '.join(left_out)}, to which other pages "
            f"of the book refer: have it inherit from another preset"
        )
    _check_that_it_may_be_replaced(folder / "book")


def _snakemake(arguments: Sequence[str]) -> int:
    """Run Snakemake in this process, which has loaded what the Snakefile needs; returns its exit status."""
    from snakemake.cli import main

    interrupts = []

    def interrupted(*_):  # Snakemake lets jobs end, and then does not say why it stopped
        interrupts.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        main([*arguments])
    except SystemExit as ended:
        if interrupts:
            raise KeyboardInterrupt from None
        return ended.code
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def publish(preset: presets.Preset) -> None:
    """Copy the executed notebooks and figures of a preset into the published book; refuses what is not current."""
    names = notebooks(preset)
    if left := [name for name in names if not is_executed(preset, name)]:
        remedy = f"run: python -m lib book --preset {shlex.quote(preset.given)}"
        raise ArtifactError(f"not executed, or not with what there is now: {', '.join(left)}; {remedy}")
    for name in names:
        with writing(PAGES / f"{name}.ipynb") as temporary:
            shutil.copy(executed(preset, name), temporary)
    for figure in (preset.folder / "figures").glob("*.svg"):
        with writing(PAGES / "_static" / figure.name) as temporary:
            shutil.copy(figure, temporary)


def clean(preset: presets.Preset) -> None:
    """Remove the results of a preset, and what else is its own; files that somebody else put there stay."""
    if not preset.folder.exists():
        return
    with _alone(preset.folder):
        folders = [path for path in preset.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        for path in folders:
            if path.name in ("notebooks", "figures", ".snakemake") or (path / _OWN).exists() or _is_of(preset, path.name):
                shutil.rmtree(path)
        (preset.folder / "book.json").unlink(missing_ok=True)
        _clear(preset.folder)


def _clear(folder: Path) -> None:
    """Remove what builds that were killed left behind."""
    for leftover in folder.glob("book.*.part"):
        shutil.rmtree(leftover)


def _is_of(preset: presets.Preset, folder: str) -> bool:
    """Whether a folder of results is called after an experiment of a preset, a variant of one, or one with options."""
    try:
        preset.experiment(folder.partition("@")[0])
    except InputError:
        return False
    return True
