"""Figures of the book. One table of colours and names, so that a proxy or a split looks the same wherever it appears.

Every figure that shows a measurement carries a footer: preset, seeds, number of sequences, and what its intervals are.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc
from matplotlib.ticker import PercentFormatter

from lib.artifacts import root, writing
from lib.intervals import Estimate
from lib.proxies import Setting
from lib.runs import Study

# Okabe and Ito's palette, which readers with any of the common colour-vision deficiencies can tell apart.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#6B6B6B"
PROXY_COLOURS = {"svd": BLUE, "kmeans": VERMILION, "one_hot": GREEN}
PROXY_MARKERS = {"svd": "o", "kmeans": "s", "one_hot": "D"}
SPLIT_COLOURS = {
    "iid": BLACK,
    "seen_structure": SKY,
    "unseen_structure": GREEN,
    "unseen_length": ORANGE,
    "unseen_depth": VERMILION,
}
SPLIT_MARKERS = {"iid": "o", "seen_structure": "v", "unseen_structure": "^", "unseen_length": "s", "unseen_depth": "D"}
METRIC_NAMES = {"accuracy": "accuracy", "same_prediction": "same prediction as the model"}
PAGE_WIDTH = 7.6  # inches; the text column of the book


def set_style() -> None:
    """Matplotlib defaults of this project: legible at the book's width, opaque white so that dark mode can show it too."""
    sns.set_theme(
        context="paper",
        style="whitegrid",
        rc={
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "savefig.pad_inches": 0.12,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#444444",
            "grid.color": "#E6E6E6",
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "xtick.bottom": True,
            "ytick.left": True,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "svg.hashsalt": "figures",  # the same figure has the same bytes
        },
    )
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", metadata={"Date": None})


def name_of(setting: Setting | None) -> str:
    """How a setting is called in legends; None is the model itself."""
    if setting is None:
        return "model"
    words = {"svd": "SVD, rank {}", "kmeans": "k-means, {} clusters", "one_hot": "one-hot"}
    return words.get(setting.proxy, setting.proxy + (" {}" if setting.complexity else "")).format(setting.complexity)


def layer_name(layer: int) -> str:
    """Layers count from 0 in code and tables, and have ordinary names in prose and figures."""
    return {-1: "all layers", 0: "first layer", 1: "second layer"}.get(layer, f"layer {layer}")


def footer(figure: Figure, study: Study, note: str = "") -> None:
    """Say under the figure what it was measured on."""
    seeds = "1 seed" if study.seeds == 1 else f"{study.seeds} seeds"
    sentences = f"{study.config.data.split_sentences:,} sentences a split and seed"
    footnote(figure, f"preset {study.preset}, {seeds}, {sentences}" + (f"; {note}" if note else ""))


def footnote(figure: Figure, text: str) -> None:
    """Small print under a figure."""
    figure.text(0.01, -0.01, text, fontsize=8, color=GREY, va="top", ha="left", wrap=True)


def save(figure: Figure, study: Study, name: str) -> None:
    """Keep a figure as artifacts/<preset>/figures/<name>.svg as well, for pages other than the notebook's own."""
    with writing(root() / study.preset / "figures" / f"{name}.svg") as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def interval_note(estimate: Estimate) -> str:
    """What the intervals of a figure are, for its footer."""
    return f"95 % bootstrap intervals over {estimate.over}"


def _shades(settings: Sequence[Setting]) -> dict[Setting, tuple]:
    """A colour for each setting, in their order: its proxy's, lighter for lower complexity."""
    shades = {}
    for proxy in {s.proxy for s in settings}:
        family = sorted((s for s in settings if s.proxy == proxy), key=lambda s: s.complexity or 0)
        base = np.array(plt.matplotlib.colors.to_rgb(PROXY_COLOURS.get(proxy, PURPLE)))
        for setting, weight in zip(family, np.linspace(0.45, 1, len(family)) if len(family) > 1 else [1.0], strict=True):
            shades[setting] = tuple(1 - weight * (1 - base))
    return {setting: shades[setting] for setting in settings}


def sentence_figure(words: Sequence[str], depth: Sequence[int], opener: Sequence[int]) -> Figure:
    """A sentence with an arc from every opening bracket to the one that closes it, over its depth.

    All arguments are per token of one sentence, brackets only; `opener` indexes into the same sequence, -1 for openers.
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
    return figure


def training_figure(study: Study) -> Figure:
    """The model's accuracy on every split along training, one line a split (mean over seeds; thin lines: each seed)."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.3), layout="constrained")
    for split, colour in SPLIT_COLOURS.items():
        column = f"accuracy_{split}"
        if study.seeds > 1:
            for _, one in study.history.groupby("seed"):
                ax.plot(one["step"], one[column], color=colour, lw=0.6, alpha=0.4)
        mean = study.history.groupby("step")[column].mean()
        ax.plot(mean.index, mean, color=colour, marker=SPLIT_MARKERS[split], ms=4, lw=1.6, label=split)
    ax.set(xlabel="training step", ylabel="accuracy", ylim=(0, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend(loc="lower right")
    sentences = f"accuracies along training over the first {study.config.training.heldout_sequences:,} sentences of each split"
    footer(figure, study, sentences)
    return figure


def depth_figure(study: Study, settings: Sequence[Setting], splits: Sequence[str] = ("iid", "unseen_depth")) -> Figure:
    """By depth of the bracket to be closed: accuracy (top) and agreement with the model (bottom), one column a split."""
    figure, axes = plt.subplots(2, len(splits), figsize=(PAGE_WIDTH, 5.2), sharey=True, sharex=True, layout="constrained")
    for column, split in enumerate(splits):
        for ax, metric in zip(axes[:, column], ("accuracy", "same_prediction"), strict=True):
            _by_depth(ax, study, settings, metric, "depth", [split])
            ax.set_title(f"{split}: {METRIC_NAMES[metric]}")
    _finish_by_depth(figure, axes[0, 0], study, "depth of the bracket to be closed", settings)
    return figure


def sentence_depth_figure(study: Study, settings: Sequence[Setting]) -> Figure:
    """By depth of the sentence: accuracy (left) and agreement (right); `iid` up to the training depth, then `unseen_depth`."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.3), sharey=True, sharex=True, layout="constrained")
    for ax, metric in zip(axes, ("accuracy", "same_prediction"), strict=True):
        _by_depth(ax, study, settings, metric, "sentence_depth", ["iid", "unseen_depth"])
        ax.set_title(METRIC_NAMES[metric])
    _finish_by_depth(
        figure, axes[0], study, "depth of the sentence (iid left of the dotted line, unseen_depth right of it)", settings
    )
    return figure


FEWEST = 20  # predictions that a mean by depth must rest on to be drawn


def _by_depth(ax: Axes, study: Study, settings: Sequence[Setting], metric: str, group: str, splits: Sequence[str]) -> None:
    """Lines with bands over depth; of several splits each depth is taken from the one that has it."""
    depths = range(1, study.config.data.unseen_depth + 1)
    lines = [(s, name_of(s), colour, PROXY_MARKERS.get(s.proxy, "o"), metric) for s, colour in _shades(settings).items()]
    if metric == "accuracy":
        lines.append((settings[0], "model", BLACK, "", "original_accuracy"))
    for setting, label, colour, marker, measure in lines:
        found = {}
        for split, depth in itertools.product(splits, depths):
            estimate = study.bootstrap.estimate(setting, split, measure, group, depth)
            if estimate.positions >= FEWEST:
                found[depth] = estimate
        low, high = zip(*(e.interval for e in found.values()), strict=True) if found else ((), ())
        ax.fill_between(list(found), low, high, color=colour, alpha=0.16, lw=0)
        ax.plot(
            list(found),
            [e.value for e in found.values()],
            color=colour,
            lw=1.5,
            label=label,
            marker=marker,
            ms=4,
            ls="-" if marker else "--",
        )
    ax.axvline(study.config.data.max_depth + 0.5, color=GREY, lw=0.9, ls=":")
    ax.set(ylim=(0, 1.04), xlim=(0.5, depths[-1] + 0.5), xticks=depths[::3])
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _finish_by_depth(figure: Figure, legend_of: Axes, study: Study, label: str, settings: Sequence[Setting]) -> None:
    figure.supxlabel(label, fontsize=10)
    handles, labels = legend_of.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, fontsize=9, columnspacing=1.2, handletextpad=0.5)
    over = interval_note(study.bootstrap.estimate(settings[0], "iid", "accuracy"))
    footer(figure, study, f"bands: {over}; depths with fewer than {FEWEST} predictions are left out")


def faithfulness_figure(study: Study, settings: Sequence[Setting], metric: str = "same_prediction") -> Figure:
    """One row a setting: how often its prediction is the model's, on every split, with 95 % intervals."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.42 * len(settings) + 1.2), layout="constrained")
    splits = list(SPLIT_COLOURS)
    for row, setting in enumerate(settings):
        for i, split in enumerate(splits):
            estimate = study.bootstrap.estimate(setting, split, metric)
            y = row + (i - (len(splits) - 1) / 2) * 0.14
            low, high = estimate.interval
            ax.plot([low, high], [y, y], color=SPLIT_COLOURS[split], lw=1.6)
            ax.plot(estimate.value, y, SPLIT_MARKERS[split], color=SPLIT_COLOURS[split], ms=4.5, label=None if row else split)
        ax.axhspan(row - 0.45, row + 0.45, color="#F4F4F4" if row % 2 else "white", lw=0, zorder=0)
    ax.set(yticks=range(len(settings)), xlim=(0, 1.02), ylim=(len(settings) - 0.5, -0.5))
    ax.set_yticklabels([name_of(s) for s in settings])
    ax.set_xlabel(METRIC_NAMES.get(metric, metric))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(splits), fontsize=9, handletextpad=0.2, columnspacing=1.2)
    footer(figure, study, f"{layer_name(settings[0].layer)} simplified; bars: {interval_note(estimate)}")
    return figure


def gap_table(
    study: Study, settings: Sequence[Setting], splits: Sequence[str], metric: str = "same_prediction"
) -> pd.DataFrame:
    """Generalization gaps (iid minus split) in percentage points with 95 % intervals, as text; one row a setting."""
    gaps = {name_of(s): {split: study.bootstrap.gap(s, split, metric).scaled(100) for split in splits} for s in settings}
    return pd.DataFrame({name: {split: f"{gap:.1f}" for split, gap in row.items()} for name, row in gaps.items()}).T


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
        target = int(np.argmax(weights))
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
