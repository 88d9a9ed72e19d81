"""Drawings of sentences: matching brackets, depth, and attention on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Arc

from lib.figures.style import BLACK, PAGE_WIDTH, footnote
from lib.models.base import most_attended

BLUE, GREEN, SKY, VERMILION = "#0072B2", "#009E73", "#56B4E9", "#D55E00"


def sentence_figure(words: Sequence[str], depth: Sequence[int], opener: Sequence[int], source: str) -> Figure:
    """A sentence with an arc from every opening bracket to the one that closes it, over its depth.

    All arguments are per token of one sentence, brackets only; `opener` indexes into the same sequence, -1 for openers.
    `source` says where the sentence comes from.
    """
    n = len(words)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(PAGE_WIDTH, 3.2), sharex=True, height_ratios=[2, 1.1], layout="constrained"
    )
    for closer, start in enumerate(opener):
        if start >= 0:
            width = closer - start
            colour = VERMILION if width >= 10 else BLUE
            top.add_patch(
                Arc(((closer + start) / 2, 0.35), width, 0.55 * width**0.75, theta1=0, theta2=180, color=colour, lw=1.3)
            )
    for position, word in enumerate(words):
        top.text(position, 0, word, ha="center", va="center", family="monospace", fontsize=10 if n < 45 else 8)
    top.set(ylim=(-0.4, 0.6 + 0.3 * max(1, n - 1) ** 0.75), xlim=(-1, n), yticks=[])
    top.set_title("Matching brackets; red: at least 10 tokens apart, where predictions are scored")
    top.grid(False)
    top.spines[["left", "bottom"]].set_visible(False)
    top.tick_params(bottom=False)
    bottom.bar(range(n), depth, width=0.85, color=SKY)
    bottom.set(ylabel="depth", xlabel="position in the sentence (brackets)")
    bottom.yaxis.get_major_locator().set_params(integer=True)
    bottom.grid(axis="x", visible=False)
    footnote(figure, source)
    return figure


def attention_figure(
    words: Sequence[str],
    depth: Sequence[int],
    opener: int,
    query: int,
    rows: Mapping[str, np.ndarray],
    titles: Mapping[str, str],
) -> Figure:
    """Where one position attends, one panel a model: brackets at their depth, as large and dark as the attention on them.

    `rows` holds for each panel the attention weights [T] of the position `query`, START first; `depth` and `words` are per
    token; `opener` is the position of the bracket to be closed, ringed in green.
    """
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(PAGE_WIDTH, 1.9 * len(rows)), sharex=True, sharey=True, layout="constrained", squeeze=False
    )
    past = np.arange(query + 1)
    deepest = max(depth)
    for ax, (name, weights) in zip(axes[:, 0], rows.items(), strict=True):
        weights = np.asarray(weights)[: query + 1]
        ax.step(range(len(depth)), depth, where="mid", color="#D0D0D0", lw=1, zorder=1)
        ax.scatter(
            past, np.asarray(depth)[past], s=12 + 420 * weights, c=weights, cmap="Blues", vmin=-0.15, vmax=1, zorder=3, lw=0
        )
        ax.scatter([opener], [depth[opener]], s=560, facecolors="none", edgecolors=GREEN, lw=1.8, zorder=4)
        for position, word in enumerate(words):
            dark = position <= query and weights[position] > 0.45
            label = word if len(words) <= 40 else word.strip("()")  # the slope tells openers from closers
            ax.text(
                position, depth[position], label, ha="center", va="center", fontsize=8, family="monospace", zorder=5,
                color="white" if dark else (BLACK if position <= query else "#9A9A9A"),
            )  # fmt: skip
        for target in np.flatnonzero(most_attended(torch.from_numpy(weights)).numpy()):
            ax.annotate(
                "", (target, depth[target] + 0.45), (query, depth[query] + 0.45), zorder=2,
                arrowprops={"arrowstyle": "->", "color": GREEN if target == opener else VERMILION, "lw": 1.3,
                            "connectionstyle": "arc3,rad=0.25"},
            )  # fmt: skip
        ax.set_title(f"{name}: {titles[name]}")
        ax.set(ylabel="depth", ylim=(-0.8, deepest + 2.2), yticks=range(0, deepest + 1, 2), xlim=(-1, len(words)))
        ax.grid(False)
    axes[-1, 0].set_xlabel("position (START is 0)")
    return figure
