"""Files are written whole or not at all, by one process or several, and what cannot be read is refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from lib.artifacts import first_difference, read_json, read_tensors, root, write_json, write_tensors, writing
from lib.errors import ArtifactError

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

    def start(text: str, name: str = "table.csv") -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path / name), text],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


# Writing


def test_two_processes_that_write_one_file_do_not_mix(tmp_path, writer):
    path = tmp_path / "table.csv"
    (first, of_first), (second, of_second) = writer("a"), writer("b")
    assert names(tmp_path) == sorted({of_first, of_second})
    second.communicate("\n")
    assert path.read_text() == "b" * 1000
    first.communicate("\n")
    assert path.read_text() == "a" * 1000
    assert names(tmp_path) == ["table.csv"]
    assert (first.returncode, second.returncode) == (0, 0)


def test_what_a_dead_process_left_is_cleared_by_the_next_that_writes_the_file(tmp_path, writer):
    dead, of_dead = writer("a")
    dead.kill()
    dead.wait()
    kept = ["table.csv.part.csv", "table.parquet.x.part", "kept.csv"]
    for name in ("table.csv.part", "table.csv.1.part", *kept):
        (tmp_path / name).touch()
    assert of_dead in names(tmp_path)
    with writing(tmp_path / "table.csv") as temporary:
        temporary.write_text("b")
        assert names(tmp_path) == sorted([*kept, temporary.name])
    assert names(tmp_path) == sorted([*kept, "table.csv"])


def test_what_a_living_process_is_writing_stays(tmp_path, writer):
    """Whatever its number: a lock tells, so a process of another container counts as well."""
    alive, of_alive = writer("a")
    assert str(alive.pid) not in of_alive.split(".")
    with writing(tmp_path / "table.csv") as temporary:
        temporary.write_text("b")
        assert of_alive in names(tmp_path)
    alive.communicate("\n")
    assert alive.returncode == 0
    assert (tmp_path / "table.csv").read_text() == "a" * 1000


def test_what_this_process_is_writing_stays(tmp_path):
    with writing(tmp_path / "a.csv") as outer:
        outer.write_text("outer")
        with writing(tmp_path / "a.csv") as inner:
            inner.write_text("inner")
        assert (tmp_path / "a.csv").read_text() == "inner"
    assert (tmp_path / "a.csv").read_text() == "outer"
    assert names(tmp_path) == ["a.csv"]


def test_many_that_write_at_once_leave_one_whole_file(tmp_path, writer):
    processes = [writer(letter)[0] for letter in "abcdef"]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    (text,) = {(tmp_path / "table.csv").read_text()}
    assert text in {letter * 1000 for letter in "abcdef"}
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("reason", [OSError("disk full"), RuntimeError("a bug"), KeyboardInterrupt()], ids=repr)
def test_a_file_that_is_not_written_to_its_end_leaves_the_one_before(tmp_path, reason):
    path = tmp_path / "table.csv"
    path.write_text("before")

    def write_half() -> None:
        with writing(path) as temporary:
            temporary.write_text("half of it")
            raise reason

    with pytest.raises(ArtifactError if isinstance(reason, OSError) else type(reason)):
        write_half()
    assert names(tmp_path) == ["table.csv"]
    assert path.read_text() == "before"


def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "table.csv"
    with pytest.raises(ArtifactError, match=r"table.csv cannot be written: .*set LIB_ARTIFACTS to another folder") as refused:
        write_json(path, {})
    assert str(path) in str(refused.value)


def test_what_is_written_may_be_read_by_whoever_may_read_any_file(tmp_path):
    (tmp_path / "plain").touch()
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_results_are_kept_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path))
    assert root() == tmp_path
    monkeypatch.setenv("LIB_ARTIFACTS", "~/results")
    assert root() == Path.home() / "results"
    for nothing in (lambda: monkeypatch.setenv("LIB_ARTIFACTS", ""), lambda: monkeypatch.delenv("LIB_ARTIFACTS")):
        nothing()
        assert root() == ROOT / "artifacts"


# Reading


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b'{"a": 1', "cannot be read", id="cut off"),
        pytest.param(b'{"a": "\xff"}', "cannot be read", id="not UTF-8"),
        pytest.param(b"[1, 2]", "holds no JSON object", id="a list"),
        pytest.param(None, "cannot be read", id="missing"),
    ],
)
def test_json_that_cannot_be_used_is_refused_by_name_with_the_remedy(tmp_path, content, says):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"a.json {says}.*; to make it again: do this$"):
        read_json(path, "to make it again: do this")


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    return {
        "weights": torch.arange(12.0).reshape(3, 4).T,  # not contiguous
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "steps": torch.tensor(7),
        "flags": torch.tensor([True, False, True]),
        "nothing": torch.zeros(0, 3),
        "odd": torch.tensor([torch.nan, torch.inf, -0.0]),
    }


def test_tensors_and_metadata_are_read_as_they_were_written(tmp_path, tensors):
    write_tensors(tmp_path / "a.safetensors", tensors, {"progress": '{"step": 7}'})
    read, metadata = read_tensors(tmp_path / "a.safetensors", "")
    assert metadata == {"progress": '{"step": 7}'}
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0, equal_nan=True)


def test_the_same_tensors_give_the_same_bytes(tmp_path, tensors):
    write_tensors(tmp_path / "a.safetensors", tensors)
    write_tensors(tmp_path / "b.safetensors", dict(reversed(tensors.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_changed_bit_of_a_file_of_tensors_is_noticed_wherever_it_is(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"weight": torch.arange(3.0), "step": torch.tensor(2)}, {"note": "one"})
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"a.safetensors (is damaged|cannot be read).*; do this$"):
            read_tensors(path, "do this")


def test_a_file_of_tensors_that_is_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"weight": torch.arange(30.0)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=r"a.safetensors (is damaged|cannot be read)"):
            read_tensors(path, "do this")


# Telling what differs


def test_the_first_difference_of_two_configurations_is_named():
    one = {"task": "dyck", "data": {"k": 3, "m": 4}}
    assert first_difference(one, {"task": "dyck", "data": {"m": 4, "k": 3}}) is None
    assert first_difference(one, {"task": "dyck", "data": {"k": 3, "m": 5}}) == "data.m is 4 instead of 5"
    assert first_difference(one, {"task": "dyck"}) == "data is {'k': 3, 'm': 4} instead of None"


def test_tensors_that_go_away_while_they_are_read_are_missing(tmp_path, monkeypatch):
    """As a checkpoint does when another process, which trains the same, is done. PyTorch opens the file a second time."""
    path, opened = tmp_path / "a.safetensors", torch.UntypedStorage.from_file
    write_tensors(path, {"a": torch.ones(3)})

    def too_late(*arguments: object, **options: object) -> torch.UntypedStorage:
        path.unlink()
        return opened(*arguments, **options)

    monkeypatch.setattr(torch.UntypedStorage, "from_file", too_late)
    with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be read as safetensors .*; do this"):
        read_tensors(path, "do this")
