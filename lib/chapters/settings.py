"""Settings of proxies on splits on which gaps are claimed: what was measured of each, and foreseen, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lib import foreseeing, prose
from lib.errors import InputError
from lib.experiment import simplifications_of
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.matching import Matched
from lib.prose import in_percent, percent, points, tell
from lib.proxies import Simplification
from lib.studies import Study
from lib.tasks import Reference


@dataclass(frozen=True)
class Row:
    """A setting on a split on which gaps are claimed."""

    setting: Simplification
    split: str  # in words
    sides: Mapping[str, Matched]  # by what the split is compared with, in words; the first is the split in distribution
    foreseen: Estimate  # agreement, as the diagnostic of the rules foresees it

    @property
    def plain(self) -> Matched:
        """The split in distribution and the other one, as they are."""
        return next(iter(self.sides.values()))

    @property
    def off(self) -> Estimate:
        """How much more agreement was foreseen than was measured."""
        return self.foreseen - self.plain.target

    def sentences(self) -> list[str]:
        """All that is known of it."""
        name = f"{prose.begin(self.setting.phrase)} in {self.setting.place}"
        inside, there = self.plain
        known = f"{name} makes the model's prediction in {in_percent(inside)} of cases in distribution"
        if not there.measured:
            return [f"{known}; on {self.split} it was not measured."]
        (_, gap), *others = ((against, of.gap) for against, of in self.sides.items())
        return [
            f"{known} and in {in_percent(there)} on {self.split}: {_than_inside(gap)}.",
            *(f"Against {against}, {_than(of)}." for against, of in others),
            f"{_told(self)}.",
        ]


def _than_inside(gap: Estimate) -> str:
    return tell(
        gap,
        above=f"{points(gap)} points less often there",
        below=f"{points(gap.scaled(-1))} points more often there",
        unclear=f"a gap of {points(gap)} points, which cannot be told from none",
        missing="the two cannot be compared",
    )


def _than(gap: Estimate) -> str:
    return tell(
        gap,
        above=f"it does so {points(gap)} points less often",
        below=f"it does so {points(gap.scaled(-1))} points more often",
        unclear=f"a gap of {points(gap)} points cannot be told from none",
        missing="nothing could be compared",
    )


def _told(row: Row) -> str:
    if not row.foreseen.measured:
        return "What it would do there could not be foreseen"
    off = row.off
    verdict = tell(
        off,
        above=f"{points(off)} points too many",
        below=f"{points(off.scaled(-1))} points too few",
        unclear=f"an error of {points(off)} points, which cannot be told from none",
        missing="which cannot be held against what was measured",
    )
    return f"The agreement foreseen there was {percent(row.foreseen)}, {verdict}"


def settings(study: Study) -> list[Simplification]:
    """What is measured of a study, fitted on training sequences."""
    return simplifications_of(study.experiment.measuring.grid)


def key(s: Simplification) -> str:
    """A setting in an address: `svd-8-1`, `one_hot-all`."""
    parts = (s.proxy, s.complexity, "all" if s.layer < 0 else s.layer)
    return "-".join(str(part) for part in parts if part is not None)


def references(study: Study, split: str) -> list[Reference]:
    """What a split is compared with: the split in distribution as it is, then the references that its task names."""
    first = Reference(study.task.reference)
    measured = [r for r in study.task.references(split) if r.split in study.splits and r != first]
    return [first, *measured]


def key_of(reference: Reference) -> str:
    """A reference in an address."""
    return "-".join((reference.split, *reference.covariates))


def named(study: Study, reference: Reference) -> str:
    """A reference in words; see `Reference.label`."""
    if reference == Reference(study.task.reference):
        return "in distribution"
    label = study.task.look(reference.split).label
    return f"{label}, {alike(reference)}" if reference.covariates else label


def alike(reference: Reference) -> str:
    """In what a split is like its reference, in words: `at the same depth`."""
    return reference.label.partition(f"{reference.split} ")[2]


def row_of(study: Study, s: Simplification, split: str) -> Row:
    """What was measured of a setting on a split, and what was foreseen."""
    sides = {named(study, reference): _matched(study, s, split, reference) for reference in references(study, split)}
    inside = next(iter(sides.values())).reference
    agreement = inside - foreseeing.foreseen(study, study.estimates, s, split)
    return Row(s, study.task.look(split).label, sides, replace(agreement, limits=(0.0, 1.0)))


def _matched(study: Study, s: Simplification, split: str, reference: Reference) -> Matched:
    estimates = study.estimates
    try:
        if reference.covariates:
            return estimates.matched(s, split, reference.split, reference.covariates)
        inside = estimates.estimate(s, reference.split, "same_prediction")
    except InputError:  # not measured there, or nothing is alike
        return Matched(nothing(), nothing())
    there = estimates.estimate(s, split, "same_prediction") if estimates.has(s, split) else nothing()
    return Matched(inside, there)
