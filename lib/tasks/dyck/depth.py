"""The chapter on depth: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from lib import figures, prose
from lib.errors import one_of
from lib.experiment import simplifications_of
from lib.figures.training import training_figure
from lib.live.explorer import Explorer
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.dyck import boundary
from lib.tasks.dyck.causes import Causes
from lib.tasks.dyck.drawings import sentence_figure
from lib.tasks.dyck.live import LiveBrackets
from lib.tasks.dyck.sentences import deepest_sentences
from lib.tasks.dyck.telling import DepthSentences

PARTS = {
    "mix": Look("mix of depths", "#0072B2", "o"),
    "within": Look("change at the same depth", "#E69F00", "s"),
    "beyond": Look("depths hardly there in distribution", "#D55E00", "D"),
}


class DepthChapter(Causes, DepthSentences):
    """A Dyck study with one layer simplified: by `ranks` of the SVD, and by the rank `example` where one is looked at."""

    def __init__(self, study: Study, layer: int, ranks: Sequence[int], example: int):
        one_of("layer", layer, range(study.experiment.model.layers))
        self.study, self.layer, self.place = study, layer, f"layer {layer}"
        self.example, self.run = study.simplified("svd", example, layer), study.runs[0]
        self.one_hot = study.simplified("one_hot", None, layer)
        self.by_depth = [*(study.simplified("svd", rank, layer) for rank in ranks), self.one_hot]
        self.measured_on = figures.measured_on(study)

    @cached_property
    def splits(self) -> list[str]:
        """The splits that figures show."""
        return self.study.task.shown(self.study.splits)

    @cached_property
    def unseen(self) -> list[str]:
        """The splits that are out of distribution."""
        return self.study.task.unseen(self.study.splits)

    @property
    def note(self) -> str:
        """What figures with bands rest on."""
        return f"{self.measured_on}; bands: {figures.interval_note(self.study)}"

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

    def boundary(self) -> figures.Picture:
        """Agreement by the exact depth of sentences of one band of lengths; under it, how often each depth occurs."""
        return self._boundary

    @cached_property
    def _boundary(self) -> figures.Picture:
        """It is shown on two pages and kept for a third, and drawn once."""
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
        looks, x, found = figures.looks_of(self.by_depth, model=True), "depth of the sentence", self.boundary_text()
        shaded = (0.5, self.study.task.max_depth + 0.5)
        alt = f"By depth of sentences, how often pictures predict what the model does, and how often both are right. {found}"
        return figures.curves(
            table, looks, x=x, y="share of predictions", alt=alt, note=note, columns=2, shaded=shaded, shares=self._occurrence
        )

    @property
    def _occurrence(self) -> dict[int, float]:
        return boundary.occurrence(self.study, range(1, self.study.task.max_depth + 1))

    def boundaries(self, studies: Mapping[str, Study]) -> figures.Table:
        """Whether the boundary is there, one row per family of proxies, one column per study."""
        rows: dict[str, dict[str, str]] = {}
        for name, study in studies.items():
            column, standing = f"{name} ({prose.seeds(study.seeds)})", self._standing(study)
            for proxy in dict.fromkeys(s.proxy for s in self.claimed):
                row = rows.setdefault(PROXIES[proxy].label, {})
                if (s := standing.get(proxy)) is None:
                    row[column] = prose.NOT_MEASURED
                    continue
                effect = self._below_trend(study, s)
                number = f" {points(effect)}" if effect is not None and effect.measured else ""
                rank = f" (at {s.label.partition(', ')[2]})" if s.complexity else ""
                row[column] = f"{boundary.word(effect)}{number}{rank}"
        caption = "Just beyond the depths of training: agreement against the line through the last of them, points below it"
        return figures.Table(prose.table(rows), caption)

    # The language and the model

    def sentence(self) -> figures.Picture:
        """A sentence of the language."""
        (found,) = deepest_sentences(self.run, "iid", brackets=30).values()
        n = int((found.tokens[0] > 2).sum())
        words = [self.run.data.vocabulary[token] for token in found.tokens[0, 1 : n + 1]]
        openers = [opener - 1 if opener > 0 else -1 for opener in found.opener[0, 1 : n + 1]]
        source = f"preset {self.study.preset}, seed 0: a sentence in distribution"
        return sentence_figure(words, found.depth[0, 1 : n + 1], openers, source)

    def training(self) -> figures.Picture:
        """Accuracy on every split along training."""
        return training_figure(self.study, self.splits)

    def along_training(self) -> figures.Picture:
        """Along training: accuracy of model and simplifications, their agreement, and the divergence of attention."""
        followed = simplifications_of(self.study.experiment.measuring.along_training)
        shown = [s for s in followed if s.layer == self.layer]
        measures = ("accuracy", "same_prediction", "attention_jsd")
        table = figures.tabulate(
            (
                {"panel": f"{figures.called(self.study, split)}:\n{LABELS[m]}", "series": s.label, "x": step},
                at.estimate(s, split, m),
            )
            for split in boundary.PAIR
            for m in measures
            for step, at in self.study.along_training.items()
            for s in (*shown, *([MODEL] if m == "accuracy" else []))
        )
        heldout = figures.measured_on(self.study, self.study.experiment.training.heldout_sequences)
        note = f"{heldout}; {self.place}; bands: {figures.interval_note(self.study)}"
        looks, plain = figures.looks_of(shown, model=True), LABELS["attention_jsd"]
        alt = f"Accuracy, agreement with the model and divergence of attention along training. At its end: {self.gap()}"
        return figures.curves(table, looks, x="training step", y="", alt=alt, note=note, columns=len(measures), plain=plain)

    # What the gap is made of

    def decomposition(self) -> figures.Picture:
        """The gap of settings at unseen depth in three parts, by the depth of the bracket to be closed."""
        rows = []
        for s in self.by_depth:
            parts = boundary.decomposition(self.study, s)
            rows += [({"row": s.label, "series": name}, part.scaled(100)) for name, part in parts._asdict().items()]
        note = f"{self.measured_on}; {self.place}; bars: {figures.interval_note(self.study)}"
        table, x = figures.tabulate(rows), "part of the gap (percentage points)"
        alt = f"The gap in deeper sentences in three parts, picture by picture. {self.decomposition_text()}"
        return figures.forest(table, PARTS, x=x, alt=alt, note=note, percent=False)

    def decompositions(self, studies: Mapping[str, Study]) -> figures.Table:
        """The gap at unseen depth and its parts in percentage points, one row per study and family."""
        rows = {}
        for name, study in studies.items():
            for s in self._standing(study).values():
                parts = boundary.decomposition(study, s)
                named = {PARTS[part].label: points(value) for part, value in parts._asdict().items()}
                rows[f"{name}: {s.label}"] = {"gap": points(study.estimates.gap(s, "unseen_depth", "iid")), **named}
        return figures.Table(prose.table(rows), "The gap in deeper sentences and its parts, in percentage points", heat=True)

    def faithfulness(self) -> figures.Picture:
        """Agreement with the model on every split, of what is looked at closely, and of what stands for every family."""
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.agreement(s, split))
            for s in dict.fromkeys([*self.by_depth, *self._standing(self.study).values()])
            for split in self.splits
        )
        where = f"{self.measured_on}; {self.place}; of each family the setting that stands for it, and those that curves show"
        note = f"{where}; bars: {figures.interval_note(self.study)}"
        looks, x = figures.split_looks(self.study, self.splits), LABELS["same_prediction"]
        alt = f"How often pictures predict what the model does, on every kind of sentence. {self.gap()}"
        return figures.forest(table, looks, x=x, alt=alt, note=note)

    def gaps(self) -> figures.Table:
        """Generalization gaps of the layer in percentage points, one row per simplification."""
        return self._gap_table(self.claimed, f"Gaps with {self.place} simplified, in percentage points")

    def gaps_elsewhere(self) -> figures.Table:
        """Generalization gaps of the other layers, and of all at once."""
        every = simplifications_of(self.study.experiment.measuring.grid)
        others = [s for s in every if s.layer != self.layer]
        return self._gap_table(others, "Gaps with another layer simplified, or all at once, in percentage points")

    def _gap_table(self, simplifications: Iterable[Simplification], caption: str) -> figures.Table:
        gap = self.estimates.gap
        rows = {
            f"{s.place}: {s.label}": {figures.called(self.study, x): points(gap(s, x, "iid")) for x in self.unseen}
            for s in simplifications
        }
        return figures.Table(prose.table(rows), caption, heat=True)

    @cached_property
    def live(self) -> LiveBrackets:
        """The models, to run in a reader's browser; it opens on the example."""
        return LiveBrackets(self.study, self.example)

    def by_depth_live(self) -> Explorer:
        """`boundary`, in which a reader can choose the setting."""
        return self.live.depth(self.boundary().to_html())

    def hardest(self) -> Explorer:
        """A deep sentence on which the model is right and the example is not, as far apart as there is; if there is none, the
        deepest. A reader can choose another one, or type it.
        """
        return self.live.brackets()

    def encodings(self, studies: Mapping[str, Study]) -> figures.Table:
        """Accuracy of the model and agreement of simplifications in each study, one column per study."""
        rows = {}
        for name, study in studies.items():
            row = rows[f"{name} ({prose.seeds(study.seeds)})"] = {}
            for split in ("iid", "unseen_length", "unseen_depth"):
                row[f"model, {figures.called(study, split)}"] = percent(
                    study.estimates.estimate(MODEL, split, "accuracy"), 0, True
                )
            for s in (self.example, self.one_hot):
                study.measure_also([s])
                for split in ("iid", "unseen_length", "unseen_depth"):
                    row[f"{s.label}, {figures.called(study, split)}"] = percent(
                        study.estimates.estimate(s, split, "same_prediction"), 0, True
                    )
        return figures.Table(prose.table(rows).T, "Accuracy of the model, and agreement of pictures with it")
