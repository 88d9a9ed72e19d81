"""Looking at one sentence at a time: what the model attends to and predicts, and what a proxy makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lib.errors import InputError
from lib.figures.picture import Picture
from lib.models.base import Capture
from lib.proxies import Simplification
from lib.runs import Run
from lib.tasks.dyck.drawings import attention_figure
from lib.tasks.dyck.language import FIRST_BRACKET, START, Brackets, annotate


@dataclass(frozen=True)
class SentenceComparison:
    """One sentence of T tokens as the model and the model with a proxy see it."""

    sentence: Brackets  # of one sentence
    simplification: Simplification
    source: str  # which model, for the figure's footer
    patterns: dict[str, np.ndarray]  # "model", "proxy": attention of the simplified layer (head, T, T)
    probabilities: dict[str, np.ndarray]  # "model", "proxy": of each closing bracket, given that one closes (T, k)

    @property
    def closers(self) -> list[int]:
        """The positions of closing brackets, in the order of the sentence."""
        return np.flatnonzero(self.sentence.opener[0] >= 0).tolist()

    @property
    def parted(self) -> list[int]:
        """The closing positions at which the model chooses the right bracket and the proxy another."""
        return [p for p in self.closers if self._chosen("model", p) == self._type(p) != self._chosen("proxy", p)]

    def hardest(self) -> int:
        """The closing position at which the proxy gives the right bracket the least probability; of `parted` if they do."""
        return min(self.parted or self.closers, key=lambda p: self.probabilities["proxy"][p - 1, self._type(p)])

    def apart(self, position: int) -> float:
        """How much more probable the right bracket at a closing position is to the model than to the proxy."""
        model, proxy = (self.probabilities[who][position - 1, self._type(position)] for who in ("model", "proxy"))
        return float(model - proxy)

    def _chosen(self, who: str, position: int) -> int:
        return int(self.probabilities[who][position - 1].argmax())

    def _type(self, position: int) -> int:
        """The bracket type of the closing bracket at a position."""
        return int(self.sentence.tokens[0, position]) - FIRST_BRACKET - self.probabilities["model"].shape[1]


@torch.no_grad()
def compare_sentence(run: Run, sentence: Brackets, simplification: Simplification) -> SentenceComparison:
    """Run one annotated sentence through the model of `run`, with and without the simplification, which is of one layer."""
    model, layer = run.model, simplification.layer
    rules = {"model": {}, "proxy": run.fitter.rules(simplification)}
    tokens = torch.from_numpy(sentence.tokens.astype(np.int64)).to(model.device)
    k = run.experiment.task.bracket_types
    closing = torch.arange(FIRST_BRACKET + k, FIRST_BRACKET + 2 * k, device=model.device)
    patterns, probabilities = {}, {}
    for name, rule in rules.items():
        seen = Capture(rule[layer]) if rule else Capture()
        logits = model(tokens, {**rule, layer: seen})[0]  # (T, vocabulary)
        patterns[name] = seen.pattern[0].cpu().numpy()
        probabilities[name] = logits[:, closing].softmax(-1).cpu().numpy()
    preset = run.folder.parent.parent.name
    source = f"preset {preset}: model of seed {run.seed}, one sentence; {simplification.place} simplified"
    return SentenceComparison(sentence, simplification, source, patterns, probabilities)


def sentence_comparison_figure(comparison: SentenceComparison, position: int, vocabulary: tuple[str, ...]) -> Picture:
    """Where model and proxy attend when they predict the closing bracket at `position`, and what they predict."""
    sentence, query = comparison.sentence, position - 1
    length = int((sentence.tokens[0] != 0).sum())
    k = comparison.probabilities["model"].shape[1]
    true_type = int(sentence.tokens[0, position]) - FIRST_BRACKET - k
    titles, rows = {}, {}
    for name in ("model", "proxy"):
        probability = comparison.probabilities[name][query]
        chosen = int(probability.argmax())
        verdict = "right" if chosen == true_type else f"wrong, it should be {vocabulary[FIRST_BRACKET + k + true_type]}"
        label = "model" if name == "model" else comparison.simplification.label
        titles[label] = f"predicts {vocabulary[FIRST_BRACKET + k + chosen]} ({probability[chosen]:.0%}), {verdict}"
        rows[label] = comparison.patterns[name].mean(0)[query]
    words = ["^" if token == START else vocabulary[token] for token in sentence.tokens[0, :length]]
    words[-1] = "$"
    depth, opener = sentence.depth[0, :length].tolist(), int(sentence.opener[0, position])
    return attention_figure(words, depth, opener, query, rows, titles, comparison.source)


def deepest_sentences(run: Run, split: str, count: int = 1, brackets: int | None = None) -> dict[str, Brackets]:
    """Of the first hundred sentences of a split with at most so many `brackets`, the `count` deepest, by a label each."""
    of = run.data.splits[split]
    depth, length = of.covariates["sentence_depth"][:100, 0], of.lengths[:100] - 2
    eligible = of.scored[:100].any(1) & (length <= (brackets or length.max()))
    rows = np.argsort(-(depth * eligible), kind="stable")[: min(count, int(eligible.sum()))]
    if not len(rows):
        raise InputError(
            f"the first hundred sentences of {split!r} hold none with at most {brackets} brackets and one to score"
        )
    task = run.experiment.task
    name = task.look(split).label
    return {
        f"{name} {row}: {depth[row]} deep, {length[row]} brackets": annotate(of.tokens[[row]], task.bracket_types)
        for row in rows
    }
