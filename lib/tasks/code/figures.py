"""Figures and tables that only code has: languages, kinds of characters, heads that copy, and text that is always escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lib import figures
from lib.claims import class_gap, unseen_languages
from lib.code.corpora import Corpus
from lib.code.languages import CLASSES, LANGUAGES
from lib.code_analysis import INDUCTION, single_heads
from lib.figures import (
    BLACK,
    BLUE,
    FEWEST,
    GREEN,
    GREY,
    ORANGE,
    PAGE_WIDTH,
    PROXY_NAMES,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    colour_of,
    footer,
    interval_note,
    layer_name,
    marker_of,
    name_of,
)
from lib.intervals import Bootstrap, mean_of
from lib.proxies import MODEL, PROXIES, Setting
from lib.runs import Study

LANGUAGE_COLOURS = {
    "python": BLUE, "javascript": ORANGE, "java": VERMILION, "c": GREEN, "cpp": PURPLE, "go": SKY, "php": YELLOW, "ruby": GREY,
}  # fmt: skip
LANGUAGE_MARKERS = {
    "python": "o", "javascript": "s", "java": "D", "c": "^", "cpp": "v", "go": "P", "php": "X", "ruby": "*",
}  # fmt: skip


def split_name(split: str) -> str:
    """How a split of a code study is called in figures."""
    if split in LANGUAGES:
        return LANGUAGES[split].title
    if split.startswith("humaneval_x/"):
        return f"HumanEval-X: {LANGUAGES[split.removeprefix('humaneval_x/')].title}"
    return split


def split_style(study: Study, split: str) -> tuple[str, str]:
    """Colour and marker of a split: black in the training language's own packages, else its language's."""
    if split in ("id", "seen_package"):
        return (BLACK, "o") if split == "id" else (GREY, "v")
    language = split.removeprefix("humaneval_x/")
    return LANGUAGE_COLOURS[language], LANGUAGE_MARKERS[language]


def composition_table(corpus: Corpus) -> pd.DataFrame:
    """A row a language: packages, functions, characters, and the package that most functions are from."""
    rows = {}
    for name in corpus.languages:
        functions = corpus.functions[corpus.functions["language"] == name]
        by_package = functions["package"].value_counts()
        rows[LANGUAGES[name].title] = {
            "packages": f"{len(by_package):,}",
            "functions": f"{len(functions):,}",
            "characters": f"{functions['code'].str.len().sum():,}",
            "largest package": f"{by_package.index[0]} ({by_package.iloc[0] / len(functions):.0%})",
        }
    return pd.DataFrame(rows).T


def examples_html(corpus: Corpus, characters: int = 400) -> str:
    """One function of each language, escaped: the one whose length is nearest to `characters`."""
    parts = []
    for name in corpus.languages:
        functions = corpus.functions[corpus.functions["language"] == name]
        row = functions.iloc[int((functions["code"].str.len() - characters).abs().argmin())]
        where = escape(f"{row['package']}: {row['path']}")
        parts.append(f"<p><b>{escape(LANGUAGES[name].title)}</b>, {where}</p><pre class='reading'>{escape(row['code'])}</pre>")
    return "\n".join(parts)


def training_figure(study: Study, splits: Sequence[str]) -> Figure:
    """The model's next-character accuracy on `splits` along training."""
    return figures.training_figure(study, {s: split_style(study, s) for s in splits}, {s: split_name(s) for s in splits})


def baseline_figure(study: Study, scores: Bootstrap, splits: Sequence[str]) -> Figure:
    """Next-character accuracy (left) and bits per character (right) of the model and of the n-gram baseline, by split."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 0.36 * len(splits) + 1.2), sharey=True, layout="constrained")
    for ax, metric in zip(axes, ("accuracy", "bits"), strict=True):
        for row, split in enumerate(splits):
            for prefix, shift, colour, marker, label in (
                ("", -0.12, BLACK, "o", "model"),
                ("baseline_", 0.12, ORANGE, "s", "6-gram model"),
            ):
                estimate = scores.estimate(MODEL, split, prefix + metric)
                ax.plot(estimate.interval, [row + shift] * 2, color=colour, lw=1.5)
                ax.plot(estimate.value, row + shift, marker, color=colour, ms=5, label=None if row else label)
        ax.grid(axis="y", visible=False)
    axes[0].set(xlabel="next-character accuracy", xlim=(0, None), ylim=(len(splits) - 0.5, -0.5))
    axes[0].set_yticks(range(len(splits)), [split_name(split) for split in splits])
    axes[0].xaxis.set_major_formatter(PercentFormatter(1))
    axes[1].set(xlabel="bits per character (fewer is better)", xlim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    footer(figure, study, f"bars: {interval_note(scores.estimate(MODEL, splits[0], 'accuracy'))}")
    return figure


def complexity_figure(study: Study, layer: int, proxies: Sequence[str], splits: Sequence[str]) -> Figure:
    """Agreement against complexity, a panel a proxy, a line a split with bands."""
    figure, axes = plt.subplots(1, len(proxies), figsize=(PAGE_WIDTH, 3.4), sharey=True, layout="constrained")
    for ax, proxy in zip(axes, proxies, strict=True):
        family = [s for s in study.settings(layer) if s.proxy == proxy]
        x = [s.complexity for s in family]
        for split in splits:
            colour, marker = split_style(study, split)
            estimates = [study.bootstrap.estimate(s, split, "same_prediction") for s in family]
            low, high = zip(*(e.interval for e in estimates), strict=True)
            ax.fill_between(x, low, high, color=colour, alpha=0.13, lw=0)
            ax.plot(x, [e.value for e in estimates], color=colour, marker=marker, ms=4, lw=1.4, label=split_name(split))
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, x)
        ax.minorticks_off()
        ax.tick_params(axis="x", labelsize=8)
        ax.set(title=PROXY_NAMES[proxy], xlabel=PROXIES[proxy].parameter, ylim=(0, 1.04))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("same prediction as the model")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, columnspacing=1.2)
    footer(figure, study, f"{layer_name(layer)}; bands: {interval_note(estimates[0])}")
    return figure


def gaps_figure(study: Study, settings: Mapping[str, Sequence[Setting]], splits: Sequence[str]) -> Figure:
    """Gaps from `id` to each split, in points: a panel a place in the model (by its name), a row a setting."""
    rows = max(map(len, settings.values()))
    figure, axes = plt.subplots(
        1, len(settings), figsize=(PAGE_WIDTH, 0.5 * rows + 1.5), sharey=True, sharex=True, layout="constrained", squeeze=False
    )
    for ax, (place, of_place) in zip(axes[0], settings.items(), strict=True):
        ax.axvline(0, color=BLACK, lw=0.9)
        for row, setting in enumerate(of_place):
            for i, split in enumerate(splits):
                gap = study.bootstrap.gap(setting, split, reference="id").scaled(100)
                colour, marker = split_style(study, split)
                y = row + (i - (len(splits) - 1) / 2) * 0.16
                ax.plot(gap.interval, [y, y], color=colour, lw=1.4)
                ax.plot(gap.value, y, marker, color=colour, ms=4.5, label=None if row else split_name(split))
        ax.set(title=place, ylim=(rows - 0.5, -0.5))
        ax.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(rows), [name_of(s) for s in next(iter(settings.values()))])
    figure.supxlabel("gap: agreement on id minus agreement on the split (percentage points)", fontsize=10)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=6, columnspacing=1.2)
    footer(figure, study, f"bars: {interval_note(gap)}")
    return figure


def classes_figure(study: Study, settings: Sequence[Setting]) -> Figure:
    """The gap by kind of the character to be predicted, mean over the languages not trained on, a colour a setting."""
    languages = unseen_languages(study)
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE_WIDTH, 4.3), sharey=True, layout="constrained")
    left.axvline(0, color=BLACK, lw=0.9)
    for row, kind in enumerate(CLASSES):
        for i, setting in enumerate(settings):
            y, colour, marker = row + (i - (len(settings) - 1) / 2) * 0.2, colour_of(setting.proxy), marker_of(setting.proxy)
            label = None if row else name_of(setting)
            pair = [study.bootstrap.estimate(setting, split, "same_prediction", "character", kind) for split in languages]
            inside = study.bootstrap.estimate(setting, "id", "same_prediction", "character", kind)
            if min(estimate.positions for estimate in (*pair, inside)) < FEWEST:
                continue
            gap = class_gap(study, setting, languages, kind).scaled(100)
            left.plot(gap.interval, [y, y], color=colour, lw=1.5)
            left.plot(gap.value, y, marker, color=colour, ms=5, label=label)
            right.plot([inside.value, mean_of(pair).value], [y, y], color=colour, lw=1)
            right.plot(inside.value, y, marker, color=colour, ms=5)
            right.plot(mean_of(pair).value, y, marker, color=colour, mfc="white", ms=5)
    left.set(xlabel="gap (percentage points)", ylim=(len(CLASSES) - 0.5, -0.5))
    left.set_yticks(range(len(CLASSES)), CLASSES)
    right.set(xlabel="agreement: filled on id, open elsewhere", xlim=(0, 1.03))
    right.xaxis.set_major_formatter(PercentFormatter(1))
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=len(settings))
    over = f"all layers at once; mean over {', '.join(map(split_name, languages))}"
    footer(figure, study, f"{over}; kinds with fewer than {FEWEST} predictions left out; bars (left): {interval_note(gap)}")
    return figure


def single_heads_figure(study: Study, splits: Sequence[str]) -> Figure:
    """Every head of every seed simplified on its own: agreement on `id` (above) and the gap to `splits` (below), by layer."""
    by_setting = _by_setting(single_heads(study), splits)
    figure, axes = plt.subplots(2, len(by_setting), figsize=(PAGE_WIDTH, 4.2), sharex=True, sharey="row", layout="constrained")
    for column, (setting, of_proxy) in zip(axes.T, by_setting.items(), strict=True):
        beside = (of_proxy["head"] - (study.config.model.heads - 1) / 2) * 0.14 + (of_proxy["seed"] % 5) * 0.02
        for ax, values in zip(column, (of_proxy["id"], 100 * of_proxy["gap"]), strict=True):
            style = {"marker": marker_of(setting.proxy), "color": colour_of(setting.proxy), "ls": "", "ms": 4, "mew": 0}
            ax.plot(of_proxy["layer"] + 1 + beside, values, **style, alpha=0.75)
        column[0].set_title(name_of(setting).replace(", ", "\n"))
        column[1].axhline(0, color=BLACK, lw=0.8)
        column[1].set_xticks(range(1, study.config.model.layers + 1))
    axes[0][0].set_ylabel("agreement on id")
    axes[0][0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1][0].set_ylabel("gap (points)")
    figure.supxlabel("layer", fontsize=10)
    footer(figure, study, f"a point a head and seed; gap: mean over {', '.join(map(split_name, splits))}; no intervals")
    return figure


def induction_figure(study: Study, heads: pd.DataFrame, kind: str) -> Figure:
    """Every head of every seed: its induction score against the gap that simplifying it alone opens on one `kind`."""
    languages = unseen_languages(study)
    by_setting = _by_setting(single_heads(study, kind).merge(heads, on=["seed", "layer", "head"]), languages)
    rows = math.ceil(len(by_setting) / 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(PAGE_WIDTH, 2.7 * rows), sharex=True, sharey=True, layout="constrained", squeeze=False
    )
    for ax, (setting, of_proxy) in zip(axes.flat, by_setting.items(), strict=False):
        colour = {"c": of_proxy["previous_token"], "cmap": "viridis", "vmin": 0, "vmax": 1}
        points = ax.scatter(of_proxy["induction"], 100 * of_proxy["gap"], **colour, s=28, lw=0.4, edgecolors=GREY)
        ax.axhline(0, color=BLACK, lw=0.8)
        ax.axvline(INDUCTION, color=GREY, lw=0.9, ls=":")
        ax.set(title=name_of(setting), xlim=(-0.02, max(0.3, 1.1 * heads["induction"].max())))
    for ax in axes.flat[len(by_setting) :]:
        ax.set_visible(False)
    figure.supxlabel("induction score", fontsize=10)
    figure.supylabel(f'gap on "{kind}" (percentage points)', fontsize=10)
    figure.colorbar(points, ax=axes, label="previous-token score", pad=0.01)
    footer(
        figure,
        study,
        f"a point a head and seed, simplified on its own; right of the dotted line: induction heads; mean over "
        f"{', '.join(map(split_name, languages))}; no intervals",
    )
    return figure


def _by_setting(agreement: pd.DataFrame, splits: Sequence[str]) -> dict[Setting, pd.DataFrame]:
    """A table of `single_heads` by proxy: a row a head, the column `id`, and `gap`, its mean distance from `splits`.

    A split in which no such character is to be predicted has no rows, and no part in the mean.
    """
    others = [name for name in agreement.columns if name not in ("split", "agreement")]
    wide = agreement.pivot_table("agreement", others, "split", sort=False)
    wide = wide.assign(gap=wide["id"] - wide.reindex(columns=splits).mean(axis=1)).reset_index()
    by_pair = wide.groupby(["proxy", "complexity"], sort=False)
    return {Setting(proxy, complexity or None): rows for (proxy, complexity), rows in by_pair}


READING_CSS = """<style>
pre.reading { font-size: 0.82em; line-height: 1.5; padding: 0.6em 0.8em; overflow-x: auto; }
pre.reading .differs { border-radius: 2px; color: #000; }
pre.reading .model { background: #56B4E9; }
pre.reading .proxy { background: #E69F00; }
pre.reading .neither { background: #BBBBBB; }
</style>"""
