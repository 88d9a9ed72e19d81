"""What the chapters on Dyck say, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

from lib.measuring.intervals import Estimate
from lib.measuring.matching import Decomposition
from lib.prose import begin, in_percent, in_points, names, number, paragraph, points, tell
from lib.rules import EQUAL, GAP, OPPOSITE, RULES


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


def comparison_sentence(differences: Mapping[float, Estimate]) -> str:
    """Where SVD or k-means agrees with the model more at unseen depth, by equal agreement in distribution: SVD less k-means."""
    sides: dict[str, list[str]] = {"SVD": [], "k-means": [], "neither": [], "": []}
    for level, difference in differences.items():
        side = tell(difference, above="SVD", below="k-means", unclear="neither", missing="")
        size = f" ({points(difference, sign=True)})" if side else ""
        sides[side].append(f"{100 * level:.0f} %{size}")
    why = "not every seed has settings of both on either side of"
    if len(sides[""]) == len(differences):
        levels = f" that level: {names(sides[''])}" if sides[""] else " any level"
        return f"The SVD and k-means cannot be compared where they agree with the model equally often ({why}{levels})."
    return paragraph(
        "Where the SVD and k-means agree with the model equally often in distribution, at unseen depth (differences: SVD less "
        "k-means, in points)",
        "; ".join(
            f"{said} at {names(sides[side])}"
            for side, said in (
                ("SVD", "the SVD keeps more"),
                ("k-means", "k-means keeps more"),
                ("neither", "neither keeps clearly more"),
                ("", f"they cannot be compared ({why} that level)"),
            )
            if sides[side]
        )
        + ".",
    )


def comparison_in_short(differences: Mapping[float, Estimate]) -> str:
    """The same as a count of levels, for those who want no more."""
    known = {level: difference for level, difference in differences.items() if difference.measured}
    if not known:
        return (
            "The SVD and k-means never agree with the model equally often in distribution in every seed, so which of the two "
            "keeps more elsewhere cannot be told."
        )
    sides = [tell(difference, above="SVD", below="k-means", unclear="") for difference in known.values()]
    kept = f"the SVD keeps clearly more at {sides.count('SVD')} of {len(sides)} levels, and k-means at {sides.count('k-means')}"
    return (
        f"Where the SVD and k-means agree with the model equally often in distribution ({100 * min(known):.0f} to "
        f"{100 * max(known):.0f} %; at other levels they cannot be compared), at unseen depth "
        f"{kept if any(sides) else 'neither of the two keeps clearly more'}."
    )


def line_sentence(residuals: Mapping[str, Estimate]) -> str:
    """Which families lie above or below the line through all settings; none, if there were too few for a line."""
    if not any(residual.measured for residual in residuals.values()):
        return "Too few settings agree with the model at times and disagree at times to draw a line through them."
    sides: dict[str, list[str]] = {"above": [], "below": [], "on": []}
    for family, residual in residuals.items():
        side = tell(residual, above="above", below="below", unclear="on", missing="")
        if side:
            sides[side].append(f"{family} ({points(residual, sign=True)} points)")
    return paragraph(
        f"More faithful at unseen depth than the line says: {names(sides['above'])}; less: {names(sides['below'])}; not "
        f"clearly either: {names(sides['on'])}."
    )


def bases_sentence(gains: Mapping[int, tuple[Estimate, Estimate]]) -> str:
    """At which ranks one basis for queries and keys together gains over one for each, in distribution and at unseen depth."""
    lines = []
    for i, where in enumerate(("in distribution", "at unseen depth")):
        sides: dict[str, list[str]] = {"more often": [], "less often": [], "not clearly more or less often": []}
        for rank, pair in gains.items():
            side = tell(pair[i], **dict(zip(("above", "below", "unclear"), sides, strict=True)), missing="")
            if side:
                sides[side].append(f"{rank} ({points(pair[i], sign=True)})")
        said = [f"{side} at rank{'s' * (len(ranks) > 1)} {names(ranks)}" for side, ranks in sides.items() if ranks]
        if said:
            lines.append(f"{where} {'; '.join(said)}")
    return f"One basis for both agrees with the model, against one for each (points), {'; and '.join(lines)}." if lines else ""


def oracle_sentence(label: str, oracle: Estimate, others: Mapping[str, Estimate]) -> str:
    """What fitting on unseen depth itself gains there, and what other pictures gain that never saw it."""
    if not oracle.measured:
        return ""
    gain = tell(
        oracle,
        above=f"gains {points(oracle)} points there",
        below=f"loses {points(oracle.scaled(-1))} points there",
        unclear=f"changes agreement there by {points(oracle, sign=True)} points, so not clearly",
        missing="",
    )
    known = {name: other for name, other in others.items() if other.measured}
    beside = names(f"{points(other, sign=True)} with {name}" for name, other in known.items())
    more = [name for name, other in known.items() if tell(other - oracle, above="more", below="", unclear="")]
    told = (
        f"More than the oracle is gained with {names(more)}: so much is not lost to every picture of that size"
        if more
        else "Not one of them gains clearly more than the oracle"
    )
    return paragraph(
        f"{begin(label)} fitted on `unseen_depth` itself {gain}.",
        f"Other pictures of that size that never saw it gain, in points, {beside}. {told}." if known else "",
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


def occurrence_sentence(depth: int, inside: float, outside: float) -> str:
    """How common brackets of at least a depth are among those scored in distribution and at unseen depth."""
    return (
        f"Of the brackets that are scored in distribution, {100 * inside:.1f} % lie at depth {depth} or more; at unseen depth, "
        f"{100 * outside:.1f} %."
    )


def boundary_sentence(depth: int, found: Mapping[str, Estimate | None]) -> str:
    """What agreement does where depths go beyond training, setting by setting: `found` has how far it is below the trend."""
    sides: dict[str, list[str]] = {}
    for label, effect in found.items():
        verdict = RULES.verdict(effect)
        side = -1 if verdict == OPPOSITE else 1
        shown = f"{label} ({points(effect.scaled(side))} points)" if effect is not None and effect.measured else label
        sides.setdefault(verdict, []).append(shown)
    said = {
        GAP: "agreement is lower than it would be had it gone on as before for",
        OPPOSITE: "agreement is higher than it would be had it gone on as before for",
        EQUAL: "agreement goes on as before for",
    }
    known = [f"{text} {names(sides[verdict])}" for verdict, text in said.items() if verdict in sides]
    unclear = [label for verdict, labels in sides.items() if verdict not in said for label in labels]
    return paragraph(
        f"Beyond depth {depth}, the deepest of training, {'; '.join(known)}." if known else "",
        f"Whether anything changes beyond depth {depth} cannot be told for {names(unclear)}." if unclear else "",
    )


def decomposition_sentence(label: str, parts: Decomposition) -> str:
    """The parts of a gap to unseen depth."""
    if not parts.gap.measured:
        return f"The gap of {label} at unseen depth could not be taken apart."
    rest = parts.mix + parts.within
    decided = [bool(tell(part, above="above", below="below", unclear="")) for part in (parts.mix, parts.within)]
    caveat = {
        (True, True): "",
        (True, False): ", of which only the mix can be told from none",
        (False, True): ", of which only the change on the same levels can be told from none",
        (False, False): ", neither of which can be told from none",
    }[tuple(decided)]
    return paragraph(
        f"The gap of {label} at unseen depth is {points(parts.gap)} points. Levels that brackets in distribution do not reach, "
        f"or too rarely to be compared, make {points(parts.beyond)} of them, the levels of training {points(rest)}:",
        f"{points(parts.mix)} from the mix of depths (how many brackets lie on each level of training) and "
        f"{points(parts.within)} from agreement on the same levels{caveat}.",
    )


def matched_sentence(gap: Estimate) -> str:
    """What is left of a gap at unseen depth where sentences are as long and brackets as deep as in distribution."""
    alike = "Against sentences in distribution that are as long, and brackets that are as deep (so none deeper than training),"
    return tell(
        gap,
        above=f"{alike} a gap of {points(gap)} points is left.",
        below=f"{alike} it agrees more often, by {points(gap.scaled(-1))} points.",
        unclear=f"{alike} no gap can be told ({points(gap)} points).",
        missing="",
    )


def misses_sentence(label: str, found: Mapping[str, Estimate], chance: Mapping[str, Estimate]) -> str:
    """Where a simplification attends when it misses the opener, against any earlier bracket (`chance`)."""
    missed, even = found["missed"], found["even"]
    if not missed.measured or not even.measured:
        return ""
    verdict = tell(
        even - chance["even"],
        above="more often than by chance",
        below="less often than by chance",
        unclear="not clearly more or less often than by chance",
        missing="which cannot be compared with chance",
    )
    return paragraph(
        f"At unseen depth {label} gives most attention to something other than the opener in {in_percent(missed)} of cases; "
        f"in {in_percent(found['level'])} of these it is another bracket of the right depth. Of the brackets of a wrong depth, "
        f"{in_percent(even, True)} are an even number of levels away, {verdict} (any earlier bracket, at the same depths: "
        f"{in_percent(chance['even'])}), and {in_percent(found['deeper'], True)} are deeper than the opener rather than "
        f"shallower (any earlier bracket: {in_percent(chance['deeper'])})."
    )


def helps_sentence(
    label: str, gains: Mapping[str, Estimate], finer: Mapping[str, Estimate], looks_there: Collection[str]
) -> str:
    """What other pictures of the same size gain at unseen depth, and `finer` ones; `looks_there` were fitted on that split."""
    sides: dict[str, list[str]] = {"gains": [], "loses": [], "unclear": []}
    for other, gain in gains.items():
        side = tell(gain, above="gains", below="loses", unclear="unclear", missing="")
        if side:
            remark = ", which has seen such sentences" if other in looks_there else ""
            sides[side].append(f"{other} ({points(gain, sign=True)}{remark})")
    more = [f"{points(gain, sign=True)} with {other}" for other, gain in finer.items() if gain.measured]
    of_same_size = [
        f"Against {label}, agreement at unseen depth is higher by so many points with {names(sides['gains'])}."
        if sides["gains"]
        else f"No other picture of the same size agrees clearly more often than {label} at unseen depth.",
        f"It is lower with {names(sides['loses'])}." if sides["loses"] else "",
        f"No clear difference: {names(sides['unclear'])}." if sides["unclear"] else "",
        _resolution(gains.values()),
    ]
    against = "" if any(sides.values()) else f" at unseen depth against {label}"
    return paragraph(
        *(of_same_size if any(sides.values()) else []),
        f"Finer pictures gain{against}, in points, {names(more)}." if more else "",
    )


def _resolution(gains: Iterable[Estimate]) -> str:
    """How large a difference has to be to be told; empty if no interval says, or all are as good as nothing."""
    widths = [high - low for low, high in (gain.interval for gain in gains) if high >= low]
    half = f"{100 * median(widths) / 2:.1f}" if widths else "0.0"
    if half == "0.0":
        return ""
    return f"(Half of the intervals reach at least {half} points to either side: there, smaller differences cannot be told.)"
