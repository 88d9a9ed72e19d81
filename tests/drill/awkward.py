"""A folder of things that somebody might name by mistake, and that no command may stumble over."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from code_samples import function, write_tree

DEEP = 1_500  # folders within each other


@contextmanager
def awkward() -> Iterator[Path]:
    """Make the folder; removed at the end by `rm`, as Python's own cannot remove what is so deep."""
    folder = Path(mkdtemp(prefix="awkward-"))
    try:
        _special(folder)
        _presets(folder)
        _sources(folder)
        _problems(folder)
        yield folder
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def _special(folder: Path) -> None:
    """Pipes, devices, circles, what is closed, what is empty."""
    for name in ("pipe", "pipe.toml", "pipe.py", "pipe.txt", "pipe.zip"):
        os.mkfifo(folder / name)
    for name in ("zero", "zero.toml", "zero.txt", "zero.zip", "zero.py"):
        (folder / name).symlink_to("/dev/zero")
    for name in ("loop", "loop.toml", "loop.txt"):
        (folder / name).symlink_to(name)
    for name in ("empty", "folder.toml", "folder.txt"):
        (folder / name).mkdir()
    for name in ("closed.txt", "closed.toml", "closed.zip"):
        (folder / name).write_text("(a a)\n")
        (folder / name).chmod(0)
    (folder / "closed").mkdir(mode=0)
    (folder / "file").write_text("a file\n")
    (folder / "good.txt").write_text("(a (b (c c) b) a)\n")


def _presets(folder: Path) -> None:
    texts = {
        "latin": b"[dyck]\ntask = '\xff'\n",
        "nested": b"a = " + b"[" * 5_000 + b"]" * 5_000,
        "parent": b'inherits = "none.toml"\n',
        "zero-parent": b'inherits = "a\\u0000b.toml"\n',
        "circle": b'inherits = "circle.toml"\n',
        "plugin": b'inherits = "smoke"\nplugins = ["none.py"]\n',
        "pipe-plugin": b'inherits = "smoke"\nplugins = ["pipe.py"]\n',
        "zero-plugin": b'inherits = "smoke"\nplugins = ["zero.py"]\n',
        "nul-plugin": b'inherits = "smoke"\nplugins = ["a\\u0000b.py"]\n',
        "broken-plugin": b'inherits = "smoke"\nplugins = ["broken.py"]\n',
        "exit-plugin": b'inherits = "smoke"\nplugins = ["exit.py"]\n',
        "huge-seeds": b'inherits = "smoke"\n[dyck]\nseeds = 1000000000000000000000000\n',
        "no-seeds": b'inherits = "smoke"\n[dyck]\nseeds = 0\n',
        "wide": b'inherits = "smoke"\n[dyck]\nmodel.width = 1000000000000\n',
        "many": b'inherits = "smoke"\n[dyck]\ndata.training_sentences = 100000000000000000\n',
        "rank": b'inherits = "smoke"\n[dyck.measuring.grid]\n1 = { svd = [100000] }\n',
        "float-rank": b'inherits = "smoke"\n[dyck.measuring.grid]\n1 = { svd = [2.5] }\n',
        "layer": b'inherits = "smoke"\n[dyck.measuring.grid]\n7 = { svd = [2] }\n',
        "proxy": b'inherits = "smoke"\n[dyck.measuring.grid]\n1 = { nonsense = [2] }\n',
        "nan": b'inherits = "smoke"\n[dyck]\ntraining.peak_learning_rate = nan\n',
        "task": b'[dyck]\ntask = "chess"\n',
        "no-task": b"[dyck]\nseeds = 1\n",
        "name": b'inherits = "smoke"\n["../dyck"]\ninherits = "dyck"\n',
        "taken": b'inherits = "smoke"\n[notebooks]\ninherits = "dyck"\n',
        "dates": b"inherits = 1979-05-27\n",
    }
    for name, content in texts.items():
        (folder / f"{name}.toml").write_bytes(content)
    (folder / "smoke.toml").write_text('inherits = "none.toml"\n')
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "exit.py").write_text("import sys\nsys.exit(0)\n")


def _sources(folder: Path) -> None:
    """What a location may name."""
    write_tree(folder / "project", {"python": 12, "javascript": 2}, functions=8)
    write_tree(folder / "part closed", {"python": 2}, functions=2)
    (folder / "part closed/inner").mkdir(mode=0)
    for name, content in {"latin": b"\xff\xfe", "nul": b"\0", "prose": b"hello\n"}.items():
        (folder / name).mkdir()
        (folder / name / "a.py").write_bytes(content)
    (folder / "named").mkdir()
    (folder / "named" / os.fsdecode(b"\xff.py")).write_text("x = 1\n")
    (folder / "pipes").mkdir()
    os.mkfifo(folder / "pipes/a.py")
    (folder / "text.zip").write_text("no archive")
    with zipfile.ZipFile(folder / "dots.zip", "w") as archive:
        archive.writestr("../a.py", "x = 1\n")
    with zipfile.ZipFile(folder / "empty.zip", "w"):
        pass
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", b"\0" * 50_000_000)
    here = os.getcwd()
    try:
        os.mkdir(folder / "deep")
        os.chdir(folder / "deep")
        for _ in range(DEEP):
            os.mkdir("folder")
            os.chdir("folder")
        Path("a.py").write_text("x = 1\n")
    finally:
        os.chdir(here)
    (folder / "search").mkdir()
    for name, line in {"deep": "[" * 100_000, "text": "no JSON", "list": "[1]", "field": "{}"}.items():
        (folder / "search" / name).mkdir()
        (folder / "search" / name / "python_test_0.jsonl.gz").write_bytes(gzip.compress(line.encode()))


def _problems(folder: Path) -> None:
    """Folders that are not quite HumanEval-X."""

    def rows(*numbers: object) -> str:
        code = [function("python", 9_000 + at) for at in range(len(numbers))]
        of = zip(numbers, code, strict=True)
        return "\n".join(json.dumps({"task_id": n, "declaration": c, "canonical_solution": "\n"}) for n, c in of)

    contents = {
        "doubled": rows("P/0", "P/0"),
        "numbers": rows("P/0", "P/one"),
        "no text": rows("P/0", 7),
        "surrogate": rows("P/0").replace("def ", "\\ud800 ", 1),
        "broken": "{",
        "deep": "[" * 100_000,
    }
    for name, content in contents.items():
        (folder / "problems" / name).mkdir(parents=True)
        (folder / "problems" / name / "humaneval_python.jsonl.gz").write_bytes(gzip.compress(content.encode()))
    (folder / "problems/language").mkdir()
    (folder / "problems/language/humaneval_klingon.jsonl").write_text(rows("K/0"))
    (folder / "problems/packed").mkdir()
    (folder / "problems/packed/humaneval_python.jsonl.gz").write_text("not packed")
    (folder / "problems/pipe").mkdir()
    os.mkfifo(folder / "problems/pipe/humaneval_python.jsonl")
