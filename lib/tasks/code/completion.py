"""The chapter on code completion: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from lib import figures, prose
from lib.claims import representative
from lib.figures.training import training_figure
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import MODEL, PROXIES, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.code import heads, reading
from lib.tasks.code import prose as say
from lib.tasks.code.by_head import ByHead
from lib.tasks.code.by_kind import ByKind
from lib.tasks.code.claims import ALL
from lib.tasks.code.humaneval import PREFIX
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.ngram import NGram

FEWEST = 20  # predictions that a mean within a category must rest on to be shown
AGREEMENT = LABELS["same_prediction"]


class CompletionChapter(ByHead, ByKind):
    """A study of code with all heads simplified at once; `example` is the rank of the SVD in the worked example."""

    def __init__(self, study: Study, example: int):
        self.study, self.run, self.task = study, study.runs[0], study.task
        self.example = study.simplified("svd", example, ALL)
        self.own, self.unseen = LANGUAGES[self.task.language].title, self.task.unseen(study.splits)
        self.humaneval = [split for split in study.splits if split.startswith(PREFIX)]
        self.corpus = self.task.load()
        self.measured_on = figures.measured_on(study)
        self.note = f"{self.measured_on}; {figures.interval_note(study)}"
        measured = study.simplifications(ALL)
        self.families = {p: [s for s in measured if s.proxy == p] for p in dict.fromkeys(s.proxy for s in measured)}
        self.chosen = {p: representative(study, ALL, p) for p in self.families}  # the one that stands for each proxy

    @property
    def estimates(self) -> Estimates:
        """What was measured."""
        return self.study.estimates

    def looks(self, splits: Iterable[str]) -> dict[str, Look]:
        """How splits look."""
        return {split: self.task.look(split) for split in splits}

    def gap(self, s: Simplification) -> Estimate:
        """The gap of a simplification, mean over the languages that were not trained on."""
        return mean_of([self.estimates.gap(s, split, "id") for split in self.unseen])

    # The corpus, and what the model learns

    def composition(self) -> pd.DataFrame:
        """What the corpus is made of, one row per language."""
        return reading.composition(self.corpus)

    def corpus_text(self) -> str:
        """How the corpus was made, and what was trained on."""
        settings, training = self.study.experiment.training, self.run.data.training
        passes = settings.steps * settings.batch_size / len(training)
        windows = (
            f"Training text is {len(training):,} windows of at most {self.task.context} characters in {self.own} "
            f"({(training.lengths - 1).sum() / 1e6:.1f} million characters; in training, {passes:.1f} passes over them)."
        )
        return prose.paragraph(reading.about(self.corpus, self.task), windows)

    def training(self) -> Figure:
        """Accuracy by language along training."""
        return training_figure(self.study, self.task.shown(self.study.splits))

    @cached_property
    def _scores(self) -> Estimates:
        baseline = NGram(self.run.data.training, len(self.run.data.vocabulary))  # all seeds have the same training text
        return self.study.estimates_of({run.seed: heads.scores(run, baseline) for run in self.study.runs})

    def baseline(self) -> Figure:
        """Accuracy and bits per character of the model and of an n-gram model."""
        panels = {"next-character accuracy": "accuracy", "bits per character (fewer is better)": "bits"}
        looks = {"model": Look("model", figures.BLACK, "o"), heads.BASELINE.proxy: Look(heads.BASELINE.proxy, "#E69F00", "s")}
        table = figures.tabulate(
            ({"panel": panel, "row": self.task.look(split).label, "series": name}, self._scores.estimate(who, split, measure))
            for panel, measure in panels.items()
            for split in self.study.splits
            for name, who in zip(looks, (MODEL, heads.BASELINE), strict=True)
        )
        return figures.forest(table, looks, x="", note=f"bars: {self.note}", percent=False, sharex=False)

    def learned(self) -> str:
        """How well the model predicts, and whether better than an n-gram model."""
        model = {split: self._scores.estimate(MODEL, split, "accuracy") for split in ("id", *self.unseen)}
        better = {split: model[split] - self._scores.estimate(heads.BASELINE, split, "accuracy") for split in model}
        elsewhere = [mean_of([of[split] for split in self.unseen]) for of in (model, better)]
        return f"{say.learned(self.languages, model['id'], better['id'], *elsewhere)} (Measured on {self.note}.)"

    # Faithfulness by language

    def complexity(self) -> Figure:
        """Agreement, and divergence of attention, against complexity: a panel a proxy and measure, a line a split."""
        splits = ["id", *self.unseen]
        families = {p: family for p, family in self.families.items() if len(family) > 1}
        table = figures.tabulate(
            (
                {"panel": f"{PROXIES[p].label}:\n{LABELS[measure]}", "series": split, "x": s.complexity},
                self.estimates.estimate(s, split, measure),
            )
            for measure in ("same_prediction", "attention_jsd")
            for p, family in families.items()
            for s in family
            for split in splits
        )
        note = f"all layers at once; bands: {self.note}"
        x, looks, plain = "rank, or number of clusters", self.looks(splits), LABELS["attention_jsd"]
        return figures.curves(table, looks, x=x, y="", note=note, log=True, columns=max(1, len(families)), plain=plain)

    def chosen_text(self) -> str:
        """Which complexity stands for a proxy."""
        return (
            f"The *generalization gap* is agreement on `id` minus agreement elsewhere. For each proxy the simplest setting is "
            f"shown that agrees with the model in at least {100 * RULES.levels.chosen:.0f} % of cases on `seen_package`, or "
            f"the closest one. (The gap to `seen_package` is shown for comparison; no claim is about it.)"
        )

    def gaps(self) -> Figure:
        """Gaps from `id` to each split, in points; one row per proxy, at the complexity that stands for it."""
        splits = ["seen_package", *self.unseen]
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.estimates.gap(s, split, "id").scaled(100))
            for s in self.chosen.values()
            for split in splits
        )
        x = "gap: agreement on id minus agreement on the split (percentage points)"
        note = f"all layers at once; bars: {self.note}"
        return figures.forest(table, self.looks(splits), x=x, note=note, percent=False)

    def by_layer(self) -> pd.DataFrame:
        """Agreement on `id` and the gap with one layer simplified, one row per layer and proxy."""
        rows = {}
        for layer in sorted(int(name) for name in self.study.experiment.measuring.grid if name != "all"):
            for proxy in dict.fromkeys(s.proxy for s in self.study.simplifications(layer)):
                s = representative(self.study, layer, proxy)
                inside = self.estimates.estimate(s, "id", "same_prediction")
                rows[f"{s.place}: {s.label}"] = {"agreement on id": percent(inside), "gap, points": points(self.gap(s))}
        return prose.table(rows)

    def faithful(self) -> str:
        """How faithful each proxy is in distribution, and its gap."""
        inside = {s.phrase: self.estimates.estimate(s, "id", "same_prediction") for s in self.chosen.values()}
        gaps = {s.phrase: self.gap(s) for s in self.chosen.values()}
        return prose.paragraph(*(say.faithful_sentence(label, inside[label], gaps[label]) for label in gaps))

    # Language or domain, kinds of characters, heads

    def domains(self) -> Figure | Markdown:
        """Agreement on HumanEval-X; where it is not at hand, what to do about it."""
        if not self.humaneval:
            remedy = "set `LIB_HUMANEVAL_X` to a folder with its files, and run again"
            return Markdown(f"*Not measured: HumanEval-X is not at hand; {remedy}.*")
        splits = ["id", *self.humaneval]
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.estimates.estimate(s, split, "same_prediction"))
            for s in self.chosen.values()
            for split in splits
        )
        return figures.forest(table, self.looks(splits), x=AGREEMENT, note=f"all layers at once; bars: {self.note}")

    def domain_text(self) -> str:
        """What the new domain costs and what another language does, where HumanEval-X is at hand."""
        here = f"{PREFIX}{self.task.language}"
        others = [split for split in self.humaneval if split != here]
        if here not in self.humaneval or not others:
            return "So whether language or domain opens the gap is left open in this run."
        s = self.chosen["svd"]
        domain = self.estimates.gap(s, here, "id")
        language = mean_of([self.estimates.gap(s, split, here) for split in others])
        return say.domain_sentence(s.phrase, self.own, domain, language, len(self.run.data.splits[here]))

    def example_html(self) -> str:
        """A window of one function: where model and simplified model part."""
        split = self.unseen[-1] if self.unseen else "id"
        (block,) = [block for block in self.estimates.blocks(0) if block.split == split]
        row = reading.median_sequence(block, self.example)
        found = reading.read(self.run, split, row, self.example)
        share = 100 * found.agrees.mean()
        said = (
            f"{self.task.look(split).label}; {self.example.phrase} in all heads of the model of the first seed. The two agree"
        )
        return f"{reading.CSS}{found.to_html()}<p>{said} on {share:.0f} % of the {len(found.text)} characters.</p>"

    # Other training languages, and the end

    def compared(self, studies: Mapping[str, Study]) -> pd.DataFrame:
        """The same study with other training languages, one column each."""
        rows = {}
        for name, study in studies.items():
            s, unseen = representative(study, ALL, "svd"), study.task.unseen(study.splits)
            gap = mean_of([study.estimates.gap(s, split, "id") for split in unseen])
            rows[f"trained on {name}"] = {
                "seeds": str(study.seeds),
                "accuracy on id": percent(study.estimates.estimate(MODEL, "id", "accuracy"), interval=True),
                "SVD rank": str(s.complexity),
                "agreement on id": percent(study.estimates.estimate(s, "id", "same_prediction"), interval=True),
                "gap to other languages, points": points(gap),
            }
        return prose.table(rows).T

    def summary(self) -> str:
        """The chapter in a few lines."""
        margins = {phrase: gaps["same margins"] for phrase, gaps in self.controlled.items()}
        model = [self._scores.estimate(MODEL, split, "accuracy") for split in ("id", *self.unseen)]
        lines = (
            f"The model predicts {prose.in_percent(model[0])} of characters in new packages of {self.own}, and "
            f"{prose.in_percent(mean_of(model[1:]))} in languages that it never saw. {self._weak()}".strip(),
            self.faithful(),
            say.margins_sentence(margins),
            self.words(),
            self.words_at_equal_effect(),
            self.foreseen_text(),
            f"Measured on {self.note}.",
        )
        return "\n".join(f"- {line}" for line in lines if line)

    def _weak(self) -> str:
        settings = self.study.experiment.training
        passes = settings.steps * settings.batch_size / len(self.run.data.training)
        accuracy = [self._scores.estimate(who, "id", "accuracy") for who in (MODEL, heads.BASELINE)]
        return say.weak_sentence(accuracy[0] - accuracy[1], passes)

    def headline(self) -> str:
        """The chapter in a paragraph, for the first page of the book."""
        s = self.chosen["svd"]
        width, margins = self.study.experiment.model.head_width, self.controlled[s.phrase]["same margins"]
        inside = self.estimates.estimate(s, "id", "same_prediction")
        certain = f", and {points(margins)} where the model is equally certain" if margins.measured else ""
        return prose.paragraph(
            f"On source code, {s.phrase} of {width} in every head of a model trained on {self.own} makes the model's "
            f"prediction on {prose.in_percent(inside, True)} of characters in new packages of that language; the gap to "
            f"languages that it never saw is {prose.in_points(self.gap(s))} on average{certain}.",
            self._weak(),
        )
