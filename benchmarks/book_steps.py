"""What a book takes, step by step, from nothing: processor time and memory; with another checkout, by turns with it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import bench
import pandas as pd
from harness import machine

from lib import workflow
from lib.errors import InputError
from lib.presets import Preset, load

ROOT, STEP = Path(__file__).resolve().parent.parent, Path(__file__).with_name("step.py")
MEASUREMENTS = "faithfulness.parquet"


@dataclass(frozen=True)
class Checkout:
    """A version of this project, the preset in its terms, and where its results go."""

    folder: Path
    preset: str
    results: Path

    def run(self, command: Sequence[str]) -> dict[str, object]:
        """What a command took: seconds of processor time, these by parts, and megabytes."""
        report = self.results / "step.json"
        started = [sys.executable, "-P", STEP, report, *command, "--preset", self.preset]
        with (self.results / "step.log").open("wb") as log:
            process = subprocess.Popen(started, env=self.environment(), cwd=self.folder, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)  # what its own processes took counts, too
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said = (self.results / "step.log").read_text(encoding="utf-8", errors="replace").strip()
            raise InputError(f"{self.folder} cannot do `python -m lib {' '.join(command)}`: {said[-600:]}")
        said = json.loads(report.read_text("utf-8"))
        return {
            "processor": round(usage.ru_utime + usage.ru_stime, 2),
            "megabytes": round(said["megabytes"]),
            "parts": {name: round(seconds, 2) for name, seconds in said["parts"].items()},
        }

    def environment(self) -> dict[str, str]:
        """One thread, as where a step runs beside others, and models that nobody trained before."""
        alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**os.environ, **alone, "PYTHONPATH": str(self.folder), "LIB_ARTIFACTS": str(self.results), "LIB_PUBLISHED": ""}

    def measurements(self, task: str) -> pd.DataFrame:
        """The table of an experiment."""
        (file,) = self.results.glob(f"*/{task}/{MEASUREMENTS}")
        return pd.read_parquet(file)


def steps(preset: Preset, folder: Path = ROOT) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The commands of a checkout's `Snakefile` in an order in which each finds what it needs, and what a group is called."""
    for name in preset.available():
        experiment = preset.experiment(name)
        if experiment.task.shared:
            yield f"{name}: data", ("data", name)
        for seed in range(experiment.seeds):
            yield f"{name}: a seed", ("evaluate", name, "--seed", str(seed))
        yield f"{name}: table", ("evaluate", name)
    for notebook in sorted((folder / "notebooks").glob("*.ipynb")):
        yield f"chapter {notebook.stem}", ("execute", notebook.stem)
    yield "pages", ("assemble",)


def total(rows: Mapping[str, list[Mapping]]) -> float:
    """Seconds of processor time."""
    return sum(turn["processor"] for turns in rows.values() for turn in turns)


def measured(preset: Preset, checkouts: Mapping[str, Checkout]) -> dict[str, dict[str, list[dict]]]:
    """What every step took, by checkout and group; printed as it is found."""
    found: dict[str, dict[str, list[dict]]] = {which: {} for which in checkouts}
    planned = {which: list(steps(preset, checkout.folder)) for which, checkout in checkouts.items()}
    for group, command in dict.fromkeys(step for of in planned.values() for step in of[:-1]) | {planned["ours"][-1]: None}:
        for which, checkout in checkouts.items():
            if (group, command) not in planned[which]:  # a chapter that one alone has
                continue
            took = checkout.run(command)
            found[which].setdefault(group, []).append(took)
            parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in took["parts"].items() if seconds >= 0.1)
            print(f"{which}: {' '.join(command)}: {took['processor']:.1f} s, {took['megabytes']:,} MB ({parts})", flush=True)
    for which, rows in found.items():
        print(f"{which}: {total(rows):.0f} s of processor time in all")
    return found


def _times(ours: Mapping[str, list], theirs: Mapping[str, list]) -> float:
    both = ours.keys() & theirs.keys()
    return total({group: theirs[group] for group in both}) / total({group: ours[group] for group in both})


def compared(preset: Preset, ours: Checkout, theirs: Checkout) -> str:
    """How far the measurements of two checkouts are apart, in words."""
    rows, both, off = 0, 0, []
    for name in preset.available():
        one, other = ours.measurements(name), theirs.measurements(name)
        keys = [key for key in one.columns if key in other and key not in ("value", "n")]
        joined = one.merge(other, on=keys, suffixes=("", "_theirs"))
        rows, both = rows + len(one), both + len(joined)
        same = joined[joined["metric"] == "same_prediction"]
        off.append((same["value"] - same["value_theirs"]).abs())
    apart = 100 * pd.concat(off).median()
    return f"{rows:,} rows of measurements, {both:,} in both; agreement is {apart:.2g} points apart at the median"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="book_steps.py", description=__doc__)
    parser.add_argument("preset", nargs="?", default="quick", help="its name or file; default: quick")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="of another version of this project")
    parser.add_argument("--its-preset", metavar="FILE", help="what the preset is called, or says, there; default: the same")
    parser.add_argument("--publish", action="store_true", help=f"put it into book/{bench.PAGE.name}")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Exit status: 2 for input that cannot be used."""
    asked = arguments(given)
    try:
        preset = load(asked.preset)
        if asked.against and not (asked.against / "lib" / "cli.py").is_file():
            raise InputError(f"against is {str(asked.against)!r}, which is no checkout of this project: it has no lib/cli.py")
        if asked.its_preset and not asked.against:
            raise InputError(
                f"its_preset is {asked.its_preset!r}, but there is no other checkout: name one with --against, or leave it out"
            )
        workflow.check_before_building(preset)
        with TemporaryDirectory() as folder:
            checkouts = {"ours": Checkout(ROOT, preset.given, Path(folder, "ours"))}
            if asked.against:
                its = asked.its_preset or preset.given
                its = str(Path(its).resolve()) if Path(its).is_file() else its
                checkouts["theirs"] = Checkout(asked.against.resolve(), its, Path(folder, "theirs"))
            for checkout in checkouts.values():
                checkout.results.mkdir()
            found = measured(preset, checkouts)
            if asked.against:
                print(f"theirs takes {_times(*found.values()):.2f} times the processor time of ours, of steps that both have")
                print(compared(preset, *checkouts.values()))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("on " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    if asked.publish:
        book = {"preset": preset.name, "machine": machine(), "steps": found["ours"]}
        bench.publish({**bench.published(), "book": book})
    return 0


if __name__ == "__main__":
    sys.exit(main())
