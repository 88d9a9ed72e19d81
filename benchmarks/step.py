"""One command of `lib` in this process, and how much of its processor time goes to what: a step of `book_steps.py`.

It is started with the checkout on `PYTHONPATH` whose `lib` is meant. Parts that this one does not have are not told apart.
"""

from __future__ import annotations

import importlib
import json
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


def main(report: str, *command: str) -> int:
    """Its exit status; the report is written if it is 0."""
    importlib.import_module("lib.presets")  # and with it nearly all that a command loads
    loaded = time.process_time()
    seconds = told_apart(PARTS if "--seed" in command else {})
    status = importlib.import_module("lib.cli").main(command)
    if status == 0:
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = {"loading libraries": loaded, **seconds, "kernel of the notebook": others.ru_utime + others.ru_stime}
        Path(report).write_text(json.dumps(found), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
