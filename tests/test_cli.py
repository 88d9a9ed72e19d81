"""`python -m lib`: what it prints, what it leaves, and that unusable input ends with one line that says what to do."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from lib.faithfulness import COLUMNS
from safetensors.torch import load_file, save_file

from lib.cli import main

SENTENCES = "(a (b (c (d (e (f f) e) d) c) b) a)\n(a (b (b (b (b (b b) b) b) b) b) a) (c c)\n(a a) (b b)\n"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_one_line_error(stderr: str, *parts: str) -> None:
    """Besides progress bars there is one line, the error, which has these parts."""
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line and "%|" not in line]
    assert "Traceback" not in stderr
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def refused(capsys):
    """A function that runs a command and checks that it is refused in one line with these parts."""

    def run(*arguments: str, says: tuple[str, ...]) -> None:
        assert main(arguments) == 2
        assert_one_line_error(capsys.readouterr().err, *says)

    return run


# Help


@pytest.mark.parametrize(
    "arguments", [(), ("train",), ("evaluate",), ("claims",), ("bench",)], ids=lambda a: " ".join(a) or "no command"
)
def test_help_is_given(run_python, arguments, tmp_path):
    result = run_python("-m", "lib", *arguments, "--help", artifacts=tmp_path / "none")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith(" ".join(["usage: python -m lib", *arguments]))
    assert "None" not in result.stdout


def test_help_lists_every_command_and_where_results_go(run_python, tmp_path):
    text = run_python("-m", "lib", "--help", artifacts=tmp_path).stdout
    assert all(f"    {command} " in text for command in ("train", "evaluate", "claims", "bench"))
    assert "artifacts/<preset>/<task>/" in text
    assert "LIB_ARTIFACTS" in text


def test_help_answers_before_pytorch_would_have_loaded(run_python, tmp_path):
    imported = run_python("-X", "importtime", "-m", "lib", "train", "--help", artifacts=tmp_path).stderr
    modules = {line.split("|")[-1].strip().split(".")[0] for line in imported.splitlines()}
    assert {"lib", "argparse"} <= modules
    assert not {"torch", "pandas", "numpy", "sklearn", "matplotlib"} & modules


# Success


def test_training_again_does_nothing_and_says_so(tiny_study, capsys):
    before = files(tiny_study)
    assert main(["train", "dyck", "--preset", "tiny", "--seed", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"already trained: {tiny_study / 'seed-0'}\n")
    assert "accuracy_unseen_depth" in printed.out
    assert printed.err == ""
    assert files(tiny_study) == before


def test_own_sentences_become_a_split_in_a_table_of_their_own(tiny_study, tmp_path, capsys):
    file = tmp_path / "mine.txt"
    file.write_text("(a (b (c c) b) a)\n(a (b b) (b (c c) b) a) END\n\n(a a) (b b)\n")
    before = files(tiny_study)
    assert main(["evaluate", "dyck", "--preset", "tiny", "--sentences", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "mine" in printed.splitlines()[1]
    assert printed.endswith(f"all measurements: {tiny_study / 'faithfulness-mine.parquet'}\n")
    table = pd.read_parquet(tiny_study / "faithfulness-mine.parquet")
    assert list(table.columns) == COLUMNS
    mine = table[(table["split"] == "mine") & (table["group"] == "")]
    assert set(mine["seed"]) == {0, 1}
    assert set(mine["n"]) == {2}, "closers four or more tokens after their opener: the outermost of two lines"
    original = pd.read_parquet(tiny_study / "faithfulness.parquet")
    pd.testing.assert_frame_equal(table[table["split"] != "mine"].reset_index(drop=True), original, check_exact=True)
    after = files(tiny_study)
    del after["faithfulness-mine.parquet"]
    assert after == before, "nothing else is touched"


def test_one_seed_can_be_measured_alone(tiny_study, capsys):
    """As Snakemake does it: the seed's own table only."""
    (tiny_study / "faithfulness.parquet").unlink()
    (tiny_study / "seed-1" / "sequences.parquet").unlink()
    before = files(tiny_study)
    assert main(["evaluate", "dyck", "--preset", "tiny", "--seed", "1"]) == 0
    measured = ["seed-1/sequences.parquet", "seed-1/along_training.parquet"]
    assert capsys.readouterr().out == f"measured: {', '.join(str(tiny_study / name) for name in measured)}\n"
    after = files(tiny_study)
    assert after.keys() - before.keys() == set(measured)
    assert {name: after[name] for name in before} == before


# Unusable input


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("--preset", "huge"), ("preset is 'huge'", "smoke, quick, paper"), id="unknown preset"),
        pytest.param(("--preset", "smoke", "--seed", "-1"), ("seed is -1", "whole number"), id="negative seed"),
        pytest.param(("--preset", "smoke", "--seed", str(2**80)), (f"seed is {2**80}",), id="seed beyond any generator"),
        pytest.param(("--preset", "smoke", "--device", "gpu"), ("device is 'gpu'", "use auto or cpu"), id="unknown device"),
        pytest.param(("--preset", "smoke", "--device", "meta"), ("device is 'meta'",), id="device that computes nothing"),
    ],
)
def test_unusable_arguments_are_refused_and_nothing_is_written(refused, tmp_path, command, arguments, says):
    refused(command, "dyck", *arguments, says=says)
    assert files(tmp_path) == {}
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_unknown_task_is_refused_and_nothing_is_written(refused, tmp_path, command):
    refused(command, "chess", "--preset", "smoke", says=("task is 'chess'", "dyck"))
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["train"], "the following arguments are required: task", id="no task"),
        pytest.param(["learn", "dyck"], "argument command: invalid choice: 'learn'", id="unknown command"),
        pytest.param([], "the following arguments are required: command", id="no command"),
        pytest.param(["train", "dyck", "--seed", "one"], "argument --seed: invalid int value: 'one'", id="seed in words"),
        pytest.param(
            ["evaluate", "dyck", "--seed", "0", "--sentences", "x"], "not allowed with argument", id="seed and sentences"
        ),
    ],
)
def test_a_command_that_cannot_be_understood_is_refused(capsys, arguments, says, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err.splitlines()[-1]
    assert files(tmp_path) == {}


def test_errors_reach_the_shell_as_status_2_and_one_line(run_python, tmp_path):
    result = run_python("-m", "lib", "train", "dyck", "--preset", "huge", artifacts=tmp_path / "none")
    assert result.returncode == 2
    assert result.stdout == ""
    assert_one_line_error(result.stderr, "preset is 'huge'", "smoke, quick, paper")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("mine.txt", b"", ("mine.txt holds no sentence",), id="empty"),
        pytest.param("mine.txt", b"(a (b b) a)\n(a b)\n", ("mine.txt, line 2", "not balanced"), id="not balanced"),
        pytest.param("mine.txt", b"(a a)\n", ("split 'mine'", "position to score"), id="nothing to score"),
        pytest.param("mine.txt", b"\xff\xfe(\x00a\x00", ("mine.txt is not a text file",), id="not UTF-8"),
        pytest.param("unseen_depth.txt", SENTENCES.encode(), ("'unseen_depth', which exists already",), id="name of a split"),
        pytest.param(None, b"", ("none.txt cannot be read: No such file",), id="missing"),
    ],
)
def test_sentences_that_cannot_be_used_are_refused_and_nothing_is_written(refused, tmp_path, name, content, says):
    file = tmp_path / (name or "none.txt")
    if name:
        file.write_bytes(content)
    refused("evaluate", "dyck", "--preset", "smoke", "--sentences", str(file), says=says)
    assert not (tmp_path / "artifacts").exists()


def test_sentences_in_a_file_of_a_very_long_name_are_refused(refused, tiny_study, tmp_path):
    """The table would be named after the file, which the file system does not allow."""
    file = tmp_path / ("m" * 250 + ".txt")
    file.write_text("(a (b (b b) b) a)\n")
    before = files(tiny_study)
    refused("evaluate", "dyck", "--preset", "tiny", "--sentences", str(file), says=(os.strerror(errno.ENAMETOOLONG),))
    assert files(tiny_study) == before


# Damaged artifacts


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def randomize(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(4_000))


def foreign_tensors(path: Path) -> None:
    save_file({"weight": torch.zeros(3, 3)}, path)


def one_tensor_of_another_shape(path: Path) -> None:
    tensors = load_file(path)
    tensors["norm.weight"] = torch.zeros(99)
    save_file(tensors, path)


def foreign_json(path: Path) -> None:
    path.write_text('{"model_type": "gpt2", "n_layer": 12}')


def json_list(path: Path) -> None:
    path.write_text("[1, 2]")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def header_only(path: Path) -> None:
    path.write_text("step,learning_rate,loss\n")


REBUILD = ("to rebuild it, delete", "python -m lib train dyck --preset tiny --seed 0")


@pytest.mark.parametrize(
    ("command", "name", "damage", "remedy"),
    [
        pytest.param("evaluate", "model.safetensors", truncate, REBUILD, id="model truncated"),
        pytest.param("evaluate", "model.safetensors", randomize, REBUILD, id="model of random bytes"),
        pytest.param("evaluate", "model.safetensors", empty, REBUILD, id="model empty"),
        pytest.param("evaluate", "model.safetensors", foreign_tensors, REBUILD, id="model of something else"),
        pytest.param("evaluate", "model.safetensors", one_tensor_of_another_shape, REBUILD, id="model of another shape"),
        pytest.param("evaluate", "model.safetensors", Path.unlink, REBUILD, id="model missing"),
        pytest.param("evaluate", "config.json", truncate, REBUILD, id="configuration truncated"),
        pytest.param("evaluate", "config.json", randomize, REBUILD, id="configuration of random bytes"),
        pytest.param("evaluate", "config.json", foreign_json, REBUILD, id="configuration of something else"),
        pytest.param("evaluate", "config.json", json_list, REBUILD, id="configuration a list"),
        pytest.param("train", "config.json", foreign_json, REBUILD, id="configuration of something else, training"),
        pytest.param("train", "training.csv", empty, REBUILD, id="training curve empty"),
        pytest.param("train", "training.csv", header_only, REBUILD, id="training curve without a row"),
        pytest.param("train", "training.csv", randomize, REBUILD, id="training curve of random bytes"),
        pytest.param("train", "training.csv", Path.unlink, REBUILD, id="training curve missing"),
        pytest.param("evaluate", "sequences.parquet", truncate, ("delete it",), id="measurements truncated"),
        pytest.param("evaluate", "sequences.parquet", randomize, ("delete it",), id="measurements of random bytes"),
    ],
)
def test_a_damaged_file_is_refused_by_name_with_the_remedy(refused, tiny_study, command, name, damage, remedy):
    path = tiny_study / "seed-0" / name
    damage(path)
    before = files(tiny_study)
    refused(command, "dyck", "--preset", "tiny", "--seed", "0", says=(str(path), *remedy))
    assert files(tiny_study) == before, "what is damaged is left for its owner to look at"


def test_training_does_not_call_a_model_trained_that_is_not_there(tiny_study, capsys):
    path = tiny_study / "seed-0" / "model.safetensors"
    path.unlink()
    status = main(["train", "dyck", "--preset", "tiny", "--seed", "0"])
    assert path.exists() or (status == 2 and str(path) in capsys.readouterr().err)


def test_the_remedy_works(tiny_study, tiny_artifacts):
    """Delete the folder, run the command: the same bytes are back."""
    shutil.rmtree(tiny_study / "seed-0")
    assert main(["train", "dyck", "--preset", "tiny", "--seed", "0"]) == 0
    for name in ("model.safetensors", "snapshots.safetensors", "training.csv", "config.json"):
        assert (tiny_study / "seed-0" / name).read_bytes() == (tiny_artifacts / "tiny/dyck/seed-0" / name).read_bytes()


# Places that cannot be written to


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("below", ["", "artifacts"], ids=["a file", "below a file"])
def test_an_artifacts_folder_that_cannot_be_made_is_refused(refused, tiny, tmp_path, monkeypatch, command, below):
    occupied = tmp_path / "occupied"
    occupied.write_text("not a folder")
    monkeypatch.setenv("LIB_ARTIFACTS", str(occupied / below))
    refused(command, "dyck", "--preset", tiny, says=(str(occupied / below), "LIB_ARTIFACTS"))
    assert files(tmp_path) == {"occupied": b"not a folder"}


@contextmanager
def full_disk(size: int):
    """Files cannot grow beyond `size` bytes: as on a full disk, writing fails half way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_training_leaves_nothing_behind(refused, tiny, tmp_path):
    with full_disk(20_000):
        refused(
            "train", "dyck", "--preset", tiny, says=("checkpoint.safetensors cannot be written: File too large", "free some")
        )
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        pytest.param("seed-0/sequences.parquet", ("--seed", "0"), id="measurements of a seed"),
        pytest.param("faithfulness.parquet", (), id="results table"),
    ],
)
def test_a_full_disk_while_evaluating_leaves_what_was_there(refused, tiny_study, missing, arguments):
    (tiny_study / missing).unlink()
    before = files(tiny_study)
    with full_disk(1_000):
        refused(
            *("evaluate", "dyck", "--preset", "tiny", *arguments),
            says=(f"{tiny_study / missing} cannot be written: ", "File too large", "free some space"),
        )
    assert files(tiny_study) == before


def test_a_full_disk_while_measuring_own_sentences_leaves_what_was_there(refused, tiny_study, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("(a (b (c c) b) a)\n")
    before = files(tiny_study)
    with full_disk(1_000):
        refused("evaluate", "dyck", "--preset", "tiny", "--sentences", str(file), says=("faithfulness-mine.parquet cannot",))
    assert files(tiny_study) == before


def test_an_interrupted_command_says_that_it_resumes(tmp_path):
    """Interrupted while it waits for its sentences, which come from a pipe that nobody writes to."""
    pipe = tmp_path / "sentences"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-m", "lib", "evaluate", "dyck", "--preset", "smoke", "--sentences", str(pipe)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background, shells have it ignored
    ) as process:
        while process.poll() is None:
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:  # nobody reads yet
                time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate()[1]
        os.close(writer)
    assert process.returncode == 130
    assert stderr == "interrupted; the same command resumes from the last checkpoint\n"
