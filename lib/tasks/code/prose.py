"""What the chapter on code says, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.measuring.intervals import Estimate
from lib.prose import begin, in_percent, in_points, names, paragraph, points, tell


def learned(languages: str, inside: Estimate, better: Estimate, outside: Estimate, better_outside: Estimate) -> str:
    """How often the model is right on `id` and elsewhere, and how much more often than an n-gram model."""
    verdict = tell(
        better,
        above="So in distribution it is right more often than local statistics are.",
        below="So it is right less often than the n-gram model: read its gaps as a demonstration.",
        unclear="So it is not clearly more or less often right than local statistics are.",
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


def equal_words_sentence(level: float, differences: Mapping[str, Estimate]) -> str:
    """How much larger gaps are on repeated words than on new ones where a family agrees equally often on either."""
    sides: dict[str, list[str]] = {"larger": [], "smaller": [], "unclear": [], "missing": []}
    for label, difference in differences.items():
        side = tell(difference, above="larger", below="smaller", unclear="unclear", missing="missing")
        sides[side].append(f"{label} ({points(difference, sign=True)} points)" if difference.measured else label)
    said = {
        "larger": "the gap is larger on repeated words than on new ones with",
        "smaller": "the gap is smaller on repeated words than on new ones with",
        "unclear": "the gap is not clearly different on repeated and on new words with",
        "missing": "gaps cannot be told (not every seed has settings on either side of that level) with",
    }
    if not differences:
        return ""
    return (
        f"Where a family agrees with the model in {100 * level:g} % of cases on either kind of word in distribution, "
        f"{'; '.join(f'{text} {names(sides[side])}' for side, text in said.items() if sides[side])}."
    )


def foreseen_sentence(diagnostic: str, pairs: Sequence[tuple[Estimate, Estimate]]) -> str:
    """How far foreseen gaps are from measured ones, and how far no gap at all would have been."""
    if not pairs:
        return "Nothing could be foreseen: too few characters were predicted."
    error, baseline = (
        sum(abs(guess - measured.value) for guess, measured in of) / len(of)
        for of in ([(f.value, m) for f, m in pairs], [(0.0, m) for _, m in pairs])
    )
    error, baseline = round(100 * error, 1), round(100 * baseline, 1)  # as they are shown
    verdict = "closer than" if error < baseline else "further off than" if error > baseline else "as far off as"
    return (
        f"From pictures in the training language alone, and the model itself on the others, the {diagnostic} foresees the mean "
        f"gap to other languages with an error of {error:.1f} points on average over proxies, which is {verdict} expecting no "
        f"gap ({baseline:.1f})."
    )
