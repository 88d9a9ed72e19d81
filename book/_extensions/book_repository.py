"""Where the source of a book is public, and where its pages are served from: git knows, so no address is written down."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

HOSTS = ("github.com", "gitlab.com", "codeberg.org")  # what a reader can open; any other may be private


def found(book: Path, environment: Mapping[str, str]) -> str:
    """The address at which the source of a book is public: in GitHub Actions that of the repository it runs for, else that of
    git's `origin`; empty where neither has one.
    """
    if environment.get("GITHUB_REPOSITORY"):
        return public(f"{environment.get('GITHUB_SERVER_URL', '')}/{environment['GITHUB_REPOSITORY']}")
    top = _git(book, "rev-parse", "--show-toplevel")
    if not top or not Path(top, "book", "_extensions", Path(__file__).name).is_file():
        return ""  # that of something else, in which only results are kept
    return public(_git(book, "remote", "get-url", "origin"))


def _git(folder: Path, *command: str) -> str:
    """What git says of a folder; empty if it is not there, or has nothing to say."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def public(remote: str) -> str:
    """Where a reader finds what git has at a remote; empty unless that is at one of `HOSTS`, by https or ssh.

    What stands before the host, a user or a token, is nobody's business.
    """
    host = rf"({'|'.join(map(re.escape, HOSTS))})"
    path = r"([\w.-]+(?:/[\w.-]+)+)/?"
    address = rf"(?:(?:https|ssh)://(?:[^/@]*@)*{host}(?::\d+)?/|(?:[^/@:]*@)?{host}:){path}"
    match = re.fullmatch(address, remote, re.IGNORECASE)
    if not match or {".", ".."} & {*match[3].split("/")}:
        return ""
    return f"https://{(match[1] or match[2]).lower()}/{match[3].removesuffix('.git')}"


def site(repository: str) -> str:
    """Where GitHub serves the pages of a repository; empty for one that is elsewhere."""
    match = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", repository)
    if not match:
        return ""
    host = f"{match[1].lower()}.github.io"
    return f"https://{host}/" if match[2].lower() == host else f"https://{host}/{match[2]}/"
