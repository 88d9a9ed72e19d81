"""`python -m lib` on code: a folder of sources becomes a corpus, a model and a table; what cannot is refused in a line."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from code_samples import function, write_tree
from lib.code.splits import CodeConfig, load
from lib.faithfulness import COLUMNS

from lib.cli import main
from lib.errors import ArtifactError
from lib.presets import PRESETS, ModelConfig, Preset, StudyConfig, TaskPreset, TrainingConfig, preset, with_corpus
from lib.runs import Run, Study

SMALL = TaskPreset(
    CodeConfig(context=32, split_sequences=12, fewest_sequences=5),
    ModelConfig(layers=1, heads=2, width=8, mlp_width=8),
    TrainingConfig(
        steps=6, batch_size=8, warmup_steps=2, evaluations=2, heldout_sequences=6, checkpoint_every=5, precision="auto"
    ),
    StudyConfig(grid={-1: {"svd": (2,)}, 0: {"one_hot": (None,)}}, each_head={"svd": (2,)}, fit_sequences=20),
    seeds=1,
)


@pytest.fixture(autouse=True)
def small(monkeypatch, small_preset) -> None:
    """The preset `small`, with a task on code and one that is not."""
    monkeypatch.delenv("LIB_HUMANEVAL_X", raising=False)
    monkeypatch.setitem(PRESETS, "small", Preset("small", {"code": SMALL, "dyck": small_preset}))


@pytest.fixture
def project(tmp_path) -> Path:
    return write_tree(tmp_path / "project", {"python": 12, "javascript": 2}, functions=8)


def assert_one_line_error(stderr: str, *parts: str) -> None:
    """Besides progress bars there is one line, the error, which has these parts."""
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line and not line.startswith("corpus ")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def of(project: Path) -> tuple[str, ...]:
    return "--preset", "small", "--corpus", "directory", "--location", str(project)


def folder(tmp_path: Path, task: str = "code@directory-project") -> Path:
    return tmp_path / "artifacts" / "small" / task


def test_a_folder_of_sources_is_trained_on_and_measured(project, tmp_path, capsys):
    assert main(["train", "code", *of(project)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"trained: {folder(tmp_path) / 'seed-0'}\n")
    assert "accuracy_javascript" in printed
    assert main(["evaluate", "code", *of(project)]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(f"all measurements: {folder(tmp_path) / 'faithfulness.parquet'}\n")
    table = pd.read_parquet(folder(tmp_path) / "faithfulness.parquet")
    assert list(table.columns) == COLUMNS
    assert set(table["split"]) == {"id", "seen_package", "javascript"}
    assert set(table["group"]) == {"", "character", "margin"}
    assert set(table["task"]) == {"code@directory-project"}
    assert not list((tmp_path / "artifacts").rglob("*.part"))


def test_the_configuration_says_what_was_trained_on_and_how(project, tmp_path):
    assert main(["train", "code", *of(project)]) == 0
    stored = json.loads((folder(tmp_path) / "seed-0" / "config.json").read_text())
    data = preset("small").task("code@directory-project").data
    assert stored["source"] == load(data).manifest["sha256"]
    assert stored["precision"] in ("float32", "bfloat16")
    assert stored["device"] in ("cpu", "cuda")


def test_training_again_does_nothing(project, capsys):
    assert main(["train", "code", *of(project)]) == 0
    capsys.readouterr()
    assert main(["train", "code", *of(project)]) == 0
    assert capsys.readouterr().out.startswith("already trained: ")


def test_another_language_is_trained_on_by_its_name(project, tmp_path, capsys):
    for package in range(2, 9):
        (project / f"javascript_{package}").mkdir()
        for number in range(8):
            file = project / f"javascript_{package}" / f"{number}.js"
            file.write_text(function("javascript", 1_000 * package + number))
    assert main(["train", "code-javascript", *of(project)]) == 0
    assert "accuracy_python" in capsys.readouterr().out
    assert (folder(tmp_path, "code-javascript@directory-project") / "seed-0" / "model.safetensors").exists()


def test_humaneval_x_is_measured_once_it_is_there(project, tmp_path, monkeypatch):
    run = Run(with_corpus("small", "code", "directory", str(project)), "small", 0)
    assert "humaneval_x/python" not in set(run.sequences["split"])
    problems = [
        {"task_id": f"P/{n}", "declaration": function("python", 9_000 + n), "canonical_solution": "\n"} for n in range(3)
    ]
    file = tmp_path / "humaneval_python.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, problems)).encode()))
    monkeypatch.setenv("LIB_HUMANEVAL_X", str(tmp_path))
    table = Run(run.task_name, "small", 0).sequences
    assert set(table.loc[table["split"] == "id", "layer"]) == {-1, 0}
    assert set(table.loc[table["split"] == "humaneval_x/python", "layer"]) == {-1}, "there only all layers at once"
    everywhere, first_layer = Study(run.task_name, "small").summary().splitlines()[2:]
    assert everywhere.count("[") == table["split"].nunique()
    assert first_layer.count("[") == everywhere.count("[") - 1, "what was not measured stays empty"
    monkeypatch.delenv("LIB_HUMANEVAL_X")
    assert "humaneval_x/python" in set(Run(run.task_name, "small", 0).sequences["split"]), "what was measured stays"


def test_a_model_of_other_sources_is_not_used(project, tmp_path):
    assert main(["train", "code", *of(project)]) == 0
    write_tree(project, {"python": 13, "javascript": 2}, functions=8)
    name = with_corpus("small", "code", "directory", str(project))
    with pytest.raises(ArtifactError, match="trained on other data") as error:
        _ = Run(name, "small", 0).model
    assert str(folder(tmp_path) / "seed-0") in str(error.value)


def test_the_command_in_a_remedy_is_one_that_works(project, tmp_path, capsys):
    """It names the corpus, which is no part of a task's own name on the command line."""
    assert main(["train", "code", *of(project)]) == 0
    (folder(tmp_path) / "seed-0" / "model.safetensors").unlink()
    capsys.readouterr()
    assert main(["train", "code", *of(project)]) == 2
    message = capsys.readouterr().err.strip()
    command = message.split("python -m lib ")[1].split()
    shutil.rmtree(folder(tmp_path) / "seed-0")
    PRESETS["small"].tasks.pop("code@directory-project")
    assert main(command) == 0


def test_corpus_prints_the_manifest(project, capsys):
    assert main(["corpus", "code", *of(project)]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["functions"] == {"javascript": 16, "python": 96}
    assert manifest == load(preset("small").task("code@directory-project").data).manifest


def test_corpus_prints_the_same_manifest_from_the_cache(project, capsys):
    assert main(["corpus", "code", *of(project)]) == 0
    first = capsys.readouterr().out
    assert main(["corpus", "code", *of(project)]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("command", ["train", "evaluate", "corpus"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("code", "--corpus", "directory", "--location", "{tmp}/none"), ("{tmp}/none", "does not exist", "name a folder")),
        (("code", "--corpus", "directory"), ("location is ''", "name a folder")),
        (("code", "--location", "{tmp}"), ("{tmp}", "no corpus reads it", "--corpus directory")),
        (("code", "--corpus", "github"), ("corpus is 'github'", "installed, directory, codesearchnet")),
        (("code-cobol",), ("task is 'code-cobol'", "code")),
        (("dyck", "--corpus", "directory", "--location", "{tmp}"), ("task is 'dyck'", "has no corpus")),
        (("code", "--corpus", "installed", "--location", "{tmp}"), ("{tmp}", "takes no location", "corpus 'directory'")),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith(("code", "dyck")) else "",
)
def test_unusable_input_is_refused_in_one_line(project, tmp_path, capsys, command, arguments, says):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    assert main([command, *arguments, "--preset", "small"]) == 2
    assert_one_line_error(capsys.readouterr().err, *(part.format(tmp=tmp_path) for part in says))
    assert not list((tmp_path / "artifacts").rglob("*.part"))
    assert not list((tmp_path / "artifacts").rglob("*.safetensors"))


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_folder_without_the_training_language_is_refused_with_what_it_has(project, capsys, command):
    assert main([command, "code-go", *of(project)]) == 2
    assert_one_line_error(capsys.readouterr().err, "language is 'go', but corpus 'directory' has only javascript, python")


def test_a_task_without_a_corpus_has_no_manifest(capsys):
    assert main(["corpus", "dyck", "--preset", "small"]) == 2
    assert_one_line_error(capsys.readouterr().err, "task is 'dyck', which has no corpus", "use code")


def test_own_sentences_are_for_dyck_alone(project, tmp_path, capsys):
    file = tmp_path / "mine.txt"
    file.write_text("(a a)\n")
    assert main(["evaluate", "code", *of(project), "--sentences", str(file)]) == 2
    assert_one_line_error(capsys.readouterr().err, "sentences")


def test_one_damaged_source_file_is_named(project, tmp_path, capsys):
    (project / "python_0" / "bad.py").write_bytes(b"\xff\xfe")
    assert main(["train", "code", *of(project)]) == 2
    assert_one_line_error(capsys.readouterr().err, "python_0/bad.py", "not UTF-8", "leave it out")
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]


def test_help_names_the_corpora(capsys):
    with pytest.raises(SystemExit) as left:
        main(["corpus", "--help"])
    assert left.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name in ("installed", "codesearchnet", "directory", "SHA-256"):
        assert name in printed
