"""Claims follow from the tables, and only from them; what explains them is measured where it is said to be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lib import claims
from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Finding
from lib.intervals import Bootstrap, Estimate
from lib.proxies import Setting


def estimate(low: float, high: float, seeds: int = 3) -> Estimate:
    return Estimate((low + high) / 2, np.linspace(low, high, 1_001), seeds, 100)


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (estimate(1, 2), SUPPORTED),
        (estimate(-2, -1), NOT_SUPPORTED),
        (estimate(-1, 2), INCONCLUSIVE),
        (estimate(1, 2, seeds=1), INCONCLUSIVE),
        (estimate(np.nan, np.nan), INCONCLUSIVE),
        (None, INCONCLUSIVE),
    ],
    ids=["above zero", "below zero", "around zero", "one seed", "nothing scored", "not measured"],
)
def test_a_verdict_is_where_the_interval_lies(effect, verdict):
    assert Finding(1, "anything", effect).verdict == verdict


def test_every_claim_is_tested_on_the_command_line(smoke, run_python):
    done = run_python("-m", "lib", "claims", "--preset", "smoke", "--json", artifacts=smoke)
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)
    assert {finding["claim"] for finding in findings} == set(claims.CLAIMS)
    for finding in findings:
        assert finding["verdict"] in (SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE)
        assert finding["reason"]
        if finding["effect"] is None:
            continue
        low, high = finding["interval"]
        assert low <= finding["effect"] <= high or np.isclose([low, high], finding["effect"]).any()


@pytest.fixture
def smoke_study(smoke, monkeypatch):
    from lib.runs import Study

    monkeypatch.setenv("LIB_ARTIFACTS", str(smoke))
    return lambda seeds: Study("dyck", "smoke", seeds)


def test_with_one_seed_no_claim_has_a_verdict_and_each_says_why(smoke_study):
    for finding in claims.dyck_findings(smoke_study(1)):
        assert finding.verdict == INCONCLUSIVE
        assert "a verdict needs" in finding.reason or "no setting matches" in finding.reason


@pytest.mark.parametrize(
    ("claim", "effects", "expected"),
    [
        (1, [(1, 2), (1, 2)], SUPPORTED),
        (1, [(1, 2), (-1, 2)], INCONCLUSIVE),
        (1, [(1, 2), (-2, -1)], NOT_SUPPORTED),
        (3, [(1, 2), (-2, -1)], SUPPORTED),
        (3, [(-1, 2), (-2, -1)], INCONCLUSIVE),
        (3, [(-2, -1), (-2, -1)], NOT_SUPPORTED),
    ],
)
def test_a_claim_holds_if_all_its_statements_do_and_an_existence_claim_if_one_does(claim, effects, expected):
    assert claims.verdict(claim, [Finding(claim, "a", estimate(*effect)) for effect in effects]) == expected


def test_the_table_names_every_claim_and_escapes_what_it_shows(smoke_study):
    findings = claims.dyck_findings(smoke_study(2))
    for number, statement in claims.CLAIMS.items():
        assert (statement in claims.table(findings)) == (number <= 4), "5 and 6 are about code"
        assert (statement in claims.to_html(findings)) == (number <= 4)
    assert "&lt;script&gt;" in claims.to_html([Finding(1, "<script>", None)])


def test_attention_on_the_opener_is_what_the_pattern_says(smoke_study):
    import pandas as pd
    import torch

    from lib import mechanism
    from lib.dyck.language import annotate
    from lib.transformer import Capture

    run = smoke_study(1).runs[0]
    setting = Setting("one_hot", None, 1)
    sums, depths = mechanism.opener_attention(run, ["iid"], [setting])
    split = run.task.splits["iid"]
    brackets = annotate(split.tokens, run.config.data.bracket_types)
    expected, counts = [], []
    for row in range(len(split)):
        seen = Capture()
        run.model(torch.from_numpy(split.tokens[[row]].astype(np.int64)), {1: seen})
        for query in np.flatnonzero(split.scored[row]):
            weights = seen.pattern[0, 0, query].detach().numpy()
            expected.append(weights[brackets.opener[row, query + 1]])
            counts.append((brackets.depth[row, query + 1], brackets.depth[row, weights.argmax()]))
    whole = sums[sums["group"] == ""]
    assert whole["original_opener_weight"].sum() == pytest.approx(sum(expected), rel=1e-4)
    model = depths[depths["setting"].map(lambda s: s is None)]
    found = {(row.depth, row.attended): row.n for row in model.itertuples()}
    assert found == pd.Series(counts).value_counts().to_dict()


def test_matching_distances_changes_nothing_where_they_match_already(smoke_study):
    bootstrap: Bootstrap = smoke_study(2).bootstrap
    setting = Setting("svd", 2, 1)
    gap = bootstrap.matched_gap(setting, "unseen_depth", "unseen_depth", "distance", fewest=1)
    assert gap.value == pytest.approx(0)
    assert gap.interval == pytest.approx((0, 0))


def test_transfer_between_two_settings_lies_between_them(smoke_study):
    bootstrap: Bootstrap = smoke_study(2).bootstrap
    family = [Setting("random_subspace", 8, 1), Setting("svd", 32, 1)]
    x = bootstrap.estimate(family[0], "iid", "same_prediction")
    low, high = (bootstrap.estimate(s, "unseen_length", "same_prediction").value for s in family)
    level = (1 + x.resamples.max()) / 2  # above the first setting in every resample; the second agrees always
    share = (level - x.value) / (1 - x.value)
    assert bootstrap.transfer_at(family, "unseen_length", level).value == pytest.approx(low + share * (high - low))
    unreached = bootstrap.transfer_at(family, "unseen_length", x.value / 2)
    assert np.isnan(unreached.value)
    assert np.isnan(unreached.resamples).all()
