"""Two that write at once, disks that are full, folders that may only be read: nothing is lost, and the remedies work."""

from __future__ import annotations

import random
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from code_samples import write_tree
from conftest import ROOT
from test_code_cli import SMALL

from drill.child import without_rights
from drill.support import contents, differing, lib, remedy, shell, start

TRAIN, EVALUATE = ("train", "dyck"), ("evaluate", "dyck")
ONE = (*EVALUATE, "--seed", "0")


@pytest.fixture
def artifacts(tmp_path) -> Path:
    return tmp_path / "artifacts"


# Two writers


@pytest.mark.kind("two writers at once")
@pytest.mark.parametrize("killed", [False, True], ids=["both go on", "one is killed"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(TRAIN, TRAIN, id="train, train"),
        pytest.param(EVALUATE, EVALUATE, id="evaluate, evaluate"),
        pytest.param(TRAIN, EVALUATE, id="train, evaluate"),
        pytest.param(EVALUATE, ONE, id="evaluate, evaluate --seed"),
        pytest.param((*TRAIN, "--replace"), (*TRAIN, "--replace"), id="train --replace, train --replace"),
        pytest.param((*ONE, "--replace"), TRAIN, id="evaluate --replace, train"),
    ],
)
def test_two_that_write_at_once_leave_one_whole_study(tiny, tiny_artifacts, artifacts, first, second, killed):
    moment = random.Random(f"{first} {second} {killed}")
    one = start(*first, "--preset", tiny)
    time.sleep(moment.uniform(0, 1))
    other = start(*second, "--preset", tiny)
    if killed:
        time.sleep(moment.uniform(0, 1))
        one.kill()
    else:
        assert one.ended().status == 0
    assert other.ended().status == 0
    assert lib(*EVALUATE, "--preset", tiny).status == 0
    assert differing(artifacts, contents(tiny_artifacts)) == []


@pytest.mark.kind("two writers at once")
def test_two_that_build_a_corpus_at_once_leave_it_whole(write_preset, artifacts, tmp_path):
    preset = write_preset(tmp_path / "small.toml", {"code": SMALL})
    write_tree(tmp_path / "my project", {"python": 12}, functions=8)
    command = ("data", "code", "--preset", str(preset), "--corpus", "directory", "--location", str(tmp_path / "my project"))
    both = [start(*command) for _ in range(2)]
    assert [one.ended().status for one in both] == [0, 0]
    (corpus,) = contents(artifacts)
    alone = tmp_path / "alone"
    assert lib(*command, environment={"LIB_ARTIFACTS": str(alone)}).status == 0
    assert differing(artifacts, contents(alone)) == []
    assert corpus.endswith(".parquet")


# Full disks


class NoFileBeyond:
    """As on a disk on which so many bytes are left: writing fails half way."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.mark.kind("full disks")
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_on_a_full_disk_a_command_is_refused_and_goes_on_once_there_is_space(tiny, tiny_artifacts, artifacts, tmp_path, share):
    """The sizes of all files, smallest to largest: so each of them is once the first that does not fit."""
    sizes = sorted({len(content) for content in contents(tiny_artifacts).values()})
    limit = NoFileBeyond(sizes[int(share * len(sizes))] - 1)
    command = (*EVALUATE, "--preset", tiny)
    error = lib(*command, before=limit).error
    assert str(artifacts) in error
    assert "File too large; free some space" in error
    assert not [path for path in artifacts.rglob("*") if path.name.endswith(".part")]
    elsewhere = lib(*command, environment={"LIB_ARTIFACTS": str(tmp_path / "elsewhere")})
    assert elsewhere.status == 0, "the other remedy"
    assert lib(*command).status == 0
    assert differing(artifacts, contents(tiny_artifacts)) == []


FULL = """
mount -t tmpfs -o size={size}k none {disk} || exit 77
export LIB_ARTIFACTS={disk}/artifacts
{python} -m lib evaluate dyck --preset {preset} && exit 78
find {disk} -name '*.part' | grep . && exit 79
mount -o remount,size=100m {disk} || exit 80
{python} -m lib evaluate dyck --preset {preset} > /dev/null 2>&1 || exit 81
cp -r {disk}/artifacts {out}
"""


@pytest.mark.kind("full disks")
@pytest.mark.parametrize("size", [16, 120, 400])
def test_on_a_small_disk_that_is_really_full(tiny, tiny_artifacts, tmp_path, size):
    """A file system in memory, of so many kilobytes, that only this process sees; then it is given more."""
    (tmp_path / "disk").mkdir()
    script = FULL.format(size=size, disk=tmp_path / "disk", out=tmp_path / "out", preset=tiny, python=sys.executable)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this system lets nobody mount a file system of their own")
    assert done.returncode == 0, done
    assert re.search(r"cannot be written: .*No space left on device; free some space", done.stderr.splitlines()[-1])
    assert differing(tmp_path / "out", contents(tiny_artifacts)) == []


# What is printed


@pytest.mark.kind("full disks")
@pytest.mark.parametrize("command", ["data dyck", "evaluate dyck", "claims", "--help"])
def test_what_is_printed_to_a_full_disk_is_refused_in_a_line(tiny, tiny_study, command):
    line = f"python -m lib {command} {'' if command == '--help' else f'--preset {tiny}'}"
    done = shell(f"{line} > /dev/full")
    assert done.returncode != 0
    assert done.stderr.splitlines() == ["error: no more can be written: No space left on device; free some space"]


@pytest.mark.kind("closed pipes and streams")
@pytest.mark.parametrize("where", [">&-", "2>&-", "<&-", "| true", "| head -c 1", "2>&1 | true"])
@pytest.mark.parametrize("command", ["data dyck", "claims --json"])
def test_nobody_reads_what_is_printed(tiny, tiny_study, command, where):
    done = shell(f"python -m lib {command} --preset {tiny} {where}")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert "error" not in done.stderr.lower()


# Folders that may only be read


def read_only(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def writable(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.kind("read-only folders")
@pytest.mark.parametrize(
    "command", ["train dyck", "evaluate dyck", "evaluate dyck --seed 1", "claims", "data dyck", "claims --json"]
)
def test_where_all_is_there_nobody_needs_to_write(tiny, tiny_study, artifacts, command):
    read_only(artifacts)
    try:
        ended = lib(*command.split(), "--preset", tiny, before=without_rights)
        assert ended.status == 0, ended.err
    finally:
        writable(artifacts)


@pytest.mark.kind("read-only folders")
@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("seed-0", "train dyck"),
        ("seed-0", "train dyck --replace"),
        ("seed-1", "evaluate dyck"),
        ("seed-1/measurements.parquet", "evaluate dyck --seed 1"),
        ("seed-1/proxies.safetensors", "evaluate dyck --seed 1"),
        ("faithfulness.json", "evaluate dyck"),
        ("faithfulness.parquet", "evaluate dyck"),
        ("seed-0/measurements.json", "claims"),
        ("", "evaluate dyck"),
    ],
)
def test_where_something_is_missing_it_says_so_and_that_the_folder_must_be_writable(
    tiny, tiny_study, tiny_artifacts, artifacts, missing, command
):
    gone = tiny_study / missing if missing else artifacts / "tiny"
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    read_only(artifacts)
    before = contents(artifacts)
    try:
        ended = lib(*command.split(), "--preset", tiny, before=without_rights)
        error = ended.err.splitlines()[-1]
        assert ended.status == 2
        assert error.startswith(f"error: {artifacts}")
        assert "Permission denied; make the folder writable, or set LIB_ARTIFACTS to another folder" in error
        assert contents(artifacts) == before
    finally:
        writable(artifacts)
    assert lib(*command.split(), "--preset", tiny, before=without_rights).status == 0
    assert lib("evaluate", "dyck", "--preset", tiny).status == 0
    assert differing(artifacts, contents(tiny_artifacts)) == []


@pytest.mark.kind("read-only folders")
@pytest.mark.parametrize(
    "command", ["book --preset {smoke}", "clean --preset {tiny}", "evaluate dyck --preset {tiny} --sentences {file}"]
)
def test_commands_that_have_to_write_say_so(tiny, tiny_study, artifacts, tmp_path, command):
    (tmp_path / "mine.txt").write_text("(a (b (c c) b) a)\n")
    read_only(artifacts)
    before = contents(artifacts)
    try:
        words = command.format(smoke="smoke", tiny=tiny, file=tmp_path / "mine.txt").split()
        error = lib(*words, before=without_rights).error
        assert str(artifacts) in error
        assert "make" in error
        assert "writable" in error
        assert contents(artifacts) == before
    finally:
        writable(artifacts)
    if words[0] != "book":
        assert lib(*words, before=without_rights).status == 0


@pytest.mark.kind("things in the way")
@pytest.mark.parametrize("file", ["seed-0", "seed-0/measurements.parquet", "seed-0/model.safetensors", "faithfulness.parquet"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_in_the_way_is_named_and_moving_it_helps(tiny, tiny_artifacts, artifacts, file, kind):
    path = artifacts / "tiny/dyck" / file
    if kind == "folder" and file == "seed-0":
        path = artifacts / "tiny/dyck/faithfulness.json"
    elif kind == "file" and file != "seed-0":
        path = path.parent
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if kind == "folder" else path.write_text("mine")
    error = lib(*EVALUATE, "--preset", tiny).error
    assert str(path) in error
    done = shell(remedy(error))
    assert done.returncode == 0, done.stderr
    assert lib(*EVALUATE, "--preset", tiny).status == 0
    assert differing(artifacts, contents(tiny_artifacts)) == []
