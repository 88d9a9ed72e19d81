"""Files that several processes write: the later one replaces the other's as a whole, and what dead ones left is cleared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from lib.artifacts import make_folder, writing

WRITE = """
import sys
from pathlib import Path
from lib.artifacts import writing

with writing(Path(sys.argv[1])) as temporary:
    temporary.write_text(sys.argv[2] * 1000)
    print(temporary.name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path):
    """A function that starts a process which has written its text and waits for a line before it is done."""
    started = []

    def start(text: str) -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path / "table.csv"), text],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_that_write_one_file_do_not_mix(tmp_path, writer):
    path = tmp_path / "table.csv"
    (first, of_first), (second, of_second) = writer("a"), writer("b")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted({of_first, of_second})
    second.communicate("\n")
    assert path.read_text() == "b" * 1000
    first.communicate("\n")
    assert path.read_text() == "a" * 1000
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["table.csv"]
    assert (first.returncode, second.returncode) == (0, 0)


def test_what_a_dead_process_left_is_cleared_and_what_a_living_one_writes_stays(tmp_path, writer):
    (dead, of_dead), (alive, of_alive) = writer("a"), writer("b")
    dead.kill()
    dead.wait()
    for name in ("model.safetensors.part", "x.99999999999999999999.part", "kept.csv"):
        (tmp_path / name).touch()
    assert (tmp_path / of_dead).exists()
    make_folder(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == sorted([of_alive, "kept.csv"])
    alive.communicate("\n")
    assert (tmp_path / "table.csv").read_text() == "b" * 1000


def test_what_this_process_is_writing_is_not_cleared(tmp_path):
    with writing(tmp_path / "a.csv") as temporary:
        temporary.write_text("a")
        make_folder(tmp_path)
    assert (tmp_path / "a.csv").read_text() == "a"


def test_the_temporary_name_tells_which_process_writes(tmp_path):
    with writing(tmp_path / "a.csv") as temporary:
        temporary.touch()
        assert str(os.getpid()) in temporary.name.split(".")
