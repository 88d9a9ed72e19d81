"""Configurations: what may be configured stands beside what it configures; here is what all of them have in common."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from lib.errors import InputError, looking_for


class Config(BaseModel):
    """Immutable values of known names; none is converted from another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    def plain(self) -> dict:
        """The configuration as values that JSON has."""
        return self.model_dump(mode="json")


C = TypeVar("C", bound=Config)


def checked(config: type[C], values: Mapping, where: str) -> C:
    """A configuration of `values`, which came from outside; `InputError` names the key, the value and what is allowed.

    `where` begins the message: the file and section that the values are from.
    """
    try:
        return config.model_validate(_tuples(values))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        problem = min(problems, key=lambda one: one["type"] != "extra_forbidden")  # a misspelt key is missing, too
        path = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith(("function-", "tuple[")))]
        key = ".".join(map(str, path))
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(_fields_at(config, path[:-1]))
            raise InputError(f"{where}: {key} is no key that there is: use one of {allowed}") from None
        if problem["type"] == "missing":
            raise InputError(f"{where}: {key} is missing") from None
        reason = problem["msg"].removeprefix("Value error, ")
        said = f"{key} is {problem['input']!r}: {reason}" if key else reason
        raise InputError(f"{where}: {said}") from None


def read_toml(path: Path, called: str) -> dict:
    """The content of a TOML file; `InputError` says why there is none. `called` is what the file is, in words."""
    with looking_for(called, path):
        if path.exists() and not path.is_file():  # a pipe may never end
            raise InputError(f"{called} {str(path)!r} is no regular file: give a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{called} {str(path)!r} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise InputError(f"{path} is not TOML: {error}") from None


def _tuples(value: object) -> object:
    """Lists, which is what files have, as tuples, which is what configurations have."""
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _fields_at(config: type[Config], path: Sequence) -> list[str]:
    """The names of the fields at a path into nested configurations."""
    for part in path:
        annotation = config.model_fields[part].annotation
        config = next(c for c in (annotation, *get_args(annotation)) if isinstance(c, type) and issubclass(c, Config))
    return list(config.model_fields)
