"""What comes with the repository: models that are taken instead of trained, and whether what is published is current."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
from conftest import ROOT

import lib
from lib import book, cards, cli, executing, presets, publishing, shipped, workflow
from lib.errors import ArtifactError, InputError
from lib.experiment import simplifications_of
from lib.live import families, kept
from lib.measuring import faithfulness
from lib.models import trainer, training
from lib.models.machine import DEFAULT, ONEDNN
from lib.presets import load
from lib.proxies import KMeans, LearnedSubspace
from lib.status import CURRENT, DAMAGED, MISSING, STALE, Item, status
from lib.studies import Study
from lib.tasks.dyck.clustering import ClusteringChapter
from lib.tasks.dyck.depth import DepthChapter

CELLS = [
    'preset = "quick"\nseeds = 1',
    "from lib import presets\nfrom lib.proxies import Simplification\nstudy = presets.load(preset).study('dyck', seeds)",
    "study.estimates.estimate(Simplification('svd', 2, 1), 'iid', 'same_prediction').value",
]


# Notebooks


def test_a_page_shows_figures_without_their_widgets_and_no_progress_bar():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    figure, bar = (
        nbformat.v4.new_output("display_data", {**view, **data})
        for data in ({"text/html": "<svg/>", "text/plain": "figure"}, {"text/plain": "measure: 0%|   | 0/7"})
    )
    (cell,) = executing.with_values([nbformat.v4.new_code_cell("figure", outputs=[bar, figure])], {})
    assert [{**output.data} for output in cell.outputs] == [{"text/html": "<svg/>", "text/plain": "figure"}]


def test_a_page_offers_and_loads_no_picture_that_is_heavier_than_the_page(tiny, tiny_study, monkeypatch):
    """Here one of more than four clusters; in a notebook and in every table it is all the same."""
    study = load(tiny).study("dyck")
    (asked,) = {
        s for s in study.experiment.simplifications() if s.proxy == "kmeans" and s.layer == 1 and s.fit_on == "training"
    }
    before = kept.packed(study.runs[0])
    monkeypatch.setattr(families, "MOST_CLUSTERS", asked.complexity - 1)
    assert len(kept.packed(study.runs[0])) < len(before)
    offered = families.families([asked], study.runs[0].model, kept.arrays_of(study.runs[0]))
    assert [of["complexities"][1] for of in offered] == [[]]


# Models


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Where models come with the repository, empty at first."""
    monkeypatch.setenv(shipped.VARIABLE, str(tmp_path / "published"))
    return tmp_path / "published"


@pytest.fixture
def study(tiny, tiny_study, home) -> Study:
    """A study of two models, which come with the repository and are not there any more."""
    publishing.ship(load(tiny))
    shutil.rmtree(tiny_study)
    return load(tiny).study("dyck")


@pytest.fixture
def trains_nothing(monkeypatch) -> None:
    """Any training fails."""
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained"))


def test_a_model_that_comes_along_is_taken_and_measured_as_the_one_that_was_trained(study, tiny_artifacts, trains_nothing):
    study.save()
    (before,) = tiny_artifacts.glob("*/dyck")
    for name in ("model.safetensors", "snapshots.safetensors", "training.csv", "measurements.parquet"):
        assert (study.runs[1].folder / name).read_bytes() == (before / "seed-1" / name).read_bytes(), name
    assert (study.folder / "faithfulness.parquet").read_bytes() == (before / "faithfulness.parquet").read_bytes()
    assert study.runs[0].vocabulary == list(study.runs[0].data.vocabulary)


def test_a_model_that_is_taken_says_still_with_what_it_was_trained(study, home, monkeypatch):
    (trained,) = home.glob("*/dyck/seed-0/config.json")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    study.runs[0].train()
    assert study.runs[0].trained.read()["made"] == {**json.loads(trained.read_text())["made"], "shipped": True}


def test_so_are_fitted_proxies_of_the_model_that_pages_open_on(study, monkeypatch):
    monkeypatch.setattr(kept, "fitted_arrays", lambda *_: pytest.fail("fitted"))
    assert set(kept.arrays_of(study.runs[0])) >= {"kmeans:8/0/0/queries.centroids"}
    with pytest.raises(pytest.fail.Exception, match="fitted"):
        kept.arrays_of(study.runs[1])


def test_what_takes_long_to_fit_is_fitted_once_and_found_again_as_it_was(tiny, tiny_study, monkeypatch):
    run = load(tiny).study("dyck").runs[0]
    grid = {"1": {"kmeans": (8,), "learned_subspace": (2,), "svd": (2,), "one_hot": ()}}
    measuring = run.experiment.measuring.model_copy(update={"grid": grid})
    run.experiment = run.experiment.model_copy(update={"measuring": measuring})
    asked = simplifications_of(grid)
    fitted = {s: run.fitter.rules(s)[1] for s in asked}
    kept.arrays_of(run)
    for proxy in (KMeans, LearnedSubspace):
        monkeypatch.setattr(proxy, "fit", lambda *_: pytest.fail("fitted"))
    again = replace(run)  # it remembers nothing
    found = kept.rules_of(again, asked)
    queries, keys = torch.randn(2, 3, run.model.heads, 9, run.model.head_width, generator=torch.Generator().manual_seed(0))
    for s in asked:
        assert type(found[s][1].proxies[0]) is type(fitted[s].proxies[0])
        torch.testing.assert_close(found[s][1].simplified(queries, keys), fitted[s].simplified(queries, keys))
    with pytest.raises(pytest.fail.Exception, match="fitted"):  # on other sequences
        kept.rules_of(again, [replace(asked[0], fit_on="training_more")])
    kept.record_of(run).path.unlink()
    with pytest.raises(pytest.fail.Exception, match="fitted"):  # what nobody kept
        kept.rules_of(again, asked[:1])


def test_live_figures_open_on_them_and_nothing_is_measured_or_fitted(study, monkeypatch):
    monkeypatch.setattr(faithfulness, "measure", lambda *_, **__: pytest.fail("measured"))
    monkeypatch.setattr(kept, "fitted_arrays", lambda *_: pytest.fail("fitted"))
    brackets = DepthChapter(study, 1, [2], 2).hardest()
    assert set(brackets.packs) == {"dyck-0"}, "of the other model all pictures would have to be fitted"
    assert "<svg" in brackets.to_html()
    assert set(ClusteringChapter(study, 1, 2, 8).projections().packs) == {"dyck-0"}


def test_folders_that_git_left_empty_are_nothing_that_is_published(home):
    (home / "quick" / "notebooks").mkdir(parents=True)
    assert publishing.published() == []
    assert list(status()) == []


def test_where_nothing_is_to_be_taken_all_is_trained_also_what_was_taken(tiny, study, tiny_artifacts, monkeypatch):
    run = study.runs[0]
    assert run.measure()
    assert workflow.stale(load(tiny)) == []
    monkeypatch.setenv(shipped.VARIABLE, "")
    assert workflow.stale(load(tiny)) == ["dyck/seed-0/measurements.json"], "so the workflow makes it again"
    assert not run.is_trained()
    assert run.train(), "trained"
    assert run.is_trained(), "once"
    (before,) = tiny_artifacts.glob("*/dyck")
    assert (run.folder / "model.safetensors").read_bytes() == (before / "seed-0" / "model.safetensors").read_bytes()


def test_a_model_of_another_configuration_or_of_other_data_is_not_taken(tiny, study, small_experiment, home):
    longer = small_experiment.training.model_copy(update={"steps": 41})
    other = Study("dyck", small_experiment.model_copy(update={"training": longer}), study.folder)
    assert other.runs[0].train()
    run = study.runs[1]
    record = shipped.record_of(run.folder)
    record.write(run.identity, trainer.FILES, record.read()["made"] | {"data": "0" * 64})
    assert run.train(replace=True), "trained, as the one that comes along was trained on other data"


@pytest.mark.parametrize("file", ["config.json", *trainer.FILES])
@pytest.mark.parametrize("how", ["missing", "truncated", "altered"])
def test_a_damaged_file_is_named_with_the_command_that_brings_it_back(study, home, file, how, trains_nothing):
    path = home / study.folder.parent.name / "dyck" / "seed-0" / file
    whole = path.read_bytes()
    content = {"truncated": whole[: len(whole) // 2], "altered": bytes([whole[0] ^ 1]) + whole[1:]}.get(how)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{file} .*; to bring it back: git -C .* checkout -- .*seed-0'?$"):
        study.runs[0].train()
    assert not (study.runs[0].folder / "config.json").exists(), "nothing half taken counts"
    path.write_bytes(whole)
    study.runs[0].train()


def test_the_command_that_brings_a_file_back_does(tmp_path, monkeypatch, tiny, tiny_study):
    project = tmp_path / "my project"
    monkeypatch.setenv(shipped.VARIABLE, str(project / "published"))
    monkeypatch.setattr(shipped, "ROOT", project)
    publishing.ship(load(tiny))
    shutil.rmtree(tiny_study)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "models")):
        subprocess.run(["git", *command], cwd=project, check=True)
    run = load(tiny).study("dyck").runs[0]
    (project / "published" / "tiny" / "dyck" / "seed-0" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError) as refused:
        run.train()
    subprocess.run(str(refused.value).partition("to bring it back: ")[2], shell=True, check=True)
    assert not run.train()


def test_a_published_model_is_loaded_in_a_line(tiny, study, trains_nothing):
    run = lib.load("dyck", seed=1, preset=tiny)
    assert run.model.layers == 2
    with pytest.raises(InputError, match=r"no model of 'dyck', seed 7, comes with .* at preset .*: dyck 0, dyck 1$"):
        lib.load("dyck", seed=7, preset=tiny)


def test_the_lines_of_the_book_give_a_model_that_comes_along(trains_nothing):
    """In this very repository, without anything measured."""
    (lines,) = re.findall(r"```python\n(from lib import load\n.*?)```", (ROOT / "book/running.md").read_text(), re.DOTALL)
    found: dict = {}
    exec(lines, found)
    run = found["run"]
    assert len(run.vocabulary) == run.model.unembedding.out_features
    assert run.history["step"].iloc[-1] == run.experiment.training.steps


def test_models_that_come_along_have_a_card(study, home):
    """What they are, what they were trained on, how well they do; in numbers that were computed, from what is kept of them."""
    card = (home / "tiny" / "README.md").read_text(encoding="utf-8")
    run = study.runs[0]
    weights = sum(parameter.numel() for parameter in run.model.parameters())
    assert f"2 models of {weights:,} weights" in card
    assert run.data.fingerprint[:16] in card
    assert "steps 40" in card
    accuracy = 100 * study.history.groupby("seed")["accuracy_iid"].last()
    assert f"iid {accuracy.min():.1f} to {accuracy.max():.1f}" in card
    assert "nan" not in card


def test_a_card_says_with_what_models_were_trained_seed_by_seed_where_they_differ(tiny, study):
    for run, products in zip(study.runs, (DEFAULT, ONEDNN), strict=True):
        run.train()  # which takes it
        made = run.trained.read()["made"] | {"processor": "a processor", "torch": "2", "products": products}
        run.trained.write(run.identity, trainer.FILES, made)
    (said,) = re.findall("- Trained on (.*)", cards.card(load(tiny), [study]))
    assert said == "cpu (a processor, torch 2) in float32; or on cpu (a processor, torch 2) in float32, products by oneDNN."


def test_a_card_names_the_licences_of_what_text_was_cut_out_of():
    assert cards.licence_of("numpy")
    assert cards.licence_of("no-such-package") == cards.licence_of("java.base/java/util") == ""


# Status


@pytest.fixture
def place(tmp_path, tiny, tiny_artifacts, home, monkeypatch) -> Path:
    """A project whose preset is the tiny one, with two published chapters, and the models that they show."""
    folders = {name: tmp_path / "project" / name for name in ("presets", "notebooks", "book", "artifacts")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (folders["presets"] / "tiny.toml").write_text(Path(tiny).read_text())
    (found,) = tiny_artifacts.glob("*/dyck")
    shutil.copytree(found, folders["artifacts"] / "tiny" / "dyck")
    monkeypatch.setenv("LIB_ARTIFACTS", str(folders["artifacts"]))
    for module in (shipped, publishing, lib.status):
        monkeypatch.setattr(module, "ROOT", tmp_path / "project")
    (tmp_path / "project" / "README.md").write_text(f"# A\n{publishing.BEGIN}\n{publishing.END}\nZ\n")
    monkeypatch.setattr(presets, "_FOLDER", folders["presets"])
    monkeypatch.setattr(presets, "NAMES", ("tiny",))
    preset = load(str(folders["presets"] / "tiny.toml"))  # by its path, as papermill's kernel knows no other names
    monkeypatch.setattr(executing, "NOTEBOOKS", folders["notebooks"])
    monkeypatch.setattr(book, "PAGES", folders["book"])
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for name in ("one", "two"):
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"experiments": ["dyck"], "kernelspec": kernel})
        nbformat.write(notebook, folders["notebooks"] / f"{name}.ipynb")
        book.execute(preset, name)
    publishing.ship(preset)
    publishing.publish(preset)
    shutil.rmtree(folders["artifacts"])
    return tmp_path / "project"


def states() -> dict[str, str]:
    return {item.name: item.state for item in status()}


def only(name: str, state: str, why: str) -> None:
    """Assert that just one item is not current, and why."""
    (item,) = (item for item in status() if item.state != CURRENT)
    assert item.name.endswith(name)
    assert item.state == state
    assert re.search(why, item.why), item.why


def test_what_is_published_is_current_until_something_changes_and_then_it_says_what(place, monkeypatch, capsys):
    assert states() == dict.fromkeys(
        ["model of dyck, seed 0", "model of dyck, seed 1", "results of dyck", "chapter one", "chapter two", "claims in README"],
        CURRENT,
    ), "as anyone finds it who has measured nothing"
    assert cli.main(["status"]) == 0

    notebook = place / "notebooks" / "two.ipynb"
    source = notebook.read_text()
    notebook.write_text(source.replace("'iid'", "'unseen_depth'"))
    only("chapter two", STALE, "^the notebook was edited$")
    capsys.readouterr()
    assert cli.main(["status", "--json"]) == 1
    found = [Item(**item) for item in json.loads(capsys.readouterr().out)]
    assert [item.name for item in found if item.state == STALE] == ["chapter two"]
    notebook.write_text(source)

    for change in (b"", None):
        published = place / "book" / "one.ipynb"
        whole = published.read_bytes()
        published.unlink() if change is None else published.write_bytes(change)
        only("chapter one", DAMAGED, r"one.ipynb is (damaged|missing).*; to bring it back: git -C ")
        published.write_bytes(whole)

    (table,) = place.parent.glob("published/tiny/dyck/results.parquet")
    whole = table.read_bytes()
    table.unlink()
    only("results of dyck", DAMAGED, r"results.parquet is missing; to bring it back: git -C ")
    table.write_bytes(whole)

    record = publishing.record_of("tiny", "two").path
    whole = record.read_bytes()
    record.unlink()
    only("chapter two", MISSING, "publish it: python -m lib publish")
    record.write_bytes(whole)

    readme = place / "README.md"
    text = readme.read_text()
    assert "| 1. " in text
    assert text.startswith("# A\n")
    assert text.endswith("\nZ\n")
    readme.write_text(text.replace("| 1. ", "| 1.  "))
    only("claims in README", DAMAGED, "^it was edited: python -m lib publish")
    readme.write_text(text)

    preset = place / "presets" / "tiny.toml"
    table = preset.read_text()
    assert '"steps" = 40' in table
    preset.write_text(table.replace('"steps" = 40', '"steps" = 39'))
    assert {state for name, state in states().items() if name != "claims in README"} == {STALE}
    assert {item.why.rpartition("training.")[2] for item in status() if item.why} == {"steps was 40 and is 39"}
    preset.write_text(table.replace('"fit_sequences" = 40', '"fit_sequences" = 39'))
    assert states() == {
        "model of dyck, seed 0": CURRENT, "model of dyck, seed 1": CURRENT, "claims in README": CURRENT,
        "results of dyck": STALE, "chapter one": STALE, "chapter two": STALE,
    }  # fmt: skip
    preset.write_text(table)
    assert set(states().values()) == {CURRENT}


def test_another_model_makes_stale_what_was_measured_of_the_one_before(place, home):
    record = shipped.record_of(load("tiny").study("dyck").runs[0].folder)
    identity, made = record.identity(), record.read()["made"]
    (record.path.parent / "training.csv").write_text("step\n40\n")
    record.write(identity, trainer.FILES, made)
    found = {item.name: item for item in status()}
    assert found["model of dyck, seed 0"].state == CURRENT
    assert found["chapter one"].state == found["chapter two"].state == STALE
    assert "another model is shipped" in found["chapter one"].why


def test_code_that_a_chapter_does_not_call_makes_nothing_stale(place, monkeypatch):
    """As the command line; and what it calls only in functions counts."""
    called = book.code_of("one", ["lib.tasks.dyck.task"])
    assert {"lib.executing", "lib.presets", "lib.studies", "lib.tasks.dyck.claims", "lib.measuring.intervals"} <= set(called)
    assert not {"lib.cli", "lib.workflow", "lib.audit.audit", "lib.chapters.scorecard"} & set(called)


def test_what_is_published_here_is_no_more_than_a_clone_should_fetch():
    def size(*files: Path) -> int:
        return sum(file.stat().st_size for file in files if file.is_file())

    assert size(*(ROOT / "published").rglob("*")) < 40_000_000
    assert {notebook.name: size(notebook) for notebook in (ROOT / "book").glob("*.ipynb") if size(notebook) > 3_000_000} == {}


def test_what_is_published_here_is_current():
    """Nobody publishes a number whose code, data or parameters have changed since."""
    done = subprocess.run([sys.executable, "-m", "lib", "status"], cwd=ROOT, capture_output=True, text=True)
    assert [line for line in done.stdout.splitlines() if not line.startswith(CURRENT)] == []
    assert len(done.stdout.splitlines()) >= len(list((ROOT / "notebooks").glob("*.ipynb")))
