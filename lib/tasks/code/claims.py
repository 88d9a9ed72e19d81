"""What is claimed about code models: claims 5 and 6. Every proxy that is fitted on data, and no control, joins them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from lib.claims import Claim, Finding, conclude, proxies_of, representative, test
from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring.intervals import Estimate, mean_of
from lib.proxies import PROXIES, Simplification
from lib.studies import Study
from lib.tasks.code.heads import INDUCTION, copying_heads, pooled_heads
from lib.tasks.code.humaneval import PREFIX
from lib.tasks.code.languages import CLASSES, NEW, REPEATED

FEWEST_CHARACTERS = 100  # a kind of character needs so many predictions to be compared with others
ALL = -1  # every layer at once
LANGUAGE = Claim(
    5, "Code: proxies are more faithful on the training language than on others, and a shift of domain alone does not do it"
)
PREDICTED = Claim(
    6, "Code: the gap depends on what is predicted: on the kind of character, on repeated words, in heads that do induction"
)


def findings(study: Study) -> list[Finding]:
    """Claims 5 and 6, tested on a study of code."""
    proxies = {proxy: representative(study, ALL, proxy) for proxy in proxies_of(study, ALL, fitted=True)}
    found = [finding for proxy, s in proxies.items() for finding in _language(study, PROXIES[proxy].label, s)]
    found += [finding for proxy, s in proxies.items() for finding in _predicted(study, PROXIES[proxy].label, s)]
    return found + _heads(study)


def _language(study: Study, label: str, s: Simplification) -> list[Finding]:
    """Claim 5: the gap to each further language; on HumanEval-X, what language costs beyond what domain does."""
    own = f"{PREFIX}{study.task.language}"
    others = [split for split in study.splits if split.startswith(PREFIX) and split != own]
    found = []
    for split in study.task.unseen(study.splits):
        statement = f"{label}: same prediction as the model more often on id than on {study.task.look(split).label}"
        found.append(test(study, LANGUAGE, statement, s, lambda s, x=split: study.estimates.gap(s, x, "id")))
    statement = f"{label}: on HumanEval-X, another language costs more agreement than the new domain"
    if own in study.splits and others:
        return [*found, test(study, LANGUAGE, statement, s, lambda s: language_less_domain(study, s, own, others))]
    reason = "HumanEval-X is not at hand in the training language and another: set LIB_HUMANEVAL_X to its folder"
    return [*found, Finding(LANGUAGE, statement, None, reason)]


def language_less_domain(study: Study, s: Simplification, own: str, others: Sequence[str]) -> Estimate:
    """What another language costs on the same functions, less what the new domain costs in the same language (at least 0)."""
    language = mean_of([study.estimates.gap(s, split, own) for split in others])
    return language - study.estimates.gap(s, own, "id").at_least(0)


def _predicted(study: Study, label: str, s: Simplification) -> list[Finding]:
    """Claim 6, all heads at once: by kind of character, and by whether a word is repeated."""
    first, *others = study.task.unseen(study.splits)
    name = study.task.look(first).label
    statement = f"{label}: the kinds of characters whose gaps differ most on {name} differ elsewhere too"
    contrast = partial(class_contrast, study, first=first, others=others)
    words = f"{label}: a larger gap on later characters of repeated words than of new words"
    return [test(study, PREDICTED, statement, s, contrast), test(study, PREDICTED, words, s, partial(repeated_less_new, study))]


def class_gap(study: Study, s: Simplification, kind: str, languages: Sequence[str] = (), reference: str = "id") -> Estimate:
    """The gap on one kind of character, mean over languages (if none are named, all that were not trained on)."""
    of = partial(study.estimates.estimate, s, measure="same_prediction", character=kind)
    return mean_of([of(split=reference) - of(split=split) for split in languages or study.task.unseen(study.splits)])


def repeated_less_new(study: Study, s: Simplification) -> Estimate:
    """How much larger the gap is on later characters of repeated words than of new ones."""
    return class_gap(study, s, CLASSES[REPEATED]) - class_gap(study, s, CLASSES[NEW])


def class_contrast(study: Study, s: Simplification, first: str, others: Sequence[str]) -> Estimate:
    """Which kinds of characters differ most is settled on other text: between `seen_package` and one language."""
    if not others:
        raise InputError("only one further language was measured, and this needs a second: use a corpus with more languages")
    count = partial(study.estimates.estimate, s, measure="accuracy")
    enough = [
        kind
        for kind in CLASSES
        if min(count(split=x, character=kind).positions for x in ("id", first, *others)) >= FEWEST_CHARACTERS
    ]
    if len(enough) < 2:
        raise InputError(f"fewer than two kinds of characters have {FEWEST_CHARACTERS} predictions everywhere: measure more")
    gaps = {kind: class_gap(study, s, kind, [first], "seen_package").value for kind in enough}
    largest, smallest = max(gaps, key=gaps.get), min(gaps, key=gaps.get)
    return class_gap(study, s, largest, others) - class_gap(study, s, smallest, others)


def _heads(study: Study) -> list[Finding]:
    """Claim 6, single heads: whether induction heads have larger gaps on repeated words than other heads."""
    each_head = study.experiment.measuring.each_head
    if not each_head:
        return []
    heads = pd.concat([copying_heads(run) for run in study.runs], ignore_index=True)
    scores = heads.groupby("seed")["induction"]
    best, least = float(scores.max().min()), float(scores.min().max())
    found = []
    for proxy in (p for p in each_head if not PROXIES[p].control):
        (s, *_) = simplifications_of({"all": {proxy: each_head[proxy]}})
        statement = f"{PROXIES[proxy].label} in single heads: on repeated words, a larger gap in induction heads than in others"
        if best < INDUCTION:
            reason = (
                f"not in every model does a head do induction: in one the highest score is {best:.3f}, {INDUCTION} is asked for"
            )
            found.append(Finding(PREDICTED, statement, None, reason))
        elif least >= INDUCTION:
            reason = f"in one of the models every head does induction: its lowest score is {least:.3f}"
            found.append(Finding(PREDICTED, statement, None, reason))
        else:
            reason = f"{s.label}; induction heads: induction score at least {INDUCTION}"
            found.append(conclude(PREDICTED, statement, induction_less_other(study, s, heads), reason))
    return found


def induction_less_other(study: Study, s: Simplification, heads: pd.DataFrame) -> Estimate:
    """How much larger the gap on repeated words is when an induction head is simplified than when another is."""
    pooled, *groups = pooled_heads(study, s, heads)
    gaps = []
    for group in groups:
        of = partial(pooled.estimate, group, measure="same_prediction", character=CLASSES[REPEATED])
        gaps.append(mean_of([of(split="id") - of(split=split) for split in study.task.unseen(study.splits)]))
    return gaps[0] - gaps[1]
