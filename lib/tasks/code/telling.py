"""What the chapter on code says: its sentences and the headings of its sections, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib import figures, prose
from lib.measuring.estimates import Estimates
from lib.measuring.intervals import Estimate, mean_of, nothing
from lib.proxies import MODEL, Simplification
from lib.rules import RULES
from lib.runs import Run
from lib.studies import Study
from lib.tasks.code import heads, reading
from lib.tasks.code import prose as say
from lib.tasks.code.claims import repeated_less_new
from lib.tasks.code.corpora import Corpus
from lib.tasks.code.humaneval import PREFIX
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.task import CodeTask


def trained_on(study: Study, name: str) -> str:
    """The language that a study trains on, and the study's name: `Python (code)`."""
    return f"{LANGUAGES[study.task.language].title} ({name})"


class CompletionSentences:
    """Sentences on a study of code with all heads simplified at once."""

    study: Study
    run: Run
    task: CodeTask
    own: str  # the language that is trained on, in words
    languages: str  # those that are not, in words
    corpus: Corpus
    unseen: Sequence[str]
    humaneval: Sequence[str]
    chosen: Mapping[str, Simplification]  # by proxy, the setting that stands for it
    controlled: Mapping[str, Mapping[str, Estimate]]
    estimates: Estimates
    scores: Estimates
    measured_on: str

    def setup(self) -> str:
        """What the chapter takes for granted, in a box."""
        model, s = self.study.experiment.model, self.chosen["svd"]
        items = {
            "language": f"{self.own}, read character by character, at most {self.task.context} at a time; tested on new "
            f"packages of that language, and in languages that the model never saw: {self.languages}.",
            "model": f"A Transformer of {model.layers} layers with {model.heads} head{'s' * (model.heads > 1)} each, trained "
            f"from {prose.seeds(self.study.seeds)}. It predicts the next character.",
            "picture": "The same model with the attention of every head simplified, and all else as it was. Agreement is how "
            "often both choose the same character, right or wrong; a gap is what agreement loses from new packages to other "
            "languages.",
            f"rank {s.complexity} of {model.head_width}": f"A head's queries and keys have {model.head_width} dimensions, of "
            f"which the picture keeps {s.complexity} directions: the fewest that agree with the model in "
            f"{100 * RULES.levels.chosen:.0f} % of cases on packages seen in training, or those that come nearest.",
        }
        return prose.setup(items, list(self.chosen))

    def heading(self, section: str) -> str:
        """The heading of a section: what was found in it."""
        s = self.chosen["svd"]
        certain = "Where the model is equally certain"
        found = {
            "learned": lambda: say.learned_heading(self.scores.estimate(MODEL, "id", "accuracy"), self._better("id")),
            "gaps": lambda: say.gap_heading(s.phrase, self.gap(s)),
            "margins": lambda: say.gap_heading(s.phrase, self.controlled[s.phrase]["same margins"], certain),
            "domains": lambda: say.domain_heading(*self._domains),
            "words": lambda: say.words_heading(s.phrase, repeated_less_new(self.study, s)),
            "heads": lambda: say.heads_heading(self.induction_scores, heads.INDUCTION),
            "foreseen": lambda: say.foreseen_heading(RULES.foreseeing.diagnostic, *self.errors_in_foreseeing),
        }
        return f"## {found[section]()}"

    def in_short(self) -> str:
        """The chapter in a paragraph, as HTML."""
        s = self.chosen["svd"]
        inside = self.estimates.estimate(s, "id", "same_prediction")
        picture = say.picture_sentence(f"{s.phrase}", self.own, inside, self.gap(s))
        return prose.finding(say.gap_heading(s.phrase, self.gap(s)), picture, self._weak())

    def first_page(self) -> str:
        """What stands of the chapter on the first page of the book, as HTML."""
        s, gaps = self.chosen["svd"], {s.phrase: self.gap(s) for s in self.chosen.values()}
        heading = say.gap_heading(s.phrase, self.gap(s), "On code in other languages")
        return f"<p>{prose.paragraph(f'{heading}.', say.first_page_sentence(self.own, gaps, self._better('id')))}</p>"

    def training_languages(self, studies: Mapping[str, Study]) -> str:
        """Which training languages can be put side by side."""
        return say.training_languages_sentence([trained_on(study, name) for name, study in studies.items()])

    def sure(self) -> str:
        """How far all this can be trusted."""
        return prose.how_sure(
            self.measured_on,
            figures.interval_note(self.study),
            self.study.seeds,
            self._weak(),
            "The same functions are tested in every seed. Which packages stand for a language is not drawn again, and some "
            "languages have few packages here. Pictures stand at different levels of agreement, so their gaps are not to be "
            "compared with each other.",
        )

    # Sentences

    def corpus_text(self) -> str:
        """How the corpus was made, and what was trained on."""
        training = self.run.data.training
        windows = (
            f"Training text is {len(training):,} windows of at most {self.task.context} characters in {self.own}, "
            f"{(training.lengths - 1).sum() / 1e6:.1f} million characters."
        )
        return prose.paragraph(reading.about(self.corpus, self.task), windows)

    def _better(self, split: str) -> Estimate:
        """How much more often the model is right than the n-gram model."""
        model, other = (self.scores.estimate(who, split, "accuracy") for who in (MODEL, heads.BASELINE))
        return model - other

    def learned(self) -> str:
        """How well the model predicts, and whether better than an n-gram model."""
        model = {split: self.scores.estimate(MODEL, split, "accuracy") for split in ("id", *self.unseen)}
        elsewhere = (mean_of([of[split] for split in self.unseen]) for of in (model, {x: self._better(x) for x in self.unseen}))
        return say.learned(self.languages, model["id"], self._better("id"), *elsewhere)

    def _weak(self) -> str:
        settings = self.study.experiment.training
        passes = settings.steps * settings.batch_size / len(self.run.data.training)
        return say.weak_sentence(self._better("id"), passes)

    def faithful(self) -> str:
        """How faithful each proxy is in distribution, and its gap."""
        inside = {s.phrase: self.estimates.estimate(s, "id", "same_prediction") for s in self.chosen.values()}
        gaps = {s.phrase: self.gap(s) for s in self.chosen.values()}
        return say.faithful_sentence(inside, gaps)

    def margins_text(self) -> str:
        """What is left of the gap where the model is equally certain."""
        s = self.chosen["svd"]
        return say.margins_sentence(s.phrase, self.controlled[s.phrase]["same margins"])

    @property
    def _domains(self) -> list[Estimate]:
        """What a new domain costs, and what another language does; not measured where HumanEval-X is not at hand."""
        here, s = f"{PREFIX}{self.task.language}", self.chosen["svd"]
        others = [split for split in self.humaneval if split != here]
        if here not in self.humaneval or not others:
            return [nothing(), nothing()]
        return [self.estimates.gap(s, here, "id"), mean_of([self.estimates.gap(s, split, here) for split in others])]

    def domain_text(self) -> str:
        """What the new domain costs and what another language does, where HumanEval-X is at hand."""
        domain, language = self._domains
        if not domain.measured:
            return "So whether language or domain opens the gap is left open in this run."
        problems = len(self.run.data.splits[f"{PREFIX}{self.task.language}"])
        return say.domain_sentence(self.chosen["svd"].phrase, self.own, domain, language, problems)
