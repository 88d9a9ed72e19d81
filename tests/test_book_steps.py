"""What a book takes is measured step by step, over the steps that the workflow has, and against another checkout."""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lib import workflow
from lib.presets import load

pytestmark = pytest.mark.slow  # as a whole
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def book_steps(monkeypatch, tmp_path):
    """The command, which publishes into a folder of the test's."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    book_steps = importlib.import_module("book_steps")
    for name in ("PUBLISHED", "PAGE"):
        of = tmp_path / getattr(book_steps.bench, name).name
        of.write_bytes(getattr(book_steps.bench, name).read_bytes())
        monkeypatch.setattr(book_steps.bench, name, of)
    return book_steps


@pytest.fixture
def run(book_steps, ended):
    """A function that runs the command: exit status, and what it printed to stdout and stderr."""
    return partial(ended, book_steps.main)


@pytest.fixture
def short(book_steps, monkeypatch):
    """The command for one model, and the table of all, which is no book; chapters and pages are others' to test."""
    monkeypatch.setattr(workflow, "check_before_building", lambda preset: None)
    steps = book_steps.steps
    chosen = ("evaluate", "dyck", "--seed", "0"), ("evaluate", "dyck")
    monkeypatch.setattr(book_steps, "steps", lambda *given: [step for step in steps(*given) if step[1] in chosen])


def test_the_steps_are_those_of_the_workflow(book_steps, tmp_path):
    command = [sys.executable, "-m", "lib", "book", "--preset", "smoke", "--", "--dry-run"]
    environment = {**os.environ, "LIB_ARTIFACTS": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    preset = load("smoke")
    planned = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)}
    rules = {"data": "data", "execute": "notebook", "assemble": "book"}
    own = Counter(rules.get(c[0]) or ("seed" if "--seed" in c else "results") for _, c in book_steps.steps(preset))
    assert {**own, "all": 1, "total": own.total() + 1} == planned


def test_steps_are_measured_against_another_checkout_and_published(book_steps, short, run, tiny):
    status, out, err = run(tiny, "--against", ROOT, "--its-preset", tiny, "--publish")
    assert (status, err) == (0, ""), err
    number = r"[\d,.]+"
    for which in ("ours", "theirs"):
        parts = rf"\(loading libraries {number}.*\)"  # what takes less than a tenth of a second is not printed
        assert re.search(rf"^{which}: evaluate dyck --seed 0: {number} s, {number} MB {parts}$", out, re.MULTILINE), out
    assert re.search(rf"^theirs takes {number} times the processor time of ours, of steps that both have$", out, re.MULTILINE)
    said = rf"^({number}) rows of measurements, ({number}) in both; agreement is 0 points apart at the median$"
    rows, both = re.search(said, out, re.MULTILINE).groups()
    assert rows == both != "0"

    steps = book_steps.bench.published()["book"]["steps"]
    assert list(steps) == ["dyck: a seed", "dyck: table"]
    (seed,) = steps["dyck: a seed"]
    assert {"loading libraries", "training", "fitting", "running and comparing"} <= seed["parts"].keys()
    assert 0 < sum(seed["parts"].values()) <= seed["processor"]
    assert 100 < seed["megabytes"] < 4_000
    page = book_steps.bench.PAGE.read_text("utf-8")
    assert re.search(rf"\| dyck: a seed \| {number} \| {number} MB \| loading libraries \d+ %.* \|\n", page)
    assert f"In all {sum(turn['processor'] for of in steps.values() for turn in of):,.0f} seconds" in page


def test_what_a_book_took_stays_where_other_rows_are_published(book_steps):
    bench = book_steps.bench
    before, book = bench.published(), {"preset": "tiny", "machine": {}, "steps": {}}
    bench.PUBLISHED.write_text(json.dumps({**before, "book": book}), encoding="utf-8")
    found = {name: before[name] for name in ("machine", "peers", "rounds", "left_out")}
    assert bench.joined({**found, "rows": {}}, only_some=True) == {**before, "book": book}
    assert bench.joined({**found, "rows": {}}, only_some=False) == {**before, "rows": {}, "book": book}


def test_memory_is_all_that_there_was_at_once(book_steps):
    peak, before = importlib.import_module("step").peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    most = max(peak(), before) + 300
    held = np.ones(int(most * 2**20), np.uint8)
    assert most <= peak() < most + 2_000
    del held
    assert most <= peak()


def test_jobs_are_declared_to_take_what_was_measured():
    book = json.loads((ROOT / "benchmarks/published.json").read_text("utf-8"))["book"]
    most = max(turn["megabytes"] for turns in book["steps"].values() for turn in turns)
    assert 0.7 * workflow.memory(load(book["preset"])) < most <= workflow.memory(load(book["preset"]))


def test_what_would_be_no_book_is_refused_before_the_first_step(run, tiny):
    status, out, err = run(tiny)
    assert (status, out) == (2, "")
    assert "has no experiment that can be done here for" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["slow"], "preset is 'slow'"),
        (["smoke", "--against", "/"], "against is '/', which is no checkout of this project: it has no lib/cli.py"),
        (["smoke", "--its-preset", "quick"], "its_preset is 'quick', but there is no other checkout: name one with --against"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments, why, run):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert re.search(f"error: .*{re.escape(why)}", err), err


def test_a_step_that_fails_says_why(short, run, tiny):
    status, _, err = run(tiny, "--against", ROOT, "--its-preset", "no-such-preset")
    assert status == 2
    assert re.search(r"error: .* cannot do `python -m lib evaluate dyck --seed 0`: .*no-such-preset", err, re.DOTALL), err
