"""What tests of live figures share: proxies in double precision, and pages opened from disk without a network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from lib.live import script
from lib.live.explorer import Explorer
from lib.models.base import Capture
from lib.models.transformer import Transformer
from lib.proxies import LayerRule, Proxy, Simplification, Subspace
from lib.runs import Run

PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Live</title>
<link rel="stylesheet" href="_static/live.css"><script src="_static/live.js"></script></head>
<body><main>{}</main></body></html>"""


def doubled(part: object) -> object:
    """A proxy, or a part of one, in double precision."""
    if isinstance(part, torch.Tensor):
        return part.double()
    if isinstance(part, Subspace):
        return replace(part, mean=part.mean.double(), basis=part.basis.double())
    if isinstance(part, Proxy):
        twin = copy.copy(part)
        twin.__dict__ = {name: doubled(value) for name, value in vars(part).items()}
        return twin
    return part


@torch.no_grad()
def in_double(model: Transformer, rules: dict[int, LayerRule], tokens: Sequence[int]) -> tuple[dict, torch.Tensor]:
    """Patterns by layer [head, T, T] and logits [T, vocabulary] of a sequence, in double precision."""
    rules = {layer: replace(rule, proxies={h: doubled(p) for h, p in rule.proxies.items()}) for layer, rule in rules.items()}
    seen = {layer: Capture(rules[layer]) if layer in rules else Capture() for layer in range(model.layers)}
    logits = copy.deepcopy(model).double()(torch.tensor([list(tokens)]), seen)[0]
    return {layer: of.pattern[0].numpy() for layer, of in seen.items()}, logits


def both(run: Run, s: Simplification, tokens: Sequence[int]) -> list[tuple[dict, torch.Tensor]]:
    """The model of a run without and with a simplification, in double precision."""
    return [in_double(run.model, rules, tokens) for rules in ({}, run.fitter.rules(s))]


def write_page(folder: Path, explorers: Sequence[Explorer]) -> Path:
    """A page with live figures, as a book has it."""
    (folder / script.FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / "_static/live.js").write_text(script.script(), encoding="utf-8")
    (folder / "_static/live.css").write_text(script.style(), encoding="utf-8")
    for explorer in explorers:
        for name, packed in explorer.packs.items():
            (folder / script.FOLDER / f"{name}.mjs").write_text(script.delivering(name, packed), encoding="ascii")
    path = folder / "page.html"
    path.write_text(PAGE.format("<hr>".join(explorer.to_html() for explorer in explorers)), encoding="utf-8")
    return path


@contextmanager
def opened(browser, path: Path, address: str = "") -> Iterator:
    """A page opened from disk; whatever it asks the network for, and errors of its scripts, fail the test."""
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    elsewhere, errors = [], []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else elsewhere.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri() + address)
    try:
        yield page
    finally:
        page.close()
    assert elsewhere == []
    assert errors == []
