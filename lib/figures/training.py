"""Training curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from lib.figures.plots import curves
from lib.figures.style import measured_on, split_looks
from lib.studies import Study


def training_figure(study: Study, splits: Sequence[str]) -> Figure:
    """Accuracy of the model on splits along training: means over seeds, bands from the lowest to the highest seed."""
    history = study.history.melt(["step", "seed"], [f"accuracy_{split}" for split in splits], "series", "value").dropna()
    table = history.groupby(["series", "step"])["value"].agg(["mean", "min", "max"]).reset_index()
    table = table.set_axis(["series", "x", "value", "low", "high"], axis=1)
    table = table.assign(series=table["series"].str.removeprefix("accuracy_"))
    note = f"{measured_on(study, study.experiment.training.heldout_sequences)}; bands: from the lowest to the highest seed"
    return curves(table, split_looks(study, splits), x="training step", y="accuracy", note=note)
