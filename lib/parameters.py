"""The parameters of a notebook that papermill executes."""

from __future__ import annotations

import ast

from IPython import get_ipython

from lib.errors import InputError

_INJECTED = "# Parameters\n"  # what papermill begins the cell with that it puts after that of the parameters


def check() -> None:
    """Raise `InputError` for a parameter that the notebook does not have; papermill warns, and executes it without.

    To be called by the first cell after that of the parameters. Does nothing where no papermill handed any over.
    """
    shell = get_ipython()
    _, *executed = shell.user_ns["In"] if shell else [""]
    if len(executed) < 2 or not executed[1].startswith(_INJECTED):
        return
    known, given = map(_assigned, executed[:2])
    if unknown := [name for name in given if name not in known]:
        raise InputError(f"the notebook has no parameter {unknown[0]!r}, but only: {', '.join(known)}")


def _assigned(cell: str) -> list[str]:
    """The names that a cell assigns values to."""
    targets = [target for line in ast.parse(cell).body if isinstance(line, ast.Assign) for target in line.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]
