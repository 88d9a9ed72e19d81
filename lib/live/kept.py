"""Fitted proxies as arrays, kept beside a run's measurements: learned ones take long to fit."""

from __future__ import annotations

import re
import shlex

from torch import Tensor

from lib import artifacts, provenance, shipped
from lib.live.families import is_light
from lib.live.packs import fitted_arrays, pack
from lib.runs import Run

_FILE = "proxies.safetensors"


def record_of(run: Run) -> provenance.Record:
    """The record of a run's arrays."""
    path = run.folder / "proxies.json"
    return provenance.Record(path, f"delete its record, and it is made again: rm {shlex.quote(str(path))}")


def arrays_of(run: Run) -> dict[str, Tensor]:
    """The proxies of a run that are fitted on training sequences, as arrays; see `fitted_arrays`.

    They are fitted now where they are not there, damaged or of something else, after training what is not trained; nothing is
    measured.
    """
    run.train()
    record, identity = record_of(run), identity_of(run)
    if not are_kept(run) and not shipped.take(run.folder, identity, record):
        artifacts.write_tensors(run.folder / _FILE, fitted_arrays(run.fitter, run.experiment.simplifications()))
        record.write(identity, [_FILE], {})
    return artifacts.read_tensors(record.verified(_FILE), record.remedy)[0]


def are_kept(run: Run) -> bool:
    """Whether the arrays of a run are there: nothing has to be fitted before a page can have them."""
    record = record_of(run)
    return run.is_trained() and not record.damage() and record.is_current(identity_of(run))


def identity_of(run: Run) -> dict:
    """What the arrays of a run depend on."""
    experiment = run.experiment
    code = experiment.measuring_code() | provenance.code_of("lib.live.packs")
    return {"trained": run.trained.read()["files"], "measuring": experiment.measuring.plain(), "code": code}


def packed(run: Run) -> bytes:
    """The model of a run with those of its simplifications that pages offer, as a page reads them."""
    arrays = arrays_of(run)
    complexity = {name: re.match(r"\w+:(\d+)/", name) for name in arrays}  # where arrays are of one alone
    light = {name: arrays[name] for name, of in complexity.items() if of is None or is_light(int(of[1]))}
    return pack(run.model, light)
