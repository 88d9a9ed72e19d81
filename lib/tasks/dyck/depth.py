"""The chapter on depth: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import pandas as pd
from matplotlib.figure import Figure

from lib import figures, prose
from lib.claims import representative
from lib.errors import InputError, one_of
from lib.experiment import simplifications_of
from lib.figures.training import training_figure
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.dyck import boundary
from lib.tasks.dyck import prose as say
from lib.tasks.dyck.causes import Causes
from lib.tasks.dyck.drawings import sentence_figure
from lib.tasks.dyck.sentences import compare_sentence, deepest_sentences, sentence_comparison_figure

PARTS = {
    "mix": Look("mix of depths", "#0072B2", "o"),
    "within": Look("change at the same depth", "#E69F00", "s"),
    "beyond": Look("depths hardly there in distribution", "#D55E00", "D"),
}


class DepthChapter(Causes):
    """A Dyck study with one layer simplified: by `ranks` of the SVD, and by the rank `example` where one is looked at."""

    def __init__(self, study: Study, layer: int, ranks: Sequence[int], example: int):
        one_of("layer", layer, range(study.experiment.model.layers))
        self.study, self.layer, self.place = study, layer, f"layer {layer}"
        self.example, self.run = study.simplified("svd", example, layer), study.runs[0]
        self.one_hot = study.simplified("one_hot", None, layer)
        self.by_depth = [*(study.simplified("svd", rank, layer) for rank in ranks), self.one_hot]
        self.splits = study.task.shown(study.splits)
        self.unseen = study.task.unseen(study.splits)
        self.measured_on = figures.measured_on(study)
        self.note = f"{self.measured_on}; bands: {figures.interval_note(study)}"

    @property
    def estimates(self) -> Estimates:
        """What was measured."""
        return self.study.estimates

    @property
    def claimed(self) -> list[Simplification]:
        """Every measured simplification of the layer whose proxy is no control; the next chapter shows those."""
        return [s for s in self.study.simplifications(self.layer) if not PROXIES[s.proxy].control]

    def agreement(self, simplification: Simplification, split: str) -> Estimate:
        """How often a simplification makes the model's prediction."""
        return self.estimates.estimate(simplification, split, "same_prediction")

    # The depth curve

    def boundary(self) -> Figure:
        """Agreement by the exact depth of sentences of one band of lengths; under it, how often each depth occurs."""
        depths = self.estimates.categories(boundary.SPLIT, "sentence_depth")
        of = {s.label: s for s in self.by_depth}
        table = figures.tabulate(
            (
                ({"series": label, "x": depth, "panel": LABELS[measure]}, boundary.at_depth(self.estimates, s, depth, measure))
                for measure in ("same_prediction", "accuracy")
                for label, s in (of | ({"model": MODEL} if measure == "accuracy" else {})).items()
                for depth in depths
            ),
            boundary.FEWEST,
        )
        lengths = self.estimates.categories(boundary.SPLIT, "length")
        note = (
            f"{self.note}; {self.place}; sentences of {lengths[0]} to {lengths[-1]} brackets; shaded: depths of training; bars "
            f"at the foot: the share of scored brackets in distribution that are in sentences of that depth, the tallest being "
            f"{100 * max(self._occurrence.values()):.0f} %"
        )
        looks, x = figures.looks_of(self.by_depth, model=True), "depth of the sentence"
        shaded = (0.5, self.study.task.max_depth + 0.5)
        return figures.curves(
            table, looks, x=x, y="share of predictions", note=note, columns=2, shaded=shaded, shares=self._occurrence
        )

    @property
    def _occurrence(self) -> dict[int, float]:
        return boundary.occurrence(self.study, range(1, self.study.task.max_depth + 1))

    def occurrence_text(self) -> str:
        """How rare deep brackets are in distribution, and how common at unseen depth."""
        depths = self.estimates.categories("unseen_depth", "depth")
        deep = [depth for depth in depths if depth >= self._rare]
        shares = [self.estimates.share(split, depth=deep) for split in boundary.PAIR]
        return say.occurrence_sentence(self._rare, *shares)

    @property
    def _rare(self) -> int:
        """The depth from which on brackets are rare in distribution."""
        return round(0.8 * self.study.task.max_depth)

    def boundary_text(self) -> str:
        """Whether anything happens at the depth up to which training goes: the example, and what stands for every family."""
        families = dict.fromkeys(s.proxy for s in self.claimed)
        shown = [self.example, *(representative(self.study, self.layer, proxy) for proxy in families)]
        found = {s.phrase: self._below_trend(self.study, s) for s in shown}
        return say.boundary_sentence(self.study.task.max_depth, found)

    def _below_trend(self, study: Study, s: Simplification) -> Estimate | None:
        try:
            return boundary.below_trend(study, s)
        except InputError:
            return None

    def boundaries(self, studies: Mapping[str, Study]) -> pd.DataFrame:
        """Whether the boundary is there, one row per family of proxies, one column per study."""
        rows: dict[str, dict[str, str]] = {}
        for proxy in dict.fromkeys(s.proxy for s in self.claimed):
            row = rows[PROXIES[proxy].label] = {}
            for name, study in studies.items():
                column = f"{name} ({prose.seeds(study.seeds)})"
                if not study.family(proxy, self.layer):
                    row[column] = prose.NOT_MEASURED
                    continue
                s = representative(study, self.layer, proxy)
                effect = self._below_trend(study, s)
                number = f" {points(effect)}" if effect is not None and effect.measured else ""
                rank = f" (at {s.label.partition(', ')[2]})" if s.complexity else ""
                row[column] = f"{boundary.word(effect)}{number}{rank}"
        return prose.table(rows)

    def _at_equal_depth(self) -> Estimate:
        """The gap of the example at unseen depth where sentences are as long and brackets as deep."""
        try:
            return self.estimates.matched_gap(self.example, "unseen_depth", "iid_matched", ["depth"])
        except InputError:  # too little in common
            return nothing()

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
        by_split = {s: self.estimates.estimate(MODEL, s, "accuracy") for s in ("iid", "unseen_depth", "unseen_length")}
        deep = self.estimates.estimate(MODEL, "unseen_depth", "accuracy", depth=list(deepest))
        settings, sentences = self.study.experiment.training, self.study.task.training_sentences
        trained = f"{min(settings.steps * settings.batch_size, sentences):,} of {sentences:,} sentences"
        return prose.paragraph(
            say.learned(by_split["iid"], by_split["unseen_depth"], deep, by_split["unseen_length"]),
            f"(Measured on {self.measured_on}, trained on {trained}; in square brackets {figures.interval_note(self.study)}.)",
        )

    def along_training(self) -> Figure:
        """Along training: accuracy of model and simplifications, their agreement, and the divergence of attention."""
        followed = simplifications_of(self.study.experiment.measuring.along_training)
        shown = [s for s in followed if s.layer == self.layer]
        measures = ("accuracy", "same_prediction", "attention_jsd")
        table = figures.tabulate(
            ({"panel": f"{split}:\n{LABELS[m]}", "series": s.label, "x": step}, at.estimate(s, split, m))
            for split in boundary.PAIR
            for m in measures
            for step, at in self.study.along_training.items()
            for s in (*shown, *([MODEL] if m == "accuracy" else []))
        )
        heldout = figures.measured_on(self.study, self.study.experiment.training.heldout_sequences)
        note = f"{heldout}; {self.place}; bands: {figures.interval_note(self.study)}"
        looks, plain = figures.looks_of(shown, model=True), LABELS["attention_jsd"]
        return figures.curves(table, looks, x="training step", y="", note=note, columns=len(measures), plain=plain)

    # What the gap is made of

    def decomposition(self) -> Figure:
        """The gap of settings at unseen depth in three parts, by the depth of the bracket to be closed."""
        rows = []
        for s in self.by_depth:
            parts = boundary.decomposition(self.study, s)
            rows += [({"row": s.label, "series": name}, part.scaled(100)) for name, part in parts._asdict().items()]
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        return figures.forest(figures.tabulate(rows), PARTS, x="part of the gap (percentage points)", note=note, percent=False)

    def decompositions(self, studies: Mapping[str, Study]) -> pd.DataFrame:
        """The gap at unseen depth and its parts in percentage points, one row per study and family."""
        rows = {}
        for name, study in studies.items():
            for proxy in dict.fromkeys(s.proxy for s in self.claimed):
                if not study.family(proxy, self.layer):
                    continue
                s = representative(study, self.layer, proxy)
                parts = boundary.decomposition(study, s)
                named = {PARTS[part].label: points(value) for part, value in parts._asdict().items()}
                rows[f"{name}: {s.label}"] = {"gap": points(study.estimates.gap(s, "unseen_depth", "iid")), **named}
        return prose.table(rows)

    def decomposition_text(self) -> str:
        """How much of the example's gap each part is."""
        return say.decomposition_sentence(self.example.phrase, boundary.decomposition(self.study, self.example))

    def faithfulness(self) -> Figure:
        """Agreement of every simplification with the model on every split."""
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.agreement(s, split)) for s in self.claimed for split in self.splits
        )
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        looks, x = figures.split_looks(self.study, self.splits), LABELS["same_prediction"]
        return figures.forest(table, looks, x=x, note=note)

    def gaps(self) -> pd.DataFrame:
        """Generalization gaps of the layer in percentage points, one row per simplification."""
        return self._gap_table(self.claimed)

    def gaps_elsewhere(self) -> pd.DataFrame:
        """Generalization gaps of the other layers, and of all at once."""
        every = simplifications_of(self.study.experiment.measuring.grid)
        return self._gap_table([s for s in every if s.layer != self.layer])

    def _gap_table(self, simplifications: Iterable[Simplification]) -> pd.DataFrame:
        gap = self.estimates.gap
        rows = {f"{s.place}: {s.label}": {x: points(gap(s, x, "iid")) for x in self.unseen} for s in simplifications}
        return prose.table(rows, "gap, points")

    def gap(self) -> str:
        """The gap of the example at unseen depth, and of higher ranks."""
        family = sorted(self.study.family("svd", self.layer), key=lambda s: s.complexity)
        higher = [s for s in family if s.complexity > self.example.complexity][:2]
        gap = {s: self.estimates.gap(s, "unseen_depth", "iid") for s in (self.example, *higher)}
        inside, outside = (self.agreement(self.example, split) for split in boundary.PAIR)
        others = {s.phrase: gap[s] for s in higher}
        return say.gap_sentence(f"{self.example.phrase} in {self.place}", inside, outside, gap[self.example], others)

    def better(self) -> str:
        """Whether one-hot attention is better than the model at unseen depth."""
        accuracy = self.estimates.estimate(self.one_hot, "unseen_depth", "accuracy")
        return say.better_sentence(accuracy, self.estimates.compare_with_model(self.one_hot, "unseen_depth"))

    def hardest(self) -> Figure:
        """The deepest sentence on which the model is right and the example is not; if there is none, the deepest."""
        sentences = deepest_sentences(self.run, "unseen_depth", count=50).values()
        found = (compare_sentence(self.run, sentence, self.example) for sentence in sentences)
        deepest = next(found)
        comparison = next((comparison for comparison in chain([deepest], found) if comparison.parted), deepest)
        return sentence_comparison_figure(comparison, comparison.hardest(), self.run.data.vocabulary)

    def encodings(self, studies: Mapping[str, Study]) -> pd.DataFrame:
        """Accuracy of the model and agreement of simplifications in each study, one column per study."""
        rows = {}
        for name, study in studies.items():
            row = rows[f"{name} ({prose.seeds(study.seeds)})"] = {}
            for split in ("iid", "unseen_length", "unseen_depth"):
                row[f"model, {split}"] = percent(study.estimates.estimate(MODEL, split, "accuracy"), 0, True)
            for s in (self.example, self.one_hot):
                study.measure_also([s])
                for split in ("iid", "unseen_length", "unseen_depth"):
                    row[f"{s.label}, {split}"] = percent(study.estimates.estimate(s, split, "same_prediction"), 0, True)
        return prose.table(rows).T

    def summary(self) -> str:
        """The chapter in a few lines."""
        model = prose.in_percent(self.estimates.estimate(MODEL, "unseen_depth", "accuracy"), True)
        beyond = list(range(self.study.task.max_depth + 1, self.study.task.unseen_depth + 1))
        deepest = prose.in_percent(self.estimates.estimate(MODEL, "unseen_depth", "accuracy", depth=beyond), True)
        lines = (
            self.gap(),
            self.boundary_text(),
            self.decomposition_text(),
            self.misses_text(),
            self.helps_text(),
            f"The model itself closes {model} of the scored brackets correctly in sentences of unseen depth, {deepest} of "
            f"those that lie deeper than any in training. {self.better()}",
            f"Measured on {self.measured_on}; {figures.interval_note(self.study)}.",
        )
        return "\n".join(f"- {line}" for line in lines if line)

    def headline(self) -> str:
        """The chapter in a paragraph, for the first page of the book."""
        inside, outside = (prose.in_percent(self.agreement(self.example, split), True) for split in boundary.PAIR)
        return prose.paragraph(
            f"A picture of a bracket-closing Transformer's {self.place} ({self.example.phrase} of "
            f"{self.study.experiment.model.head_width}) makes the model's prediction in {inside} of cases in distribution, and "
            f"in {outside} on sentences nested deeper than any in training.",
            say.matched_sentence(self._at_equal_depth()),
        )
