"""The chapter on foreseeing gaps: what its notebook shows and says, over the studies of a preset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import pandas as pd

from lib import figures, foreseeing, prose
from lib.errors import InputError
from lib.measuring.diagnostics import DIAGNOSTICS, errors, left_out
from lib.measuring.intervals import Estimate
from lib.prose import difference, points, tell
from lib.proxies import PROXIES
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Look

BASELINE = "unchanged"
LEFT_OUT = {  # of a kind, and several of it
    "family": ("family of proxies", "families"),
    "split": ("split", "splits"),
    "task": ("study", "studies"),
}


def _plain(error: Estimate) -> str:
    """An error in points for a heading."""
    return points(error, interval=False)


def _quiet(error: Estimate) -> str:
    """An error in points for a sentence, its interval set apart."""
    return prose.quiet(error, ".1f", scale=100)


class ForeseeingChapter:
    """Every cell of the studies: a setting of a proxy, a seed and a split."""

    def __init__(self, studies: Sequence[Study]):
        self.studies = list(studies)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """What was foreseen and measured; see `foreseeing.cells`."""
        tables = [table for table in map(foreseeing.cells, self.studies) if len(table)]
        if not tables:
            raise InputError("no split has enough scored predictions to foresee anything: measure more, as in another preset")
        return pd.concat(tables, ignore_index=True)

    def measured_on(self) -> str:
        """What was measured, in words."""
        shown = [study for study in self.studies if (self.cells["task"] == study.name).any()]
        names = prose.names(f"{study.name} ({prose.seeds(study.seeds)})" for study in shown)
        return f"preset {self.studies[0].preset}: {names}; {len(self.cells):,} cells"

    def figure(self) -> figures.Picture:
        """Measured against foreseen agreement, a panel a diagnostic, a point a cell, coloured by family."""
        looks = {proxy.label: Look(proxy.label, proxy.colour, proxy.marker) for proxy in PROXIES.values()}
        looks = {label: look for label, look in looks.items() if (self.cells["family"] == label).any()}
        parts = [
            self.cells.assign(panel=name, x=self.cells[name], y=self.cells["measured"], series=self.cells["family"])
            for name in DIAGNOSTICS
        ]
        note = f"{self.measured_on()}; dotted: foreseen exactly; no intervals"
        x, y = "agreement foreseen", "agreement measured"
        alt = f"Agreement measured against agreement foreseen, by the way to foresee it. {self.errors_text()}"
        return figures.scatter(pd.concat(parts), x=x, y=y, alt=alt, note=note, looks=looks, columns=3, diagonal=True)

    def _error(self, chosen: pd.Series | None = None) -> dict[str, Estimate]:
        """The mean error of every diagnostic over (some) cells of a study, mean over studies, with an interval over these.

        With one study, over its models. Errors of one study's models are more alike than those of different studies.
        """
        table = self.cells if chosen is None else self.cells[chosen]
        unit = "task" if len(set(table["task"])) > 1 else "seed"
        means = errors(table).groupby(table[unit]).mean()
        return {name: Estimate(means[name].to_numpy(), None, len(table), (0.0, 1.0)) for name in DIAGNOSTICS}

    def error_table(self) -> figures.Table:
        """The mean error of every diagnostic in points, over all cells and by family, one row per family."""
        rows = {"all cells": self._error()}
        rows |= {family: self._error(self.cells["family"] == family) for family in dict.fromkeys(self.cells["family"])}
        counts = {"all cells": len(self.cells), **self.cells["family"].value_counts()}
        shown = {
            name: {"cells": f"{counts[name]:,}", **{d: points(e, interval=name == "all cells") for d, e in of.items()}}
            for name, of in rows.items()
        }
        return figures.Table(prose.table(shown), "Mean error of every way to foresee agreement, in percentage points")

    def left_out_table(self) -> figures.Table:
        """What a diagnostic is worth where it was not chosen: one row per family, split and study that is left out."""
        rows = {}
        for by, (called, _) in LEFT_OUT.items():
            for value, row in self._left_out(by).iterrows():
                rows[f"{called}: {value}"] = {
                    "chosen on all others": row["chosen"],
                    "its error here": f"{100 * row['chosen_error']:.1f}",
                    "error of no change": f"{100 * row['baseline_error']:.1f}",
                    "cells": f"{row['cells']:,}",
                }
        return figures.Table(prose.table(rows), "Chosen on all others: errors in percentage points on what was left out")

    def _left_out(self, by: str) -> pd.DataFrame:
        try:
            return left_out(self.cells, by)
        except InputError:  # nothing to leave out
            return pd.DataFrame(columns=["chosen", "chosen_error", "baseline_error", "cells"])

    # What the chapter says

    def setup(self) -> str:
        """What may be used, and the ways to foresee, in a box."""
        items = {
            "known": "Everything measured in distribution; and of the other text, the text itself and the model on it, but not "
            "what the picture predicts there.",
            "unchanged": "Agreement stays what it was in distribution: what one believes who trusts a picture. The baseline.",
            "mix": "Agreement in distribution by what the text is like (for brackets, how deep; for code, which kind of "
            "character), weighted as in the other text; what is rare or missing in distribution gets the nearest.",
            "margin": "The same by how certain the model is: the log-probability of its choice above that of the next best.",
            "outside": "The same by the share of query and key that the picture drops.",
            "regression": "A logistic regression of agreement on all of these and all that is known of the text, fitted in "
            "distribution.",
        }
        return prose.setup(items)

    def heading(self, section: str) -> str:
        """The heading of a section: what was found in it."""
        found = {"errors": self._by_how_much, "left_out": self._carries_over, "fails": self._worst_heading}
        return f"## {found[section]()}"

    def _by_how_much(self, show: Callable[[Estimate], str] = _plain) -> str:
        """The two errors; `show` says one, in a heading without its interval."""
        found = self._error()
        of, baseline = (show(found[name]) for name in (RULES.foreseeing.diagnostic, BASELINE))
        return f"Agreement elsewhere can be foreseen with an error of {of} points; expecting no change errs by {baseline}"

    def _carries_over(self) -> str:
        counts = self._better_where_left_out
        if not counts:
            return "Nothing can be left out to see whether that carries over"
        said = prose.names(f"{better or 'none'} of {total} {LEFT_OUT[by][1]}" for by, (better, total) in counts.items())
        return f"Chosen elsewhere, it does better than no change on {said}"

    def _worst_heading(self) -> str:
        (family, _, _), by = self._worst
        return f"The {RULES.foreseeing.diagnostic} fails most for {family}: {self._off(by)}"

    def errors_text(self) -> str:
        """How far off foreseeing is, and how far off no change would be."""
        found = self._error()
        of, baseline = found[RULES.foreseeing.diagnostic], found[BASELINE]
        best = min((name for name in DIAGNOSTICS if name != BASELINE), key=lambda name: found[name].value)
        verdict = tell(
            baseline - of,
            above=f"nearer by {difference(baseline - of)}",
            below=f"further off by {difference(of - baseline)}",
            unclear=f"a difference of {points(baseline - of, sign=True)} points, so not clearly nearer",
            missing="which cannot be compared",
        )
        return prose.paragraph(
            f"Expecting that agreement stays what it was in distribution is off by {difference(baseline)} on average over "
            f"{len(self.cells):,} cells; the {RULES.foreseeing.diagnostic} is off by {difference(of)}, {verdict}. Of all but "
            f"that baseline, `{best}` has the smallest error, but it was picked with these cells in view."
        )

    @cached_property
    def _better_where_left_out(self) -> dict[str, tuple[int, int]]:
        """By what is left out, in how many cases what did best on all others beats the baseline, and of how many."""
        tables = {by: self._left_out(by) for by in LEFT_OUT}
        return {
            by: (int((table["chosen_error"] < table["baseline_error"]).sum()), len(table))
            for by, table in tables.items()
            if len(table)
        }

    def left_out_text(self) -> str:
        """Which diagnostic did best on all others, and where it does not beat the baseline; empty with nothing to leave out."""
        if not self._better_where_left_out:
            return ""
        choices, worse = set(), []
        for by in self._better_where_left_out:
            table = self._left_out(by)
            choices |= set(table["chosen"])
            worse += [
                self._called(by, value) for value, row in table.iterrows() if not row["chosen_error"] < row["baseline_error"]
            ]
        chosen = f"always `{choices.pop()}`" if len(choices) == 1 else " or ".join(f"`{name}`" for name in sorted(choices))
        but = f" It does not beat expecting no change on {prose.names(worse)}." if worse else ""
        return f"What did best on all others was {chosen}.{but}"

    def _called(self, by: str, value: str) -> str:
        """What was left out, in words."""
        return self._split_label(value) if by == "split" else value

    def _split_label(self, split: str) -> str:
        """A split as figures call it."""
        return next((study.task.look(split).label for study in self.studies if split in study.splits), split)

    @cached_property
    def _worst(self) -> tuple[tuple[str, str, str], float]:
        """Family, study and split where foreseeing is furthest off on average, and by how many points, above zero: too high."""
        missed = self.cells.assign(by=100 * (self.cells[RULES.foreseeing.diagnostic] - self.cells["measured"]))
        worst = missed.groupby(["family", "task", "split"])["by"].mean()
        where = worst.abs().idxmax()
        return where, float(worst[where])

    def _off(self, by: float) -> str:
        return f"{abs(by):.1f} points too {'high' if by > 0 else 'low'}"

    def fails_text(self) -> str:
        """Where foreseeing fails most."""
        (family, task, split), by = self._worst
        return (
            f"The {RULES.foreseeing.diagnostic} is furthest off for {family} on {self._split_label(split)} (study {task}): "
            f"agreement foreseen there is {self._off(by)} on average."
        )

    def in_short(self) -> str:
        """The finding that stands on the first page of the book, as HTML."""
        return prose.finding(
            self._by_how_much(_quiet),
            f"By a {RULES.foreseeing.diagnostic}, from measurements in distribution, the other text and the model on it, "
            "without running the picture there; the errors are means over all that was measured.",
        )

    def sure(self) -> str:
        """How far all this can be trusted."""
        unit = "studies" if len(set(self.cells["task"])) > 1 else "models"
        return prose.how_sure(
            self.measured_on(),
            f"95 % intervals over {unit}, each of which counts the same",
            len(set(self.cells["task" if unit == "studies" else "seed"])),
            "Cells of one study share models and sentences. The regression was chosen for the scorecard after it had been seen "
            "on one model, before it was compared over all cells.",
        )
