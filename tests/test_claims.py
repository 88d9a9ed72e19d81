"""Claims: verdicts follow from intervals, and every effect has the sign and size of what was planted."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from planted import estimate, study

from lib import claims
from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim, Finding, proxies_of, representative
from lib.errors import InputError
from lib.measuring.intervals import nothing
from lib.presets import load
from lib.proxies import MODEL, PROXIES, Simplification
from lib.scorecard import Scorecard
from lib.studies import Study
from lib.tasks.dyck.claims import ACCURATE, BETTER, LESS_FAITHFUL, SYSTEMATIC, UNSEEN, WITHOUT_DATA

ALL_OF_IT, ANY_OF_IT = Claim(7, "All of <it> & more"), Claim(8, "Any of it", existence=True)
SVD, RANK_4 = Simplification("svd", 2, 1), Simplification("svd", 4, 1)
KMEANS, ONE_HOT = Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
CONTROL = Simplification("random_subspace", 2, 1)
INSIDE = ("iid", "seen_structure", "iid_matched")


# Verdicts


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        pytest.param(estimate(1, 2), SUPPORTED, id="above zero"),
        pytest.param(estimate(-2, -1), NOT_SUPPORTED, id="below zero"),
        pytest.param(estimate(-1, 2), INCONCLUSIVE, id="around zero"),
        pytest.param(estimate(0, 0), NOT_SUPPORTED, id="zero"),
        pytest.param(estimate(1, 2, seeds=2), INCONCLUSIVE, id="two seeds"),
        pytest.param(estimate(-2, -1, seeds=2), INCONCLUSIVE, id="two seeds, below zero"),
        pytest.param(nothing(), INCONCLUSIVE, id="nothing scored"),
        pytest.param(None, INCONCLUSIVE, id="not measured"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(effect, verdict):
    finding = Finding(ALL_OF_IT, "anything", effect)
    assert finding.verdict == verdict
    assert json.loads(json.dumps(finding.plain()))["verdict"] == verdict
    assert (finding.shown_effect == "not measured") == (effect is None or not effect.measured)


@pytest.mark.parametrize(
    ("claim", "effects", "verdict"),
    [
        (ALL_OF_IT, [(1, 2), (1, 2)], SUPPORTED),
        (ALL_OF_IT, [(1, 2), (-1, 2)], INCONCLUSIVE),
        (ALL_OF_IT, [(1, 2), (-1, 2), (-2, -1)], NOT_SUPPORTED),
        (ALL_OF_IT, [], INCONCLUSIVE),
        (ANY_OF_IT, [(1, 2), (-1, 2), (-2, -1)], SUPPORTED),
        (ANY_OF_IT, [(-1, 2), (-2, -1)], INCONCLUSIVE),
        (ANY_OF_IT, [(-2, -1), (-2, -1)], NOT_SUPPORTED),
        (ANY_OF_IT, [], INCONCLUSIVE),
    ],
)
def test_a_claim_holds_if_all_its_statements_do_and_an_existence_claim_if_one_does(claim, effects, verdict):
    other = ANY_OF_IT if claim == ALL_OF_IT else ALL_OF_IT
    of_others = [Finding(other, "of another claim", estimate(*effect)) for effect in ((1, 2), (-2, -1))]
    assert claim.verdict([*of_others, *(Finding(claim, "a", estimate(*effect)) for effect in effects)]) == verdict


def test_a_finding_as_plain_values_is_in_percentage_points():
    plain = Finding(ALL_OF_IT, "a", estimate(0.1, 0.3), "why").plain()
    assert plain.pop("interval") == pytest.approx([10.5, 29.5])
    assert plain == {"claim": 7, "statement": "a", "effect": 20, "seeds": 3, "verdict": SUPPORTED, "reason": "why"}
    empty = Finding(ALL_OF_IT, "a", nothing()).plain()
    assert (empty["effect"], empty["interval"], empty["seeds"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("effect", "reason"),
    [(nothing(), "why; no position was scored"), (estimate(1, 2, 2), "why; 2 seed(s), but a verdict needs 3"), (estimate(1, 2), "why")],
)
def test_a_finding_says_where_data_are_too_few(effect, reason):
    assert claims.conclude(ALL_OF_IT, "a", effect, "why").reason == reason


FOUND = [
    Finding(ANY_OF_IT, "one that holds", estimate(0.1, 0.3), "why so"),
    Finding(ALL_OF_IT, "one that <script>", estimate(-0.3, -0.1), "because <b>"),
    Finding(ANY_OF_IT, "one nobody knows about", None),
]


def test_findings_as_text_stand_under_their_claim():
    assert claims.to_text(FOUND).splitlines() == [
        "7. All of <it> & more: NOT SUPPORTED",
        "   not supported  −20.0 [−29.5, −10.5]     one that <script>",
        f"   {'':<39} (because <b>)",
        "",
        "8. Any of it: SUPPORTED",
        "   supported      +20.0 [+10.5, +29.5]     one that holds",
        f"   {'':<39} (why so)",
        "   inconclusive   not measured             one nobody knows about",
    ]


def test_findings_as_html_are_escaped():
    html = claims.to_html(FOUND)
    for shown in ("7. All of &lt;it&gt; &amp; more: not supported", "one that &lt;script&gt;", "because &lt;b&gt;", "−20.0"):
        assert shown in html
    assert "<script" not in html
    assert html.count("<tr>") == 1 + 2 + 3  # the head, claims, findings


# Which simplification stands for a proxy


def dyck(small_experiment, rates, grid=None, **options) -> Study:
    grid = {"1": grid or {"svd": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2,)}}
    measuring = small_experiment.measuring.model_copy(update={"grid": grid})
    return study(small_experiment.model_copy(update={"measuring": measuring}), rates, **options)


@pytest.mark.parametrize(
    ("agreement", "chosen"),
    [((0.95, 0.99), SVD), ((0.5, 0.95), RANK_4), ((0.5, 0.6), RANK_4), ((0.7, 0.6), SVD)],
    ids=["the simplest that is trusted", "the only one that is", "the closest", "the closest, though simpler"],
)
def test_the_simplification_that_stands_for_a_proxy_is_chosen_on_a_split_of_its_own(small_experiment, agreement, chosen):
    """On the others, all that would be chosen otherwise."""
    rates = dict(zip([(SVD, "same_prediction"), (RANK_4, "same_prediction")], agreement, strict=True))
    others = {key: 1 - rate for key, rate in rates.items()}
    made = dyck(small_experiment, {"iid": others, "seen_structure": rates, "unseen_depth": others})
    assert representative(made, 1, "svd") == chosen
    assert representative(made, 1, "weight_svd") is None, "which was not measured"


def test_nothing_is_claimed_about_controls(small_experiment):
    made = dyck(small_experiment, {"iid": {}})
    assert proxies_of(made, 1) == ["svd", "kmeans", "one_hot"]
    assert proxies_of(made, 1, fitted=True) == ["svd", "kmeans"]
    assert proxies_of(made, 1, fitted=False) == ["one_hot"]


# Claims 1 to 4


def dyck_rates(agreement: dict, accuracy: dict, model: dict, others: float = 0.97) -> dict:
    """Rates by split of all proxies; where nothing is said they agree and are right at the rate `others`."""
    rates = {}
    for split in (*INSIDE, *UNSEEN):
        of = rates[split] = {(MODEL, "accuracy"): model.get(split, others)}
        for s in (SVD, RANK_4, KMEANS, ONE_HOT, CONTROL):
            of[s, "same_prediction"] = agreement.get((s, split), others)
            of[s, "accuracy"] = accuracy.get((s, split), others)
    return rates


def effects(findings: list[Finding], claim: Claim, begins: str) -> dict[str, tuple[float, str]]:
    """Effect and verdict by the last word of each statement that begins so."""
    of_claim = [f for f in findings if f.claim == claim and f.statement.startswith(begins)]
    return {f.statement.split()[-1]: (round(f.effect.value, 6), f.verdict) for f in of_claim}


@pytest.mark.parametrize(("claim", "s", "label"), [(LESS_FAITHFUL, SVD, "SVD"), (WITHOUT_DATA, ONE_HOT, "one-hot")])
def test_a_gap_is_agreement_in_distribution_less_agreement_elsewhere(small_experiment, claim, s, label):
    agreement = {(s, "iid"): 0.9, (s, "unseen_structure"): 0.7, (s, "unseen_length"): 0.95, (s, "unseen_depth"): 0.5}
    findings = (made := dyck(small_experiment, dyck_rates(agreement, {}, {}))).task.findings(made)
    expected = {"unseen_structure": (0.2, SUPPORTED), "unseen_length": (-0.05, NOT_SUPPORTED), "unseen_depth": (0.4, SUPPORTED)}
    assert effects(findings, claim, label) == expected
    assert claim.verdict(findings) == NOT_SUPPORTED
    other, others = (WITHOUT_DATA, "one-hot") if claim == LESS_FAITHFUL else (LESS_FAITHFUL, "SVD")
    assert {round(value, 6) for value, _ in effects(findings, other, others).values()} == {0}
    assert set(effects(findings, other, label)) == set(), "a proxy joins the claim that is about its kind"


@pytest.mark.parametrize(("rate", "effect", "verdict"), [(0.95, 0.05, SUPPORTED), (0.7, -0.2, NOT_SUPPORTED)])
def test_the_model_generalizes_where_it_is_right_often_enough(small_experiment, rate, effect, verdict):
    made = dyck(small_experiment, dyck_rates({}, {}, {"unseen_depth": rate, "iid": 0.2}))
    assert effects(made.task.findings(made), SYSTEMATIC, "The model") == {f"{ACCURATE:.0%}": (effect, verdict)}


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, NOT_SUPPORTED)])
def test_accuracy_is_lost_against_the_model_and_more_than_elsewhere(small_experiment, sign, verdict):
    """SVD loses 0.01 on iid, gains 0.02 on its control and loses 0.3 at unseen depth; or all the other way round."""
    model = {"iid": 0.6, "iid_matched": 0.5, "unseen_depth": 0.4}
    lost = {"iid": 0.01, "iid_matched": -0.02, "unseen_depth": 0.3}
    accuracy = {(SVD, split): model[split] - sign * lost[split] for split in lost}
    findings = (made := dyck(small_experiment, dyck_rates({}, accuracy, model))).task.findings(made)
    found = effects(findings, SYSTEMATIC, "SVD")
    assert found == {"iid": (round(sign * 0.29, 6), verdict), "iid_matched": (round(sign * 0.32, 6), verdict)}


def test_a_proxy_that_does_not_match_the_model_loses_nothing_that_counts(small_experiment):
    agreement = {(KMEANS, "seen_structure"): 0.89}
    found = (made := dyck(small_experiment, dyck_rates(agreement, {}, {}))).task.findings(made)
    of_kmeans = [f for f in found if f.claim == SYSTEMATIC and f.statement.startswith("k-means")]
    assert [(f.effect, f.reason) for f in of_kmeans] == [(None, "no setting matches the model in distribution")] * 2
    assert SYSTEMATIC.verdict(found) != SUPPORTED


def test_a_proxy_is_better_where_it_is_right_more_often_than_the_model(small_experiment):
    model = {"unseen_length": 0.6, "unseen_depth": 0.5}
    accuracy = {(s, split): rate for s in (SVD, KMEANS) for split, rate in model.items()}
    accuracy |= {(ONE_HOT, "unseen_length"): 0.75, (ONE_HOT, "unseen_depth"): 0.3, (SVD, "unseen_depth"): 0.4}
    findings = (made := dyck(small_experiment, dyck_rates({}, accuracy, model))).task.findings(made)
    assert effects(findings, BETTER, "one-hot") == {"unseen_length": (0.15, SUPPORTED), "unseen_depth": (-0.2, NOT_SUPPORTED)}
    assert effects(findings, BETTER, "SVD") == {"unseen_length": (0, NOT_SUPPORTED), "unseen_depth": (-0.1, NOT_SUPPORTED)}
    assert BETTER.verdict(findings) == SUPPORTED, "one such proxy is enough"


def test_with_two_seeds_no_claim_has_a_verdict_and_each_says_why(small_experiment):
    made = dyck(small_experiment, dyck_rates({}, {}, {}), seeds=2)
    findings = made.task.findings(made)
    assert {finding.claim.number for finding in findings} == {1, 2, 3, 4}
    assert {finding.verdict for finding in findings} == {INCONCLUSIVE}
    assert all("2 seed(s), but a verdict needs 3" in finding.reason for finding in findings)


def test_what_a_claim_lacks_is_said_where_its_effect_would_stand(small_experiment):
    rates = dyck_rates({}, {}, {})
    rates["unseen_length"] = {key: rate for key, rate in rates["unseen_length"].items() if key[0] != SVD}
    findings = (made := dyck(small_experiment, rates)).task.findings(made)
    (lacking,) = [f for f in findings if f.claim == LESS_FAITHFUL and f.statement == f"SVD: {lacking_statement()}"]
    assert (lacking.effect, lacking.verdict) == (None, INCONCLUSIVE)
    assert lacking.reason.startswith("same_prediction of SVD, rank 2, layer 1, was not measured on split 'unseen_length'")


def lacking_statement() -> str:
    return "same prediction as the model more often on iid than on unseen_length"
