"""One command of `lib` in this process, and how much of its processor time goes to what: a step of `book_steps.py`.

It is started with the checkout on `PYTHONPATH` whose `lib` is meant. Parts that this one does not have are not told apart.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

PARTS = {  # functions by module and name; what one spends in another counts for the inner one
    "training": ("lib.models.training", "train"),
    "fitting": ("lib.proxies.base", "Fitter.rules"),
    "running and comparing": ("lib.measuring.faithfulness", "measure"),
    "writing tables": ("lib.measuring.table", "write"),
}
LOADED = {  # by kind of step, what would be loaded in the middle of it
    "seed": ("sklearn.cluster", "torch._dynamo"),
    "execute": ("lib.executing", "papermill", "nbformat"),
}
UNIT = 1024**2 if sys.platform == "darwin" else 1024  # of what Unix says about memory, in a megabyte
OTHERS = {"execute": "kernel of the notebook", "assemble": "jupyter-book"}  # processes of their own


def told_apart(parts: dict[str, tuple[str, str]]) -> Counter[str]:
    """Replace functions by ones that count the processor time which is spent in them."""
    seconds: Counter[str] = Counter()
    inside: list[float] = []  # what functions that were called by the running ones have spent

    def counting(part: str, function: Callable) -> Callable:
        def counted(*given, **options):
            begun = time.process_time()
            inside.append(0.0)
            try:
                return function(*given, **options)
            finally:
                spent = time.process_time() - begun
                seconds[part] += spent - inside.pop()
                if inside:
                    inside[-1] += spent

        return counted

    for part, (module, name) in parts.items():
        try:
            *path, last = name.split(".")
            owner = importlib.import_module(module)
            for attribute in path:
                owner = getattr(owner, attribute)
            setattr(owner, last, counting(part, getattr(owner, last)))
        except (ImportError, AttributeError):
            continue
    return seconds


def peak() -> float:
    """The most memory that this process has had, in megabytes. What Unix says of a child holds for its parent, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT


def main(report: str, *command: str) -> int:
    """Its exit status; the report is written if it is 0."""
    for module in ("lib.presets", *LOADED.get("seed" if "--seed" in command else command[0], ())):
        importlib.import_module(module)
    loaded = time.process_time()
    seconds = told_apart(PARTS if "--seed" in command else {})
    status = importlib.import_module("lib.cli").main(command)
    if status == 0:
        parts, megabytes = {"loading libraries": loaded, **seconds}, peak()
        if command[0] in OTHERS:
            others = resource.getrusage(resource.RUSAGE_CHILDREN)
            parts[OTHERS[command[0]]] = others.ru_utime + others.ru_stime
            megabytes += others.ru_maxrss / UNIT  # both are there at once
        Path(report).write_text(json.dumps({"parts": parts, "megabytes": megabytes}), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
