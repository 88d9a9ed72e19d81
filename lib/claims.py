"""Claims, each tested as stated: an effect, its 95 % interval, a verdict. What is claimed stands with the tasks.

Which simplification stands for a proxy is decided on a split that no claim is tested on, `Task.chosen_on`, before another split
is looked at: the simplest one that makes the model's prediction there in at least `FAITHFUL` of cases, or the most faithful one
if none does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from lib.errors import InputError
from lib.measuring.intervals import Estimate
from lib.prose import NOT_MEASURED, points
from lib.proxies import PROXIES, Simplification
from lib.studies import Study

FAITHFUL = 0.9  # agreement with the model in distribution from which on a simplification would be trusted
FEWEST_SEEDS = 3  # with fewer an interval says next to nothing about another training run, and there is no verdict
SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE = "supported", "not supported", "inconclusive"


@dataclass(frozen=True)
class Claim:
    """What is claimed. It holds if all its statements do; an existence claim, if one does."""

    number: int
    text: str
    existence: bool = False

    def verdict(self, findings: Sequence[Finding]) -> str:
        """The verdict on the claim from those on its statements."""
        found = [finding.verdict for finding in findings if finding.claim == self]
        enough, all_needed = (SUPPORTED, NOT_SUPPORTED) if self.existence else (NOT_SUPPORTED, SUPPORTED)
        if enough in found:
            return enough
        return all_needed if found and set(found) == {all_needed} else INCONCLUSIVE


@dataclass(frozen=True)
class Finding:
    """One tested statement."""

    claim: Claim
    statement: str
    effect: Estimate | None  # a share; above 0 is what the statement says
    reason: str = ""  # why there is no verdict, or what to know about it

    @property
    def verdict(self) -> str:
        """`supported` if the interval lies above zero, `not supported` if below or at most zero, else `inconclusive`."""
        if self.effect is None or not self.effect.measured or self.effect.seeds < FEWEST_SEEDS:
            return INCONCLUSIVE
        low, high = self.effect.interval
        return SUPPORTED if low > 0 else NOT_SUPPORTED if high <= 0 else INCONCLUSIVE

    @property
    def shown_effect(self) -> str:
        """The effect in percentage points with its interval."""
        return NOT_MEASURED if self.effect is None else points(self.effect, sign=True)

    def plain(self) -> dict:
        """The finding as values that JSON has; effect and interval in percentage points, null where there are none."""
        effect = self.effect.scaled(100) if self.effect is not None and self.effect.measured else None
        return {
            "claim": self.claim.number,
            "statement": self.statement,
            "effect": effect and effect.value,
            "interval": effect and list(effect.interval),
            "seeds": effect.seeds if effect else 0,
            "verdict": self.verdict,
            "reason": self.reason,
        }


def representative(study: Study, layer: int, proxy: str) -> Simplification | None:
    """The simplest measured complexity of a proxy that would be trusted from how it does on `Task.chosen_on`, else the closest.

    None if no such proxy was measured.
    """
    family = study.family(proxy, layer)
    agreement = {s: agreement_in_distribution(study, s) for s in family}
    trusted = [s for s, value in agreement.items() if value >= FAITHFUL]
    if trusted:
        return min(trusted, key=lambda s: s.complexity or 0)
    return max(agreement, key=agreement.get, default=None)


def agreement_in_distribution(study: Study, simplification: Simplification) -> float:
    """How often a simplification makes the model's prediction on the split that simplifications are chosen on."""
    return study.estimates.estimate(simplification, study.task.chosen_on, "same_prediction").value


def proxies_of(study: Study, layer: int, fitted: bool | None = None) -> list[str]:
    """The proxies that were measured in a layer and about which something is claimed; `fitted`: (only not) those on data."""
    measured = dict.fromkeys(s.proxy for s in study.simplifications(layer))
    return [p for p in measured if not PROXIES[p].control and fitted in (None, PROXIES[p].fitted)]


def test(
    study: Study, claim: Claim, statement: str, simplification: Simplification, effect: Callable[[Simplification], Estimate]
) -> Finding:
    """The finding of `effect(simplification)`, or an inconclusive one that says why there is none."""
    agreement = agreement_in_distribution(study, simplification)
    what = f"{simplification.label}; {100 * agreement:.0f} % agreement on {study.task.chosen_on}"
    try:
        return conclude(claim, statement, effect(simplification), what)
    except InputError as error:
        return Finding(claim, statement, None, str(error))


def conclude(claim: Claim, statement: str, effect: Estimate, reason: str = "") -> Finding:
    """A finding that says where data are too few for a verdict."""
    reasons = [reason] if reason else []
    if not effect.measured:
        reasons.append("no position was scored")
    elif effect.seeds < FEWEST_SEEDS:
        reasons.append(f"{effect.seeds} seed(s), but a verdict needs {FEWEST_SEEDS}")
    return Finding(claim, statement, effect, "; ".join(reasons))


def by_claim(findings: Sequence[Finding]) -> dict[Claim, list[Finding]]:
    """Findings grouped by their claim, in the claims' order."""
    claims = sorted({finding.claim for finding in findings}, key=lambda claim: claim.number)
    return {claim: [finding for finding in findings if finding.claim == claim] for claim in claims}


def to_text(findings: Sequence[Finding]) -> str:
    """The findings as readable text, grouped by claim."""
    lines = []
    for claim, found in by_claim(findings).items():
        lines += ["", f"{claim.number}. {claim.text}: {claim.verdict(found).upper()}"]
        for finding in found:
            lines.append(f"   {finding.verdict:<14} {finding.shown_effect:<24} {finding.statement}")
            if finding.reason:
                lines.append(f"   {'':<39} ({finding.reason})")
    return "\n".join(lines).lstrip("\n")


def to_html(findings: Sequence[Finding]) -> str:
    """The findings as an HTML table, grouped by claim."""

    def row(cells: Sequence[str], tag: str = "td") -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align: left">{cell}</{tag}>' for cell in cells) + "</tr>"

    rows = []
    for claim, found in by_claim(findings).items():
        title = f"{claim.number}. {escape(claim.text)}: {claim.verdict(found)}"
        rows.append(f'<tr><th colspan="3" style="text-align: left">{title}</th></tr>')
        for finding in found:
            statement = f"{escape(finding.statement)}<br><small>{escape(finding.reason)}</small>"
            rows.append(row((f"<b>{finding.verdict}</b>", finding.shown_effect, statement)))
    head = row(("verdict", "effect, points", "statement"), "th")
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
