"""What the sections of the chapters on Dyck are called: each heading is its finding, true for every outcome."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from lib.measuring.intervals import Estimate
from lib.prose import begin, names, points, span, tell, whole
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE


def size(estimate: Estimate) -> str:
    """A number of points without its interval, which the section has."""
    return f"{points(estimate, interval=False)} points"


def learned(inside: Estimate, deep: Estimate) -> str:
    """How well the model closes brackets."""
    return f"The model closes {whole(inside)} of brackets in distribution, and {whole(deep)} in deeper sentences"


def deeper(label: str, inside: Estimate, outside: Estimate, gap: Estimate, show: Callable[[Estimate], str] = whole) -> str:
    """What becomes of agreement in deeper sentences; `show` says a share, in a heading without its interval."""
    change = f"from {show(inside)} to {show(outside)}"
    return tell(
        gap,
        above=f"In deeper sentences, agreement of {label} falls {change}",
        below=f"In deeper sentences, agreement of {label} rises {change}",
        unclear=f"In deeper sentences, no change of agreement of {label} can be told",
        missing=f"Agreement of {label} in deeper sentences was not measured",
    )


def boundary(verdicts: Collection[str]) -> str:
    """Whether anything happens where depths go beyond training, by the verdicts of several pictures."""
    known = [verdict for verdict in verdicts if verdict != NOT_APPLICABLE]
    if not known:
        return "What happens at the edge of training could not be measured"
    counts = {"drops": known.count(GAP), "rises": known.count(OPPOSITE)}
    said = [f"{word} in {count} of {len(known)} pictures" for word, count in counts.items() if count]
    if said:
        return f"At the edge of training, agreement {names(said)}"
    if set(known) == {EQUAL}:
        return "At the edge of training, agreement goes on as before"
    return "At the edge of training, no break can be told"


def matched(label: str, gap: Estimate, show: Callable[[Estimate], str] = size) -> str:
    """What is left of a gap where sentences are as long and brackets as deep; `show` says it, in a heading in points alone."""
    return tell(
        gap,
        above=f"At equal length and depth, {label} has a gap of {show(gap)} left",
        below=f"At equal length and depth, {label} agrees more often, by {show(gap.scaled(-1))}",
        unclear=f"At equal length and depth, no gap of {label} can be told",
        missing=f"What the gap of {label} is made of",
    )


def misses(even: Estimate) -> str:
    """How often attention that finds a wrong depth keeps its parity."""
    if not even.measured:
        return "Where attention goes instead"
    return f"Of the wrong depths that attention finds, {whole(even)} are an even number of levels away"


def helps(same: Iterable[Estimate], finer: Iterable[Estimate]) -> str:
    """In how many of the pictures that were tried more directions agree more often, and other ones of the same number."""
    counts = {"more": _gained(finer), "other": _gained(same)}
    said = [f"{what} directions in {count} cases" for what, count in counts.items() if count]
    return begin(names(said).replace("directions", "directions help", 1)) if said else "What could help was not measured"


def _gained(gains: Iterable[Estimate]) -> str:
    """In how many of several cases there clearly is a gain: `1 of 2`; empty if none was measured."""
    known = [gain.interval[0] > 0 for gain in gains if gain.measured]
    return f"{sum(known) or 'none'} of {len(known)}" if known else ""


def elsewhere(verdicts: Mapping[str, Collection[str]]) -> str:
    """In how many studies, of other kinds of models or sentences, the edge of training shows in some picture."""
    shown = [name for name, of in verdicts.items() if GAP in of]
    return f"A drop at the edge of training shows in {len(shown) or 'none'} of {len(verdicts)} studies"


def widest(label: str, gaps: Mapping[str, Estimate]) -> str:
    """On which kind of sentences the gap is largest, of those on which there clearly is one."""
    clear = {name: gap for name, gap in gaps.items() if gap.measured and gap.interval[0] > 0}
    if clear:
        name = max(clear, key=lambda of: clear[of].value)
        return f"The largest gap of {label} is that of {name}: {size(clear[name])}"
    told = any(gap.measured for gap in gaps.values())
    return f"On no kind of sentences can a gap of {label} be told" if told else "All kinds of sentences"


# Directions or prototypes


def compared(differences: Mapping[float, Estimate]) -> str:
    """Which of SVD and k-means keeps more at equal agreement in distribution: SVD less k-means, level by level."""
    known = {level: found for level, found in differences.items() if found.measured}
    if not known:
        return "At equal promise, the two cannot be compared"
    sides = [tell(found, above="the SVD", below="k-means", unclear="") for found in known.values()]
    ahead = [name for name in ("the SVD", "k-means") if name in sides]
    said = names(f"{name} keeps more at {sides.count(name)} of {len(sides)} levels" for name in ahead)
    return f"At an equal promise of {span(known)}, {said if ahead else 'neither of the two clearly keeps more'}"


def line(residuals: Mapping[str, Estimate]) -> str:
    """Which families lie clearly off the line that is fitted through all of them."""
    if not any(residual.measured for residual in residuals.values()):
        return "There are too few settings for a line"
    sides = {"more": [], "less": [], "": []}
    for family, residual in residuals.items():
        sides[tell(residual, above="more", below="less", unclear="", missing="")].append(family)
    said = [
        f"{names(sides[side])} {'keep' if len(sides[side]) > 1 else 'keeps'} {side}" for side in ("more", "less") if sides[side]
    ]
    if not said:
        return "At equal promise, no family clearly keeps more or less"
    return f"At equal promise, {', and '.join(said)}"


def bases(gains: Mapping[int, Estimate]) -> str:
    """At which ranks one basis for queries and keys agrees more often in deeper sentences than one for each."""
    sides = {"more": [], "less": [], "": []}
    for rank, gain in gains.items():
        if gain.measured:
            sides[tell(gain, above="more", below="less", unclear="")].append(f"{rank}")
    if not any(sides.values()):
        return "One basis, or one each?"
    said = [
        f"{side} often at rank{'s' * (len(sides[side]) > 1)} {names(sides[side])}" for side in ("more", "less") if sides[side]
    ]
    return f"In deeper sentences, one basis agrees {', and '.join(said) or 'no more or less often, as far as can be told'}"


def dropped(correlations: Mapping[str, Estimate], less: Collection[str]) -> str:
    """Whether deeper sentences that lose more to a simplification fail more often; `less` drop less of deeper sentences."""
    told = any(of.measured for of in correlations.values())
    more = [name for name, of in correlations.items() if tell(of, above="more", below="", unclear="", missing="")]
    if less:
        first = f"{names(less)} drop{'s' * (len(less) < 2)} less in deeper sentences"
        return f"{first}; with {names(more)}, those that lose more fail more often" if more else first
    if not told:
        return "Whether what is dropped explains what fails"
    if more:
        return f"Among deeper sentences, those of which more is dropped fail more often, with {names(more)}"
    return "What is dropped does not tell which deeper sentences fail"


def oracle(gains: Mapping[str, Estimate]) -> str:
    """Whether a fit on deeper sentences helps there."""
    known = {name: gain for name, gain in gains.items() if gain.measured}
    if not known:
        return "What a fit on deeper sentences would gain was not measured"
    better = [name for name, gain in known.items() if gain.interval[0] > 0]
    return (
        f"Fitted on deeper sentences, {names(better) if better else 'no picture'} clearly gain{'s' * (len(better) < 2)} there"
    )


def controls(gaps: Mapping[str, Estimate]) -> str:
    """With which pictures a gap is left at equal length and depth."""
    known = {name: gap for name, gap in gaps.items() if gap.measured}
    if not known:
        return "Length and depth could not be matched"
    left = [name for name, gap in known.items() if gap.interval[0] > 0]
    return (
        f"At equal length and depth, a gap is left with {names(left)}"
        if left
        else "At equal length and depth, no gap can be told"
    )
