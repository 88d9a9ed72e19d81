"""From nothing to a book, whatever things are called: a success means that all behind the book is there, whole and current.

The workflow is the real one, in a copy of the project with one small notebook, one page and an experiment that takes a second.
There is one history of it, which several tests look at: from nothing, by way of all that can go wrong, to a book.
"""

from __future__ import annotations

import json
import os
import platform
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from conftest import ROOT
from processes import fresh
from whole_book import copy_project

from lib import book, executing, presets, publishing, shipped, status, workflow
from lib.cli import main
from lib.errors import ArtifactError, InputError
from lib.provenance import Record

# What a shell, make, Snakemake, papermill, YAML or TOML would make something of, and letters that not every system has.
NASTY = "a;touch PWNED;b $HOME $(touch PWNED) `touch PWNED` 'q' \"q\" {x} {{y}} [z] * ? # & | < > % ~ ! = \\ é 🙂, - \n\tend"

WAIT = """
import os
from pathlib import Path

if pipe := os.environ.get("PIPE"):  # says who executes it, and waits
    Path(pipe).write_text(str(os.getppid()))
    Path(pipe).read_text()
"""
BROKEN = WAIT + "raise RuntimeError('a broken' + ' cell')\n"
CHAPTER = f"""{WAIT}
from lib import figures, presets

print("splits:", *presets.load(preset).study("dyck", seeds).splits)
"""


@dataclass(frozen=True)
class Place:
    """A folder with a project, a preset file, and a home with results."""

    base: Path

    @property
    def project(self) -> Path:
        return self.base / f"our {NASTY}"

    @property
    def preset(self) -> Path:
        return self.base / f"their {NASTY}" / f"tiny {NASTY}.toml"

    @property
    def results(self) -> Path:
        """Where the results of the preset are kept."""
        return self.base / "home" / f"my {NASTY}" / self.preset.stem

    @property
    def html(self) -> Path:
        return self.results / "book/_build/html"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        """Start a command of this project, in a group of processes of its own; what it says goes into files."""
        known = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PRESET")}
        own = {"HOME": str(self.base / "home"), "LIB_ARTIFACTS": f"~/my {NASTY}"}
        command = [sys.executable, "-m", "lib", *arguments, "--preset", os.path.relpath(self.preset, self.project)]
        said = self.base / f"said-{len(list(self.base.glob('said-*')))}"
        said.mkdir()
        with (said / "stdout").open("w") as stdout, (said / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env={**known, **own, **environment},
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # in the background, shells have it ignored
            )
        process.said = said
        return process

    def ended(self, process: subprocess.Popen) -> tuple[int, str, str]:
        """Wait for a command to end: its exit status, and what it said on stdout and stderr."""
        status = process.wait()
        return status, (process.said / "stdout").read_text(), (process.said / "stderr").read_text()

    def times(self) -> dict[str, int]:
        """When each result was written last, but for what Snakemake keeps for itself."""
        files = [path for path in self.results.rglob("*") if path.is_file()]
        names = {str(path.relative_to(self.results)): path.stat().st_mtime_ns for path in files}
        return {name: time for name, time in names.items() if not name.startswith(".")}


def write_chapter(place: Place, source: str) -> None:
    cells = [nbformat.v4.new_code_cell('preset = "quick"\nseeds = 2'), nbformat.v4.new_code_cell(source)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"experiments": ["dyck"], "kernelspec": kernel})
    notebook.cells = [nbformat.v4.new_markdown_cell("# A chapter"), *cells]
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    (place.project / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, place.project / "notebooks/chapter.ipynb")


@pytest.fixture(scope="module")
def unbuilt(tmp_path_factory, small_experiment, write_preset) -> Place:
    """A place where nothing was made but an old book, among folders and files that no command may touch."""
    place = Place(tmp_path_factory.mktemp("built"))
    for folder in (place.project, place.preset.parent, place.base / "home/my", place.base / "our", place.html):
        folder.mkdir(parents=True)
    alone = ("Snakefile", "Makefile", "README.md", "_config.yml", "book/references.bib")
    copy_project(place.project, "lib/", "book/_static/", "book/_extensions/", *alone)
    (place.project / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n  - file: chapter\n")
    (place.project / "book/index.md").write_text("# A book\n\nIt has {doc}`chapter`.\n")
    write_preset(place.preset, {"dyck": small_experiment.model_copy(update={"seeds": 1})})
    (place.base / "home/my/precious").write_text("kept")  # `rm -rf` of what is not quoted would remove its folder
    (place.base / "our/precious").write_text("kept")
    (place.base / "their").write_text("kept")  # and `>` would empty this
    (place.results / "book/.made-by-the-workflow").touch()
    for name in ("index", "chapter"):
        (place.html / f"{name}.html").write_text(OLD)
    made = [str(path.relative_to(place.results)) for path in place.html.iterdir()]
    Record(place.results / "book.json", "").write({"of": "former times"}, made, {})
    (place.html / "index.html").unlink()  # and it went missing
    return place


OLD = "the old page"


@dataclass
class Ended:
    """How a command ended, and what there was then."""

    status: int
    stdout: str
    stderr: str
    page: str  # the chapter's
    times: dict[str, int]


@pytest.fixture(scope="module")
def history(unbuilt, tmp_path_factory) -> dict[str, Ended]:
    """What became of building the book again and again, in the order in which it was tried."""
    place, pipe = unbuilt, tmp_path_factory.mktemp("pipes") / "pipe"
    os.mkfifo(pipe)
    write_chapter(place, CHAPTER)
    before = outside(place)

    def ended(process: subprocess.Popen) -> Ended:
        return Ended(*place.ended(process), (place.html / "chapter.html").read_text(), place.times())

    def executing(process: subprocess.Popen) -> int:
        """Wait until the chapter is executed; returns the number of the process that does."""
        reading, said = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), b""
        while not said:
            assert process.poll() is None, place.ended(process)
            time.sleep(0.02)
            with suppress(BlockingIOError):
                said = os.read(reading, 100)
        os.close(reading)
        return int(said)

    write_chapter(place, BROKEN)
    found = {"broken": ended(place.start("book"))}

    process = place.start("book", PIPE=str(pipe))
    executing(process)  # so what is broken still does not count as done
    os.killpg(process.pid, signal.SIGINT)
    found["interrupted"] = ended(process)

    write_chapter(place, CHAPTER)
    process = place.start("book", PIPE=str(pipe))
    os.kill(executing(process), signal.SIGKILL)
    found["killed"] = ended(process)

    (place.results / "dyck/seed-0/measurements.parquet").unlink()
    process = place.start("book", PIPE=str(pipe))
    executing(process)
    waiting = place.start("book")
    while not (said := (waiting.said / "stderr").read_text()).endswith("\n"):
        assert waiting.poll() is None
        time.sleep(0.05)
    assert f"is being built by process {process.pid} on {platform.node()}; waiting until that is done\n" in said
    pipe.write_text("go on")
    found["built"] = ended(process)
    found["after waiting"] = ended(waiting)

    assert outside(place) == before
    return found


@pytest.fixture(scope="module")
def built(unbuilt, history) -> Place:
    """The place where the book was built in the end. Read only: copy it to change it."""
    return unbuilt


def outside(place: Place) -> dict[str, bytes]:
    """Everything in a place but results, and what its project and Jupyter keep for themselves."""
    own = ("__pycache__", ".ipython", ".cache", ".config", ".jupyter", ".local", *(p.name for p in place.base.glob("said-*")))
    files = [path for path in place.base.rglob("*") if path.is_file() and not path.is_relative_to(place.results)]
    return {str(path.relative_to(place.base)): path.read_bytes() for path in files if not {*own} & {*path.parts}}


@pytest.fixture
def place(built, tmp_path) -> Place:
    """A copy of it, to be changed."""

    def copy(source: str, target: str) -> None:
        (os.link if "/_build/" in source else shutil.copy2)(source, target)  # built pages, thousands, are only ever replaced

    shutil.copytree(built.base, tmp_path / "place", copy_function=copy)
    return Place(tmp_path / "place")


def taken_for_the_project(place: Place, patch: pytest.MonkeyPatch) -> Place:
    """Have this process take a place for where the project is."""
    for module in (book, workflow, shipped, publishing, status):
        patch.setattr(module, "ROOT", place.project)
    patch.setenv(shipped.VARIABLE, str(place.project / "published"))
    patch.setattr(executing, "NOTEBOOKS", place.project / "notebooks")
    patch.setattr(book, "PAGES", place.project / "book")
    patch.setenv("LIB_ARTIFACTS", str(place.results.parent))
    return place


@pytest.fixture
def here(place, monkeypatch) -> Place:
    """A copy of it, to be changed, that this process takes for the project."""
    return taken_for_the_project(place, monkeypatch)


@pytest.fixture
def looked_at(built, monkeypatch) -> Place:
    """The place itself, which this process takes for the project. What is changed is to be restored: see `changed`."""
    return taken_for_the_project(built, monkeypatch)


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Restore a file at the end, whatever was done to it."""
    content, status = (path.read_bytes(), path.stat()) if path.exists() else (None, None)
    try:
        yield
    finally:
        if status is None:
            path.unlink()
        else:
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def stale(place: Place) -> list[str]:
    return workflow.stale(presets.load(str(place.preset)))


pytestmark = pytest.mark.slow  # for nearly all of it a book is built first


# Building


def test_a_book_is_built_whatever_things_are_called(built, history):
    """That nothing else was touched, the fixture has seen to."""
    assert history["built"].status == 0, history["built"].stderr
    assert history["built"].stdout.endswith(f"the book: {built.html / 'index.html'}\n")
    assert "splits: iid seen_structure" in history["built"].page
    assert not [path for path in built.base.rglob("*") if path.name.startswith("PWNED")]
    made = {name for name in history["built"].times if not name.startswith("book/")}
    seed = ["config.json", "model.safetensors", "snapshots.safetensors", "training.csv"]
    seed += ["measurements.json", "measurements.parquet", "along_training.parquet", "proxies.json", "proxies.safetensors"]
    results = {"dyck/faithfulness.json", "dyck/faithfulness.parquet", "notebooks/chapter.json", "notebooks/chapter.ipynb"}
    assert made == {*results, "book.json", *(f"dyck/seed-0/{name}" for name in seed)}, "no temporary files are left"
    assert "book/_build/html/index.html" in history["built"].times, "what went missing is there again"


def test_whoever_comes_meanwhile_waits_and_then_has_nothing_to_do(history):
    assert history["after waiting"].status == 0
    assert "Nothing to be done" in history["after waiting"].stderr
    assert history["after waiting"].times == history["built"].times


def test_a_broken_chapter_ends_the_build_with_its_own_traceback(history):
    broken = history["broken"]
    assert broken.status == 2
    assert "RuntimeError: a broken cell" in broken.stderr
    assert broken.stderr.splitlines()[-1].startswith("error: the book was not built: a step above failed")
    assert "/lib/cli.py" not in broken.stderr, "a traceback is that of the cell alone"


def test_who_interrupts_a_build_is_told_how_to_go_on(history):
    assert history["interrupted"].status == 130, history["interrupted"].stderr
    assert history["interrupted"].stderr.splitlines()[-1] == "interrupted; the same command resumes from the last checkpoint"


def test_a_step_that_is_killed_is_no_success(history):
    assert history["killed"].status == 2
    assert "\nerror: the book was not built: a step above failed" in history["killed"].stderr


def test_the_old_book_is_there_as_long_as_there_is_no_new_one(history):
    assert {history[tried].page for tried in ("broken", "interrupted", "killed")} == {OLD}
    assert OLD not in history["built"].page


def test_after_a_failure_only_what_is_missing_is_made(history):
    first, last = history["broken"].times, history["built"].times
    assert not any(name.startswith("notebooks/") for name in first)
    kept = {Path(name).name for name in first if last.get(name) == first[name] and not name.startswith("book/")}
    trained = {"config.json", "model.safetensors", "snapshots.safetensors", "training.csv"}
    assert kept == {*trained, "proxies.json", "proxies.safetensors"}


# What is stale

MEASURED = ["dyck/seed-0/measurements.json", "dyck/faithfulness.json", "notebooks/chapter.json"]


def test_nothing_is_stale_after_a_build_nor_after_sources_were_only_touched(here):
    for path in [*here.project.rglob("*"), here.preset]:
        path.touch()
    assert stale(here) == []


@pytest.mark.parametrize(
    ("file", "before", "after", "expected"),
    [
        pytest.param("preset", '"steps" = 40', '"steps" = 41', MEASURED, id="training"),
        pytest.param("preset", '"svd" = [2]', '"svd" = [3]', MEASURED, id="what is measured"),
        pytest.param("preset", "claims = true", "claims = false", [], id="what no number depends on"),
        pytest.param("notebooks/chapter.ipynb", "splits:", "all splits:", MEASURED[2:], id="a notebook"),
        pytest.param("book/index.md", "It has", "There is", ["book.json"], id="a page"),
        pytest.param("_config.yml", "title:", "title: My", ["book.json"], id="settings"),
        pytest.param("book/_static/more.css", "", "b {}", ["book.json"], id="a new static file"),
    ],
)
def test_what_depends_on_a_change_is_stale_and_nothing_else(looked_at, file, before, after, expected):
    path = looked_at.preset if file == "preset" else looked_at.project / file
    with changed(path):
        text = path.read_text() if before else ""
        assert before in text
        path.write_text(text.replace(before, after) if before else after)
        assert stale(looked_at) == expected
    assert stale(looked_at) == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dyck/seed-0/measurements.json", "dyck/seed-0/measurements.json"),
        ("dyck/seed-0/measurements.parquet", "dyck/seed-0/measurements.json"),
        ("dyck/seed-0/along_training.parquet", "dyck/seed-0/measurements.json"),
        ("dyck/faithfulness.json", "dyck/faithfulness.json"),
        ("dyck/faithfulness.parquet", "dyck/faithfulness.json"),
        ("notebooks/chapter.json", "notebooks/chapter.json"),
        ("notebooks/chapter.ipynb", "notebooks/chapter.json"),
        ("book.json", "book.json"),
        ("book/_build/html/chapter.html", "book.json"),
        ("book/_build/html/_static/book.css", "book.json"),
    ],
)
def test_what_is_damaged_or_missing_is_stale(looked_at, name, expected):
    path = looked_at.results / name
    for damage in (flip, truncate, Path.unlink):
        with changed(path):
            damage(path)
            found = stale(looked_at)
            if damage is Path.unlink and name == expected:
                assert expected not in found, "Snakemake sees that it is missing"
            else:
                assert expected in found, damage
            assert {*found} <= {expected, "book.json"}


@pytest.mark.parametrize("name", ["model.safetensors", "snapshots.safetensors", "training.csv", "config.json"])
def test_a_damaged_model_is_for_its_owner_to_look_at(looked_at, name):
    """To train it again may take hours, so nobody does unless told to."""
    path = looked_at.results / "dyck/seed-0" / name
    for damage in (flip, truncate, *([Path.unlink] if name != "config.json" else [])):
        with changed(path):
            damage(path)
            with pytest.raises(ArtifactError) as error:
                stale(looked_at)
            assert str(path) in str(error.value)
            assert "to train it anew: python -m lib train dyck --preset " in str(error.value)


LOOK = """
import json, os, sys
sys.path.insert(0, {project!r})
os.environ["LIB_ARTIFACTS"] = {artifacts!r}
from lib import presets, workflow
with open({said!r}, "w") as file:
    json.dump(workflow.stale(presets.load({preset!r})), file)
"""


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        pytest.param({"proxies/svd.py": ("complexity)", "1)")}, MEASURED, id="a proxy that is measured"),
        pytest.param({"proxies/weight_svd.py": ("complexity", "rank")}, ["notebooks/chapter.json"], id="one that is not"),
        pytest.param({"figures/style.py": ("import annotations\n", "import annotations\nA = 1\n")}, MEASURED[2:], id="figures"),
        pytest.param({"models/trainer.py": ("clip_grad_norm_", "clip_grad_value_")}, MEASURED, id="training"),
        pytest.param(
            {
                "models/trainer.py": ('"""AdamW', '"""Said in another way: AdamW'),
                "proxies/svd.py": ("import annotations\n", "import annotations  # a comment\n"),
                "workflow.py": ('"""The whole way', '"""All the way'),
            },
            [],
            id="comments and docstrings",
        ),
        pytest.param({"cli.py": ("import annotations\n", "import annotations\nA = 1\n")}, [], id="what no notebook calls"),
    ],
)
def test_of_changed_code_that_counts_which_results_depend_on(place, tmp_path, edits, expected):
    for file, (before, after) in edits.items():
        path = place.project / "lib" / file
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))
    script, said = tmp_path / "look.py", tmp_path / "said.json"
    names = {"project": place.project, "artifacts": place.results.parent, "preset": place.preset, "said": said}
    script.write_text(LOOK.format(**{name: str(path) for name, path in names.items()}))
    assert fresh(runpy.run_path, str(script)) == 0
    assert json.loads(said.read_text()) == expected


# What is refused before anything is done


@pytest.fixture
def refused(here, capsys) -> Iterator[Callable[..., None]]:
    """A function that checks that building is refused in one line with these parts, and that nothing was done."""

    def check(*says: str, preset: Path = here.preset) -> None:
        before = sorted(here.base.rglob("*"))
        assert main(["book", "--preset", str(preset)]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        for part in says:
            assert part in printed.err
        assert sorted(here.base.rglob("*")) == before

    return check


def test_a_book_that_the_workflow_did_not_make_is_never_removed(here, refused):
    (here.results / "book/.made-by-the-workflow").unlink()
    (here.results / "book/precious").write_text("kept")
    refused(f"{here.results / 'book'} is in the way", "not made by this workflow", "move it elsewhere")
    assert main(["clean", "--preset", str(here.preset)]) == 0
    assert (here.results / "book/precious").read_text() == "kept"


def test_a_preset_without_an_experiment_for_a_chapter_is_refused(here, refused):
    path = here.base / "other.toml"
    path.write_text(here.preset.read_text().replace('["dyck"]', "[other]"))
    refused("has no experiment that can be done here for chapter", "inherit", preset=path)
    assert not (here.results.parent / "other").exists()


def test_names_that_no_page_could_write_are_refused(here, refused):
    name = os.fsdecode(bytes(here.base / "tiny-") + b"\xff.toml")
    shutil.copy(here.preset, name)
    refused("tiny-\\udcff' is not UTF-8", preset=Path(name))


def test_a_project_in_a_folder_that_python_takes_for_two_is_refused(here, refused, monkeypatch):
    monkeypatch.setattr(workflow, "ROOT", here.base / "a:b")
    refused(f"{here.base / 'a:b'} holds ':'", "move the project")


def test_too_little_memory_for_a_step_is_refused(here, refused, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=700 * 2**20))
    refused(
        "700 MB of memory are free",
        f"a step takes up to {workflow.memory(presets.load(str(here.preset))):,}",
        "close what else runs",
    )


def test_more_threads_than_processors_are_refused(here, refused):
    here.preset.write_text(here.preset.read_text().replace('"threads" = 1', '"threads" = 1024'))
    refused("dyck: threads is 1024", "this process may use", "ask for at most")


@pytest.mark.parametrize("name", ["..", ".", "corpora"])
def test_a_preset_that_would_share_its_folder_with_something_else_is_refused(here, name):
    """`...toml` would have its results above the artifacts folder, where `clean` would remove notebooks."""
    path = here.base / f"{name}.toml"
    shutil.copy(here.preset, path)
    assert main(["clean", "--preset", str(path)]) == 2
    assert (here.project / "notebooks/chapter.ipynb").exists()


# Executing, publishing, cleaning


def test_executed_notebooks_and_figures_are_published(here):
    (here.results / "figures").mkdir()
    (here.results / "figures/dyck-depth.svg").write_text("<svg/>")
    published = here.project / "book"
    assert main(["publish", "--preset", str(here.preset)]) == 0
    assert (published / "chapter.ipynb").read_bytes() == (here.results / "notebooks/chapter.ipynb").read_bytes()
    assert (published / "_static/dyck-depth.svg").read_text() == "<svg/>"
    assert "| 1. Pictures that match" in (here.project / "README.md").read_text()
    assert stale(here) == ["book.json"], "for a figure has changed"


def test_what_is_not_current_is_not_published(here, capsys):
    write_chapter(here, "pass")
    assert main(["publish", "--preset", str(here.preset)]) == 2
    assert "not executed, or not with what there is now: chapter; run: python -m lib book --preset " in capsys.readouterr().err
    assert not (here.project / "book/chapter.ipynb").exists()


def test_an_executed_notebook_says_with_what_it_was_executed(built):
    notebook = nbformat.read(built.results / "notebooks/chapter.ipynb", 4)
    assert notebook.metadata.papermill.parameters == {"preset": str(built.preset), "seeds": 1}
    assert {"fingerprint", "python", "processor"} <= notebook.metadata.provenance.keys()
    (cell,) = [cell for cell in notebook.cells if "parameters" in "".join(cell.metadata.get("tags", []))]
    assert f"preset = {str(built.preset)!r}" in cell.source, "the page shows the parameters that were used"


def test_cleaning_removes_what_a_preset_has_and_nothing_else(here):
    mine = ["mine.txt", "my folder/mine.txt", "dyck.txt"]
    for name in (*mine, "dyck@other/seed-0/config.json", "book.123.part/index.md", "figures/a.svg"):
        (here.results / name).parent.mkdir(exist_ok=True, parents=True)
        (here.results / name).write_text("")
    (here.results.parent / "other").mkdir()
    assert main(["clean", "--preset", str(here.preset)]) == 0
    assert {*here.times()} == {*mine}
    assert (here.results.parent / "other").exists()
    assert main(["clean", "--preset", str(here.preset)]) == 0, "once more does no harm"


def test_cleaning_what_is_not_there_makes_nothing(tiny, tmp_path):
    assert main(["clean", "--preset", tiny]) == 0
    assert list(tmp_path.iterdir()) == []


def test_every_notebook_of_the_book_has_experiments_in_every_preset():
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    for preset in map(presets.load, presets.NAMES):
        assert sorted(book.notebooks(preset)) == names
        assert {name for shown in book.notebooks(preset).values() for name in shown} == {*preset.available()}


def test_a_damaged_notebook_source_is_refused(here):
    (here.project / "notebooks/chapter.ipynb").write_text("{")
    with pytest.raises(InputError, match=r"chapter.ipynb cannot be read"):
        stale(here)


# make


@pytest.fixture
def make(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs make in a project whose environment has a Python that only says what it was asked for."""
    project = tmp_path / f"project {NASTY}"
    (project / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    for name in ("pyproject.toml", "constraints.txt", ".venv/installed"):
        (project / name).touch()
    python = project / ".venv/bin/python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$LIB_ARTIFACTS" "$@"\n')
    python.chmod(0o755)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        known = {name: value for name, value in os.environ.items() if name not in ("PRESET", "MAKEFLAGS", "MAKELEVEL")}
        done = subprocess.run(["make", *arguments], cwd=project, env={**known, **environment}, capture_output=True, text=True)
        assert not list(project.rglob("PWNED*"))
        return done

    return run


@pytest.mark.parametrize("target", ["book", "publish", "clean"])
def test_make_hands_preset_and_artifacts_over_as_they_are(make, target):
    assert make(target, LIB_ARTIFACTS="/x/my results").stdout == f"/x/my results|-m|lib|{target}|--preset|quick|"
    assert make(target, "PRESET=", LIB_ARTIFACTS="").stdout == f"|-m|lib|{target}|--preset||", "which is refused"
    for preset in ("my preset.toml", "a;touch PWNED;b", "`touch PWNED`", "'\"{x}*"):
        assert make(target, f"PRESET={preset}", LIB_ARTIFACTS="").stdout == f"|-m|lib|{target}|--preset|{preset}|"
    assert make(target, PRESET=NASTY, LIB_ARTIFACTS="").stdout == f"|-m|lib|{target}|--preset|{NASTY}|"


@pytest.mark.parametrize("name", ["PRESET", "PYTHON"])
@pytest.mark.parametrize("value", ["$(shell touch PWNED)", "$HOME", "a$$b"])
def test_make_refuses_what_it_would_expand_itself(make, name, value):
    done = make("book", f"{name}={value}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"{name} holds a dollar sign" in done.stderr


def test_the_output_of_a_finding_becomes_a_heading_before_it():
    made = nbformat.v4
    output = made.new_output("execute_result", {"text/markdown": "## It holds", "text/plain": "..."})
    finding = made.new_code_cell("Markdown(heading)", id="holds", outputs=[output], metadata={"tags": ["finding"]})
    others = [made.new_markdown_cell("# A chapter"), made.new_code_cell("1", outputs=[output])]
    first, heading, cell, last = executing.with_headings([others[0], finding, others[1]])
    assert [first, last] == others
    assert heading.cell_type == "markdown"
    assert heading.source == '<span id="holds"></span>\n\n## It holds', "with an anchor that does not change with it"
    assert cell.outputs == []
    assert cell.metadata.tags == ["finding", "remove-cell"]
    nbformat.validate(made.new_notebook(cells=[first, heading, cell, last]))
