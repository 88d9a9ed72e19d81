"""The whole way from nothing to a book: which parts of it are current, executing notebooks, building pages, publishing.

Snakemake orders and parallelizes the work (`Snakefile`); what is current is decided here, by fingerprints and checksums.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
_HTML = "_build/html/*.html"


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
    modules = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "lib").rglob("*.py"))]
    shown = {task: preset.study(task) for task in notebooks(preset)[name]}
    return {
        "source": provenance.checksum(NOTEBOOKS / f"{name}.ipynb"),
        "preset": preset.given,
        "measured": {
            task: [study.experiment.measuring_identity(run.seed) for run in study.runs] for task, study in shown.items()
        },
        "code": provenance.code_of(*(".".join(m.parts).removesuffix(".__init__") for m in modules)),
    }


def executed(preset: presets.Preset, name: str) -> Path:
    """Where a notebook of a preset is kept once it was executed."""
    return preset.folder / "notebooks" / f"{name}.ipynb"


def execute(preset: presets.Preset, name: str) -> Path:
    """Execute a notebook with papermill; what it was executed with stands in its metadata. Returns its path."""
    import nbformat
    import papermill

    shown = notebooks(preset)
    if name not in shown:
        raise InputError(f"notebook is {name!r}, but must be one of: {', '.join(shown)}")
    identity = notebook_identity(preset, name)
    parameters = {"preset": preset.given, "seeds": preset.experiment(shown[name][0]).seeds}
    with writing(executed(preset, name)) as temporary, TemporaryDirectory() as folder:
        path = f"{folder}/{name}.ipynb"  # papermill writes after every cell: nobody is to meet a notebook half executed
        papermill.execute_notebook(str(NOTEBOOKS / f"{name}.ipynb"), path, parameters, cwd=str(NOTEBOOKS))
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:  # the page shows the parameters that were used, not those that were replaced
            if "parameters" in cell.metadata.get("tags", []):
                cell.metadata.tags = [*cell.metadata.tags, "remove-cell"]
        notebook.metadata["provenance"] = {"fingerprint": provenance.digest_of(identity), **provenance.machine()}
        nbformat.write(notebook, temporary)
    return executed(preset, name)


def is_executed(preset: presets.Preset, name: str) -> bool:
    """Whether a notebook was executed with what there is now."""
    try:
        metadata = read_json(executed(preset, name), "").get("metadata", {})
    except ArtifactError:
        return False
    return metadata.get("provenance", {}).get("fingerprint") == provenance.digest_of(notebook_identity(preset, name))


def assemble(preset: presets.Preset) -> Path:
    """Put pages and executed notebooks of a preset together and build the book; returns its first page.

    It is built beside the old one, which it replaces if that was made here, too.
    """
    book, new = preset.folder / "book", preset.folder / f"book.{os.getpid()}.part"
    if book.exists() and not (book / _OWN).exists():
        raise InputError(f"{book} is in the way: it was not made by this workflow, so it is not replaced; move it elsewhere")
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
        write_json(preset.folder / "book.json", {"preset": preset.given, "pages": sorted(p.name for p in book.glob(_HTML))})
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return first_page(preset)


def first_page(preset: presets.Preset) -> Path:
    """The first page of a preset's book."""
    return preset.folder / "book" / "_build" / "html" / "index.html"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep everybody else from building in a folder; says who does, and waits for them."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock, who = FileLock(folder / ".building"), folder / ".builder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        owner = who.read_text(encoding="utf-8") if who.exists() else "another process"
        print(f"{folder} is being built by {owner}; waiting until that is done", file=sys.stderr, flush=True)
        lock.acquire()
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
    found += [executed(preset, n) for n in notebooks(preset) if executed(preset, n).exists() and not is_executed(preset, n)]
    record = preset.folder / "book.json"
    if record.exists():
        pages = {page.name for page in (preset.folder / "book").glob(_HTML)}
        found += [record] if set(read_json(record, "delete it, and the book is built again").get("pages", [])) - pages else []
    return [str(path.relative_to(preset.folder)) for path in found]


def build(preset: presets.Preset, cores: str = "all", extra: tuple[str, ...] = ()) -> Path:
    """Make all that is missing or not current, and the book; returns its first page. `extra` options are for Snakemake."""
    folder = preset.folder.resolve()
    variables = {name: value for name, value in os.environ.items() if name.startswith("LIB_")}
    absolute = {name: str(Path(value).expanduser().resolve()) for name, value in variables.items() if value}
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **absolute, "LIB_ARTIFACTS": str(root().resolve())}
    with _alone(folder):
        forced = stale(preset)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
        command += ["--cores", cores, "--resources", "mem_mb=6000", "--rerun-incomplete", "--nolock", "--quiet", "rules"]
        command += ["--rerun-triggers", "mtime", *extra, *(["--forcerun", *forced] if forced else [])]
        command += ["--config", f"preset={_absolute(preset.given)}"]
        done = subprocess.run(command, env=environment)
        if done.returncode:
            raise InputError(f"the book was not built: a step above failed (snakemake ended with {done.returncode})")
        if left := stale(preset):
            raise ArtifactError(f"the book is not current: {', '.join(left)}; run the same command again")
    return first_page(preset)


def _absolute(preset: str) -> str:
    return preset if preset in presets.NAMES else str(Path(preset).expanduser().resolve())


def publish(preset: presets.Preset) -> None:
    """Copy the executed notebooks and figures of a preset into the published book; refuses what is not current."""
    names = notebooks(preset)
    if left := [name for name in names if not is_executed(preset, name)]:
        raise ArtifactError(
            f"not executed, or not with what there is now: {', '.join(left)}; run: make book PRESET={preset.given}"
        )
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
        for name in (*preset.experiments, "notebooks", "figures", ".snakemake"):
            shutil.rmtree(preset.folder / name, ignore_errors=True)
        if (preset.folder / "book" / _OWN).exists():
            shutil.rmtree(preset.folder / "book")
        for leftover in preset.folder.glob("book.*.part"):
            shutil.rmtree(leftover)
