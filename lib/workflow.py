"""The whole way from nothing to a book: which parts of it are current, and making those that are not.

Snakemake orders and parallelizes the work (`Snakefile`); what is current is decided here, by fingerprints and checksums.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

from lib import book, executing, presets, shipped
from lib.artifacts import root
from lib.book import OWN, ROOT
from lib.errors import ArtifactError, InputError, naming
from lib.models.machine import check_precision, resolve_device, use_threads

DISK = 100  # megabytes that a seed takes at most


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
            measured = run.measured
            old = measured.damage() or not measured.is_current(run.measuring_identity()) or shipped.unwanted(run.trained)
            if measured.path.exists() and old:
                found.append(measured.path)
        if preset.study(task).results_stale():
            found.append(preset.folder / task / "faithfulness.json")
    made = {book.executed(preset, n).with_suffix(".json"): book.notebook_identity(preset, n) for n in book.notebooks(preset)}
    made[preset.folder / "book.json"] = book.book_identity(preset)
    found += [path for path, identity in made.items() if path.exists() and not book.is_whole(path, identity)]
    return [str(path.relative_to(preset.folder)) for path in found]


def build(preset: presets.Preset, cores: str = "all", extra: tuple[str, ...] = ()) -> Path:
    """Make all that is missing or not current, and the book; returns its first page. `extra` options are for Snakemake."""
    folder, extra = preset.folder.resolve(), _profiles_found(extra)
    command = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    check_before_building(preset)
    if _elsewhere([*command, *extra]):  # so what this machine has limits no job but the few that are done here
        command += ["--local-cores", cores] if cores != "all" else []
        unsaid = ["host"]  # that a job failed, and where it logged why, nobody else says
    else:
        _check_machine(preset)
        command += ["--cores", cores, "--resources", f"mem_mb={_free_memory(preset)}"]
        unsaid = ["rules", "host"]
    command += ["--rerun-incomplete", "--rerun-triggers", "mtime", "--nolock", *extra, "--quiet", *unsaid]
    with _alone(folder), _environment(preset):
        _clear(folder)
        if forced := stale(preset):
            command += ["--forcerun", *forced]
        if failed := _snakemake(command):
            raise InputError(f"the book was not built: a step above failed (Snakemake ended with {failed})")
        if not extra and (left := stale(preset)):
            raise ArtifactError(f"the book is not current: {', '.join(left)}; run the same command again")
    return book.first_page(preset)


def _profiles_found(options: Sequence[str]) -> tuple[str, ...]:
    """Options for Snakemake in which a profile that is not there, seen from the current folder, is that of the project."""
    found, before = [], ""
    for option in options:
        of_project = before in ("--profile", "--workflow-profile") and not os.path.exists(option) and (ROOT / option).exists()
        found.append(str(ROOT / option) if of_project else option)
        before = option
    return tuple(found)


def _elsewhere(options: Sequence[str]) -> bool:
    """Whether Snakemake with these options has jobs done on other machines, by an executor that they or a profile name."""
    from snakemake.cli import parse_args
    from snakemake.exceptions import CliException

    said = StringIO()  # as it is said once more when Snakemake is started
    with redirect_stdout(said), redirect_stderr(said), suppress(SystemExit, CliException):
        return parse_args([*options])[1].executor not in (None, "local", "dryrun", "touch")
    return False


@contextmanager
def _environment(preset: presets.Preset) -> Iterator[None]:
    """What jobs are told by the environment: where things are, whatever folder they run in, and that others run beside them."""
    before = dict(os.environ)
    paths = {
        name: str(Path(value).expanduser().resolve()) for name, value in before.items() if name.startswith("LIB_") and value
    }
    paths |= {"LIB_ARTIFACTS": str(root().resolve())}
    paths |= {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [before.get("PYTHONPATH")])])}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # training asks for its own
    os.environ |= {**threads, **before, **paths, "PRESET": preset.given}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def memory(preset: presets.Preset) -> int:
    """Megabytes that a job takes at most, as measured at the presets that come with the project.

    It is a fit on eight times the sequences that takes most.
    """
    fitted_on = max(preset.experiment(name).measuring.fit_sequences for name in preset.available())
    return next(megabytes for most, megabytes in ((300, 1_600), (500, 2_200), (math.inf, 2_600)) if fitted_on <= most)


def _free_memory(preset: presets.Preset) -> int:
    """Megabytes that jobs may take together; `InputError` if that is too little for one."""
    import psutil

    free = psutil.virtual_memory().available // 2**20
    if free < (needed := memory(preset)):
        raise InputError(f"{free:,} MB of memory are free, but a step takes up to {needed:,}: close what else runs here")
    return free


def check_before_building(preset: presets.Preset) -> None:
    """Refuse what would not become a book, before hours are spent on it."""
    folder = preset.folder.resolve()
    for name in (str(ROOT), str(folder), preset.given):
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise InputError(f"{name!a} is not UTF-8, so no page could name it: choose another name")
    if os.pathsep in str(ROOT):
        raise InputError(f"{ROOT} holds {os.pathsep!r}, which for Python separates folders: move the project to another one")
    if left_out := sorted({path.stem for path in executing.NOTEBOOKS.glob("*.ipynb")} - {*book.notebooks(preset)}):
        raise InputError(
            f"preset {preset.given!r} has no experiment that can be done here for {', '.join(left_out)}, to which other pages "
            f"of the book refer: have it inherit from another preset"
        )
    _check_disk(preset, folder)
    book.check_that_it_may_be_replaced(folder / "book")


def _check_disk(preset: presets.Preset, folder: Path) -> None:
    """Raise `InputError` where there is not the disk for what is not measured yet."""
    left = [run for task in preset.available() for run in preset.study(task).runs if not run.measured.path.exists()]
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free, needed = shutil.disk_usage(there).free // 2**20, DISK * len(left)
    if free < needed:
        raise InputError(
            f"{free:,} MB of disk are free where {folder} is to be, but {len(left)} models and their measurements may take "
            f"{needed:,}: free some, or set LIB_ARTIFACTS to a folder elsewhere"
        )


def _check_machine(preset: presets.Preset) -> None:
    """Refuse what this machine could not train."""
    for name in preset.available():
        training = preset.experiment(name).training
        with naming(name):
            use_threads(training.threads)
            check_precision(training.precision, resolve_device("auto"))


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


_FOLDERS = ("notebooks", "figures", "live", ".snakemake")  # of a preset, beside those of its experiments


def clean(preset: presets.Preset) -> None:
    """Remove the results of a preset, and what else is its own; files that somebody else put there stay."""
    if not preset.folder.exists():
        return
    with _alone(preset.folder):
        folders = [path for path in preset.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        for path in folders:
            if path.name in _FOLDERS or (path / OWN).exists() or _is_of(preset, path.name):
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
