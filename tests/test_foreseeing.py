"""Foreseeing in a study: a row a setting, seed and split, from its own measurements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import scrambled

from lib import foreseeing
from lib.claims import gap
from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring import diagnostics
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.proxies import Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Reference

S = Simplification("svd", 2, 1)


@pytest.fixture(scope="module")
def study(small_experiment, tmp_path_factory) -> Study:
    """Two seeds, tested on so many sentences that there is something to learn from; agreement depends on every covariate."""
    task = small_experiment.task.model_copy(update={"split_sentences": 300})
    measuring = small_experiment.measuring.model_copy(update={"refitted": {}, "refitted_on": (), "along_training": {}})
    experiment = small_experiment.model_copy(update={"task": task, "measuring": measuring})
    made = Study("dyck", experiment, tmp_path_factory.mktemp("foreseeing") / "dyck", device="cpu")
    made.estimates = made.estimates_of({run.seed: scrambled(run.blocks(), run.seed) for run in made.runs})
    return made


def test_there_is_a_row_for_each_setting_seed_and_split(study):
    table = foreseeing.cells(study)
    settings = simplifications_of(study.experiment.measuring.grid)
    scored = {x: study.estimates.block(0, x).columns["n"].sum() for x in study.task.unseen(study.splits)}
    splits = [split for split, n in scored.items() if n >= diagnostics.FEWEST]
    assert splits
    keys = ["setting", "place", "split", "seed"]
    assert {*table[keys].itertuples(index=False, name=None)} >= {(s.label, s.place, x, 0) for s in settings for x in splits}
    assert not table.duplicated(keys).any()
    assert set(table["task"]) == {"dyck"}
    assert table.loc[table["family"] == "SVD", "control"].eq(False).all()


def test_a_row_holds_what_was_measured_and_what_each_diagnostic_says(study):
    table = foreseeing.cells(study, ["unseen_length"])
    assert set(table["split"]) == {"unseen_length"}
    for row in table.itertuples():
        (s,) = [
            s for s in simplifications_of(study.experiment.measuring.grid) if (s.label, s.place) == (row.setting, row.place)
        ]
        known = foreseeing.cell(study, study.estimates, row.seed, s, row.split)
        assert {name: getattr(row, name) for name in DIAGNOSTICS} == diagnostics.foresee(known)
        for split, value in (("iid", row.inside), ("unseen_length", row.measured)):
            found = study.estimates.estimate(s, split, "same_prediction").by_seed[row.seed]
            assert value == pytest.approx(found)
    assert table[[*DIAGNOSTICS]].to_numpy().min() >= 0
    assert table[[*DIAGNOSTICS]].to_numpy().max() <= 1


def test_the_gap_that_is_foreseen_is_agreement_in_distribution_less_the_diagnostics(study):
    found = foreseeing.foreseen(study, study.estimates, S, "unseen_length")
    table = foreseeing.cells(study, ["unseen_length"])
    rows = table[(table["setting"] == S.label) & (table["place"] == S.place)].sort_values("seed")
    assert found.by_seed == pytest.approx((rows["inside"] - rows[RULES.foreseeing.diagnostic]).to_numpy())
    assert np.abs(found.by_seed).min() > 1e-4
    own = gap(study.estimates, S, "unseen_length", Reference("iid"))
    assert found.by_seed.shape == own.by_seed.shape, "so that one can be subtracted from the other"
    alone = foreseeing.foreseen(study, study.estimates.only([1]), S, "unseen_length")
    assert alone.value == pytest.approx(found.by_seed[1])


def test_where_a_diagnostic_does_not_apply_nothing_is_foreseen(study, monkeypatch):
    assert not foreseeing.foreseen(study, study.estimates, Simplification("svd", 3, 1), "unseen_length").measured
    assert not foreseeing.foreseen(study, study.estimates, S, "nowhere").measured
    monkeypatch.setattr(diagnostics, "FEWEST", 10**9)
    assert not foreseeing.foreseen(study, study.estimates, S, "unseen_length").measured
    table = foreseeing.cells(study)
    assert table.empty
    assert {"task", "family", "measured", *DIAGNOSTICS} <= set(table)


def test_a_setting_that_one_seed_lacks_has_no_rows(study):
    lacking = replace(study)
    blocks = {seed: study.estimates.blocks(seed) for seed in range(study.seeds)}
    blocks[1] = [replace(b, sums={key: b.sums[key] for key in b.sums if key[0] != S}) for b in blocks[1]]
    lacking.estimates = study.estimates_of(blocks)
    table = foreseeing.cells(lacking, ["unseen_length"])
    assert not ((table["setting"] == S.label) & (table["place"] == S.place)).any()
    assert len(table)


def test_a_covariate_that_a_split_lacks_is_done_without(study):
    """A file of the user's own has no `frequency`."""
    blocks = {
        seed: [
            replace(b, columns={name: values for name, values in b.columns.items() if name != "frequency"})
            if b.split == "unseen_length"
            else b
            for b in study.estimates.blocks(seed)
        ]
        for seed in range(study.seeds)
    }
    known = foreseeing.cell(study, study.estimates_of(blocks), 0, S, "unseen_length")
    assert "frequency" not in known.covariates
    assert {"depth", "distance"} <= {*known.covariates}
    assert np.isfinite(list(diagnostics.foresee(known).values())).all()


def test_splits_that_there_are_not_are_refused(study):
    with pytest.raises(InputError, match="split is 'nowhere', but must be one of: iid"):
        foreseeing.cells(study, ["nowhere"])


def test_a_task_without_a_key_covariate_foresees_nothing(study, monkeypatch):
    monkeypatch.setattr(type(study.task), "key_covariate", "")
    with pytest.raises(InputError, match="a task of kind 'dyck' names no covariate"):
        foreseeing.cell(study, study.estimates, 0, S, "unseen_length")
    assert not foreseeing.foreseen(study, study.estimates, S, "unseen_length").measured
