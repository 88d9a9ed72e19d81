"""A live figure: in a notebook a widget that shares its state with Python, on a page of the book the same without Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import anywidget
import traitlets

from lib.errors import InputError
from lib.live import script
from lib.live.packs import fitted_arrays, pack
from lib.models.transformer import Transformer
from lib.proxies import Fitter, Simplification


class Explorer(anywidget.AnyWidget):
    """A figure in which the model runs in the reader's browser.

    Set `state` to choose what is shown, and read `found` for what the figure found. `packs` are models with their
    simplifications, by name, as `lib.live.packs.pack` makes them; `config` is what else the figure has to know, as JSON
    values. `still` is the first frame, as HTML, for a page that is printed or has no scripts; it has to say what the figure
    shows. `answer` is asked for what cannot be computed from arrays: it gets the question and returns JSON values.
    """

    _esm = script.module()
    _css = script.style()
    kind = traitlets.Unicode().tag(sync=True)
    config = traitlets.Dict().tag(sync=True)
    packs = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    found = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        kind: str,
        config: Mapping[str, Any],
        packs: Mapping[str, bytes],
        still: str = "",
        answer: Callable[[Mapping[str, Any]], Any] | None = None,
    ):
        super().__init__(kind=kind, config=dict(config), packs=dict(packs), state=dict(config.get("start", {})))
        self._still, self._answer = still, answer
        self.on_msg(self._asked)

    def _asked(self, _: object, message: Mapping[str, Any], __: object) -> None:
        reply: dict[str, Any] = {"number": message["number"]}
        try:
            if self._answer is None:
                raise InputError("this figure computes nothing in Python")
            reply["answer"] = self._answer(message["question"])
        except InputError as error:
            reply["problem"] = str(error)
        self.send(reply)

    def show(self, model: Transformer, fitter: Fitter) -> None:
        """Show another model, of the same shape and vocabulary, as that of the first seed: one that was just trained, say.

        `fitter` fits to it what can be chosen in this figure.
        """
        name = self.config["seeds"][0]
        offered = [
            Simplification(family["name"], complexity, layer)
            for family in self.config["families"]
            for layer, complexities in enumerate(family["complexities"])
            for complexity in complexities
        ]
        self.packs = {**self.packs, name: pack(model, fitted_arrays(fitter, offered))}

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict] | dict:
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/html": self.to_html()}, metadata

    def to_html(self) -> str:
        """The figure for a page: its first frame, and what makes it live where the book's script is loaded."""
        sources = {name: f"{script.FOLDER}/{name}.mjs" for name in self.packs}
        config = json.dumps({**self.config, "packs": sources}, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        known = f'<script type="application/json" class="live-config">{config}</script>'
        return f'<div class="live" data-live="{self.kind}"><div class="live-still">{self._still}</div>{known}</div>'
