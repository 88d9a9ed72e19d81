"""The chapter on SVD against clustering: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd

from lib import figures, prose
from lib.errors import InputError, one_of
from lib.experiment import simplifications_of
from lib.live.explorer import Explorer
from lib.measuring.association import rank_correlation, share_interval
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import PROXIES, TRAINING, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.dyck import headings, mechanism, promises
from lib.tasks.dyck import prose as say
from lib.tasks.dyck.boundary import FEWEST, PAIR
from lib.tasks.dyck.families import Families
from lib.tasks.dyck.live import LiveBrackets
from lib.tasks.dyck.telling import setup

CONTROL = ("iid_matched", "unseen_depth")  # sentences of the same lengths


class ClusteringChapter(Families):
    """A Dyck study with one layer simplified: SVD of a rank and k-means of so many clusters are looked at closely."""

    def __init__(self, study: Study, layer: int, rank: int, clusters: int):
        one_of("layer", layer, range(study.experiment.model.layers))
        self.study, self.layer, self.place = study, layer, f"layer {layer}"
        self.svd, self.kmeans = study.simplified("svd", rank, layer), study.simplified("kmeans", clusters, layer)
        self.one_hot = study.simplified("one_hot", None, layer)
        self.run = study.runs[0]
        measured = study.simplifications(layer)
        self.families = {p: [s for s in measured if s.proxy == p] for p in dict.fromkeys(s.proxy for s in measured)}
        self.measured_on = figures.measured_on(study)

    # What the simplifications look like

    @cached_property
    def _points(self) -> pd.DataFrame:
        return mechanism.projections(self.run, self.layer, PAIR, clusters=16)

    def projections(self) -> Explorer:
        """Queries and keys as points; a reader can choose layer, directions and colour, and the picture that moves them."""
        return LiveBrackets(self.study, self.svd).representation(self._projections().to_html())

    def _projections(self) -> figures.Picture:
        """Queries and keys on their first two directions, coloured by what their token is."""
        points = self._points[self._points["split"] == "iid"]
        parts = []
        for kind in ("queries", "keys"):
            for of in ("depth", "position", "type", "cluster"):
                chosen = points[points["kind"] == kind]
                scaled = (chosen[of] - chosen[of].min()) / max(1, np.ptp(chosen[of]))
                parts.append(chosen.assign(panel=f"{kind} by {of}", colour=scaled))
        shown = f"preset {self.study.preset}, {self.place} of seed 0, {len(points) // 2:,} tokens in distribution"
        note = f"{shown}; axes and clusters: fitted on training sentences"
        x, y, colour = "first singular direction", "second", "lowest to highest, or one type or cluster to the next"
        alt = f"Queries and keys of {self.place} as points on their first two directions. {_told_apart(points)}"
        return figures.scatter(pd.concat(parts), x=x, y=y, colour=colour, alt=alt, note=note)

    def shift(self) -> figures.Picture:
        """Queries and keys in and out of distribution on the same axes, coloured by depth."""
        points = self._points
        panels = points["kind"] + ", " + points["split"].map(lambda split: figures.called(self.study, split))
        table = points.assign(panel=panels, colour=points["depth"])
        note = f"preset {self.study.preset}, {self.place} of seed 0; axes fitted on training sentences"
        limits = (0, self.study.task.unseen_depth)
        alt = f"Queries and keys in distribution and in deeper sentences on the same axes, by depth. {self.dropped()}"
        x, y = "first singular direction", "second"
        return figures.scatter(table, x=x, y=y, colour="depth", alt=alt, note=note, limits=limits)

    # Does what is dropped explain what fails?

    @cached_property
    def _sentences(self) -> dict[Simplification, pd.DataFrame]:
        blocks = {run.seed: self.estimates.blocks(run.seed) for run in self.study.runs}
        return {
            s: pd.concat([mechanism.unexplained(run, blocks[run.seed], PAIR, s) for run in self.study.runs], ignore_index=True)
            for s in (self.svd, self.kmeans)
        }

    def unexplained(self, bins: int = 8) -> figures.Picture:
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
        alt = f"Disagreement of sentences against how much of their queries and keys is dropped. {self.dropped()}"
        return figures.curves(pd.DataFrame(rows), looks, x=x, y=y, alt=alt, note=note, columns=2, whole=False)

    def dropped(self) -> str:
        """How much is dropped, and whether that goes with disagreement."""
        lines = []
        for s, table in self._sentences.items():
            shares = [table["outside"][table["split"] == split].mean() for split in PAIR]
            lines.append(promises.dropped_sentence(s.phrase, shares, self._correlations[s]))
        return prose.paragraph(promises.less_dropped_sentence([s.phrase for s in self._less_dropped]), *lines)

    @cached_property
    def _less_dropped(self) -> list[Simplification]:
        """Those that drop a smaller share of deeper sentences than in distribution, in every model."""
        means = {s: table.groupby(["split", "seed"])["outside"].mean() for s, table in self._sentences.items()}
        return [s for s, of in means.items() if set(PAIR) <= {*of.index.levels[0]} and (of[PAIR[1]] < of[PAIR[0]]).all()]

    @cached_property
    def _correlations(self) -> dict[Simplification, list[Estimate]]:
        """Over the sentences of each split, how what is dropped goes with disagreement."""
        of_split = {s: [table[table["split"] == split] for split in PAIR] for s, table in self._sentences.items()}
        return {s: [rank_correlation(rows, "outside", "disagreement") for rows in of] for s, of in of_split.items()}

    # The oracle, and controls

    def _fitted_on(self, simplification: Simplification, split: str) -> Simplification:
        return replace(simplification, fit_on=split)

    def oracle(self) -> figures.Picture:
        """Agreement of proxies fitted on training sentences, and on the very split that they are tested on."""
        measuring = self.study.experiment.measuring
        measured = [s for s in simplifications_of(measuring.refitted) if s.layer == self.layer]
        rows = [
            (
                {"panel": figures.called(self.study, split), "row": s.label, "series": name},
                self.estimates.estimate(fitted, split, "same_prediction"),
            )
            for split in measuring.refitted_on
            if split in self.study.splits
            for s in measured
            for name, fitted in ((TRAINING, s), ("the split itself", self._fitted_on(s, split)))
        ]
        looks = {
            TRAINING: Look("fitted on training sentences", "#0072B2", "o"),
            "the split itself": Look("fitted on these sentences themselves", "#E69F00", "D"),
        }
        alt = f"Agreement of pictures fitted on training sentences, and on the very split. {self.oracle_gains()}"
        note = f"bars: {self.note}"
        return figures.forest(figures.tabulate(rows), looks, x=LABELS["same_prediction"], alt=alt, note=note)

    def oracle_gains(self) -> str:
        """What fitting on the deep sentences themselves gains there, beside other pictures that never saw them."""
        lines = []
        for s, gain in self._oracle_gains.items():
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
            lines.append(promises.oracle_sentence(s.phrase, gain, others))
        return prose.paragraph(*lines)

    @property
    def _oracle_gains(self) -> dict[Simplification, Estimate]:
        """What each gains at unseen depth where it is fitted on that split."""
        fitted = {s: self._fitted_on(s, "unseen_depth") for s in (self.svd, self.kmeans)}
        self.study.measure_also(list(fitted.values()))
        return {s: self._agreement(oracle, "unseen_depth") - self._agreement(s, "unseen_depth") for s, oracle in fitted.items()}

    def lengths(self) -> str:
        """How long sentences are."""
        inside, deep = (self.run.data.splits[split].lengths.mean() - 2 for split in PAIR)
        return f"Deeper sentences have {deep:.0f} brackets on average, those in distribution {inside:.0f}."

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

    def controls(self) -> figures.Table:
        """Gaps in percentage points with controls, one row per simplification."""
        rows = {label: {name: points(gap) for name, gap in gaps.items()} for label, gaps in self.controlled.items()}
        caption = "Gaps in deeper sentences, in percentage points, as they are and against sentences that are alike otherwise"
        return figures.Table(prose.table(rows), caption, heat=True)

    def against_random(self) -> figures.Table:
        """SVD against random subspaces of equal rank, agreement on `iid`, one row per rank."""
        family = {p: {s.complexity: s for s in self.families.get(p, [])} for p in ("svd", "random_subspace")}
        rows = {}
        for rank in sorted(set(family["svd"]) & set(family["random_subspace"])):
            svd, random = (self.estimates.estimate(family[p][rank], "iid", "same_prediction") for p in family)
            row = {"SVD": percent(svd, interval=True), "random subspace": percent(random, interval=True)}
            rows[f"rank {rank}"] = {**row, "difference, points": points(svd - random, sign=True)}
        return figures.Table(prose.table(rows), "Same prediction as the model in distribution: SVD, and any directions")

    def random_text(self) -> str:
        """Whether these directions matter, or any of as many would do."""
        family = {p: {s.complexity: s for s in self.families.get(p, [])} for p in ("svd", "random_subspace")}
        shared = sorted(set(family["svd"]) & set(family["random_subspace"]))
        pairs = {rank: [self._agreement(family[p][rank], "iid") for p in family] for rank in shared}
        return promises.random_sentence({rank: svd - random for rank, (svd, random) in pairs.items()})

    # What the chapter says of itself

    def setup(self) -> str:
        """What the chapter takes for granted, in a box."""
        return setup(self.study, self.svd, list(self.families))

    def settings_text(self) -> str:
        """Links that set the live figure to what is looked at closely, as HTML."""
        return f"<p>{say.settings_sentence([self.svd, self.kmeans, self.one_hot])}</p>"

    def heading(self, section: str) -> str:
        """The heading of a section: what was found in it."""
        found = {
            "compared": lambda: headings.compared(self._differences),
            "line": lambda: headings.line(self.on_the_line),
            "bases": lambda: headings.bases(self._gains_of_one_basis),
            "dropped": lambda: headings.dropped(
                {PROXIES[s.proxy].label: of[1] for s, of in self._correlations.items()},
                [PROXIES[s.proxy].label for s in self._less_dropped],
            ),
            "oracle": lambda: headings.oracle({PROXIES[s.proxy].label: gain for s, gain in self._oracle_gains.items()}),
            "controls": lambda: headings.controls(
                {
                    PROXIES[s.proxy].label: self.controlled[s.phrase]["length and depth matched"]
                    for s in (self.svd, self.kmeans, self.one_hot)
                }
            ),
        }
        return f"## {found[section]()}"

    def in_short(self) -> str:
        """The chapter in a paragraph, as HTML."""
        return prose.finding(headings.compared(self._differences), self.comparison())

    def sure(self) -> str:
        """How far all this can be trusted."""
        return prose.how_sure(
            f"{self.measured_on}, with {self.place} simplified",
            figures.interval_note(self.study),
            self.study.seeds,
            "Families are compared at many levels and ranks: some differ by chance. A line through all settings, and random "
            "directions, are one draw a model each.",
        )


def _told_apart(points: pd.DataFrame) -> str:
    """How much of the spread along the first direction is between tokens of different depth, position or type."""
    said = []
    for kind, of in points.groupby("kind", sort=False):
        spread = {name: of.groupby(name)["x"].transform("mean").var() / of["x"].var() for name in ("depth", "position", "type")}
        parts = prose.names(f"{100 * part:.0f} % between {name}s" for name, part in spread.items())
        said.append(f"Of the spread of {kind} along the first direction, there is {parts}.")
    return " ".join(said)
