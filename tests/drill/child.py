"""What commands do in their own process. Nothing of the tests is imported here: every process would have to."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Callable

MEMORY = 6 * 2**30  # bytes; what reads without end hits this before the machine's memory ends


def run(function: Callable, arguments: tuple, environment: dict, before: Callable | None, cwd: str, said: str) -> None:
    os.setsid()
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, f"{said}/out", os.O_WRONLY), (2, f"{said}/err", os.O_WRONLY)):
        os.dup2(os.open(name, flags | os.O_CREAT * (number > 0)), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    if before:
        before()
    sys.exit(function(*arguments))


def command(arguments: list[str]) -> int:
    from lib.cli import main

    return main(arguments)


def use(preset: str, task: str) -> int:
    """Look at all that a study of a preset keeps, as its notebooks do; what is wrong is said as the command line says it."""
    from lib.errors import InputError
    from lib.live.kept import arrays_of
    from lib.presets import load

    try:
        study = load(preset).study(task)
        study.save()
        assert study.estimates.splits
        _ = study.along_training
        for run in study.runs:
            steps = run.history["step"]
            assert run.model_at(int(steps.iloc[-1])).layers == run.model.layers
            arrays_of(run)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def without_rights() -> None:
    """Give up what lets the superuser write and read where nobody may; for other users there is nothing to give up."""
    if os.geteuid() == 0 and sys.platform == "linux":
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).capset(header, none):
            raise OSError(ctypes.get_errno(), "capset")
