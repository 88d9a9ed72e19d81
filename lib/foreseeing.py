"""Foreseeing gaps in a study: the diagnostics of `lib.measuring.diagnostics` over its proxies, splits and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from lib.derived import derived
from lib.errors import InputError, one_of
from lib.experiment import simplifications_of
from lib.measuring.diagnostics import DIAGNOSTICS, Cell, foresee
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, nothing
from lib.provenance import code_of
from lib.proxies import PROXIES, Simplification
from lib.rules import RULES
from lib.runs import Run
from lib.studies import Study

KNOWN = "in-distribution measurements, the other text and the model on it"  # from which an effect is foreseen
_COLUMNS = ["task", "seed", "family", "control", "setting", "place", "split", "inside", "measured", *DIAGNOSTICS]
_CODE = code_of(__name__)  # read now, when it is the code that was loaded


def cell(study: Study, estimates: Estimates, seed: int, s: Simplification, split: str) -> Cell:
    """One seed of a proxy, in distribution and on another split; `InputError` where diagnostics do not apply."""
    task = study.task
    if not task.key_covariate:
        raise InputError(f"a task of kind {task.kind!r} names no covariate by which a mix could be compared")
    inside, target = (estimates.block(seed, name) for name in (task.reference, split))
    covariates = [name for name in task.foreseen_by if name in target.covariates]
    return Cell(inside, target, s, task.key_covariate, covariates)


def foreseen(
    study: Study, estimates: Estimates, s: Simplification, split: str, diagnostic: str = RULES.foreseeing.diagnostic
) -> Estimate:
    """The gap to a split as a diagnostic (of the rules) foresees it; not measured where it does not apply."""
    of = DIAGNOSTICS[diagnostic]
    try:
        agreement = [of(cell(study, estimates, seed, s, split)) for seed in estimates.seeds]
    except InputError:
        return nothing()
    inside = estimates.estimate(s, study.task.reference, "same_prediction")
    return Estimate(inside.by_seed - np.array(agreement), None, inside.positions)


def cells(study: Study, splits: Sequence[str] | None = None) -> pd.DataFrame:
    """Every measured setting and seed on every split on which gaps are claimed: what was foreseen, and what was measured.

    One row a cell: `task` (the study's name), `seed`, `family` (the proxy's label), `control`, `setting`, `place`, `split`,
    `inside`, `measured` (agreement in distribution and on the split), and one column a diagnostic. Those on the splits that
    claims are about are kept with a run, as they take a while.
    """
    usual = splits is None and study.is_recorded
    splits = study.task.unseen(study.splits) if splits is None else splits
    for split in splits:
        one_of("split", split, study.splits)
    tables = []
    for run in study.runs:
        compute = partial(_table, study, splits, run.seed)
        tables.append(derived(run, "foreseen", _identity(study, run, splits), compute) if usual else compute())
    return pd.concat([of for of in tables if len(of)] or tables[:1], ignore_index=True).assign(task=study.name)[_COLUMNS]


def _identity(study: Study, run: Run, splits: Sequence[str]) -> dict:
    """What the cells of a run depend on."""
    task, measured = study.task, run.measured.read()
    asked = {"splits": [*splits], "reference": task.reference, "key": task.key_covariate, "by": [*task.foreseen_by]}
    return {"measured": {"fingerprint": measured["fingerprint"], "files": measured["files"]}, **asked, "code": _CODE}


def _table(study: Study, splits: Sequence[str], seed: int) -> pd.DataFrame:
    return pd.DataFrame(list(_cells(study, splits, seed)), columns=_COLUMNS).drop(columns="task")


def _cells(study: Study, splits: Sequence[str], seed: int) -> Iterator[dict]:
    estimates = study.estimates
    i = list(estimates.seeds).index(seed)
    for s in simplifications_of(study.experiment.measuring.grid):
        for split in splits:
            try:
                known = cell(study, estimates, seed, s, split)
                inside, measured = (
                    estimates.estimate(s, name, "same_prediction").by_seed[i] for name in (study.task.reference, split)
                )
            except InputError:  # not enough there to foresee anything, or to hold it against
                continue
            proxy = PROXIES[s.proxy]
            yield {
                "seed": seed, "family": proxy.label, "control": proxy.control, "setting": s.label, "place": s.place,
                "split": split, "inside": inside, "measured": measured, **foresee(known),
            }  # fmt: skip
