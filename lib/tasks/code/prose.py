"""What the chapter on code says, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Mapping

from lib.measuring.intervals import Estimate
from lib.prose import begin, in_percent, in_points, names, paragraph, points, tell


def learned(languages: str, inside: Estimate, better: Estimate, outside: Estimate, better_outside: Estimate) -> str:
    """How often the model is right on `id` and elsewhere, and how much more often than an n-gram model."""
    verdict = tell(
        better,
        above="So in distribution it is right more often than local statistics are.",
        below="So it is right less often than the n-gram model: read its gaps as a demonstration.",
        unclear="So it is about as often right as local statistics are.",
        missing="",
    )
    return paragraph(
        f"In distribution (`id`) the model predicts {in_percent(inside, True)} of characters, "
        f"{in_points(better, 'percentage points', sign=True)} against the n-gram model; in languages that it never saw "
        f"({languages}) {in_percent(outside, True)} on average, {in_points(better_outside, sign=True)} against the n-gram "
        f"model.",
        verdict,
    )


def faithful_sentence(label: str, inside: Estimate, gap: Estimate) -> str:
    """How faithful a proxy is, and whether less so elsewhere."""
    verdict = tell(
        gap,
        above=f"{points(gap)} percentage points less in other languages",
        below=f"{points(gap.scaled(-1))} percentage points more in other languages",
        unclear=f"and in other languages no more and no less that could be told ({points(gap)} points)",
        missing="and was not measured elsewhere",
    )
    return (
        f"{begin(label)} in every head agrees with the model on {in_percent(inside)} of characters in distribution, {verdict}."
    )


def domain_sentence(label: str, own: str, domain: Estimate, language: Estimate, problems: int) -> str:
    """What a new domain and what another language cost, on HumanEval-X."""
    return paragraph(
        f"From `id` to HumanEval-X in {own}, {label} loses {in_points(domain)} of agreement (below zero: it gains); from "
        f"there to the same functions in other languages it loses {in_points(language)}. "
        f"({problems} problems whose function is usable in every language.)"
    )


def words_sentence(label: str, repeated: Estimate, new: Estimate, difference: Estimate) -> str:
    """Gaps on repeated and on new words."""
    verdict = tell(
        difference,
        above="larger on repeated words",
        below="smaller on repeated words",
        unclear="not clearly different",
        missing="not comparable",
    )
    by = f" (a difference of {points(difference, sign=True)})" if difference.measured else ""
    return (
        f"With {label}, the gap on later characters of repeated words is {in_points(repeated)} and on those of new words "
        f"{points(new)}: {verdict}{by}."
    )


def margins_sentence(gaps: Mapping[str, Estimate]) -> str:
    """Gaps of proxies where the model is equally certain."""
    gap = names(f"{points(gap)} with {label}" for label, gap in gaps.items())
    return f"Where the model is equally certain, the gap in percentage points is {gap}."
