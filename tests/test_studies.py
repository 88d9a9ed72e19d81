"""Studies: what they leave, that they are the same every time, and what is measured on top of what is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from pydantic import Field, ValidationError

from lib import cli
from lib.artifacts import root
from lib.errors import InputError
from lib.experiment import Experiment, MeasuringConfig, simplifications_of
from lib.measuring.measures import MEASURES
from lib.measuring.table import COLUMNS
from lib.models.transformer import ModelConfig
from lib.presets import load
from lib.proxies import PROXIES, Proxy, Simplification
from lib.runs import Run
from lib.split import Dataset, Sequences, Split
from lib.studies import Study
from lib.tasks import TASKS, Look, Task
from lib.tasks.dyck.text import write_sentences

SPLITS = [
    "iid", "seen_structure", "unseen_structure", "unseen_structure_long", "unseen_length", "unseen_depth", "iid_matched",
    "by_depth",
]  # fmt: skip
OF_A_SEED = [
    "along_training.parquet", "config.json", "measurements.json", "measurements.parquet", "model.safetensors",
    "proxies.json", "proxies.safetensors", "snapshots.safetensors", "training.csv",
]  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def measuring(experiment: Experiment, **change: object) -> Experiment:
    """The experiment with other values of what is measured."""
    return Experiment(
        **{name: getattr(experiment, name) for name in ("task", "model", "training", "seeds")},
        measuring=MeasuringConfig(**{**experiment.measuring.model_dump(), **change}),
    )


@pytest.fixture
def study(tiny, tiny_study) -> Study:
    """The study of the preset `tiny`, complete, in an artifacts folder of one's own."""
    return load(tiny).study("dyck")


# What a study leaves


def test_a_study_leaves_the_files_that_users_rely_on(tiny_artifacts):
    of_seeds = [f"dyck/seed-{seed}/{name}" for seed in (0, 1) for name in OF_A_SEED]
    assert sorted(contents(tiny_artifacts / "tiny")) == ["dyck/faithfulness.json", "dyck/faithfulness.parquet", *of_seeds]


def test_the_results_table_holds_every_measurement(tiny_artifacts, small_experiment):
    table = pd.read_parquet(tiny_artifacts / "tiny" / "dyck" / "faithfulness.parquet")
    assert list(table.columns) == COLUMNS
    assert set(table["task"]) == {"dyck"}
    assert set(table["seed"]) == {0, 1}
    whole = table[table["group"] == ""]
    asked = small_experiment.measuring
    refitted = simplifications_of(asked.refitted, asked.refitted_on)
    oracle = [s for s in refitted if s.fit_on in SPLITS]  # measured on what it was fitted on
    everywhere = [*simplifications_of(asked.grid), *(s for s in refitted if s.fit_on not in SPLITS)]
    assert len(whole) == 2 * (len(everywhere) * len(SPLITS) + len(oracle)) * (len(MEASURES) + 1)
    assert set(whole["metric"]) == {*MEASURES, "original_accuracy"}
    assert set(whole["split"]) == set(SPLITS)
    on_splits = whole[whole["fit_on"].isin(SPLITS)]
    assert (on_splits["fit_on"] == on_splits["split"]).all()
    assert {*whole["fit_on"]} == {"training", *asked.refitted_on}
    assert str(table["complexity"].dtype) == "Int64"
    assert table.loc[table["proxy"] == "one_hot", "complexity"].isna().all()
    distinct = whole[["layer", "head", "proxy", "complexity", "fit_on"]].drop_duplicates()
    found = set(distinct.fillna({"complexity": 0}).itertuples(index=False, name=None))
    assert found == {(s.layer, s.head, s.proxy, s.complexity or 0, s.fit_on) for s in [*everywhere, *oracle]}
    assert (table["n"] > 0).all()
    assert table["value"].notna().all()
    assert table.loc[table["metric"] != "output_kl", "value"].between(0, 1).all()


@pytest.mark.slow
def test_the_commands_of_a_study_one_by_one_leave_the_same_to_the_bit(tiny, tiny_artifacts, capsys):
    for arguments in (["train", "--seed", "1"], ["evaluate", "--seed", "1"], ["evaluate"]):
        assert cli.main([arguments[0], "dyck", "--preset", tiny, *arguments[1:]]) == 0
    assert contents(root()) == contents(tiny_artifacts)
    assert capsys.readouterr().out.endswith(f"all measurements: {root() / 'tiny' / 'dyck' / 'faithfulness.parquet'}\n")


def test_estimates_are_means_over_seeds_of_the_results_table(study):
    table = pd.read_parquet(study.save())
    table = table[(table["layer"] == 1) & (table["fit_on"] == "training") & (table["split"] == "unseen_depth")]
    means = table.fillna({"complexity": 0}).groupby(["proxy", "complexity", "group", "group_value", "metric"])["value"].mean()
    for simplification in study.simplifications(1):
        key = (simplification.proxy, simplification.complexity or 0)
        for measure in MEASURES:
            whole = study.estimates.estimate(simplification, "unseen_depth", measure)
            assert whole.value == pytest.approx(means[(*key, "", "", measure)], abs=1e-6)
        deep = study.estimates.estimate(simplification, "unseen_depth", "accuracy", depth=5)
        assert deep.value == pytest.approx(means[(*key, "depth", "5", "accuracy")], abs=1e-6)


def test_a_missing_seed_is_added_to_those_that_are_there(study, tiny_study, tiny_artifacts):
    shutil.rmtree(tiny_study / "seed-1")
    kept = {path: path.stat().st_mtime_ns for path in (tiny_study / "seed-0").iterdir()}
    study.save()
    assert contents(tiny_study) == contents(tiny_artifacts / "tiny" / "dyck")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_study_may_have_other_seeds_than_its_preset(tiny, study):
    assert load(tiny).study("dyck", seeds=1).estimates.seeds == [0]
    assert load(tiny).study("dyck", seeds=3).estimates.seeds == [0, 1, 2]
    table = pd.read_parquet(load(tiny).study("dyck", seeds=1).save())
    assert set(table["seed"]) == {0}
    assert set(pd.read_parquet(study.save())["seed"]) == {0, 1}
    for seeds in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match=f"seeds is {seeds!r}, but must be a whole number"):
            load(tiny).study("dyck", seeds=seeds)


def test_training_curves_of_all_seeds_come_together(study):
    assert set(study.history["seed"]) == {0, 1}
    assert study.history.groupby("seed")["step"].last().tolist() == [40, 40]


def test_the_model_at_the_last_step_is_the_model(study):
    run = study.runs[0]
    last = run.model_at(40).state_dict()
    assert all((tensor == last[name]).all() for name, tensor in run.model.state_dict().items())
    with pytest.raises(InputError, match=r"step is 39, but must be one of: 4, 18, 40"):
        run.model_at(39)


def test_weights_along_training_are_kept_only_where_they_are_asked_for(small_experiment, tmp_path):
    training = small_experiment.training.model_copy(update={"snapshots": False})
    parts = {**dict(small_experiment), "training": training}
    with pytest.raises(ValueError, match="snapshots is false: keep them in training"):
        Experiment(**parts)
    parts["measuring"] = small_experiment.measuring.model_copy(update={"along_training": {}})
    run = Study("small", Experiment(**parts), tmp_path).runs[0]
    assert run.history["step"].tolist() == [4, 18, 40]
    with pytest.raises(InputError, match=r"small, seed 0 kept no weights along training: set training\.snapshots"):
        run.model_at(40)


def test_what_is_measured_along_training_is_measured_on_the_model_of_each_step(study, small_experiment):
    assert list(study.along_training) == study.history["step"].unique().tolist()
    simplification = Simplification("svd", 2, 1)
    for seed, run in enumerate(study.runs):
        history = run.history.set_index("step")
        for block in run.blocks_along_training():
            assert block.sequences == small_experiment.training.heldout_sequences
            assert [s for s in block.simplifications if s.proxy] == [simplification]
            own = next(sums for (s, measure), sums in block.sums.items() if (s.proxy, measure) == ("", "accuracy"))
            accuracy = own.sum() / block.columns["n"].sum()
            assert accuracy == pytest.approx(history.loc[block.step, f"accuracy_{block.split}"], abs=1e-6)
        final = {b.split: b for b in run.blocks()}
        last = [b for b in run.blocks_along_training() if b.step == 40]
        assert [b.split for b in last] == SPLITS
        for block in last:
            of_all, first = final[block.split], final[block.split].columns["sequence"] < block.sequences
            for measure in MEASURES:
                few, of_those = block.sums[simplification, measure].sum(), of_all.sums[simplification, measure][first].sum()
                assert few == pytest.approx(of_those, rel=1e-4, abs=1e-3), (seed, measure)


def test_where_nothing_is_measured_along_training_there_is_nothing_to_show(small_experiment, tmp_path):
    experiment = measuring(small_experiment, along_training={}, refitted={}, grid={"1": {"one_hot": ()}})
    assert Study("dyck", experiment, tmp_path, seeds=1).along_training == {}


def test_splits_on_which_only_the_whole_model_is_measured_have_nothing_else(small_experiment, tmp_path):
    grid = {"0": {"one_hot": ()}, "all": {"one_hot": ()}}
    experiment = measuring(small_experiment, grid=grid, refitted={}, along_training={}, whole_model_only=("unseen_*",))
    study = Study("dyck", experiment, tmp_path, seeds=1)
    everywhere, part = Simplification("one_hot"), Simplification("one_hot", layer=0)
    assert all(study.estimates.has(everywhere, split) for split in SPLITS)
    measured = [split for split in SPLITS if study.estimates.has(part, split)]
    assert measured == ["iid", "seen_structure", "iid_matched", "by_depth"]


def test_each_head_is_simplified_on_its_own(small_experiment, tmp_path):
    experiment = measuring(small_experiment, grid={}, refitted={}, along_training={}, each_head={"svd": (3,), "one_hot": ()})
    study = Study("dyck", experiment, tmp_path, seeds=1)
    heads = {(s.proxy, s.layer, s.head) for s in study.runs[0].blocks()[0].simplifications if s.proxy}
    assert heads == {(proxy, layer, head) for proxy in ("svd", "one_hot") for layer in (0, 1) for head in (0, 1)}


# What is measured, and what may be


def test_every_layer_and_family_of_the_grid_can_be_asked_for(study):
    assert {s.proxy for s in study.simplifications(0)} == {"svd", "kmeans", "one_hot"}
    assert study.family("svd", 1) == [Simplification("svd", 2, 1)]
    assert study.family("weight_svd", 1) == []
    with pytest.raises(InputError, match=r"layer is -1, but must be one of: 0, 1"):
        study.simplifications(-1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"grid": {"2": {"one_hot": ()}}}, "layer 2 is measured, but the model has only 2", id="no such layer"),
        pytest.param({"along_training": {"2": {"one_hot": ()}}}, "layer 2 is measured", id="no such layer along training"),
        pytest.param({"refitted": {"2": {"one_hot": ()}}}, "layer 2 is measured", id="no such layer for the oracle"),
        pytest.param({"grid": {"first": {"one_hot": ()}}}, 'layers are "0", "1", ... or "all", not \'first\'', id="no layer"),
        pytest.param({"grid": {"01": {"one_hot": ()}}}, "not '01'", id="two names of a layer"),
        pytest.param({"grid": {"0": {"pca": (2,)}}}, "no proxy is called pca; there are ", id="no such proxy"),
        pytest.param({"each_head": {"pca": (2,)}}, "no proxy is called pca", id="no such proxy for heads"),
        pytest.param({"grid": {"0": {"svd": (9,)}}}, "rank of svd is 9, .* between 1 and 8", id="rank above the head's width"),
        pytest.param({"along_training": {"0": {"svd": (9,)}}}, "rank of svd is 9", id="rank too large along training"),
        pytest.param({"refitted": {"0": {"svd": (0,)}}}, "rank of svd is 0", id="rank 0"),
        pytest.param({"each_head": {"kmeans": (0,)}}, "clusters of kmeans is 0", id="no clusters"),
        pytest.param({"grid": {"0": {"svd": ()}}}, "rank of svd is None", id="a rank is missing"),
        pytest.param({"grid": {"0": {"one_hot": (2,)}}}, "one_hot has nothing to choose", id="a number too many"),
        pytest.param({"refitted_on": ()}, "refitted_on is empty", id="an oracle on nothing"),
        pytest.param({"fit_sequences": 0}, "fit_sequences", id="nothing to fit on"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(small_experiment, change, says):
    with pytest.raises(ValidationError, match=says):
        measuring(small_experiment, **change)


def test_a_model_that_is_too_small_for_what_is_measured_is_refused(small_experiment):
    values = {name: getattr(small_experiment, name) for name in ("task", "training", "measuring", "seeds")}
    with pytest.raises(ValidationError, match=r"layer 1 is measured, but the model has only 1 "):
        Experiment(model=ModelConfig(layers=1, width=16), **values)
    with pytest.raises(ValidationError, match=r"rank of svd is 2, but must be a whole number, between 1 and 1"):
        Experiment(model=ModelConfig(layers=2, heads=16, width=16), **values)


def test_further_proxies_join_wherever_something_is_measured(small_experiment):
    try:

        class Nothing(Proxy, name="nothing", parameter=None):
            @classmethod
            def fit(cls, head, complexity):
                return cls()

        class Half(Nothing, name="half"):
            pass

        more = measuring(small_experiment, each_head={"svd": (2,)}).with_proxies(["nothing", "half", "svd"])
        added = {(s.proxy, s.complexity, s.layer, s.head, s.fit_on) for s in more.simplifications()}
        for name, complexity in (("nothing", None), ("half", 2)):
            assert {(name, complexity, layer, -1, "training") for layer in (0, 1)} <= added
            assert {(name, complexity, 1, -1, split) for split in ("iid", "unseen_length", "unseen_depth")} <= added
            assert {(name, complexity, layer, head, "training") for layer in (0, 1) for head in (0, 1)} <= added
            assert name in more.measuring.along_training["1"]
        assert more.measuring.grid["0"]["svd"] == (2,), "what was asked for stays"
        assert small_experiment.with_proxies(["half"]).measuring.each_head == {}
    finally:
        for name in ("nothing", "half"):
            PROXIES.pop(name, None)


# More than the experiment asks for


@pytest.mark.slow
def test_a_rank_that_was_not_measured_is_measured_when_it_is_asked_for(study, small_experiment, tmp_path):
    before = contents(study.folder)
    asked = Simplification("svd", 3, 1)
    assert not study.estimates.has(asked, "iid")
    assert study.simplified("svd", 3, 1) == asked
    grid = {**small_experiment.measuring.grid, "1": {"svd": (2, 3)}}
    planned = Study("dyck", measuring(small_experiment, grid=grid), tmp_path / "planned")
    for split in SPLITS:
        assert study.estimates.has(asked, split)
        for measure in MEASURES:
            one, other = (s.estimates.estimate(asked, split, measure, depth=(2, 3)) for s in (study, planned))
            assert one.value == pytest.approx(other.value, abs=1e-6)
            assert one.interval == pytest.approx(other.interval, abs=1e-6)
    assert len(pd.concat(study.results()).query("complexity == 3")) > 0
    (study.folder / "faithfulness.parquet").unlink()
    study.save()
    assert contents(study.folder) == before, "it is for this session only"


def test_what_was_measured_is_not_measured_again(study, tmp_path):
    study.simplified("svd", 3, 1)
    blocks = {seed: study.estimates.blocks(seed)[0].sums for seed in (0, 1)}
    study.simplified("svd", 3, 1)
    study.simplified("svd", 2, 0)
    assert all(study.estimates.blocks(seed)[0].sums is sums for seed, sums in blocks.items())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        pytest.param(("svd", 9, 1), "rank of svd is 9, .* between 1 and 8", id="rank above the head's width"),
        pytest.param(("svd", 2, 2), "layer is 2, but must be one of: -1, 0, 1", id="no such layer"),
        pytest.param(("pca", 2, 1), "proxy is 'pca', but must be one of: ", id="no such proxy"),
        pytest.param(("svd", True, 1), "rank of svd is True", id="a truth value"),
        pytest.param(("one_hot", 2, 1), "one_hot has nothing to choose", id="a number too many"),
    ],
)
def test_what_the_model_does_not_have_is_refused_before_anything_is_trained(tiny, asked, says):
    with pytest.raises(InputError, match=says):
        load(tiny).study("dyck").simplified(*asked)
    assert not root().exists()


# One's own sentences


@pytest.fixture
def deep(small_dataset, small_data, tmp_path) -> Path:
    """The sentences of `unseen_depth` in a file."""
    file = tmp_path / "deep.txt"
    file.write_text(write_sentences(small_dataset.splits["unseen_depth"].tokens, small_data.bracket_types))
    return file


def test_sentences_from_a_file_are_measured_like_a_split_of_the_study(study, tiny, deep):
    """Every measure is the same as of the split itself, and it is the only split."""
    one_seed = load(tiny).study("dyck", seeds=1)  # the sentences are those of seed 0
    own = one_seed.with_split(deep)
    assert own.splits == ["deep"]
    mine = pd.concat(own.results())
    theirs = pd.concat(one_seed.results()).query("split == 'unseen_depth' and fit_on == 'training' and group != 'frequency'")
    same = [frame.drop(columns="split").reset_index(drop=True) for frame in (mine, theirs)]
    pd.testing.assert_frame_equal(*same, atol=1e-5)
    assert one_seed.splits == SPLITS, "the study itself stays as it was"


def test_a_rank_that_was_not_measured_is_measured_on_sentences_from_a_file(study, deep):
    own = study.with_split(deep)
    asked = own.simplified("svd", 3, 1)
    assert own.splits == ["deep"]
    assert (
        0
        < own.estimates.estimate(asked, "deep", "output_kl").value
        < own.estimates.estimate(own.simplified("svd", 1, 1), "deep", "output_kl").value
    )


def test_sentences_from_a_file_leave_the_results_of_the_study_alone(study, deep, tmp_path):
    before = contents(study.folder)
    own = study.with_split(deep)
    own.write_results(tmp_path / "deep.parquet")
    assert set(pd.read_parquet(tmp_path / "deep.parquet")["split"]) == {"deep"}
    (study.folder / "faithfulness.parquet").unlink()
    assert own.save() == study.folder / "faithfulness.parquet"
    assert contents(study.folder) == before


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        pytest.param("mine.txt", "", "mine.txt holds no sentence", id="empty"),
        pytest.param("mine.txt", "(a (b a) b)\n", "mine.txt, line 1: .*closes a \\(b", id="not balanced"),
        pytest.param("mine.txt", "(a (d d) a)\n", "line 1: token 2 is '\\(d'", id="unknown type"),
        pytest.param("mine.txt", "(a a)\n" * 9, "split 'mine' .*position to score.*min_distance", id="nothing to score"),
        pytest.param("iid.txt", "(a (a (a a) a) a)\n", "iid.txt .*'iid', which exists already", id="name taken"),
        pytest.param("mine.txt", "(a a) " * 13, "line 1: 26 brackets.* at most 24", id="longer than the model reads"),
        pytest.param("mine.txt", None, "mine.txt cannot be read: No such file", id="no file"),
    ],
)
def test_sentences_that_cannot_be_used_are_refused_before_anything_is_trained(tiny, tmp_path, name, text, says):
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=says):
        load(tiny).study("dyck").with_split(file)
    assert not root().exists()


# A task of one's own


@pytest.fixture
def copying():
    """A task that is nowhere but in this file: the first token comes again after a delay, on one split after a longer one."""

    class Copying(Task):
        kind: ClassVar[str] = "copying"
        title: ClassVar[str] = "copying"
        reference: ClassVar[str] = "short"
        chosen_on: ClassVar[str] = "short"

        reads: ClassVar[dict] = {}
        reads_for_splits: ClassVar[dict] = {}

        symbols: int = Field(4, ge=2)
        delay: int = Field(3, ge=1)

        def sample(self, seed: int) -> Dataset:
            rng = np.random.default_rng(seed)

            def drawn(count: int, delay: int) -> np.ndarray:  # symbol, filler ..., symbol, filler
                tokens = np.full((count, self.delay * 2 + 3), 1)
                tokens[:, 0] = tokens[:, delay + 1] = rng.integers(2, 2 + self.symbols, count)
                return tokens

            def split(name: str, delay: int) -> Split:
                tokens = drawn(20, delay)
                scored = np.zeros(tokens.shape, bool)
                scored[:, delay] = True
                candidates = np.arange(2, 2 + self.symbols)
                gaps = np.full(tokens.shape, delay)
                return Split(
                    name=name, tokens=tokens, lengths=np.full(20, tokens.shape[1]), scored=scored, candidates=candidates,
                    covariates={"gap": gaps},
                )  # fmt: skip

            vocabulary = ("PAD", "_", *map(str, range(self.symbols)))
            training = Sequences.padded(drawn(100, self.delay))
            splits = {"short": split("short", self.delay), "long": split("long", 2 * self.delay)}
            return Dataset(vocabulary, training.tokens.shape[1], training, splits)

        def identity(self) -> dict:
            return self.reads

        def tested_on(self) -> dict:
            return self.reads_for_splits

        def look(self, split: str) -> Look:
            return Look(split, "#000000", "o")

        def size(self, sequences: int | None = None) -> str:
            return f"{min(20, sequences or 20)} sequences a split"

    yield Copying
    del TASKS["copying"]


def test_a_task_that_is_defined_in_one_file_goes_all_the_way(copying, small_experiment, write_preset, tmp_path):
    grid = {"all": {"svd": (2, 8), "kmeans": (2,), "one_hot": ()}, "1": {"svd": (8,)}}
    measured = MeasuringConfig(
        grid=grid, along_training={"1": {"svd": (2,)}}, refitted=grid, refitted_on=("long",), each_head={"weight_svd": (8,)}
    )
    experiment = Experiment(
        task=copying(delay=2), model=small_experiment.model, training=small_experiment.training, measuring=measured, seeds=2
    )
    preset = load(str(write_preset(tmp_path / "mine.toml", {"copies": experiment})))
    assert preset.experiment("copies") == experiment
    study = preset.study("copies")
    table = pd.read_parquet(study.save())
    assert set(table["task"]) == {"copies"}
    assert set(table["split"]) == {"short", "long"}
    assert set(table["group"]) == {"", "gap", "margin"}
    assert set(table.loc[table["group"] == "gap", "group_value"]) == {"2", "4"}
    whole = study.estimates.estimate(Simplification("svd", 8, 1), "short", "same_prediction")
    assert (whole.value, whole.seeds, whole.positions) == (1, 2, 40)
    assert study.estimates.gap(Simplification("svd", 2), "long", "short").positions == 40
    assert list(study.along_training) == [4, 18, 40]
    assert study.simplified("random_subspace", 4, 0).proxy == "random_subspace"
    assert study.task.findings(study) == []
    assert study.summary().count("\n") > 5
    with pytest.raises(InputError, match=r"mine.txt: a task of kind 'copying' does not read sentences"):
        study.with_split(tmp_path / "mine.txt")
    assert Path(__file__).name in study.experiment.training_code()


def test_a_task_of_one_s_own_is_configured_like_any_other(copying, write_preset, small_experiment, tmp_path):
    experiment = small_experiment.model_copy(update={"task": copying()})
    path = write_preset(tmp_path / "mine.toml", {"copies": experiment})
    path.write_text(path.read_text().replace('"delay" = 3', '"delay" = 0'))
    with pytest.raises(InputError, match=r"mine.toml, \[copies\], data: delay is 0: .*greater than or equal to 1"):
        load(str(path))


def test_what_a_task_reads_counts_as_what_it_says_that_it_is_for(copying, small_experiment, tmp_path):
    experiment = small_experiment.model_copy(
        update={"task": copying(), "measuring": MeasuringConfig(grid={"1": {"one_hot": ()}})}
    )
    assert Run("copies", experiment, tmp_path, 0).measure()
    assert not Run("copies", experiment, tmp_path, 0).measure()
    copying.reads_for_splits = {"file": "abc"}
    assert not Run("copies", experiment, tmp_path, 0).train()
    assert Run("copies", experiment, tmp_path, 0).measure()
    copying.reads = {"file": "abc"}
    with pytest.raises(InputError, match=r"something else \(data.file is None instead of 'abc'\)"):
        Run("copies", experiment, tmp_path, 0).train()


def test_another_value_of_a_task_is_another_model(copying, small_experiment, tmp_path):
    experiment = small_experiment.model_copy(update={"task": copying(), "measuring": MeasuringConfig(grid={})})
    Run("copies", experiment, tmp_path, 0).train()
    other = experiment.model_copy(update={"task": copying(symbols=5)})
    with pytest.raises(InputError, match=r"something else \(task.symbols is 4 instead of 5\)"):
        Run("copies", other, tmp_path, 0).train()
