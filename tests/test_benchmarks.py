"""The benchmarks compare ways that do the same, say how they are used, and refuse what they cannot use. No time is asserted."""

from __future__ import annotations

import importlib
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.proxies import Simplification
from lib.tasks.dyck.task import DyckTask

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("dyck_sampler", "rank_sweep", "precision", "training")


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    """As Python has it for a script: its own folder comes first."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture
def sampler():
    return importlib.import_module("dyck_sampler")


@pytest.fixture
def run(monkeypatch, capsys):
    """A function that runs a benchmark in this process: exit status, and what it printed to stdout and stderr."""

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        path = str(ROOT / "benchmarks" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(path, run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return run


def test_sentences_made_token_by_token_are_balanced_and_within_the_limits(sampler):
    task = DyckTask(bracket_types=3, max_depth=3, min_length=4, max_length=14, unseen_structure_length=14)
    rng = np.random.default_rng(0)
    deepest = set()
    for types, depths, openers in (sampler.plain_sentence(task, rng) for _ in range(300)):
        assert task.min_length <= len(types) <= task.max_length
        unclosed = []
        for position, (kind, depth, opener) in enumerate(zip(types, depths, openers, strict=True)):
            if kind > 0:
                unclosed.append(position)
            assert depth == len(unclosed) <= task.max_depth
            assert opener == (unclosed.pop() if kind < 0 else -1)
            assert kind > 0 or types[opener] == -kind
        assert not unclosed
        assert {abs(kind) for kind in types} <= {1, 2, 3}
        deepest.add(max(depths))
    assert deepest == {1, 2, 3}


def test_both_samplers_make_the_same_kind_of_sentences(sampler):
    rng = np.random.default_rng(1)
    plain = [sampler.plain_sentence(sampler.TASK, rng) for _ in range(400)]
    sampled = sampler.at_once(4_000, rng)
    sampler.check(plain, sampled)
    types, depths, openers = plain[7]
    for wrong in ((types, [depths[0] + 1, *depths[1:]], openers), (types, depths, [*openers[:-1], openers[-1] + 1])):
        with pytest.raises(AssertionError, match=r"other (depths|openers)"):
            sampler.check([*plain, wrong], sampled)
    with pytest.raises(AssertionError, match="mean length"):
        sampler.check([sentence for sentence in plain if len(sentence[0]) > 20], sampled)


def test_the_sweep_over_all_ranks_predicts_what_running_the_whole_model_predicts():
    sweep = importlib.import_module("rank_sweep")
    dataset = DyckTask(training_sentences=1_000, split_sentences=15).sample(seed=0)
    model, rules = sweep.model_and_rules(dataset, torch.float64)
    assert len(rules) == model.head_width
    sweep.check(dataset, model, rules)

    def other_at_scored_positions(queries, keys, attend):
        return attend(queries if queries.shape[-2] == keys.shape[-2] else -queries, keys)

    with pytest.raises(AssertionError, match="other predictions"):
        sweep.check(dataset, model, {Simplification("svd", 1, 1): {1: other_at_scored_positions}})


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_is_compared_and_with_which_options(name, run):
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert "against" in out
    assert "--steps" in out or "--sentences" in out


@pytest.mark.parametrize(("name", "option"), [("dyck_sampler", "sentences"), ("rank_sweep", "rounds"), ("precision", "steps")])
def test_nothing_cannot_be_timed(name, option, run):
    status, _, err = run(name, f"--{option}", "0")
    assert (status, err) == (2, f"error: {option} is 0, but must be a whole number, at least 1\n")


@pytest.mark.slow
def test_a_benchmark_is_a_script_that_refuses_a_folder_without_nanogpt(tmp_path):
    command = [sys.executable, "benchmarks/training.py", "--peer", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: peer is '{tmp_path}', but must be a checkout of nanoGPT (it has no train.py)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("model", ["", "import no_such_module", "1 +", "class GPT: pass"], ids=repr)
def test_scripts_of_something_else_are_not_taken_for_nanogpt(model, run, tmp_path):
    for name in ("train.py", "model.py", "configurator.py"):
        (tmp_path / name).write_text(model)
    status, out, err = run("training", "--peer", str(tmp_path))
    assert (status, out) == (2, "")
    assert err.startswith(f"error: peer is '{tmp_path}', but must be a checkout of nanoGPT (")
