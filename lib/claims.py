"""Claims tested cell by cell: a family of proxies on a split, in three readings. What is claimed stands in `rules.toml`.

- **A**, as the paper says it: the setting that stands for a family, against the split in distribution.
- **B**, matched: the same against the references that the task names for a split, alike in what the split does not test.
- **C**, at equal agreement: as A, but between the settings of a family where it agrees in so many cases in distribution.

Which setting stands for a family is decided on a split that no claim is tested on, `Task.chosen_on`: the simplest that agrees
with the model in `levels.chosen` of cases there, or if none does, the most faithful. It matches the model if it agrees with it
so often there and on the task's split in distribution. A claim that says what the model does, its premise, is tested only where
the model does that. `lib.answers` says in words what cells come to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch

from lib import prose
from lib.errors import InputError
from lib.foreseeing import foreseen
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import CONFIDENCE, Estimate
from lib.proxies import MODEL, PROXIES, Simplification
from lib.rules import GAP, NOT_APPLICABLE, RULES, Claim
from lib.studies import Study
from lib.tasks import Reference

Effect = Callable[[Estimates, Simplification, str, Reference], Estimate]  # a share, above zero where it is as claimed
READINGS = {"A": "as the paper says it", "B": "matched", "C": "at equal agreement in distribution"}
UNSPANNED = "in some seed no two measured settings lie on either side of this level, or nothing was scored"


@dataclass(frozen=True)
class Cell:
    """One tested statement."""

    claim: Claim
    reading: str  # one of READINGS
    proxy: str
    setting: str  # in words
    split: str  # or what else the claim contrasts
    reference: str  # in words
    seeds: tuple[int, ...]  # on which the effect rests
    effect: Estimate | None  # None where there is none
    reason: str = ""  # why there is no verdict, or what to know about it
    applies: bool = True
    foreseen: Estimate | None = None  # the same effect, from in-distribution measurements, the other text and the model on it
    level: float | None = None  # of agreement in distribution, where it is held equal
    decides: bool = True  # False: on the seeds that the setting was chosen on, for comparison
    agreement: float | None = None  # of the setting with the model, in distribution, on the seeds that it was chosen on

    @property
    def measured(self) -> bool:
        """Whether there is an effect."""
        return self.effect is not None and self.effect.measured

    @property
    def verdict(self) -> str:
        """One of `lib.rules.VERDICTS`."""
        return RULES.verdict(self.effect) if self.applies else NOT_APPLICABLE

    @property
    def word(self) -> str:
        """The verdict in the words of the claim, and whether an effect that counts is small."""
        return RULES.word(self.claim, self.verdict, self.effect)

    @property
    def note(self) -> str:
        """The reason, and how many seeds there are if that is why nothing is decided."""
        few = ""
        if self.measured and self.applies and self.effect.seeds < RULES.seeds.fewest:
            few = f"measured in {prose.seeds(self.effect.seeds)}, a verdict needs {RULES.seeds.fewest}"
        elif self.measured and self.effect.seeds < len(self.seeds):
            few = f"measured in {self.effect.seeds} of {prose.seeds(len(self.seeds))}"
        return "; ".join(part for part in (self.reason, few) if part)

    @property
    def error(self) -> Estimate | None:
        """The foreseen effect less the measured one; None where one of them is missing."""
        known = self.measured and self.foreseen is not None and self.foreseen.measured
        error = self.foreseen - self.effect if known else None
        return error if error is not None and error.measured else None

    def plain(self) -> dict:
        """The cell as values that JSON has; effects in percentage points, null where there are none."""
        effect = self.effect.scaled(100) if self.measured else None
        has_interval = effect is not None and effect.interval[0] == effect.interval[0]  # not NaN
        known = self.foreseen is not None and self.foreseen.measured
        return {
            "claim": self.claim.number,
            "reading": self.reading,
            "proxy": self.proxy,
            "setting": self.setting,
            "split": self.split,
            "reference": self.reference,
            "effect": effect.value if effect else None,
            "interval": list(effect.interval) if has_interval else None,
            "seeds": list(self.seeds),
            "verdict": self.verdict,
            "foreseen": 100 * self.foreseen.value if known else None,
            "reason": self.note,
        }


def gap(estimates: Estimates, s: Simplification, split: str, reference: Reference) -> Estimate:
    """How much less often a proxy makes the model's prediction on a split than on its reference."""
    return estimates.matched_gap(s, split, reference.split, reference.covariates)


def proxies_of(study: Study, layer: int, which: str = "all") -> list[str]:
    """The proxies that were measured in a layer and are no controls: all of them, those "fitted", or those with "no data"."""
    measured = dict.fromkeys(s.proxy for s in study.simplifications(layer))
    fitted = {"all": (True, False), "fitted": (True,), "no data": (False,)}[which]
    return [p for p in measured if not PROXIES[p].control and PROXIES[p].fitted in fitted]


def representative(study: Study, layer: int, proxy: str, seeds: Sequence[int] | None = None) -> Simplification | None:
    """The setting that stands for a family, chosen on some seeds (None: all); None if no such proxy was measured."""
    agreement = {s: agreement_on(study, s, study.task.chosen_on, seeds) for s in study.family(proxy, layer)}
    trusted = [s for s, value in agreement.items() if value >= RULES.levels.chosen]
    if trusted:
        return min(trusted, key=lambda s: s.complexity or 0)
    return max(agreement, key=agreement.get, default=None)


def agreement_on(study: Study, s: Simplification, split: str, seeds: Sequence[int] | None = None) -> float:
    """How often a simplification makes the model's prediction on a split, mean over some seeds (None: all)."""
    estimates = study.estimates if seeds is None else study.estimates.only(seeds)
    return estimates.estimate(s, split, "same_prediction").value


def lacks_premise(claim: Claim, study: Study, estimates: Estimates, split: str) -> str:
    """Why a claim is not about a split, as the model does not do there what the claim says; empty where it does."""
    if claim.premise is None:
        return ""
    try:
        accuracy = estimates.estimate(MODEL, split, "accuracy")
    except InputError as error:
        return str(error)
    if accuracy.value >= claim.premise:
        return ""
    asked = f"{100 * claim.premise:g} % are asked for"
    return f"the model itself does not go on: right on {prose.in_percent(accuracy)} of {study.task.look(split).label}, {asked}"


def splits_of(study: Study, claim: Claim) -> list[str]:
    """The measured splits that a claim is about: those that it names, but for what others are compared with."""
    unseen = study.task.unseen(study.splits)
    references = {reference.split for split in study.splits for reference in study.task.references(split)}
    named = [x for x in study.splits if any(x in unseen if p == "unseen" else fnmatch(x, p) for p in claim.splits)]
    return [split for split in named if split not in references]


def cells_of(study: Study, claim: Claim, layer: int, effect: Effect = gap, against: str = "") -> list[Cell]:
    """Every cell of a claim, in every reading. `against`: what effects are against, where that is no split; then B is empty."""
    found = []
    for choose, report in RULES.halves(study.seeds):
        estimates, decides = study.estimates.only(report), not found
        lacking = {split: lacks_premise(claim, study, estimates, split) for split in splits_of(study, claim)}
        for proxy in proxies_of(study, layer, claim.proxies):
            for split, lack in lacking.items():
                tester = _Tester(study, claim, layer, proxy, split, choose, estimates, effect, against, decides)
                cells = [*tester.as_said(), *tester.against_references(), *tester.at_levels()]
                found += [replace(cell, applies=False, reason=lack) for cell in cells] if lack else cells
    return found


@dataclass(frozen=True)
class _Tester:
    """One family on one split."""

    study: Study
    claim: Claim
    layer: int
    proxy: str
    split: str
    choose: Sequence[int]  # the seeds on which its setting is chosen
    estimates: Estimates  # on which effects rest
    effect: Effect
    against: str
    decides: bool

    def as_said(self) -> Iterator[Cell]:
        yield self._cell("A", Reference(self.study.task.reference))

    def against_references(self) -> Iterator[Cell]:
        for reference in self.study.task.references(self.split):
            if not self.against and reference.split in self.estimates.splits:
                yield self._cell("B", reference)

    def at_levels(self) -> Iterator[Cell]:
        reference = Reference(self.study.task.reference)
        family = self.study.family(self.proxy, self.layer)
        for level in RULES.levels.sensitivity:
            setting = f"{PROXIES[self.proxy].label} at {100 * level:g} % on {reference.split}"
            where = {**self._where("C", setting, reference), "level": level}
            try:
                found = self.estimates.at_level(family, reference.split, level, lambda s: self._effect(s, reference))
            except InputError as error:
                yield Cell(**where, effect=None, reason=str(error))
                continue
            yield Cell(**where, effect=found, reason="" if found.measured else UNSPANNED)

    def _where(self, reading: str, setting: str, reference: Reference) -> dict:
        return {
            "claim": self.claim, "reading": reading, "proxy": self.proxy, "setting": setting, "split": self.split,
            "reference": self.against or reference.label, "seeds": tuple(self.estimates.seeds), "decides": self.decides,
        }  # fmt: skip

    def _effect(self, s: Simplification, reference: Reference) -> Estimate:
        return self.effect(self.estimates, s, self.split, reference)

    def _cell(self, reading: str, reference: Reference) -> Cell:
        inside = self.study.task.reference
        try:
            s = representative(self.study, self.layer, self.proxy, self.choose)
            checked = dict.fromkeys((self.study.task.chosen_on, inside))
            agreement = {split: agreement_on(self.study, s, split, self.choose) for split in checked}
        except InputError as error:
            where = self._where(reading, PROXIES[self.proxy].label, reference)
            return Cell(**where, effect=None, reason=str(error), applies=False)
        where = {**self._where(reading, s.label, reference), "agreement": agreement[inside]}
        short = [split for split, value in agreement.items() if not value >= RULES.levels.chosen]
        applies = not (self.claim.matching and short)
        why = f"agreement of {prose.names(f'{100 * value:.1f} % on {split}' for split, value in agreement.items())}" + (
            "" if applies else f": short of {100 * RULES.levels.chosen:g} % on {prose.names(short)}"
        )
        try:
            found = self._effect(s, reference)
        except InputError as error:
            return Cell(**where, effect=None, reason=str(error), applies=False)
        why = why if found.measured else "nothing was scored"
        known = foreseen(self.study, self.estimates, s, self.split) if reading == "A" and self.effect is gap else None
        return Cell(**where, effect=found, reason=why, applies=applies, foreseen=known)


def applying(cells: Iterable[Cell]) -> list[Cell]:
    """Those with a verdict other than "not applicable"."""
    return [cell for cell in cells if cell.verdict != NOT_APPLICABLE]


def confirmed(cells: Iterable[Cell]) -> list[Cell]:
    """Those of the cells of a claim, in one reading, that are as claimed with intervals corrected for their number, too.

    Bonferroni: with m cells that apply, each at a confidence of 1 - 0.05 / m. It needs no independence.
    """
    of = applying(cells)
    confidence = 1 - (1 - CONFIDENCE) / max(len(of), 1)
    return [cell for cell in of if cell.verdict == RULES.verdict(cell.effect, confidence) == GAP]
