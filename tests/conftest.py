"""What several test files share: a small experiment, a model whose attention is far from uniform, a fresh interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from lib.experiment import Experiment, MeasuringConfig
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig, Transformer
from lib.presets import load
from lib.split import Dataset
from lib.tasks.dyck.task import DyckTask

if TYPE_CHECKING:  # what draws is loaded by the tests that need it
    from lib.studies import Study
    from lib.tasks.dyck.clustering import ClusteringChapter
    from lib.tasks.dyck.depth import DepthChapter

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40, database=None)
settings.load_profile("repeatable")

# Everything here is so small that threads only get in each other's way; tests/test_kernels.py asks for two all the same.
torch.set_num_threads(int(os.environ.get("TEST_THREADS", "1")))

ROOT = Path(__file__).resolve().parent.parent

# The files that take longest, first: so that at the end no worker waits for another. The book is built by one worker while the
# other does the next two files; by then its pages are there.
LONGEST = (
    "book",
    "workflow",
    "slurm",
    "kernels",
    "pages",
    "pictures",
    "benchmarks",
    "provenance",
    "live_pages",
    "chapters",
    "figures",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True)
def artifacts_outside_the_checkout(tmp_path, monkeypatch):
    """No test writes into the checkout, not even one that fails."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture(scope="session")
def small_data() -> DyckTask:
    """A language whose splits are all populated, sampled in milliseconds."""
    return DyckTask(
        bracket_types=3,
        max_depth=4,
        min_length=4,
        max_length=16,
        training_sentences=600,
        split_sentences=60,
        unseen_structure_length=14,
        unseen_length=24,
        unseen_depth=7,
        min_distance=4,
    )


@pytest.fixture(scope="session")
def small_experiment(small_data) -> Experiment:
    """Trains in a second: two layers, two heads, narrow."""
    grid = {"svd": (2,), "kmeans": (8,), "one_hot": ()}
    return Experiment(
        task=small_data,
        model=ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
        training=TrainingConfig(
            steps=40, batch_size=16, warmup_steps=5, evaluations=3, heldout_sequences=20, checkpoint_every=7
        ),
        measuring=MeasuringConfig(
            grid={"0": grid, "1": grid},
            along_training={"1": {"svd": (2,)}},
            refitted={"1": {"svd": (1, 2)}},
            refitted_on=("training_more", "training_balanced", "iid", "unseen_length", "unseen_depth"),
            fit_sequences=40,
        ),
        seeds=2,
    )


@pytest.fixture(scope="session")
def small_dataset(small_data) -> Dataset:
    """Training sentences and splits of that language."""
    return small_data.sample(seed=0)


@pytest.fixture(scope="session")
def random_model():
    """A function that makes a model with weights so large that its attention is far from uniform."""

    def make(
        config: ModelConfig, vocabulary_size: int = 9, context: int = 26, seed: int = 0, scale: float = 0.4
    ) -> Transformer:
        generator = torch.Generator().manual_seed(seed)
        model = Transformer.seeded(config, vocabulary_size, context, seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
        return model.eval()

    return make


@pytest.fixture(scope="session")
def run_python():
    """A function that runs this interpreter in the repository root, to its end."""

    def run(*arguments: str, artifacts: Path, **options) -> subprocess.CompletedProcess:
        environment = {**os.environ, "LIB_ARTIFACTS": str(artifacts)}
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, **options
        )

    return run


# Studies on disk


@pytest.fixture(scope="session")
def write_preset() -> Callable[..., Path]:
    """A function that writes experiments, by their names, as a preset file."""

    def toml(value: object) -> str:
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        return json.dumps(value)

    def write(path: Path, experiments: Mapping[str, Experiment]) -> Path:
        lines = []
        for name, experiment in experiments.items():
            values = experiment.plain()
            lines += [f"[{json.dumps(name)}]", f"task = {toml(experiment.task.kind)}", f"data = {toml(values.pop('task'))}"]
            lines += [f"{key} = {toml(value)}" for key, value in values.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny(small_experiment, write_preset, tmp_path_factory) -> str:
    """The path of a preset that trains and measures in a second: two seeds of `small_experiment`, as `dyck`."""
    return str(write_preset(tmp_path_factory.mktemp("presets") / "tiny.toml", {"dyck": small_experiment}))


@pytest.fixture(scope="session")
def tiny_artifacts(tiny, tmp_path_factory, worker_id) -> Path:
    """An artifacts folder with the study of the preset `tiny`. Read only: `tiny_study` is a copy to change.

    The first of several workers that asks for it makes it.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "of-tiny"
    with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder))
        load(tiny).study("dyck").save()  # which does nothing where all is there
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, worker_id) -> Path:
    """A copy of what is under version control, with the book of preset smoke built in it, and a proxy of a user's own.

    The first of several workers that asks for it makes it. Nothing may be changed in it but what Snakemake keeps for itself.
    """
    from whole_book import build

    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "of-smoke" / "project"
    built = folder.parent / "built"
    with FileLock(f"{folder.parent}.lock"):
        if not built.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what another worker may have failed with
            build(folder)
            built.touch()
    return folder


@pytest.fixture(scope="session")
def html(checkout) -> Path:
    """The folder of the built pages."""
    return checkout / "artifacts/mine/book/_build/html"


@pytest.fixture
def tiny_study(tiny_artifacts, tmp_path) -> Path:
    """`artifacts/tiny/dyck` of an artifacts folder of one's own, complete."""
    shutil.copytree(tiny_artifacts, tmp_path / "artifacts")
    return tmp_path / "artifacts" / "tiny" / "dyck"


# Chapters on Dyck


@pytest.fixture(scope="session")
def dyck_chapters(small_experiment, tiny_artifacts, tmp_path_factory) -> tuple[Study, DepthChapter, ClusteringChapter]:
    """What the next three fixtures give, made once for all test files."""
    from chapters import dyck_study, new_proxy

    from lib.tasks.dyck.clustering import ClusteringChapter
    from lib.tasks.dyck.depth import DepthChapter

    with new_proxy():
        study = dyck_study(small_experiment, tiny_artifacts, tmp_path_factory.mktemp("chapters"))
        depth = DepthChapter(study, layer=1, ranks=[1, 2, 3], example=2)
        return study, depth, ClusteringChapter(study, layer=1, rank=2, clusters=8)


@pytest.fixture(scope="module")
def study(dyck_chapters) -> Iterator[Study]:
    """A study in which a new proxy takes part, and every share differs from all others."""
    from chapters import new_proxy

    with new_proxy():
        yield dyck_chapters[0]


@pytest.fixture(scope="module")
def depth(study, dyck_chapters) -> DepthChapter:
    return dyck_chapters[1]


@pytest.fixture(scope="module")
def clustering(study, dyck_chapters) -> ClusteringChapter:
    return dyck_chapters[2]


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window; skips the tests where there is none, unless REQUIRE_BROWSER is set."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)("no Chromium was found on the PATH")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=quiet)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def ended(capsys) -> Callable[..., tuple[int, str, str]]:
    """A function that calls a script's `main` with arguments: exit status, and what it printed to stdout and stderr."""

    def ended(main: Callable[[list[str]], int | None], *arguments: object) -> tuple[int | str | None, str, str]:
        try:
            status = main(list(map(str, arguments)))
        except SystemExit as exited:
            status = exited.code
        return status, *capsys.readouterr()

    return ended
