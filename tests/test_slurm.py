"""The workflow on a cluster: a real Slurm, started here; a seed's job that is killed on the way; the same command once more."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from conftest import ROOT
from test_workflow import CHAPTER, write_chapter
from whole_book import copy_project

from lib import presets, workflow
from lib.errors import InputError

PROFILE = ("--profile", "profiles/slurm")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

# Accounting and control groups are what a cluster has and a container has not; the profile does without either.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
KillWait=1
MinJobAge=7200
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000
PartitionName=all Nodes=ALL Default=YES State=UP
"""

# A plugin of the preset: each checkpoint of a seed is noted; after the first, seed 0 waits for as long as a file is there. And
# how jobs are doing is looked up every half second, not less and less often.
HELD = """
import asyncio
import time
from pathlib import Path
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from lib.models.trainer import Trainer

here, save = Path(__file__).parent, Trainer.save

def saved(run, path, belongs_to):
    save(run, path, belongs_to)
    with (here / f"{path.parent.name}.steps").open("a") as steps:
        print(run.step, file=steps)
    while path.parent.name == "seed-0" and (here / "hold").exists():
        time.sleep(0.05)

async def soon(executor):
    await asyncio.sleep(0.5)

Trainer.save, RemoteExecutor.sleep = saved, soon
"""


def until(condition: Callable[[], object], process: subprocess.Popen | None = None, seconds: float = 120) -> object:
    """What a condition gives once that is true; fails when a process has ended before, or it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        said = process.said.read_text() if process else ""
        assert process is None or process.poll() is None, f"{process.args} ended: {said}"
        assert time.monotonic() < deadline, f"waited too long: {said}"
        time.sleep(0.05)
    return found


# A cluster of one node


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def started(said: Path, *command: str, **options) -> Iterator[subprocess.Popen]:
    """A program that runs in the foreground, until the block ends, whatever happens; what it says goes into a file."""
    with said.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)
    process.said = said
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def asked(*command: str) -> str:
    """What a command of Slurm answers; empty where it fails, as it does before all is up."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def kill_what_is_left(folder: Path) -> None:
    """End what Slurm lost sight of: every process that has its folder on the PATH."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in process.environ().get("PATH", ""):
                process.kill()


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """Slurm on this machine, with ports, key and spool of its own; skips where it is missing, unless REQUIRE_SLURM is set."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [program for program in PROGRAMS if not shutil.which(program, path=path)]:
        (pytest.fail if os.environ.get("REQUIRE_SLURM") else pytest.skip)(f"Slurm is not there: no {', '.join(missing)}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))  # a socket's path must be short
        stack.callback(kill_what_is_left, folder)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PATH", f"{folder}{os.pathsep}{path}")
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        srun = shutil.which("srun", path=path)  # for which the plugin drops from the environment where Slurm's settings are
        (folder / "srun").write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n')
        (folder / "srun").chmod(0o755)
        names = {"folder": folder, "host": socket.gethostname().partition(".")[0], "user": getpass.getuser()}
        ports = {"controller_port": free_port(), "node_port": free_port()}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**names, **ports))
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")  # looks for none until one is used; v2 would at once
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(os.urandom(128))
        own = [f"--{what}={folder / f'munge.{what}'}" for what in ("socket", "pid-file", "log-file", "seed-file")]
        munge = ["munged", "--foreground", "--force", f"--key-file={folder / 'key'}", *own]
        munged = stack.enter_context(started(folder / "munged.said", *munge))
        until((folder / "munge.socket").exists, munged)
        stack.enter_context(started(folder / "slurmctld.said", "slurmctld", "-D"))
        node = stack.enter_context(started(folder / "slurmd.said", "slurmd", "-D"))
        until(lambda: asked("sinfo", "--noheader", "--format=%T") == "idle", node)
        try:
            yield
        finally:  # jobs are no children of a daemon, and would outlive it
            asked("scancel", "--full", "--signal=KILL", f"--user={names['user']}")
            asked("scancel", f"--user={names['user']}")
            until(lambda: not asked("squeue", "--noheader") and not [*(folder / "spool").glob(f"{names['host']}_*")])


# A project on it


@dataclass
class Ended:
    """How a command ended, and what it said."""

    status: int
    said: str


@dataclass
class History:
    """What became of a preset's book on a cluster: its folder of results, and how the command ended each time."""

    results: Path
    job: str  # that was killed
    killed: Ended
    resumed: Ended
    steps: dict[str, list[int]]  # by seed, at which a checkpoint was saved
    jobs: list[str]  # what each was for


def write_project(folder: Path) -> None:
    """The project with one small notebook."""
    alone = ("Snakefile", "_config.yml", "book/references.bib")
    copy_project(folder, "lib/", "profiles/", "book/_static/", "book/_extensions/", *alone)
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n  - file: chapter\n")
    (folder / "book/index.md").write_text("# A book\n\nIt has {doc}`chapter`.\n")
    write_chapter(SimpleNamespace(project=folder), CHAPTER)


@pytest.fixture(scope="module")
def history(slurm, small_experiment, write_preset, tmp_path_factory) -> History:
    """A book that was built in two attempts: in the first, a seed's job is killed once it has saved a checkpoint."""
    base = tmp_path_factory.mktemp("cluster")
    project, preset, results = base / "our $HOME project", base / "their preset/tiny.toml", base / "my results/tiny"
    preset.parent.mkdir()
    write_project(project)
    write_preset(preset, {"dyck": small_experiment})
    preset.write_text(f'plugins = ["held.py"]\n{preset.read_text()}')
    preset.with_name("held.py").write_text(HELD)
    environment = {**os.environ, "PYTHONPATH": str(project), "LIB_ARTIFACTS": str(results.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lib", "book", "--preset", str(preset), "--", *PROFILE]
    within = {"cwd": base, "env": environment}  # a folder in which the profile is not

    def steps() -> dict[str, list[int]]:
        return {path.stem: [*map(int, path.read_text().split())] for path in preset.parent.glob("*.steps")}

    def jobs() -> list[list[str]]:
        return [line.split() for line in asked("squeue", "--states=all", "--noheader", "--format=%i %k").splitlines()]

    (preset.parent / "hold").touch()
    with started(base / "killed", *command, **within) as process:
        until(lambda: steps().get("seed-0"), process)
        (job,) = [number for number, comment in jobs() if comment == "rule_seed_wildcards_dyck_0"]
        subprocess.run(["scancel", "--signal=KILL", f"{job}.0"], check=True)  # what it runs; all of it would get SIGTERM first
        killed = Ended(process.wait(), process.said.read_text())
    assert steps()["seed-0"] == [small_experiment.training.checkpoint_every], "it waited"
    (preset.parent / "hold").unlink()
    with started(base / "resumed", *command, **within) as process:
        resumed = Ended(process.wait(), process.said.read_text())
    return History(results, job, killed, resumed, steps(), sorted(comment for _, comment in jobs()))


@pytest.mark.slow
def test_a_job_that_is_killed_ends_the_build_and_says_so(history):
    assert history.killed.status == 2, history.killed.said
    assert f"SLURM-job '{history.job}' failed, SLURM status is: 'FAILED'" in history.killed.said
    assert history.killed.said.splitlines()[-1].startswith("error: the book was not built: a step above failed")


@pytest.mark.slow
def test_the_same_command_goes_on_from_the_last_checkpoint(history, small_experiment):
    every, steps = small_experiment.training.checkpoint_every, small_experiment.training.steps
    assert history.resumed.status == 0, history.resumed.said
    once = [*range(every, steps, every), steps]
    assert history.steps == {"seed-0": once, "seed-1": once}
    assert (history.results / "book/_build/html/chapter.html").exists()


@pytest.mark.slow
def test_a_seed_is_a_job(history):
    seeds = ["rule_seed_wildcards_dyck_0", "rule_seed_wildcards_dyck_0", "rule_seed_wildcards_dyck_1"]
    assert history.jobs == ["rule_notebook_wildcards_chapter", *seeds]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.safetensors", "snapshots.safetensors", "training.csv"])
@pytest.mark.parametrize("seed", ["seed-0", "seed-1"])
def test_weights_are_those_of_a_run_without_slurm(history, tiny_artifacts, seed, file):
    without = tiny_artifacts / "tiny/dyck" / seed / file
    assert (history.results / "dyck" / seed / file).read_bytes() == without.read_bytes()


# What Snakemake is told


@pytest.fixture
def told(monkeypatch, capsys) -> Callable[..., str]:
    """A function that gives the options with which Snakemake would be started for options of a user's."""
    monkeypatch.setattr(workflow, "stale", lambda preset: [])

    def tell(*options: str, cores: str = "all") -> str:
        given = []
        monkeypatch.setattr(workflow, "_snakemake", lambda arguments: given.append(shlex.join(arguments)) or 1)
        with pytest.raises(InputError, match="a step above failed"):
            workflow.build(presets.load("smoke"), cores, options)
        assert capsys.readouterr() == ("", "")
        return given[0]

    return tell


@pytest.mark.parametrize("options", [PROFILE, ("--executor", "slurm", "--jobs", "3"), ("--executor=slurm", "-j3", "-n")])
def test_what_this_machine_has_limits_no_job_on_a_cluster(told, monkeypatch, options):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=700 * 2**20))
    monkeypatch.setattr(workflow, "use_threads", lambda threads: pytest.fail("asks for threads of this machine"))
    assert not {"--cores", "--local-cores", "--resources"} & {*told(*options).split()}
    assert "--local-cores 3" in told(*options, cores="3")


@pytest.mark.parametrize("options", [(), ("-n",), ("--executor", "local"), ("--forceall",), ("--no-such-option",)])
def test_what_this_machine_has_limits_jobs_that_run_here(told, options):
    assert "--cores 3 --resources mem_mb=" in told(*options, cores="3")


def test_a_profile_is_found_from_anywhere(told, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert f"--profile {ROOT / 'profiles/slurm'}" in told(*PROFILE)
    (tmp_path / "profiles/slurm").mkdir(parents=True)
    (tmp_path / "profiles/slurm/config.yaml").write_text("executor: local\n")
    assert "--profile profiles/slurm" in told(*PROFILE), "one's own comes first"
