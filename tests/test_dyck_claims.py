"""Claims 1 to 4 on measurements with planted effects: every effect has the sign and size of what was planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from planted import study

from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim, Finding, proxies_of, representative
from lib.proxies import MODEL, Simplification
from lib.studies import Study
from lib.tasks.dyck.claims import ACCURATE, BETTER, LESS_FAITHFUL, SYSTEMATIC, UNSEEN, WITHOUT_DATA

SVD, RANK_4 = Simplification("svd", 2, 1), Simplification("svd", 4, 1)
KMEANS, ONE_HOT = Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
CONTROL = Simplification("random_subspace", 2, 1)
SPLITS = ("iid", "seen_structure", "iid_matched", *UNSEEN)
USUAL = 0.97  # where nothing else is planted, all agree with the model, and are right, so often

Planted = Mapping[tuple[Simplification, str], float]  # by simplification and split


@pytest.fixture
def planted(small_experiment) -> Callable[..., Study]:
    """A function that makes a study with planted agreement with the model and accuracy; `model` is its accuracy by split."""
    grid = {"1": {"svd": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2,)}}
    measuring = small_experiment.measuring.model_copy(update={"grid": grid})
    experiment = small_experiment.model_copy(update={"measuring": measuring})

    def make(agreement: Planted | None = None, accuracy: Planted | None = None, model: Mapping | None = None, seeds=3) -> Study:
        rates = {split: {(MODEL, "accuracy"): (model or {}).get(split, USUAL)} for split in SPLITS}
        for split, of in rates.items():
            for s in (SVD, RANK_4, KMEANS, ONE_HOT, CONTROL):
                of[s, "same_prediction"] = (agreement or {}).get((s, split), USUAL)
                of[s, "accuracy"] = (accuracy or {}).get((s, split), USUAL)
        return study(experiment, rates, seeds=seeds)

    return make


def findings_of(study: Study) -> list[Finding]:
    return study.task.findings(study)


def effects(findings: list[Finding], claim: Claim, begins: str) -> dict[str, tuple[float, str]]:
    """Effect and verdict by the last word of each statement that begins so."""
    of_claim = [f for f in findings if f.claim == claim and f.statement.startswith(begins)]
    return {f.statement.split()[-1]: (round(f.effect.value, 6), f.verdict) for f in of_claim}


# Which simplification stands for a proxy


@pytest.mark.parametrize(
    ("rank_2", "rank_4", "chosen"),
    [
        pytest.param(0.95, 0.99, SVD, id="the simplest that is trusted"),
        pytest.param(0.901, 0.99, SVD, id="trusted from 90 % on"),
        pytest.param(0.5, 0.95, RANK_4, id="the only one that is"),
        pytest.param(0.5, 0.6, RANK_4, id="none, so the closest"),
        pytest.param(0.7, 0.6, SVD, id="none, and the closest is simpler"),
    ],
)
def test_the_simplification_that_stands_for_a_proxy_is_chosen_on_a_split_of_its_own(planted, rank_2, rank_4, chosen):
    agreement = {(SVD, "seen_structure"): rank_2, (RANK_4, "seen_structure"): rank_4}
    for split in set(SPLITS) - {"seen_structure"}:  # on which the other one would be chosen
        other = RANK_4 if chosen == SVD else SVD
        agreement |= {(chosen, split): 0.1, (other, split): 0.99}
    made = planted(agreement)
    assert representative(made, 1, "svd") == chosen
    assert representative(made, 1, "weight_svd") is None, "which was not measured"


def test_nothing_is_claimed_about_controls(planted):
    made = planted()
    assert proxies_of(made, 1) == ["svd", "kmeans", "one_hot"]
    assert proxies_of(made, 1, fitted=True) == ["svd", "kmeans"]
    assert proxies_of(made, 1, fitted=False) == ["one_hot"]
    assert not [finding for finding in findings_of(made) if finding.statement.startswith("random subspace")]


# The claims


@pytest.mark.parametrize(
    ("claim", "s", "label", "other", "of_other"),
    [(LESS_FAITHFUL, SVD, "SVD", WITHOUT_DATA, "one-hot"), (WITHOUT_DATA, ONE_HOT, "one-hot", LESS_FAITHFUL, "SVD")],
    ids=["fitted on data", "without data"],
)
def test_a_gap_is_agreement_in_distribution_less_agreement_elsewhere(planted, claim, s, label, other, of_other):
    agreement = {"iid": 0.9, "unseen_structure": 0.7, "unseen_length": 0.95, "unseen_depth": 0.5}
    findings = findings_of(planted({(s, split): rate for split, rate in agreement.items()}))
    assert effects(findings, claim, label) == {
        "unseen_structure": (0.2, SUPPORTED), "unseen_length": (-0.05, NOT_SUPPORTED), "unseen_depth": (0.4, SUPPORTED),
    }  # fmt: skip
    assert claim.verdict(findings) == NOT_SUPPORTED, "one of its statements is"
    assert {value for value, _ in effects(findings, other, of_other).values()} == {0}, "nothing was planted there"
    assert effects(findings, other, label) == {}, "a proxy joins only the claim that is about its kind"


@pytest.mark.parametrize(("rate", "effect", "verdict"), [(0.95, 0.05, SUPPORTED), (0.7, -0.2, NOT_SUPPORTED)])
def test_the_model_generalizes_where_it_is_right_often_enough(planted, rate, effect, verdict):
    findings = findings_of(planted(model={"unseen_depth": rate, "iid": 0.2}))
    assert effects(findings, SYSTEMATIC, "The model") == {f"{ACCURATE:.0%}": (effect, verdict)}


@pytest.mark.parametrize(("sign", "verdict"), [(1, SUPPORTED), (-1, NOT_SUPPORTED)])
def test_accuracy_is_lost_against_the_model_and_more_than_elsewhere(planted, sign, verdict):
    """SVD loses 0.01 on iid, gains 0.02 on its control and loses 0.3 at unseen depth; or all the other way round."""
    model = {"iid": 0.6, "iid_matched": 0.5, "unseen_depth": 0.4}
    lost = {"iid": 0.01, "iid_matched": -0.02, "unseen_depth": 0.3}
    findings = findings_of(planted(accuracy={(SVD, x): model[x] - sign * lost[x] for x in lost}, model=model))
    expected = {"iid": (round(sign * 0.29, 6), verdict), "iid_matched": (round(sign * 0.32, 6), verdict)}
    assert effects(findings, SYSTEMATIC, "SVD") == expected


def test_a_proxy_that_does_not_match_the_model_loses_nothing_that_counts(planted):
    findings = findings_of(planted({(KMEANS, "seen_structure"): 0.89}))
    of_kmeans = [f for f in findings if f.claim == SYSTEMATIC and f.statement.startswith("k-means")]
    assert [(f.effect, f.reason) for f in of_kmeans] == [(None, "no setting matches the model in distribution")] * 2


def test_a_proxy_is_better_where_it_is_right_more_often_than_the_model(planted):
    model = {"unseen_length": 0.6, "unseen_depth": 0.5}
    accuracy = {(s, split): rate for s in (SVD, KMEANS) for split, rate in model.items()}
    accuracy |= {(ONE_HOT, "unseen_length"): 0.75, (ONE_HOT, "unseen_depth"): 0.3, (SVD, "unseen_depth"): 0.4}
    findings = findings_of(planted(accuracy=accuracy, model=model))
    assert effects(findings, BETTER, "one-hot") == {"unseen_length": (0.15, SUPPORTED), "unseen_depth": (-0.2, NOT_SUPPORTED)}
    assert effects(findings, BETTER, "SVD") == {"unseen_length": (0, NOT_SUPPORTED), "unseen_depth": (-0.1, NOT_SUPPORTED)}
    assert BETTER.verdict(findings) == SUPPORTED, "one such proxy is enough"


def test_with_two_seeds_no_claim_has_a_verdict_and_each_says_why(planted):
    findings = findings_of(planted(seeds=2))
    assert {finding.claim.number for finding in findings} == {1, 2, 3, 4}
    assert {finding.verdict for finding in findings} == {INCONCLUSIVE}
    assert all("2 seed(s), but a verdict needs 3" in finding.reason for finding in findings)


def test_a_finding_says_which_simplification_it_is_about_and_how_faithful_that_is(planted):
    findings = findings_of(planted({(SVD, "seen_structure"): 0.5}))
    of_svd = [finding for finding in findings if finding.statement.startswith("SVD")]
    assert {finding.reason for finding in of_svd} == {"SVD, rank 4; 97 % agreement on seen_structure"}


def test_what_a_claim_lacks_is_said_where_its_effect_would_stand(planted):
    made = planted()
    for seed in range(3):
        (block,) = [block for block in made.estimates.blocks(seed) if block.split == "unseen_length"]
        del block.sums[SVD, "same_prediction"]
    lacking = [f for f in findings_of(made) if f.effect is None]
    assert [f.statement for f in lacking] == ["SVD: same prediction as the model more often on iid than on unseen_length"]
    assert lacking[0].reason.startswith("same_prediction of SVD, rank 2, layer 1, was not measured on split 'unseen_length'")
    assert lacking[0].verdict == INCONCLUSIVE
