"""A study of code that is trained in a second, on source files that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_samples import write_tree

from lib.models.training import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.studies import Experiment, MeasuringConfig, Study
from lib.tasks.code.task import CodeTask


def small_code(location: Path) -> Experiment:
    """Python to train on; two layers, two heads, narrow."""
    return Experiment(
        task=CodeTask(corpus="directory", location=str(location), context=32, split_sequences=12, fewest_sequences=5),
        model=ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
        training=TrainingConfig(steps=12, batch_size=8, warmup_steps=3, evaluations=2, heldout_sequences=6, checkpoint_every=5),
        measuring=MeasuringConfig(
            grid={"all": {"svd": (2, 4), "kmeans": (4,), "one_hot": ()}, "0": {"svd": (2,)}, "1": {"svd": (2,)}},
            each_head={"svd": (2,), "one_hot": ()},
            fit_sequences=20,
        ),
        seeds=2,
    )


def code_study(folder: Path, widen=lambda experiment: experiment) -> Study:
    """A study in a folder of its own, whose corpus was built there, too."""
    tree = write_tree(folder / "tree", {"python": 12, "javascript": 2, "c": 2}, functions=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder / "artifacts"))
        patch.delenv("LIB_HUMANEVAL_X", raising=False)
        study = Study("code", widen(small_code(tree)), folder / "artifacts" / "tiny" / "code", preset="tiny")
        assert study.estimates  # trained and measured now
        for run in study.runs:
            assert run.data
    return study
