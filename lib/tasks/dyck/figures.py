"""Figures that only Dyck has: brackets, their depth, and attention on them."""

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

from lib.figures import (
    BLACK,
    BLUE,
    FEWEST,
    GREEN,
    GREY,
    METRIC_NAMES,
    PAGE_WIDTH,
    SKY,
    SPLIT_COLOURS,
    SPLIT_MARKERS,
    VERMILION,
    footer,
    footnote,
    interval_note,
    marker_of,
    name_of,
    shades_of,
)
from lib.intervals import Bootstrap, share_interval
from lib.proxies import Setting
from lib.runs import Study


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


def depth_figure(study: Study, settings: Sequence[Setting], splits: Sequence[str] = ("iid", "unseen_depth")) -> Figure:
    """By depth of the bracket to be closed: accuracy (top) and agreement with the model (bottom), one column a split."""
    figure, axes = plt.subplots(2, len(splits), figsize=(PAGE_WIDTH, 5.2), sharey=True, sharex=True, layout="constrained")
    for column, split in enumerate(splits):
        for ax, metric in zip(axes[:, column], ("accuracy", "same_prediction"), strict=True):
            _by_group(ax, study, settings, metric, "depth", [split])
            ax.set_title(f"{split}: {METRIC_NAMES[metric]}")
    _finish_by_group(figure, axes[0, 0], study, "depth of the bracket to be closed", settings)
    return figure


def sentence_depth_figure(study: Study, settings: Sequence[Setting]) -> Figure:
    """By depth of the sentence: accuracy (left) and agreement (right); `iid` up to the training depth, then `unseen_depth`."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 3.3), sharey=True, sharex=True, layout="constrained")
    for ax, metric in zip(axes, ("accuracy", "same_prediction"), strict=True):
        _by_group(ax, study, settings, metric, "sentence_depth", ["iid", "unseen_depth"])
        ax.set_title(METRIC_NAMES[metric])
    _finish_by_group(
        figure, axes[0], study, "depth of the sentence (iid left of the dotted line, unseen_depth right of it)", settings
    )
    return figure


def distance_figure(study: Study, settings: Sequence[Setting], splits: Sequence[str] = ("iid", "unseen_depth")) -> Figure:
    """Agreement with the model by distance from the bracket to be closed to its opener, one panel a split."""
    figure, axes = plt.subplots(1, len(splits), figsize=(PAGE_WIDTH, 3.2), sharey=True, sharex=True, layout="constrained")
    for ax, split in zip(axes, splits, strict=True):
        _by_group(ax, study, settings, "same_prediction", "distance", [split])
        ax.set_title(f"{split}: {METRIC_NAMES['same_prediction']}")
    _finish_by_group(figure, axes[0], study, "distance to the opener (tokens)", settings)
    return figure


def _by_group(ax: Axes, study: Study, settings: Sequence[Setting], metric: str, group: str, splits: Sequence[str]) -> None:
    """Lines with bands over the values of a group; of several splits each value is taken from the one that has it."""
    data = study.config.data
    values = range(1, data.unseen_depth + 1)
    if group == "distance":  # always odd, as what lies between is balanced
        values = range(data.min_distance + 1 - data.min_distance % 2, data.max_length, 2)
    lines = [(s, name_of(s), colour, marker_of(s.proxy), metric) for s, colour in shades_of(settings).items()]
    if metric == "accuracy":
        lines.append((settings[0], "model", BLACK, "", "original_accuracy"))
    for setting, label, colour, marker, measure in lines:
        found = {}
        for split, value in itertools.product(splits, values):
            estimate = study.bootstrap.estimate(setting, split, measure, group, value)
            if estimate.positions >= FEWEST:
                found[value] = estimate
        low, high = zip(*(e.interval for e in found.values()), strict=True) if found else ((), ())
        ax.fill_between(list(found), low, high, color=colour, alpha=0.16, lw=0)
        ax.plot(
            list(found), [e.value for e in found.values()], color=colour, lw=1.5, label=label, marker=marker, ms=4,
            ls="-" if marker else "--",
        )  # fmt: skip
    if group != "distance":
        ax.axvline(data.max_depth + 0.5, color=GREY, lw=0.9, ls=":")
        ax.set(xlim=(0.5, values[-1] + 0.5), xticks=values[::3])
    ax.set_ylim(0, 1.04)
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _finish_by_group(figure: Figure, legend_of: Axes, study: Study, label: str, settings: Sequence[Setting]) -> None:
    figure.supxlabel(label, fontsize=10)
    handles, labels = legend_of.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, fontsize=9, columnspacing=1.2, handletextpad=0.5)
    over = interval_note(study.bootstrap.estimate(settings[0], "iid", "accuracy"))
    footer(figure, study, f"bands: {over}; values with fewer than {FEWEST} predictions are left out")


def opener_figure(study: Study, attention: Bootstrap, settings: Sequence[Setting], splits: Sequence[str]) -> Figure:
    """Share of attention on the opener of the bracket to be closed, for the model and each setting, with intervals."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.4 * (len(settings) + 1) + 1.2), layout="constrained")
    rows = [(settings[0], "original_opener_weight", "model"), *((s, "opener_weight", name_of(s)) for s in settings)]
    for i, (setting, metric, _) in enumerate(rows):
        for shift, split in zip(np.linspace(-0.18, 0.18, len(splits)), splits, strict=True):
            estimate = attention.estimate(setting, split, metric)
            ax.plot(estimate.interval, [i + shift] * 2, color=SPLIT_COLOURS[split], lw=1.6)
            label = None if i else split
            ax.plot(estimate.value, i + shift, SPLIT_MARKERS[split], color=SPLIT_COLOURS[split], ms=5, label=label)
    ax.set(xlim=(0, 1.02), ylim=(len(rows) - 0.5, -0.5), xlabel="attention on the bracket to be closed (mean weight)")
    ax.set_yticks(range(len(rows)), [name for *_, name in rows])
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(splits))
    footer(figure, study, f"bars: {interval_note(estimate)}")
    return figure


def attended_depth_figure(study: Study, depths: pd.DataFrame, settings: Sequence[Setting], splits: Sequence[str]) -> Figure:
    """Heat maps: true depth of the bracket to be closed (down) against depth of the most-attended bracket (across)."""
    columns = [None, *settings]
    deepest = study.config.data.unseen_depth
    figure, axes = plt.subplots(
        len(splits),
        len(columns),
        figsize=(PAGE_WIDTH, 1.85 * len(splits) + 0.6),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for (row, split), (column, setting) in itertools.product(enumerate(splits), enumerate(columns)):
        of = depths[(depths["split"] == split) & depths["setting"].map(lambda s, one=setting: s == one)]
        counts = np.zeros((deepest + 1, deepest + 1))
        np.add.at(counts, (of["depth"].to_numpy(int), of["attended"].to_numpy(int)), of["n"].to_numpy())
        total = counts.sum(1, keepdims=True)
        share = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total >= FEWEST)[1:]
        ax = axes[row, column]
        sns.heatmap(share, ax=ax, vmin=0, vmax=1, cmap="mako_r", cbar=False, square=True)
        ax.plot([1, deepest + 1], [0, deepest], color=VERMILION, lw=0.8, ls=":")
        ax.set_facecolor("#F0F0F0")
        ticks = [1, 5, 10, 15]
        ax.set_xticks([t + 0.5 for t in ticks], ticks, rotation=0)
        ax.set_yticks([t - 0.5 for t in ticks], ticks)
        if row == 0:
            ax.set_title(name_of(setting).replace(", ", ",\n"), fontsize=9)
        if column == 0:
            ax.set_ylabel(f"{split}\ndepth to be closed")
    bar = figure.colorbar(axes[0, 0].collections[0], ax=axes, shrink=0.6, aspect=18, format=PercentFormatter(1))
    bar.set_label("share of the row", size=9)
    figure.supxlabel("depth of the bracket with most attention (0: START)", fontsize=10)
    note = f"each row sums to 100 %; dotted: as it should be; grey: fewer than {FEWEST} brackets; seeds pooled, no interval"
    footer(figure, study, note)
    return figure


def projections_figure(study: Study, points: pd.DataFrame, layer: str) -> Figure:
    """Queries (top) and keys (bottom) on their first two singular directions, coloured by what their token is."""
    columns = {"depth": "viridis", "position": "cividis", "type": "husl", "cluster": "husl"}
    figure, axes = plt.subplots(2, len(columns), figsize=(PAGE_WIDTH, 4.3), layout="constrained")
    for (row, kind), (column, (label, palette)) in itertools.product(
        enumerate(("queries", "keys")), enumerate(columns.items())
    ):
        of, ax = points[points["kind"] == kind], axes[row, column]
        colours = sns.color_palette(palette, as_cmap=True)
        drawn = ax.scatter(of["first"], of["second"], c=of[label], cmap=colours, s=3, lw=0, alpha=0.7, rasterized=True)
        ax.set(xticks=[], yticks=[], xlabel="", ylabel=f"{kind}\nsecond direction" if column == 0 else "")
        ax.grid(False)
        if row == 0:
            ax.set_title({"type": "bracket type", "cluster": "cluster"}.get(label, label))
        if label in ("depth", "position"):
            figure.colorbar(drawn, ax=ax, shrink=0.75, aspect=12).ax.tick_params(labelsize=7.5)
    figure.supxlabel("first singular direction of each", fontsize=10)
    footer(figure, study, f"{layer} of seed 0, {len(points) // 2:,} tokens of iid; axes, clusters: fitted on training data")
    return figure


def shift_figure(study: Study, points: pd.DataFrame, layer: str, splits: Sequence[str]) -> Figure:
    """Queries and keys of each split on the same axes, fitted in distribution, coloured by depth."""
    figure, axes = plt.subplots(2, len(splits), figsize=(PAGE_WIDTH, 4.8), sharex="row", sharey="row", layout="constrained")
    for (row, kind), (column, split) in itertools.product(enumerate(("queries", "keys")), enumerate(splits)):
        ax = axes[row, column]
        of = points[(points["kind"] == kind) & (points["split"] == split)]
        drawn = ax.scatter(
            of["first"], of["second"], c=of["depth"], cmap="viridis", vmin=0, vmax=study.config.data.unseen_depth, s=4, lw=0,
            alpha=0.7, rasterized=True,
        )  # fmt: skip
        ax.set(title=split if row == 0 else "", ylabel=f"{kind}\nsecond direction" if column == 0 else "")
    figure.colorbar(drawn, ax=axes, shrink=0.7, label="depth")
    figure.supxlabel("first singular direction, fitted on training sentences", fontsize=10)
    footer(figure, study, f"{layer} of seed 0")
    return figure


def unexplained_figure(study: Study, sentences: Mapping[Setting, pd.DataFrame], splits: Sequence[str], bins: int = 8) -> Figure:
    """Disagreement against the share of query and key variance that the proxy drops, in bins of equally many sentences."""
    figure, axes = plt.subplots(1, len(sentences), figsize=(PAGE_WIDTH, 3.2), sharey=True, layout="constrained", squeeze=False)
    for ax, (setting, table) in zip(axes[0], sentences.items(), strict=True):
        for split in splits:
            of = table[table["split"] == split]
            bin_of = pd.qcut(of["outside"], bins, labels=False, duplicates="drop")
            groups = of.assign(wrong=of["disagreement"] * of["n"]).groupby(bin_of)
            y = groups["wrong"].sum() / groups["n"].sum()
            intervals = np.array([share_interval(g["wrong"].to_numpy(), g["n"].to_numpy()) for _, g in groups])
            error = np.abs(intervals.T - y.to_numpy())
            ax.errorbar(
                groups["outside"].mean(), y, error, color=SPLIT_COLOURS[split], marker=SPLIT_MARKERS[split], ms=4.5,
                lw=1.3, label=split,
            )  # fmt: skip
        ax.set(title=name_of(setting), xlabel="share of variance dropped")
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0, 0].set(ylabel="disagreement with the model", ylim=(0, None))
    axes[0, 0].legend()
    footer(figure, study, f"points: {bins} groups of equally many sentences; bars: 95 % bootstrap intervals over sentences")
    return figure
