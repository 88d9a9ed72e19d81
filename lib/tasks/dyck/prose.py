"""What the chapters on Dyck say, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.measuring.intervals import Estimate
from lib.prose import begin, in_percent, in_points, names, number, paragraph, percent, points, tell


def learned(inside: Estimate, deep: Estimate, deepest: Estimate, long: Estimate) -> str:
    """How well the model closes brackets in distribution, in deep sentences, on deep levels, in long sentences."""
    return paragraph(
        f"At the end of training the model closes {in_percent(inside, True)} of the scored brackets correctly in "
        f"distribution, and {in_percent(deep, True)} on sentences deeper than any it has seen; of the brackets that "
        f"themselves lie deeper than any in training, {in_percent(deepest, True)}. On sentences longer than any in training it "
        f"is right on {in_percent(long, True)}."
    )


def gap_sentence(what: str, inside: Estimate, outside: Estimate, gap: Estimate, others: Mapping[str, Estimate]) -> str:
    """What a simplification loses from `iid` to unseen depth; `others` has the gaps of finer ones."""
    size = in_points(gap.scaled(-1 if gap.value < 0 else 1), "percentage points")
    finer = names(f"{points(estimate)} with {label}" for label, estimate in others.items())
    return paragraph(
        f"{begin(what)} makes the model's prediction at {in_percent(inside)} of the scored brackets in distribution, and at "
        f"{in_percent(outside)} at unseen depth.",
        tell(
            gap,
            above=f"That is a gap of {size}.",
            below=f"So it agrees with the model more often there, by {size}.",
            unclear=f"The gap, {points(gap)} percentage points, cannot be told from none.",
            missing="So there is no gap to tell of.",
        ),
        f"At higher ranks the gap is {finer}." if others else "",
    )


def better_sentence(accuracy: Estimate, difference: Estimate) -> str:
    """Whether one-hot attention closes more brackets correctly than the model."""
    verdict = tell(
        difference,
        above="better than the model itself",
        below="worse than the model",
        unclear="neither clearly better nor clearly worse than the model",
        missing="it cannot be compared with the model",
    )
    by = f" (a difference of {points(difference, sign=True)} points)" if difference.measured else ""
    return f"One-hot attention closes {in_percent(accuracy)} of the brackets correctly at unseen depth: {verdict}{by}."


def attention_sentence(label: str, model: Sequence[Estimate], example: Sequence[Estimate]) -> str:
    """How much attention model and example put on the right bracket, each in distribution and at unseen depth."""
    return paragraph(
        f"The model itself puts {in_percent(model[0])} of its attention on the right bracket in distribution and "
        f"{in_percent(model[1])} at unseen depth; {label} puts {in_percent(example[0])} and {in_percent(example[1])} there."
    )


def comparison_sentence(level: float, svd: Estimate, kmeans: Estimate) -> str:
    """Which of SVD and k-means agrees with the model more at unseen depth, at equal agreement in distribution."""
    missing = [name for name, kept in (("SVD", svd), ("k-means", kmeans)) if not kept.measured]
    if missing:
        reached = f"{names(missing)} did not reach it in at least 95 % of the bootstrap resamples"
        return f"At {100 * level:.0f} % agreement in distribution the two cannot be compared: {reached}."
    difference = svd - kmeans
    verdict = tell(
        difference,
        above="SVD keeps more than clustering",
        below="SVD keeps less than clustering",
        unclear="SVD and clustering cannot be told apart",
    )
    return (
        f"At {100 * level:.0f} % agreement in distribution (between the measured settings by linear interpolation), SVD agrees "
        f"with the model on {percent(svd)} at unseen depth and k-means on {percent(kmeans)}, a difference of "
        f"{points(difference, sign=True)} points: by this measure {verdict}."
    )


def dropped_sentence(label: str, shares: Sequence[float], correlations: Sequence[Estimate]) -> str:
    """What a proxy drops and how that goes with disagreement, each in distribution and at unseen depth."""
    inside, outside = (f"{100 * share:.1f} %" if share == share else "an unknown share" for share in shares)
    return (
        f"{begin(label)} drops {inside} of the variance in distribution and {outside} at unseen depth; the rank "
        f"correlation over sentences between what it drops and how often it disagrees is {number(correlations[0])} in "
        f"distribution and {number(correlations[1])} at unseen depth."
    )


def controls_sentence(label: str, gaps: Mapping[str, Estimate]) -> str:
    """A gap, and what is left of it with controls."""
    whole, *controlled = gaps.items()
    left = names(f"{points(gap)} with {name}" for name, gap in controlled)
    depths = " (over the bracket depths that both splits have)" if any("and depth" in name for name, _ in controlled) else ""
    return f"The gap of {label} at unseen depth is {in_points(whole[1], 'percentage points')}; it is {left}{depths}."
