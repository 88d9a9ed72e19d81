"""The chapter on code completion: what its notebook shows and says. Sentences are functions of estimates alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from IPython.display import Markdown

from lib import figures, prose
from lib.claims import representative
from lib.figures.training import training_figure
from lib.live.explorer import Explorer
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of
from lib.measuring.measures import LABELS
from lib.prose import percent, points
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks import Look
from lib.tasks.code import heads, reading
from lib.tasks.code.by_head import ByHead
from lib.tasks.code.by_kind import ByKind
from lib.tasks.code.claims import ALL
from lib.tasks.code.humaneval import PREFIX
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.live import live_reading
from lib.tasks.code.telling import CompletionSentences, trained_on

FEWEST = 20  # predictions that a mean within a category must rest on to be shown
AGREEMENT = LABELS["same_prediction"]


class CompletionChapter(CompletionSentences, ByHead, ByKind):
    """A study of code with all heads simplified at once; `example` is the rank of the SVD in the worked example, 0 for the one
    that stands for the SVD elsewhere.
    """

    def __init__(self, study: Study, example: int = 0):
        self.study, self.run, self.task = study, study.runs[0], study.task
        self.own, self.unseen = LANGUAGES[self.task.language].title, self.task.unseen(study.splits)
        self.humaneval = [split for split in study.splits if split.startswith(PREFIX)]
        self.corpus = self.task.load()
        self.measured_on = figures.measured_on(study)
        self.note = f"{self.measured_on}; {figures.interval_note(study)}"
        measured = study.simplifications(ALL)
        self.families = {p: [s for s in measured if s.proxy == p] for p in dict.fromkeys(s.proxy for s in measured)}
        self.chosen = {p: representative(study, ALL, p) for p in self.families}  # the one that stands for each proxy
        stands = self.chosen["svd"].complexity if "svd" in self.chosen else study.experiment.model.head_width // 2
        self.example = study.simplified("svd", example or stands, ALL)

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

    def composition(self) -> figures.Table:
        """What the corpus is made of, one row per language."""
        return figures.Table(reading.composition(self.corpus), "What the corpus is made of")

    def training(self) -> figures.Picture:
        """Accuracy by language along training."""
        return training_figure(self.study, self.task.shown(self.study.splits))

    @cached_property
    def scores(self) -> Estimates:
        """The model and an n-gram model that was counted on the same text, at every character."""
        return self.study.estimates_of(heads.scores(self.study.runs))

    def baseline(self) -> figures.Picture:
        """Accuracy and bits per character of the model and of an n-gram model."""
        panels = {"next-character accuracy": "accuracy", "bits per character (fewer is better)": "bits"}
        looks = {"model": Look("model", figures.BLACK, "o"), heads.BASELINE.proxy: Look(heads.BASELINE.proxy, "#E69F00", "s")}
        table = figures.tabulate(
            ({"panel": panel, "row": self.task.look(split).label, "series": name}, self.scores.estimate(who, split, measure))
            for panel, measure in panels.items()
            for split in self.study.splits
            for name, who in zip(looks, (MODEL, heads.BASELINE), strict=True)
        )
        alt = f"Accuracy, and bits per character, of the model and of an n-gram model. {self.learned()}"
        return figures.forest(table, looks, x="", alt=alt, note=f"bars: {self.note}", percent=False, sharex=False)

    # Faithfulness by language

    def complexity(self) -> figures.Picture:
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
        alt = f"Agreement, and divergence of attention, by rank or number of clusters and by language. {self.faithful()}"
        across = max(1, len(families))
        return figures.curves(table, looks, x=x, y="", alt=alt, note=note, log=True, columns=across, plain=plain)

    def gaps(self) -> figures.Picture:
        """Gaps from `id` to each split, in points; one row per proxy, at the complexity that stands for it."""
        splits = ["seen_package", *self.unseen]
        table = figures.tabulate(
            ({"row": s.label, "series": split}, self.estimates.gap(s, split, "id").scaled(100))
            for s in self.chosen.values()
            for split in splits
        )
        x = "gap: agreement in distribution minus agreement on the other text (percentage points)"
        note = f"all layers at once; bars: {self.note}"
        alt = f"Gaps from the language of training to every other text. {self.faithful()}"
        return figures.forest(table, self.looks(splits), x=x, alt=alt, note=note, percent=False)

    def by_layer(self) -> figures.Table:
        """Agreement on `id` and the gap with one layer simplified, one row per layer and proxy."""
        rows = {}
        for layer in sorted(int(name) for name in self.study.experiment.measuring.grid if name != "all"):
            for proxy in dict.fromkeys(s.proxy for s in self.study.simplifications(layer)):
                s = representative(self.study, layer, proxy)
                inside = self.estimates.estimate(s, "id", "same_prediction")
                rows[f"{s.place}: {s.label}"] = {"agreement": percent(inside), "gap, points": points(self.gap(s))}
        return figures.Table(
            prose.table(rows), "One layer simplified: agreement in distribution, and the gap to other languages"
        )

    # Language or domain, kinds of characters, heads

    def domains(self) -> figures.Picture | Markdown:
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
        alt, note = (
            f"Agreement on the same functions in several languages. {self.domain_text()}",
            f"all layers at once; bars: {self.note}",
        )
        return figures.forest(table, self.looks(splits), x=AGREEMENT, alt=alt, note=note)

    def worked_example(self) -> Explorer:
        """A window of one function: where model and simplified model part. A reader can choose another, or paste one."""
        split = self.unseen[-1] if self.unseen else "id"
        (block,) = [block for block in self.estimates.blocks(0) if block.split == split]
        return live_reading(self.study, self.example, (split, reading.median_sequence(block, self.example)))

    # Other training languages, and the end

    def compared(self, studies: Mapping[str, Study]) -> figures.Table | None:
        """The same study with other training languages, one column each; None where there is but one."""
        if len(studies) < 2:
            return None
        rows = {}
        for name, study in studies.items():
            s, unseen = representative(study, ALL, "svd"), study.task.unseen(study.splits)
            gap = mean_of([study.estimates.gap(s, split, "id") for split in unseen])
            rows[f"trained on {trained_on(study, name)}"] = {
                "seeds": str(study.seeds),
                "accuracy in distribution": percent(study.estimates.estimate(MODEL, "id", "accuracy"), interval=True),
                "SVD rank": str(s.complexity),
                "agreement in distribution": percent(study.estimates.estimate(s, "id", "same_prediction"), interval=True),
                "gap to other languages, points": points(gap),
            }
        title = "The same study with other training languages, each picture at the setting that stands for it"
        return figures.Table(prose.table(rows).T, f"{title}: gaps are not at equal agreement")
