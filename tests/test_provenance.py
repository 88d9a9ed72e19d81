"""What a result depends on decides whether it is used; what is damaged never is, and every remedy works as it is worded."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from processes import exit_code, fork, fresh

import lib
from lib import cli, provenance
from lib.artifacts import write_tensors
from lib.errors import ArtifactError, InputError
from lib.experiment import Experiment
from lib.measuring.table import read
from lib.models import trainer
from lib.presets import load
from lib.provenance import Record, digest_of
from lib.proxies import PROXIES, Proxy
from lib.runs import Run
from lib.studies import Study

pytestmark = pytest.mark.slow  # as a whole


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def use(study: Study) -> None:
    """Look at everything that a study keeps."""
    study.save()
    assert study.estimates.splits
    assert study.along_training
    for run in study.runs:
        assert run.history["step"].iloc[-1] == run.experiment.training.steps
        assert run.model_at(40).layers == run.model.layers == 2


# The record


@pytest.fixture
def record(tmp_path) -> Record:
    """A record of one file."""
    (tmp_path / "a.csv").write_text("1,2\n")
    record = Record(tmp_path / "record.json", "do this")
    record.write({"steps": 3, "code": {"lib.split": "abc"}}, ["a.csv"], {"device": "cpu"})
    return record


def test_a_record_tells_its_own_identity_from_others(record):
    assert record.is_current({"code": {"lib.split": "abc"}, "steps": 3})
    assert not record.is_current({"code": {"lib.split": "abd"}, "steps": 3})
    assert not record.is_current({"steps": 3})
    assert record.identity() == {"steps": 3, "code": {"lib.split": "abc"}}
    assert record.read()["made"]["device"] == "cpu"
    assert record.damage() == ""
    assert record.missing() == []


def test_where_there_is_no_record_nothing_is_current(tmp_path):
    record = Record(tmp_path / "record.json", "do this")
    assert record.read() == {}
    assert not record.is_current({})
    assert record.damage() == ""


def test_a_file_that_the_record_does_not_vouch_for_is_refused(record, tmp_path):
    assert record.verified("a.csv") == tmp_path / "a.csv"
    (tmp_path / "b.csv").touch()
    with pytest.raises(ArtifactError, match=r"b.csv is damaged: its checksum is not the one in record.json; do this"):
        record.verified("b.csv")
    (tmp_path / "a.csv").write_text("1,3\n")
    for refuses in (lambda: record.verified("a.csv"), lambda: pytest.fail(record.damage())):
        with pytest.raises((ArtifactError, pytest.fail.Exception), match=r"a.csv is damaged: .*; do this"):
            refuses()
    (tmp_path / "a.csv").unlink()
    assert record.missing() == ["a.csv"]
    assert re.search("a.csv is missing; do this", record.damage())
    (tmp_path / "a.csv").mkdir()
    assert re.search("a.csv is no regular file; .*mv ", record.damage())


def test_a_changed_bit_of_a_record_is_noticed_wherever_it_is(record):
    whole = record.path.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        record.path.write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"record.json (is damaged|cannot be read|holds no).*; do this$"):
            record.read()


def test_with_what_something_was_made_is_no_reason_to_make_it_again(tiny, tiny_study):
    run = load(tiny).study("dyck").runs[0]
    run.trained.write(run.identity, trainer.FILES, {"data": run.data.fingerprint, "processor": "another"})
    assert not run.train()
    assert not run.train(replace=True)


# Damage

FILES = {  # and a look at each that must not go well if it is damaged
    "config.json": Run.train,
    "model.safetensors": lambda run: run.model,
    "snapshots.safetensors": lambda run: run.model_at(40),
    "training.csv": lambda run: run.history,
    "measurements.json": Run.measure,
    "measurements.parquet": Run.blocks,
    "along_training.parquet": Run.blocks_along_training,
}


def bits_of(content: bytes) -> Iterator[bytes]:
    """A file's content with one bit changed: in its first and last bytes, and all over it."""
    bits = 8 * len(content)
    for bit in (*range(0, 80, 9), *np.random.default_rng(0).integers(0, bits, 40).tolist(), *range(bits - 80, bits, 9)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("file", FILES)
def test_no_damage_of_a_result_goes_unnoticed(tiny, tiny_study, small_dataset, file):
    path, others = tiny_study / "seed-0" / file, tiny_study / "seed-1" / file
    whole = path.read_bytes()
    study = load(tiny).study("dyck")
    damaged = [*bits_of(whole), b"", whole[:-2], whole[: len(whole) // 2], whole + b"\0", whole[::-1]]
    if not file.endswith(".json"):
        damaged.append(others.read_bytes())
    for content in damaged:
        path.write_bytes(content)
        run = study.run(0)
        run.data = small_dataset
        with pytest.raises(ArtifactError, match=re.escape(str(path))):
            FILES[file](run)


def test_the_files_of_another_seed_are_refused(tiny, tiny_study):
    shutil.copytree(tiny_study / "seed-1", tiny_study / "seed-0", dirs_exist_ok=True)
    with pytest.raises(ArtifactError, match=r"seed-0 holds a model of something else \(seed is 1 instead of 0\); to train it"):
        use(load(tiny).study("dyck"))


@pytest.mark.parametrize("how", ["cut off", "deleted"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_result_is_refused_with_a_remedy_that_works_or_made_again(tiny, tiny_study, tiny_artifacts, file, how):
    """Whatever happens, in the end all is as it was."""
    path = tiny_study / "seed-0" / file
    if how == "cut off":
        os.truncate(path, path.stat().st_size * 2 // 3)
    else:
        path.unlink()
    made_again = how == "deleted" and file not in ("model.safetensors", "snapshots.safetensors", "training.csv")
    if not made_again:
        with pytest.raises(ArtifactError, match=re.escape(str(path))) as refused:
            use(load(tiny).study("dyck"))
        follow(str(refused.value))
    use(load(tiny).study("dyck"))
    assert contents(tiny_study.parent.parent) == contents(tiny_artifacts)


def remedy_of(message: str) -> list[str]:
    """The command that a message says would help, as words."""
    found = re.search(r"(?:to train it anew|and it is made again): (.*)", message)
    return shlex.split(found[1])


def follow(message: str) -> None:
    """Do what a message says."""
    command = remedy_of(message)
    if command[0] == "rm":
        subprocess.run(command, check=True)
    else:
        assert command[:3] == ["python", "-m", "lib"]
        assert cli.main(command[3:]) == 0


@pytest.mark.parametrize("file", ["faithfulness.parquet", "faithfulness.json"])
def test_a_damaged_results_table_is_made_again(tiny, tiny_study, tiny_artifacts, file):
    path, study = tiny_study / file, load(tiny).study("dyck")
    whole = path.read_bytes()
    for content in (list(bits_of(whole))[30], whole[: len(whole) // 2], b"", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        study.save()
        assert path.read_bytes() == whole
    assert contents(tiny_study.parent.parent) == contents(tiny_artifacts)


def test_a_model_with_a_file_missing_counts_as_no_result(tiny, tiny_study):
    (tiny_study / "seed-0" / "training.csv").unlink()
    run = load(tiny).study("dyck").runs[0]
    with pytest.raises(ArtifactError, match=r"training.csv is missing; to train it anew: python -m lib train dyck --preset "):
        run.train()


def test_remedies_are_commands_that_a_shell_reads_as_they_are_meant(small_experiment, write_preset, tmp_path, monkeypatch):
    """Also with paths that mean something to a shell: the preset's, and that of the results."""
    folder = tmp_path / 'it\'s "mine"; echo $HOME `x` & more'
    folder.mkdir()
    monkeypatch.setenv("LIB_ARTIFACTS", str(folder / "results"))
    preset = write_preset(folder / "tiny one.toml", {"dyck": small_experiment})
    run = load(str(preset)).study("dyck").runs[0]
    options = ["dyck", "--preset", str(preset), "--seed", "0", "--replace"]
    assert remedy_of(run.trained.remedy) == ["python", "-m", "lib", "train", *options]
    assert remedy_of(run.measured.remedy) == ["rm", f"{folder}/results/tiny one/dyck/seed-0/measurements.json"]
    for remedy in (run.trained.remedy, run.measured.remedy):
        command = remedy.partition(": ")[2]
        said = subprocess.run(f"printf '%s\\n' {command}", shell=True, capture_output=True, text=True, check=True)
        assert said.stdout.splitlines() == remedy_of(remedy)


def test_the_remedy_of_a_variant_names_what_makes_it_one(tmp_path):
    run = load("smoke").study("code-javascript", corpus="directory", location=str(tmp_path / "my project")).run(3)
    options = ["--corpus", "directory", "--location", str(tmp_path / "my project"), "--seed", "3", "--replace"]
    assert remedy_of(run.trained.remedy) == ["python", "-m", "lib", "train", "code-javascript", "--preset", "smoke", *options]


def test_the_remedy_of_a_run_that_no_command_line_made_is_its_own_method(small_experiment, small_dataset, tmp_path):
    run = Run("mine", small_experiment, tmp_path, 0)
    run.train()
    os.truncate(tmp_path / "model.safetensors", 100)
    with pytest.raises(ArtifactError, match=r"model.safetensors is damaged.*; to train it anew: run.train\(replace=True\)$"):
        _ = run.model
    assert run.train(replace=True)
    assert run.model.layers == 2


# What a result depends on


def test_training_depends_on_what_trains_and_what_makes_the_data_and_on_nothing_else(small_experiment):
    assert set(small_experiment.training_code()) == {
        "lib.models.training", "lib.models.trainer", "lib.models.transformer", "lib.models.machine", "lib.models.base",
        "lib.split", "lib.tasks.dyck.splits", "lib.tasks.dyck.language", "lib.tasks.dyck.text",
    }  # fmt: skip


def test_measuring_depends_on_what_measures_and_on_the_proxies_that_are_measured(small_experiment):
    assert set(small_experiment.measuring_code()) == {
        "lib.measuring.faithfulness", "lib.measuring.measures", "lib.measuring.table", "lib.models.base", "lib.models.machine",
        "lib.split", "lib.proxies.base", "lib.proxies.divergence", "lib.proxies.svd", "lib.proxies.kmeans",
        "lib.proxies.one_hot", "lib.runs",
    }  # fmt: skip


def test_a_proxy_that_is_not_measured_does_not_matter(small_experiment):
    before = small_experiment.measuring_identity(0)
    try:

        class Unused(Proxy, name="unused"):
            @classmethod
            def fit(cls, head, complexity):
                return cls()

        assert small_experiment.measuring_identity(0) == before
        assert Path(__file__).name in small_experiment.with_proxies(["unused"]).measuring_identity(0)["code"]
    finally:
        del PROXIES["unused"]


def test_what_differs_is_named(tiny, tiny_study):
    run = load(tiny).study("dyck").runs[0]
    for change, says in (
        ({"versions": {**run.identity["versions"], "torch": "1.0"}}, "versions.torch is '1.0' instead of '2"),
        ({"training": {**run.identity["training"], "steps": 39}}, "training.steps is 39 instead of 40"),
        ({"code": {**run.identity["code"], "lib.split": "abc"}}, "code.lib.split is 'abc' instead of '"),
        ({"code": {**run.identity["code"], "lib.more": "abc"}}, "code.lib.more is 'abc' instead of None"),
        ({"more": 3}, "more is 3 instead of None"),
    ):
        run.trained.write({**run.identity, **change}, trainer.FILES, {})
        with pytest.raises(ArtifactError, match=rf"seed-0 holds a model of something else \({says}.*\); to train it anew: "):
            run.train()


def test_a_model_of_other_data_is_refused_and_trained_anew_when_asked_to(tiny, tiny_study, tiny_artifacts):
    """As where the same seed gives other data on another machine."""
    run = load(tiny).study("dyck").runs[0]
    run.trained.write(run.identity, trainer.FILES, run.trained.read()["made"] | {"data": "0" * 64})
    with pytest.raises(ArtifactError, match="seed-0 holds a model trained on other data than are sampled here") as refused:
        _ = run.fitter
    follow(str(refused.value))
    use(load(tiny).study("dyck"))
    assert contents(tiny_study.parent.parent) == contents(tiny_artifacts)


def whole_splits(study: Study) -> pd.Series:
    """Every value in the saved results of a study that is of a whole split."""
    table = pd.read_parquet(study.save())
    return table[table["group"] == ""].set_index(["seed", "split", "layer", "proxy", "complexity", "fit_on", "metric"])["value"]


def test_measurements_of_other_weights_are_made_again(tiny, tiny_study):
    """As where a model of the same fingerprint was trained on another machine: it may differ in the last digits, or more."""
    study = load(tiny).study("dyck")
    before = whole_splits(study)
    run, path = study.runs[0], tiny_study / "seed-0" / "model.safetensors"
    write_tensors(path, {name: tensor * 1.5 for name, tensor in run.model.state_dict().items()})
    run.trained.write(run.identity, trainer.FILES, run.trained.read()["made"])
    differs = (before != whole_splits(load(tiny).study("dyck"))).groupby("seed").mean()
    assert differs[0] > 0.5
    assert differs[1] == 0


def test_measurements_are_made_again_for_another_grid_and_the_model_is_not(tiny, tiny_study, small_experiment):
    weights = (tiny_study / "seed-0" / "model.safetensors").stat().st_mtime_ns
    measuring = small_experiment.measuring.model_copy(update={"grid": {"1": {"svd": (3,)}}, "refitted": {}})
    run = Run("dyck", small_experiment.model_copy(update={"measuring": measuring}), tiny_study / "seed-0", 0)
    assert {(s.proxy, s.complexity) for s in run.blocks()[0].simplifications} == {("", None), ("svd", 3)}
    assert (tiny_study / "seed-0" / "model.safetensors").stat().st_mtime_ns == weights


def test_where_all_is_there_nothing_is_written(tiny, tiny_study):
    """Not even a temporary file, which a folder's time of change would tell: so nobody needs to be allowed to write there."""
    places = [tiny_study.parent.parent, *tiny_study.parent.parent.rglob("*")]
    for place in places:
        os.utime(place, ns=(10**18, 10**18))
    study = load(tiny).study("dyck")
    assert not any(run.train() or run.train(replace=True) or run.measure() for run in study.runs)
    use(study)
    assert [place.stat().st_mtime_ns for place in places] == [10**18] * len(places)
    assert sorted(places) == sorted([tiny_study.parent.parent, *tiny_study.parent.parent.rglob("*")])


def save(experiment: Experiment, folder: Path) -> None:
    Study("dyck", experiment, folder, seeds=1).save()


def save_twice_at_once(experiment: Experiment, folder: Path) -> None:
    assert [exit_code(copy) for copy in [fork(save, experiment, folder) for _ in range(2)]] == [0, 0]


def test_two_that_train_and_measure_at_once_leave_one_whole_study(small_experiment, tiny_artifacts, tmp_path):
    """Of one seed, which is enough to be in each other's way."""
    folder, alone = tmp_path / "both" / "dyck", tmp_path / "alone" / "dyck"
    assert fresh(save_twice_at_once, small_experiment, folder) == 0
    shutil.copytree(tiny_artifacts / "tiny" / "dyck" / "seed-0", alone / "seed-0")
    save(small_experiment, alone)
    assert contents(folder) == contents(alone)
    assert contents(folder / "seed-0") == contents(tiny_artifacts / "tiny" / "dyck" / "seed-0")


# The code, as a user changes it

LOOK = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {copy!r})
os.environ["LIB_ARTIFACTS"] = {artifacts!r}
from lib.errors import ArtifactError
from lib.presets import load
study = load({preset!r}).study("dyck", 1)
run, said = study.runs[0], dict(refused="", trained=False)
try:
    run.train()
except ArtifactError as error:
    said["refused"] = str(error)
    said["trained"] = run.train(replace=True)
said["measured"] = run.measure()
Path({said!r}).write_text(json.dumps(said))
"""


@pytest.fixture
def edited(tiny, tiny_study, tmp_path) -> Callable[[Mapping[str, tuple[str, str]]], dict]:
    """A function that looks at `tiny_study` with a copy of the code in which texts of some files were replaced."""

    def look(edits: Mapping[str, tuple[str, str]]) -> dict:
        copy, script, said = tmp_path / "copy", tmp_path / "look.py", tmp_path / "said.json"
        shutil.copytree(ROOT / "lib", copy / "lib", ignore=shutil.ignore_patterns("__pycache__"))
        for file, (before, after) in edits.items():
            text = (copy / "lib" / file).read_text()
            assert before in text
            (copy / "lib" / file).write_text(text.replace(before, after))
        script.write_text(LOOK.format(copy=str(copy), artifacts=str(tiny_study.parent.parent), preset=tiny, said=str(said)))
        assert fresh(runpy.run_path, str(script)) == 0
        return json.loads(said.read_text())

    return look


def test_a_changed_proxy_is_measured_again_and_nothing_is_retrained(tiny, tiny_study, edited):
    whole = contents(tiny_study)
    before = load(tiny).study("dyck").runs[0].blocks()
    fit = "return cls(Subspace.principal(head.queries, complexity)"
    said = edited({"proxies/svd.py": (fit, f"complexity = 1\n        {fit}")})
    assert said == {"refused": "", "trained": False, "measured": True}
    after = contents(tiny_study)
    changed = {name for name in whole if whole[name] != after[name]}
    made_again = "measurements.json", "measurements.parquet", "along_training.parquet"
    assert changed == {f"seed-0/{name}" for name in made_again}
    for old, new in zip(before, read(tiny_study / "seed-0" / "measurements.parquet"), strict=True):
        for (simplification, measure), sums in old.sums.items():
            same = np.array_equal(sums, new.sums[simplification, measure])
            if simplification.proxy != "svd" or simplification.complexity == 1:
                assert same, simplification
            elif measure == "output_kl":
                assert not same, simplification


def test_comments_docstrings_layout_and_what_only_shows_change_nothing(tiny_study, edited):
    whole = contents(tiny_study)
    said = edited(
        {
            "proxies/svd.py": ('"""Queries and keys are projected', '"""Said in another way.\n\n    Queries and keys are'),
            "models/trainer.py": ("    steps: int", "\n    # a comment\n    steps: int"),
            "models/transformer.py": ('"""Of the residual stream;', '"""Said in another way: of the residual stream;'),
            "tasks/dyck/splits.py": (
                "automaton = automaton_of(config)",
                "automaton = (\n        automaton_of(config)  # why\n    )",
            ),
            "tasks/dyck/task.py": ('"#56B4E9"', '"#000000"'),
            "claims.py": ("import annotations\n", "import annotations\n\nADDED = 1\n"),
            "prose.py": ("import annotations\n", "import annotations\n\nADDED = 1\n"),
            "figures/style.py": ("import annotations\n", "import annotations\n\nADDED = 1\n"),
            "measuring/intervals.py": ("import annotations\n", "import annotations\n\nADDED = 1\n"),
        }
    )
    assert said == {"refused": "", "trained": False, "measured": False}
    assert contents(tiny_study) == whole


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        pytest.param("models/trainer.py", "loss = F.cross_entropy(", "loss = 2 * F.cross_entropy(", id="training"),
        pytest.param("tasks/dyck/splits.py", "rng.integers(0, len(", "rng.integers(1, len(", id="the splits"),
    ],
)
def test_a_model_of_other_code_is_refused_and_trained_anew_when_asked_to(tiny_study, edited, file, before, after):
    module = "lib." + file.removesuffix(".py").replace("/", ".")
    said = edited({file: (before, after)})
    assert re.search(rf"something else \(code.{module} is '\w+' instead of '\w+'\); to train it anew: ", said["refused"])
    assert said["trained"]
    assert said["measured"]


# How code is told from its looks


@pytest.fixture
def code_of(tmp_path) -> Callable[..., dict]:
    """A function that gives `code_of("lib.a")` where `lib` has further files, with `__` in place of slashes."""

    def code(folder: Path = tmp_path, **files: str) -> dict:
        for name, text in files.items():
            path = folder / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for cached in (provenance._module, provenance._spec):
            cached.cache_clear()
        importlib.invalidate_caches()
        lib.__path__.append(str(folder))
        try:
            found = provenance.code_of("lib.a")
        finally:
            lib.__path__.remove(str(folder))
        for cached in (provenance._module, provenance._spec):
            cached.cache_clear()
        for name in [name for name in sys.modules if name.startswith("lib.p.") or name == "lib.p"]:
            del sys.modules[name]
        return found

    return code


CODE = '''"""What it is for."""
from dataclasses import dataclass

LIMIT = 3


@dataclass
class Config:
    """A class."""

    steps: int = 3
    """How many."""

    def double(self, by: int = 2) -> int:
        """A method."""
        text = "kept"
        return self.steps * by + len(text)
'''


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param("LIMIT = 3", "LIMIT = 3  # a comment", False, id="a comment"),
        pytest.param("What it is for.", "Something else.", False, id="docstring of the module"),
        pytest.param("A class.", "Something else.", False, id="docstring of a class"),
        pytest.param("How many.", "Something else.", False, id="docstring of a field"),
        pytest.param('        """A method."""\n', "", False, id="docstring of a method left out"),
        pytest.param("self.steps * by", "(\n            self.steps * by\n        )", False, id="layout"),
        pytest.param("\n\n\n", "\n\n\n\n\n", False, id="blank lines"),
        pytest.param("LIMIT = 3", "LIMIT = 4", True, id="a constant"),
        pytest.param('"kept"', '"other"', True, id="a text that is used"),
        pytest.param("* by", "+ by", True, id="an operator"),
        pytest.param("by: int = 2", "by: int = 3", True, id="a default"),
        pytest.param("@dataclass\n", "", True, id="a decorator"),
        pytest.param("LIMIT = 3", "LIMIT = 3\nMORE = 1", True, id="one more name"),
        pytest.param("LIMIT = 3", "LIMIT = 3.0", True, id="another type"),
    ],
)
def test_code_changes_where_what_it_does_may_change(code_of, before, after, changes):
    assert before in CODE
    assert (code_of(a=CODE) != code_of(a=CODE.replace(before, after))) == changes


def test_code_is_the_same_wherever_it_lies(code_of, tmp_path):
    code = code_of(a="from lib import b\n", b="x = 1\n")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / name).rename(moved / name)
    assert code_of(moved) == code


@pytest.mark.parametrize(
    ("statement", "follows"),
    [
        pytest.param("import lib.p.b", True, id="import"),
        pytest.param("import os, lib.p.b as c", True, id="one of several"),
        pytest.param("from lib.p import b", True, id="a module from its package"),
        pytest.param("from lib.p.b import x", True, id="a name"),
        pytest.param("from .p.b import x", True, id="a relative import"),
        pytest.param("from .p import b", True, id="a module by a relative import"),
        pytest.param("from lib import c", True, id="by way of another module"),
        pytest.param("def f():\n    import lib.p.b", False, id="in a function"),
        pytest.param("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lib.p.b", False, id="for types only"),
        pytest.param("import json", False, id="not at all"),
    ],
)
def test_code_includes_that_of_what_is_imported_when_a_module_is_loaded(code_of, statement, follows):
    files = {"a": statement + "\n", "c": "from lib.p import b\n", "p__b": "x = 1\n"}
    before = code_of(**files)
    assert ("lib.p.b" in before) == follows
    assert (code_of(**{**files, "p__b": "x = 2\n"}) != before) == follows


def test_code_is_found_in_folders_within_folders_without_an_init(code_of):
    assert set(code_of(a="from lib.p.q import b\n", p__q__b="x = 1\n")) == {"lib.a", "lib.p.q.b"}


def test_modules_that_import_each_other_are_no_trouble(code_of):
    assert set(code_of(a="import lib.b\n", b="import lib.a\n")) == {"lib.a", "lib.b"}


def test_what_is_defined_without_a_file_is_refused_as_nobody_could_tell_whether_it_changed(monkeypatch):
    module = type(sys)("in_a_notebook")
    monkeypatch.setitem(sys.modules, "in_a_notebook", module)
    with pytest.raises(InputError, match=r"in_a_notebook has no file, .*move it into a file"):
        provenance.code_of("in_a_notebook")


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
