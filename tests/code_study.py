"""A study of code that is trained in a few seconds, on source files that are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from code_samples import function, write_tree

from lib.experiment import Experiment, MeasuringConfig
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.studies import Study
from lib.tasks.code.task import CodeTask


def small_code(location: Path) -> Experiment:
    """Python to train on; two layers, two heads, narrow."""
    return Experiment(
        task=CodeTask(corpus="directory", location=str(location), context=64, split_sequences=12, fewest_sequences=5),
        model=ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
        training=TrainingConfig(
            steps=60, batch_size=8, warmup_steps=3, evaluations=2, heldout_sequences=6, peak_learning_rate=0.02
        ),
        measuring=MeasuringConfig(
            grid={"all": {"svd": (1, 2, 4), "kmeans": (4,), "one_hot": ()}, "0": {"svd": (1,)}, "1": {"svd": (1,)}},
            each_head={"svd": (1,), "one_hot": ()},
            fit_sequences=20,
        ),
        seeds=2,
    )


def humaneval_x(folder: Path, languages: tuple[str, ...] = ("python", "javascript")) -> Path:
    """A folder with eight problems of HumanEval-X."""
    folder.mkdir()
    for language in languages:
        rows = [
            {"task_id": f"x/{n}", "declaration": function(language, 90_000 + n), "canonical_solution": ""} for n in range(8)
        ]
        (folder / f"humaneval_{language}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def code_study(
    folder: Path, humaneval: bool, widen: Callable[[Experiment], Experiment] = lambda experiment: experiment
) -> Study:
    """A study, trained and measured, in `folder/artifacts/tiny/code`; its corpus is there, too."""
    tree = write_tree(folder / "tree", {"python": 12, "javascript": 2, "c": 2}, functions=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("LIB_HUMANEVAL_X", str(humaneval_x(folder / "humaneval")) if humaneval else "")
        study = Study("code", widen(small_code(tree)), folder / "artifacts" / "tiny" / "code", preset="tiny")
        assert study.estimates
        assert all(run.data for run in study.runs)
    return study


@cache
def small_study(folder: Path) -> Study:
    """The study without HumanEval-X in a subfolder, made once for all test files. Read only."""
    return code_study(folder / "small-code", humaneval=False)
