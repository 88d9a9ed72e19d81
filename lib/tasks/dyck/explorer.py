"""Looking at one sentence at a time: what the model attends to and predicts, and what a proxy makes of it.

`compare_sentence` computes it, `sentence_comparison_figure` draws it, `dyck_explorer` lets a reader choose with widgets.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from html import escape

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from lib.dyck.language import FIRST_BRACKET, START, Brackets, annotate
from lib.dyck.text import parse_sentences
from lib.dyck_figures import attention_figure
from lib.errors import InputError
from lib.figures import footnote, layer_name, name_of
from lib.proxies import PROXIES, Setting, fit_rules
from lib.runs import Run
from lib.transformer import Capture


@dataclass(frozen=True)
class SentenceComparison:
    """One sentence of T tokens as the model and the model with a proxy see it."""

    sentence: Brackets  # of one sentence
    setting: Setting
    source: str  # which model, for the figure's footer
    patterns: dict[str, np.ndarray]  # "model", "proxy": attention of the simplified layer (head, T, T)
    probabilities: dict[str, np.ndarray]  # "model", "proxy": of each closing bracket, given that one closes (T, k)

    @property
    def closers(self) -> list[int]:
        """The positions of closing brackets, in the order of the sentence."""
        return np.flatnonzero(self.sentence.opener[0] >= 0).tolist()

    def hardest(self) -> int:
        """The closing position at which the proxy gives the right bracket the least probability."""
        return min(self.closers, key=lambda p: self.probabilities["proxy"][p - 1, self._type(p)])

    def _type(self, position: int) -> int:
        """The bracket type of the closing bracket at a position."""
        return int(self.sentence.tokens[0, position]) - FIRST_BRACKET - self.probabilities["model"].shape[1]


@torch.no_grad()
def compare_sentence(run: Run, sentence: Brackets, setting: Setting) -> SentenceComparison:
    """Run one annotated sentence through the model of `run`, with and without the proxy; `setting` names one layer."""
    model, layer = run.model, setting.layer
    rules = {"model": {}, "proxy": fit_rules(model, setting, run.fitting_data, run.seed)}
    device = next(model.parameters()).device
    tokens = torch.from_numpy(sentence.tokens.astype(np.int64)).to(device)
    closing = torch.from_numpy(run.task.splits["iid"].candidates).to(device)
    patterns, probabilities = {}, {}
    for name, rule in rules.items():
        seen = Capture(rule[layer]) if rule else Capture()
        logits = model(tokens, {**rule, layer: seen})[0]  # (T, vocabulary)
        patterns[name] = seen.pattern[0].cpu().numpy()
        probabilities[name] = logits[:, closing].softmax(-1).cpu().numpy()
    source = f"preset {run.preset}, model of seed {run.seed}, one sentence; {layer_name(layer)} simplified"
    return SentenceComparison(sentence, setting, source, patterns, probabilities)


def sentence_comparison_figure(comparison: SentenceComparison, position: int, vocabulary: tuple[str, ...]) -> Figure:
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
        label = "model" if name == "model" else name_of(comparison.setting)
        titles[label] = f"predicts {vocabulary[FIRST_BRACKET + k + chosen]} ({probability[chosen]:.0%}), {verdict}"
        rows[label] = comparison.patterns[name].mean(0)[query]
    words = ["^" if token == START else vocabulary[token] for token in sentence.tokens[0, :length]]
    words[-1] = "$"
    figure = attention_figure(
        words, sentence.depth[0, :length].tolist(), int(sentence.opener[0, position]), query, rows, titles
    )
    footnote(figure, comparison.source)
    return figure


def deepest_sentences(run: Run, split: str, count: int = 1, brackets: int | None = None) -> dict[str, Brackets]:
    """Of the first hundred sentences of a split with at most so many `brackets`, the `count` deepest, by a label each."""
    of = run.task.splits[split]
    depth, length = of.groups["sentence_depth"][:100, 0], of.lengths[:100] - 2
    eligible = of.scored[:100].any(1) & (length <= (brackets or length.max()))
    rows = np.argsort(-(depth * eligible), kind="stable")[: min(count, int(eligible.sum()))]
    if not len(rows):
        raise InputError(
            f"the first hundred sentences of {split!r} hold none with at most {brackets} brackets and one to score"
        )
    bracket_types = run.config.data.bracket_types
    return {
        f"{split} {row}: {depth[row]} deep, {length[row]} brackets": annotate(of.tokens[[row]], bracket_types) for row in rows
    }


def dyck_explorer(run: Run) -> widgets.VBox:
    """Choose or type a sentence, a layer, a proxy and a closing bracket; see what model and proxy attend to and predict."""
    data, study = run.config.data, run.config.study
    examples = {}
    for split in run.task.splits:
        examples |= deepest_sentences(run, split, count=4)
    vocabulary = run.task.vocabulary
    style = {"description_width": "7em"}

    def wide() -> widgets.Layout:
        return widgets.Layout(width="46em")

    first = next(label for label in examples if label.startswith("unseen_depth"))
    choice = widgets.Dropdown(options=list(examples), value=first, description="sentence", layout=wide(), style=style)
    typed = widgets.Text(
        description="or type one", placeholder="(a (b b) a)", layout=wide(), style=style, continuous_update=False
    )
    layers = [(layer_name(i), i) for i in range(run.config.model.layers)]
    layer = widgets.Dropdown(options=layers, value=layers[-1][1], description="layer", style=style)
    proxy = widgets.Dropdown(options=list(PROXIES), value="svd", description="proxy", style=style)
    complexity = widgets.SelectionSlider(options=[8], value=8, style=style, layout=wide(), continuous_update=False)
    position = widgets.SelectionSlider(
        options=[1], description="closes at", style=style, layout=wide(), continuous_update=False
    )
    message, picture = widgets.HTML(), widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))

    @cache
    def compared(text: str, label: str, setting: Setting) -> SentenceComparison:
        limit = data.unseen_length
        sentence = parse_sentences([text], data.bracket_types, source="sentence", max_length=limit) if text else examples[label]
        return compare_sentence(run, sentence, setting)

    def current() -> SentenceComparison:
        chosen = complexity.value if PROXIES[proxy.value].parameter else None
        return compared(typed.value.strip(), choice.value, Setting(proxy.value, chosen, layer.value))

    def draw(_=None) -> None:
        try:
            comparison = current()
        except InputError as error:
            message.value = f"<b>{escape(str(error))}</b>"
            return
        message.value = ""
        figure = sentence_comparison_figure(comparison, position.value, vocabulary)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        plt.close(figure)
        picture.value = buffer.getvalue()

    def new_sentence(_=None) -> None:
        try:
            comparison = current()
        except InputError as error:
            message.value = f"<b>{escape(str(error))}</b>"
            return
        offer(position, comparison.closers, comparison.hardest())
        draw()

    def new_choice(_=None) -> None:
        if typed.value:
            typed.value = ""  # and its observer draws
        else:
            new_sentence()

    def offer_complexities() -> None:
        cls = PROXIES[proxy.value]
        complexity.layout.visibility = "visible" if cls.parameter else "hidden"
        if cls.parameter:
            most = cls.most_complex(run.config.model)
            measured = {c for proxies in study.grid.values() for c in proxies.get(proxy.value, ())}
            options = list(range(1, most + 1)) if most else sorted(measured) or [16, 64]
            complexity.description = cls.parameter
            offer(complexity, options, 8 if 8 in options else options[len(options) // 2])

    def new_proxy(_=None) -> None:
        offer_complexities()
        draw()

    def offer(slider: widgets.SelectionSlider, options: list[int], value: int) -> None:
        slider.unobserve(draw, "value")  # one picture for the change of options and value, not two
        slider.options = options
        slider.value = value
        slider.observe(draw, "value")

    for control in (layer, complexity, position):
        control.observe(draw, "value")
    offer_complexities()
    new_sentence()
    choice.observe(new_choice, "value")
    typed.observe(new_sentence, "value")
    proxy.observe(new_proxy, "value")
    return widgets.VBox([choice, typed, widgets.HBox([layer, proxy]), complexity, position, message, picture])
