"""Bad input of every command and option ends at once in one line that names the argument, the value and what to do."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_code_cli import SMALL

from drill.awkward import awkward
from drill.child import without_rights
from drill.support import Ended, contents, lib

HUGE = str(10**30)
LONG = "m" * 300
NOT_UTF8 = os.fsdecode(b"\xff")


@pytest.fixture(scope="module")
def bad() -> Iterator[Path]:
    with awkward() as folder:
        yield folder


@pytest.fixture(scope="module")
def small(small_experiment, write_preset, tmp_path_factory) -> str:
    """The path of a preset with an experiment on code and one that is not."""
    path = tmp_path_factory.mktemp("presets") / "small.toml"
    return str(write_preset(path, {"code": SMALL, "dyck": small_experiment}))


def refused(line: str, bad: Path, small: str, says: tuple[str, ...], tmp_path: Path, **environment: str) -> Ended:
    """Run a command, which has to refuse what it is given, say these things, and leave nothing."""
    words = [word.format(bad=bad, small=small, long=LONG) for word in shlex.split(line)]
    environment = {name: value.format(bad=bad, long=LONG) for name, value in environment.items()}
    ended = lib(*words, environment=environment, before=without_rights)
    for part in says:
        assert part.format(bad=bad, small=small, long=LONG) in ended.error, ended.error
    left = [name for name in contents(tmp_path / "artifacts") if not name.startswith("corpora/")]
    assert left == []
    return ended


def cases(*of: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("line", "says"), [pytest.param(line, says, id=line or "empty") for line, *says in of])


@pytest.mark.kind("bad arguments of commands")
@cases(
    ("learn", "No such command 'learn'"),
    ("train", "Missing argument 'TASK'"),
    ("train ''", "task is ''", "dyck", "code-"),
    ("train chess", "task is 'chess'", "dyck", "code-javascript"),
    ("train code-klingon", "task is 'code-klingon'", "code-go"),
    ("train dyck-deep", "task is 'dyck-deep'", "dyck"),
    ("train ../dyck", "task is '../dyck'"),
    ("train dyck chess", "unexpected extra argument (chess)"),
    ("train dyck --size 1", "No such option '--size'"),
    ("train --preset smoke dyck --seed", "Option '--seed' requires an argument"),
    ("train dyck --seed one", "'--seed'", "'one'", "integer"),
    ("train dyck --seed 1.5", "'--seed'", "'1.5'", "integer"),
    ("train dyck --seed -1", "'--seed'", "-1", "0<=x"),
    ("train dyck --seed 4294967296", "'--seed'", "4294967296", "0<=x<=4294967295"),
    (f"train dyck --seed {HUGE}", "'--seed'", HUGE),
    ("train dyck --device gpu", "device is 'gpu'", "use auto or cpu"),
    ("train dyck --device cuda:99", "device is 'cuda:99'"),
    ("train dyck --device ''", "device is ''"),
    ("train dyck --corpus directory", "'directory'", "task 'dyck' has no corpus"),
    ("train dyck --location x", "'x'", "task 'dyck' has no location"),
    ("train code --corpus github", "corpus is 'github'", "'directory'"),
    ("train code --location x", "'x'", "takes no location", "directory"),
    ("evaluate dyck --seed 0 --sentences x", "--seed and --sentences do not go together"),
    ("evaluate dyck --replace", "--replace", "--seed"),
    ("evaluate dyck --seed -1", "'--seed'", "-1"),
    ("evaluate code --sentences {bad}/good.txt --corpus directory --location {bad}/project", "good.txt", "does not read"),
    ("data chess", "task is 'chess'"),
    ("claims --preset huge", "preset is 'huge'", "smoke, quick, paper", ".toml"),
    ("claims --task chess", "task is 'chess'"),
    ("book --preset ''", "preset is ''", "smoke, quick, paper"),
    ("book --cores 0 --preset smoke", "cores", "0"),
    ("book --cores many --preset smoke", "cores", "many"),
    ("book --cores -3 --preset smoke", "cores", "-3"),
    ("execute chess --preset smoke", "notebook is 'chess'", "dyck_depth"),
    ("execute '' --preset smoke", "notebook is ''", "dyck_depth"),
    ("execute ../notebooks/dyck_depth --preset smoke", "notebook is '../notebooks/dyck_depth'"),
    ("execute dyck_depth --preset huge", "preset is 'huge'"),
    ("assemble --preset huge", "preset is 'huge'"),
    ("publish --preset huge", "preset is 'huge'"),
    ("publish --preset {small}", "not executed", "run: python -m lib book"),
    ("assemble --preset {small}", "book --preset {small}"),
    ("clean --preset huge", "preset is 'huge'"),
    ("status --preset smoke", "No such option"),
    ("audit", "Missing argument 'MODEL'"),
    ("audit {bad}/empty", "--in-distribution"),
    ("audit {bad}/empty --in-distribution {bad}/good.txt", "--out-of-distribution"),
    ("audit {bad}/empty --in-distribution {bad}/good.txt --out-of-distribution {bad}/none", "none' does not exist"),
    ("audit {bad}/empty --in-distribution a={bad}/file --out-of-distribution a={bad}/good.txt", "two texts are called 'a'"),
    ("audit {bad}/none --in-distribution {bad}/file --out-of-distribution {bad}/good.txt", "{bad}/none"),
    ("audit {bad}/empty --in-distribution {bad}/file --out-of-distribution {bad}/good.txt", "{bad}/empty"),
    ("audit {bad}/file --in-distribution {bad}/file --out-of-distribution {bad}/good.txt", "{bad}/file"),
    ("audit {bad}/pipe --in-distribution {bad}/file --out-of-distribution {bad}/good.txt", "{bad}/pipe"),
    ("audit {bad}/loop --in-distribution {bad}/file --out-of-distribution {bad}/good.txt", "{bad}/loop"),
    ("audit x --in-distribution {bad}/loop --out-of-distribution {bad}/good.txt", "{bad}/loop"),
    ("audit x --in-distribution {long} --out-of-distribution {bad}/good.txt", "{long}"),
    ("audit x --in-distribution a --out-of-distribution b --sequences 0", "sequences is 0"),
    ("audit x --in-distribution a --out-of-distribution b --length many", "'--length'", "many"),
    ("audit x --in-distribution a --out-of-distribution b --positions -1", "positions is -1"),
    ("audit x --in-distribution a --out-of-distribution b --each block", "'--each'", "'block'"),
    ("audit x --in-distribution a --out-of-distribution b --threads 0", "'--threads'", "0"),
    ("audit x --in-distribution a --out-of-distribution b --seed -1", "'--seed'", "-1"),
    ("audit x --in-distribution a --out-of-distribution b --fail-above nan", "--fail-above is nan"),
    ("audit x --in-distribution a --out-of-distribution b --fail-above -1", "'--fail-above'", "-1"),
    ("audit x --in-distribution a --out-of-distribution b --report {bad}/file", "--report", "{bad}/file"),
    ("audit x --in-distribution a --out-of-distribution b --report {bad}/closed/x", "--report", "{bad}/closed"),
    ("audit x --in-distribution {bad}/file --out-of-distribution {bad}/good.txt --folder {bad}/file", "{bad}/file"),
    ("audit x --in-distribution {bad}/file --out-of-distribution {bad}/good.txt --folder {bad}/loop", "'x'"),
    ("audit {bad}/empty --in-distribution {bad}/file --out-of-distribution {bad}/good.txt --gguf none", "none"),
)  # fmt: skip
def test_bad_arguments(bad, small, tmp_path, line, says):
    study = line.startswith(("train ", "evaluate ", "data ", "claims ")) and "--preset" not in line
    refused(f"{line} --preset {{small}}" if study else line, bad, small, says, tmp_path)


@pytest.mark.kind("bad presets")
@cases(
    ("none", "none.toml", "No such file"),
    ("pipe", "pipe.toml", "regular file"),
    ("zero", "/dev/zero", "regular file"),
    ("loop", "loop.toml"),
    ("folder", "folder.toml"),
    ("closed", "closed.toml", "Permission denied"),
    (LONG, LONG, "too long"),
    ("latin", "latin.toml is not TOML"),
    ("nested", "nested.toml is not TOML"),
    ("parent", "none.toml", "No such file"),
    ("zero-parent", "b.toml' cannot be looked for"),
    ("circle", "inherits from itself"),
    ("dates", "inherits is", "name or the path"),
    ("plugin", "none.py", "does not exist"),
    ("pipe-plugin", "pipe.py"),
    ("zero-plugin", "plugin", "zero"),
    ("nul-plugin", "plugin"),
    ("broken-plugin", "broken.py", "ZeroDivisionError"),
    ("exit-plugin", "exit.py", "SystemExit"),
    ("huge-seeds", "[dyck]", "seeds is 1000000"),
    ("no-seeds", "[dyck]", "seeds is 0"),
    ("wide", "[dyck]", "width"),
    ("many", "[dyck]", "training_sentences"),
    ("rank", "[dyck]", "100000"),
    ("float-rank", "[dyck]", "2.5"),
    ("layer", "[dyck]", "7"),
    ("proxy", "[dyck]", "nonsense"),
    ("nan", "[dyck]", "peak_learning_rate is nan"),
    ("task", "[dyck]", "task is 'chess'", "dyck"),
    ("no-task", "[dyck]", "task is None"),
    ("name", "../dyck", "use letters"),
    ("taken", "'notebooks'"),
    ("smoke", "'smoke', which is taken"),
    (NOT_UTF8, "cannot be read"),
)
def test_bad_presets(bad, small, tmp_path, line, says):
    refused(f"train dyck --preset {shlex.quote(f'{bad}/{line}.toml')}", bad, small, tuple(says), tmp_path)


@pytest.mark.kind("bad locations")
@cases(
    ("none", "{bad}/none", "does not exist", "name a folder"),
    ("", "location is ''", "name a folder"),
    ("pipe", "{bad}/pipe", "name a folder"),
    ("zero", "{bad}/zero", "name a folder"),
    ("pipe.zip", "{bad}/pipe.zip", "name a folder"),
    ("zero.zip", "{bad}/zero.zip", "name a folder"),
    ("loop", "{bad}/loop"),
    (LONG, LONG),
    ("empty", "{bad}/empty", "holds no source file"),
    ("pipes", "{bad}/pipes", "holds no source file"),
    ("file", "{bad}/file", "zip file"),
    ("closed", "{bad}/closed", "make it readable"),
    ("closed.zip", "{bad}/closed.zip", "make it readable"),
    ("part closed", "part closed/inner", "make it readable"),
    ("text.zip", "text.zip", "zip file"),
    ("empty.zip", "empty.zip", "holds no source file"),
    ("dots.zip", "dots.zip", "../a.py"),
    ("bomb.zip", "bomb.zip", "unpack"),
    ("latin", "a.py", "not UTF-8"),
    ("nul", "a.py", "zero byte"),
    ("prose", "holds no function"),
    ("named", "holds no function"),
    ("deep", "{bad}/deep", "too long"),
    (NOT_UTF8, "location"),
)
def test_bad_locations(bad, small, tmp_path, line, says):
    where = shlex.quote(f"{bad}/{line}") if line else "''"
    refused(f"data code --preset {{small}} --corpus directory --location {where}", bad, small, tuple(says), tmp_path)


@pytest.mark.kind("bad locations")
@cases(
    ("none", "{bad}/none", "no folder"),
    ("file", "{bad}/file", "no folder"),
    ("empty", "{bad}/empty", "holds no"),
    ("search/deep", "python_test_0.jsonl.gz, line 1"),
    ("search/text", "python_test_0.jsonl.gz, line 1"),
    ("search/list", "python_test_0.jsonl.gz, line 1", "JSON object"),
    ("search/field", "python_test_0.jsonl.gz", "fields"),
    ("closed", "{bad}/closed", "make it readable"),
)
def test_bad_folders_of_codesearchnet(bad, small, tmp_path, line, says):
    refused(f"data code --preset {{small}} --corpus codesearchnet --location {bad}/{line}", bad, small, tuple(says), tmp_path)


SENTENCES = "evaluate dyck --preset {small} --sentences "


@pytest.mark.kind("bad files of sentences")
@cases(
    ("none", "none cannot be read", "No such file"),
    ("pipe", "pipe is no regular file"),
    ("zero", "zero is no regular file"),
    ("loop", "loop"),
    ("folder.txt", "folder.txt"),
    ("closed.txt", "'--sentences'", "closed.txt", "not readable"),
    ("closed/mine.txt", "mine.txt cannot be read", "Permission denied"),
    ("text.zip", "text.zip, line 1"),
    ("bomb.zip", "bomb.zip"),
    (LONG, "too long"),
)
def test_bad_files_of_sentences(bad, small, tmp_path, line, says):
    refused(SENTENCES + shlex.quote(f"{bad}/{line}"), bad, small, tuple(says), tmp_path)


@pytest.mark.kind("bad values in the environment")
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LIB_ARTIFACTS", "{bad}/file", ("{bad}/file",)),
        ("LIB_ARTIFACTS", "{bad}/loop", ("{bad}/loop",)),
        ("LIB_ARTIFACTS", "{bad}/closed/x", ("{bad}/closed/x",)),
        ("LIB_ARTIFACTS", "{bad}/{long}", ("{long}", "too long")),
        ("LIB_ARTIFACTS", "/dev/null/x", ("/dev/null/x",)),
        ("LIB_ARTIFACTS", "/proc/none", ("/proc/none",)),
        ("LIB_ARTIFACTS", "~no-such-user/x", ("~no-such-user",)),
        ("LIB_PUBLISHED", "{bad}/loop", ("{bad}/loop",)),
        ("LIB_PUBLISHED", "{bad}/{long}", ("{long}", "too long")),
        ("LIB_PUBLISHED", "~no-such-user/x", ("~no-such-user",)),
        ("LIB_HUMANEVAL_X", "{bad}/none", ("LIB_HUMANEVAL_X is '{bad}/none'", "or unset it")),
        ("LIB_HUMANEVAL_X", "{bad}/empty", ("LIB_HUMANEVAL_X is '{bad}/empty'", "or unset it")),
        ("LIB_HUMANEVAL_X", "{bad}/loop", ("LIB_HUMANEVAL_X is '{bad}/loop'",)),
        ("LIB_HUMANEVAL_X", "{bad}/{long}", ("LIB_HUMANEVAL_X", "{long}", "too long")),
        ("LIB_HUMANEVAL_X", "{bad}/closed", ("{bad}/closed",)),
        ("LIB_HUMANEVAL_X", "{bad}/problems/pipe", ("LIB_HUMANEVAL_X is '{bad}/problems/pipe'",)),
        ("LIB_HUMANEVAL_X", "{bad}/problems/doubled", ("humaneval_python.jsonl.gz: problem 0 is there twice",)),
        ("LIB_HUMANEVAL_X", "{bad}/problems/numbers", ("task_id is 'P/one'", "must end in a number")),
        ("LIB_HUMANEVAL_X", "{bad}/problems/no text", ("lacks the field 'task_id' as text",)),
        ("LIB_HUMANEVAL_X", "{bad}/problems/surrogate", ("problems/surrogate",)),
        ("LIB_HUMANEVAL_X", "{bad}/problems/broken", ("line 1, cannot be read", "fetch it again")),
        ("LIB_HUMANEVAL_X", "{bad}/problems/deep", ("line 1, cannot be read", "fetch it again")),
        ("LIB_HUMANEVAL_X", "{bad}/problems/packed", ("line 1, cannot be read", "fetch it again")),
        ("LIB_HUMANEVAL_X", "{bad}/problems/language", ("humaneval_klingon.jsonl", "klingon")),
    ],
)
def test_bad_values_in_the_environment(bad, small, tmp_path, name, value, says):
    line = "train code --preset {small} --corpus directory --location {bad}/project"
    refused(line, bad, small, says, tmp_path, **{name: value})


@pytest.mark.kind("bad values in the environment")
@pytest.mark.parametrize(
    "value", ["{bad}/none", "{bad}/empty", "{bad}/zero.zip", "{bad}/pipe.zip", "{bad}/loop", "{bad}/{long}"]
)
def test_bad_sources_of_java(bad, small, tmp_path, value):
    refused(
        "data code-java --preset {small}", bad, small, (f"LIB_JAVA_SOURCES is '{value}'",), tmp_path, LIB_JAVA_SOURCES=value
    )
