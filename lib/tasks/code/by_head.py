"""The part of the chapter on code completion in which heads are simplified one by one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd

from lib import figures, prose
from lib.proxies import PROXIES
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.code import heads
from lib.tasks.code import prose as say
from lib.tasks.code.languages import CLASSES, REPEATED


class ByHead:
    """Figures and sentences on single heads of a study."""

    study: Study
    unseen: Sequence[str]  # splits in languages that were not trained on
    measured_on: str

    @property
    def languages(self) -> str:
        """The languages that were not trained on, in words."""
        return prose.names(self.study.task.look(split).label for split in self.unseen)

    def single_heads(self) -> figures.Picture:
        """Every head of every seed simplified on its own: agreement on `id` (above) and the gap (below), by layer."""
        table = heads.single_heads(self.study, self.unseen)
        beside = (table["head"] - (self.study.experiment.model.heads - 1) / 2) * 0.14 + (table["seed"] % 5) * 0.02
        labels, proxies = [s.label for s in table["simplification"]], [s.proxy for s in table["simplification"]]
        table = table.assign(x=table["layer"] + beside, series=proxies)
        parts = [
            table.assign(panel=[f"{label}\n{name}" for label in labels], y=100 * table[of])
            for name, of in (("agreement in distribution, %", "inside"), ("gap, points", "gap"))
        ]
        note = f"{self.measured_on}; a point a head and seed; gap: mean over {self.languages}; no intervals"
        looks = {p: Look(PROXIES[p].label, PROXIES[p].colour, PROXIES[p].marker) for p in dict.fromkeys(proxies)}
        columns = max(1, len(set(labels)))
        scale = {"sharey": "row", "lines": (None, 0), "integers": True}
        worst = table.loc[table["gap"].idxmax()]
        where = f"head {worst['head']} of layer {worst['layer']} in seed {worst['seed']}, {worst['simplification'].phrase}"
        widest = prose.minus(f"{100 * worst['gap']:.1f}")
        alt = f"Agreement and gap of every head simplified on its own. The widest gap is {widest} points: {where}."
        return figures.scatter(pd.concat(parts), x="layer", y="", alt=alt, note=note, looks=looks, columns=columns, **scale)

    @cached_property
    def _heads(self) -> pd.DataFrame:
        return pd.concat([heads.copying_heads(run) for run in self.study.runs], ignore_index=True)

    def induction(self) -> figures.Picture:
        """Every head: its induction score against the gap that simplifying it alone opens on repeated words."""
        table = heads.single_heads(self.study, self.unseen, CLASSES[REPEATED]).merge(self._heads, on=["seed", "layer", "head"])
        table = table.assign(x=table["induction"], y=100 * table["gap"], colour=table["previous_token"])
        table = table.assign(panel=[s.label for s in table["simplification"]])
        y = "gap (percentage points)"
        note = (
            f"gap on {CLASSES[REPEATED]}; {self.measured_on}; a point a head and seed, simplified on its own; right of the "
            "dotted line: induction heads"
        )
        scale = {"colour": "previous-token score", "limits": (0, 1), "lines": (heads.INDUCTION, 0)}
        alt = f"Induction scores of heads against the gaps that simplifying them opens on repeated words. {self.heads_text()}"
        return figures.scatter(table, x="induction score", y=y, alt=alt, note=f"{note}; no intervals", columns=2, **scale)

    def heads_text(self) -> str:
        """The highest scores of each seed."""
        best = self._heads.groupby("seed")[["induction", "previous_token"]].max()
        chance = self._heads["chance"].iloc[0]
        return say.heads_sentence(*(best[of].tolist() for of in best), chance, heads.INDUCTION)

    @property
    def induction_scores(self) -> list[float]:
        """Of every head of every seed."""
        return self._heads["induction"].tolist()
