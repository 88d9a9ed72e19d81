"""Errors that are meant for the person who typed the input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A value that came from outside is unusable; the message says which, what was expected and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message, and not where in the code it was raised."""
        return [f"{type(self).__name__}: {self}"]


class ArtifactError(InputError):
    """A file under `artifacts/` is missing, damaged, or belongs to another configuration; the message names it."""


@contextmanager
def naming(origin: object) -> Iterator[None]:
    """Name the part or the file that an `InputError` raised in the block is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


@contextmanager
def looking_for(argument: str, path: object) -> Iterator[None]:
    """Say in a line why the system cannot even look for a path: its name is too long, a folder closed, links go in a circle."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{argument} {str(path)!r} cannot be looked for: {reason}; give another path") from None


def one_of(argument: str, value: object, allowed: Iterable) -> None:
    """Raise `InputError` naming the alternatives unless `value` is one of `allowed`."""
    allowed = list(allowed)
    alike = not isinstance(value, bool | float) or any(type(value) is type(known) for known in allowed)  # True is no layer 1
    if value not in allowed or not alike:
        raise InputError(f"{argument} is {value!r}, but must be one of: {', '.join(map(str, allowed))}")


def whole_number(argument: str, value: object, at_least: int, at_most: int | None = None) -> None:
    """Raise `InputError` unless `value` is an integer between `at_least` and `at_most` (both included)."""
    ok = isinstance(value, int) and not isinstance(value, bool)
    if not ok or value < at_least or (at_most is not None and value > at_most):
        limits = f"at least {at_least}" if at_most is None else f"between {at_least} and {at_most}"
        raise InputError(f"{argument} is {value!r}, but must be a whole number, {limits}")


def share(argument: str, value: object) -> None:
    """Raise `InputError` unless `value` lies between 0 and 1, both excluded."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise InputError(f"{argument} is {value!r}, but must be a number between 0 and 1, such as 0.7")


def whole_numbers(argument: str, value: object) -> list[int]:
    """A list of whole numbers; papermill's `-p` hands it over as text, such as `[3, 5]` or `3,5`. `InputError` otherwise."""
    if isinstance(value, str):
        words = value.strip().strip("[]()").replace(",", " ").split()
        if words and all(word.lstrip("-").isdecimal() for word in words):
            return [int(word) for word in words]
    elif isinstance(value, list | tuple) and value and all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        return list(value)
    raise InputError(f"{argument} is {value!r}, but must be a list of whole numbers, such as [2, 4, 8]")
