"""The part of the chapter on depth that asks why a picture fails, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from lib import figures, prose
from lib.experiment import simplifications_of
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate
from lib.measuring.measures import LABELS
from lib.prose import percent
from lib.proxies import MODEL, PROXIES, TRAINING, Simplification
from lib.studies import Study
from lib.tasks.dyck import mechanism
from lib.tasks.dyck import prose as say
from lib.tasks.dyck.boundary import FEWEST, PAIR
from lib.tasks.dyck.mechanism import ANYWHERE

SOURCES = {  # what a proxy may be fitted on, in words
    TRAINING: "",
    "training_more": "more sentences",
    "training_balanced": "all depths alike",
    "unseen_depth": "deeper sentences themselves",
}


class Causes:
    """Figures and sentences on where attention goes, and on other ways to fit."""

    study: Study
    layer: int
    place: str
    measured_on: str
    example: Simplification
    one_hot: Simplification
    claimed: Sequence[Simplification]

    @cached_property
    def compared(self) -> list[Simplification]:
        """The simplifications whose attention is looked at: the example, and of every other proxy of claims that is fitted one
        of the same size, or the finest.
        """
        size = self.example.complexity
        claimed = sorted(self.claimed, key=lambda s: (s.complexity == size, s.complexity or 0))
        finest = {s.proxy: s for s in claimed if s.proxy != self.example.proxy and PROXIES[s.proxy].fitted}
        return [self.example, *finest.values(), self.one_hot]

    @cached_property
    def _attention(self) -> tuple[Estimates, pd.DataFrame]:
        found = {run.seed: mechanism.opener_attention(run, PAIR, self.compared) for run in self.study.runs}
        blocks = {seed: of_seed for seed, (of_seed, _) in found.items()}
        return self.study.estimates_of(blocks), pd.concat([depths for _, depths in found.values()])

    def opener(self) -> figures.Picture:
        """The share of attention on the opener of the bracket to be closed."""
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self._attention[0].estimate(s, split, "opener_weight"))
            for s in (MODEL, *self.compared)
            for split in PAIR
        )
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        x = "attention on the bracket to be closed (mean weight)"
        alt = f"How much attention is on the bracket to be closed. {self.attention()}"
        return figures.forest(table, figures.split_looks(self.study, PAIR), x=x, alt=alt, note=note)

    def attended_depth(self) -> figures.Picture:
        """At which depth the most-attended bracket lies, by the depth that has to be closed."""
        depths = self._attention[1]
        kind = PROXIES[self.example.proxy].parameter  # others of it look much alike
        others = [s for s in self.compared if PROXIES[s.proxy].parameter != kind]
        shown = [MODEL, self.example, *others]
        depths = depths[depths["simplification"].isin(shown)]
        panels = [
            f"{figures.called(self.study, split)}:\n{s.label}"
            for split, s in zip(depths["split"], depths["simplification"], strict=True)
        ]
        table = depths.assign(panel=panels, x=depths["attended"], y=depths["depth"]).sort_values("split", kind="stable")
        x, y = "depth of the bracket with most attention (0: START)", "depth to be closed"
        note = f"{self.measured_on}; {self.place}; each row sums to 100 %; grey: fewer than {FEWEST} brackets; no intervals"
        alt = f"The depth of the bracket with most attention, by the depth that has to be closed. {self.misses_text()}"
        return figures.heat(table, x=x, y=y, alt=alt, note=note, fewest=FEWEST, columns=len(shown))

    def misses(self, s: Simplification, split: str) -> dict[str, Estimate]:
        """Of the brackets whose opener does not get most attention, where it goes instead: shares by kind of miss.

        `missed` is the share of brackets that are missed at all; `level` of these goes to another bracket of the right depth;
        of all that go to a bracket of a wrong depth (so not to START), `even` goes to one an even number of levels away, and
        `deeper` to a deeper one.
        """
        return _shares([_kinds_of_miss(self._attended(seed, split, s)) for seed in self.study.estimates.seeds])

    def chance(self, s: Simplification, split: str) -> dict[str, Estimate]:
        """`even` and `deeper` as by chance, if every earlier bracket were as likely as any other, where `s` errs in depth.

        The depths to be closed count as often as `s` attends to a bracket of a wrong depth there.
        """
        of_seeds = []
        for seed in self.study.estimates.seeds:
            errs, every = (_kinds_of_miss(self._attended(seed, split, of)) for of in (s, ANYWHERE))
            weights = errs["away"].div(every["away"]).where(every["away"] > 0).reindex(every.index).fillna(0)
            of_seeds.append(every.mul(weights, axis=0))
        found = _shares(of_seeds)
        return {name: found[name] for name in ("even", "deeper")}

    def _attended(self, seed: int, split: str, s: Simplification) -> pd.DataFrame:
        depths = self._attention[1]
        return depths[(depths["seed"] == seed) & (depths["split"] == split) & (depths["simplification"] == s)]

    def misses_table(self) -> figures.Table:
        """Where attention goes that misses the opener, one row per simplification and split."""
        heads = {
            "missed": "openers missed",
            "level": "to another bracket of the right depth",
            "even": "to an even distance in depth, of wrong depths",
            "deeper": "to deeper brackets, of wrong depths",
        }
        rows = {}
        for split in PAIR:
            for s in (ANYWHERE, MODEL, *self.compared):
                found = self.misses(s, split)
                rows[f"{figures.called(self.study, split)}: {s.label}"] = {
                    head: percent(found[name], interval=True) if found[name].positions >= FEWEST else "too few"
                    for name, head in heads.items()
                }
        return figures.Table(prose.table(rows), "Where attention goes that misses the bracket to be closed")

    def misses_text(self) -> str:
        """Parity, direction and right depths of what the example attends to wrongly at unseen depth; empty if too little is."""
        found = self.misses(self.example, "unseen_depth")
        if found["even"].positions < FEWEST:
            return ""
        return say.misses_sentence(self.example.phrase, found, self.chance(self.example, "unseen_depth"))

    def attention(self) -> str:
        """How much attention is on the right bracket."""
        weight = self._attention[0].estimate
        pairs = [[weight(s, split, "opener_weight") for split in PAIR] for s in (MODEL, self.example)]
        return say.attention_sentence(self.example.phrase, *pairs)

    # What helps

    @cached_property
    def remedies(self) -> dict[str, Simplification]:
        """Other ways to make a picture of the example's rank, by a label each, the example first."""
        rank, found = self.example.complexity, {self.example.label: self.example}
        for s in self.study.simplifications(self.layer):
            if s.complexity == rank and PROXIES[s.proxy].parameter == PROXIES[self.example.proxy].parameter:
                found.setdefault(s.label, s)
        measuring = self.study.experiment.measuring
        for s in simplifications_of(measuring.refitted, measuring.refitted_on):
            if replace(s, fit_on=TRAINING) == self.example and SOURCES.get(s.fit_on):
                found[f"{s.label}, fitted on {SOURCES[s.fit_on]}"] = s
        higher = [s for s in self.study.family(self.example.proxy, self.layer) if s.complexity > rank]
        return found | {s.label: s for s in sorted(higher, key=lambda s: s.complexity)[:2]}

    def helps(self) -> figures.Picture:
        """Agreement at unseen depth and in distribution for every other way to make the picture."""
        of = self.study.estimates
        table = figures.tabulate(
            ({"row": label, "series": split}, of.estimate(s, split, "same_prediction"))
            for label, s in self.remedies.items()
            for split in PAIR
            if of.has(s, split)
        )
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        looks, alt = (
            figures.split_looks(self.study, PAIR),
            f"Agreement with other ways to make the picture. {self.helps_text()}",
        )
        return figures.forest(table, looks, x=LABELS["same_prediction"], alt=alt, note=note)

    @cached_property
    def gains(self) -> Mapping[str, Estimate]:
        """What every other way gains over the example at unseen depth."""
        agreement = {label: self._agreement(s) for label, s in self.remedies.items()}
        return {
            label: found - agreement[self.example.label] for label, found in agreement.items() if label != self.example.label
        }

    def _agreement(self, s: Simplification) -> Estimate:
        return self.study.estimates.estimate(s, "unseen_depth", "same_prediction")

    def helps_text(self) -> str:
        """What helps most, and what does not."""
        called = {label: label.replace(s.label, s.phrase).replace(",", "") for label, s in self.remedies.items()}
        looks_there = {called[label] for label, s in self.remedies.items() if s.fit_on == "unseen_depth"}
        finer = {label for label, s in self.remedies.items() if s.complexity != self.example.complexity}
        same, more = (
            {called[label]: gain for label, gain in self.gains.items() if (label in finer) == wanted}
            for wanted in (False, True)
        )
        return say.helps_sentence(self.example.phrase, same, more, looks_there)


def _kinds_of_miss(attended: pd.DataFrame) -> pd.DataFrame:
    """Counts by depth to be closed: `all`, the `missed` openers, those for another bracket of that `level`, those that go
    `away` to a bracket of another depth, and of these those an `even` number of levels away and those `deeper`.
    """
    offset = attended["attended"] - attended["depth"]
    missed, away = ~attended["opener"], (offset != 0) & (attended["attended"] > 0)
    kinds = {
        "all": missed | True, "missed": missed, "level": missed & (offset == 0), "away": away, "even": away & (offset % 2 == 0),
        "deeper": away & (offset > 0),
    }  # fmt: skip
    counts = pd.DataFrame({kind: attended["n"].where(chosen, 0.0) for kind, chosen in kinds.items()})
    return counts.groupby(attended["depth"]).sum()


def _shares(of_seeds: Sequence[pd.DataFrame]) -> dict[str, Estimate]:
    """What share one kind of miss is of another, seed by seed; see `Causes.misses`."""
    found = {}
    for part, whole in {"missed": "all", "level": "missed", "even": "away", "deeper": "away"}.items():
        sums = np.array([[counts[part].sum(), counts[whole].sum()] for counts in of_seeds])
        share = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
        found[part] = Estimate(share, None, round(sums[:, 1].sum()), (0.0, 1.0))
    return found
