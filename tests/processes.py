"""Fresh processes that start in a moment: forked from a server that has imported the libraries, but nothing of `lib`."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable

LIBRARIES = ["torch._dynamo", "pandas", "pyarrow.parquet", "pydantic", "safetensors.torch", "scipy.sparse", "sklearn.cluster"]


def fresh(function: Callable, *arguments: object) -> int:
    """Run a function in a fresh process; returns its exit code, negative for the signal that ended it."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(LIBRARIES)
    process = processes.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def fork(function: Callable, *arguments: object) -> int:
    """Start a function in a copy of this process, which should have one thread only; returns the copy's number."""
    copy = os.fork()
    if copy == 0:
        status = 1
        try:
            function(*arguments)
            status = 0
        finally:
            os._exit(status)
    return copy


def exit_code(copy: int) -> int:
    """Wait for a copy; returns its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
