"""All of preset smoke on a cluster: a seed's job is killed on the way, and the same command ends with a book."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from test_slurm import HELD, PROFILE, asked, slurm, started, until  # noqa: F401 (a fixture)
from whole_book import CHAPTERS, copy_project

JOBS = ("squeue", "--noheader", "--format=%i %k")


@pytest.mark.kind("kills on a cluster")
def test_the_whole_book_is_built_on_a_cluster_on_which_a_job_is_killed(slurm, tmp_path):  # noqa: F811
    project, preset, results = tmp_path / "our project", tmp_path / "their preset/on-cluster.toml", tmp_path / "my results"
    copy_project(project)
    preset.parent.mkdir()
    preset.write_text('inherits = "smoke"\nplugins = ["held.py"]\n')
    preset.with_name("held.py").write_text(HELD)
    environment = {**os.environ, "PYTHONPATH": str(project), "LIB_ARTIFACTS": str(results), "OMP_NUM_THREADS": "1"}
    within = {"cwd": tmp_path, "env": environment}
    command = [sys.executable, "-m", "lib", "book", "--preset", str(preset), "--", *PROFILE]

    hold = preset.parent / "hold"
    hold.touch()
    with started(tmp_path / "killed", *command, **within) as process:
        until((preset.parent / "seed-0.steps").exists, process, 300)
        running = [line.split() for line in asked(*JOBS, "--states=RUNNING").splitlines()]
        job, comment = next((number, of) for number, of in running if of.startswith("rule_seed") and of.endswith("_0"))
        subprocess.run(["scancel", "--signal=KILL", f"{job}.0"], check=True)
        hold.unlink()
        assert process.wait(600) == 2
        assert f"SLURM-job '{job}' failed, SLURM status is: 'FAILED'" in process.said.read_text()
    with started(tmp_path / "resumed", *command, **within) as process:
        assert process.wait(900) == 0, process.said.read_text()[-3_000:]

    comments = [line.split()[1] for line in asked(*JOBS, "--states=all").splitlines()]
    assert comments.count(comment) == 2, "that one again, and no other seed"
    assert len({of for of in comments if of.startswith("rule_seed")}) == len([*results.glob("on-cluster/*/seed-*")])
    assert all((results / f"on-cluster/book/_build/html/{chapter}.html").exists() for chapter in CHAPTERS)
    _, task, seed = comment.rsplit("_", 2)
    environment["LIB_ARTIFACTS"] = str(tmp_path / "elsewhere")
    alone = [sys.executable, "-m", "lib", "train", task, "--seed", seed, "--preset", str(preset)]
    subprocess.run(alone, check=True, **within)
    of_seed = f"on-cluster/{task}/seed-{seed}/model.safetensors"
    assert (results / of_seed).read_bytes() == (tmp_path / "elsewhere" / of_seed).read_bytes()
