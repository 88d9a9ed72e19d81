"""Killed at random moments, in training, measuring and the pipeline: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drill.support import Started, contents, differing, lib, start

TRAINED = ("config.json", "model.safetensors", "snapshots.safetensors", "training.csv")


def timed(begin: Callable[[], Started]) -> float:
    """How long a command takes that nobody kills, once the libraries are loaded."""
    assert lib("data", "dyck", "--preset", "smoke").status == 0
    before = time.monotonic()
    assert begin().ended().status == 0
    return time.monotonic() - before


def killed(begin: Callable[[], Started], moment: random.Random, seconds: float, clear: Callable[[], None]) -> None:
    """Kill a command at a random moment; where it was quicker than that, once more from the beginning, and sooner."""
    while True:
        process = begin()
        time.sleep(moment.uniform(0, seconds))
        if process.kill():
            return
        clear()
        seconds *= 0.8


# Training


@pytest.fixture(scope="module")
def training_takes(tiny, tmp_path_factory) -> float:
    """Seconds."""
    where = {"LIB_ARTIFACTS": str(tmp_path_factory.mktemp("timed"))}
    return timed(lambda: start("train", "dyck", "--preset", tiny, environment=where))


@pytest.mark.kind("kills in training")
@pytest.mark.parametrize("number", range(25))
def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(tiny, tiny_artifacts, training_takes, tmp_path, number):
    """Every third is killed again while it goes on."""
    folder, moment = tmp_path / "artifacts", random.Random(f"training {number}")

    def begin() -> Started:
        return start("train", "dyck", "--preset", tiny, "--seed", "1")

    for _ in range(1 + (number % 3 == 0)):
        killed(begin, moment, training_takes, lambda: shutil.rmtree(folder))
    assert begin().ended().status == 0
    seed = tiny_artifacts / "tiny/dyck/seed-1"
    assert differing(folder / "tiny/dyck/seed-1", {name: (seed / name).read_bytes() for name in TRAINED}) == []


# Measuring


@pytest.fixture
def trained(tiny_artifacts, tmp_path) -> Path:
    """An artifacts folder in which both models are trained, and nothing is measured."""
    folder = tmp_path / "artifacts"

    def unmeasured(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name.endswith((".json", ".parquet", ".safetensors")) and name not in TRAINED]

    shutil.copytree(tiny_artifacts, folder, ignore=unmeasured)
    return folder


@pytest.fixture(scope="module")
def measuring_takes(tiny, tiny_artifacts, tmp_path_factory) -> float:
    """Seconds."""
    folder = tmp_path_factory.mktemp("timed") / "artifacts"
    shutil.copytree(tiny_artifacts, folder, ignore=shutil.ignore_patterns("measurements.*", "proxies.*", "faithfulness.*"))
    return timed(lambda: start("evaluate", "dyck", "--preset", tiny, environment={"LIB_ARTIFACTS": str(folder)}))


@pytest.mark.kind("kills in measuring")
@pytest.mark.parametrize("number", range(15))
def test_a_killed_measuring_goes_on_and_ends_with_the_same_bytes(
    tiny, tiny_artifacts, measuring_takes, trained, tmp_path, number
):
    moment = random.Random(f"measuring {number}")
    shutil.copytree(trained, tmp_path / "before")

    def begin() -> Started:
        return start("evaluate", "dyck", "--preset", tiny)

    def clear() -> None:
        shutil.rmtree(trained)
        shutil.copytree(tmp_path / "before", trained)

    killed(begin, moment, measuring_takes, clear)
    assert begin().ended().status == 0
    assert differing(trained, contents(tiny_artifacts)) == []
