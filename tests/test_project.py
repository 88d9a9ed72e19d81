"""The project as a whole: pins agree, notebooks only show, rooms know what is below them, and the style is kept."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lib.proxies import PROXIES
from lib.tasks import TASKS, task_class
from lib.tasks.code.humaneval import PREFIX
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.sources import INSTALLED

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
    optional = [requirement for requirement in optional if not requirement.startswith(project["name"])]  # its own extras
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


NOTEBOOKS = {path.name: nbformat.read(path, as_version=4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS.values(), ids=NOTEBOOKS)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 4


@every_notebook
def test_source_notebooks_hold_no_results(notebook):
    nbformat.validate(notebook)
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells(notebook))
    assert "widgets" not in notebook.metadata


@every_notebook
def test_parameters_are_in_the_first_code_cell_of_a_notebook_and_nowhere_else(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == code_cells(notebook)[:1]
    assigned = {target.id for node in ast.parse(tagged[0].source).body for target in node.targets}
    assert {"preset", "seeds"} <= assigned


@every_notebook
def test_a_cell_is_short_and_defines_nothing(notebook):
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 15, cell.source
        assert not any(isinstance(node, definitions) for node in ast.walk(ast.parse(cell.source))), cell.source


def names(node: ast.AST, context: type) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, context)}


@every_notebook
def test_a_cell_calls_lib(notebook):
    """It uses a name that it imports from `lib`, or that came out of one. All but the cell of parameters do."""
    of_lib: set[str] = set()
    for cell in code_cells(notebook)[1:]:
        tree = ast.parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "lib":
                of_lib |= {alias.asname or alias.name for alias in node.names}
        for statement in tree.body:
            if names(statement, ast.Load) & of_lib:
                of_lib |= names(statement, ast.Store)
        assert names(tree, ast.Load) & of_lib, cell.source


@every_notebook
def test_no_cell_holds_a_sentence(notebook):
    """Sentences, and the words that say how something turned out, come from functions of `lib`, which are tested."""
    verdicts = r"support|inconclusive|better|worse|\b(more|less|gap|points?|higher|lower|faithful|significant)\b"
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert len(node.value.split()) <= 3, node.value
                assert not re.search(verdicts, node.value, re.IGNORECASE), node.value


MYST = r"\{[\w:.+-]+\}`|^\s*(`{3,}|~{3,}|:{3,})\s*\{|\{(glue|cite|doc|ref|numref|term)\b|^\([\w-]+\)=\s*$|^\+{3}|^%\s"


@pytest.mark.parametrize(
    "text",
    ["see {cite:p}`x`", "{glue:text}`a`", "```{note}\nx\n```", ":::{tip}", "{doc}`running`", "(target)=\n# A", "% hidden"],
)
def test_what_jupyterlab_cannot_show_is_recognized(text):
    assert re.search(MYST, text, re.MULTILINE)


@every_notebook
def test_jupyterlab_shows_all_text_of_a_notebook(notebook):
    """Roles, directives, targets and comments of MyST would stand there as they are typed."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(MYST, cell.source, re.MULTILINE), cell.source


# Rooms


FILES = sorted(LIB.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
UPPER_FLOOR = "tasks/<domain>"  # in the docstring: the modules of a domain that do not make its data


def module_name(path: Path) -> str:
    """`lib.tasks` for `lib/tasks/__init__.py`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def rooms() -> list[list[str]]:
    """The rooms from the lowest up, row by row, as the docstring of `lib` lists them."""
    docstring = ast.get_docstring(TREES[LIB / "__init__.py"])
    rows = [re.split(r"\s{2,}", line.strip())[0] for line in docstring.splitlines() if line.startswith("    ")]
    return [[name.strip().rstrip("/") for name in row.split(",")] for row in rows]


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of `lib` that a file imports, and whether at its top; what only type checkers import does not count."""

    def visit(node: ast.AST, at_top: bool) -> Iterator[tuple[str, bool]]:
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((name if name in MODULES else node.module, at_top) for name in found)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, at_top) for alias in node.names)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            inside = at_top and not isinstance(node, ast.FunctionDef)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, inside)

    return ((name, at_top) for name, at_top in visit(TREES[path], True) if name.partition(".")[0] == "lib")


def domain(module: str) -> str | None:
    """`dyck` for `lib.tasks.dyck.text`."""
    return module.split(".")[2] if module.startswith("lib.tasks.") else None


DOMAINS = sorted(filter(None, {domain(module) for module in MODULES}))
AUDITED = {"text": "audit"}  # domains on which nothing is trained, so that none has a task, and the room that tests on them


def makes_data(of: str) -> set[str]:
    """The modules of a domain from which its data are made: those that its tasks name, and all that these import there."""
    if of in AUDITED:
        return {module for module in MODULES if domain(module) == of}
    task_class(of)
    kinds = [task for task in TASKS.values() if domain(task.__module__) == of]
    wanted = [module for task in kinds for module in (task.__module__, *task.made_by)]
    found = {f"lib.tasks.{of}"}
    while wanted:
        module = wanted.pop()
        if module not in found:
            found.add(module)
            wanted += [name for name, at_top in imported(MODULES[module]) if domain(name) == of and at_top]
    return found


def test_every_module_has_a_room():
    listed = [room for row in rooms() for room in row if room != UPPER_FLOOR]
    existing = {path.stem for path in LIB.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(listed) == sorted(existing - {"__init__", "__main__"})


def test_the_book_lists_the_same_rooms_in_the_same_order():
    lines = (ROOT / "book" / "structure.md").read_text(encoding="utf-8").splitlines()
    table = [re.findall(r"`([\w/]+)`", line.split("|")[1]) for line in lines if line.startswith("| `")]
    assert [[name.rstrip("/") for name in row] for row in table] == [row for row in rooms() if row != [UPPER_FLOOR]]


def test_arrows_between_rooms_point_down_only():
    """A module imports from its own room and from those below. A task loads what its chapters say only when it is asked."""
    order = [room for row in rooms() for room in row]
    making = {module for name in DOMAINS for module in makes_data(name)}

    def level(module: str) -> int:
        upper = domain(module) is not None and module not in making
        return order.index(UPPER_FLOOR if upper else module.split(".")[1])

    upward = []
    for module, path in MODULES.items():
        if module in ("lib", "lib.__main__"):
            continue
        for name, at_top in set(imported(path)):
            asked = not at_top and module in making and domain(name) == domain(module)
            if level(name) > level(module) and not asked:
                upward.append(f"{module} imports {name}")
    assert upward == []


def test_no_module_imports_itself_through_others():
    graph = {module: {name for name, at_top in imported(path) if at_top} - {module} for module, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises for a circle


@pytest.mark.parametrize("of", DOMAINS)
def test_nobody_imports_a_domain_but_itself(of):
    others = {m: path for m, path in MODULES.items() if domain(m) != of and m.split(".")[1:2] != [AUDITED.get(of)]}
    assert [m for m, path in others.items() for name, _ in imported(path) if domain(name) == of] == []


IDENTIFIERS = {
    ast.Name: "id", ast.Attribute: "attr", ast.FunctionDef: "name", ast.ClassDef: "name", ast.arg: "arg", ast.keyword: "arg"
}  # fmt: skip
# Of domains and their splits these are words like others: they may be the key of a table, an attribute of an element, or stand
# in a sentence.
ORDINARY = {"code", "id", "c", "go", "python", "java", "javascript", "php", "ruby", "cpp"}


@pytest.fixture(scope="module")
def domain_names(small_dataset) -> set[str]:
    """What only a domain itself may name: domains and all their splits."""
    named = {*DOMAINS, *TASKS} - {*AUDITED}  # which is a word like any other, and its splits are the user's
    named |= {*small_dataset.splits, "id", "seen_package", PREFIX.rstrip("/"), *LANGUAGES}
    assert named >= ORDINARY
    return named


def named_in(tree: ast.Module, names: set[str], help_texts: bool = False) -> Iterator[str]:
    """Which of `names` occur in identifiers and texts; in docstrings, or with `help_texts` in any text of words, they may."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    keys = {key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    keys |= {
        node.args[0] for node in calls if node.func.attr in ("pop", "set", "get") and node.args
    }  # of an element's attributes
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            if not (help_texts and " " in node.value):
                yield from {*re.findall(r"\w+", node.value)} & (names - ORDINARY)
                yield from {node.value} & (set() if node in keys else names & ORDINARY)
        elif type(node) in IDENTIFIERS:
            words = re.findall(r"[a-z]+|[A-Z][a-z]*", getattr(node, IDENTIFIERS[type(node)]) or "")
            joined = "_".join(words).lower()
            yield from (name for name in names - ORDINARY if re.search(rf"(?<![a-z]){name}(?![a-z])", joined))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if kind == 'code': pass", ["code"]),
        ("def draw(split='iid'): pass", ["iid"]),
        ("DyckTask", ["dyck"]),
        ("plot_unseen_depth = 1", ["unseen_depth"]),
        ("label = f'{split} or unseen_depth'", ["unseen_depth"]),
        ("{'code': code_of(module)}", []),
        ("element.set('id', 'id')", ["id"]),
        ("def f():\n    'Such as iid.'", []),
    ],
)
def test_names_of_domains_are_found(code, found, domain_names):
    assert list(named_in(ast.parse(code), domain_names)) == found


def test_nobody_names_a_domain_or_its_splits_but_itself(domain_names):
    """Help on the command line may, as an example."""
    outside = {module: TREES[path] for module, path in MODULES.items() if not domain(module)}
    assert [
        (m, name) for m, tree in outside.items() for name in named_in(tree, domain_names, m in ("lib.cli", "lib.options"))
    ] == []


def test_the_workflow_names_no_domain(domain_names):
    source = re.sub(r'(?s)""".*?"""|#[^\n]*', "", (ROOT / "Snakefile").read_text(encoding="utf-8"))
    assert not {*re.findall(r"\w+", source)} & (domain_names - ORDINARY)
    assert not {*re.findall(r"[\"'](\w+)[\"']", source)} & domain_names


def test_nobody_asks_what_kind_of_task_model_or_proxy_something_is():
    kinds = {"Task", "Model", "Transformer", "Proxy", *(kind.__name__ for kind in (*TASKS.values(), *PROXIES.values()))}
    asked = []
    for node in (node for tree in TREES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked += kinds & {*re.findall(r"\w+", ast.unparse(node.args[1]))}
        elif isinstance(node, ast.MatchClass):
            asked += kinds & {ast.unparse(node.cls)}
    assert asked == []


def run_isolated(statements: str) -> str:
    ran = subprocess.run([sys.executable, "-c", statements], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def loaded_with(*modules: str) -> set[str]:
    """All modules that are there once these were imported."""
    return {*run_isolated(f"import sys, {', '.join(modules)}; print(*sys.modules)").split()}


@pytest.mark.slow
def test_importing_models_imports_no_task_and_no_corpus():
    loaded = loaded_with(*(module for module in MODULES if module.startswith("lib.models")))
    unwanted = ("lib.tasks*", "lib.studies*", "tree_sitter*", "datasets", "datasketch", "matplotlib", "sklearn")
    assert [name for name in loaded if any(fnmatch(name, pattern) for pattern in unwanted)] == []
    assert "lib.models.transformer" in loaded


HEAVY = ("torch", "numpy", "pydantic", "pandas", "scipy", "matplotlib")


def test_importing_the_command_line_imports_no_large_library():
    assert not loaded_with("lib.cli") & {*HEAVY}


def test_help_is_given_without_large_libraries():
    absent = f"import runpy, sys; sys.modules.update(dict.fromkeys({HEAVY})); sys.argv = ['lib', '--help']"
    text = run_isolated(f"{absent}; runpy.run_module('lib', run_name='__main__', alter_sys=True)")
    assert "evaluate" in text
    assert "claims" in text


# Style


def lines_of(path: Path) -> int:
    """Lines that are not blank."""
    return sum(bool(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())


OF_OTHERS = ("huggingface", "attention", "inline", "pretrained", "export")  # the way in for models of others, out for ours


def test_the_core_can_be_read_in_an_evening():
    """What is looked at, how it is simplified, how a number with its interval comes out; not how a model or a proxy is trained,
    nor the comparisons and diagnostics on top, nor language models of others.
    """
    core = {LIB / "split.py", *(path for room in ("models", "proxies", "measuring") for path in (LIB / room).rglob("*.py"))}
    beyond = ("training", "trainer", "machine", "learned", "divergence", "matching", "association", "diagnostics", *OF_OTHERS)
    assert sum(lines_of(path) for path in core if path.stem not in beyond) < 1_500


def test_no_file_has_more_than_300_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def definitions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef))


def test_no_function_has_more_than_50_lines():
    """Not counting its docstring."""
    lengths = {}
    for module, path in MODULES.items():
        for function in definitions(TREES[path]):
            if isinstance(function, ast.FunctionDef):
                text = function.body[0] if ast.get_docstring(function) else None
                own = function.end_lineno - function.lineno + 1 - (text.end_lineno - text.lineno + 1 if text else 0)
                lengths[f"{module}.{function.name}"] = own
    assert {name: length for name, length in lengths.items() if length > 50} == {}


def test_everything_public_says_what_it_is():
    """Modules, functions, classes and their methods, unless what a class derives from says it of the method already."""
    classes = {node.name: node for tree in TREES.values() for node in definitions(tree) if isinstance(node, ast.ClassDef)}

    def says(of: ast.ClassDef, method: str) -> bool:
        own = any(node.name == method and ast.get_docstring(node) for node in of.body if isinstance(node, ast.FunctionDef))
        return own or any(says(classes[b.id], method) for b in of.bases if isinstance(b, ast.Name) and b.id in classes)

    silent = [module for module, path in MODULES.items() if not ast.get_docstring(TREES[path])]
    for path in FILES:
        for node in TREES[path].body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                silent += [] if ast.get_docstring(node) else [node.name]
                methods = [n.name for n in getattr(node, "body", []) if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]
                silent += [f"{node.name}.{m}" for m in methods if isinstance(node, ast.ClassDef) and not says(node, m)]
    assert silent == []


def test_names_say_something():
    vague = re.compile(r"utils?|helpers?|managers?|misc|stuff", re.IGNORECASE)
    named = [*(path.stem for path in FILES), *(node.name for tree in TREES.values() for node in definitions(tree))]
    assert [name for name in named if any(map(vague.fullmatch, re.findall("[A-Z]?[a-z]+", name)))] == []


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check", "--diff"]], ids=["rules", "format"])
def test_ruff_has_nothing_to_say(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "lib", "tests", "benchmarks"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
