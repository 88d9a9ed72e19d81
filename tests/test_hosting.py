"""What hosts and newcomers read: workflows, container and Binder files, recipes, the citation; what these call is there.

Nothing is fetched. Of workflows, scripts are tried with stand-ins; linters run where they are installed.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from planted import estimate
from pybtex.database import parse_file

from lib import presets
from lib.claims import Cell
from lib.cli import commands
from lib.errors import InputError
from lib.measuring.intervals import Estimate
from lib.rules import GAP, RULES, UNDECIDED

WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
ENVIRONMENT = ROOT / ".github/actions/environment/action.yml"
CONTAINER, BINDER = ROOT / "Containerfile", ROOT / ".binder"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ON = True  # what YAML makes of the key `on`
JOBS = {f"{name}:{job}": content for name, of in WORKFLOWS.items() for job, content in of["jobs"].items()}
every_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
every_job = pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# Commands: of shell scripts, each has to be one of this project, or one that systems have


USERS = {"install", "useradd"}
SYSTEM = {"apt-get", "cp", "echo", "exit", "fi", "gh", "git", "grep", "mkdir", "pipx", "rm", "set", "tee", "[", *USERS}
KEYWORDS = {"!", "do", "elif", "else", "if", "then", "while"}
TARGETS = {*re.findall(r"^([\w./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)}
SCRIPTS = Path(sys.executable).parent  # of installed packages


def simple_commands(script: str) -> Iterator[list[str]]:
    """The words of each command of a script, without keywords, assignments and redirections."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in (">", ">>", "<", ">&"):
                words.append(word)
            elif set(word) <= set("();|&"):
                yield from filter(None, [without_prefix(words)])
                words = []
            else:
                words.append(word)


def without_prefix(words: list[str]) -> list[str]:
    """A command without what stands before its name, and without redirections."""
    for redirection in (">", ">>", "<", ">&"):
        while redirection in words:
            place = words.index(redirection)
            words = words[: place - words[place - 1].isdigit()] + words[place + 2 :]
    while words and (words[0] in KEYWORDS or re.match(r"\w+=", words[0])):
        words = words[1:]
    return words


def missing(script: str) -> list[str]:
    """What a script calls that there is not."""
    return [f"{shlex.join(words)}: {why}" for words in simple_commands(script) if (why := problem(*words))]


def problem(program: str, *arguments: str) -> str:
    """Why a command cannot be run here; empty if nothing is known against it."""
    if program == "make":
        absent = [word for word in arguments if "=" not in word and word not in TARGETS]
        named = [value for word in arguments for key, _, value in [word.partition("=")] if key == "PRESET"]
        return "no such target" if absent or not arguments else "".join(map(no_preset, named))
    if re.fullmatch(r"(\.venv/bin/)?python3?", program):
        return python_problem(list(arguments))
    if program.startswith(".venv/bin/"):
        return "" if (SCRIPTS / program.removeprefix(".venv/bin/")).exists() else "no such script"
    return "" if program in SYSTEM or (ROOT / program).is_file() else "no such program"


def python_problem(arguments: list[str]) -> str:
    match arguments:
        case ["-m", "lib", name, *options]:
            return lib_problem(name, options)
        case ["-m", "pytest", *options]:
            markers = [value for flag, value in pairwise(options) if flag == "-m"]
            known = words_of_markers()
            absent = [x for x in options if x.startswith("tests/") and not (ROOT / x).is_file()]
            return "".join(absent) or "".join(m for m in markers if not {*re.findall(r"\w+", m)} <= known)
        case ["-m", "pip" | "venv", *_]:
            return ""
        case [file, *_] if file.endswith(".py"):
            return "" if (ROOT / file).is_file() else "no such file"
    return "neither a module nor a file that is known here"


def words_of_markers() -> set[str]:
    """The markers that pytest knows, and the words of an expression of them."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    return {marker.split(":")[0] for marker in declared} | {"not", "and", "or"}


def lib_problem(name: str, options: list[str]) -> str:
    """Why `python -m lib` would refuse a command."""
    if name not in commands.commands:
        return "no such command"
    try:
        given = commands.commands[name].make_context(name, list(options)).params
    except click.UsageError as error:
        return error.format_message()
    wanted = [ROOT / target.replace(".json", ".ipynb") for target in given.get("snakemake", ())]  # of notebooks, their records
    absent = [str(path) for path in wanted if not path.exists()]
    return "".join(absent) or (no_preset(given["preset"]) if "preset" in given else "")


def no_preset(name: str) -> str:
    try:
        presets.load(name)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("make book PRESET=smoke && .venv/bin/python -m lib claims --preset quick --json > claims.json", 0),
        ('if [ -z "$x" ]; then\n  echo "x; y"\nfi', 0),
        ("REQUIRE_BROWSER=1 make test", 0),
        (".venv/bin/python benchmarks/moved.py a.json b.json > moved.md 2>&1 || moved=$?", 0),
        (".venv/bin/python -m pytest -m 'not slow' tests/test_hosting.py", 0),
        ("make boook", 1),
        ("make book PRESET=smok", 1),
        ("git status; mkae book", 1),
        ("python -m lib clams", 1),
        ("python -m lib claims --jsn", 1),
        ("python -m lib book -- notebooks/explorer.json", 1),
        ("python -m lib claims --preset quik", 1),
        (".venv/bin/python benchmarks/mved.py", 1),
        (".venv/bin/python -m pytest tests/test_hostng.py -m slw", 1),
        (".venv/bin/jupyter-bok build book", 1),
    ],
)
def test_what_is_not_there_is_found(script, count):
    assert len(missing(script)) == count, missing(script)


# Workflows


def steps(job: dict) -> list[dict]:
    return job["steps"]


def action() -> dict:
    return yaml.safe_load(ENVIRONMENT.read_text())


def scripts() -> dict[str, str]:
    """Every script that a host runs, by where it stands."""
    found = {f"{name}-{i}": step["run"] for name, job in JOBS.items() for i, step in enumerate(steps(job)) if "run" in step}
    found |= {f"environment-{i}": step["run"] for i, step in enumerate(action()["runs"]["steps"]) if "run" in step}
    text = CONTAINER.read_text().replace("\\\n", " ")
    runs = re.findall(r"^RUN (.*)$", text, re.MULTILINE)
    runs += [shlex.join(json.loads(command)) for command in re.findall(r"^CMD (.*)$", text, re.MULTILINE)]
    found |= {f"container-{i}": run for i, run in enumerate(runs)}
    return found | {"postBuild": (BINDER / "postBuild").read_text().partition("\n")[2]}


@pytest.mark.parametrize("script", scripts().values(), ids=scripts())
def test_what_hosts_run_is_there(script):
    plain = re.sub(r"^\s*#.*$", "", re.sub(r"\$\{\{.*?\}\}", "value", script), flags=re.MULTILINE)
    assert missing(plain) == []
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


def test_tests_and_the_smoke_book_are_made_on_every_push():
    assert WORKFLOWS["tests.yml"][ON] == {"push": None, "pull_request": None}
    runs = [step.get("run") for job in WORKFLOWS["tests.yml"]["jobs"].values() for step in steps(job)]
    assert {"make test", "make book PRESET=smoke"} <= {*runs}


def test_notebooks_are_executed_anew_on_a_schedule_and_by_hand():
    workflow = WORKFLOWS["reexecute.yml"]
    assert workflow[ON].keys() == {"schedule", "workflow_dispatch"}
    (job,) = workflow["jobs"].values()
    assert job["env"]["LIB_PUBLISHED"] == "", "with the models that the repository holds, little would be made anew"


@every_workflow
def test_a_workflow_asks_for_no_more_than_it_needs(workflow):
    """To read; pages are written by the job that deploys them, and by no other."""
    assert {*workflow["permissions"].values()} == {"read"}
    assert "group" in workflow["concurrency"]
    writing = [job for job in workflow["jobs"].values() if "permissions" in job]
    assert all([step["uses"].split("@")[0] for step in steps(job)] == ["actions/deploy-pages"] for job in writing)
    assert all(job["permissions"] == {"pages": "write", "id-token": "write"} for job in writing)


@every_job
def test_a_job_ends_and_keeps_no_credentials(job):
    assert 0 < job["timeout-minutes"] <= 90
    assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"]), "images change; which one is said"
    for step in steps(job):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


def test_actions_are_of_a_major_version_the_same_everywhere():
    used = [step["uses"] for of in (*JOBS.values(), action()["runs"]) for step in steps(of) if "uses" in step]
    others = {use for use in used if not use.startswith("./")}
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", use) for use in others), "of GitHub's own"
    assert len({use.split("@")[0] for use in others}) == len(others)
    assert all((ROOT / use / "action.yml").exists() for use in {*used} - others)


def linted(program: str, *arguments: str) -> None:
    """Run a linter if it is installed in this environment or on the system."""
    found = shutil.which(program, path=f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_has_nothing_to_say():
    linted("actionlint", *(str(ROOT / ".github/workflows" / name) for name in WORKFLOWS))


def test_hadolint_has_nothing_to_say():
    linted("hadolint", str(CONTAINER))


# Pins


def pythons() -> dict[str, list[str]]:
    """The versions of Python that are asked for, by who asks."""
    return {
        "tests": WORKFLOWS["tests.yml"]["jobs"]["tests"]["strategy"]["matrix"]["python"],
        "workflows": [action()["inputs"]["python"]["default"]],
        "container": re.findall(r"python:([\d.]+)", CONTAINER.read_text()),
        "binder": re.findall(r"python-([\d.]+)", (BINDER / "runtime.txt").read_text()),
    }


def test_hosts_have_a_python_that_the_project_takes_and_tests_try_the_oldest(pyproject):
    wanted = SpecifierSet(pyproject["project"]["requires-python"])
    newest = {
        who: [f"{version}.99" for version in versions] for who, versions in pythons().items()
    }  # of a series, which hosts take
    assert all(versions and all(v in wanted for v in versions) for versions in newest.values())
    assert all({*versions} <= {*pythons()["tests"]} for versions in pythons().values()), "what is hosted is tested"
    (oldest,) = [Version(part.version) for part in wanted if part.operator == ">="]
    assert oldest.release[:2] == min(Version(version).release for version in pythons()["tests"])


def test_pytorch_is_installed_at_its_pin_everywhere(pyproject):
    (pin,) = [line for line in pyproject["project"]["dependencies"] if line.startswith("torch==")]
    binder = (BINDER / "requirements.txt").read_text().splitlines()
    assert f"{pin}+cpu" in binder
    assert "-c ../constraints.txt" in binder, "relative to the file itself"
    assert re.findall(r"torch==[\d.]+", CONTRIBUTING) == [pin]
    for file in (CONTAINER, ENVIRONMENT):
        assert "\"$(grep '^torch==' constraints.txt)\"" in file.read_text()
    assert "RUN make environment" in CONTAINER.read_text()
    assert "-c constraints.txt -e '.[test]'" in (ROOT / "Makefile").read_text(), "which is what that does"


def test_pytorch_without_cuda_comes_from_one_index_everywhere():
    places = (CONTAINER, ENVIRONMENT, BINDER / "requirements.txt", ROOT / "CONTRIBUTING.md")
    found = [re.findall(r"https://download\.pytorch\.org\S*", path.read_text(encoding="utf-8")) for path in places]
    assert found == [["https://download.pytorch.org/whl/cpu"]] * len(places)


def test_the_image_is_not_given_what_git_ignores():
    """The environment and the results of whoever builds it."""
    left_out = {line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"}
    assert left_out == {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line}


# Recipes, citation, changes, notices


def commands_of(text: str) -> list[str]:
    """The commands of a page: lines of its blocks of shell, and code in its sentences that begins as one."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    in_sentences = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    begins = r"(\w+=\S+ )*(make|git|python|\.venv/bin/\S+) "
    return [line for block in blocks for line in block.splitlines()] + [c for c in in_sentences if re.match(begins, c)]


@pytest.mark.parametrize("command", commands_of(CONTRIBUTING))
def test_a_recipe_can_be_followed(command):
    assert missing(command) == []


def test_files_that_recipes_name_are_there():
    named = {name for name in re.findall(r"`([\w./-]+)`", CONTRIBUTING) if "/" in name or name.endswith((".md", ".toml"))}
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_recipe_for_another_instruction_set_is_what_the_test_does():
    from test_kernels import FILES, KERNELS

    (recipe,) = [command for command in commands_of(CONTRIBUTING) if "-m kernels" in command]
    chosen, words = {}, shlex.split(recipe)
    while "=" in words[0]:
        name, _, chosen[name] = words.pop(0).partition("=")
    assert chosen in KERNELS.values()
    assert [word for word in words if word.startswith("tests/")] == FILES


@pytest.fixture(scope="module")
def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_says_what_the_project_and_the_references_say(citation, pyproject):
    project = pyproject["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"]["text"])
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    (paper,) = citation["references"]
    entry = parse_file(str(ROOT / "book/references.bib")).entries["friedman2024illusions"]
    assert paper["title"] == entry.fields["title"]
    assert paper["collection-title"] == entry.fields["booktitle"]
    assert str(paper["year"]) == entry.fields["year"]
    names = [(" ".join(p.last_names), " ".join(p.first_names + p.middle_names)) for p in entry.persons["author"]]
    assert [(author["family-names"], author["given-names"]) for author in paper["authors"]] == names
    (number,) = re.findall(r"\d{4}\.\d{5}", entry.fields["note"])
    assert paper["url"].endswith(f"/{number}")
    assert [of["value"] for of in paper["identifiers"]] == [f"arXiv:{number}"]


def test_the_citation_is_valid_by_its_schema():
    linted("cffconvert", "--validate")


def test_the_changelog_has_its_form():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# Changelog"
    releases = [line for line in lines if line.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in releases[1:])
    assert {line for line in lines if line.startswith("### ")} <= {
        f"### {kind}" for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    }


def test_the_changelog_names_commands_that_there_are():
    (line,) = [line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if "`clean`" in line]
    assert {*re.findall(r"`([a-z]+)`", line)} <= {*commands.commands}


def test_the_notice_names_whose_source_the_book_quotes():
    """Of packages the licences come with what is installed; that of a JDK does not."""
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "lib/tasks/code/sources.py" in notice
    assert (ROOT / "lib/tasks/code/sources.py").exists()
    assert "OpenJDK" in notice or "<b>Java</b>" not in (ROOT / "book/code_completion.ipynb").read_text(encoding="utf-8")


# Numbers that moved


USUAL = estimate(0.02, 0.06)


def cell(effect: Estimate | None = USUAL, **changes: object) -> dict:
    """A cell as `python -m lib claims --json` prints it."""
    usual = {"claim": RULES.claims[0], "reading": "A", "proxy": "svd", "setting": "SVD, rank 8", "split": "far"}
    made = Cell(**{**usual, "reference": "near", "seeds": (0, 1, 2), "effect": effect, **changes})
    return {"task": "dyck", **made.plain()}


@pytest.fixture
def compare(tmp_path, monkeypatch, ended) -> Callable[..., tuple[int, str, str]]:
    """A function that compares two files: exit status, and what is printed to stdout and stderr. Text is written as it is."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    script = importlib.import_module("moved")

    def compare(before: list[dict] | str, after: list[dict] | str) -> tuple[int, str, str]:
        paths = [tmp_path / "before.json", tmp_path / "after.json"]
        for path, content in zip(paths, (before, after), strict=True):
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return ended(script.main, *paths)

    return compare


def rows(page: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    return [[part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_what_stays_within_its_interval_is_not_reported(compare):
    status, page, _ = compare([cell()], [cell(estimate(0.04, 0.07))])
    assert status == 0
    assert page.splitlines() == [
        "Cells before: 1, after: 1. Moved beyond their interval: 0; others with another verdict: 0; gone: 0; new: 0."
    ]


@pytest.mark.parametrize(
    ("after", "shown"), [(estimate(0.05, 0.09), "7.0 [5.0, 9.0]"), (estimate(-0.03, 0.01), "−1.0 [−3.0, 1.0]")]
)
def test_an_effect_that_moved_beyond_its_interval_is_an_error(compare, after, shown):
    status, page, _ = compare([cell(), cell(split="farther")], [cell(after), cell(split="farther")])
    assert status == 1
    ((what, task, claim, reading, setting, split, against, before, now, _),) = rows(page)
    assert (what, task, claim, reading, setting) == ("moved", "dyck", str(RULES.claims[0].number), "A", "SVD, rank 8")
    assert (split, against, before) == ("far", "near", "4.0 [2.0, 6.0]")
    assert now == shown


def test_what_a_page_would_not_show_has_not_moved(compare):
    """An interval of no width is left by the last bit of a number."""
    assert compare([cell(estimate(0.0, 0.0))], [cell(estimate(1e-6, 1e-6))])[0] == 0
    assert compare([cell(estimate(0.0, 0.0))], [cell(estimate(1e-3, 1e-3))])[0] == 1


def test_another_verdict_is_reported_and_no_error(compare):
    status, page, _ = compare([cell()], [cell(estimate(-0.01, 0.07))])
    assert status == 0
    assert [(row[0], row[-1]) for row in rows(page)] == [("verdict", f"{GAP} → {UNDECIDED}")]


def test_cells_that_come_and_go_are_reported_and_no_error(compare):
    status, page, _ = compare([cell(), cell(reference="a|b")], [cell(), cell(split="farther")])
    assert status == 0
    assert [(row[0], row[5], row[6], row[7], row[8]) for row in rows(page)] == [
        ("gone", "far", "a|b", "4.0 [2.0, 6.0]", "none"),
        ("new", "farther", "near", "none", "4.0 [2.0, 6.0]"),
    ]


def test_a_setting_is_chosen_anew_but_where_it_is_what_is_asked(compare):
    status, page, _ = compare([cell()], [cell(estimate(0.1, 0.2), setting="SVD, rank 4")])
    assert status == 1
    assert rows(page)[0][4] == "SVD, rank 8 → SVD, rank 4"
    _, page, _ = compare([cell(reading="C", setting="at 80 %")], [cell(reading="C", setting="at 90 %")])
    assert [row[0] for row in rows(page)] == ["gone", "new"]


def test_numbers_are_shown_as_in_the_book(compare):
    _, page, _ = compare([cell(estimate(-0.0004, 0.0003))], [cell(estimate(-0.05, -0.03))])
    assert rows(page)[0][7:9] == ["0.0 [0.0, 0.0]", "−4.0 [−5.0, −3.0]"]


def test_what_was_not_measured_has_not_moved(compare):
    status, page, _ = compare([cell(None), cell(split="farther")], [cell(), cell(None, split="farther")])
    assert status == 0
    assert [row[0] for row in rows(page)] == ["verdict", "verdict"]


WITHOUT = {name: value for name, value in cell().items() if name != "verdict"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no JSON"),
        ("[", "no JSON"),
        ("{}", "no list of cells"),
        ("[1]", "no list of cells"),
        (json.dumps([WITHOUT]), "no list of cells"),
        (json.dumps([{**cell(), "effect": "4"}]), "no list of cells"),
        (json.dumps([{**cell(), "effect": float("nan")}]), "no list of cells"),
        (json.dumps([{**cell(), "interval": [1]}]), "no list of cells"),
        (json.dumps([{**cell(), "interval": [None, 1]}]), "no list of cells"),
        (json.dumps([{**cell(), "split": ["far"]}]), "no list of cells"),
        (json.dumps([cell(), cell()]), "the same cell twice"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(compare, content, why):
    for pair in ((content, [cell()]), ([cell()], content)):
        status, page, error = compare(*pair)
        assert (status, page) == (2, "")
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert why in error


def test_a_missing_file_is_refused_in_a_line(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/moved.py"), "none.json", "none.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: none.json cannot be read: No such file or directory\n"


# The scripts of the scheduled job, with stand-ins


@pytest.fixture
def run_step(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """A function that runs a step of the scheduled job by its name, as GitHub does, with a stand-in for `gh`."""
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    for file in (tmp_path / ".venv/bin/python", tmp_path / "bin/gh"):
        file.parent.mkdir(parents=True)
        file.touch(mode=0o755)
    (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (job,) = WORKFLOWS["reexecute.yml"]["jobs"].values()
    scripts = {step["name"]: step["run"] for step in steps(job) if "name" in step}

    def run_step(name: str, accept: str = "false", gh: str = "") -> subprocess.CompletedProcess:
        (tmp_path / "bin/gh").write_text(f"#!/bin/sh\n{gh}\n")
        here = {"ACCEPT": accept, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_REF_NAME": "main"}
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", scripts[name]]
        return subprocess.run(command, cwd=tmp_path, env={**os.environ, **here, "PATH": path}, capture_output=True, text=True)

    return run_step


FETCHES = 'case "$2" in list) echo 7;; download) [ "$3" = 7 ] && echo "[]" > reference/claims.json;; esac'
EXPIRED = 'case "$2" in list) echo 7;; download) exit 1;; esac'


@pytest.mark.parametrize(
    ("gh", "accept", "status", "fetched"),
    [
        ("", "false", 0, False),
        (FETCHES, "false", 0, True),
        (EXPIRED, "false", 1, False),
        (EXPIRED, "true", 0, False),
        ("exit 4", "true", 4, False),
    ],
    ids=["first run", "there", "expired", "expired and not needed", "no answer"],
)
def test_the_reference_is_that_of_the_last_run_that_succeeded(run_step, tmp_path, gh, accept, status, fetched):
    done = run_step("Fetch the reference", accept, gh)
    assert done.returncode == status, done.stderr
    assert (tmp_path / "reference/claims.json").exists() == fetched


@pytest.mark.parametrize(
    ("before", "after", "accept", "status", "kept", "said"),
    [
        (None, [cell()], "false", 0, "after", "nothing to compare with yet"),
        ([cell()], [cell(estimate(0.04, 0.07))], "false", 0, "before", "Moved beyond their interval: 0"),
        ([cell()], [cell(estimate(0.1, 0.2))], "false", 1, "before", "Moved beyond their interval: 1"),
        ([cell()], [cell(estimate(0.1, 0.2))], "true", 0, "after", "Moved beyond their interval: 1"),
        ({}, [cell()], "false", 2, "before", "no list of cells"),
        ({}, [cell()], "true", 0, "after", "no list of cells"),
    ],
    ids=["first run", "within", "moved", "accepted", "unusable", "unusable and replaced"],
)
def test_the_reference_stays_until_another_is_accepted(run_step, tmp_path, before, after, accept, status, kept, said):
    """So that small steps in one direction add up, and are seen."""
    (tmp_path / "reference").mkdir()
    if before is not None:
        (tmp_path / "reference/claims.json").write_text(json.dumps(before))
    (tmp_path / "claims.json").write_text(json.dumps(after))
    done = run_step("Compare with the reference", accept)
    assert done.returncode == status, done.stderr
    assert json.loads((tmp_path / "reference/claims.json").read_text()) == {"before": before, "after": after}[kept]
    assert said in (tmp_path / "summary.md").read_text()
