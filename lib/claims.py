"""Claims tested cell by cell: a family of proxies on a split, in three readings. What is claimed stands in `rules.toml`.

- **A**, as the paper says it: the setting that stands for a family, against the split in distribution.
- **B**, matched: the same against the references that the task names for a split, alike in what the split does not test.
- **C**, at equal agreement: as A, but between the settings of a family where it agrees in so many cases in distribution.

Which setting stands for a family is decided on a split that no claim is tested on, `Task.chosen_on`: the simplest that agrees
with the model in `levels.chosen` of cases there, or if none does, the most faithful.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from lib import prose
from lib.errors import InputError
from lib.foreseeing import foreseen
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate
from lib.proxies import PROXIES, Simplification
from lib.rules import GAP, NOT_APPLICABLE, RULES, VERDICTS, Claim
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
    foreseen: Estimate | None = None  # the same effect, foreseen from in-distribution measurements
    level: float | None = None  # of agreement in distribution, where it is held equal
    decides: bool = True  # False: on the seeds that the setting was chosen on, for comparison

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
        """The verdict in the words of the claim."""
        return self.claim.word(self.verdict)

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
    agreement = {s: agreement_in_distribution(study, s, seeds) for s in study.family(proxy, layer)}
    trusted = [s for s, value in agreement.items() if value >= RULES.levels.chosen]
    if trusted:
        return min(trusted, key=lambda s: s.complexity or 0)
    return max(agreement, key=agreement.get, default=None)


def agreement_in_distribution(study: Study, s: Simplification, seeds: Sequence[int] | None = None) -> float:
    """How often a simplification makes the model's prediction on the split that settings are chosen on."""
    estimates = study.estimates if seeds is None else study.estimates.only(seeds)
    return estimates.estimate(s, study.task.chosen_on, "same_prediction").value


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
        for proxy in proxies_of(study, layer, claim.proxies):
            for split in splits_of(study, claim):
                tester = _Tester(study, claim, layer, proxy, split, choose, estimates, effect, against, decides)
                found += [*tester.as_said(), *tester.against_references(), *tester.at_levels()]
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
        try:
            s = representative(self.study, self.layer, self.proxy, self.choose)
            agreement = agreement_in_distribution(self.study, s, self.choose)
        except InputError as error:
            where = self._where(reading, PROXIES[self.proxy].label, reference)
            return Cell(**where, effect=None, reason=str(error), applies=False)
        level, where = RULES.levels.chosen, self._where(reading, s.label, reference)
        applies = agreement >= level or not self.claim.matching
        why = f"{100 * agreement:.1f} % agreement on {self.study.task.chosen_on}" + (
            "" if applies else f": no setting reaches {100 * level:g} %"
        )
        try:
            found = self._effect(s, reference)
        except InputError as error:
            return Cell(**where, effect=None, reason=str(error), applies=False)
        why = why if found.measured else "nothing was scored"
        known = foreseen(self.study, self.estimates, s, self.split) if reading == "A" and self.effect is gap else None
        return Cell(**where, effect=found, reason=why, applies=applies, foreseen=known)


# In words


def by_claim(cells: Sequence[Cell], reading: str = "") -> dict[Claim, list[Cell]]:
    """Cells grouped by their claim, in the claims' order; of one reading, or of all."""
    claims = sorted({cell.claim for cell in cells}, key=lambda claim: claim.number)
    return {claim: [c for c in cells if c.claim == claim and reading in ("", c.reading)] for claim in claims}


def answer(claim: Claim, cells: Sequence[Cell]) -> str:
    """What cells of a claim come to: `gap in 7 of 12 cells; 2 equal, 1 closer, 2 undecided (3 not applicable)`."""
    count = Counter(cell.verdict for cell in cells)
    left_out = count.pop(NOT_APPLICABLE, 0)
    aside = f" ({left_out} not applicable)" if left_out else ""
    if not count:
        return f"there is nothing to test it on{aside}"
    rest = ", ".join(f"{count[v]} {claim.word(v)}" for v in VERDICTS if v != GAP and count[v])
    total = f"{count.total()} cell" + ("" if count.total() == 1 else "s")
    return f"{claim.word(GAP)} in {count[GAP]} of {total}{'; ' if rest else ''}{rest}{aside}"


def answers(claim: Claim, cells: Sequence[Cell], reading: str = "A") -> str:
    """The answer of a reading on the seeds that verdicts rest on; then that on the seeds that settings were chosen on."""
    cells = [cell for cell in cells if cell.reading == reading]
    first, second = ([cell for cell in cells if cell.decides is decides] for decides in (True, False))
    also = f"; on the seeds that settings were chosen on: {answer(claim, second)}" if second else ""
    return answer(claim, first) + also


def to_text(cells: Sequence[Cell]) -> str:
    """Cells as lines under their claims, effects in percentage points."""
    blocks = []
    for claim, of_claim in by_claim(cells).items():
        lines = [f"{claim.number}. {claim.text}", f"   {answers(claim, of_claim)}"]
        for reading in READINGS:
            shown = [cell for cell in of_claim if cell.reading == reading]
            lines += [_line(cell) for cell in sorted(shown, key=lambda cell: not cell.decides)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _line(cell: Cell) -> str:
    effect = prose.points(cell.effect, sign=True) if cell.measured else ""
    seeds = "" if cell.decides else f" (seeds {', '.join(map(str, cell.seeds))})"
    return f"   {cell.reading}  {cell.word:<15}{effect:<24}{cell.setting:<32}{cell.split} against {cell.reference}{seeds}"
