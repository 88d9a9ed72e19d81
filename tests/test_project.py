"""The project as a whole: pins agree, notebooks are clean, arrows between modules point down, and the style is kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.code.sources import INSTALLED

ROOT = Path(__file__).resolve().parent.parent
LIB = ROOT / "lib"
CONDA_NAMES = {"pytorch": "torch", "playwright-python": "playwright"}  # what conda-forge calls a package, and PyPI does


# Pins


def pin(requirement: str) -> tuple[str, str]:
    """Normalized name and version of an exact requirement; fails for one that is not exact."""
    found = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[\w,]+\])?\s*={1,2}\s*([A-Za-z0-9.!+]+)", requirement.split(";")[0].strip())
    assert found, f"{requirement!r} is no exact pin"
    name = re.sub(r"[-_.]+", "-", found[1]).lower()
    return CONDA_NAMES.get(name, name), found[2]


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def pyproject_pins(pyproject) -> dict[str, str]:
    """Of the package and of everything optional."""
    project = pyproject["project"]
    optional = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    return dict(map(pin, [*project["dependencies"], *optional]))


@pytest.fixture(scope="module")
def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_conda_and_pip_install_the_same_packages_at_the_same_pins(environment, pyproject_pins):
    listed = [package for package in environment["dependencies"] if isinstance(package, str)]
    by_pip = [name for part in environment["dependencies"] if isinstance(part, dict) for name in part["pip"]]
    of_conda = [p for p in listed if not re.match(r"(python|pip)\b(?!-)", p)]
    from_pypi = [p for p in by_pip if not p.startswith("-e ")]
    assert dict(map(pin, [*of_conda, *from_pypi])) == pyproject_pins
    assert len(of_conda) + len(from_pypi) == len(pyproject_pins), "none twice"


def test_conda_and_pip_ask_for_the_same_python(environment, pyproject):
    asked = [p.removeprefix("python") for p in environment["dependencies"] if isinstance(p, str) and p.startswith("python>")]
    assert asked == [pyproject["project"]["requires-python"]]


def test_constraints_pin_what_pyproject_pins(pyproject_pins):
    """Everything that is installed in turn is pinned too, so the direct ones must not contradict."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = dict(pin(line.split(" #")[0]) for line in lines if line.strip() and not line.startswith("#"))
    assert {name: constraints.get(name) for name in pyproject_pins} == pyproject_pins


def test_the_installed_corpus_is_made_of_packages_that_the_project_itself_needs(pyproject):
    """Not of what only tests need: `make book` does not install that."""
    wanted, seen = [Requirement(r) for r in pyproject["project"]["dependencies"]], set()
    while wanted:
        requirement = wanted.pop()
        extras = requirement.extras or {""}
        name = canonicalize_name(requirement.name)
        if (name, *sorted(extras)) in seen:
            continue
        seen.add((name, *sorted(extras)))
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                wanted.append(needed)
    installed = {name for name, *_ in seen}
    assert {canonicalize_name(p) for packages in INSTALLED.values() for p in packages} <= installed


# Notebooks


@pytest.fixture(scope="module")
def notebooks() -> dict[str, nbformat.NotebookNode]:
    found = {path.name: nbformat.read(path, as_version=4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    assert found, "there are notebooks"
    return found


def test_source_notebooks_hold_no_results(notebooks):
    for name, notebook in notebooks.items():
        nbformat.validate(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert cell.outputs == [], name
                assert cell.execution_count is None, name
        assert "widgets" not in notebook.metadata, name


def test_parameters_are_in_the_first_code_cell_of_a_notebook_and_nowhere_else(notebooks):
    for name, notebook in notebooks.items():
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        assert len(tagged) == 1, name
        assert tagged[0] is code[0], name
        assigned = {target.id for node in ast.parse(tagged[0].source).body for target in node.targets}
        assert {"preset", "seeds"} <= assigned, name


# Modules


def modules_in_order() -> list[str]:
    """The modules of `lib` from the lowest up, as its docstring lists them."""
    docstring = ast.get_docstring(ast.parse((LIB / "__init__.py").read_text()))
    rows = [line.split("  ")[2] for line in docstring.splitlines() if line.startswith("    ")]
    return [name.strip().rstrip("/") for row in rows for name in row.split(",")]


def imported(path: Path) -> set[str]:
    """The parts of `lib` that a file imports anywhere in it, by their first name: `dyck` for `lib.dyck.text`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "lib" else {node.module}
    return {name.split(".")[1] for name in names if name.startswith("lib.")}


def files_of(module: str) -> list[Path]:
    return sorted((LIB / module).glob("*.py")) if (LIB / module).is_dir() else [LIB / f"{module}.py"]


def test_the_order_of_modules_is_complete():
    existing = {path.stem for path in LIB.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(modules_in_order()) == sorted(existing - {"__init__", "__main__"})


def test_the_lowest_module_is_that_of_errors():
    assert modules_in_order()[0] == "errors"
    assert imported(LIB / "errors.py") == set()


def test_arrows_between_modules_point_down_only():
    order = modules_in_order()
    upward = [
        f"lib/{path.relative_to(LIB)} imports lib.{name}"
        for level, module in enumerate(order)
        for path in files_of(module)
        for name in imported(path) - {module}
        if name not in order[:level]
    ]
    assert upward == []


@pytest.mark.parametrize(
    ("package", "order"),
    [("dyck", ["language", "text", "splits"]), ("code", ["languages", "sources", "corpora", "splits", "ngram"])],
)
def test_arrows_within_a_task_point_down_too(package, order):
    """Each file may import those before it."""
    assert sorted(order) == sorted(path.stem for path in files_of(package) if path.stem != "__init__")
    for path in files_of(package):
        modules = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        inner = {module.split(".")[-1] for module in modules if module.startswith(f"lib.{package}.")}
        assert inner <= set(order[: order.index(path.stem)] if path.stem in order else []), path


def test_every_public_function_and_class_says_what_it_does():
    for module in modules_in_order():
        for path in files_of(module):
            tree = ast.parse(path.read_text())
            assert ast.get_docstring(tree), path
            for node in tree.body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    assert ast.get_docstring(node), f"{path}: {node.name}"


# Style


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check", "--diff"]], ids=["rules", "format"])
def test_ruff_has_nothing_to_say(arguments):
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "lib", "tests"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
