"""What the chapter on depth says, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lib.measuring.intervals import Estimate
from lib.measuring.matching import Decomposition
from lib.prose import begin, difference, live, names, paragraph, points, quiet, resolution, share, tell
from lib.proxies import Simplification
from lib.rules import EQUAL, GAP, OPPOSITE, RULES


def learned(inside: Estimate, deep: Estimate, deepest: Estimate, long: Estimate) -> str:
    """How well the model closes brackets in distribution, in deep sentences, on deep levels, in long sentences."""
    return paragraph(
        f"The model closes {share(inside)} of the scored brackets correctly in distribution, {share(deep)} in deeper sentences "
        f"and {share(long)} in longer ones. Of the brackets that themselves lie deeper than any in training it closes "
        f"{share(deepest)} correctly."
    )


def gap_sentence(what: str, inside: Estimate, outside: Estimate, gap: Estimate, others: Mapping[str, Estimate]) -> str:
    """What a simplification loses from `iid` to unseen depth; `others` has the gaps of finer ones."""
    finer = names(f"{difference(estimate)} ({label})" for label, estimate in others.items())
    return paragraph(
        f"{begin(what)} makes the model's prediction on {share(inside)} of the scored brackets in distribution, and on "
        f"{share(outside)} of those in deeper sentences.",
        tell(
            gap,
            above=f"That is a gap of {difference(gap)}.",
            below=f"So it agrees with the model more often there, by {difference(gap.scaled(-1))}.",
            unclear=f"The gap, {points(gap)} points, cannot be told from none.",
            missing="So there is no gap to tell.",
        ),
        f"With more directions, it is {finer}." if others else "",
    )


def picture_sentence() -> str:
    """What agreement is, and what deeper, for the first page."""
    return (
        "Agreement is how often a picture, here one layer of a bracket-closing Transformer cut down to a few directions, makes "
        "the model's prediction; deeper sentences are nested more deeply than any in training, and of all lengths."
    )


def finest_sentence(label: str, gap: Estimate) -> str:
    """Whether a picture with more directions has a gap, too, in words, for the first page."""
    if not gap.measured:
        return ""
    margin, (low, high) = RULES.margins.equal, gap.interval
    if -margin < low and high < margin:
        return f"With more directions ({label}), agreement changes by less than the scorecard's margin."
    changes = tell(gap, above="agreement falls, too", below="agreement rises", unclear="no change can be told")
    return f"With more directions ({label}), {changes}."


def settings_sentence(simplifications: Sequence[Simplification]) -> str:
    """What the live figure can be set to, each a link that does so."""
    return f"Set the figure to {names(live(s.phrase, s) for s in simplifications)}."


def better_sentence(accuracy: Estimate, more: Estimate) -> str:
    """Whether one-hot attention closes more brackets correctly than the model."""
    verdict = tell(
        more,
        above=f"{difference(more)} more than the model itself",
        below=f"{difference(more.scaled(-1))} less than the model itself",
        unclear=f"neither clearly more nor clearly less than the model itself ({points(more, sign=True)} points)",
        missing="which cannot be compared with the model itself",
    )
    return f"One-hot attention closes {share(accuracy)} of the brackets of deeper sentences correctly, {verdict}."


def attention_sentence(label: str, model: Sequence[Estimate], example: Sequence[Estimate]) -> str:
    """How much attention model and example put on the right bracket, each in distribution and at unseen depth."""
    return paragraph(
        f"From sentences in distribution to deeper ones, the attention on the right bracket goes from {share(model[0])} to "
        f"{share(model[1])} in the model, and from {share(example[0])} to {share(example[1])} with {label}."
    )


def occurrence_sentence(depth: int, inside: float, outside: float) -> str:
    """How common brackets of at least a depth are among those scored in distribution and at unseen depth."""
    return (
        f"Of the brackets that are scored in distribution, {100 * inside:.1f} % lie at depth {depth} or more; in deeper "
        f"sentences, {100 * outside:.1f} %."
    )


def boundary_sentence(depth: int, found: Mapping[str, Estimate | None]) -> str:
    """What agreement does where depths go beyond training, setting by setting: `found` has how far it is below the trend."""
    sides: dict[str, list[str]] = {}
    for label, effect in found.items():
        verdict = RULES.verdict(effect)
        sized = verdict in (GAP, OPPOSITE)
        shown = f"{label} (by {difference(effect.scaled(-1 if verdict == OPPOSITE else 1))})" if sized else label
        sides.setdefault(verdict, []).append(shown)
    said = {
        GAP: "agreement is lower than the trend before it says for",
        OPPOSITE: "agreement is higher than the trend before it says for",
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
        return f"The gap of {label} in deeper sentences could not be taken apart."
    decided = [bool(tell(part, above="above", below="below", unclear="")) for part in (parts.mix, parts.within)]
    caveat = {
        (True, True): "",
        (True, False): "Of these, a change at the same depth cannot be told from none.",
        (False, True): "Of these, the mix of depths cannot be told from none.",
        (False, False): "Neither the mix of depths nor a change at the same depth can be told from none.",
    }[tuple(decided)]
    return paragraph(
        f"Of the gap of {label}, {difference(parts.gap)}, {quiet(parts.mix, '.1f', scale=100)} come from the mix of depths, "
        f"{quiet(parts.within, '.1f', scale=100)} from a change of agreement at the same depth, and "
        f"{quiet(parts.beyond, '.1f', scale=100)} from depths that brackets in distribution hardly reach.",
        caveat,
    )


def mix_sentence(parts: Decomposition) -> str:
    """The same in one breath, for the first page: how much of a gap is there because deep brackets are more common."""
    if not parts.gap.measured:
        return "The gap could not be taken apart."
    called = tell(parts.gap, above="gap", below="difference", unclear="difference")
    beyond = f"Another {difference(parts.beyond)} lie on levels hardly seen in training."
    return paragraph(
        f"Of the {called} in deeper sentences, {difference(parts.mix)} come from the mix of depths: from brackets on levels "
        "that training has, too, but rarely. That part shows without a single deeper sentence.",
        tell(parts.beyond, above=beyond, below="", unclear=""),
    )


def others_sentence(gaps: Mapping[str, Estimate], models: str) -> str:
    """Which other pictures have a gap left where sentences are as long and brackets as deep; `models` says on how many."""
    if not any(gap.measured for gap in gaps.values()):
        return ""
    margin = f"{100 * RULES.margins.gap:g}"
    aside = f" (less than {margin} point{'s' * (margin != '1')})"  # which the scorecard does not count
    clear = {label: gap for label, gap in gaps.items() if gap.measured and gap.interval[0] > 0}
    left = [label + aside * (gap.value < RULES.margins.gap) for label, gap in clear.items()]
    have = f"{names(left)} clearly {'has' if len(left) == 1 else 'have'}" if left else "none clearly has"
    return f"Of the other families, {have} a gap left at equal length and depth. That is over all models{models}."


def matched_sentence(gap: Estimate) -> str:
    """What is left of a gap at unseen depth where sentences are as long and brackets as deep as in distribution."""
    alike = "Against sentences in distribution that are as long, and brackets that are as deep,"
    return tell(
        gap,
        above=f"{alike} a gap of {difference(gap)} is left.",
        below=f"{alike} the picture agrees more often in deeper sentences, by {difference(gap.scaled(-1))}.",
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
        f"In deeper sentences, {label} gives most attention to something other than the opener in {share(missed)} of cases. Of "
        f"the brackets of a wrong depth that it then finds, {share(even)} are an even number of levels away, {verdict}, "
        f"and {share(found['deeper'])} are deeper than the opener.",
        f"By chance, at the depths where it errs, it would be {share(chance['even'])} and {share(chance['deeper'])}."
        if chance["even"].measured
        else "",
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
            sides[side].append(f"{other} (by {difference(gain)}{remark})" if side == "gains" else other)
    more = [f"{difference(gain, sign=True)} with {other}" for other, gain in finer.items() if gain.measured]
    of_same_size = [
        f"In deeper sentences, agreement is higher than with {label} for {names(sides['gains'])}."
        if sides["gains"]
        else f"In deeper sentences, no other picture of the same size agrees clearly more often than {label}.",
        f"It is lower for {names(sides['loses'])}." if sides["loses"] else "",
        f"No clear difference can be told for {names(sides['unclear'])}." if sides["unclear"] else "",
        resolution(gains.values()),
    ]
    return paragraph(
        *(of_same_size if any(sides.values()) else []),
        f"More directions change it by {names(more)}." if more else "",
    )
