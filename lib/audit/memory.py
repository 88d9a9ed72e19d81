"""Memory of an audit: how much it takes, whether that is there, and giving back what is not needed any more."""

from __future__ import annotations

import ctypes
from contextlib import suppress

import psutil

from lib.errors import InputError
from lib.models.base import Model
from lib.split import Split

_FLOAT = 4  # bytes


def needed(model: Model, window: Split, fitted_positions: int) -> float:
    """Gigabytes beside the model: a window in all layers, its logits some ten times, queries and keys of as many layers as are
    kept.
    """
    length, heads = window.tokens.shape[1], model.layers * model.heads
    attention = heads * length * (3 * length + 4 * model.head_width)
    logits = 10 * int(window.scored.sum()) * (int(window.candidates.max()) + 1)
    fitting = min(2**30, 2 * _FLOAT * heads * fitted_positions * model.head_width)
    return (_FLOAT * (3 * attention + logits) + 3 * fitting) / 1e9


def check(gigabytes: float) -> None:
    """Raise `InputError` where so much is not free."""
    free = psutil.virtual_memory().available / 1e9
    if gigabytes > free:
        raise InputError(
            f"this audit needs {gigabytes:.1f} GB of memory beside the model, and {free:.1f} are free: ask for shorter windows "
            "(length), fewer positions, or close what else runs"
        )


def give_back() -> None:
    """Give the system what was freed; the C library keeps it otherwise, in pieces: gigabytes after some dozens of layers."""
    with suppress(OSError, AttributeError, TypeError):  # only glibc knows how
        ctypes.CDLL(None).malloc_trim(0)
