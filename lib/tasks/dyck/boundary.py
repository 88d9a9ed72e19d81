"""Is there a boundary at the depth up to which training goes? And what a gap at unseen depth is made of."""

from __future__ import annotations

from collections.abc import Sequence

from lib.errors import InputError
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of, nothing
from lib.measuring.matching import Decomposition
from lib.proxies import Simplification
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
from lib.studies import Study

SPLIT = "by_depth"  # sentences of every depth, all of one length
PAIR = ("iid", "unseen_depth")
FEWEST = 20  # predictions that a mean within a category must rest on to be shown
BEFORE, AFTER = 4, 3  # depths up to the boundary that a line is drawn through, and depths beyond it that are held against it
WORDS = {
    GAP: "below the line",
    OPPOSITE: "above the line",
    EQUAL: "on the line",
    UNDECIDED: "undecided",
    NOT_APPLICABLE: "not measured",
}


def at_depth(estimates: Estimates, s: Simplification, depth: int, measure: str = "same_prediction") -> Estimate:
    """A measure on sentences of exactly a depth, all of one length."""
    return estimates.estimate(s, SPLIT, measure, sentence_depth=depth)


def below_trend(study: Study, s: Simplification) -> Estimate:
    """How much lower agreement is on the first depths beyond training than if it went on as over the last depths of training.

    That is the mean over `AFTER` depths of a straight line through the last `BEFORE` depths of training minus the agreement;
    about zero where nothing happens at the boundary. Raises `InputError` where a depth has fewer than `FEWEST` scored brackets.
    """
    last = study.task.max_depth
    inside, beyond = range(last - BEFORE + 1, last + 1), range(last + 1, last + AFTER + 1)
    of = {depth: at_depth(study.estimates, s, depth) for depth in (*inside, *beyond)}
    if few := [depth for depth, found in of.items() if found.positions < FEWEST]:
        scored = f"{of[few[0]].positions} brackets are scored in sentences of depth {few[0]}, {FEWEST} are needed"
        raise InputError(f"{scored}: nothing can be said about the boundary")
    level, middle = mean_of([of[depth] for depth in inside]), sum(inside) / BEFORE
    spread = sum((depth - middle) ** 2 for depth in inside)
    first, *others = [of[depth].scaled((depth - middle) / spread) for depth in inside]
    slope = sum(others, start=first)
    expected = level + slope.scaled(sum(beyond) / AFTER - middle)
    return expected - mean_of([of[depth] for depth in beyond])


def word(effect: Estimate | None) -> str:
    """Where agreement is beyond the boundary, in a few words."""
    return WORDS[RULES.verdict(effect)]


def decomposition(study: Study, s: Simplification) -> Decomposition:
    """The gap from `iid` to `unseen_depth`, by the depth of the bracket to be closed; not measured if no depth is in both."""
    try:
        return study.estimates.decomposition(s, "unseen_depth", "iid", "depth")
    except InputError:
        return Decomposition(nothing(), nothing(), nothing())


def occurrence(study: Study, depths: Sequence[int]) -> dict[int, float]:
    """The share of scored brackets in distribution that are in sentences of each depth."""
    return {depth: study.estimates.share("iid", sentence_depth=depth) for depth in depths}
