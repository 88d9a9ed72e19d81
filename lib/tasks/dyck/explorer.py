"""Widgets: choose or type a sentence, a layer, a proxy and a closing bracket."""

from __future__ import annotations

import io
from functools import cache
from html import escape

import ipywidgets as widgets
import matplotlib.pyplot as plt

from lib.errors import InputError
from lib.proxies import PROXIES, Simplification
from lib.runs import Run
from lib.tasks.dyck.sentences import SentenceComparison, compare_sentence, deepest_sentences, sentence_comparison_figure
from lib.tasks.dyck.text import parse_sentences


class DyckExplorer:
    """What model and proxy attend to and predict, for a sentence and a simplification that a reader chooses; `box` shows it."""

    def __init__(self, run: Run):
        self.run, self.task = run, run.experiment.task
        self.examples: dict = {}
        for split in run.data.splits:
            self.examples |= deepest_sentences(run, split, count=4)
        first = next((label for label in self.examples if label.startswith("unseen_depth")), next(iter(self.examples)))
        self.choice = _wide(widgets.Dropdown, "sentence", options=list(self.examples), value=first)
        self.typed = _wide(widgets.Text, "or type one", placeholder="(a (b b) a)", continuous_update=False)
        layers = [(f"layer {i}", i) for i in range(run.model.layers)]
        self.layer = _control(widgets.Dropdown, "layer", options=layers, value=layers[-1][1])
        labels = [(proxy.label, name) for name, proxy in PROXIES.items()]
        self.proxy = _control(widgets.Dropdown, "proxy", options=labels, value="svd")
        self.complexity = _wide(widgets.SelectionSlider, "", options=[1], value=1, continuous_update=False)
        self.position = _wide(widgets.SelectionSlider, "closes at", options=[1], value=1, continuous_update=False)
        self.message, self.picture = widgets.HTML(), widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.compared = cache(self._compare)
        for control in (self.layer, self.complexity, self.position):
            control.observe(self.draw, "value")
        self._offer_complexities()
        self.new_sentence()
        self.choice.observe(self._new_choice, "value")
        self.typed.observe(self.new_sentence, "value")
        self.proxy.observe(self._new_proxy, "value")
        above = [self.choice, self.typed, widgets.HBox([self.layer, self.proxy]), self.complexity, self.position]
        self.box = widgets.VBox([*above, self.message, self.picture])

    def _compare(self, text: str, label: str, simplification: Simplification) -> SentenceComparison:
        task = self.task
        sentence = self.examples[label]
        if text:
            sentence = parse_sentences([text], task.bracket_types, source="sentence", max_length=task.unseen_length)
        return compare_sentence(self.run, sentence, simplification)

    def current(self) -> SentenceComparison | None:
        """What is chosen, compared; None, with a message, where that is not possible."""
        complexity = self.complexity.value if PROXIES[self.proxy.value].parameter else None
        chosen = Simplification(self.proxy.value, complexity, self.layer.value)
        try:
            compared = self.compared(self.typed.value.strip(), self.choice.value, chosen)
        except InputError as error:
            self.message.value = f'<b style="color: #B00020">{escape(str(error))}</b>'
            self.picture.layout.opacity = "0.3"  # the last good picture, which is not that of what was typed
            return None
        self.message.value, self.picture.layout.opacity = "", "1"
        return compared

    def draw(self, _: object = None) -> None:
        """Show what is chosen."""
        comparison = self.current()
        if comparison is None:
            return
        if list(self.position.options) != comparison.closers:  # a sentence that came when nothing could be shown of it
            self._offer(self.position, comparison.closers, comparison.hardest())
        figure = sentence_comparison_figure(comparison, self.position.value, self.run.data.vocabulary)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        plt.close(figure)
        self.picture.value = buffer.getvalue()

    def new_sentence(self, _: object = None) -> None:
        """Offer the closing brackets of the sentence, and begin with the one at which the proxy does worst."""
        comparison = self.current()
        if comparison is not None:
            self._offer(self.position, comparison.closers, comparison.hardest())
            self.draw()

    def _new_choice(self, _: object) -> None:
        if self.typed.value:
            self.typed.value = ""  # and its observer draws
        else:
            self.new_sentence()

    def _new_proxy(self, _: object) -> None:
        self._offer_complexities()
        self.draw()

    def _offer_complexities(self) -> None:
        """The complexities that the slider offers for the chosen proxy; none for one that has nothing to choose."""
        proxy = PROXIES[self.proxy.value]
        self.complexity.layout.visibility = "visible" if proxy.parameter else "hidden"
        if proxy.parameter:
            width = self.run.model.head_width
            most, example = proxy.most(width), proxy.example(width)
            grid = self.run.experiment.measuring.grid.values()
            measured = {c for proxies in grid for c in proxies.get(self.proxy.value, ())}
            self.complexity.description = proxy.parameter
            self._offer(self.complexity, list(range(1, most + 1)) if most else sorted({*measured, example}), example)

    def _offer(self, slider: widgets.SelectionSlider, options: list[int], value: int) -> None:
        slider.unobserve(self.draw, "value")  # one picture for the change of options and value, not two
        slider.options = options
        slider.value = value
        slider.observe(self.draw, "value")


def _control(kind: type, description: str, **options: object) -> widgets.Widget:
    return kind(description=description, style={"description_width": "7em"}, **options)


def _wide(kind: type, description: str, **options: object) -> widgets.Widget:
    return _control(kind, description, layout=widgets.Layout(width="46em"), **options)
