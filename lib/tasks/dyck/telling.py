"""What the chapter on depth says: its sentences and the headings of its sections, from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lib import figures, prose
from lib.answers import deciding
from lib.claims import representative
from lib.errors import InputError
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, nothing
from lib.proxies import MODEL, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks.dyck import boundary, headings
from lib.tasks.dyck import prose as say

KINDS = {  # of sentences, in readers' words
    "unseen_structure": "new structures",
    "unseen_structure_long": "longer new structures",
    "unseen_length": "longer sentences",
    "unseen_depth": "deeper sentences",
}


def setup(study: Study, s: Simplification, proxies: Sequence[str]) -> str:
    """The box that says what language, model and simplifications a chapter is about; `s` is looked at closely."""
    task, model = study.task, study.experiment.model
    items = {
        "language": f"Balanced brackets of {task.bracket_types} types; in training, {task.min_length} to {task.max_length} "
        f"brackets, nested at most {task.max_depth} deep. Deeper sentences reach {task.unseen_depth} levels.",
        "model": f"A Transformer of {model.layers} layers with {model.heads} head{'s' * (model.heads > 1)} each, trained from "
        f"{prose.seeds(study.seeds)}. It predicts which bracket closes; scored are those opened at least {task.min_distance} "
        "tokens before.",
        "picture": f"The same model with the attention of {s.place} simplified, and all else as it was. Agreement is how often "
        "both choose the same bracket, right or wrong; a gap is what agreement loses from sentences like those of training.",
        f"rank {s.complexity} of {model.head_width}": f"A head's queries and keys have {model.head_width} dimensions, of which "
        f"the picture keeps {s.complexity} directions.",
    }
    return prose.setup(items, proxies)


class DepthSentences:
    """Sentences on a Dyck study with one layer simplified."""

    study: Study
    layer: int
    place: str
    measured_on: str
    example: Simplification
    one_hot: Simplification
    claimed: Sequence[Simplification]
    by_depth: Sequence[Simplification]
    unseen: Sequence[str]
    estimates: Estimates
    gains: Mapping[str, Estimate]
    remedies: Mapping[str, Simplification]

    def setup(self) -> str:
        """What the chapter takes for granted, in a box."""
        return setup(self.study, self.example, list(dict.fromkeys(s.proxy for s in self.claimed)))

    def heading(self, section: str) -> str:
        """The heading of a section: what was found in it."""
        accuracy = self.estimates.estimate
        found = {
            "learned": lambda: headings.learned(*(accuracy(MODEL, split, "accuracy") for split in boundary.PAIR)),
            "deeper": self._deeper,
            "boundary": lambda: headings.boundary([RULES.verdict(effect) for effect in self._at_the_edge.values()]),
            "matched": lambda: headings.matched(self.example.phrase, self._at_equal_depth),
            "misses": lambda: headings.misses(self._wrong_depths),
            "helps": lambda: headings.helps(*self._gains_by_size),
            "widest": lambda: headings.widest(
                self.example.phrase, {KINDS[split]: self._gap(self.example, split) for split in self.unseen}
            ),
        }
        return f"## {found[section]()}"

    def heading_elsewhere(self, studies: Mapping[str, Study]) -> str:
        """The heading of the section on other kinds of models."""
        effects = {
            name: [self._below_trend(study, s) for s in self._standing(study).values()] for name, study in studies.items()
        }
        verdicts = {name: [RULES.verdict(effect) for effect in of_study] for name, of_study in effects.items()}
        return f"## {headings.elsewhere(verdicts)}"

    def in_short(self) -> dict[str, str]:
        """The findings that stand on the first page of the book, by the name that they have there, as HTML."""
        return {
            "finding-deeper": prose.finding(self._deeper(prose.share), say.picture_sentence(), self._finest()),
            "finding-depth": prose.finding(
                headings.matched(self.example.phrase, self._at_equal_depth, prose.difference),
                say.mix_sentence(boundary.decomposition(self.study, self.example)),
                say.others_sentence(self._others_at_equal_depth, self._decide),
            ),
        }

    def sure(self) -> str:
        """How far all this can be trusted."""
        return prose.how_sure(
            self.measured_on,
            figures.interval_note(self.study),
            self.study.seeds,
            "The rank that is looked at closely was chosen with results in view, and the sentence that is shown was looked "
            "for. So many comparisons find some difference by chance: the scorecard counts those that are left once intervals "
            "allow for their number.",
        )

    # What was found

    def _standing(self, study: Study) -> dict[str, Simplification]:
        """The setting that stands for each family of the chapter's, by proxy, in a study that may not have measured all."""
        families = dict.fromkeys(s.proxy for s in self.claimed)
        return {proxy: representative(study, self.layer, proxy) for proxy in families if study.family(proxy, self.layer)}

    def _pair(self, s: Simplification) -> list[Estimate]:
        return [self.estimates.estimate(s, split, "same_prediction") for split in boundary.PAIR]

    def _gap(self, s: Simplification, split: str = "unseen_depth") -> Estimate:
        return self.estimates.gap(s, split, "iid")

    def _deeper(self, show: Callable[[Estimate], str] = prose.whole) -> str:
        return headings.deeper(self.example.phrase, *self._pair(self.example), self._gap(self.example), show)

    def _finest(self) -> str:
        """What becomes of the gap with the most directions that are shown; empty if they are no more than the example's."""
        finest = max((s for s in self.by_depth if s.proxy == self.example.proxy), key=lambda s: s.complexity)
        return say.finest_sentence(finest.phrase, self._gap(finest)) if finest.complexity > self.example.complexity else ""

    @property
    def _at_the_edge(self) -> dict[str, Estimate | None]:
        """How far below its trend agreement is beyond training: of the example, and of what stands for every family."""
        return {s.phrase: self._below_trend(self.study, s) for s in (self.example, *self._standing(self.study).values())}

    def _below_trend(self, study: Study, s: Simplification) -> Estimate | None:
        try:
            return boundary.below_trend(study, s)
        except InputError:
            return None

    @property
    def _at_equal_depth(self) -> Estimate:
        """The gap of the example at unseen depth where sentences are as long and brackets as deep."""
        return self._matched(self.example)

    def _matched(self, s: Simplification) -> Estimate:
        try:
            return self.estimates.matched_gap(s, "unseen_depth", "iid_matched", ["depth"])
        except InputError:  # too little in common
            return nothing()

    @property
    def _others_at_equal_depth(self) -> dict[str, Estimate]:
        """Such gaps of what stands for the other families."""
        return {s.phrase: self._matched(s) for s in self._standing(self.study).values() if s.proxy != self.example.proxy}

    @property
    def _decide(self) -> str:
        """On how many of the models the scorecard's verdicts rest, where these are not all."""
        decide = deciding(self.study.seeds)
        return f"; the scorecard's verdicts rest on {decide} of them" if decide < self.study.seeds else ""

    @property
    def _wrong_depths(self) -> Estimate:
        even = self.misses(self.example, "unseen_depth")["even"]
        return even if even.positions >= boundary.FEWEST else nothing()

    @property
    def _gains_by_size(self) -> list[list[Estimate]]:
        """What pictures of the example's size gain over it, and what finer ones do."""
        own = {label: self.remedies[label].complexity == self.example.complexity for label in self.gains}
        return [[gain for label, gain in self.gains.items() if own[label] is same] for same in (True, False)]

    # Sentences

    def learned(self) -> str:
        """How well the model closes brackets."""
        deepest = range(self.study.task.max_depth + 1, self.study.task.unseen_depth + 1)
        inside, deep, long = (self.estimates.estimate(MODEL, split, "accuracy") for split in (*boundary.PAIR, "unseen_length"))
        return say.learned(inside, deep, self.estimates.estimate(MODEL, "unseen_depth", "accuracy", depth=list(deepest)), long)

    def gap(self) -> str:
        """The gap of the example at unseen depth, and of higher ranks, each of which the live figure shows."""
        family = sorted(self.study.family("svd", self.layer), key=lambda s: s.complexity)
        higher = [s for s in family if s.complexity > self.example.complexity][:2]
        others = {prose.live(f"rank {s.complexity}", s): self._gap(s) for s in higher}
        what = f"{prose.live(self.example.phrase, self.example)} in {self.place}"
        return say.gap_sentence(what, *self._pair(self.example), self._gap(self.example), others)

    def settings_text(self) -> str:
        """Links that set the live figure to what the curves show, as HTML."""
        return f"<p>{say.settings_sentence(self.by_depth)}</p>"

    def occurrence_text(self) -> str:
        """How rare deep brackets are in distribution, and how common at unseen depth."""
        rare = round(0.8 * self.study.task.max_depth)  # the depth from which on brackets are rare in distribution
        deep = [depth for depth in self.estimates.categories("unseen_depth", "depth") if depth >= rare]
        return say.occurrence_sentence(rare, *(self.estimates.share(split, depth=deep) for split in boundary.PAIR))

    def boundary_text(self) -> str:
        """Whether anything happens at the depth up to which training goes: the example, and what stands for every family."""
        return say.boundary_sentence(self.study.task.max_depth, self._at_the_edge)

    def decomposition_text(self) -> str:
        """How much of the example's gap each part is, and what is left of it at equal depth."""
        parts = boundary.decomposition(self.study, self.example)
        return prose.paragraph(
            say.decomposition_sentence(self.example.phrase, parts), say.matched_sentence(self._at_equal_depth)
        )

    def better(self) -> str:
        """Whether one-hot attention is better than the model at unseen depth."""
        accuracy = self.estimates.estimate(self.one_hot, "unseen_depth", "accuracy")
        return say.better_sentence(accuracy, self.estimates.compare_with_model(self.one_hot, "unseen_depth"))
