"""What the chapter on directions and prototypes says, as functions of estimates alone: every outcome has its sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib.measuring.intervals import Estimate
from lib.prose import begin, difference, names, paragraph, points, quiet, resolution, span, tell


def comparison_sentence(differences: Mapping[float, Estimate]) -> str:
    """Where SVD or k-means agrees with the model more at unseen depth, by equal agreement in distribution: SVD less k-means."""
    known = {level: found for level, found in differences.items() if found.measured}
    if not known:
        return (
            "The SVD and k-means never agree with the model equally often in distribution in every seed, so which of the two "
            "keeps more in deeper sentences cannot be told."
        )
    sides = [tell(found, above="SVD", below="k-means", unclear="") for found in known.values()]
    counted = (
        f"the SVD keeps clearly more at {sides.count('SVD')} of {len(sides)} levels, and k-means at {sides.count('k-means')}"
    )
    return paragraph(
        f"The two can be compared where they agree with the model equally often in distribution, in {span(known)} of cases; of "
        "other levels nothing is known. In deeper sentences "
        f"{counted if any(sides) else 'neither of them keeps clearly more there'}.",
        resolution(known.values()),
    )


def line_sentence(residuals: Mapping[str, Estimate]) -> str:
    """Which families lie above or below the line through all settings; none, if there were too few for a line."""
    if not any(residual.measured for residual in residuals.values()):
        return "Too few settings agree with the model at times and disagree at times to draw a line through them."
    sides: dict[str, list[str]] = {"above": [], "below": []}
    for family, residual in residuals.items():
        side = tell(residual, above="above", below="below", unclear="", missing="")
        if side:
            sides[side].append(f"{family} (by {difference(residual.scaled(_SIGN[side]))})")
    if not any(sides.values()):
        return "In deeper sentences, no family lies clearly off the line that is fitted through all."
    lies = [
        f"{names(families)} lie{'s' * (len(families) == 1)} {side} the line" for side, families in sides.items() if families
    ]
    return f"In deeper sentences, {', and '.join(lies)} that is fitted through all; no other family lies clearly off it."


_SIGN = {"above": 1, "below": -1}


def diagonal_sentence(gaps: Sequence[Estimate]) -> str:
    """How many settings keep clearly less in deeper sentences than they promise, and more: `gaps` are theirs."""
    sides = [tell(gap, above="below", below="above", unclear="") for gap in gaps if gap.measured]
    if not sides:
        return ""
    below, above = (sides.count(side) for side in ("below", "above"))
    return (
        f"Of {len(sides)} setting{'s' * (len(sides) > 1)}, {below or 'none'} clearly "
        f"{'keep' if below > 1 else 'keeps'} less in deeper sentences than promised, below the diagonal, and {above or 'none'} "
        "more."
    )


def bases_sentence(gains: Mapping[int, tuple[Estimate, Estimate]]) -> str:
    """At which ranks one basis for queries and keys together gains over one for each, in distribution and at unseen depth."""
    lines = []
    for i, where in enumerate(("in distribution", "in deeper sentences")):
        sides: dict[str, list[str]] = {"more often": [], "less often": [], "not clearly more or less often": []}
        for rank, pair in gains.items():
            side = tell(pair[i], **dict(zip(("above", "below", "unclear"), sides, strict=True)), missing="")
            if side:
                sides[side].append(f"{rank}")
        said = [f"{side} at rank{'s' * (len(ranks) > 1)} {names(ranks)}" for side, ranks in sides.items() if ranks]
        if said:
            lines.append(f"{where} {'; '.join(said)}")
    return f"One basis for both agrees with the model, against one for each, {'; and '.join(lines)}." if lines else ""


def oracle_sentence(label: str, oracle: Estimate, others: Mapping[str, Estimate]) -> str:
    """What fitting on unseen depth itself gains there, and whether other pictures gain more that never saw it."""
    if not oracle.measured:
        return ""
    gain = tell(
        oracle,
        above=f"gains {difference(oracle)}",
        below=f"loses {difference(oracle.scaled(-1))}",
        unclear=f"changes agreement by {points(oracle, sign=True)} points, so not clearly",
        missing="",
    )
    known = {name: other for name, other in others.items() if other.measured}
    more = [name for name, other in known.items() if tell(other - oracle, above="more", below="", unclear="")]
    beside = (
        f"More than that is gained with {names(more)}, which never saw such sentences"
        if more
        else "No other picture of that size, none of which saw such sentences, gains clearly more"
    )
    return paragraph(f"{begin(label)} fitted on deeper sentences themselves {gain}.", f"{beside}." if known else "")


def less_dropped_sentence(labels: Sequence[str]) -> str:
    """What it means that pictures drop less of deeper sentences than of those in distribution."""
    if not labels:
        return ""
    return (
        f"In every model, {names(labels)} drop{'s' * (len(labels) < 2)} a smaller share of deeper sentences than of those in "
        "distribution: so what is dropped does not explain why agreement falls, where it does."
    )


def dropped_sentence(label: str, shares: Sequence[float], correlations: Sequence[Estimate]) -> str:
    """What a proxy drops and how that goes with disagreement, each in distribution and at unseen depth."""
    inside, outside = (f"{100 * of:.1f} %" if of == of else "an unknown share" for of in shares)
    found = [quiet(of, ".2f") for of in correlations]
    return (
        f"{begin(label)} drops {inside} of the variance in distribution and {outside} in deeper sentences; the rank "
        f"correlation with disagreement is {found[0]} in distribution and {found[1]} in deeper sentences."
    )


def random_sentence(differences: Mapping[int, Estimate]) -> str:
    """At how many ranks the SVD agrees with the model more often in distribution than random directions."""
    known = [found for found in differences.values() if found.measured]
    if not known:
        return ""
    sides = [tell(found, above="more", below="less", unclear="") for found in known]
    less = f", and less often at {sides.count('less')}" if "less" in sides else ""
    return (
        f"The SVD agrees with the model in distribution clearly more often than as many random directions at "
        f"{sides.count('more') or 'none'} of {len(known)} rank{'s' * (len(known) > 1)}{less}."
    )
