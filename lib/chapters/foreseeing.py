"""The chapter on foreseeing gaps: what its notebook shows and says, over the studies of a preset."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from lib import figures, foreseeing, prose
from lib.errors import InputError
from lib.measuring.diagnostics import DIAGNOSTICS, errors, left_out
from lib.measuring.intervals import Estimate
from lib.prose import points, tell
from lib.proxies import PROXIES
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Look

BASELINE = "unchanged"
LEFT_OUT = {"family": "family of proxies", "split": "split", "task": "study"}


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

    def figure(self) -> Figure:
        """Measured against foreseen agreement, a panel a diagnostic, a point a cell, coloured by family."""
        looks = {proxy.label: Look(proxy.label, proxy.colour, proxy.marker) for proxy in PROXIES.values()}
        looks = {label: look for label, look in looks.items() if (self.cells["family"] == label).any()}
        parts = [
            self.cells.assign(panel=name, x=self.cells[name], y=self.cells["measured"], series=self.cells["family"])
            for name in DIAGNOSTICS
        ]
        note = f"{self.measured_on()}; dotted: foreseen exactly; no intervals"
        x, y = "agreement foreseen", "agreement measured"
        return figures.scatter(pd.concat(parts), x=x, y=y, note=note, looks=looks, columns=3, diagonal=True)

    def _error(self, chosen: pd.Series | None = None) -> dict[str, Estimate]:
        """The mean error of every diagnostic over (some) cells of a study, mean over studies, with an interval over these.

        With one study, over its models. Errors of one study's models are more alike than those of different studies.
        """
        table = self.cells if chosen is None else self.cells[chosen]
        unit = "task" if len(set(table["task"])) > 1 else "seed"
        means = errors(table).groupby(table[unit]).mean()
        return {name: Estimate(means[name].to_numpy(), None, len(table), (0.0, 1.0)) for name in DIAGNOSTICS}

    def error_table(self) -> pd.DataFrame:
        """The mean error of every diagnostic in points, over all cells and by family, one row per family."""
        rows = {"all cells": self._error()}
        rows |= {family: self._error(self.cells["family"] == family) for family in dict.fromkeys(self.cells["family"])}
        counts = {"all cells": len(self.cells), **self.cells["family"].value_counts()}
        return prose.table(
            {
                name: {"cells": f"{counts[name]:,}", **{d: points(e, interval=name == "all cells") for d, e in of.items()}}
                for name, of in rows.items()
            },
            "mean error, points",
        )

    def left_out_table(self) -> pd.DataFrame:
        """What a diagnostic is worth where it was not chosen: one row per family, split and study that is left out."""
        rows = {}
        for by, called in LEFT_OUT.items():
            for value, row in self._left_out(by).iterrows():
                rows[f"{called}: {value}"] = {
                    "chosen on all others": row["chosen"],
                    "its error here": f"{100 * row['chosen_error']:.1f}",
                    "error of no change": f"{100 * row['baseline_error']:.1f}",
                    "cells": f"{row['cells']:,}",
                }
        return prose.table(rows, "left out; errors in points")

    def _left_out(self, by: str) -> pd.DataFrame:
        try:
            return left_out(self.cells, by)
        except InputError:  # nothing to leave out
            return pd.DataFrame(columns=["chosen", "chosen_error", "baseline_error", "cells"])

    def errors_text(self) -> str:
        """How far off foreseeing is, and how far off no change would be."""
        found = self._error()
        of, baseline = found[RULES.foreseeing.diagnostic], found[BASELINE]
        best = min((name for name in DIAGNOSTICS if name != BASELINE), key=lambda name: found[name].value)
        verdict = tell(
            baseline - of,
            above=f"nearer by {points(baseline - of)}",
            below=f"further off by {points(of - baseline)}",
            unclear=f"a difference of {points(baseline - of, sign=True)}, so not clearly nearer",
            missing="which cannot be compared",
        )
        unit = "study" if len(set(self.cells["task"])) > 1 else "model"
        return prose.paragraph(
            f"Expecting that agreement stays what it was in distribution is off by {points(baseline)} points on average over "
            f"{len(self.cells):,} cells; the {RULES.foreseeing.diagnostic} is off by {points(of)}, {verdict} (every {unit} "
            f"counts the same; cells of one study share models and sentences). Of all but that baseline, `{best}` has the "
            f"smallest error, but it was picked with these cells in view."
        )

    def left_out_text(self) -> str:
        """In how many groups that were left out a diagnostic beats the baseline."""
        lines, choices = [], set()
        for by, called in LEFT_OUT.items():
            table = self._left_out(by)
            if len(table):
                worse = [f"{value}" for value, row in table.iterrows() if not row["chosen_error"] < row["baseline_error"]]
                choices |= set(table["chosen"])
                better = len(table) - len(worse)
                but = f" (not so for {prose.names(worse)})" if worse and better else ""
                lines.append(f"in {better or 'none'} of {len(table)} where a whole {called} is left out{but}")
        if not lines:
            return ""
        chosen = f"always `{choices.pop()}`" if len(choices) == 1 else " or ".join(f"`{name}`" for name in sorted(choices))
        where = prose.names(lines)
        return f"The diagnostic that did best on all others ({chosen}) has a smaller error than expecting no change {where}."

    def fails_text(self) -> str:
        """Where foreseeing fails most."""
        name = RULES.foreseeing.diagnostic
        missed = self.cells.assign(by=100 * (self.cells[name] - self.cells["measured"]))
        worst = missed.groupby(["family", "task", "split"])["by"].mean()
        (family, task, split), value = worst.abs().idxmax(), float(worst[worst.abs().idxmax()])
        side = "too high" if value > 0 else "too low"
        return (
            f"The {name} is furthest off for {family} on `{split}` ({task}): agreement foreseen there is {abs(value):.1f} "
            f"points {side} on average."
        )

    def summary(self) -> str:
        """The chapter in a few lines."""
        lines = (self.errors_text(), self.left_out_text(), self.fails_text(), f"Measured on {self.measured_on()}.")
        return "\n".join(f"- {line}" for line in lines if line)

    def headline(self) -> str:
        """The chapter in a paragraph, for the first page of the book."""
        of, baseline = (self._error()[name] for name in (RULES.foreseeing.diagnostic, BASELINE))
        return (
            f"From measurements in distribution, the text of a target and the model itself on it, a "
            f"{RULES.foreseeing.diagnostic} foresees how often a picture agrees with its model there with an error of "
            f"{points(of)} points on average; expecting no change is off by {points(baseline)}."
        )
