"""Training is a function of configuration and seed, also when it is killed on the way, and leaves only its results."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lib.dyck.splits import dyck_task
from lib.errors import ArtifactError, InputError
from lib.presets import ModelConfig, StudyConfig, TaskPreset, TrainingConfig
from lib.training import CHECKPOINT, evaluation_steps, learning_rate, length_batches, new_model, resolve_device, train

RESULTS = ["config.json", "model.safetensors", "snapshots.safetensors", "training.csv"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    assert names(folder) == RESULTS, "the results and nothing else"
    return {name: (folder / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def trained(small_task, small_preset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(small_task, small_preset, 0, folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(small_task, small_preset, tmp_path_factory) -> Path:
    """What a run of `small_preset` that was cut off has left: its last checkpoint."""
    folder = tmp_path_factory.mktemp("cut off")

    class PowerCut(BaseException):
        pass

    class CutOff(np.ndarray):
        """Training sentences that end the world when they are asked for the 25th batch."""

        left = 25

        def __getitem__(self, index):
            if isinstance(index, tuple):
                CutOff.left -= 1
                if not CutOff.left:
                    raise PowerCut
            return np.asarray(self)[index]

    with pytest.raises(PowerCut):
        train(replace(small_task, training=small_task.training.view(CutOff)), small_preset, 0, folder)
    assert names(folder) == [CHECKPOINT]
    assert step_of(folder / CHECKPOINT) == 21
    return folder / CHECKPOINT


def step_of(path: Path) -> int:
    """The step that a checkpoint was taken after, 0 where there is none."""
    try:
        with path.open("rb") as file:  # opened only once, as it may be replaced or removed at any moment
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    except FileNotFoundError:
        return 0
    return json.loads(header["__metadata__"]["progress"])["step"]


# What a run leaves


def test_the_same_seed_gives_the_same_weights_and_curve_to_the_bit(small_task, small_preset, trained, tmp_path):
    train(small_task, small_preset, 0, tmp_path)
    assert contents(tmp_path) == contents(trained)


def test_another_seed_gives_other_weights(small_preset, trained, tmp_path):
    train(dyck_task(small_preset.data, 1), small_preset, 1, tmp_path)
    assert contents(tmp_path)["model.safetensors"] != contents(trained)["model.safetensors"]


def test_the_weights_are_those_of_the_model(trained, small_task, small_preset):
    model = new_model(small_task, small_preset, 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(load_file(trained / "model.safetensors"))
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_configuration_is_kept_beside_the_weights(trained, small_task, small_preset):
    kept = json.loads((trained / "config.json").read_text())
    assert kept["task"] == "dyck"
    assert kept["seed"] == 0
    assert kept["fingerprint"] == small_task.fingerprint
    assert kept["versions"]["torch"] == torch.__version__
    assert kept["versions"]["numpy"] == np.__version__
    assert kept["versions"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert kept["device"] in ("cpu", "cuda")
    assert kept["data"]["bracket_types"] == small_preset.data.bracket_types
    assert kept["model"]["heads"] == small_preset.model.heads
    assert kept["training"]["steps"] == small_preset.training.steps


def test_the_curve_has_a_row_an_evaluation(trained, small_task, small_preset):
    curve = pd.read_csv(trained / "training.csv")
    assert list(curve.columns) == ["step", "learning_rate", "loss", *(f"accuracy_{name}" for name in small_task.splits)]
    assert list(curve["step"]) == sorted(evaluation_steps(small_preset.training))
    assert curve["step"].iloc[-1] == small_preset.training.steps
    assert curve["learning_rate"].tolist() == pytest.approx(
        [learning_rate(step - 1, small_preset.training) for step in curve["step"]]
    )
    assert curve.filter(like="accuracy_").apply(lambda accuracy: accuracy.between(0, 1)).all(axis=None)


def test_training_learns(small_data, tmp_path):
    """An easy language in a few seconds' worth of steps: loss falls and the closers of `iid` are mostly right."""
    easy = replace(small_data, bracket_types=2, max_depth=2, unseen_depth=4)
    config = TaskPreset(
        easy,
        ModelConfig(layers=2, width=16, mlp_width=32),
        TrainingConfig(steps=300, batch_size=32, warmup_steps=20, peak_learning_rate=1e-2, evaluations=4, threads=1),
        StudyConfig(grid={}),
        seeds=1,
    )
    train(dyck_task(easy, 0), config, 0, tmp_path)
    curve = pd.read_csv(tmp_path / "training.csv")
    assert curve["loss"].iloc[-1] < 0.6 * curve["loss"].iloc[0]
    assert curve["accuracy_iid"].iloc[-1] > 0.8


def test_snapshots_are_the_weights_at_every_row_of_the_curve(trained, small_task, small_preset):
    snapshots = load_file(trained / "snapshots.safetensors")
    steps = pd.read_csv(trained / "training.csv")["step"].tolist()
    final = load_file(trained / "model.safetensors")
    assert set(snapshots) == {f"{step}.{name}" for step in steps for name in final}
    for name, tensor in final.items():
        assert torch.equal(snapshots[f"{steps[-1]}.{name}"], tensor)
        assert not torch.equal(snapshots[f"{steps[0]}.{name}"], tensor)


def test_the_final_accuracy_is_that_of_the_final_weights(trained, small_task, small_preset):
    model = new_model(small_task, small_preset, 0)
    model.load_state_dict(load_file(trained / "model.safetensors"))
    split = small_task.splits["iid"]
    right = []
    for row in range(small_preset.training.heldout_sequences):
        logits = model(torch.from_numpy(split.tokens[row : row + 1].astype(np.int64)))[0]
        for position in np.flatnonzero(split.scored[row]):
            best = max(split.candidates.tolist(), key=lambda c, p=position: logits[p, c].item())
            right.append(best == split.tokens[row, position + 1])
    assert pd.read_csv(trained / "training.csv")["accuracy_iid"].iloc[-1] == pytest.approx(np.mean(right))


# Interruptions


def test_killing_it_at_any_point_changes_nothing(small_preset, tmp_path):
    """Killed for real: at its start, at its first checkpoint, a few times on the way, and once the weights are written."""
    config = replace(small_preset, training=replace(small_preset.training, steps=120, checkpoint_every=5))
    task = dyck_task(config.data, 0)
    train(task, config, 0, tmp_path / "whole")
    folder = tmp_path / "killed"
    processes = multiprocessing.get_context("forkserver")  # each run is a fresh process, but PyTorch is imported only once
    processes.set_forkserver_preload(["lib.training", "torch._dynamo"])

    def start() -> multiprocessing.Process:
        process = processes.Process(target=train, args=(task, config, 0, folder))
        process.start()
        return process

    points = [
        folder.exists,
        *(lambda step=step: step_of(folder / CHECKPOINT) >= step for step in (5, 20, 35, 50, 60)),
        (folder / "model.safetensors").exists,
    ]
    killed = 0
    for reached in points:
        process = start()
        while process.is_alive() and not reached():
            time.sleep(0.003)
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        if (folder / "config.json").exists():  # what says that a run is complete comes last
            assert set(RESULTS) <= set(names(folder))
    assert killed > 0
    process = start()
    process.join()
    assert process.exitcode == 0
    assert contents(folder) == contents(tmp_path / "whole")


def test_an_interrupted_run_is_resumed_and_not_begun_again(small_task, small_preset, trained, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)

    class Counted(np.ndarray):
        batches = 0

        def __getitem__(self, index):
            Counted.batches += isinstance(index, tuple)
            return np.asarray(self)[index]

    train(replace(small_task, training=small_task.training.view(Counted)), small_preset, 0, tmp_path)
    assert Counted.batches == small_preset.training.steps - 21
    assert contents(tmp_path) == contents(trained)


def test_half_written_files_are_cleared_away(small_task, small_preset, trained, tmp_path):
    for name in (f"{CHECKPOINT}.part", "model.safetensors.part", "config.json.part"):
        (tmp_path / name).write_bytes(b"half of it")
    train(small_task, small_preset, 0, tmp_path)
    assert contents(tmp_path) == contents(trained)


def test_a_checkpoint_of_another_configuration_is_refused_with_what_differs(small_task, small_preset, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)
    longer = replace(small_preset, training=replace(small_preset.training, steps=41))
    with pytest.raises(ArtifactError, match=r"checkpoint.safetensors .*training.steps is 40 instead of 41.*rm ") as refused:
        train(small_task, longer, 0, tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert (tmp_path / CHECKPOINT).read_bytes() == checkpoint.read_bytes()


def test_a_checkpoint_of_another_seed_is_refused(small_preset, checkpoint, tmp_path):
    shutil.copy(checkpoint, tmp_path)
    with pytest.raises(ArtifactError, match=r"seed is 0 instead of 1|fingerprint is .* instead of"):
        train(dyck_task(small_preset.data, 1), small_preset, 1, tmp_path)


def damaged(path: Path, how: str) -> None:
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "random bytes":
        path.write_bytes(np.random.default_rng(0).bytes(5_000))
    elif how == "foreign safetensors":
        save_file({"weight": torch.zeros(3)}, path)
    elif how == "foreign metadata":
        save_file({"weight": torch.zeros(3)}, path, {"identity": "not JSON", "progress": "{}"})
    elif how == "weights missing":
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_file({"model.weight": torch.zeros(3)}, path, metadata)


@pytest.mark.parametrize(
    "how", ["truncated", "empty", "random bytes", "foreign safetensors", "foreign metadata", "weights missing"]
)
def test_a_damaged_checkpoint_is_refused_by_name_and_left_alone(small_task, small_preset, checkpoint, tmp_path, how):
    shutil.copy(checkpoint, tmp_path)
    damaged(tmp_path / CHECKPOINT, how)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(ArtifactError, match=r"checkpoint.safetensors .*delete it to train from the beginning: rm ") as refused:
        train(small_task, small_preset, 0, tmp_path)
    assert str(tmp_path / CHECKPOINT) in str(refused.value)
    assert names(tmp_path) == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before


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


@pytest.mark.parametrize("device", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(InputError, match=f"device is '{device}', which cannot be used here.*use auto or cpu"):
        resolve_device(device)


def test_a_device_that_cannot_be_used_leaves_nothing_behind(small_task, small_preset, tmp_path):
    with pytest.raises(InputError, match="device is 'gpu'"):
        train(small_task, small_preset, 0, tmp_path / "seed-0", device="gpu")
    assert not (tmp_path / "seed-0").exists()


def test_a_batch_larger_than_the_training_set_leaves_nothing_behind(small_task, small_preset, tmp_path):
    config = replace(small_preset, training=replace(small_preset.training, batch_size=601))
    with pytest.raises(InputError, match="batch_size is 601"):
        train(small_task, config, 0, tmp_path / "seed-0")
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"steps": 0}, "steps is 0", id="no steps"),
        pytest.param({"batch_size": 0}, "batch_size is 0", id="empty batches"),
        pytest.param({"warmup_steps": -1}, "warmup_steps is -1", id="negative warm-up"),
        pytest.param({"peak_learning_rate": 0.0}, "peak_learning_rate is 0.0", id="learning rate of zero"),
        pytest.param({"checkpoint_every": 0}, "checkpoint_every is 0", id="no checkpoints"),
        pytest.param({"evaluations": 0}, "evaluations is 0", id="no evaluations"),
        pytest.param({"threads": 0}, "threads is 0", id="no threads"),
    ],
)
def test_a_training_configuration_out_of_range_is_refused(change, says):
    with pytest.raises(InputError, match=says):
        TrainingConfig(**{"steps": 10, **change})
