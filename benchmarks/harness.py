"""What a benchmark is: two ways to the same result, compared before they are timed by turns; and what they run on."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from lib import provenance
from lib.errors import InputError
from lib.models import pretrained


class LeftOut(InputError):
    """A benchmark cannot be run here; the message says why."""


class Disagreement(Exception):
    """The two ways of a benchmark do not do the same, so their times are no comparison."""


@dataclass(frozen=True)
class Difference:
    """How far the two ways are apart in something."""

    of: str
    largest: float
    allowed: float


@dataclass(frozen=True)
class Contest:
    """Two ways to the same result. Each does its work once and returns seconds a unit of it (a token, a step, a sweep)."""

    ours: Callable[[], float]
    theirs: Callable[[], float]
    differences: list[Difference]
    note: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A row of the table."""

    what: str
    against: str
    begin: Callable[..., Contest]  # (folder of the peer or None, threads, sizes)
    peer: str | None = None  # name of its folder
    threads: int | None = None  # None: as asked for
    small: Mapping[str, int | str] = field(default_factory=dict)  # sizes at which it only shows that it runs


def timed(function: Callable[[], object], threads: int | None = None) -> Callable[[], float]:
    """A way whose work is one call: processor time on one thread, which other processes hardly touch, else the clock's."""
    clock = time.process_time if threads == 1 else time.perf_counter

    def run() -> float:
        start = clock()
        function()
        return clock() - start

    return run


def measured(benchmark: Benchmark, folder: Path | None, threads: int, rounds: int, small: bool = False) -> dict:
    """A row as plain values: agreement of the two ways, then seconds of ours and theirs, by turns in each round."""
    torch.set_num_threads(threads)
    contest = benchmark.begin(folder, threads, **(benchmark.small if small else {}))
    for difference in contest.differences:
        if not difference.largest <= difference.allowed:  # nor if it is not a number
            raise Disagreement(
                f"{benchmark.what}, against {benchmark.against}: {difference.of}: {difference.largest:.3g} apart, "
                f"but at most {difference.allowed:g} is allowed; not timed"
            )
    seconds = [{"theirs": float(f"{contest.theirs():.6g}"), "ours": float(f"{contest.ours():.6g}")} for _ in range(rounds)]
    return {
        "what": benchmark.what,
        "against": benchmark.against,
        "threads": threads,
        "differences": [vars(difference) for difference in contest.differences],
        "note": contest.note,
        "seconds": seconds,
        "kernels": kernels(contest.ours),
    }


def kernels(function: Callable[[], object]) -> dict[str, float]:
    """The kernels of PyTorch in which a call spends most of its time, with their shares of it; others are left out."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        function()
    events = {event.key.removeprefix("aten::").strip("_"): event.self_cpu_time_total for event in found.key_averages()}
    total = sum(events.values())
    largest = sorted(events, key=events.get, reverse=True)[:5]
    return {name: round(events[name] / total, 3) for name in largest if total and events[name] > 0.03 * total}


def spread(row: Mapping) -> tuple[str, str, str]:
    """How many times as fast ours is: median over rounds, least and most, in words."""
    found = [turn["theirs"] / turn["ours"] for turn in row["seconds"]]
    return tuple(f"{x:,.0f}" if x >= 100 else f"{x:#.3g}" for x in (statistics.median(found), min(found), max(found)))


def said(name: str, row: Mapping) -> str:
    """A row in words."""
    median, least, most = spread(row)
    threads = "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
    lines = [f"{name}: {median} times as fast ({least} to {most} over {len(row['seconds'])} rounds) on {threads}"]
    lines += [f"  {row['what']}; against {row['against']}" + (f"; {row['note']}" if row["note"] else "")]
    lines += [f"  {d['of']}: at most {d['largest']:.2g} apart (allowed: {d['allowed']:g})" for d in row["differences"]]
    return "\n".join(lines)


def cores() -> int:
    """How many threads can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, object]:
    """Processor, cores and versions: what a ratio may differ by."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    processor = model[1] if model else platform.processor() or platform.machine()
    return {**provenance.versions(("numpy",)), **provenance.machine(), "processor": processor, "cores": cores()}


def checkout(folder: Path | None, peer: str) -> Path:
    """The folder of a peer."""
    if folder is None or not (folder / peer).is_dir():
        raise LeftOut(f"{peer} is not there: " + (f"{folder} has no folder {peer}" if folder else "name the folder of peers"))
    return folder / peer


@contextmanager
def importing(folder: Path | None, peer: str) -> Iterator[Path]:
    """Say of which peer it is, and that it is left out, where what it needs fails; its folder comes first for imports."""
    where = checkout(folder, peer)
    sys.path.insert(0, str(where))
    try:
        yield where
    except (Exception, SystemExit) as error:
        said = (str(error).strip().splitlines() or [""])[-1]
        raise LeftOut(f"{where} cannot be used as {peer} ({type(error).__name__}: {said})") from error
    finally:
        sys.path.remove(str(where))


def language_models() -> None:
    """`LeftOut` where what reads them is not installed."""
    try:
        pretrained.require()
    except InputError as error:
        raise LeftOut(str(error)) from error


def version(folder: Path | None, peer: str) -> str:
    """The commit of a peer's checkout; of one that is installed in an environment of its own, its version."""
    where = checkout(folder, peer)
    if (where / "pyvenv.cfg").exists():
        asked = [where / "bin" / "python", "-c", f"from importlib.metadata import version; print(version({peer!r}))"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "of an unknown version"
    if not (where / ".git").exists():  # the commit of what is around it would be another's
        return "of an unknown commit"
    done = subprocess.run(["git", "-C", where, "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of an unknown commit"
