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
        unclear=f"with no clear difference in other languages ({points(gap)} points)",
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


def weak_sentence(better: Estimate, passes: float) -> str:
    """What to think of the model, by how much more often it is right than an n-gram model in distribution."""
    made = f"{passes:.1f}" if passes >= 0.05 else "fewer than 0.1"
    return tell(
        better,
        above="",
        below=f"This model is right less often than a 6-gram model that was counted on all training text ({points(better)} "
        f"points; the model made {made} passes over it): read its gaps as a demonstration.",
        unclear=f"That this model is right more often than a 6-gram model is not clear ({points(better, sign=True)} points).",
        missing="",
    )


def foreseen_sentence(errors: Mapping[str, Estimate], diagnostic: str, lost: Sequence[str]) -> str:
    """The mean errors of foreseen gaps by diagnostic, over proxies; `lost` are those for which no gap was nearer than one."""
    if not errors:
        return "Nothing could be foreseen: too few characters were predicted."
    said = names(f"{points(error)} by {name}" for name, error in errors.items())
    return paragraph(
        f"From pictures in the training language, the other text and the model itself on it, the mean gap to other languages "
        f"is foreseen with these errors, in points, mean over proxies: {said} (`unchanged` expects no gap).",
        f"The {diagnostic} is further off than that for {names(lost)}." if lost else "",
    )
