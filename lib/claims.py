"""The claims of the study, each tested as stated: an effect, its 95 % interval, a verdict. Nothing here is typed in.

Which proxy stands for its kind is decided *in distribution* and before any other split is looked at: the simplest one
that makes the model's prediction in at least `FAITHFUL` of cases, or the most faithful one if none does. So a claim cannot be
won by choosing among proxies after the fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from lib.errors import InputError
from lib.intervals import Estimate
from lib.proxies import Setting
from lib.runs import Study

FAITHFUL = 0.9  # agreement with the model in distribution from which on a simplification would be trusted
FEWEST_SEEDS = 2  # below it an interval says nothing about another training run, and there is no verdict
LAYER = 1  # the second layer, where the matching bracket is looked up

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"


@dataclass(frozen=True)
class Finding:
    """One tested statement."""

    claim: int  # the number of the claim that it belongs to
    statement: str
    effect: Estimate | None  # in percentage points; above 0 is what the statement says
    reason: str = ""  # why there is no verdict, or what to know about it

    @property
    def verdict(self) -> str:
        """`supported` if the interval lies above zero, `not supported` if below or at most zero, else `inconclusive`."""
        if self.effect is None or self.effect.seeds < FEWEST_SEEDS or np.isnan(self.effect.value):
            return INCONCLUSIVE
        low, high = self.effect.interval
        return SUPPORTED if low > 0 else NOT_SUPPORTED if high <= 0 else INCONCLUSIVE

    def to_json(self) -> dict:
        """The finding as plain values; effect and interval in percentage points, null where there are none."""
        measured = self.effect is not None and not np.isnan(self.effect.value)
        return {
            "claim": self.claim,
            "statement": self.statement,
            "effect": self.effect.value if measured else None,
            "interval": list(self.effect.interval) if measured else None,
            "seeds": self.effect.seeds if measured else 0,
            "verdict": self.verdict,
            "reason": self.reason,
        }


CLAIMS = {
    1: "In distribution the second-layer proxies are more faithful than on unseen structure, length and depth",
    2: "The model generalizes to unseen depth where proxies that match it in distribution fail",
    3: "There are proxies that generalize better than the model that they simplify",
    4: "Simplifications that use no data show gaps too",
}


def dyck_findings(study: Study) -> list[Finding]:
    """Claims 1 to 4, tested on a Dyck study."""
    test = _Test(study)
    svd, kmeans, weights = (test.representative(proxy) for proxy in ("svd", "kmeans", "weight_svd"))
    one_hot = Setting("one_hot", None, LAYER)
    findings = []
    for name, setting in (("SVD", svd), ("k-means", kmeans)):
        for split in ("unseen_structure", "unseen_length", "unseen_depth"):
            statement = f"{name}: same prediction as the model more often on iid than on {split}"
            findings.append(test.finding(1, statement, setting, lambda s, split=split: study.bootstrap.gap(s, split)))
    findings.append(test.finding(2, "The model's accuracy on unseen_depth is above 90 %", svd, test.model_above(0.9)))
    for name, setting in (("SVD", svd), ("k-means", kmeans)):
        statement = f"{name}: less accurate than the model on unseen_depth by more than on iid"
        findings.append(test.finding(2, statement, setting, test.accuracy_lost))
    for name, setting in (("one-hot", one_hot), ("SVD", svd)):
        for split in ("unseen_length", "unseen_depth"):
            statement = f"{name}: more accurate than the model on {split}"
            findings.append(test.finding(3, statement, setting, lambda s, x=split: study.bootstrap.compare_with_model(s, x)))
    for name, setting in (("one-hot", one_hot), ("SVD of the weights", weights)):
        for split in ("unseen_length", "unseen_depth"):
            statement = f"{name}: same prediction as the model more often on iid than on {split}"
            findings.append(test.finding(4, statement, setting, lambda s, split=split: study.bootstrap.gap(s, split)))
    return findings


class _Test:
    """What the claims are computed from."""

    def __init__(self, study: Study):
        self.study = study

    def representative(self, proxy: str) -> Setting | None:
        """The simplest setting of a proxy that is faithful in distribution, else the most faithful; None if not measured."""
        family = [s for s in self.study.settings(LAYER) if s.proxy == proxy]
        agreement = {s: self.study.bootstrap.estimate(s, "iid", "same_prediction").value for s in family}
        faithful = [s for s in family if agreement[s] >= FAITHFUL]
        if faithful:
            return min(faithful, key=lambda s: s.complexity or 0)
        return max(family, key=agreement.get, default=None)

    def finding(self, claim: int, statement: str, setting: Setting | None, effect) -> Finding:
        """The finding of `effect(setting)`, or an inconclusive one that says why."""
        if setting is None:
            return Finding(claim, statement, None, "no such proxy was measured at this preset")
        try:
            estimate = effect(setting).scaled(100)
        except InputError as error:
            return Finding(claim, statement, None, str(error))
        reasons = [f"{setting.proxy} {setting.complexity}" if setting.complexity else setting.proxy]
        agreement = self.study.bootstrap.estimate(setting, "iid", "same_prediction").value
        reasons.append(f"{agreement:.0%} agreement on iid")
        if estimate.seeds < FEWEST_SEEDS:
            reasons.append(f"{estimate.seeds} seed(s), but a verdict needs {FEWEST_SEEDS}")
        elif np.isnan(estimate.value):
            reasons.append("no position was scored")
        return Finding(claim, statement, estimate, "; ".join(reasons))

    def model_above(self, level: float):
        """The model's accuracy on unseen_depth, minus a level."""
        return lambda setting: self.study.bootstrap.estimate(setting, "unseen_depth", "original_accuracy").minus(level)

    def accuracy_lost(self, setting: Setting) -> Estimate:
        """How much more accuracy the proxy costs on unseen_depth than on iid."""
        compare = self.study.bootstrap.compare_with_model
        return compare(setting, "iid") - compare(setting, "unseen_depth")


def table(findings: Sequence[Finding]) -> str:
    """The findings as readable text, grouped by claim."""
    lines = []
    for number, claim in CLAIMS.items():
        of_claim = [finding for finding in findings if finding.claim == number]
        if of_claim:
            lines += ["", f"{number}. {claim}"]
        for finding in of_claim:
            effect = "not measured" if finding.effect is None else f"{finding.effect:+.1f}"
            lines.append(f"   {finding.verdict:<14} {effect:<24} {finding.statement}")
            if finding.reason:
                lines.append(f"   {'':<39} ({finding.reason})")
    return "\n".join(lines).lstrip("\n")


def to_html(findings: Sequence[Finding]) -> str:
    """The findings as an HTML table, grouped by claim."""

    def row(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align: left">{cell}</{tag}>' for cell in cells) + "</tr>"

    rows = []
    for number, claim in CLAIMS.items():
        rows.append(f'<tr><th colspan="3" style="text-align: left">{number}. {escape(claim)}</th></tr>')
        for finding in (f for f in findings if f.claim == number):
            effect = "not measured" if finding.effect is None else f"{finding.effect:+.1f}"
            statement = f"{escape(finding.statement)}<br><small>{escape(finding.reason)}</small>"
            rows.append(row((f"<b>{finding.verdict}</b>", effect, statement)))
    head = row(("verdict", "effect, points", "statement"), "th")
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
