"""The rules by which claims are judged, from `rules.toml`, and the verdict that they give an effect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from lib.config import Config, checked, read_toml
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.intervals import CONFIDENCE, Estimate

GAP, OPPOSITE, EQUAL, UNDECIDED, NOT_APPLICABLE = "gap", "opposite", "equal", "undecided", "not applicable"
VERDICTS = (GAP, OPPOSITE, EQUAL, UNDECIDED, NOT_APPLICABLE)

SMALL = ", small"  # is added where an effect counts and is within the margin of what is no effect

Share = Annotated[float, Field(gt=0, lt=1)]
SeedNumbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class Levels(Config):
    """Agreement in distribution."""

    chosen: Share
    sensitivity: tuple[Share, ...]


class Margins(Config):
    """What counts as an effect, and as none."""

    gap: Share
    equal: Share


class Seeds(Config):
    """Which models settings are chosen on, and which verdicts rest on."""

    fewest: int = Field(ge=2)
    choose: SeedNumbers
    report: SeedNumbers


class Foreseeing(Config):
    """How an effect is foreseen."""

    diagnostic: str

    @field_validator("diagnostic")
    @classmethod
    def _there_is_one(cls, name: str) -> str:
        if name not in DIAGNOSTICS:
            raise ValueError(f"there are {', '.join(DIAGNOSTICS)}")
        return name


class Claim(Config):
    """What is claimed, in which cells."""

    number: int
    task: str  # the kind of task that it is about
    text: str
    short: str = ""  # the same in a few words, for the first page of the book
    proxies: Literal["fitted", "no data", "all"]
    splits: tuple[str, ...] = Field(min_length=1)
    paper: str = ""  # what the paper reports of it, as far as its abstract, its figures and its public reviews say
    matching: bool = True
    premise: Share | None = None  # how often the model itself is right on a split, at least, for the claim to be about it
    positive: str = GAP  # what a cell is called where the effect is there, and where the opposite is
    negative: str = "closer"


class Rules(Config):
    """All of them."""

    levels: Levels
    margins: Margins
    seeds: Seeds
    foreseeing: Foreseeing
    claims: tuple[Claim, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_claim_has_a_number_of_its_own(self):
        numbers = [claim.number for claim in self.claims]
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise ValueError(f"two claims have the number {min(twice)}")
        return self

    def claim(self, number: int) -> Claim:
        """The claim of a number."""
        return next(claim for claim in self.claims if claim.number == number)

    def halves(self, seeds: int) -> list[tuple[list[int], list[int]]]:
        """On which of so many seeds settings are chosen, and on which effects are then measured: what verdicts rest on first,
        then, where these are others, the effects on the seeds that settings were chosen on.
        """
        every, (choose, report) = list(range(seeds)), (list(self.seeds.choose), list(self.seeds.report))
        return [(choose, report), (choose, choose)] if {*choose, *report} <= {*every} else [(every, every)]

    def verdict(self, effect: Estimate | None, confidence: float = CONFIDENCE) -> str:
        """The verdict on an effect, a share that is above zero where it is as claimed."""
        if effect is None or not effect.measured:
            return NOT_APPLICABLE
        (low, high), value = effect.interval_at(confidence), effect.value
        if effect.seeds < self.seeds.fewest:
            return UNDECIDED
        if low > 0 and value >= self.margins.gap:
            return GAP
        if high < 0 and value <= -self.margins.gap:
            return OPPOSITE
        return EQUAL if self._near_zero(effect, confidence) else UNDECIDED

    def word(self, claim: Claim, verdict: str, effect: Estimate | None = None) -> str:
        """A verdict in the words of a claim; with its effect, it is told whether that is small."""
        margin = f"{100 * self.margins.equal:g}"
        known = {GAP: claim.positive, OPPOSITE: claim.negative, EQUAL: f"within {margin} point{'' if margin == '1' else 's'}"}
        small = effect is not None and verdict in (GAP, OPPOSITE) and self._near_zero(effect)
        return known.get(verdict, verdict) + (SMALL if small else "")

    def _near_zero(self, effect: Estimate, confidence: float = CONFIDENCE) -> bool:
        low, high = effect.interval_at(confidence)
        return -self.margins.equal < low and high < self.margins.equal


def read(path: Path) -> Rules:
    """The rules of a file. Raises `InputError` naming the file, and the key that is missing, unknown or has a wrong value."""
    content = read_toml(path, "the rules")
    return checked(Rules, content, str(path))


RULES = read(Path(__file__).with_suffix(".toml"))
