"""Live figures of brackets: all that a page or a notebook needs to let a model run in the reader's browser."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import takewhile
from typing import Any

from lib.errors import one_of
from lib.experiment import simplifications_of
from lib.figures.colours import on_both
from lib.figures.style import measured_on, tabulate
from lib.live.explorer import Explorer
from lib.live.families import families
from lib.live.kept import are_kept, arrays_of, packed
from lib.proxies import Simplification
from lib.studies import Study
from lib.tasks.dyck import boundary
from lib.tasks.dyck.language import Brackets, annotate
from lib.tasks.dyck.sentences import SentenceComparison, compare_sentence, deepest_sentences, sentence_comparison_figure
from lib.tasks.dyck.text import parse_sentences, type_names, write_sentences

OFFERED = 3  # models of a study between which a reader can choose: each is a file to load
SEARCHED = 50  # of the deepest sentences, so many are looked at for one on which a picture fails
SHOWN = 16  # sentences of a split whose queries and keys are shown


class LiveBrackets:
    """The first models of a study, with every simplification that is measured of them, for pages and notebooks."""

    def __init__(self, study: Study, start: Simplification):
        """`start` is what a figure opens on: a simplification of one layer."""
        one_of("layer of start", start.layer, range(study.experiment.model.layers))
        self.study, self.start, self.task, self.run = study, start, study.task, study.runs[0]
        self.measured = simplifications_of(study.experiment.measuring.grid)
        self.offered = [self.run, *takewhile(are_kept, study.runs[1:OFFERED])]  # of others, all would have to be fitted now

    def packs(self) -> dict[str, bytes]:
        """A pack for each seed that is offered, by the name of its file."""
        return {f"{self.study.name}-{run.seed}": packed(run) for run in self.offered}

    def config(self) -> dict[str, Any]:
        """What every figure of these models has to know."""
        offered = families([*self.measured, self.start], self.run.model, arrays_of(self.run))
        return {
            "of": self.study.name,
            "types": type_names(self.task.bracket_types),
            "longest": self.run.model.context - 2,
            "trained_to": self.task.max_depth,
            "min_distance": self.task.min_distance,
            "head_width": self.run.model.head_width,
            "seeds": [f"{self.study.name}-{run.seed}" for run in self.offered],
            "families": [{**family, "colour": on_both(family["colour"])} for family in offered],
            "measured_on": measured_on(self.study),
        }

    def brackets(self) -> Explorer:
        """One sentence: where model and picture attend and what they predict."""
        comparison, at = self.telling
        config = {
            **self.config(),
            "curves": self.curves(),
            "sentences": [{"label": label, "text": self.text(of)} for label, of in self.examples().items()],
            "start": {**self.state(), "sentence": self.text(comparison.sentence), "at": at},
        }
        still = sentence_comparison_figure(comparison, at, self.run.data.vocabulary).to_html()
        return Explorer("brackets", config, self.packs(), still, self.answer)

    def depth(self, still: str = "") -> Explorer:
        """Agreement by depth of every setting that was measured; no model is run for it. `still` is its first frame."""
        return Explorer("depth", {**self.config(), "curves": self.curves(), "start": self.state()}, {}, still)

    def representation(self, still: str = "") -> Explorer:
        """Queries and keys on their principal directions, and where a picture moves them; `still` is its first frame."""
        groups = {"in distribution": "iid", "in deeper sentences": "unseen_depth"}
        texts = {name: [self.text(of) for of in self._first(split)] for name, split in groups.items()}
        config = {**self.config(), "groups": [{"name": name, "texts": of} for name, of in texts.items()], "start": self.state()}
        return Explorer("representation", config, self.packs(), still)

    def state(self) -> dict[str, Any]:
        """The simplification that figures open on, as state."""
        return {"proxy": self.start.proxy, "complexity": self.start.complexity, "layer": self.start.layer, "seed": 0}

    def text(self, sentence: Brackets) -> str:
        """A sentence as one types it."""
        return write_sentences(sentence.tokens, self.task.bracket_types).strip()

    def _first(self, split: str) -> list[Brackets]:
        """The first sentences of a split."""
        tokens = self.run.data.splits[split].tokens
        return [annotate(tokens[[row]], self.task.bracket_types) for row in range(min(SHOWN, len(tokens)))]

    @cached_property
    def telling(self) -> tuple[SentenceComparison, int]:
        """Of the deepest sentences, and their closing brackets that the model gets right and the picture does not, the one at
        which the two are furthest apart; where there is none, the deepest sentence and the bracket the picture is worst at.
        """
        sentences = deepest_sentences(self.run, "unseen_depth", count=SEARCHED).values()
        compared = [compare_sentence(self.run, sentence, self.start) for sentence in sentences]
        parted = [(comparison.apart(at), -i, at) for i, comparison in enumerate(compared) for at in comparison.parted]
        if not parted:
            return compared[0], compared[0].hardest()
        _, i, at = max(parted)
        return compared[-i], at

    def examples(self) -> dict[str, Brackets]:
        """Sentences to choose from, by label, the telling one first."""
        telling, _ = self.telling
        found = {"one on which the picture fails" if telling.parted else "the deepest": telling.sentence}
        for split in self.task.shown(list(self.run.data.splits)):  # nothing is measured for it
            found |= deepest_sentences(self.run, split, count=2)
        return found

    def curves(self) -> dict[str, dict[str, list[float]]]:
        """Agreement by the depth of sentences of one length, as `proxy|complexity|layer`, where it was measured."""
        if not all(run.is_measured() for run in self.study.runs):  # a model that was just trained
            return {}
        estimates = self.study.estimates
        if boundary.SPLIT not in self.study.splits:
            return {}
        depths = estimates.categories(boundary.SPLIT, "sentence_depth")
        found = {}
        for s in (s for s in self.measured if s.layer >= 0 and estimates.has(s, boundary.SPLIT)):
            of = (({"x": depth}, boundary.at_depth(estimates, s, depth)) for depth in depths)
            table = tabulate(of, boundary.FEWEST)
            if len(table):
                rounded = {name: [round(v, 4) for v in table[name].tolist()] for name in ("x", "value", "low", "high")}
                found[f"{s.proxy}|{'' if s.complexity is None else s.complexity}|{s.layer}"] = rounded
        return found

    def answer(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What a page asks of a picture that it cannot compute: attention of its layer, and closing brackets' probabilities."""
        sentence = parse_sentences(
            [question["sentence"]], self.task.bracket_types, source="sentence", max_length=self.run.model.context - 2
        )
        asked = Simplification(question["proxy"], question["complexity"], question["layer"])
        compared = compare_sentence(self.offered[question["seed"]], sentence, asked)
        return {"patterns": compared.patterns["proxy"].tolist(), "closing": compared.probabilities["proxy"].tolist()}
