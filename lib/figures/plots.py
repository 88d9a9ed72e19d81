"""Figures of the book. One table of colours and names, so that a proxy or a split looks the same wherever it appears.

Every figure that shows a measurement carries a footer: preset, seeds, number of sequences, and what its intervals are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lib.artifacts import root, writing
from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Finding
from lib.intervals import Estimate
from lib.proxies import PROXIES, TRAINING, Setting
from lib.runs import Study, settings_of

# Okabe and Ito's palette, which readers with any of the common colour-vision deficiencies can tell apart.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#6B6B6B"
PROXY_COLOURS = {
    "svd": BLUE,
    "svd_uncentred": SKY,
    "kmeans": VERMILION,
    "one_hot": GREEN,
    "weight_svd": PURPLE,
    "random_subspace": GREY,
}
PROXY_MARKERS = {"svd": "o", "svd_uncentred": "v", "kmeans": "s", "one_hot": "D", "weight_svd": "^", "random_subspace": "X"}
PROXY_NAMES = {
    "svd": "SVD",
    "svd_uncentred": "uncentred SVD",
    "kmeans": "k-means",
    "one_hot": "one-hot",
    "weight_svd": "SVD of the weights",
    "random_subspace": "random subspace",
}
SPLIT_COLOURS = {
    "iid": BLACK,
    "seen_structure": SKY,
    "unseen_structure": GREEN,
    "unseen_length": ORANGE,
    "unseen_depth": VERMILION,
}  # the control iid_matched is not among them: it is shown where it is compared
SPLIT_MARKERS = {"iid": "o", "seen_structure": "v", "unseen_structure": "^", "unseen_length": "s", "unseen_depth": "D"}
DYCK_STYLES = {split: (colour, SPLIT_MARKERS[split]) for split, colour in SPLIT_COLOURS.items()}
METRIC_NAMES = {"accuracy": "accuracy", "same_prediction": "same prediction as the model"}
FEWEST = 20  # predictions that a mean within a group must rest on to be shown
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
    name = PROXY_NAMES.get(setting.proxy, setting.proxy)
    match PROXIES[setting.proxy].parameter:
        case None:
            return name
        case "rank":
            return f"{name}, rank {setting.complexity}"
        case parameter:
            return f"{name}, {setting.complexity} {parameter}"


def colour_of(proxy: str) -> str:
    """The colour of a proxy, in every figure; the same for all that the table above does not know."""
    return PROXY_COLOURS.get(proxy, ORANGE)


def marker_of(proxy: str) -> str:
    """The marker of a proxy, in every figure; the same for all that the table above does not know."""
    return PROXY_MARKERS.get(proxy, "P")


def layer_name(layer: int) -> str:
    """Layers count from 0 in code and tables, and have ordinary names in prose and figures."""
    names = ("all layers", "first layer", "second layer", "third layer", "fourth layer")
    return names[layer + 1] if layer + 1 < len(names) else f"layer {layer + 1}"


def source(study: Study, sequences: int | None = None) -> str:
    """What something was measured on: preset, seeds, and how much of each split, `sequences` of it if not all."""
    seeds = "1 seed" if study.seeds == 1 else f"{study.seeds} seeds"
    size = study.config.split_size if sequences is None else study.config.data.split_size(sequences)
    return f"preset {study.preset}, {seeds}, {size}"


def footer(figure: Figure, study: Study, note: str = "", sequences: int | None = None) -> None:
    """Say under the figure what it was measured on."""
    footnote(figure, source(study, sequences) + (f"; {note}" if note else ""))


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


def shades_of(settings: Sequence[Setting]) -> dict[Setting, tuple]:
    """A colour for each setting, in their order: its proxy's, lighter for lower complexity."""
    shades = {}
    for proxy in {s.proxy for s in settings}:
        family = sorted((s for s in settings if s.proxy == proxy), key=lambda s: s.complexity or 0)
        base = np.array(plt.matplotlib.colors.to_rgb(colour_of(proxy)))
        for setting, weight in zip(family, np.linspace(0.45, 1, len(family)) if len(family) > 1 else [1.0], strict=True):
            shades[setting] = tuple(1 - weight * (1 - base))
    return {setting: shades[setting] for setting in settings}


def training_figure(
    study: Study, styles: Mapping[str, tuple[str, str]] | None = None, names: Mapping[str, str] | None = None
) -> Figure:
    """The model's accuracy on every split along training, one line a split (mean over seeds; thin lines: each seed).

    `styles` has the colour and marker, and `names` the name, of each split; if left out, those of the Dyck splits.
    """
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 3.3), layout="constrained")
    for split, (colour, marker) in (styles or DYCK_STYLES).items():
        column = f"accuracy_{split}"
        if study.seeds > 1:
            for _, one in study.history.groupby("seed"):
                ax.plot(one["step"], one[column], color=colour, lw=0.6, alpha=0.4)
        mean = study.history.groupby("step")[column].mean()
        ax.plot(mean.index, mean, color=colour, marker=marker, ms=4, lw=1.6, label=(names or {}).get(split, split))
    ax.set(xlabel="training step", ylabel="accuracy", ylim=(0, 1.03))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    if styles is None:
        ax.legend(loc="lower right")
    else:
        figure.legend(loc="outside upper center", ncols=6, columnspacing=1.2)
    footer(figure, study, "bold: mean over seeds, thin: each seed", study.config.training.heldout_sequences)
    return figure


def faithfulness_figure(
    study: Study,
    settings: Sequence[Setting],
    splits: Sequence[str],
    metric: str = "same_prediction",
    styles: Mapping[str, tuple[str, str]] | None = None,
    names: Mapping[str, str] | None = None,
) -> Figure:
    """One row a setting: how often its prediction is the model's, on every split, with 95 % intervals.

    `styles` has the colour and marker, and `names` the name, of each split; if left out, those of the Dyck splits.
    """
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.085 * len(splits) * len(settings) + 1.2), layout="constrained")
    for row, setting in enumerate(settings):
        for i, split in enumerate(splits):
            estimate = study.bootstrap.estimate(setting, split, metric)
            y = row + (i - (len(splits) - 1) / 2) * 0.7 / len(splits)
            colour, marker = (styles or DYCK_STYLES)[split]
            ax.plot(estimate.interval, [y, y], color=colour, lw=1.6)
            ax.plot(estimate.value, y, marker, color=colour, ms=4.5, label=None if row else (names or {}).get(split, split))
        ax.axhspan(row - 0.45, row + 0.45, color="#F4F4F4" if row % 2 else "white", lw=0, zorder=0)
    ax.set(yticks=range(len(settings)), xlim=(0, 1.02), ylim=(len(settings) - 0.5, -0.5))
    ax.set_yticklabels([name_of(s) for s in settings])
    ax.set_xlabel(METRIC_NAMES.get(metric, metric))
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    columns = min(len(splits), 5 if names is None else 3)
    figure.legend(loc="outside upper center", ncols=columns, fontsize=9, handletextpad=0.2, columnspacing=1.2)
    footer(figure, study, f"{layer_name(settings[0].layer)} simplified; bars: {interval_note(estimate)}")
    return figure


def gap_table(
    study: Study, settings: Sequence[Setting], splits: Sequence[str], metric: str = "same_prediction"
) -> pd.DataFrame:
    """Generalization gaps (iid minus split) in percentage points with 95 % intervals, as text; one row a setting."""
    several = len({s.layer for s in settings}) > 1
    names = {s: f"{layer_name(s.layer)}: {name_of(s)}" if several else name_of(s) for s in settings}
    gaps = {names[s]: {split: study.bootstrap.gap(s, split, metric).scaled(100) for split in splits} for s in settings}
    return pd.DataFrame({name: {split: f"{gap:.1f}" for split, gap in row.items()} for name, row in gaps.items()}).T


def complexity_figure(study: Study, layer: int, proxies: Sequence[str], splits: Sequence[str]) -> Figure:
    """Agreement against complexity, a panel a split, a line a proxy with bands; ranks below, clusters above the panels."""
    figure, axes = plt.subplots(1, len(splits), figsize=(PAGE_WIDTH, 3.3), sharey=True, layout="constrained")
    for ax, split in zip(axes, splits, strict=True):
        above = ax.twiny()
        for proxy in proxies:
            family = [s for s in study.settings(layer) if s.proxy == proxy]
            estimates = [study.bootstrap.estimate(s, split, "same_prediction") for s in family]
            if not family:
                continue
            on = ax if PROXIES[proxy].parameter == "rank" else above
            x = [s.complexity for s in family]
            low, high = zip(*(e.interval for e in estimates), strict=True)
            on.fill_between(x, low, high, color=colour_of(proxy), alpha=0.16, lw=0)
            on.plot(
                x, [e.value for e in estimates], color=colour_of(proxy), marker=marker_of(proxy), ms=4, lw=1.5,
                label=PROXY_NAMES.get(proxy, proxy),
            )  # fmt: skip
        for on, ticks in ((ax, [1, 2, 4, 8, 16, 32]), (above, [16, 64, 256])):
            on.set_xscale("log", base=2)
            on.set_xticks(ticks, ticks)
            on.minorticks_off()
            on.grid(on is ax)
        above.tick_params(axis="x", colors=VERMILION, labelsize=8.5)
        above.set_xlim(8, 640)
        ax.set(xlabel="rank", ylim=(0, 1.04))
        above.set_title(split, pad=14)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel(METRIC_NAMES["same_prediction"])
    handles = [h for on in (axes[0], figure.axes[len(splits)]) for h in on.get_legend_handles_labels()[0]]
    figure.legend(handles, [h.get_label() for h in handles], loc="outside upper center", ncols=len(handles), columnspacing=1.2)
    over = study.bootstrap.estimate(study.settings(layer)[0], splits[0], "same_prediction")
    footer(figure, study, f"{layer_name(layer)}; numbers above the panels: clusters; bands: {interval_note(over)}")
    return figure


def transfer_figure(study: Study, layer: int, proxies: Sequence[str], splits: Sequence[str]) -> Figure:
    """Each setting as a point: agreement in distribution across, on another split up; the diagonal is no gap."""
    figure, axes = plt.subplots(1, len(splits), figsize=(PAGE_WIDTH, 3.1), sharey=True, layout="constrained")
    for ax, split in zip(axes, splits, strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        for proxy in proxies:
            family = [s for s in study.settings(layer) if s.proxy == proxy]
            x = [study.bootstrap.estimate(s, "iid", "same_prediction") for s in family]
            y = [study.bootstrap.estimate(s, split, "same_prediction") for s in family]
            colour = colour_of(proxy)
            ax.plot([e.value for e in x], [e.value for e in y], color=colour, lw=0.9, alpha=0.6)
            for setting, a, b in zip(family, x, y, strict=True):
                ax.plot(a.interval, [b.value] * 2, color=colour, lw=1)
                ax.plot([a.value] * 2, b.interval, color=colour, lw=1)
                label = PROXY_NAMES.get(proxy, proxy) if setting is family[0] and ax is axes[0] else None
                ax.plot(a.value, b.value, marker_of(proxy), color=colour, ms=5, label=label)
                if setting.complexity and proxy in ("svd", "kmeans") and a.value < 0.97:
                    ax.annotate(
                        setting.complexity, (a.value, b.value), (4, -9), textcoords="offset points", fontsize=7.5, color=colour
                    )
        ax.set(xlim=(0, 1.03), ylim=(0, 1.03), xticks=[0, 0.5, 1], aspect="equal", title=split, xlabel="same prediction on iid")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("same prediction on the split")
    figure.legend(loc="outside upper center", ncols=6, columnspacing=1, handletextpad=0.2)
    over = study.bootstrap.estimate(study.settings(layer)[0], "iid", "same_prediction")
    footer(figure, study, f"{layer_name(layer)}; numbers: rank or clusters; crosses: {interval_note(over)}; dotted: no gap")
    return figure


def along_training_figure(study: Study, settings: Sequence[Setting], splits: Sequence[str]) -> Figure:
    """Accuracy of model and proxies along training, a panel a split, with bands."""
    rows = -(-len(splits) // 3)
    size = (PAGE_WIDTH, 2.3 * rows + 0.7)
    figure, grid = plt.subplots(rows, 3, figsize=size, sharey=True, sharex=True, layout="constrained", squeeze=False)
    axes = grid.flat
    for ax in axes[len(splits) :]:
        ax.set_visible(False)
    for ax, split in zip(axes, splits, strict=False):
        lines = [(s, "accuracy", name_of(s), colour, marker_of(s.proxy)) for s, colour in shades_of(settings).items()]
        for setting, metric, label, colour, marker in [*lines, (settings[0], "original_accuracy", "model", BLACK, "")]:
            found = {step: at.estimate(setting, split, metric) for step, at in study.along_training.items()}
            low, high = zip(*(e.interval for e in found.values()), strict=True)
            ax.fill_between(list(found), low, high, color=colour, alpha=0.13, lw=0)
            ax.plot(
                list(found), [e.value for e in found.values()], color=colour, marker=marker, ms=3.5, lw=1.5, label=label,
                ls="-" if marker else "--",
            )  # fmt: skip
        ax.set(title=split, ylim=(0, 1.04))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    figure.supxlabel("training step", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, columnspacing=1.2)
    at = next(iter(study.along_training.values()))
    note = interval_note(at.estimate(settings[0], splits[0], "accuracy"))
    footer(figure, study, f"bands: {note}", study.config.training.heldout_sequences)
    return figure


def oracle_figure(study: Study, settings: Sequence[Setting], splits: Sequence[str]) -> Figure:
    """Agreement of proxies fitted on training sentences (filled) and on the split that they are tested on (open)."""
    figure, axes = plt.subplots(
        1, len(splits), figsize=(PAGE_WIDTH, 0.42 * len(settings) + 1.3), sharey=True, layout="constrained"
    )
    for ax, split in zip(axes, splits, strict=True):
        for row, setting in enumerate(settings):
            colour, marker = colour_of(setting.proxy), marker_of(setting.proxy)
            for fit_on, shift, inside in ((TRAINING, -0.13, colour), (split, 0.13, "white")):
                estimate = study.bootstrap.estimate(replace(setting, fit_on=fit_on), split, "same_prediction")
                ax.plot(estimate.interval, [row + shift] * 2, color=colour, lw=1.4)
                ax.plot(estimate.value, row + shift, marker, color=colour, mfc=inside, ms=5.5)
        ax.set(title=split, xlim=(0, 1.03), xticks=[0, 0.5, 1], ylim=(len(settings) - 0.5, -0.5), xlabel="same prediction")
        ax.get_xticklabels()[-1].set_horizontalalignment("right")
        ax.set_yticks(range(len(settings)), [name_of(s) for s in settings])
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(axis="y", visible=False)
    over = study.bootstrap.estimate(settings[0], splits[0], "same_prediction")
    footer(figure, study, f"filled: fitted on training sentences; open: on the split itself; bars: {interval_note(over)}")
    return figure


def curve_settings(study: Study) -> list[Setting]:
    """The simplifications that were measured along training."""
    return settings_of(study.config.study.along_training)


def ahead_table(study: Study, settings: Sequence[Setting], splits: Sequence[str]) -> pd.DataFrame:
    """At how many evaluations along training a proxy is more / less accurate than the model, as text, a row a setting."""
    rows = {}
    for setting in settings:
        rows[f"{layer_name(setting.layer)}: {name_of(setting)}"] = row = {}
        for split in splits:
            better = [at.compare_with_model(setting, split) for at in study.along_training.values()]
            ahead = sum(estimate.interval[0] > 0 for estimate in better)
            behind = sum(estimate.interval[1] < 0 for estimate in better)
            row[split] = f"{ahead} / {behind} / {len(better)}"
    return pd.DataFrame(rows).T


def encoding_table(studies: Iterable[tuple[str, Study]], settings: Sequence[Setting], splits: Sequence[str]) -> pd.DataFrame:
    """For each position encoding and its study: the model's accuracy and the settings' agreement with it, as text."""
    rows = {}
    for encoding, study in studies:
        columns = {
            ("accuracy of the model", split): study.bootstrap.estimate(settings[0], split, "original_accuracy")
            for split in splits
        }
        for setting in settings:
            for split in splits:
                columns[f"same prediction, {name_of(setting)}", split] = study.bootstrap.estimate(
                    setting, split, "same_prediction"
                )
        name = f"{encoding} ({study.seeds} seed{'s' if study.seeds > 1 else ''})"
        rows[name] = {key: f"{estimate:.0%}" for key, estimate in columns.items()}
    return pd.DataFrame(rows).rename_axis(index=["", "split"])


def scorecard_figure(study: Study, findings: Sequence[Finding]) -> Figure:
    """Every finding's effect with its interval, coloured by verdict."""
    colours = {SUPPORTED: BLUE, NOT_SUPPORTED: VERMILION, INCONCLUSIVE: GREY}
    markers = {SUPPORTED: "o", NOT_SUPPORTED: "X", INCONCLUSIVE: "s"}
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 0.36 * len(findings) + 1.1), layout="constrained")
    ax.axvline(0, color=BLACK, lw=0.9)
    for row, finding in enumerate(findings):
        if finding.effect is not None and finding.effect.seeds:
            verdict = finding.verdict
            ax.plot(finding.effect.interval, [row, row], color=colours[verdict], lw=1.6)
            ax.plot(finding.effect.value, row, markers[verdict], color=colours[verdict], ms=5)
    for verdict, colour in colours.items():
        ax.plot([], [], markers[verdict], color=colour, label=verdict)
    ax.set_yticks(range(len(findings)), [fill(f"{f.claim}. {f.statement}", 62) for f in findings], fontsize=7.5)
    ax.set(ylim=(len(findings) - 0.5, -0.5), xlabel="effect (percentage points)")
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=3)
    over = next((f.effect for f in findings if f.effect is not None), None)
    footer(figure, study, f"bars: {interval_note(over)}" if over else "nothing was measured")
    return figure
