"""The chapter on SVD against clustering: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib import figures, prose
from lib.errors import InputError, one_of
from lib.experiment import simplifications_of
from lib.measuring.intervals import Estimate, nothing, rank_correlation, share_interval
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import PROXIES, TRAINING, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.dyck import mechanism
from lib.tasks.dyck import prose as say
from lib.tasks.dyck.boundary import FEWEST, PAIR
from lib.tasks.dyck.families import Families

CONTROL = ("iid_matched", "unseen_depth")  # sentences of the same lengths


class ClusteringChapter(Families):
    """A Dyck study with one layer simplified: SVD of a rank and k-means of so many clusters are looked at closely."""

    def __init__(self, study: Study, layer: int, rank: int, clusters: int):
        one_of("layer", layer, range(study.experiment.model.layers))
        self.study, self.layer, self.place = study, layer, f"layer {layer}"
        self.svd, self.kmeans = study.simplified("svd", rank, layer), study.simplified("kmeans", clusters, layer)
        self.one_hot = study.simplified("one_hot", None, layer)
        self.estimates, self.run = study.estimates, study.runs[0]
        measured = study.simplifications(layer)
        self.families = {p: [s for s in measured if s.proxy == p] for p in dict.fromkeys(s.proxy for s in measured)}
        self.measured_on = figures.measured_on(study)
        self.note = f"{self.measured_on}; {self.place}; {figures.interval_note(study)}"

    # What the simplifications look like

    @cached_property
    def _points(self) -> dict[int, pd.DataFrame]:
        layers = range(self.study.experiment.model.layers)
        return {layer: mechanism.projections(self.run, layer, PAIR, clusters=16) for layer in layers}

    def projections(self, layer: int) -> Figure:
        """Queries and keys on their first two directions, coloured by what their token is."""
        points = self._points[layer]
        points = points[points["split"] == "iid"]
        parts = []
        for kind in ("queries", "keys"):
            for of in ("depth", "position", "type", "cluster"):
                chosen = points[points["kind"] == kind]
                scaled = (chosen[of] - chosen[of].min()) / max(1, np.ptp(chosen[of]))
                parts.append(chosen.assign(panel=f"{kind} by {of}", colour=scaled))
        shown = f"preset {self.study.preset}, layer {layer} of seed 0, {len(points) // 2:,} tokens of iid"
        note = f"{shown}; axes and clusters: fitted on training sentences"
        x, y, colour = "first singular direction", "second", "lowest to highest, or one type or cluster to the next"
        return figures.scatter(pd.concat(parts), x=x, y=y, colour=colour, note=note)

    def shift(self) -> Figure:
        """Queries and keys in and out of distribution on the same axes, coloured by depth."""
        points = self._points[self.layer]
        table = points.assign(panel=points["kind"] + ", " + points["split"], colour=points["depth"])
        note = f"preset {self.study.preset}, {self.place} of seed 0; axes fitted on training sentences"
        limits = (0, self.study.task.unseen_depth)
        return figures.scatter(table, x="first singular direction", y="second", colour="depth", note=note, limits=limits)

    # Does what is dropped explain what fails?

    @cached_property
    def _sentences(self) -> dict[Simplification, pd.DataFrame]:
        blocks = {run.seed: self.estimates.blocks(run.seed) for run in self.study.runs}
        return {
            s: pd.concat([mechanism.unexplained(run, blocks[run.seed], PAIR, s) for run in self.study.runs], ignore_index=True)
            for s in (self.svd, self.kmeans)
        }

    def unexplained(self, bins: int = 8) -> Figure:
        """Disagreement against the share of query and key variance that a proxy drops, in groups of equally many sentences."""
        rows = []
        for s, table in self._sentences.items():
            for split in PAIR:
                of = table[table["split"] == split].assign(wrong=lambda t: t["disagreement"] * t["n"])
                for _, group in of.groupby(pd.qcut(of["outside"], bins, labels=False, duplicates="drop")):
                    low, high = share_interval(group["wrong"].to_numpy(), group["n"].to_numpy())
                    value = group["wrong"].sum() / group["n"].sum()
                    labels = {"panel": s.label, "series": split, "x": 100 * group["outside"].mean()}
                    rows.append({**labels, "value": value, "low": low, "high": high})
        note = f"{self.measured_on}; points: {bins} groups of equally many sentences; bands: 95 % bootstrap over sentences"
        x, y, looks = "share of variance dropped (%)", "disagreement with the model", figures.split_looks(self.study, PAIR)
        return figures.curves(pd.DataFrame(rows), looks, x=x, y=y, note=note, columns=2, whole=False)

    def dropped(self) -> str:
        """How much is dropped, and whether that goes with disagreement."""
        lines = []
        for s, table in self._sentences.items():
            of = {split: table[table["split"] == split] for split in PAIR}
            shares = [rows["outside"].mean() for rows in of.values()]
            correlations = [rank_correlation(rows, "outside", "disagreement") for rows in of.values()]
            lines.append(say.dropped_sentence(s.phrase, shares, correlations))
        return prose.paragraph(*lines)

    # The oracle, and controls

    def _fitted_on(self, simplification: Simplification, split: str) -> Simplification:
        return replace(simplification, fit_on=split)

    def oracle(self) -> Figure:
        """Agreement of proxies fitted on training sentences, and on the very split that they are tested on."""
        measuring = self.study.experiment.measuring
        measured = [s for s in simplifications_of(measuring.refitted) if s.layer == self.layer]
        rows = [
            ({"panel": split, "row": s.label, "series": name}, self.estimates.estimate(fitted, split, "same_prediction"))
            for split in measuring.refitted_on
            if split in self.study.splits
            for s in measured
            for name, fitted in ((TRAINING, s), ("the split itself", self._fitted_on(s, split)))
        ]
        looks = {
            TRAINING: Look("fitted on training sentences", "#0072B2", "o"),
            "the split itself": Look("fitted on the split itself", "#E69F00", "D"),
        }
        return figures.forest(figures.tabulate(rows), looks, x=LABELS["same_prediction"], note=f"bars: {self.note}")

    def oracle_gains(self) -> str:
        """What fitting on the deep sentences themselves gains there, beside other pictures that never saw them."""
        lines = []
        for s in (self.svd, self.kmeans):
            oracle = self._fitted_on(s, "unseen_depth")
            if self.estimates.has(oracle, "unseen_depth"):
                own = self._agreement(s, "unseen_depth")
                beside = [
                    other
                    for family in self.families.values()
                    for other in family
                    if other != s
                    and other.complexity == s.complexity
                    and PROXIES[other.proxy].parameter == PROXIES[s.proxy].parameter
                    and not PROXIES[other.proxy].control
                ]
                others = {other.phrase: self._agreement(other, "unseen_depth") - own for other in beside}
                lines.append(say.oracle_sentence(s.phrase, self._agreement(oracle, "unseen_depth") - own, others))
        return prose.paragraph(*lines)

    def lengths(self) -> str:
        """How long sentences are."""
        mean = {split: self.run.data.splits[split].lengths.mean() - 2 for split in PAIR}
        return (
            f"Sentences at unseen depth have {mean['unseen_depth']:.0f} brackets on average, those in distribution "
            f"{mean['iid']:.0f}."
        )

    @cached_property
    def controlled(self) -> dict[str, dict[str, Estimate]]:
        """Gaps to unseen depth, as they are and with length, distance and depth matched, by simplification."""
        return {s.phrase: self._controls(s) for s in (self.svd, self.kmeans, self.one_hot)}

    def _controls(self, s: Simplification) -> dict[str, Estimate]:
        gaps = {
            "gap": self.estimates.gap(s, "unseen_depth", "iid"),
            "length matched": self.estimates.gap(s, "unseen_depth", "iid_matched"),
        }
        for covariate in ("distance", "depth"):
            try:
                matched = self.estimates.matched_gap(s, "unseen_depth", "iid_matched", [covariate], fewest=FEWEST)
            except InputError:  # too little in common
                matched = nothing()
            if covariate == "depth":
                gaps["length matched on depths of both"] = self._on_both(s)
            gaps[f"length and {covariate} matched"] = matched
        return gaps

    def _on_both(self, s: Simplification) -> Estimate:
        """The gap on brackets whose depth both splits have: what matching by depth starts from."""
        n = {
            x: {d: self.estimates.estimate(s, x, "same_prediction", depth=d).positions for d in self._depths(x)}
            for x in CONTROL
        }
        depths = [d for d, positions in n["iid_matched"].items() if min(positions, n["unseen_depth"].get(d, 0)) >= FEWEST]
        if not depths:
            return nothing()
        inside, outside = (self.estimates.estimate(s, x, "same_prediction", depth=depths) for x in CONTROL)
        return inside - outside

    def _depths(self, split: str) -> list[int]:
        return self.estimates.categories(split, "depth")

    def controls(self) -> pd.DataFrame:
        """Gaps in percentage points with controls, one row per simplification."""
        rows = {label: {name: points(gap) for name, gap in gaps.items()} for label, gaps in self.controlled.items()}
        return prose.table(rows, "gap to unseen_depth, points")

    def against_random(self) -> pd.DataFrame:
        """SVD against random subspaces of equal rank, agreement on `iid`, one row per rank."""
        family = {p: {s.complexity: s for s in self.families.get(p, [])} for p in ("svd", "random_subspace")}
        rows = {}
        for rank in sorted(set(family["svd"]) & set(family["random_subspace"])):
            svd, random = (self.estimates.estimate(family[p][rank], "iid", "same_prediction") for p in family)
            row = {"SVD": percent(svd, interval=True), "random subspace": percent(random, interval=True)}
            rows[f"rank {rank}"] = {**row, "difference, points": points(svd - random, sign=True)}
        return prose.table(rows, "same prediction on iid")

    def summary(self) -> str:
        """The chapter in a few lines."""
        lines = [self.comparison(), self.line(), self.bases_text()]
        lines += [*(say.controls_sentence(label, gaps) for label, gaps in self.controlled.items())]
        lines += [self.dropped(), self.oracle_gains(), f"Measured on {self.note}."]
        return "\n".join(f"- {line}" for line in lines if line)

    def headline(self) -> str:
        """The chapter in a paragraph, for the first page of the book."""
        return say.comparison_in_short(self._differences)
