"""Executing a notebook with papermill, and what becomes of it before pages show it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lib.errors import InputError

if TYPE_CHECKING:
    from nbformat import NotebookNode

# `nbformat` loads jsonschema, and that, for a format of addresses that no notebook has, 39 grammars, which takes a second.
sys.modules.setdefault("rfc3987_syntax", None)

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def execute_with(name: str, parameters: Mapping, shown: Mapping | None = None) -> NotebookNode:
    """A notebook, executed by papermill with parameters; as pages show it, with `shown` in place of those that others lack."""
    import nbformat
    import papermill

    with TemporaryDirectory() as folder:
        made = Path(folder, f"{name}.ipynb")  # papermill writes after every cell: nobody is to meet a notebook half executed
        from_to = [str(p).replace("{", "{{").replace("}", "}}") for p in (NOTEBOOKS / made.name, made)]  # it formats them
        try:
            papermill.execute_notebook(*from_to, dict(parameters), cwd=str(NOTEBOOKS))
        except papermill.PapermillExecutionError as error:
            raise InputError(f"notebook {name} failed\n{error}") from None
        notebook = nbformat.read(made, 4)
    said = {**parameters, **(shown or {})}
    notebook.cells = with_headings(with_values(notebook.cells, said))
    notebook.metadata.pop("widgets", None)  # which no page can use: live figures have their own
    own = {"input_path": made.name, "output_path": made.name, "parameters": said}  # and no folders of this machine
    notebook.metadata["papermill"] |= own
    return notebook


def with_values(cells: Iterable[NotebookNode], given: Mapping) -> list[NotebookNode]:
    """The cells of an executed notebook, with the parameters that were given in place of those that they replaced, without
    views of widgets where there is something else to show, and without progress bars.
    """
    kept, view = [], "application/vnd.jupyter.widget-view+json"
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            assigned = re.compile(rf"^({'|'.join(map(re.escape, given))}) = .*?(?=\s*#|$)", re.MULTILINE)
            cell.source = assigned.sub(lambda found: f"{found[1]} = {given[found[1]]!r}", cell.source)
            cell.metadata.tags = [*tags, "hide-input"]
        if "outputs" in cell:
            cell.outputs = [of for of in cell.outputs if {*of.get("data", ())} != {view, "text/plain"}]
        for output in cell.get("outputs", []):
            if len(output.get("data", {})) > 1:
                output.data.pop(view, None)
        if "injected-parameters" not in tags:
            kept.append(cell)
    return kept


def with_headings(cells: Iterable[NotebookNode]) -> list[NotebookNode]:
    """The cells of an executed notebook; the output of one tagged `finding` is the heading before it, with the cell's id as its
    anchor, so that it is one in the page's contents, too.
    """
    from nbformat.v4 import new_markdown_cell

    found = []
    for cell in cells:
        if "finding" in cell.metadata.get("tags", []):
            for output in cell.outputs:  # none where there is nothing to tell
                text = f'<span id="{cell.id}"></span>\n\n{output.data["text/markdown"]}'
                found.append(new_markdown_cell(text, id=f"{cell.id}-heading"))
            cell.metadata.tags, cell.outputs = [*cell.metadata.tags, "remove-cell"], []
        found.append(cell)
    return found
