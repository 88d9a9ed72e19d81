"""Bad parameters of the book's notebooks, handed over by papermill: one line that names the parameter and the value."""

from __future__ import annotations

import nbformat
import pytest
from conftest import ROOT

from drill.support import started


def execute(notebook: str, out: str, parameters: dict) -> int:
    """Execute a notebook of the book with papermill; returns 0 if it went well, 2 if a cell failed, whatever it said."""
    import papermill

    try:
        papermill.execute_notebook(f"{ROOT}/notebooks/{notebook}.ipynb", out, parameters, cwd=f"{ROOT}/notebooks")
    except papermill.PapermillExecutionError:
        return 2
    return 0


@pytest.mark.kind("bad parameters of notebooks")
@pytest.mark.parametrize(
    ("notebook", "parameters", "says"),
    [
        ("dyck_depth", {"preset": "x"}, ("preset is 'x'", "smoke, quick, paper")),
        ("dyck_depth", {"preset": 3}, ("preset is 3",)),
        ("dyck_depth", {"seeds": 0}, ("seeds is 0", "whole number")),
        ("dyck_depth", {"seeds": "three"}, ("seeds is 'three'", "whole number")),
        ("dyck_depth", {"seeds": 1.5}, ("seeds is 1.5",)),
        ("dyck_depth", {"layer": 2}, ("layer is 2", "0, 1")),
        ("dyck_depth", {"layer": None}, ("layer is None", "0, 1")),
        ("dyck_depth", {"layer": float("nan")}, ("layer is nan", "0, 1")),
        ("dyck_depth", {"layer": True}, ("layer is True", "0, 1")),
        ("dyck_depth", {"layer": 1.0}, ("layer is 1.0", "0, 1")),
        ("dyck_depth", {"ranks": []}, ("ranks is []", "list of whole numbers")),
        ("dyck_depth", {"ranks": 8}, ("ranks is 8", "list of whole numbers")),
        ("dyck_depth", {"ranks": [0]}, ("rank of svd is 0", "between 1 and")),
        ("dyck_depth", {"ranks": [2, 10**6]}, ("rank of svd is 1000000", "between 1 and")),
        ("dyck_depth", {"example": None}, ("rank of svd is None",)),
        ("dyck_depth", {"example": "8"}, ("rank of svd is '8'",)),
        ("svd_vs_clustering", {"layer": "1"}, ("layer is '1'", "0, 1")),
        ("svd_vs_clustering", {"rank": 2.5}, ("rank of svd is 2.5",)),
        ("svd_vs_clustering", {"clusters": 0}, ("clusters of kmeans is 0",)),
        ("svd_vs_clustering", {"clusters": 10**9}, ("clusters", "1000000000")),
        ("explorers", {"rank": None}, ("rank of svd is None",)),
        ("explorers", {"clusters": "x"}, ("clusters of kmeans is 'x'",)),
        ("code_completion", {"language": "klingon"}, ("code-klingon", "code-go")),
        ("foreseeing", {"seeds": "x"}, ("seeds is 'x'",)),
        ("foreseeing", {"preset": ["quick"]}, ("preset is ['quick']",)),
        ("scorecard", {"seeds": 10**9}, ("seeds is 1000000000",)),
        ("scorecard", {"preset": "none.toml"}, ("none.toml", "No such file")),
        ("beside_the_paper", {"seeds": 0}, ("seeds is 0",)),
        ("audit", {"results": "/none"}, ("/none",)),
        ("audit", {"results": 3}, ("results is 3",)),
        ("audit", {"results": None}, ("results is None",)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_parameters(tiny, tiny_artifacts, tmp_path, notebook, parameters, says):
    if "preset" not in parameters and notebook in ("dyck_depth", "svd_vs_clustering", "explorers"):
        parameters = {"preset": tiny, "seeds": 2, **parameters}
    elif "preset" not in parameters:
        parameters = {"preset": "smoke", **parameters}
    out = tmp_path / "out.ipynb"
    ended = started(execute, notebook, str(out), parameters, environment={"LIB_ARTIFACTS": str(tiny_artifacts)}).ended(120)
    assert ended.status == 2, ended
    cells = nbformat.read(out, 4).cells
    (error,) = [output for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert error.ename in ("InputError", "ArtifactError"), error
    for part in says:
        assert part in error.evalue
    assert len(error.traceback) == 1, "one line, and not where in the code it was found"
