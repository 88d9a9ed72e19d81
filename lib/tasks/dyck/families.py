"""The part of the chapter on SVD against clustering that compares families of proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from lib import figures, prose
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.dyck import promises
from lib.tasks.dyck.boundary import PAIR

LEVELS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)  # of agreement in distribution


class Families:
    """Figures, tables and sentences on families of proxies of one layer."""

    study: Study
    families: Mapping[str, Sequence[Simplification]]  # by proxy, its measured settings
    measured_on: str
    place: str

    @property
    def estimates(self) -> Estimates:
        """What was measured."""
        return self.study.estimates

    @property
    def note(self) -> str:
        """What figures with intervals rest on."""
        return f"{self.measured_on}; {self.place}; {figures.interval_note(self.study)}"

    @property
    def proxy_looks(self) -> dict[str, Look]:
        """How proxies look, whatever their complexity."""
        return {p: Look(PROXIES[p].label, PROXIES[p].colour, PROXIES[p].marker) for p in self.families}

    def complexity(self) -> figures.Picture:
        """Agreement and divergence of attention against rank or number of clusters."""
        table = figures.tabulate(
            (
                {"panel": f"{figures.called(self.study, split)}:\n{LABELS[measure]}", "series": proxy, "x": s.complexity},
                self.estimates.estimate(s, split, measure),
            )
            for measure in ("same_prediction", "attention_jsd")
            for split in ("iid", "unseen_length", "unseen_depth")
            for proxy, family in self.families.items()
            for s in family
            if s.complexity is not None
        )
        x, plain = "rank, or number of clusters", LABELS["attention_jsd"]
        alt = f"Agreement, and divergence of attention, by rank or number of clusters. {self.comparison()}"
        return figures.curves(table, self.proxy_looks, x=x, y="", alt=alt, note=f"bands: {self.note}", log=True, plain=plain)

    def transfer(self) -> figures.Picture:
        """Every simplification as a point: agreement in distribution across, on another split up."""
        rows = []
        for split in self.study.task.unseen(self.study.splits):
            for proxy, family in self.families.items():
                for s in family:
                    x, y = (self._agreement(s, name) for name in ("iid", split))
                    label = s.complexity if s.complexity and proxy in ("svd", "kmeans") and x.value < 0.97 else ""
                    across = {"x": x.value, "x_low": x.interval[0], "x_high": x.interval[1], "label": label}
                    rows.append(({"panel": figures.called(self.study, split), "series": proxy, **across}, y))
        note = f"{self.note}; numbers: rank or clusters; dotted: no gap"
        x, y = "same prediction in distribution", "same prediction on these sentences"
        alt = f"Every setting of every family: agreement in distribution across, on another split up. {self.line()}"
        return figures.crosses(figures.tabulate(rows), self.proxy_looks, x=x, y=y, alt=alt, note=note, columns=2)

    def _agreement(self, s: Simplification, split: str) -> Estimate:
        return self.estimates.estimate(s, split, "same_prediction")

    def _kept(self, proxy: str, split: str, level: float) -> Estimate:
        """What a family keeps on a split where it agrees with the model in `level` of cases in distribution."""
        family = self.families.get(proxy, [])
        if len(family) < 2:
            return nothing()
        return self.estimates.at_level(family, "iid", level, lambda s: self._agreement(s, split))

    def at_equal_agreement(self) -> figures.Picture:
        """What every family keeps elsewhere, at every level of agreement in distribution."""
        table = figures.tabulate(
            ({"panel": figures.called(self.study, split), "series": proxy, "x": 100 * level}, self._kept(proxy, split, level))
            for split in ("unseen_length", "unseen_depth")
            for proxy in self.families
            for level in LEVELS
        )
        x = "same prediction in distribution (%), between settings by linear interpolation"
        y = "same prediction on these sentences"
        alt = f"What every family keeps elsewhere where it agrees equally often in distribution. {self.comparison()}"
        return figures.curves(table, self.proxy_looks, x=x, y=y, alt=alt, note=f"bands: {self.note}", columns=2)

    @property
    def _differences(self) -> dict[float, Estimate]:
        """What SVD keeps at unseen depth less what k-means keeps, by equal agreement in distribution."""
        svd, kmeans = ({x: self._kept(proxy, "unseen_depth", x) for x in LEVELS} for proxy in ("svd", "kmeans"))
        return {level: svd[level] - kmeans[level] for level in LEVELS}

    def comparison(self) -> str:
        """Which of SVD and k-means keeps more, level by level."""
        return promises.comparison_sentence(self._differences)

    @cached_property
    def on_the_line(self) -> dict[str, Estimate]:
        """By family, how much more its settings agree with the model at unseen depth than the line through all settings says.

        The line is fitted seed by seed to the probit of agreement in distribution and at unseen depth (after Miller et al.
        2021, "Accuracy on the line"), each family counting the same; what is above it is taken back to a share. Settings that
        agree always or never on either split are left out. Empty where fewer than three are left.
        """
        points = {}
        for proxy, family in self.families.items():
            pairs = np.array([[self._agreement(s, split).by_seed for split in PAIR] for s in family])  # [setting, 2, seed]
            inner = ((pairs > 0.001) & (pairs < 0.999)).all((1, 2))
            if inner.any():
                points[proxy] = ndtri(pairs[inner])
        if sum(map(len, points.values())) < 3:
            return {}
        found: dict[str, list[float]] = {proxy: [] for proxy in points}
        weights = np.concatenate([np.full(len(of), len(of) ** -0.5) for of in points.values()])
        for seed in range(self.study.seeds):
            x, y = (np.concatenate([of[:, axis, seed] for of in points.values()]) for axis in (0, 1))
            if not np.ptp(x):  # no line through what agrees equally often
                return {}
            slope, intercept = np.polyfit(x, y, 1, w=weights)
            for proxy, of in points.items():
                expected = ndtr(intercept + slope * of[:, 0, seed])
                found[proxy].append(float(np.mean(ndtr(of[:, 1, seed]) - expected)))
        n = min(self._agreement(family[0], "unseen_depth").positions for family in self.families.values())
        return {PROXIES[proxy].label: Estimate(np.array(of), None, n) for proxy, of in found.items()}

    def line(self) -> str:
        """How many settings keep less than promised, and which families lie above or below the line through all."""
        gaps = [self._agreement(s, PAIR[0]) - self._agreement(s, PAIR[1]) for family in self.families.values() for s in family]
        return prose.paragraph(promises.diagonal_sentence(gaps), promises.line_sentence(self.on_the_line))

    def bases(self) -> figures.Table:
        """One basis for queries and keys against one for each, one row per rank."""
        rows = {}
        for separate, joint in self._pairs():
            row = rows[f"rank {joint.complexity}"] = {}
            for split in PAIR:
                pair = [self._agreement(s, split) for s in (joint, separate)]
                of = figures.called(self.study, split)
                row[f"one basis, {of}"], row[f"one each, {of}"] = (percent(e, interval=True) for e in pair)
                row[f"difference, {of}, points"] = points(pair[0] - pair[1], sign=True)
        return figures.Table(prose.table(rows), "One basis for queries and keys, or one each: same prediction as the model")

    def _pairs(self) -> list[tuple[Simplification, Simplification]]:
        """SVD with separate bases and with one for both, at the ranks at which both were measured."""
        separate = {s.complexity: s for s in self.families.get("svd", [])}
        joint = self.families.get("svd_joint", [])
        return [(separate[s.complexity], s) for s in joint if s.complexity in separate]

    def bases_text(self) -> str:
        """What one basis for both gains, and at which ranks."""
        gains = {b.complexity: tuple(self._agreement(b, x) - self._agreement(a, x) for x in PAIR) for a, b in self._pairs()}
        return promises.bases_sentence(gains)

    @property
    def _gains_of_one_basis(self) -> dict[int, Estimate]:
        """By rank, what one basis for both gains at unseen depth."""
        pairs = {b.complexity: [self._agreement(s, "unseen_depth") for s in (a, b)] for a, b in self._pairs()}
        return {rank: joint - separate for rank, (separate, joint) in pairs.items()}
