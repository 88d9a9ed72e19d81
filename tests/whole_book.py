"""The book of preset smoke as a user makes it, in a copy of what is under version control, and what tests of it share."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BUILD = [sys.executable, "-m", "lib", "book", "--cores", "2", "--preset"]
VARIANTS = """
from lib.presets import load
preset = load("mine.toml")
for name in preset.available():
    if name != "code":  # which is left to Snakemake, with its data and two seeds: that starts Python for every step
        preset.study(name).save()
"""
CHAPTERS = ("dyck_depth", "svd_vs_clustering", "code_completion", "scorecard")


def copy_project(folder: Path, *beginnings: str) -> None:
    """Copy what is under version control, or of that the files whose path begins in one of these ways."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if name.startswith(beginnings or ("",)) and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def build(folder: Path) -> None:
    """Copy what is under version control, with a proxy of a user's own, and build the book of preset smoke there."""
    copy_project(folder)
    page = (folder / "book/extend.md").read_text(encoding="utf-8")
    (proxy,) = re.findall(r"```python\n# a proxy\n(.*?)```", page, re.DOTALL)
    (folder / "mine.py").write_text(proxy, encoding="utf-8")
    (folder / "mine.toml").write_text('inherits = "smoke"\nplugins = ["mine.py"]\n', encoding="utf-8")
    published = hashes(folder / "book")
    run(folder, sys.executable, "-c", VARIANTS)
    made = {path: path.stat().st_mtime_ns for path in (folder / "artifacts/mine").glob("*/**/*") if path.is_file()}
    assert len({path.name for path in made}) > 5
    run(folder, *BUILD, "mine.toml")
    assert {path: path.stat().st_mtime_ns for path in made} == made, "what is there is not made again"
    assert hashes(folder / "book") == published, "building a preset's book changed the published one"


def run(folder: Path, *command: str, within: str = ".", check: bool = True) -> subprocess.CompletedProcess:
    """Run a command of this environment in a checkout or within it, with artifacts inside it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LIB_ARTIFACTS": str(folder / "artifacts"), "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder / within, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not {"_build", "__pycache__"} & {*p.parts})
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def words_of(page: Path) -> str:
    """What a reader sees of a page as text; blocks of code are left out, and code in a sentence stands as `x`."""
    source = page.read_text(encoding="utf-8")
    for tag in ("script", "style", "pre", "nav"):
        source = re.sub(rf"<{tag}\b.*?</{tag}>", " ", source, flags=re.DOTALL)
    source = re.sub(r"<code\b.*?</code>", "x", source, flags=re.DOTALL)
    source = re.sub(r"</?(?:a|b|em|i|span|strong|sub|sup)\b[^>]*>", "", source)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", source)))


def shortened(checkout: Path, path: Path, *wanted: str) -> None:
    """The chapter on depth at the built preset, with its text, its first cells and those that hold one of `wanted`."""
    notebook = nbformat.read(checkout / "notebooks/dyck_depth.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].source = re.sub(r'preset = "\w+"', f"preset = {str(checkout / 'mine.toml')!r}", code[0].source)
    code[0].source = re.sub(r"seeds = \d+", "seeds = 2", code[0].source)
    kept = [*code[:2], *(cell for cell in code if any(text in cell.source for text in wanted))]
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "markdown" or cell in kept]
    nbformat.write(notebook, path)
