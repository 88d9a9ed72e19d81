"""What is claimed about code models: claims 5 and 6 of `lib/rules.toml`, as effects.

Claim 6 compares what is predicted, and heads, *at equal effect in distribution*: what is simplified into more disagreement
there has more to lose elsewhere, whatever it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pandas as pd

from lib.claims import UNSPANNED, Cell, cells_of, proxies_of
from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of
from lib.proxies import PROXIES, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks.code.heads import INDUCTION, copying_heads, pooled_heads
from lib.tasks.code.languages import CLASSES, NEW, REPEATED

ALL = -1  # every layer at once
WORDS, HEADS = "repeated words", "induction heads"


def findings(study: Study) -> list[Cell]:
    """Claims 5 and 6, tested on a study of code."""
    found = cells_of(study, RULES.claim(5), ALL)
    for number, (_, report) in enumerate(RULES.halves(study.seeds)):
        decides = number == 0
        found += [*_words(study, study.estimates.only(report), decides), *_heads(study, report, decides)]
    return found


def _words(study: Study, estimates: Estimates, decides: bool) -> Iterator[Cell]:
    """Claim 6: repeated against new words, where both are predicted alike in distribution."""
    claim, own = RULES.claim(6), study.task.reference
    for proxy in proxies_of(study, ALL, claim.proxies):
        for reading, level in (("A", RULES.levels.chosen), *(("C", level) for level in RULES.levels.sensitivity)):
            setting = f"{PROXIES[proxy].label} at {100 * level:g} % on either kind"
            where = (claim, reading, proxy, setting, WORDS, own, tuple(estimates.seeds))
            cell = partial(Cell, *where, level=level, decides=decides)
            yield _filled(cell, partial(words_at, study, estimates, proxy, level), UNSPANNED)


def words_at(study: Study, estimates: Estimates, proxy: str, level: float) -> Estimate:
    """How much larger the gap is on later characters of repeated words than of new ones, each at the settings of a family that
    agree with the model in `level` of cases on that kind in distribution; mean over the languages that were not trained on.
    """
    family, own = study.family(proxy, ALL), study.task.reference

    def elsewhere(kind: int) -> Estimate:
        where = {"character": CLASSES[kind]}
        agreement = partial(estimates.estimate, measure="same_prediction", **where)
        of = [
            estimates.at_level(family, own, level, lambda s, x=split: agreement(s, x), **where)
            for split in study.task.unseen(study.splits)
        ]
        return mean_of(of)

    return elsewhere(NEW) - elsewhere(REPEATED)


def _filled(cell: Callable[..., Cell], effect: Callable[[], Estimate], unmeasured: str, reason: str = "") -> Cell:
    """A cell with its effect; without one, the reason why."""
    try:
        found = effect()
    except InputError as error:
        return cell(effect=None, reason=str(error))
    return cell(effect=found, reason=reason if found.measured else unmeasured)


def class_gap(study: Study, s: Simplification, kind: str, languages: Sequence[str] = (), reference: str = "id") -> Estimate:
    """The gap on one kind of character, mean over languages (if none are named, all that were not trained on)."""
    of = partial(study.estimates.estimate, s, measure="same_prediction", character=kind)
    return mean_of([of(split=reference) - of(split=split) for split in languages or study.task.unseen(study.splits)])


def repeated_less_new(study: Study, s: Simplification) -> Estimate:
    """How much larger the gap is on later characters of repeated words than of new ones, whatever agreement in distribution."""
    return class_gap(study, s, CLASSES[REPEATED]) - class_gap(study, s, CLASSES[NEW])


def _heads(study: Study, seeds: Sequence[int], decides: bool) -> Iterator[Cell]:
    """Claim 6, single heads: whether induction heads have larger gaps on repeated words than other heads of equal effect."""
    each_head, claim = study.experiment.measuring.each_head, RULES.claim(6)
    if not each_head:
        return
    heads = pd.concat([copying_heads(study.runs[seed]) for seed in seeds], ignore_index=True)
    scores = heads.groupby("seed")["induction"]
    best, least = float(scores.max().min()), float(scores.min().max())
    reason = ""
    if scores.max().max() < INDUCTION:
        reason = f"no head of any model does induction: the highest score is {scores.max().max():.3f}, {INDUCTION} is asked for"
    elif best < INDUCTION:
        reason = (
            f"not in every model does a head do induction: in one the highest score is {best:.3f}, {INDUCTION} is asked for"
        )
    elif least >= INDUCTION:
        reason = f"in one of the models every head does induction: its lowest score is {least:.3f}"
    for proxy in (p for p in each_head if not PROXIES[p].control and PROXIES[p].fitted):
        (s, *_) = simplifications_of({"all": {proxy: each_head[proxy]}})
        setting = f"{s.label} in single heads"
        cell = partial(Cell, claim, "A", proxy, setting, HEADS, study.task.reference, tuple(seeds), decides=decides)
        if reason:
            yield cell(effect=None, reason=reason)
        else:
            note = f"induction heads: induction score at least {INDUCTION}"
            nothing = "nothing was scored, or simplifying the other heads changes no prediction in distribution"
            yield _filled(cell, partial(induction_at_equal_effect, study, s, heads), nothing, note)


def induction_at_equal_effect(study: Study, s: Simplification, heads: pd.DataFrame) -> Estimate:
    """How much larger the gap on repeated words is in induction heads than in others of the same effect in distribution: the
    gap of the others is scaled by how much more an induction head's simplification changes predictions in distribution.
    """
    pooled, *groups = pooled_heads(study, s, heads)
    gaps, effects = [], []
    for group in groups:
        of = partial(pooled.estimate, group, measure="same_prediction", character=CLASSES[REPEATED])
        inside = of(split=study.task.reference)
        gaps.append(mean_of([inside - of(split=split) for split in study.task.unseen(study.splits)]))
        effects.append(inside.scaled(-1) + 1)
    return gaps[0] - gaps[1] * (effects[0] / effects[1])
