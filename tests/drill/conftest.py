"""A drill is asked for by its folder, and says at its end how often each kind of trouble was tried, and how often it failed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TRIES, FAILURES, SKIPPED = Counter(), Counter(), Counter()  # by kind


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kind(name): what a try of a drill counts as")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Nothing is collected here unless this folder, or a file in it, is asked for: `pytest` alone leaves it out."""
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.user_properties.append(("kind", item.get_closest_marker("kind").args[0]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if kind := dict(report.user_properties).get("kind"):
        TRIES[kind] += report.when == "call" and not report.skipped
        FAILURES[kind] += report.failed
        SKIPPED[kind] += report.skipped


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TRIES:
        return
    terminalreporter.section("drill")
    for kind, tries in TRIES.items():
        left_out = f", {SKIPPED[kind]} could not be tried here" if SKIPPED[kind] else ""
        terminalreporter.line(f"{kind}: {tries} tries, {FAILURES[kind]} failures{left_out}")
    terminalreporter.line(f"in all: {TRIES.total()} tries, {FAILURES.total()} failures")


@pytest.fixture(scope="session", autouse=True)
def what_was_said(tmp_path_factory) -> None:
    """A folder for what commands say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRILL_SAID", str(tmp_path_factory.mktemp("said")))
        yield
