"""Studies on disk: what they leave, that they are the same every time, and that what is there is used only where it fits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from lib.artifacts import first_difference, root, writing
from lib.dyck.splits import DyckConfig
from lib.dyck.text import write_sentences
from lib.errors import ArtifactError, InputError
from lib.faithfulness import COLUMNS, METRICS, summarize
from lib.presets import PRESETS, Preset, StudyConfig, preset, seed_folder, task_folder
from lib.runs import Run, Study, head_settings, read_table, settings_of

SPLITS = ["iid", "seen_structure", "unseen_structure", "unseen_length", "unseen_depth", "iid_matched"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# The smoke study


def test_a_study_leaves_the_files_that_users_rely_on(smoke):
    assert sorted(files(smoke / "smoke")) == [
        "dyck/faithfulness.parquet",
        *(
            f"dyck/seed-{seed}/{name}"
            for seed in (0, 1)
            for name in ("config.json", "model.safetensors", "sequences.parquet", "snapshots.safetensors", "training.csv")
        ),
    ]


def test_the_results_table_holds_every_measurement(smoke):
    table = pd.read_parquet(smoke / "smoke" / "dyck" / "faithfulness.parquet")
    assert list(table.columns) == COLUMNS
    assert set(table["task"]) == {"dyck"}
    assert set(table["seed"]) == {0, 1}
    whole = table[table["group"] == ""]
    study = preset("smoke").task("dyck").study
    measured = len(settings_of(study.grid)) * len(SPLITS) + len(settings_of(study.oracle, study.oracle_splits))
    assert len(whole) == 2 * measured * len(METRICS)
    assert set(whole["split"]) == set(SPLITS)
    assert str(table["complexity"].dtype) == "Int64"
    assert table.loc[table["proxy"] == "one_hot", "complexity"].isna().all()
    settings = whole[["layer", "proxy", "complexity", "fit_on"]].drop_duplicates()
    found = {(r.layer, r.proxy, None if pd.isna(r.complexity) else r.complexity, r.fit_on) for r in settings.itertuples()}
    expected = settings_of(study.grid) + settings_of(study.oracle, study.oracle_splits)
    assert found == {(s.layer, s.proxy, s.complexity, s.fit_on) for s in expected}
    assert (table["n"] > 0).all()
    assert table["value"].notna().all()
    shares = table[~table["metric"].isin(["output_kl"])]
    assert shares["value"].between(0, 1).all()


def test_a_command_leaves_the_same_wherever_and_however_it_is_run(smoke_twice):
    """To the bit where bytes are comparable, to the last digit in the tables."""
    whole, stepwise = (folder / "smoke" / "dyck" for folder in smoke_twice)
    for name in ("model.safetensors", "snapshots.safetensors", "training.csv", "config.json"):
        assert (whole / "seed-0" / name).read_bytes() == (stepwise / "seed-0" / name).read_bytes(), name
    sequences = [pd.read_parquet(folder / "seed-0" / "sequences.parquet") for folder in (whole, stepwise)]
    pd.testing.assert_frame_equal(*sequences, check_exact=True)
    table = pd.read_parquet(whole / "faithfulness.parquet")
    pd.testing.assert_frame_equal(table[table["seed"] == 0], summarize(sequences[1]), check_exact=True)
    said = (smoke_twice[1] / "stdout").read_text()
    assert said.startswith(f"trained: {stepwise / 'seed-0'}\n")
    assert f"measured: {stepwise / 'seed-0' / 'sequences.parquet'}" in said.splitlines()[-1]


def test_a_study_from_scratch_in_another_folder_is_the_same(tiny, tiny_artifacts):
    path = Study("dyck", tiny).save()
    assert path == root() / "tiny" / "dyck" / "faithfulness.parquet"
    other = tiny_artifacts / "tiny" / "dyck" / "faithfulness.parquet"
    assert path != other
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(other), check_exact=True)


def test_the_results_table_is_the_summary_of_the_sequences_tables(smoke):
    folder = smoke / "smoke" / "dyck"
    sequences = pd.concat([pd.read_parquet(folder / f"seed-{seed}" / "sequences.parquet") for seed in (0, 1)])
    pd.testing.assert_frame_equal(
        summarize(sequences.reset_index(drop=True)), pd.read_parquet(folder / "faithfulness.parquet"), check_exact=True
    )


def test_the_summary_says_what_its_intervals_are_over(smoke):
    printed = (smoke / "stdout").read_text()
    assert printed.startswith(
        "same_prediction with 95 % intervals over 2 seeds and their sequences (so few seeds: too narrow) (dyck, preset smoke;"
    )
    assert printed.endswith(f"all measurements: {smoke / 'smoke' / 'dyck' / 'faithfulness.parquet'}\n")
    assert all(split in printed for split in SPLITS)


# What is there is used


def test_nothing_that_is_there_is_made_again(tiny_study):
    before = {path: path.stat().st_mtime_ns for path in tiny_study.glob("seed-*/*")}
    study = Study("dyck", "tiny")
    pd.testing.assert_frame_equal(study.results, pd.read_parquet(tiny_study / "faithfulness.parquet"), check_exact=True)
    assert {path: path.stat().st_mtime_ns for path in tiny_study.glob("seed-*/*")} == before


def test_measurements_are_made_again_for_other_weights(tiny_study):
    path = tiny_study / "seed-0" / "model.safetensors"
    before = pd.read_parquet(tiny_study / "seed-0" / "sequences.parquet")
    save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, path)
    after = Run("dyck", "tiny", 0).sequences
    assert not np.allclose(after["output_kl"], before["output_kl"])
    pd.testing.assert_frame_equal(read_table(tiny_study / "seed-0" / "sequences.parquet"), after)


def test_measurements_are_made_again_for_another_study_and_the_model_is_not(tiny_study, small_preset, monkeypatch):
    weights = (tiny_study / "seed-0" / "model.safetensors").read_bytes()
    other = replace(small_preset, study=StudyConfig({1: {"svd": (3,)}}, fit_sequences=40))
    monkeypatch.setitem(PRESETS, "tiny", Preset("tiny", {"dyck": other}))
    table = Run("dyck", "tiny", 0).sequences
    assert set(zip(table["proxy"], table["complexity"], strict=True)) == {("svd", 3)}
    assert (tiny_study / "seed-0" / "model.safetensors").read_bytes() == weights


def test_a_study_may_measure_only_the_first_sequences_of_each_split(tiny_study, small_preset, monkeypatch):
    whole = Run("dyck", "tiny", 0).sequences
    fewer = replace(small_preset, study=replace(small_preset.study, measured_sequences=7))
    monkeypatch.setitem(PRESETS, "tiny", Preset("tiny", {"dyck": fewer}))
    table = Run("dyck", "tiny", 0).sequences
    assert set(table["split"]) == set(whole["split"])
    keys = ["layer", "proxy", "complexity", "fit_on", "split", "group", "group_value", "sequence"]
    same = whole[(whole["sequence"] < 7) & (whole["fit_on"] == "training")].sort_values(keys, ignore_index=True)
    rows = table[table["fit_on"] == "training"].sort_values(keys, ignore_index=True)
    assert len(rows) == len(same)
    assert set(rows["sequence"]) == set(range(7))
    np.testing.assert_allclose(rows["output_kl"], same["output_kl"], rtol=1e-4, atol=1e-5)
    assert fewer.split_size == "7 sentences a split and seed"
    with pytest.raises(InputError, match="measured_sequences is 0"):
        replace(small_preset.study, measured_sequences=0)


def test_a_missing_seed_is_added_to_those_that_are_there(tiny_study):
    shutil.rmtree(tiny_study / "seed-1")
    before = files(tiny_study)
    study = Study("dyck", "tiny")
    pd.testing.assert_frame_equal(study.results, pd.read_parquet(tiny_study / "faithfulness.parquet"), check_exact=True)
    after = files(tiny_study)
    assert {name: after[name] for name in before} == before
    assert "seed-1/model.safetensors" in after


def test_a_study_may_have_other_seeds_than_its_preset(tiny_study):
    assert set(Study("dyck", "tiny", seeds=1).results["seed"]) == {0}
    assert set(Study("dyck", "tiny", seeds=3).results["seed"]) == {0, 1, 2}
    for seeds in (0, -1, 1.5):
        with pytest.raises(InputError, match=f"seeds is {seeds}"):
            Study("dyck", "tiny", seeds=seeds)


def test_training_curves_of_all_seeds_come_together(tiny_study):
    history = Study("dyck", "tiny").history
    assert set(history["seed"]) == {0, 1}
    assert history.groupby("seed")["step"].last().tolist() == [40, 40]


def test_settings_along_training_are_measured_on_the_model_of_each_step(tiny_study, small_preset):
    run = Run("dyck", "tiny", 0)
    table = run.along_training
    assert sorted(set(table["step"])) == run.history["step"].tolist()
    assert set(table["split"]) == set(SPLITS)
    assert table["sequence"].max() == small_preset.training.heldout_sequences - 1
    whole = table[table["group"] == ""]
    for split in SPLITS:
        measured = whole[whole["split"] == split].groupby("step")[["original_accuracy", "n"]].sum()
        accuracy = measured["original_accuracy"] / measured["n"]
        np.testing.assert_allclose(accuracy, run.history.set_index("step")[f"accuracy_{split}"], atol=1e-6)
    last = whole[whole["step"] == run.history["step"].iloc[-1]].drop(columns="step")
    final = run.sequences.merge(last, on=[c for c in last.columns if c not in (*METRICS, "n")], suffixes=("", "_along"))
    assert len(final) == len(last)
    for metric in METRICS:
        np.testing.assert_allclose(final[f"{metric}_along"], final[metric], atol=1e-4)


def test_the_model_at_the_last_step_is_the_model(tiny_study):
    run = Run("dyck", "tiny", 0)
    last = run.model_at(40).state_dict()
    assert all((tensor == last[name]).all() for name, tensor in run.model.state_dict().items())
    with pytest.raises(InputError):
        run.model_at(39)


# ... where it fits


def test_a_model_of_another_configuration_is_refused_with_what_differs(tiny_study, small_preset, monkeypatch):
    other = replace(small_preset, training=replace(small_preset.training, steps=41))
    monkeypatch.setitem(PRESETS, "tiny", Preset("tiny", {"dyck": other}))
    with pytest.raises(ArtifactError, match=r"config.json .*another configuration \(training.steps is 40 instead of 41\)"):
        Run("dyck", "tiny", 0).train()


def test_a_model_of_other_data_is_refused(tiny_study):
    path = tiny_study / "seed-0" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fingerprint": "0" * 64}))
    with pytest.raises(ArtifactError, match=r"seed-0 .*trained on other data .*delete .*python -m lib train dyck"):
        _ = Run("dyck", "tiny", 0).model


def test_the_first_difference_of_two_configurations_is_named():
    one = {"task": "dyck", "data": {"k": 3, "m": 4}}
    assert first_difference(one, {"task": "dyck", "data": {"m": 4, "k": 3}}) is None
    assert first_difference(one, {"task": "dyck", "data": {"k": 3, "m": 5}}) == "data.m is 4 instead of 5"
    assert first_difference(one, {"task": "dyck"}) == "data is {'k': 3, 'm': 4} instead of None"


# One's own sentences


def test_sentences_from_a_file_are_measured_like_a_split_of_the_study(tiny_study, small_task, small_data, tmp_path):
    """The sentences of `unseen_depth`, written to a file: every measure is the same as of the split itself."""
    file = tmp_path / "deep.txt"
    file.write_text(write_sentences(small_task.splits["unseen_depth"].tokens, small_data.bracket_types))
    study = Study("dyck", "tiny", seeds=1)
    extended = study.with_sentences(file)
    results = extended.results
    fitted_on_training = results[results["fit_on"] == "training"]
    mine, theirs = (
        fitted_on_training[fitted_on_training["split"] == name].drop(columns="split").reset_index(drop=True)
        for name in ("deep", "unseen_depth")
    )
    pd.testing.assert_frame_equal(mine, theirs, atol=1e-5)
    own = results[results["split"] != "deep"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, study.results, check_exact=True)
    assert set(study.results["split"]) == set(SPLITS), "the study itself stays as it was"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        pytest.param("mine.txt", "", "mine.txt holds no sentence", id="empty"),
        pytest.param("mine.txt", "(a (b a) b)\n", "mine.txt, line 1: .*closes a \\(b", id="not balanced"),
        pytest.param("mine.txt", "(a (d d) a)\n", "line 1: token 2 is '\\(d'", id="unknown type"),
        pytest.param("mine.txt", "(a a)\n" * 9, "split 'mine' .*position to score.*min_distance", id="nothing to score"),
        pytest.param("iid.txt", "(a (a (a a) a) a)\n", "iid.txt .*'iid', which exists already", id="name taken"),
        pytest.param("mine.txt", "(a a) " * 13, "line 1: 26 brackets.* at most 24", id="longer than the model reads"),
    ],
)
def test_sentences_that_cannot_be_used_are_refused_before_anything_is_trained(tiny, tmp_path, name, text, says):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(InputError, match=says):
        Study("dyck", tiny).with_sentences(file)
    assert not root().exists()


# Places


def test_results_are_kept_where_the_brief_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path))
    assert seed_folder("quick", "dyck", 3) == tmp_path / "quick" / "dyck" / "seed-3"
    assert task_folder("paper", "dyck") == tmp_path / "paper" / "dyck"
    monkeypatch.setenv("LIB_ARTIFACTS", "")
    assert root() == Path(__file__).resolve().parent.parent / "artifacts"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("huge", "dyck", 0), "preset is 'huge'.*smoke, quick, paper", id="unknown preset"),
        pytest.param(("smoke", "code2", 0), "task is 'code2'.*dyck", id="unknown task"),
        pytest.param(("smoke", "dyck", -1), "seed is -1.*at least 0|seed is -1.*between 0", id="negative seed"),
    ],
)
def test_a_place_that_does_not_exist_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        seed_folder(*arguments)


def test_a_seed_that_no_random_generator_takes_is_refused_at_once():
    """K-means takes seeds up to 2**32 - 1; a larger one would train a model that can never be measured."""
    assert seed_folder("smoke", "dyck", 2**32 - 1).name == "seed-4294967295"
    with pytest.raises(InputError, match="seed is 4294967296"):
        seed_folder("smoke", "dyck", 2**32)


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
    assert files(tmp_path) == {"table.csv": b"before"}


# Presets


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_every_setting_of_a_preset_suits_its_model(name):
    for task in PRESETS[name].tasks.values():
        assert task.study.grid[1].keys() >= {"svd", "kmeans", "one_hot"}
        for grid in (task.study.grid, task.study.along_training, task.study.oracle):
            for setting in settings_of(grid):
                setting.check(task.model)
        for setting in head_settings(task.study.each_head, task.model):
            setting.check(task.model)
        if isinstance(task.data, DyckConfig):  # how many functions there are, the corpus decides
            assert task.study.fit_sequences <= task.data.training_sentences
            assert task.training.batch_size <= task.data.training_sentences


def test_presets_grow():
    smoke, quick, paper = (PRESETS[name] for name in ("smoke", "quick", "paper"))
    assert quick.task("dyck").seeds < paper.task("dyck").seeds
    sizes = [p.tasks["dyck"].training.steps for p in (smoke, quick, paper)]
    assert sizes == sorted(sizes)
    assert quick.task("dyck").data.training_sentences == paper.task("dyck").data.training_sentences == 200_000


def test_a_layer_that_the_model_lacks_is_refused_in_a_preset(small_preset):
    for grid in ("grid", "along_training", "oracle"):
        with pytest.raises(InputError, match=r"layer is 2.*-1, 0, 1"):
            replace(small_preset, study=StudyConfig(**{"grid": {}, grid: {2: {"one_hot": (None,)}}}))
