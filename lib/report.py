"""The report of an audit: a notebook that papermill executed, its page, and what is behind them."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from lib import artifacts, book, executing, provenance
from lib.artifacts import write_json
from lib.audit.results import Audit, record_of
from lib.errors import ArtifactError, InputError

_NOTEBOOK = "audit"
_HTML = Path("_build", "html")


def write(audit: Path, to: Path) -> Path:
    """Write the report of an audit, which a folder keeps, into a folder; returns the page.

    `InputError` where something is in the way that no report was.
    """
    import nbformat

    Audit.read(audit)  # refuses what is damaged, before minutes are spent
    to = to.expanduser()
    check_folder(to, audit)
    to = to.resolve()  # what a link leads to is replaced, not the link
    notebook = executing.execute_with(_NOTEBOOK, {"results": str(audit.resolve())}, {"results": "."})  # where it will stand
    record = record_of(audit)
    identity = {"audit": record.read()["fingerprint"]}
    notebook.metadata["provenance"] = {"fingerprint": provenance.digest_of(identity), **provenance.machine()}
    with TemporaryDirectory(dir=audit) as folder:
        pages = Path(folder, "book")
        book.copy_pages(pages)
        for page in pages.glob("*.md"):
            page.unlink()
        (pages / "_toc.yml").write_text(f"format: jb-book\nroot: {_NOTEBOOK}\n", encoding="utf-8")
        nbformat.write(notebook, pages / f"{_NOTEBOOK}.ipynb")
        book.build_pages(pages)
        new = Path(folder, "report")
        shutil.copytree(pages / _HTML, new)
        shutil.copy(pages / f"{_NOTEBOOK}.ipynb", new)
        for file in (record.path.name, *record.read()["files"]):
            shutil.copy(audit / file, new)
        write_json(new / book.OWN, identity)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(to, ignore_errors=True)
            shutil.move(new, to)
        except OSError as error:
            raise ArtifactError(f"--report {str(to)!r} cannot be written: {error.strerror}; name another folder") from error
    return to / f"{_NOTEBOOK}.html"


def check_folder(to: Path, audit: Path | None = None) -> None:
    """Raise `InputError` for a folder that may not be replaced by a report, or would take the audit along that it is of."""
    artifacts.check_folder("--report", to)
    if audit and to.resolve() in (audit.resolve(), *audit.resolve().parents):
        raise InputError(f"--report is {str(to)!r}, where the audit itself is kept ({audit}): name another folder")
    if to.exists() and not (to / book.OWN).exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"--report is {str(to)!r}, which is there and holds no report: name a new folder")
