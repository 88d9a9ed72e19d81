"""The pipeline, killed at random moments: all of it, the process that was started, or one of its steps."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import nbformat
import psutil
import pytest
from test_workflow import CHAPTER, Place, unbuilt, write_chapter  # noqa: F401 (a fixture)

from drill.support import contents, differing

MEASURED, EXECUTED = "dyck/faithfulness.json", "notebooks/chapter.json"  # all but the pages, which take longest


def begin(place: Place, *targets: str) -> subprocess.Popen:
    """Start building, in a group of processes of its own: the book, or some files."""
    own = {"HOME": str(place.base / "home"), "LIB_ARTIFACTS": str(place.results.parent)}
    command = [sys.executable, "-m", "lib", "book", "--cores", "1", "--preset", str(place.preset)]
    with (place.base / "said").open("a") as said:
        return subprocess.Popen(
            [*command, *(["--", *targets] if targets else [])],
            cwd=place.project,
            env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **own},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def finish(place: Place, *targets: str) -> None:
    """Build to the end, which has to go well."""
    assert begin(place, *targets).wait(300) == 0, (place.base / "said").read_text()[-3_000:]


def shown(place: Place) -> list[dict]:
    """What the executed notebook shows."""
    notebook = nbformat.read(place.results / "notebooks/chapter.ipynb", 4)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def place(unbuilt) -> Place:  # noqa: F811
    """A place where nothing was made, among folders of awkward names. Read only."""
    write_chapter(unbuilt, CHAPTER)
    shutil.rmtree(unbuilt.results)
    return unbuilt


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory) -> tuple[dict[str, bytes], list[dict], dict[str, float]]:
    """Results, and what the notebook shows, where nobody kills anything; and how many seconds it takes to either."""
    copy = Place(tmp_path_factory.mktemp("whole") / "place")
    shutil.copytree(place.base, copy.base)
    before = time.time()
    finish(copy, EXECUTED)
    seconds = {target: (copy.results / target).stat().st_mtime - before for target in (MEASURED, EXECUTED)}
    return contents(copy.results / "dyck"), shown(copy), seconds


def kill(process: subprocess.Popen, what: str, moment: random.Random) -> None:
    """Kill all of it, only what was started, or one of the steps below that, if there is one."""
    if what == "everything":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        with suppress(psutil.NoSuchProcess):
            steps = psutil.Process(process.pid).children(recursive=True)
            victim = moment.choice(steps) if what == "a step" and steps else psutil.Process(process.pid)
            victim.kill()
    process.wait(300)


@pytest.mark.kind("kills in the pipeline")
@pytest.mark.parametrize("number", range(10))
def test_a_killed_pipeline_goes_on_and_ends_with_the_same_bytes(place, whole, tmp_path, number):
    """What is not killed goes on, beside the command that is run again: so two may write at once."""
    results, outputs, takes = whole
    target = EXECUTED if number < 4 else MEASURED
    seconds = takes[target]
    moment, what = random.Random(f"pipeline {number}"), ("everything", "a step", "what was started")[number % 3]
    copy = Place(tmp_path / "place")
    shutil.copytree(place.base, copy.base)
    while True:
        process = begin(copy, target)
        time.sleep(moment.uniform(0.1, 0.95) * seconds)
        if process.poll() is None:
            break
        shutil.rmtree(copy.results)  # it was quicker than before: once more, and sooner
        seconds *= 0.8
    kill(process, what, moment)
    try:
        finish(copy, target)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert differing(copy.results / "dyck", results) == []
    assert target != EXECUTED or shown(copy) == outputs
    assert not list(copy.results.rglob("*.part"))
