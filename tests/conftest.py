"""What several test files share: small configurations, a model whose attention is far from uniform, a fresh interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from lib.dyck.splits import DyckConfig, dyck_task
from lib.presets import PRESETS, ModelConfig, Preset, StudyConfig, TaskPreset, TrainingConfig
from lib.runs import Study
from lib.transformer import Transformer

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40, database=None)
settings.load_profile("repeatable")

torch.set_num_threads(1)  # everything here is so small that threads only get in each other's way

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def artifacts_outside_the_checkout(tmp_path, monkeypatch):
    """No test writes into the checkout, not even one that fails."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture(scope="session")
def small_data() -> DyckConfig:
    """A language whose splits are all populated, sampled in milliseconds."""
    return DyckConfig(
        bracket_types=3,
        max_depth=4,
        min_length=4,
        max_length=16,
        training_sentences=600,
        split_sentences=60,
        unseen_structure_length=14,
        unseen_length=24,
        unseen_depth=7,
        min_distance=4,
    )


@pytest.fixture(scope="session")
def small_preset(small_data) -> TaskPreset:
    """Trains in a second: two layers, two heads, narrow."""
    return TaskPreset(
        small_data,
        ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
        TrainingConfig(
            steps=40, batch_size=16, warmup_steps=5, evaluations=3, heldout_sequences=20, checkpoint_every=7, threads=1
        ),
        StudyConfig(
            grid={layer: {"svd": (2,), "kmeans": (8,), "one_hot": (None,)} for layer in (0, 1)},
            along_training={1: {"svd": (2,)}},
            oracle={1: {"svd": (1, 2)}},
            fit_sequences=40,
        ),
        seeds=2,
    )


@pytest.fixture(scope="session")
def small_task(small_data):
    return dyck_task(small_data, seed=0)


@pytest.fixture(scope="session")
def random_model():
    """A function that makes a model with weights so large that its attention is far from uniform."""

    def make(
        config: ModelConfig, vocabulary_size: int = 9, context: int = 26, seed: int = 0, scale: float = 0.4
    ) -> Transformer:
        generator = torch.Generator().manual_seed(seed)
        model = Transformer(config, vocabulary_size, context)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def run_python():
    """A function that runs this interpreter in the repository root, to its end."""

    def run(*arguments: str, artifacts: Path, **options) -> subprocess.CompletedProcess:
        environment = {**os.environ, "LIB_ARTIFACTS": str(artifacts)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, **options
        )

    return run


# Studies on disk


@pytest.fixture(scope="session")
def smoke_twice(tmp_path_factory) -> tuple[Path, Path]:
    """Artifacts folders of two users of the command line: of the whole smoke study, and of seed 0 of it step by step."""
    whole, stepwise = (tmp_path_factory.mktemp(name) for name in ("whole", "stepwise"))

    def start(*arguments: str, artifacts: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "lib", *arguments, "--preset", "smoke"],
            cwd=ROOT,
            env={**os.environ, "LIB_ARTIFACTS": str(artifacts)},
            stdout=(artifacts / "stdout").open("a"),
            stderr=(artifacts / "stderr").open("a"),
        )

    evaluated = start("evaluate", "dyck", artifacts=whole)
    for command in ("train", "evaluate"):
        finished = start(command, "dyck", "--seed", "0", artifacts=stepwise).wait()
        assert finished == 0, (stepwise / "stderr").read_text()
    assert evaluated.wait() == 0, (whole / "stderr").read_text()
    return whole, stepwise


@pytest.fixture(scope="session")
def smoke(smoke_twice) -> Path:
    """An artifacts folder with the whole smoke study. Read only: copy what you change."""
    return smoke_twice[0]


@pytest.fixture
def tiny(small_preset, monkeypatch) -> str:
    """The name of a preset that trains and measures in a second: two seeds of `small_preset`."""
    monkeypatch.setitem(PRESETS, "tiny", Preset("tiny", {"dyck": small_preset}))
    return "tiny"


@pytest.fixture(scope="session")
def tiny_artifacts(small_preset, tmp_path_factory) -> Path:
    """An artifacts folder with the study of the preset `tiny`. Read only: `tiny_study` is a copy to change."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder))
        patch.setitem(PRESETS, "tiny", Preset("tiny", {"dyck": small_preset}))
        Study("dyck", "tiny").save()
    return folder


@pytest.fixture
def tiny_study(tiny, tiny_artifacts, tmp_path) -> Path:
    """`artifacts/tiny/dyck` of an artifacts folder of one's own, complete."""
    shutil.copytree(tiny_artifacts, tmp_path / "artifacts")
    return tmp_path / "artifacts" / "tiny" / "dyck"
