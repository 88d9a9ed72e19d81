"""Training is a function of configuration and seed, also when it is killed on the way, and leaves only its results."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from processes import exit_code, fork, fresh
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lib.config import checked
from lib.errors import ArtifactError, InputError
from lib.experiment import Experiment
from lib.models.machine import DEFAULT, ONEDNN, by_onednn, check_precision, faster, resolve_device
from lib.models.trainer import Trainer, TrainingConfig, learning_rate
from lib.models.training import CHECKPOINT, evaluation_steps, length_batches
from lib.models.transformer import ModelConfig, Transformer
from lib.runs import Run
from lib.split import Dataset

RESULTS = ["config.json", "model.safetensors", "snapshots.safetensors", "training.csv"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    assert names(folder) == RESULTS, "the results and nothing else"
    return {name: (folder / name).read_bytes() for name in RESULTS}


def run_of(experiment: Experiment, folder: Path, seed: int = 0, data: Dataset | None = None) -> Run:
    """A run, on its own data unless others are given."""
    run = Run("dyck", experiment, folder, seed, "cpu")
    if data is not None:
        run.data = data
    return run


def other(experiment: Experiment, **training: object) -> Experiment:
    """The experiment with other values of its training."""
    changed = TrainingConfig(**{**experiment.training.model_dump(), **training})
    return experiment.model_copy(update={"training": changed})


@pytest.fixture(scope="module")
def trained(small_dataset, small_experiment, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert run_of(small_experiment, folder, data=small_dataset).train()
    return folder


@pytest.fixture(scope="module")
def checkpoint(small_dataset, small_experiment, tmp_path_factory) -> Path:
    """What a run that was cut off has left: its last checkpoint."""
    folder = tmp_path_factory.mktemp("cut off")

    class PowerCut(BaseException):
        pass

    class CutOff(np.ndarray):
        """Training sentences that end the world when they are asked for the 25th batch, once it is known what is faster."""

        left = math.inf

        def __getitem__(self, index):
            if isinstance(index, tuple):
                CutOff.left -= 1
                if not CutOff.left:
                    raise PowerCut
            return np.asarray(self)[index]

    def then_counted(*of):
        found = faster(*of)
        CutOff.left = 25
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lib.models.training.faster", then_counted)
        with pytest.raises(PowerCut):
            run_of(small_experiment, folder, data=with_tokens(small_dataset, CutOff)).train()
    assert names(folder) == [CHECKPOINT]
    assert step_of(folder / CHECKPOINT) == 21
    return folder / CHECKPOINT


def step_of(path: Path) -> int:
    """The step that a checkpoint was taken after, 0 where there is none."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["progress"])["step"]


def with_tokens(data: Dataset, kind: type[np.ndarray]) -> Dataset:
    """The data, with training tokens of another kind of array."""
    return replace(data, training=replace(data.training, tokens=data.training.tokens.view(kind)))


# What a run leaves


def test_the_same_seed_gives_the_same_weights_and_curve_to_the_bit(small_experiment, trained, tmp_path):
    run_of(small_experiment, tmp_path).train()
    assert contents(tmp_path) == contents(trained)


def test_another_seed_gives_other_weights(small_experiment, trained, tmp_path):
    run_of(small_experiment, tmp_path, seed=1).train()
    assert contents(tmp_path)["model.safetensors"] != contents(trained)["model.safetensors"]


def test_the_weights_are_those_of_the_model_and_it_has_moved(trained, small_dataset, small_experiment):
    untrained = Transformer.seeded(small_experiment.model, len(small_dataset.vocabulary), small_dataset.context, 0)
    model = run_of(small_experiment, trained, data=small_dataset).model
    before, after = untrained.state_dict(), model.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert all(not torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_what_the_model_depends_on_is_kept_beside_the_weights(trained, small_dataset, small_experiment):
    kept = json.loads((trained / "config.json").read_text())
    assert kept["kind"] == "dyck"
    assert kept["seed"] == 0
    assert kept["task"]["bracket_types"] == small_experiment.task.bracket_types
    assert kept["model"]["heads"] == small_experiment.model.heads
    assert kept["training"]["steps"] == small_experiment.training.steps
    assert {"lib.models.training", "lib.models.transformer", "lib.tasks.dyck.splits", "lib.split"} <= set(kept["code"])
    assert kept["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert kept["versions"]["numpy"] == np.__version__
    assert kept["made"]["data"] == small_dataset.fingerprint
    assert (kept["made"]["device"], kept["made"]["precision"]) == ("cpu", "float32")


def test_the_curve_has_a_row_an_evaluation(trained, small_dataset, small_experiment):
    curve = pd.read_csv(trained / "training.csv")
    assert list(curve.columns) == ["step", "learning_rate", "loss", *(f"accuracy_{name}" for name in small_dataset.splits)]
    assert list(curve["step"]) == sorted(evaluation_steps(small_experiment.training))
    assert curve["step"].iloc[-1] == small_experiment.training.steps
    assert curve["learning_rate"].tolist() == pytest.approx(
        [learning_rate(step - 1, small_experiment.training) for step in curve["step"]]
    )
    assert curve.filter(like="accuracy_").apply(lambda accuracy: accuracy.between(0, 1)).all(axis=None)


def test_training_learns(small_data, small_experiment, tmp_path):
    """An easy language in a few seconds' worth of steps: loss falls and the closers of `iid` are mostly right."""
    easy = type(small_data)(**{**small_data.model_dump(), "bracket_types": 2, "max_depth": 2, "unseen_depth": 4})
    model = ModelConfig(layers=2, width=16, mlp_width=32)
    training = TrainingConfig(steps=300, batch_size=32, warmup_steps=20, peak_learning_rate=1e-2, evaluations=4)
    run_of(small_experiment.model_copy(update={"task": easy, "model": model, "training": training}), tmp_path).train()
    curve = pd.read_csv(tmp_path / "training.csv")
    assert curve["loss"].iloc[-1] < 0.6 * curve["loss"].iloc[0]
    assert curve["accuracy_iid"].iloc[-1] > 0.8


def test_snapshots_are_the_weights_at_every_row_of_the_curve(trained):
    snapshots = load_file(trained / "snapshots.safetensors")
    steps = pd.read_csv(trained / "training.csv")["step"].tolist()
    final = load_file(trained / "model.safetensors")
    assert set(snapshots) == {f"{step}.{name}" for step in steps for name in final}
    for name, tensor in final.items():
        assert torch.equal(snapshots[f"{steps[-1]}.{name}"], tensor)
        assert not torch.equal(snapshots[f"{steps[0]}.{name}"], tensor)


def test_the_final_accuracy_is_that_of_the_final_weights(trained, small_dataset, small_experiment):
    model = run_of(small_experiment, trained, data=small_dataset).model
    split = small_dataset.splits["iid"]
    right = []
    for row in range(small_experiment.training.heldout_sequences):
        logits = model(torch.from_numpy(split.tokens[row : row + 1].astype(np.int64)))[0]
        for position in np.flatnonzero(split.scored[row]):
            best = max(split.candidates.tolist(), key=lambda c, p=position: logits[p, c].item())
            right.append(best == split.tokens[row, position + 1])
    assert pd.read_csv(trained / "training.csv")["accuracy_iid"].iloc[-1] == pytest.approx(np.mean(right))


def test_products_in_half_precision_are_recorded_and_change_the_weights(small_dataset, small_experiment, trained, tmp_path):
    run_of(other(small_experiment, precision="bfloat16"), tmp_path, data=small_dataset).train()
    assert json.loads((tmp_path / "config.json").read_text())["made"]["precision"] == "bfloat16"
    assert contents(tmp_path)["model.safetensors"] != contents(trained)["model.safetensors"]


@pytest.mark.parametrize("way", [("bfloat16", DEFAULT), ("float32", ONEDNN)])
def test_with_onednn_lengths_are_rounded_up_and_what_is_added_is_padding(small_dataset, small_experiment, way):
    model = Transformer.seeded(small_experiment.model, len(small_dataset.vocabulary), small_dataset.context, 0)
    training, rows = small_dataset.training, np.arange(5)
    assert training.lengths[rows].max() - 1 < 16 < training.tokens.shape[1], "or nothing would be added"
    (tokens, targets), (more, more_targets) = (
        Trainer(model, small_experiment.training, *of).batch(training, rows) for of in (("float32", DEFAULT), way)
    )
    length = tokens.shape[1]
    assert length == training.lengths[rows].max() - 1
    assert more.shape[1] == 16
    assert torch.equal(more[:, :length], tokens)
    assert torch.equal(more_targets[:, :length], targets)
    assert (more_targets[:, length:] == -100).all()


@pytest.mark.parametrize("library", [DEFAULT, ONEDNN])
def test_products_of_steps_are_by_the_library_that_is_recorded(small_dataset, small_experiment, tmp_path, monkeypatch, library):
    """What is measured along the way is not."""
    asked: dict[str, set[bool]] = {"steps": set(), "along the way": set()}
    forward, log = Transformer.forward, Trainer.log

    def seen(self, *given):
        asked["steps"].add(by_onednn(torch.float32, torch.device("cpu")))
        return forward(self, *given)

    def logged(self, splits):
        asked["along the way"].add(by_onednn(torch.float32, torch.device("cpu")))
        log(self, splits)

    monkeypatch.setattr("lib.models.training.faster", lambda asked, step, device: ("float32", library))
    monkeypatch.setattr(Transformer, "forward", seen)
    monkeypatch.setattr(Trainer, "log", logged)
    run_of(small_experiment, tmp_path, data=small_dataset).train()
    assert asked == {"steps": {library == ONEDNN}, "along the way": {False}}
    assert json.loads((tmp_path / "config.json").read_text())["made"]["products"] == library


# Interruptions


def interrupted(experiment: Experiment, folder: Path, data: Dataset) -> Run:
    """A training that has a checkpoint and no result."""
    run = run_of(experiment, folder, data=data)
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(Trainer, "log", cut_off_at(21))
        with pytest.raises(KeyboardInterrupt):
            run.train()
    return run


@pytest.mark.parametrize("begun", [("bfloat16", DEFAULT), ("float32", ONEDNN), ("float32", DEFAULT)])
def test_a_resumed_training_goes_on_as_it_was_begun(small_dataset, small_experiment, tmp_path, monkeypatch, begun):
    """What is faster is found out by the process that begins, and could come out otherwise."""
    experiment = other(small_experiment, precision="auto")
    monkeypatch.setattr("lib.models.training.faster", lambda *_: begun)
    monkeypatch.setattr("lib.models.training.is_exact", lambda library: True)
    run_of(experiment, tmp_path / "whole", data=small_dataset).train()
    run = interrupted(experiment, tmp_path / "resumed", small_dataset)
    monkeypatch.delattr("lib.models.training.faster")
    run.train()
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    made = json.loads((tmp_path / "resumed" / "config.json").read_text())["made"]
    assert (made["precision"], made["products"]) == begun


def test_a_resumed_training_leaves_a_library_that_is_not_exact_here(small_dataset, small_experiment, tmp_path, monkeypatch):
    """The checkpoint may be from another machine."""
    monkeypatch.setattr("lib.models.training.faster", lambda *_: ("float32", ONEDNN))
    run = interrupted(small_experiment, tmp_path, small_dataset)
    monkeypatch.setattr("lib.models.training.is_exact", lambda library: library == DEFAULT)
    run.train()
    assert json.loads((tmp_path / "config.json").read_text())["made"]["products"] == f"{ONEDNN}, then {DEFAULT}"


def cut_off_at(step: int):
    """Interrupts a training when it evaluates after a step."""
    log = Trainer.log

    def until(self, splits):
        if self.step > step:
            raise KeyboardInterrupt
        log(self, splits)

    return until


def train_until_killed(experiment: Experiment, folder: Path, point: int) -> None:
    """Train, and kill this process at a point: 0 right before the first file is put in place, 1 right after, and so on."""
    put_in_place, left = os.replace, point

    def counted(*arguments: object) -> None:
        nonlocal left
        for is_after in (False, True):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            if not is_after:
                put_in_place(*arguments)

    os.replace = counted
    run_of(experiment, folder).train()


def kill_at_every_point(experiment: Experiment, folder: Path) -> None:
    """Before and after each checkpoint is put in place, each run going on from the last one; then with each of the results."""
    run_of(experiment, folder)  # reads the code, which the copies then need not do
    left = []
    for point in (0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8):
        assert exit_code(fork(train_until_killed, experiment, folder, point)) == -signal.SIGKILL
        left.append((step_of(folder / CHECKPOINT), sum((folder / name).exists() for name in RESULTS)))
    assert left == [(0, 0), (15, 0), (15, 0), (30, 0), (30, 0), *[(40, n) for n in (0, 0, 1, 1, 2, 2, 3, 3)]]


@pytest.mark.slow
def test_killing_it_at_any_point_changes_nothing(small_experiment, tmp_path):
    experiment, folder = other(small_experiment, checkpoint_every=15), tmp_path / "killed"
    assert fresh(kill_at_every_point, experiment, folder) == 0
    assert not (folder / "config.json").exists(), "what says that a run is complete comes last"
    assert run_of(experiment, folder).train()
    run_of(experiment, tmp_path / "whole").train()
    assert contents(folder) == contents(tmp_path / "whole")


def test_an_interrupted_run_is_resumed_and_not_begun_again(small_dataset, small_experiment, trained, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)

    class Counted(np.ndarray):
        batches = 0

        def __getitem__(self, index):
            Counted.batches += isinstance(index, tuple)
            return np.asarray(self)[index]

    run_of(small_experiment, tmp_path, data=with_tokens(small_dataset, Counted)).train()
    assert Counted.batches == small_experiment.training.steps - 21
    assert contents(tmp_path) == contents(trained)


def test_half_written_files_are_cleared_away(small_dataset, small_experiment, trained, tmp_path):
    for name in (f"{CHECKPOINT}.1234.part", "model.safetensors.x_y.part", "config.json.part"):
        (tmp_path / name).write_bytes(b"half of it")
    run_of(small_experiment, tmp_path, data=small_dataset).train()
    assert contents(tmp_path) == contents(trained)


def refused(run: Run, says: str) -> str:
    """The message with which training is refused, which leaves the checkpoint alone; and doing what it says helps."""
    path = run.folder / CHECKPOINT
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=says) as error:
        run.train()
    assert str(path) in str(error.value)
    assert names(run.folder) == [CHECKPOINT]
    assert path.read_bytes() == before
    return str(error.value)


def test_a_checkpoint_of_another_run_is_refused(small_dataset, small_experiment, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)
    says = "is from a run of another configuration, data, code or device; delete it to train from the beginning: rm "
    refused(run_of(other(small_experiment, steps=41), tmp_path), says)
    refused(run_of(small_experiment, tmp_path, seed=1), says)
    tokens = small_dataset.training.tokens[::-1]
    data = replace(small_dataset, training=replace(small_dataset.training, tokens=tokens))
    refused(run_of(small_experiment, tmp_path, data=data), says)


@pytest.mark.parametrize("how", ["command", "replace"])
def test_a_refused_checkpoint_is_got_rid_of_as_the_message_says(small_experiment, trained, checkpoint, tmp_path, how):
    """Also where the folder's name means something to a shell; or by training with `replace`, which begins anew."""
    folder = tmp_path / "it's $HOME; a & b"
    folder.mkdir()
    shutil.copy(checkpoint, folder)
    os.truncate(folder / CHECKPOINT, 10_000)
    run = run_of(small_experiment, folder)
    message = refused(run, "cannot be read")
    if how == "command":
        command = message.partition("delete it to train from the beginning: ")[2]
        assert shlex.split(command) == ["rm", str(folder / CHECKPOINT)]
        subprocess.run(command, shell=True, check=True)
        assert names(folder) == []
    run.train(replace=how == "replace")
    assert contents(folder) == contents(trained)


def test_training_with_replace_goes_on_from_a_checkpoint_of_its_own(small_dataset, small_experiment, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)
    rows = []

    class Counted(np.ndarray):
        def __getitem__(self, index):
            if isinstance(index, tuple):
                rows.append(index)
            return np.asarray(self)[index]

    run_of(small_experiment, tmp_path, data=with_tokens(small_dataset, Counted)).train(replace=True)
    assert len(rows) == small_experiment.training.steps - 21


def damaged(path: Path, how: str) -> None:
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "a byte short":
        os.truncate(path, path.stat().st_size - 1)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "random bytes":
        path.write_bytes(np.random.default_rng(0).bytes(5_000))
    elif how == "foreign safetensors":
        save_file({"weight": torch.zeros(3)}, path)
    elif how == "weights missing":
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_file({"model.weight": torch.zeros(3)}, path, metadata)


@pytest.mark.parametrize(
    "how", ["truncated", "a byte short", "empty", "random bytes", "foreign safetensors", "weights missing"]
)
def test_a_damaged_checkpoint_is_refused_by_name_and_left_alone(small_dataset, small_experiment, checkpoint, tmp_path, how):
    shutil.copy(checkpoint, tmp_path)
    damaged(tmp_path / CHECKPOINT, how)
    says = r"checkpoint.safetensors (is damaged|cannot be read).*delete it to train from the beginning: rm "
    refused(run_of(small_experiment, tmp_path, data=small_dataset), says)


def test_no_changed_bit_of_a_checkpoint_goes_unnoticed(small_dataset, small_experiment, checkpoint, tmp_path):
    """In the header's length, all over the header, and in the tensors."""
    whole = checkpoint.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    places = [*range(64), *rng.integers(64, 8 * (8 + header), 150), *rng.integers(8 * (8 + header), 8 * len(whole), 50)]
    run = run_of(small_experiment, tmp_path, data=small_dataset)
    for place in places:
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        (tmp_path / CHECKPOINT).write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"checkpoint.safetensors .*delete it to train from the beginning: rm "):
            run.train()


# Schedules


def test_the_learning_rate_warms_up_linearly_and_falls_to_zero_as_a_cosine():
    config = TrainingConfig(steps=100, warmup_steps=20, peak_learning_rate=0.5)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[:20] == pytest.approx([0.5 * (step + 1) / 20 for step in range(20)])
    assert rates[20] == pytest.approx(0.5)
    assert rates[60] == pytest.approx(0.25)
    assert rates[80] == pytest.approx(0.5 * 0.5 * (1 + math.cos(0.75 * math.pi)))
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[99] < 0.001
    assert learning_rate(100, config) == pytest.approx(0)


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (5, 0), (3, 3), (3, 10)], ids=str)
def test_short_runs_have_learning_rates_too(steps, warmup):
    config = TrainingConfig(steps=steps, warmup_steps=warmup)
    assert all(0 < learning_rate(step, config) < 1.001 * config.peak_learning_rate for step in range(steps))


@pytest.mark.parametrize(("steps", "evaluations"), [(1_000, 12), (10, 12), (1, 1), (60, 3)], ids=str)
def test_evaluations_are_denser_early_and_the_last_is_at_the_end(steps, evaluations):
    after = sorted(evaluation_steps(TrainingConfig(steps=steps, evaluations=evaluations)))
    assert after[0] >= 1
    assert after[-1] == steps
    assert len(after) <= evaluations
    if steps >= evaluations**2:
        assert len(after) == evaluations
        gaps = np.diff([0, *after])
        assert (np.diff(gaps) >= -1).all()


def batches_of(lengths: np.ndarray, size: int, seed: int, count: int) -> list[np.ndarray]:
    stream = length_batches(lengths, size, seed)
    return [next(stream) for _ in range(count)]


@pytest.fixture(scope="module")
def many_lengths() -> np.ndarray:
    return np.random.default_rng(0).integers(6, 65, 10_000)


def epoch_of(lengths: np.ndarray, size: int) -> int:
    """Batches an epoch: of each pool of about 50 batches, those that are full."""
    pools = max(1, len(lengths) // (50 * size))
    return sum(len(pool) // size for pool in np.array_split(lengths, pools))


def test_an_epoch_meets_almost_every_sequence_and_none_twice(many_lengths):
    """Less than a batch a pool is left out, and not the same sequences in every epoch."""
    epoch = epoch_of(many_lengths, 64)
    drawn = batches_of(many_lengths, 64, 0, 6 * epoch)
    assert {len(batch) for batch in drawn} == {64}
    for start in range(0, len(drawn), epoch):
        met = np.concatenate(drawn[start : start + epoch])
        assert len(np.unique(met)) == len(met) >= 0.97 * len(many_lengths)
    assert len(np.unique(np.concatenate(drawn))) == len(many_lengths)


def test_no_length_is_left_out_more_than_another():
    """What does not fill a batch is left out whatever its length; were it the longest, those would hardly be trained on."""
    size = 128
    lengths = np.random.default_rng(0).integers(6, 65, 20 * size + 110)
    met = np.concatenate(batches_of(lengths, size, 0, 20))
    assert len(met) == len(np.unique(met)) == 20 * size
    share = np.bincount(lengths[met], minlength=65)[6:] / np.bincount(lengths, minlength=65)[6:]
    assert share.min() > 0.75, "of each length about 110 in 2,670 are left out"


def test_the_sequences_of_a_batch_have_similar_lengths(many_lengths):
    spreads = [np.ptp(many_lengths[batch]) for batch in batches_of(many_lengths, 32, 0, 300)]
    assert max(spreads) <= 4, "of 59 lengths in a pool of 50 batches a batch spans two or so"


def test_short_and_long_batches_alternate_irregularly(many_lengths):
    means = np.array([many_lengths[batch].mean() for batch in batches_of(many_lengths, 32, 0, 300)])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


def test_batches_follow_from_the_seed(many_lengths):
    one, same, other = (np.stack(batches_of(many_lengths, 32, seed, 400)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.9
    epoch = epoch_of(many_lengths, 32)
    assert {tuple(sorted(b)) for b in one[:epoch].tolist()} != {tuple(sorted(b)) for b in one[epoch:].tolist()}


def test_a_batch_may_be_all_there_is_but_no_more():
    lengths = np.array([4, 6, 8])
    assert all(sorted(batch) == [0, 1, 2] for batch in batches_of(lengths, 3, 0, 4))
    with pytest.raises(InputError, match="batch_size is 4, but there are only 3 training sequences"):
        next(length_batches(lengths, 4, 0))


# Arguments


def test_a_precision_that_a_device_lacks_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: False)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "a card of old")
    with pytest.raises(InputError, match="precision is 'bfloat16', which a card of old does not have: use float32 or auto"):
        check_precision("bfloat16", torch.device("cuda"))
    for name, device in (("float32", "cuda"), ("auto", "cuda"), ("bfloat16", "cpu")):
        check_precision(name, torch.device(device))


def test_more_threads_than_processors_are_refused(small_dataset, small_experiment, tmp_path):
    with pytest.raises(InputError, match=r"threads is 1000, but this process may use \d+ processors: ask for at most"):
        run_of(other(small_experiment, threads=1_000), tmp_path, data=small_dataset).train()
    assert names(tmp_path) == []


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(device, small_experiment, tmp_path):
    with pytest.raises(InputError, match=f"device is '{device}', which cannot be used here.*use auto or cpu"):
        resolve_device(device)
    with pytest.raises(InputError, match=f"device is '{device}'"):
        Run("dyck", small_experiment, tmp_path / "seed-0", 0, device)
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "0", True, None], ids=repr)
def test_a_seed_that_no_random_generator_takes_is_refused_at_once(small_experiment, tmp_path, seed):
    """K-means takes seeds up to 2**32 - 1; a larger one would train a model that can never be measured."""
    assert Run("dyck", small_experiment, tmp_path, 2**32 - 1).seed == 2**32 - 1
    with pytest.raises(InputError, match=f"seed is {seed!r}, but must be a whole number"):
        Run("dyck", small_experiment, tmp_path, seed)


def test_a_batch_larger_than_the_training_set_leaves_nothing_behind(small_experiment, tmp_path):
    with pytest.raises(InputError, match="batch_size is 601"):
        run_of(other(small_experiment, batch_size=601), tmp_path / "seed-0").train()
    assert not (tmp_path / "seed-0").exists()


def test_a_split_to_fit_on_that_the_task_does_not_have_is_refused_before_training(small_experiment, tmp_path):
    measuring = small_experiment.measuring.model_copy(update={"refitted_on": ("iid", "unseen")})
    with pytest.raises(InputError, match="refitted_on is 'unseen', but must be one of: training, training_more, "):
        run_of(small_experiment.model_copy(update={"measuring": measuring}), tmp_path / "seed-0").train()
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"steps": 0}, "steps is 0", id="no steps"),
        pytest.param({"batch_size": 0}, "batch_size is 0", id="empty batches"),
        pytest.param({"warmup_steps": -1}, "warmup_steps is -1", id="negative warm-up"),
        pytest.param({"peak_learning_rate": 0.0}, "peak_learning_rate is 0.0", id="learning rate of zero"),
        pytest.param({"peak_learning_rate": math.nan}, "peak_learning_rate is nan", id="learning rate that is no number"),
        pytest.param({"weight_decay": math.inf}, "weight_decay is inf", id="infinite decay"),
        pytest.param({"weight_decay": -0.1}, "weight_decay is -0.1", id="negative decay"),
        pytest.param({"clip_norm": 0.0}, "clip_norm is 0.0", id="gradient of zero"),
        pytest.param({"checkpoint_every": 0}, "checkpoint_every is 0", id="no checkpoints"),
        pytest.param({"evaluations": 0}, "evaluations is 0", id="no evaluations"),
        pytest.param({"threads": 0}, "threads is 0", id="no threads"),
        pytest.param({"precision": "float16"}, "precision is 'float16': .*'float32', 'bfloat16' or 'auto'", id="precision"),
    ],
)
def test_a_training_configuration_out_of_range_is_refused(change, says):
    with pytest.raises(ValidationError):
        TrainingConfig(**{"steps": 10, **change})
    with pytest.raises(InputError, match=says):
        checked(TrainingConfig, {"steps": 10, **change}, "training")
