"""What an audit is given: refused in words where it is unusable, before minutes are spent."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from lib import artifacts, provenance
from lib.audit.results import record_of
from lib.errors import InputError
from lib.models.base import Model
from lib.proxies import PROXIES, TRAINING, Fitter, Head, Simplification
from lib.split import Dataset
from lib.tasks.text.windows import check_known

_BEGUN = "begun.json"
_LONGEST = 100  # characters of a name, as files are called by it


def begun_in(folder: Path) -> provenance.Record:
    """The record of what is being measured in a folder."""
    return provenance.Record(folder / _BEGUN, f"delete the folder: rm -r {shlex.quote(str(folder))}")


def check_folder(folder: Path) -> None:
    """Raise `InputError` for a folder that an audit cannot be kept in, or that holds something else."""
    artifacts.check_folder("folder", folder)
    if folder.exists() and any(folder.iterdir()) and not any(of.path.exists() for of in (record_of(folder), begun_in(folder))):
        raise InputError(f"folder is {str(folder)!r}, which is there and holds no audit: name a new one")


def check_names(names: Iterable[str]) -> None:
    """Raise `InputError` for names of texts or splits that could not be told apart, or not be names of files."""
    known: set[str] = set()
    for name in names:
        if name == TRAINING or "/" in name or "\0" in name or not 0 < len(name) <= _LONGEST:
            raise InputError(f"a text cannot be called {name!r}: choose another name, of letters and digits, as in mine=PATH")
        if name.casefold() in known:  # which are one file in many file systems
            raise InputError(f"two texts are called {name!r}, but for capital letters: choose another name, as in mine=PATH")
        known.add(name.casefold())
    if len(known) < 2:
        raise InputError(f"there are not two texts ({', '.join(names)}): what a picture is worth elsewhere needs another one")


def check_tokens(model: Model, data: Dataset) -> None:
    """Raise `InputError` for tokens that a model does not have, and sequences that it was not made for, as far as it says."""
    size, context = (getattr(model, of, None) for of in ("vocabulary_size", "context"))
    tokens = [sequences.tokens for sequences in (data.training, *data.splits.values())]
    if size:
        check_known(tokens, size)
    longest = max(of.shape[1] for of in tokens)
    if context and longest > context:
        raise InputError(f"sequences have {longest} tokens, but the model was made for {context}: cut them shorter")


def check_fits(fitter: Fitter, whole: Sequence[Simplification]) -> None:
    """Raise `InputError` for a proxy that cannot be fitted, for want of weights or of vectors, before any is."""
    model = fitter.model
    fewest = min(int((of.real if of.fitted is None else of.fitted).sum()) for of in fitter.sources.values())
    for s in whole:
        proxy = PROXIES[s.proxy]
        if not proxy.fitted and model.attention_weights(0) is None:
            nothing = torch.zeros(0, model.head_width)
            proxy.fit(Head(nothing, nothing), s.complexity)  # which raises if it needs weights
        if proxy.parameter and proxy.most(model.head_width) is None and s.complexity > fewest:
            raise InputError(
                f"{proxy.parameter} of {s.proxy} is {s.complexity}, but a text has only {fewest:,} positions to fit on: "
                "ask for no more, or give more text"
            )
