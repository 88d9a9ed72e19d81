"""Commands in processes of their own, as a user starts them: how they ended, what they said, and what they left."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import mkdtemp

from conftest import ROOT
from processes import LIBRARIES

from drill import child

LIMIT = 30  # seconds; what takes longer than any of these commands should counts as hanging


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int  # negative for the signal that ended it
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line in which it was refused; fails where it was not, or where more was said."""
        said = [line for line in self.err.replace("\r", "\n").splitlines() if line and not re.search(r"\[\d\d:\d\d", line)]
        assert self.status == 2, f"status {self.status}: {self.out[-500:]}{self.err[-900:]}"
        assert self.out == "", self
        assert "Traceback" not in self.err, self.err
        if said[0].startswith(("Usage: ", "Error: ")):  # as command lines have it everywhere: usage, a hint, and the error
            assert said[-1].startswith("Error: "), self.err
        else:
            assert len(said) == 1, self.err
            assert said[0].startswith("error: "), self.err
        return said[-1]


@dataclass
class Started:
    """A command that runs."""

    process: BaseProcess
    said: Path

    def ended(self, limit: float = LIMIT) -> Ended:
        """Wait until it ends, by a kill where that takes too long."""
        self.process.join(limit)
        if self.process.is_alive():
            self.kill()
            raise AssertionError(f"it hangs: {limit} seconds were not enough; it said {(self.said / 'err').read_text()!r}")
        out, err = ((self.said / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(self.process.exitcode, out, err)

    def kill(self) -> bool:
        """Kill it and all that it has started; False if it had ended before."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        return self.process.exitcode == -signal.SIGKILL


def start(
    *arguments: str, environment: Mapping[str, str] | None = None, before: Callable[[], None] | None = None, cwd: Path = ROOT
) -> Started:
    """Start `python -m lib` with arguments, in a process that leads a group of its own and has the libraries loaded already.

    `before` is called in it first: it may lower limits and give up rights.
    """
    return started(child.command, [*arguments], environment=environment, before=before, cwd=cwd)


def lib(*arguments: str, **options: object) -> Ended:
    """Run `python -m lib` with arguments to its end; see `start`."""
    return start(*arguments, **options).ended()


def started(
    function: Callable, *arguments: object, environment: Mapping | None = None, before: Callable | None = None, cwd: Path = ROOT
) -> Started:
    """As `start`, for a function that returns the exit status."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        [*LIBRARIES, "drill.child", "lib.cli", "lib.presets", "lib.tasks.code.task", "lib.tasks.dyck.task"]
    )
    said = Path(mkdtemp(prefix="said-", dir=os.environ["DRILL_SAID"]))
    known = {**os.environ, **(environment or {})}
    process = processes.Process(target=child.run, args=(function, arguments, known, before, str(cwd), str(said)))
    process.start()
    return Started(process, said)


def shell(command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess:
    """Do in a shell what a message says, word for word; `python` is this one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = {**os.environ, "PATH": path, **(environment or {})}
    return subprocess.run(["sh", "-c", command], cwd=ROOT, env=known, capture_output=True, text=True, timeout=5 * LIMIT)


def remedy(message: str) -> str:
    """The command that a message says would help."""
    before, command = "anew|made again|from the beginning|bring it back|instead|run", "python -m lib|rm|mv|git"
    found = re.search(rf"(?:{before}): ((?:{command}) .*)$", message, re.DOTALL)
    assert found, f"no command in {message!r}"
    return found[1]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def differing(folder: Path, whole: Mapping[str, bytes]) -> list[str]:
    """The files that are not as they would be had nothing happened; what was moved away does not count."""
    found = {name: content for name, content in contents(folder).items() if ".old" not in name}
    return sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
