"""What takes long to compute is computed once, kept with a run, and computed anew where it is of something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lib.artifacts import writing
from lib.derived import derived
from lib.foreseeing import cells
from lib.measuring import table
from lib.presets import load
from lib.runs import Run

TABLE = pd.DataFrame({"x": [0.1, 1 / 3], "of": ["a", "b"]})


@pytest.fixture
def study(tiny, tiny_study, monkeypatch):
    """A measured study in a folder of the test's own."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(tiny_study.parent.parent))
    return load(tiny).study("dyck")


@pytest.fixture
def asked(study) -> Callable[..., pd.DataFrame]:
    """A function that asks for a table of the first run; `asked.times` says how often it was computed."""

    def compute() -> pd.DataFrame:
        asked.times += 1
        return TABLE

    def write(path: Path, of: pd.DataFrame) -> None:
        with writing(path) as temporary:
            of.to_parquet(temporary, index=False)

    def asked(run: Run = study.runs[0], **identity: object) -> pd.DataFrame:
        return derived(run, "table", {"of": "this", **identity}, compute, write, pd.read_parquet)

    asked.times = 0
    return asked


def test_it_is_computed_once_and_read_as_it_was(asked, study):
    for _ in range(3):
        pd.testing.assert_frame_equal(asked(), TABLE, check_exact=True)
    assert asked.times == 1
    asked(study.runs[1])
    assert asked.times == 2


def test_it_is_computed_anew_where_it_is_damaged_missing_or_of_something_else(asked, study):
    folder = study.runs[0].folder
    asked()
    for name in ("table.parquet", "table.json"):
        for damage in (lambda path: path.write_bytes(b"?" + path.read_bytes()[1:]), Path.unlink):
            before = asked.times
            damage(folder / name)
            pd.testing.assert_frame_equal(asked(), TABLE)
            asked()
            assert asked.times == before + 1, name
    before = asked.times
    asked(of="something else")
    asked(of="something else")
    assert asked.times == before + 1


def test_where_nothing_can_be_written_it_is_computed_and_not_kept(asked, study):
    (study.runs[0].folder / "table.parquet").mkdir()  # in the way, for root, too
    for times in (1, 2):
        pd.testing.assert_frame_equal(asked(), TABLE)
        assert asked.times == times
    assert not (study.runs[0].folder / "table.json").exists()


def test_what_is_foreseen_is_kept_and_the_same_when_read(study, monkeypatch):
    monkeypatch.setattr("lib.measuring.diagnostics.FEWEST", 20)
    made = cells(study)
    assert len(made)
    for run in study.runs:
        assert (run.folder / "foreseen.parquet").exists()
    monkeypatch.setattr("lib.foreseeing.foresee", None)  # which would be called to compute it
    pd.testing.assert_frame_equal(cells(study), made, check_exact=True)


def test_what_is_foreseen_is_of_the_measurements_that_are_there(study, monkeypatch):
    monkeypatch.setattr("lib.measuring.diagnostics.FEWEST", 20)
    before, run = cells(study), study.runs[0]
    blocks = [replace(b, sums={key: 0 * b.sums[key] for key in b.sums}) for b in run.blocks()]  # as if made elsewhere
    table.write(run.folder / "measurements.parquet", blocks)
    run.measured.write(run.measured.identity(), ("measurements.parquet", "along_training.parquet"), {})
    after = cells(replace(study))
    assert (before["measured"][before["seed"] == 0] > 0).any()
    assert (after["measured"][after["seed"] == 0] == 0).all()


def test_what_is_foreseen_is_called_as_the_study_is(study, monkeypatch):
    monkeypatch.setattr("lib.measuring.diagnostics.FEWEST", 20)
    assert set(cells(study)["task"]) == {"dyck"}
    assert set(cells(replace(study, name="mine"))["task"]) == {"mine"}


def test_other_estimates_are_neither_kept_nor_have_anything_measured(study, monkeypatch, tmp_path):
    monkeypatch.setattr("lib.measuring.diagnostics.FEWEST", 20)
    estimates = study.estimates_of({run.seed: run.blocks() for run in study.runs})
    planted = replace(study, folder=tmp_path / "nowhere")
    planted.estimates = estimates
    assert len(cells(planted))
    assert not planted.folder.exists()


def test_a_failure_leaves_nothing(study):
    def fail():
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        derived(study.runs[0], "table", {}, fail, Path.write_bytes, Path.read_bytes)
    assert not list(study.runs[0].folder.glob("table*"))
