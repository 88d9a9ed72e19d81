"""`python -m lib` on code: a folder of sources becomes a corpus, a model and a table; what cannot is refused in a line."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
from code_samples import function, write_tree

from lib.cli import main
from lib.experiment import Experiment, MeasuringConfig
from lib.measuring.table import COLUMNS
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.presets import load
from lib.tasks.code.task import CodeTask

SMALL = Experiment(
    task=CodeTask(context=32, split_sequences=12, fewest_sequences=5),
    model=ModelConfig(layers=1, heads=2, width=8, mlp_width=8),
    training=TrainingConfig(
        steps=6, batch_size=8, warmup_steps=2, evaluations=2, heldout_sequences=6, checkpoint_every=5, precision="auto"
    ),
    measuring=MeasuringConfig(
        grid={"all": {"svd": (2,)}, "0": {"one_hot": ()}},
        each_head={"svd": (2,)},
        whole_model_only=("humaneval_x/*",),
        fit_sequences=20,
    ),
    seeds=1,
)


@pytest.fixture(autouse=True)
def without_humaneval_x(monkeypatch):
    monkeypatch.delenv("LIB_HUMANEVAL_X", raising=False)


@pytest.fixture(scope="module")
def small(small_experiment, write_preset, tmp_path_factory) -> str:
    """The path of a preset with an experiment on code and one that is not."""
    folder = tmp_path_factory.mktemp("presets")
    return str(write_preset(folder / "small.toml", {"code": SMALL, "dyck": small_experiment}))


@pytest.fixture
def project(tmp_path) -> Path:
    return write_tree(tmp_path / "my project", {"python": 12, "javascript": 2}, functions=8)


@pytest.fixture
def of(small, project) -> tuple[str, ...]:
    """Options of the preset, and of the project as its corpus."""
    return "--preset", small, "--corpus", "directory", "--location", str(project)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where results on the project are kept."""
    return tmp_path / "artifacts/small/code@directory-my project"


def assert_one_line_error(stderr: str, *parts: str) -> None:
    """Besides progress bars there is one line, the error, which has these parts."""
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line and not line.startswith("corpus ")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_folder_of_sources_is_trained_on_and_measured(of, folder, tmp_path, capsys):
    assert main(["train", "code", *of]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"trained: {folder / 'seed-0'}\n")
    assert "accuracy_javascript" in printed
    assert main(["evaluate", "code", *of]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["id", "seen_package", "javascript"]
    assert printed.endswith(f"all measurements: {folder / 'faithfulness.parquet'}\n")
    table = pd.read_parquet(folder / "faithfulness.parquet")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["split"]) == {"id", "seen_package", "javascript"}
    assert set(table["group"]) == {"", "character", "margin"}
    assert set(table["task"]) == {"code@directory-my project"}
    assert not list((tmp_path / "artifacts").rglob("*.part"))


def test_everything_can_be_asked_for_at_once_and_a_second_time_nothing_is_done(of, tmp_path, capsys):
    assert main(["evaluate", "code", *of]) == 0
    before = times(tmp_path / "artifacts")
    first = capsys.readouterr().out
    assert main(["evaluate", "code", *of]) == 0
    printed = capsys.readouterr()
    assert printed.out == first
    assert printed.err == ""
    assert main(["train", "code", *of]) == 0
    assert capsys.readouterr().out.startswith("already trained: ")
    assert times(tmp_path / "artifacts") == before


def test_the_configuration_says_what_was_trained_on_and_how(of, folder, small, project):
    assert main(["train", "code", *of]) == 0
    stored = json.loads((folder / "seed-0" / "config.json").read_text())
    task = load(small).study("code", corpus="directory", location=str(project)).task
    assert stored["task"] == task.plain()
    assert stored["data"] == json.loads(json.dumps(task.identity()))
    assert stored["made"]["precision"] in ("float32", "bfloat16")
    assert stored["made"]["device"] in ("cpu", "cuda")


def test_a_location_may_begin_at_home_and_be_an_archive(small, project, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["data", "code", "--preset", small, "--corpus", "directory", "--location", "~/my project"]) == 0
    of_folder = json.loads(capsys.readouterr().out)
    shutil.make_archive(str(tmp_path / "packed"), "zip", project)
    assert main(["data", "code", "--preset", small, "--corpus", "directory", "--location", "~/packed.zip"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == of_folder["sha256"]


def test_another_language_is_trained_on_by_its_name(of, project, tmp_path, capsys):
    for package in range(2, 9):
        (project / f"javascript_{package}").mkdir()
        for number in range(8):
            file = project / f"javascript_{package}" / f"{number}.js"
            file.write_text(function("javascript", 1_000 * package + number))
    assert main(["train", "code-javascript", *of]) == 0
    assert "accuracy_python" in capsys.readouterr().out
    assert (tmp_path / "artifacts/small/code-javascript@directory-my project/seed-0/model.safetensors").exists()


def write_humaneval_x(folder: Path, problems: int) -> None:
    rows = [
        {"task_id": f"P/{n}", "declaration": function("python", 9_000 + n), "canonical_solution": "\n"} for n in range(problems)
    ]
    folder.mkdir(exist_ok=True)
    (folder / "humaneval_python.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))


def test_humaneval_x_is_measured_when_it_is_there_or_changes_and_nothing_is_trained_for_it(
    of, folder, tmp_path, monkeypatch, capsys
):
    def measured() -> pd.DataFrame:
        assert main(["evaluate", "code", *of]) == 0
        return pd.read_parquet(folder / "faithfulness.parquet")

    without = measured()
    assert "humaneval_x/python" not in set(without["split"])
    trained = {path: time for path, time in times(folder).items() if path.name in ("config.json", "model.safetensors")}
    monkeypatch.setenv("LIB_HUMANEVAL_X", str(tmp_path / "problems"))
    write_humaneval_x(tmp_path / "problems", 3)
    capsys.readouterr()
    table = measured()
    everywhere, first_layer = capsys.readouterr().out.splitlines()[-3:-1]
    assert set(table.loc[table["split"] == "id", "layer"]) == {-1, 0}
    assert set(table.loc[table["split"] == "humaneval_x/python", "layer"]) == {-1}, "there only all layers at once"
    assert everywhere.count("[") == table["split"].nunique()
    assert first_layer.count("[") == everywhere.count("[") - 1, "what was not measured stays empty"
    assert "nan" not in first_layer
    scored = table[(table["split"] == "humaneval_x/python") & (table["group"] == "")]["n"].max()
    write_humaneval_x(tmp_path / "problems", 5)
    again = measured()
    assert again[(again["split"] == "humaneval_x/python") & (again["group"] == "")]["n"].max() > scored
    monkeypatch.delenv("LIB_HUMANEVAL_X")
    pd.testing.assert_frame_equal(measured(), without)
    assert {path: time for path, time in times(folder).items() if path in trained} == trained


def test_a_model_of_other_sources_is_not_used_and_the_remedy_works_word_for_word(of, folder, project, capsys):
    assert main(["evaluate", "code", *of]) == 0
    write_tree(project, {"python": 13, "javascript": 2}, functions=8)
    for command in ("train", "evaluate"):
        capsys.readouterr()
        assert main([command, "code", *of]) == 2
        said = capsys.readouterr().err
        assert_one_line_error(said, str(folder / "seed-0"), "holds a model of something else (data.corpus.sources is ")
    remedy = shlex.split(re.search(r"python -m lib (.*)$", said)[1])
    assert {"--corpus", "directory", "--location", str(project)} < {*remedy}, "the remedy names the corpus"
    assert main(remedy) == 0
    assert main(["evaluate", "code", *of]) == 0


def test_data_prints_the_manifest_the_same_from_the_cache(of, small, project, capsys):
    assert main(["data", "code", *of]) == 0
    first = capsys.readouterr().out
    manifest = json.loads(first)
    assert manifest["functions"] == {"javascript": 16, "python": 96}
    assert manifest == load(small).study("code", corpus="directory", location=str(project)).task.load().manifest
    assert main(["data", "code", *of]) == 0
    printed = capsys.readouterr()
    assert printed.out == first
    assert printed.err == "", "it is not built again"


@pytest.mark.parametrize("command", ["train", "evaluate", "data"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("code", "--corpus", "directory", "--location", "{tmp}/none"), ("{tmp}/none", "does not exist", "name a folder")),
        (("code", "--corpus", "directory"), ("location is ''", "name a folder")),
        (("code", "--location", "{tmp}"), ("{tmp}", "takes no location", "corpus 'directory'")),
        (("code", "--corpus", "nonsense"), ("corpus is 'nonsense'", "'installed', 'directory' or 'codesearchnet'")),
        (("code-cobol",), ("task is 'code-cobol'", "code, ", "code-javascript, ")),
        (("dyck", "--corpus", "directory", "--location", "{tmp}"), ("task 'dyck'", "has no corpus")),
        (("code", "--corpus", "installed", "--location", "{tmp}"), ("{tmp}", "takes no location", "corpus 'directory'")),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith(("code", "dyck")) else "",
)
def test_unusable_input_is_refused_in_one_line(small, project, tmp_path, capsys, command, arguments, says):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    assert main([command, *arguments, "--preset", small]) == 2
    assert_one_line_error(capsys.readouterr().err, *(part.format(tmp=tmp_path) for part in says))
    assert not (tmp_path / "artifacts").exists()


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--corpus", "nonsense", "corpus is 'nonsense'"),
        ("--corpus", "installed", "takes no location"),
        ("--location", "{project}/none", "does not exist"),
        ("--device", "nonsense", "device is 'nonsense'"),
    ],
)
def test_unusable_input_is_refused_also_where_tables_are_there(of, project, tmp_path, capsys, option, value, says):
    assert main(["evaluate", "code", *of]) == 0
    before = times(tmp_path / "artifacts")
    capsys.readouterr()
    assert main(["evaluate", "code", *of, option, value.format(project=project)]) == 2
    assert_one_line_error(capsys.readouterr().err, says)
    assert times(tmp_path / "artifacts") == before


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_folder_without_the_training_language_is_refused_with_what_it_has(of, tmp_path, capsys, command):
    assert main([command, "code-go", *of]) == 2
    assert_one_line_error(capsys.readouterr().err, "language is 'go', but corpus 'directory' has only javascript, python")
    assert not list((tmp_path / "artifacts").rglob("*.safetensors"))


def test_own_sentences_are_not_for_code(of, tmp_path, capsys):
    file = tmp_path / "mine.txt"
    file.write_text("(a a)\n")
    assert main(["evaluate", "code", *of, "--sentences", str(file)]) == 2
    assert_one_line_error(capsys.readouterr().err, "mine.txt", "does not read sentences")
    assert not list((tmp_path / "artifacts").rglob("*.safetensors"))


def test_one_damaged_source_file_is_named(of, project, tmp_path, capsys):
    (project / "python_0" / "bad.py").write_bytes(b"\xff\xfe")
    assert main(["train", "code", *of]) == 2
    assert_one_line_error(capsys.readouterr().err, "python_0/bad.py", "not UTF-8", "leave it out")
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]
