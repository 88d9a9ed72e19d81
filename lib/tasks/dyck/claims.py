"""What is claimed about Dyck models: claims 1 to 4 of `lib/rules.toml`, as effects."""

from __future__ import annotations

from lib.claims import Cell, cells_of
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate
from lib.proxies import MODEL, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Reference

LAYER = 1  # where the matching bracket is looked up


def findings(study: Study) -> list[Cell]:
    """Claims 1 to 4, tested on a Dyck study."""
    return [
        *cells_of(study, RULES.claim(1), LAYER),
        *cells_of(study, RULES.claim(2), LAYER, accuracy_lost),
        *cells_of(study, RULES.claim(3), LAYER, better, against="its model"),
        *cells_of(study, RULES.claim(4), LAYER),
    ]


def accuracy_lost(estimates: Estimates, s: Simplification, split: str, reference: Reference) -> Estimate:
    """How much more accuracy a simplification costs on a split than on its reference."""
    of_proxy, of_model = (
        estimates.matched_gap(which, split, reference.split, reference.covariates, measure="accuracy") for which in (s, MODEL)
    )
    return of_proxy - of_model


def better(estimates: Estimates, s: Simplification, split: str, reference: Reference) -> Estimate:
    """How much more accurate a simplification is than its model on a split; a reference has no part in it."""
    return estimates.compare_with_model(s, split)
