"""Drawings of sentences: matching brackets, depth, and attention on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Arc

from lib.figures.panels import sheet
from lib.figures.picture import Picture
from lib.figures.style import BLACK, GREY, GRID, NARROW, WEIGHTS, WHITE
from lib.models.base import most_attended

BLUE, GREEN, SKY, VERMILION = "#0072B2", "#009E73", "#56B4E9", "#D55E00"
LONG = 10  # tokens from an opening bracket to the one that closes it from which on predictions are scored
LETTER = 1.45  # how wide a bracket with its letter is, in sizes of their font
LEAST = 6  # the smallest font in points at which letters are drawn


def sentence_figure(words: Sequence[str], depth: Sequence[int], opener: Sequence[int], note: str) -> Picture:
    """A sentence with an arc from every opening bracket to the one that closes it, over its depth.

    All arguments are per token of one sentence, brackets only; `opener` indexes into the same sequence, -1 for openers.
    `note` says where the sentence comes from.
    """
    n = len(words)
    far = sum(start >= 0 and closer - start >= LONG for closer, start in enumerate(opener))

    def draw(width: float) -> Figure:
        figure = sheet(width, 3.2)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1.1])
        for closer, start in enumerate(opener):
            if start >= 0:
                across = closer - start
                size = {"width": across, "height": 0.55 * across**0.75, "theta1": 0, "theta2": 180, "lw": 1.3}
                top.add_patch(Arc(((closer + start) / 2, 0.35), color=VERMILION if across >= LONG else BLUE, **size))
        for position, word in enumerate(words):
            top.text(position, 0, word, ha="center", va="center", family="monospace", fontsize=_letters(width, n))
        top.set(ylim=(-0.4, 0.6 + 0.3 * max(1, n - 1) ** 0.75), xlim=(-1, n), yticks=[])
        top.set_title("matching brackets" if width < NARROW else f"matching brackets; red: at least {LONG} tokens apart")
        top.grid(False)
        top.spines[["left", "bottom"]].set_visible(False)
        top.tick_params(bottom=False)
        bottom.bar(range(n), depth, width=0.85, color=SKY)
        bottom.set(ylabel="depth", xlabel="position in the sentence (brackets)")
        bottom.yaxis.get_major_locator().set_params(integer=True)
        bottom.grid(axis="x", visible=False)
        return figure

    alt = (
        f"A sentence of {n} brackets, {max(depth)} deep, with an arc from every bracket to the one that closes it; {far} of "
        f"them close at least {LONG} tokens later, and there predictions are scored. Below, the depth at every bracket."
    )
    note = f"{note}; predictions are scored where arcs are red: at least {LONG} tokens apart"
    return Picture(draw, alt=alt, note=note, table=pd.DataFrame({"token": words, "depth": depth, "opener": opener}))


def _letters(width: float, tokens: int) -> float:
    """The size in points of a font in which so many tokens stand side by side."""
    return min(10.0, 72 * 0.9 * width / tokens / LETTER)


def attention_figure(
    words: Sequence[str],
    depth: Sequence[int],
    opener: int,
    query: int,
    rows: Mapping[str, np.ndarray],
    titles: Mapping[str, str],
    note: str,
) -> Picture:
    """Where one position attends, one panel a model: brackets at their depth, as large and dark as the attention on them.

    `rows` holds for each panel the attention weights [T] of the position `query`, START first; `depth` and `words` are per
    token; `opener` is the position of the bracket to be closed, ringed in green. `note` says what model that is.
    """

    def draw(width: float) -> Figure:
        figure = sheet(width, 1.9 * len(rows))
        axes = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for ax, (name, weights) in zip(axes, rows.items(), strict=True):
            weights = np.asarray(weights)[: query + 1]
            _draw_attention(ax, depth, opener, weights)
            _write_brackets(ax, words, depth, opener, weights, min(8.0, _letters(width, len(words))))
            ax.set_title(f"{name}\n{titles[name]}" if width < NARROW else f"{name}: {titles[name]}")
            ax.set(ylabel="depth", ylim=(-0.8, max(depth) + 2.2), yticks=range(0, max(depth) + 1, 2), xlim=(-1, len(words)))
            ax.grid(False)
        axes[-1].set_xlabel("position (START is 0)")
        return figure

    most = {name: int(np.argmax(np.asarray(weights)[: query + 1])) for name, weights in rows.items()}
    seen = (
        f"{name} {titles[name]}; it attends most to position {at}, at depth {depth[at]}"
        + (", the bracket to be closed" if at == opener else "")
        for name, at in most.items()
    )
    alt = f"A sentence {max(depth)} deep; the bracket to be closed is at position {opener}, at depth {depth[opener]}."
    weights = {name: np.asarray(of)[: query + 1] for name, of in rows.items()}
    table = pd.DataFrame({"position": range(query + 1), "token": list(words)[: query + 1], **weights})
    return Picture(draw, alt=f"{alt} {'. '.join(map(_begun, seen))}.", note=note, table=table)


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _draw_attention(ax: Axes, depth: Sequence[int], opener: int, weights: np.ndarray) -> None:
    """Brackets as dots at their depth, with an arrow to what is attended most, of the last one that has a weight."""
    query, past = len(weights) - 1, np.arange(len(weights))
    look = {"cmap": ListedColormap(WEIGHTS), "vmin": -0.15, "vmax": 1, "zorder": 3, "lw": 0}
    ax.step(range(len(depth)), depth, where="mid", color=GRID, lw=1, zorder=1)
    ax.scatter(past, np.asarray(depth)[past], s=12 + 420 * weights, c=weights, **look)
    ax.scatter([opener], [depth[opener]], s=560, facecolors="none", edgecolors=GREEN, lw=1.8, zorder=4)
    for target in np.flatnonzero(most_attended(torch.from_numpy(weights)).numpy()):
        colour = GREEN if target == opener else VERMILION
        arrow = {"arrowstyle": "->", "color": colour, "lw": 1.3, "connectionstyle": "arc3,rad=0.25"}
        ax.annotate("", (target, depth[target] + 0.45), (query, depth[query] + 0.45), zorder=2, arrowprops=arrow)


def _write_brackets(
    ax: Axes, words: Sequence[str], depth: Sequence[int], opener: int, weights: np.ndarray, size: float
) -> None:
    """Letters on the dots; where they would be too small, only where something is to be read."""
    query = len(weights) - 1
    for position, word in enumerate(words):
        weight = weights[position] if position <= query else 0
        if size < LEAST and weight < 0.1 and position not in (opener, query):
            continue
        label = word if len(words) <= 40 else word.strip("()")  # the slope tells openers from closers
        colour = WHITE if weight > 0.45 else BLACK if position <= query else GREY
        ax.text(
            position, depth[position], label, ha="center", va="center", fontsize=max(size, LEAST + 1), family="monospace",
            zorder=5, color=colour,
        )  # fmt: skip
