"""The claims of the study, each tested as stated: an effect, its 95 % interval, a verdict. Nothing here is typed in.

Which proxy stands for its kind is decided on a split that no claim is tested on (`seen_structure`; for code `seen_package`),
before another split is looked at: the simplest one that makes the model's prediction there in at least `FAITHFUL` of cases, or
the most faithful one if none does. Claims 2 to 4 are about proxies that match the model in distribution, and are not tested
on one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from lib.code.languages import CLASSES, LANGUAGES, NEW, REPEATED
from lib.code.splits import CodeConfig
from lib.code_analysis import INDUCTION, copying_heads, pooled_heads
from lib.errors import InputError
from lib.intervals import Bootstrap, Estimate, mean_of
from lib.proxies import Setting
from lib.runs import Study

FAITHFUL = 0.9  # agreement with the model in distribution from which on a simplification would be trusted
FEWEST_SEEDS = 3  # with fewer an interval says next to nothing about another training run, and there is no verdict
ACCURATE = 0.9  # a convention: a model that generalizes to deeper sentences closes so many of their brackets correctly
LAYER = 1  # of Dyck models: the second, where the matching bracket is looked up
FEWEST_CHARACTERS = 100  # a kind of character needs so many predictions to be compared with others

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
    2: "The model generalizes systematically to unseen depth where proxies that match it in distribution fail",
    3: "There are proxies that generalize better than the model that they simplify",
    4: "Simplifications that use no data show gaps too",
    5: "Code: proxies are more faithful on the training language than on others, and a shift of domain alone does not do it",
    6: "Code: the gap depends on what is predicted: on the kind of character, on repeated words, in heads that do induction",
}
ANY = {3}  # the claim holds if one of its statements does; of the others, all must hold
UNSEEN = ("unseen_structure", "unseen_length", "unseen_depth")


def verdict(claim: int, findings: Sequence[Finding]) -> str:
    """The verdict on a whole claim from those on its statements."""
    found = [finding.verdict for finding in findings if finding.claim == claim]
    enough, too_few = (SUPPORTED, NOT_SUPPORTED) if claim in ANY else (NOT_SUPPORTED, SUPPORTED)
    if enough in found:
        return enough
    return too_few if found and set(found) == {too_few} else INCONCLUSIVE


def findings_of(study: Study) -> list[Finding]:
    """The claims that a study's task is about, tested on it."""
    return code_findings(study) if isinstance(study.config.data, CodeConfig) else dyck_findings(study)


def dyck_findings(study: Study) -> list[Finding]:
    """Claims 1 to 4, tested on a Dyck study."""
    test, bootstrap = _Test(study, LAYER, "seen_structure"), study.bootstrap
    svd, kmeans, weights = (test.representative(proxy) for proxy in ("svd", "kmeans", "weight_svd"))
    one_hot = Setting("one_hot", None, LAYER)
    findings = []
    for name, setting in (("SVD", svd), ("k-means", kmeans)):
        for split in UNSEEN:
            statement = f"{name}: same prediction as the model more often on iid than on {split}"
            findings.append(test.finding(1, statement, setting, lambda s, x=split: bootstrap.gap(s, x)))
    accuracy = bootstrap.estimate(one_hot, "unseen_depth", "original_accuracy").minus(ACCURATE).scaled(100)
    findings.append(test.conclude(2, f"The model's accuracy on unseen_depth is above {ACCURATE:.0%}", accuracy, []))
    for name, setting in (("SVD", svd), ("k-means", kmeans)):
        for reference in ("iid", "iid_matched"):
            statement = f"{name}: less accurate than the model on unseen_depth by more than on {reference}"
            if setting is not None and not test.matches(setting):
                findings.append(Finding(2, statement, None, "no setting matches the model in distribution"))
            else:
                findings.append(test.finding(2, statement, setting, lambda s, x=reference: test.accuracy_lost(s, x)))
    for name, setting in (("one-hot", one_hot), ("SVD", svd)):
        for split in ("unseen_length", "unseen_depth"):
            statement = f"{name}: more accurate than the model on {split}"
            findings.append(test.finding(3, statement, setting, lambda s, x=split: bootstrap.compare_with_model(s, x)))
    for name, setting in (("one-hot", one_hot), ("SVD of the weights", weights)):
        for split in UNSEEN:
            statement = f"{name}: same prediction as the model more often on iid than on {split}"
            findings.append(test.finding(4, statement, setting, lambda s, x=split: bootstrap.gap(s, x)))
    return findings


def code_findings(study: Study) -> list[Finding]:
    """Claims 5 and 6, tested on a study of code."""
    test = _Test(study, -1, "seen_package")
    proxies = (("SVD", test.representative("svd")), ("k-means", test.representative("kmeans")))
    return [*_language_findings(test, proxies), *_prediction_findings(test, proxies)]


def _language_findings(test: _Test, proxies: Sequence[tuple[str, Setting | None]]) -> list[Finding]:
    """Claim 5: the gap to each further language, and on HumanEval-X the gap between languages against that between domains."""
    bootstrap, own = test.study.bootstrap, test.study.config.data.language
    findings = []
    for name, setting in proxies:
        for split in unseen_languages(test.study):
            statement = f"{name}: same prediction as the model more often on id than on {LANGUAGES[split].title}"
            findings.append(test.finding(5, statement, setting, lambda s, x=split: bootstrap.gap(s, x, reference="id")))
        here = f"humaneval_x/{own}"
        others = [split for split in test.study.splits if split.startswith("humaneval_x/") and split != here]

        def language(s: Setting, here=here, others=others) -> Estimate:
            return mean_of([bootstrap.gap(s, split, reference=here) for split in others])

        def language_less_domain(s: Setting, here=here, language=language) -> Estimate:
            return language(s) - bootstrap.gap(s, here, reference="id").at_least(0)

        statement = f"{name}: on HumanEval-X, another language costs more agreement than the new domain"
        if here in test.study.splits and others:
            findings.append(test.finding(5, statement, setting, language_less_domain))
        else:
            reason = "HumanEval-X is not at hand in the training language: set LIB_HUMANEVAL_X to its folder"
            findings.append(Finding(5, statement, None, reason))
    return findings


def _prediction_findings(test: _Test, proxies: Sequence[tuple[str, Setting | None]]) -> list[Finding]:
    """Claim 6: by kind of character, by whether a word is repeated, and by what the simplified head does."""
    study, languages = test.study, unseen_languages(test.study)
    findings = []
    for name, setting in proxies:
        first, *others = languages
        statement = f"{name}: the kinds of characters whose gaps differ most on {LANGUAGES[first].title} differ elsewhere too"
        findings.append(test.finding(6, statement, setting, lambda s, x=first, y=others: _class_contrast(study, s, x, y)))
        statement = f"{name}: a larger gap on later characters of repeated words than of new words"
        repeated, new = CLASSES[REPEATED], CLASSES[NEW]
        findings.append(
            test.finding(
                6,
                statement,
                setting,
                lambda s, r=repeated, n=new: class_gap(study, s, languages, r) - class_gap(study, s, languages, n),
            )
        )
    heads = [copying_heads(run) for run in study.runs]
    for name, proxy in (("SVD", "svd"), ("One-hot", "one_hot")):
        setting = Setting(proxy, study.config.study.each_head[proxy][0])
        statement = f"{name} in single heads: on repeated words, a larger gap in induction heads than in others"
        best = min(float(of_seed["induction"].max()) for of_seed in heads)
        if best < INDUCTION:
            reason = (
                f"in one of the models no head does induction: its highest score is {best:.3f}, and {INDUCTION} is asked for"
            )
            findings.append(Finding(6, statement, None, reason))
            continue
        pooled = study.bootstrap_of(pooled_heads(run, setting, of_seed) for run, of_seed in zip(study.runs, heads, strict=True))
        gaps = [
            mean_of([_gap_on(pooled, replace(setting, head=group), language, CLASSES[REPEATED]) for language in languages])
            for group in (1, 0)
        ]
        reasons = [f"{proxy} {setting.complexity or ''}".strip(), f"induction heads: induction score at least {INDUCTION}"]
        findings.append(test.conclude(6, statement, (gaps[0] - gaps[1]).scaled(100), reasons))
    return findings


def unseen_languages(study: Study) -> list[str]:
    """The splits of a code study that are programming languages other than that of training."""
    return [split for split in study.splits if split in LANGUAGES]


def class_gap(study: Study, setting: Setting, languages: Sequence[str], kind: str) -> Estimate:
    """The gap from `id` on one kind of character, mean over languages."""
    return mean_of([_gap_on(study.bootstrap, setting, language, kind) for language in languages])


def _gap_on(bootstrap: Bootstrap, setting: Setting, split: str, kind: str, reference: str = "id") -> Estimate:
    within, out = (bootstrap.estimate(setting, s, "same_prediction", "character", kind) for s in (reference, split))
    return within - out


def _class_contrast(study: Study, setting: Setting, first: str, others: Sequence[str]) -> Estimate:
    """Which kinds of characters differ most is settled on other text: between `seen_package` and one language."""
    if not others:
        raise InputError("only one further language was measured, and this needs a second: use a corpus with more languages")
    positions = {
        kind: min(study.bootstrap.estimate(setting, s, "accuracy", "character", kind).positions for s in ("id", first, *others))
        for kind in CLASSES
    }
    gaps = {
        kind: _gap_on(study.bootstrap, setting, first, kind, reference="seen_package").value
        for kind in CLASSES
        if positions[kind] >= FEWEST_CHARACTERS
    }
    if len(gaps) < 2:
        raise InputError(f"fewer than two kinds of characters have {FEWEST_CHARACTERS} predictions everywhere: measure more")
    largest, smallest = max(gaps, key=gaps.get), min(gaps, key=gaps.get)
    return class_gap(study, setting, others, largest) - class_gap(study, setting, others, smallest)


def representative(study: Study, layer: int, chosen_on: str, proxy: str) -> Setting | None:
    """The simplest setting of a proxy trusted from how it does on `chosen_on`, else the closest; None if none was measured."""
    agreement = {
        setting: study.bootstrap.estimate(setting, chosen_on, "same_prediction").value
        for setting in study.settings(layer)
        if setting.proxy == proxy
    }
    trusted = [setting for setting, value in agreement.items() if value >= FAITHFUL]
    if trusted:
        return min(trusted, key=lambda setting: setting.complexity or 0)
    return max(agreement, key=agreement.get, default=None)


class _Test:
    """What the claims are computed from: a study, the layer that is simplified, the split that settings are chosen on."""

    def __init__(self, study: Study, layer: int, chosen_on: str):
        self.study, self.layer, self.chosen_on = study, layer, chosen_on

    def agreement(self, setting: Setting) -> float:
        """How often the setting makes the model's prediction in distribution, on the split that settings are chosen on."""
        return self.study.bootstrap.estimate(setting, self.chosen_on, "same_prediction").value

    def matches(self, setting: Setting) -> bool:
        """Whether a setting would be trusted from how it does in distribution."""
        return self.agreement(setting) >= FAITHFUL

    def representative(self, proxy: str) -> Setting | None:
        """The setting that stands for a proxy."""
        return representative(self.study, self.layer, self.chosen_on, proxy)

    def finding(self, claim: int, statement: str, setting: Setting | None, effect: Callable[[Setting], Estimate]) -> Finding:
        """The finding of `effect(setting)`, or an inconclusive one that says why."""
        if setting is None:
            return Finding(claim, statement, None, "no such proxy was measured at this preset")
        name = f"{setting.proxy} {setting.complexity}" if setting.complexity else setting.proxy
        reasons = [name, f"{self.agreement(setting):.0%} agreement in distribution"]
        try:
            return self.conclude(claim, statement, effect(setting).scaled(100), reasons)
        except InputError as error:
            return Finding(claim, statement, None, str(error))

    def conclude(self, claim: int, statement: str, effect: Estimate, reasons: list[str]) -> Finding:
        """A finding that says where data are too few for a verdict."""
        if np.isnan(effect.value):
            reasons = [*reasons, "no position was scored"]
        elif effect.seeds < FEWEST_SEEDS:
            reasons = [*reasons, f"{effect.seeds} seed(s), but a verdict needs {FEWEST_SEEDS}"]
        return Finding(claim, statement, effect, "; ".join(reasons))

    def accuracy_lost(self, setting: Setting, reference: str) -> Estimate:
        """How much more accuracy the proxy costs on unseen_depth than on a reference split."""
        compare = self.study.bootstrap.compare_with_model
        return compare(setting, reference) - compare(setting, "unseen_depth")


def table(findings: Sequence[Finding]) -> str:
    """The findings as readable text, grouped by claim."""
    lines = []
    for number, claim in CLAIMS.items():
        of_claim = [finding for finding in findings if finding.claim == number]
        if of_claim:
            lines += ["", f"{number}. {claim}: {verdict(number, findings).upper()}"]
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
    for number in sorted({finding.claim for finding in findings}):
        claim = CLAIMS[number]
        rows.append(
            f'<tr><th colspan="3" style="text-align: left">{number}. {escape(claim)}: {verdict(number, findings)}</th></tr>'
        )
        for finding in (f for f in findings if f.claim == number):
            effect = "not measured" if finding.effect is None else f"{finding.effect:+.1f}"
            statement = f"{escape(finding.statement)}<br><small>{escape(finding.reason)}</small>"
            rows.append(row((f"<b>{finding.verdict}</b>", effect, statement)))
    head = row(("verdict", "effect, points", "statement"), "th")
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
