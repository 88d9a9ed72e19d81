"""The chapter on depth: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from lib import figures, prose
from lib.errors import one_of
from lib.experiment import simplifications_of
from lib.figures.training import training_figure
from lib.measuring.intervals import Estimate, Estimates
from lib.measuring.measures import LABELS
from lib.prose import percent, points, tell
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks.dyck import mechanism
from lib.tasks.dyck import prose as say
from lib.tasks.dyck.drawings import sentence_figure
from lib.tasks.dyck.sentences import compare_sentence, deepest_sentences, sentence_comparison_figure

FEWEST = 20  # predictions that a mean within a category must rest on to be shown
UNSEEN = ("unseen_structure", "unseen_length", "unseen_depth")
MEASURES = {name: LABELS[name] for name in ("accuracy", "same_prediction")}


class DepthChapter:
    """A Dyck study with one layer simplified: by `ranks` of the SVD, and by the rank `example` where one is looked at."""

    def __init__(self, study: Study, layer: int, ranks: Sequence[int], example: int):
        one_of("layer", layer, range(study.experiment.model.layers))
        self.study, self.layer, self.place = study, layer, f"layer {layer}"
        self.example, self.run = study.simplified("svd", example, layer), study.runs[0]
        self.one_hot = study.simplified("one_hot", None, layer)
        self.by_depth = [*(study.simplified("svd", rank, layer) for rank in ranks), self.one_hot]
        self.splits = study.task.shown(study.splits)
        self.measured_on = figures.measured_on(study)
        self.note = f"{self.measured_on}; bands: {figures.interval_note(study)}"

    @property
    def estimates(self) -> Estimates:
        """What was measured."""
        return self.study.estimates

    def agreement(self, simplification: Simplification, split: str) -> Estimate:
        """How often a simplification makes the model's prediction."""
        return self.estimates.estimate(simplification, split, "same_prediction")

    # The language and the model

    def sentence(self) -> Figure:
        """A sentence of the language."""
        (found,) = deepest_sentences(self.run, "iid", brackets=30).values()
        n = int((found.tokens[0] > 2).sum())
        words = [self.run.data.vocabulary[token] for token in found.tokens[0, 1 : n + 1]]
        openers = [opener - 1 if opener > 0 else -1 for opener in found.opener[0, 1 : n + 1]]
        source = f"preset {self.study.preset}, seed 0: one sentence of iid"
        return sentence_figure(words, found.depth[0, 1 : n + 1], openers, source)

    def training(self) -> Figure:
        """Accuracy on every split along training."""
        return training_figure(self.study, self.splits)

    def learned(self) -> str:
        """How well the model closes brackets."""
        deepest = range(self.study.task.max_depth + 1, self.study.task.unseen_depth + 1)
        by_split = {
            split: self.estimates.estimate(MODEL, split, "accuracy") for split in ("iid", "unseen_depth", "unseen_length")
        }
        deep = self.estimates.estimate(MODEL, "unseen_depth", "accuracy", depth=list(deepest))
        return prose.paragraph(
            say.learned(by_split["iid"], by_split["unseen_depth"], deep, by_split["unseen_length"]),
            f"(Measured on {self.measured_on}, trained on {self.study.task.training_sentences:,}; in square brackets "
            f"{figures.interval_note(self.study)}.)",
        )

    # Along training

    @cached_property
    def followed(self) -> list[Simplification]:
        """The simplifications that were measured along training."""
        return simplifications_of(self.study.experiment.measuring.along_training)

    def along_training(self) -> Figure:
        """Accuracy of the model and of simplifications of this layer along training, a panel a split."""
        shown = [s for s in self.followed if s.layer == self.layer]
        table = figures.tabulate(
            ({"panel": split, "series": s.label, "x": step}, at.estimate(s, split, "accuracy"))
            for step, at in self.study.along_training.items()
            for split in self.splits
            for s in (*shown, MODEL)
        )
        heldout = figures.measured_on(self.study, self.study.experiment.training.heldout_sequences)
        note = f"{heldout}; {self.place}; bands: {figures.interval_note(self.study)}"
        return figures.curves(table, figures.looks_of(shown, model=True), x="training step", y="accuracy", note=note)

    def ahead(self) -> pd.DataFrame:
        """At how many evaluations along training a simplification is more / less accurate than the model."""
        rows = {}
        for s in self.followed:
            rows[f"{s.place}: {s.label}"] = row = {}
            for split in self.splits:
                better = [at.compare_with_model(s, split) for at in self.study.along_training.values()]
                sides = [tell(estimate, above="more", below="less", unclear="", missing="") for estimate in better]
                row[split] = f"{sides.count('more')} / {sides.count('less')} / {len(better)}"
        return prose.table(rows)

    # By depth and distance

    def _by(self, covariate: str, panels: Mapping[str, tuple[str, str]], shown: Sequence[Simplification]) -> pd.DataFrame:
        """A table over the values of a covariate; `panels` has the splits (by `+`) and the measure of each panel's title.

        Of several splits each value is taken from the first that has it.
        """
        return figures.tabulate(
            (
                (
                    {"panel": panel, "series": s.label, "x": value},
                    self.estimates.estimate(s, split, measure, **{covariate: value}),
                )
                for panel, (splits, measure) in panels.items()
                for s in (*shown, *([MODEL] if measure == "accuracy" else []))
                for split, value in self._values(splits.split("+"), covariate)
            ),
            FEWEST,
        )

    def _values(self, splits: Sequence[str], covariate: str) -> Iterator[tuple[str, int]]:
        seen: set[int] = set()
        for split in splits:
            for value in self.estimates.categories(split, covariate):
                enough = self.estimates.estimate(self.one_hot, split, "accuracy", **{covariate: value}).positions >= FEWEST
                if value not in seen and enough:
                    seen.add(value)
                    yield split, value

    def bracket_depth(self) -> Figure:
        """By depth of the bracket to be closed: accuracy, and agreement with the model."""
        panels = {f"{split}: {name}": (split, m) for m, name in MEASURES.items() for split in ("iid", "unseen_depth")}
        return self._depth_figure(self._by("depth", panels, self.by_depth), "depth of the bracket to be closed")

    def sentence_depth(self) -> Figure:
        """By depth of the sentence: accuracy, and agreement with the model; `iid` up to training depth, then `unseen_depth`."""
        panels = {name: ("iid+unseen_depth", measure) for measure, name in MEASURES.items()}
        x = "depth of the sentence (iid left of the dotted line, unseen_depth right of it)"
        return self._depth_figure(self._by("sentence_depth", panels, self.by_depth), x)

    def _depth_figure(self, table: pd.DataFrame, x: str) -> Figure:
        note = f"{self.note}; {self.place}; values with fewer than {FEWEST} predictions are left out"
        looks, boundary = figures.looks_of(self.by_depth, model=True), self.study.task.max_depth + 0.5
        return figures.curves(table, looks, x=x, y="share of predictions", note=note, columns=2, boundary=boundary)

    def distance(self) -> Figure:
        """Agreement by distance from the bracket to be closed to its opener."""
        panels = {split: (split, "same_prediction") for split in ("iid", "unseen_depth")}
        table = self._by("distance", panels, self.compared)
        note = f"{self.note}; distances with fewer than {FEWEST} predictions are left out"
        x, y = "distance to the opener (tokens)", MEASURES["same_prediction"]
        return figures.curves(table, figures.looks_of(self.compared), x=x, y=y, note=note, columns=2)

    # In and out of distribution

    @property
    def claimed(self) -> list[Simplification]:
        """Every measured simplification of the layer whose proxy is no control; the next chapter shows those."""
        return [s for s in self.study.simplifications(self.layer) if not PROXIES[s.proxy].control]

    def faithfulness(self) -> Figure:
        """Agreement of every simplification with the model on every split."""
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.agreement(s, split)) for s in self.claimed for split in self.splits
        )
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        return figures.forest(table, figures.split_looks(self.study, self.splits), x=MEASURES["same_prediction"], note=note)

    def gaps(self) -> pd.DataFrame:
        """Generalization gaps of the layer in percentage points, one row per simplification."""
        return self._gap_table(self.claimed)

    def gaps_elsewhere(self) -> pd.DataFrame:
        """Generalization gaps of the other layers, and of all at once."""
        every = simplifications_of(self.study.experiment.measuring.grid)
        return self._gap_table([s for s in every if s.layer != self.layer])

    def _gap_table(self, simplifications: Iterable[Simplification]) -> pd.DataFrame:
        gap = self.estimates.gap
        rows = {f"{s.place}: {s.label}": {x: points(gap(s, x, "iid")) for x in UNSEEN} for s in simplifications}
        return prose.table(rows, "gap, points")

    def gap(self) -> str:
        """The gap of the example at unseen depth, and of higher ranks."""
        higher = [s for s in self.study.family("svd", self.layer) if s.complexity > self.example.complexity][:2]
        gap = {s: self.estimates.gap(s, "unseen_depth", "iid") for s in (self.example, *higher)}
        inside, outside = (self.agreement(self.example, split) for split in ("iid", "unseen_depth"))
        others = {s.phrase: gap[s] for s in higher}
        return say.gap_sentence(f"{self.example.phrase} in {self.place}", inside, outside, gap[self.example], others)

    def better(self) -> str:
        """Whether one-hot attention is better than the model at unseen depth."""
        accuracy = self.estimates.estimate(self.one_hot, "unseen_depth", "accuracy")
        return say.better_sentence(accuracy, self.estimates.compare_with_model(self.one_hot, "unseen_depth"))

    # What goes wrong

    @cached_property
    def compared(self) -> list[Simplification]:
        """The simplifications whose attention is looked at: the example, and the finest of every other proxy of claims."""
        claimed = sorted(self.claimed, key=lambda s: s.complexity or 0)
        finest = {s.proxy: s for s in claimed if s.proxy != self.example.proxy and PROXIES[s.proxy].fitted}
        return [self.example, *finest.values(), self.one_hot]

    @cached_property
    def _attention(self) -> tuple[Estimates, pd.DataFrame]:
        found = {run.seed: mechanism.opener_attention(run, ["iid", "unseen_depth"], self.compared) for run in self.study.runs}
        blocks = {seed: of_seed for seed, (of_seed, _) in found.items()}
        return self.study.estimates_of(blocks), pd.concat([depths for _, depths in found.values()])

    def opener(self) -> Figure:
        """The share of attention on the opener of the bracket to be closed."""
        splits = ("iid", "unseen_depth")
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self._attention[0].estimate(s, split, "opener_weight"))
            for s in (MODEL, *self.compared)
            for split in splits
        )
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        x = "attention on the bracket to be closed (mean weight)"
        return figures.forest(table, figures.split_looks(self.study, splits), x=x, note=note)

    def attended_depth(self) -> Figure:
        """At which depth the most-attended bracket lies, by the depth that has to be closed."""
        depths = self._attention[1]
        panels = [
            "\n".join([split, *s.label.split(", ")]) for split, s in zip(depths["split"], depths["simplification"], strict=True)
        ]
        table = depths.assign(panel=panels, x=depths["attended"], y=depths["depth"]).sort_values("split", kind="stable")
        x, y = "depth of the bracket with most attention (0: START)", "depth to be closed"
        note = f"{self.measured_on}; {self.place}; each row sums to 100 %; grey: fewer than {FEWEST} brackets; no intervals"
        return figures.heat(table, x=x, y=y, note=note, fewest=FEWEST, columns=1 + len(self.compared))

    def attention(self) -> str:
        """How much attention is on the right bracket."""
        weight = self._attention[0].estimate
        pairs = [[weight(s, split, "opener_weight") for split in ("iid", "unseen_depth")] for s in (MODEL, self.example)]
        return say.attention_sentence(self.example.phrase, *pairs)

    def hardest(self) -> Figure:
        """A deep sentence, at the closing bracket on which the example does worst."""
        (deep,) = deepest_sentences(self.run, "unseen_depth").values()
        comparison = compare_sentence(self.run, deep, self.example)
        return sentence_comparison_figure(comparison, comparison.hardest(), self.run.data.vocabulary)

    def encodings(self, studies: Mapping[str, Study]) -> pd.DataFrame:
        """Accuracy of the model and agreement of simplifications with each position encoding, one column per encoding."""
        rows = {}
        for encoding, study in studies.items():
            row = rows[f"{encoding} ({prose.seeds(study.seeds)})"] = {}
            for split in ("iid", "unseen_length", "unseen_depth"):
                row[f"model, {split}"] = percent(study.estimates.estimate(MODEL, split, "accuracy"), 0, True)
            for s in (self.example, self.one_hot):
                study.measure_also([s])
                for split in ("iid", "unseen_length", "unseen_depth"):
                    row[f"{s.label}, {split}"] = percent(study.estimates.estimate(s, split, "same_prediction"), 0, True)
        return prose.table(rows).T

    def summary(self) -> str:
        """The chapter in a few lines."""
        weight = self._attention[0].estimate
        pair = [weight(s, "unseen_depth", "opener_weight") for s in (MODEL, self.example)]
        model = self.estimates.estimate(MODEL, "unseen_depth", "accuracy")
        return "\n".join(
            f"- {line}"
            for line in (
                self.gap(),
                f"The model itself closes {percent(model, interval=True)} of the scored brackets correctly at unseen depth. "
                f"{self.better()}",
                f"At unseen depth the model puts {percent(pair[0])} of its attention on the right bracket; "
                f"{self.example.phrase} puts {percent(pair[1])} there.",
                f"Measured on {self.measured_on}; {figures.interval_note(self.study)}.",
            )
        )

    def headline(self) -> str:
        """The chapter in a paragraph, for the first page of the book."""
        inside, outside = (self.agreement(self.example, split) for split in ("iid", "unseen_depth"))
        model, one_hot = (self.estimates.estimate(s, "unseen_depth", "accuracy") for s in (MODEL, self.one_hot))
        return prose.paragraph(
            f"On Dyck (preset {self.study.preset}, {prose.seeds(self.study.seeds)}), the model closes {percent(model)} of the "
            f"scored brackets correctly on sentences nested deeper than any in training. A picture of its {self.place} by "
            f"{self.example.phrase} predicts what the model predicts in {percent(inside)} of cases in distribution, and in "
            f"{percent(outside)} at unseen depth. One-hot attention, which uses no data, closes {percent(one_hot)} of "
            f"the brackets correctly there."
        )
