"""`python -m lib`: what it prints, what it leaves, and that unusable input ends with one sentence that says what to do."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from lib import presets
from lib.cli import commands, main
from lib.measuring.table import COLUMNS

COMMANDS = ("train", "evaluate", "data", "claims", "audit", "book", "execute", "assemble", "publish", "ship", "status", "clean")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_one_line_error(stderr: str, *parts: str) -> None:
    """Besides progress bars there is one line, the error, which has these parts."""
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line and "%|" not in line]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def refused(capsys):
    """A function that runs a command, checks that it is refused in one line with these parts, and gives the line."""

    def run(*arguments: str, says: tuple[str, ...]) -> str:
        capsys.readouterr()
        assert main(arguments) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert_one_line_error(printed.err, *says)
        return printed.err.replace("\r", "\n").splitlines()[-1]

    return run


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_is_given(capsys, command):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"Usage: python -m lib {command} [OPTIONS]")
    assert commands.commands[command].help.split(".")[0] in " ".join(printed.out.split())
    assert "None" not in printed.out


def test_help_lists_every_command_and_where_results_go(capsys):
    assert set(commands.commands) == set(COMMANDS)
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "artifacts/<preset>/<task>/" in text
    assert "LIB_ARTIFACTS" in text
    assert text.count("python -m lib ") > 5, "examples"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["book", "--help"], ["audit", "--help"], ["learn"], ["train"]]
)
def test_help_and_misspellings_are_answered_before_pytorch_would_have_loaded(run_python, tmp_path, arguments):
    result = run_python("-X", "importtime", "-m", "lib", *arguments, artifacts=tmp_path)
    modules = {line.split("|")[-1].strip().split(".")[0] for line in result.stderr.splitlines() if "|" in line}
    assert {"lib", "click"} <= modules
    assert not {"torch", "pandas", "numpy", "sklearn", "matplotlib", "snakemake"} & modules


def test_documentation_names_only_options_that_there_are():
    """Every command line in the README and in the pages about use can be parsed."""
    texts = [path.read_text() for path in (ROOT / "README.md", ROOT / "book/running.md", ROOT / "book/extend.md")]
    lines = re.findall(r"python -m lib (\w+)((?: [^\s`#|)]+)*)", "\n".join(texts))
    assert {"train", "evaluate", "claims", "audit"} <= {command for command, _ in lines}
    for command, options in lines:
        known = {name for parameter in commands.commands[command].params for name in parameter.opts}
        assert set(re.findall(r"--[\w-]+", options)) <= known, f"{command}{options}"


# Success


def test_training_again_does_nothing_and_says_so(tiny, tiny_study, capsys):
    before = files(tiny_study)
    assert main(["train", "dyck", "--preset", tiny, "--seed", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"already trained: {tiny_study / 'seed-0'}\n")
    assert "accuracy_unseen_depth" in printed.out
    assert printed.err == ""
    assert files(tiny_study) == before


def test_one_seed_is_trained_and_measured_as_the_workflow_does_it(tiny, tiny_study, tiny_artifacts, capsys):
    shutil.rmtree(tiny_study / "seed-1")
    (tiny_study / "faithfulness.parquet").unlink()
    assert main(["train", "dyck", "--preset", tiny, "--seed", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"trained: {tiny_study / 'seed-1'}\n")
    path = tiny_study / "seed-1" / "measurements.parquet"
    for said in ("measured", "already measured"):
        assert main(["evaluate", "dyck", "--preset", tiny, "--seed", "1"]) == 0
        assert capsys.readouterr().out == f"{said}: {path}\n"
    whole = files(tiny_artifacts / "tiny/dyck")
    del whole["faithfulness.parquet"]
    for name, content in files(tiny_study).items():
        assert content == whole[name], f"{name} is the same whether seeds are made one by one or together"


def test_what_data_are_made_of_is_printed_as_json(tiny, capsys):
    assert main(["data", "dyck", "--preset", tiny]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"kind": "dyck", "bracket_types": 3, "unseen_depth": 7}.items() <= printed.items()


def test_evaluating_prints_each_split_with_what_was_scored_and_every_measured_proxy(tiny, tiny_study, capsys):
    assert main(["evaluate", "dyck", "--preset", tiny]) == 0
    printed = capsys.readouterr().out
    study = presets.load(tiny).study("dyck")
    head, scored, accuracy = printed.splitlines()[:3]
    assert head.split() == study.splits
    assert scored.startswith("predictions ")
    assert accuracy.startswith("accuracy of the model ")
    for proxy in ("svd", "kmeans", "one_hot"):
        assert re.search(rf"^ +1 +{proxy} ", printed, re.MULTILINE)
    assert printed.endswith(f"all measurements: {tiny_study / 'faithfulness.parquet'}\n")


def test_claims_are_printed_for_people_and_for_machines(tiny, tiny_study, capsys):
    assert main(["claims", "--preset", tiny]) == 0
    text = capsys.readouterr().out
    assert text.startswith("dyck, preset tiny, 2 seeds; effects in percentage points with 95 % intervals\n")
    assert main(["claims", "--preset", tiny, "--task", "dyck", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found
    assert {finding["task"] for finding in found} == {"dyck"}
    assert {finding["verdict"] for finding in found} <= {"undecided", "not applicable"}, "with two seeds"


@pytest.mark.parametrize("command", [["claims"], ["evaluate", "dyck"], ["evaluate", "dyck", "--seed", "0"], ["train", "dyck"]])
def test_where_everything_is_there_nothing_is_written(tiny, tiny_study, command):
    """Not even a temporary file, which would touch its folder: so a read-only place will do."""
    places = [tiny_study.parent.parent, *tiny_study.parent.parent.rglob("*")]
    for place in places:
        os.utime(place, ns=(10**18, 10**18))
        place.chmod(0o555 if place.is_dir() else 0o444)  # root may write there all the same, but would be found out
    try:
        assert main([*command, "--preset", tiny]) == 0
        assert sorted(places) == sorted([tiny_study.parent.parent, *tiny_study.parent.parent.rglob("*")])
        assert {place.stat().st_mtime_ns for place in places} == {10**18}
    finally:
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)


# Sentences of one's own


def test_own_sentences_are_measured_alone_into_a_table_of_their_own(tiny, tiny_study, tmp_path, capsys):
    file = tmp_path / "mine.txt"
    file.write_text("(a (b (c c) b) a)\n(a (b b) (b (c c) b) a) END\n\n(a a) (b b)\n")
    before = files(tiny_study)
    assert main(["evaluate", "dyck", "--preset", tiny, "--sentences", str(file)]) == 0
    printed = capsys.readouterr().out
    head, scored, accuracy = printed.splitlines()[:3]
    assert head.split() == ["mine"], "and no split of the study"
    assert scored.split() == ["predictions", "4"], "closers four or more tokens after their opener: of two lines, for two seeds"
    assert re.fullmatch(r"accuracy of the model +\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", accuracy)
    assert printed.count(" kmeans ") == 2, "in each of two layers"
    assert printed.endswith(f"all measurements: {tiny_study / 'faithfulness-mine.parquet'}\n")
    table = pd.read_parquet(tiny_study / "faithfulness-mine.parquet")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["split"]) == {"mine"}
    assert set(table["seed"]) == {0, 1}
    assert set(table.loc[table["group"] == "", "n"]) == {2}
    after = files(tiny_study)
    del after["faithfulness-mine.parquet"]
    assert after == before, "nothing else is touched"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("mine.txt", b"", ("mine.txt holds no sentence", "such as (a (b b) a)"), id="empty"),
        pytest.param("mine.txt", b"(a (b b) a)\n(a b)\n", ("mine.txt, line 2", "not balanced"), id="unbalanced"),
        pytest.param("mine.txt", b"(a a)\n\n(a (b b)\n", ("mine.txt, line 3", "would have to go on with a)"), id="not closed"),
        pytest.param("mine.txt", b"(a a)\n[a a]\n", ("mine.txt, line 2", "token 1 is '[a'", "(a to (c"), id="another language"),
        pytest.param("mine.txt", b"(a a) " * 13, ("mine.txt, line 1", "26 brackets", "at most 24"), id="too long"),
        pytest.param("mine.txt", b"(a a)\n", ("mine", "score"), id="nothing to score"),
        pytest.param("mine.txt", b"\xff\xfe(\x00a\x00", ("mine.txt is not a text file", "byte 0"), id="not UTF-8"),
        pytest.param("iid.txt", b"(a (b (c c) b) a)\n", ("'iid', which exists already", "another name"), id="name of a split"),
        pytest.param(None, b"", ("none.txt cannot be read: No such file",), id="missing"),
    ],
)
def test_sentences_that_cannot_be_used_are_refused_before_anything_is_trained(refused, tiny, tmp_path, name, content, says):
    file = tmp_path / (name or "none.txt")
    if name:
        file.write_bytes(content)
    refused("evaluate", "dyck", "--preset", tiny, "--sentences", str(file), says=says)
    assert not (tmp_path / "artifacts").exists()


def test_sentences_in_a_file_of_a_very_long_name_are_refused(refused, tiny, tiny_study, tmp_path):
    """The table would be named after the file, which the file system does not allow."""
    file = tmp_path / ("m" * 250 + ".txt")
    file.write_text("(a (b (b b) b) a)\n")
    before = files(tiny_study)
    refused("evaluate", "dyck", "--preset", tiny, "--sentences", str(file), says=(os.strerror(errno.ENAMETOOLONG),))
    assert files(tiny_study) == before


# Unusable input


@pytest.mark.parametrize("command", ["train", "evaluate", "data"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("dyck", "--preset", "huge"), ("preset is 'huge'", "smoke, quick, paper"), id="unknown preset"),
        pytest.param(("dyck", "--preset", ""), ("preset is ''", "smoke, quick, paper"), id="no preset"),
        pytest.param(("dyck", "--preset", "none.toml"), ("none.toml' cannot be read: No such file",), id="missing preset"),
        pytest.param(("dyck", "--device", "nonsense"), ("device is 'nonsense'", "use auto or cpu"), id="unknown device"),
        pytest.param(("dyck", "--device", "meta"), ("device is 'meta'",), id="device that computes nothing"),
        pytest.param(("dyck", "--corpus", "github"), ("'github', but task 'dyck' has no corpus",), id="corpus of no use"),
        pytest.param(("dyck", "--location", "x"), ("'x', but task 'dyck' has no location",), id="location of no use"),
        pytest.param(("chess",), ("task is 'chess'", "dyck, ", "code, ", "code-go, ", "code-javascript, "), id="unknown task"),
        pytest.param(("code-cobol",), ("task is 'code-cobol'", "code-java,"), id="unknown language"),
        pytest.param(("dyck-deep",), ("task is 'dyck-deep'", "dyck"), id="no such variant"),
    ],
)
def test_unusable_arguments_are_refused_and_nothing_is_written(refused, tmp_path, command, arguments, says):
    given = arguments if "--preset" in arguments else (*arguments, "--preset", "smoke")
    refused(command, *given, says=says)
    assert files(tmp_path) == {}
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize("command", ["claims", "book", "assemble", "publish", "clean"])
@pytest.mark.parametrize("preset", ["huge", ""])
def test_an_unknown_preset_is_refused_by_every_command(refused, tmp_path, command, preset):
    refused(command, "--preset", preset, says=(f"preset is {preset!r}", "smoke, quick, paper", "a file of your own"))
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[dyck]\ntask = 'dyck'\ntraining.stepps = 3\n", ("[dyck], training: stepps is no key that there is", "steps")),
        ("inherits = 'smoke'\n[dyck]\nseeds = 'two'\n", ("[dyck]: seeds is 'two'", "integer")),
        ("inherits = 'smoke'\n[dyck]\nmodel.layers = 0\n", ("[dyck]", "layers is 0")),
        ("[dyck\n", ("is not TOML", "line 1")),
    ],
    ids=["unknown key", "wrong type", "impossible size", "no TOML"],
)
@pytest.mark.parametrize("command", [["train", "dyck"], ["claims"], ["book"], ["clean"]], ids=lambda words: words[0])
def test_a_preset_file_that_cannot_be_used_is_refused_with_file_and_key(refused, tmp_path, command, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    refused(*command, "--preset", str(path), says=(str(path), *says))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param([], "Commands:", id="no command"),
        pytest.param(["train"], "Missing argument 'TASK'", id="no task"),
        pytest.param(["learn", "dyck"], "No such command 'learn'", id="unknown command"),
        pytest.param(["train", "dyck", "chess"], "unexpected extra argument (chess)", id="two tasks"),
        pytest.param(["train", "dyck", "--size", "1"], "No such option '--size'", id="unknown option"),
        pytest.param(["train", "dyck", "--seed", "one"], "'--seed': 'one' is not a valid integer", id="seed in words"),
        pytest.param(["train", "dyck", "--seed", "-1"], "-1 is not in the range 0<=x<=4294967295", id="seed below 0"),
        pytest.param(["evaluate", "dyck", "--seed", "-1"], "-1 is not in the range", id="seed below 0, evaluating"),
        pytest.param(["train", "dyck", "--seed", str(2**80)], f"{2**80} is not in the range", id="seed beyond generators"),
        pytest.param(["evaluate", "dyck", "--seed", "0", "--sentences", "x"], "do not go together", id="seed and sentences"),
    ],
)
def test_a_command_that_cannot_be_understood_is_refused(capsys, arguments, says, tmp_path):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert "Traceback" not in printed.err
    assert files(tmp_path) == {}


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(("option", "value"), [("--device", "nonsense"), ("--corpus", "nonsense"), ("--location", "nowhere")])
def test_unusable_arguments_are_refused_also_where_all_is_there_already(refused, tiny, tiny_study, command, option, value):
    before = files(tiny_study)
    refused(command, "dyck", "--preset", tiny, option, value, says=(f"'{value}'", option.strip("-")))
    assert files(tiny_study) == before


def test_errors_reach_the_shell_as_status_2_and_one_line(run_python, tmp_path):
    """One that is found before any large library is loaded; how others are worded, tests in this process see."""
    result = run_python("-m", "lib", "evaluate", "dyck", "--seed", "0", "--sentences", "x", artifacts=tmp_path / "none")
    assert result.returncode == 2
    assert result.stdout == ""
    assert_one_line_error(result.stderr, "--seed and --sentences do not go together")
    assert not (tmp_path / "none").exists()


def test_where_the_locale_lacks_a_sign_it_is_spelled_out(run_python, monkeypatch, tiny, tiny_study):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    result = run_python("-m", "lib", "claims", "--preset", tiny, "--task", "dyck", artifacts=tiny_study.parent.parent)
    assert result.returncode == 0, result.stderr
    assert r"\u" in result.stdout
    assert result.stdout.isascii()


def test_a_notebook_that_there_is_not_is_refused_with_those_that_there_are(refused):
    known = "code_completion, dyck_depth, explorers, foreseeing, scorecard"
    refused("execute", "chess", "--preset", "smoke", says=("notebook is 'chess'", known))


# Damage


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "measurements.parquet"])
def test_a_damaged_file_is_refused_by_name_and_the_remedy_works_word_for_word(refused, tiny, tiny_study, name, damage, capsys):
    path = tiny_study / "seed-0" / name
    whole = files(tiny_study)
    if name == "model.safetensors":  # which nobody reads while there are measurements
        (tiny_study / "seed-0/measurements.json").unlink()
    damage(path)
    before = files(tiny_study)
    evaluate = ("evaluate", "dyck", "--preset", tiny)
    if damage is Path.unlink and name != "model.safetensors":  # what went missing is made again without a word
        assert main(evaluate) == 0
    else:
        said = refused(*evaluate, says=(str(path),))
        assert files(tiny_study) == before, "what is damaged is left for its owner to look at"
        remedy = shlex.split(re.search(r"(python -m lib .*|rm .*)$", said)[1])
        if remedy[0] == "rm":
            subprocess.run(remedy, check=True)
        else:
            assert main(remedy[3:]) == 0
        assert main(evaluate) == 0
    assert files(tiny_study) == whole


# Places that cannot be written to


@pytest.mark.parametrize("command", [["train", "dyck"], ["evaluate", "dyck"], ["book"]], ids=lambda words: words[0])
@pytest.mark.parametrize("below", ["", "artifacts"], ids=["a file", "below a file"])
def test_an_artifacts_folder_that_cannot_be_made_is_refused(refused, tiny, tmp_path, monkeypatch, command, below):
    occupied = tmp_path / "occupied"
    occupied.write_text("not a folder")
    monkeypatch.setenv("LIB_ARTIFACTS", str(occupied / below))
    preset = "smoke" if command == ["book"] else tiny  # which has something for every chapter
    refused(*command, "--preset", preset, says=(str(occupied / below), "LIB_ARTIFACTS"))
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
    says = ("checkpoint.safetensors cannot be written: File too large", "free some space")
    with full_disk(20_000):
        refused("train", "dyck", "--preset", tiny, says=says)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        pytest.param("seed-0/measurements.parquet", ("--seed", "0"), id="measurements of a seed"),
        pytest.param("faithfulness.parquet", (), id="results table"),
    ],
)
def test_a_full_disk_while_evaluating_leaves_what_was_there(refused, tiny, tiny_study, missing, arguments):
    (tiny_study / missing).unlink()
    before = files(tiny_study)
    says = (f"{tiny_study / missing} cannot be written: ", "File too large", "free some space")
    with full_disk(1_000):
        refused("evaluate", "dyck", "--preset", tiny, *arguments, says=says)
    assert files(tiny_study) == before


# Interruptions

WAIT = """
from lib.models.trainer import Trainer

save, pipe = Trainer.save, {pipe!r}


def save_and_wait(self, path, belongs_to):
    save(self, path, belongs_to)
    if self.step == 21:
        open(pipe).read()  # waits for somebody who opens the other end, and then for input


Trainer.save = save_and_wait
"""


@pytest.mark.slow
def test_an_interrupted_training_says_that_it_resumes_and_does(tiny, tiny_artifacts, tmp_path, capsys):
    """Interrupted right after it has written its checkpoint at step 21 of 40, where a plugin has it wait."""
    pipe, preset = tmp_path / "pipe", tmp_path / "tiny.toml"
    os.mkfifo(pipe)
    (tmp_path / "wait.py").write_text(WAIT.format(pipe=str(pipe)))
    preset.write_text('plugins = ["wait.py"]\n' + Path(tiny).read_text())
    command = ["train", "dyck", "--preset", str(preset)]
    process = subprocess.Popen(
        [sys.executable, "-m", "lib", *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # in the background, shells ignore it
    )
    with process, pipe.open("w"):  # opens once somebody reads
        process.send_signal(signal.SIGINT)
        stderr = process.communicate()[1]
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted; the same command resumes from the last checkpoint"
    assert "Traceback" not in stderr
    assert os.listdir(tmp_path / "artifacts/tiny/dyck/seed-0") == ["checkpoint.safetensors"]
    preset.write_text(Path(tiny).read_text())
    assert main(command) == 0
    assert "| 21/40 [" in capsys.readouterr().err.split("\r")[1]
    trained = files(tmp_path / "artifacts/tiny/dyck/seed-0")
    assert trained == {name: files(tiny_artifacts / "tiny/dyck/seed-0")[name] for name in trained}
    assert "model.safetensors" in trained


@pytest.mark.parametrize("arguments", [["--help"], pytest.param(["evaluate", "dyck"], marks=pytest.mark.slow)])
def test_whoever_reads_a_part_of_what_is_printed_gets_no_traceback(tiny, tiny_study, arguments):
    """As `| head -1` does, which leaves when it has its line: here the reader has left before anything is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    options = ["--preset", tiny] if len(arguments) > 1 else []
    result = subprocess.run(
        [sys.executable, "-m", "lib", *arguments, *options], cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert result.stderr == ""
    assert result.returncode == 1
