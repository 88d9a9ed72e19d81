"""What is claimed about Dyck models: claims 1 to 4. Every proxy that is no control joins those that are about its kind."""

from __future__ import annotations

from lib.claims import FAITHFUL, Claim, Finding, agreement_in_distribution, conclude, proxies_of, representative, test
from lib.measuring.intervals import Estimate
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study

LAYER = 1  # where the matching bracket is looked up
ACCURATE = 0.9  # a convention: a model that generalizes to deeper sentences closes so many of their brackets correctly
UNSEEN = ("unseen_structure", "unseen_length", "unseen_depth")
LESS_FAITHFUL = Claim(1, f"Proxies of layer {LAYER} are more faithful in distribution than on unseen structure, length, depth")
SYSTEMATIC = Claim(2, "The model generalizes systematically to unseen depth where proxies that match it in distribution fail")
BETTER = Claim(3, "There are proxies that generalize better than the model that they simplify", existence=True)
WITHOUT_DATA = Claim(4, "Simplifications that use no data show gaps too")


def findings(study: Study) -> list[Finding]:
    """Claims 1 to 4, tested on a Dyck study."""
    return [*_gaps(study, LESS_FAITHFUL, fitted=True), *_systematic(study), *_better(study), *_gaps(study, WITHOUT_DATA, False)]


def _gaps(study: Study, claim: Claim, fitted: bool) -> list[Finding]:
    """Claims 1 and 4: gaps of proxies that are fitted on data, and of those that are not."""
    return [
        test(
            study,
            claim,
            f"{PROXIES[proxy].label}: same prediction as the model more often on iid than on {split}",
            representative(study, LAYER, proxy),
            lambda s, x=split: study.estimates.gap(s, x, "iid"),
        )
        for proxy in proxies_of(study, LAYER, fitted)
        for split in UNSEEN
    ]


def _systematic(study: Study) -> list[Finding]:
    """Claim 2: the model's accuracy at unseen depth, and how much more of it proxies lose there than elsewhere."""
    accuracy = study.estimates.estimate(MODEL, "unseen_depth", "accuracy").minus(ACCURATE)
    found = [conclude(SYSTEMATIC, f"The model's accuracy on unseen_depth is above {ACCURATE:.0%}", accuracy)]
    for proxy in proxies_of(study, LAYER, fitted=True):
        simplification = representative(study, LAYER, proxy)
        for reference in ("iid", "iid_matched"):
            statement = f"{PROXIES[proxy].label}: less accurate than the model on unseen_depth by more than on {reference}"
            if agreement_in_distribution(study, simplification) < FAITHFUL:
                found.append(Finding(SYSTEMATIC, statement, None, "no setting matches the model in distribution"))
            else:
                effect = lambda s, x=reference: accuracy_lost(study, s, x)  # noqa: E731
                found.append(test(study, SYSTEMATIC, statement, simplification, effect))
    return found


def accuracy_lost(study: Study, simplification: Simplification, reference: str) -> Estimate:
    """How much more accuracy a simplification costs on unseen_depth than on a reference split."""
    compare = study.estimates.compare_with_model
    return compare(simplification, reference) - compare(simplification, "unseen_depth")


def _better(study: Study) -> list[Finding]:
    """Claim 3: proxies that are more accurate than their model."""
    return [
        test(
            study,
            BETTER,
            f"{PROXIES[proxy].label}: more accurate than the model on {split}",
            representative(study, LAYER, proxy),
            lambda s, x=split: study.estimates.compare_with_model(s, x),
        )
        for proxy in proxies_of(study, LAYER)
        for split in ("unseen_length", "unseen_depth")
    ]
