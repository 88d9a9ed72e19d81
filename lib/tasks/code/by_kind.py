"""The part of the chapter on code completion that asks what is predicted, how certainly, and what could have been foreseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from lib import figures, foreseeing, prose
from lib.errors import InputError
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of, nothing
from lib.prose import points
from lib.proxies import PROXIES, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks.code import prose as say
from lib.tasks.code.claims import class_gap, repeated_less_new, words_at
from lib.tasks.code.languages import CLASSES, NEW, REPEATED

FEWEST = 20  # predictions that a mean within a category must rest on to be shown
LEAST = 0.0005  # by so much an error has to be larger than another to be called so: what rounds to a tenth of a point


class ByKind:
    """Figures, tables and sentences on kinds of characters and margins."""

    study: Study
    unseen: Sequence[str]  # splits in languages that were not trained on
    chosen: Mapping[str, Simplification]  # by proxy, the setting that stands for it
    estimates: Estimates
    languages: str
    note: str

    @cached_property
    def controlled(self) -> dict[str, dict[str, Estimate]]:
        """The gap of every proxy as it is, and with kinds of characters or margins matched."""
        names = {"same kinds of characters": "character", "same margins": "margin"}
        return {
            s.phrase: {"gap": self.gap(s), **{name: self._matched(s, covariate) for name, covariate in names.items()}}
            for s in self.chosen.values()
        }

    def _matched(self, s: Simplification, covariate: str) -> Estimate:
        try:
            gaps = [self.estimates.matched_gap(s, split, "id", [covariate], fewest=FEWEST) for split in self.unseen]
        except InputError:  # too little in common
            return nothing()
        return mean_of(gaps)

    def controls(self) -> figures.Table:
        """Gaps in percentage points with controls, one row per proxy."""
        rows = {phrase: {name: points(gap) for name, gap in gaps.items()} for phrase, gaps in self.controlled.items()}
        return figures.Table(
            prose.table(rows),
            "Gaps to other languages, in percentage points, as they are and against text that is alike",
            heat=True,
        )

    def classes(self) -> figures.Picture:
        """The gap by kind of the character to be predicted, one series per proxy."""
        shown = [s for s in self.chosen.values() if PROXIES[s.proxy].fitted]
        of = self.estimates.estimate
        table = figures.tabulate(
            ({"row": kind, "series": s.label}, class_gap(self.study, s, kind).scaled(100))
            for kind in CLASSES
            for s in shown
            if min(of(s, split, "accuracy", character=kind).positions for split in ("id", *self.unseen)) >= FEWEST
        )
        note = (
            f"all layers at once; mean over {self.languages}; kinds with fewer than {FEWEST} predictions left out; {self.note}"
        )
        looks = figures.looks_of(shown)
        alt = f"Gaps to other languages by the kind of the character to be predicted. {self.words()}"
        return figures.forest(table, looks, x="gap (percentage points)", alt=alt, note=note, percent=False)

    def words(self) -> str:
        """Gaps on repeated and on new words."""
        s = self.chosen["svd"]
        pair = [class_gap(self.study, s, CLASSES[kind]) for kind in (REPEATED, NEW)]
        return say.words_sentence(s.phrase, *pair, repeated_less_new(self.study, s))

    def words_at_equal_effect(self) -> str:
        """The same where both kinds of words are predicted alike in distribution."""
        found = {}
        for proxy, s in self.chosen.items():
            if PROXIES[proxy].fitted and not PROXIES[proxy].control and len(self.study.family(proxy, s.layer)) > 1:
                found[PROXIES[proxy].label] = words_at(self.study, self.estimates, proxy, RULES.levels.chosen)
        return say.equal_words_sentence(RULES.levels.chosen, found)

    # What could have been foreseen

    @cached_property
    def foreseen(self) -> dict[str, dict[str, Estimate]]:
        """Gaps to languages that were not trained on, mean over them, by proxy: foreseen by every diagnostic, and measured."""
        found, of = {}, foreseeing.foreseen
        for s in self.chosen.values():
            measured = mean_of([self.estimates.gap(s, split, "id") for split in self.unseen])
            gaps = {
                name: mean_of([of(self.study, self.estimates, s, split, name) for split in self.unseen]) for name in DIAGNOSTICS
            }
            found[s.phrase] = {**gaps, "measured": measured}
        return found

    def foreseen_table(self) -> figures.Table:
        """Foreseen and measured gaps in percentage points, one row per proxy."""
        rows = {
            phrase: {name.replace("_", " "): points(gap) for name, gap in gaps.items()}
            for phrase, gaps in self.foreseen.items()
        }
        return figures.Table(
            prose.table(rows), "Gaps to other languages, in percentage points, foreseen and measured", heat=True
        )

    def foreseen_text(self) -> str:
        """How far off diagnostics are, and for which proxies that of the rules is further off than expecting no gap."""
        chosen, off = RULES.foreseeing.diagnostic, self._off
        further = {phrase: np.nanmean(error - off["unchanged"][phrase]) for phrase, error in off[chosen].items()}
        shown = {name: error for name, error in self._errors.items() if name in ("unchanged", chosen)}
        return say.foreseen_sentence(shown, chosen, [phrase for phrase, by in further.items() if by > LEAST], len(further))

    @property
    def _off(self) -> dict[str, dict[str, np.ndarray]]:
        """By diagnostic and proxy, how far off what it foresees is, seed by seed."""
        known = {phrase: of for phrase, of in self.foreseen.items() if all(gap.measured for gap in of.values())}
        return {
            name: {phrase: np.abs(of[name].by_seed - of["measured"].by_seed) for phrase, of in known.items()}
            for name in DIAGNOSTICS
        }

    @property
    def _errors(self) -> dict[str, Estimate]:
        """By diagnostic, the mean over proxies of how far off it is; empty where nothing could be foreseen."""
        return {name: Estimate(np.mean(list(of.values()), 0), None, 0, (0.0, 1.0)) for name, of in self._off.items() if of}

    @property
    def errors_in_foreseeing(self) -> tuple[Estimate | None, Estimate | None]:
        """The mean error of the diagnostic of the rules, and that of expecting no gap."""
        return self._errors.get(RULES.foreseeing.diagnostic), self._errors.get("unchanged")
