"""Training curves."""

from __future__ import annotations

from collections.abc import Sequence

from lib.figures.curves import curves
from lib.figures.picture import Picture
from lib.figures.style import measured_on, split_looks
from lib.prose import names
from lib.studies import Study


def training_figure(study: Study, splits: Sequence[str]) -> Picture:
    """Accuracy of the model on splits along training: means over seeds, bands from the lowest to the highest seed."""
    history = study.history.melt(["step", "seed"], [f"accuracy_{split}" for split in splits], "series", "value").dropna()
    table = history.groupby(["series", "step"])["value"].agg(["mean", "min", "max"]).reset_index()
    table = table.set_axis(["series", "x", "value", "low", "high"], axis=1)
    table = table.assign(series=table["series"].str.removeprefix("accuracy_"))
    note = f"{measured_on(study, study.experiment.training.heldout_sequences)}; bands: from the lowest to the highest seed"
    looks = split_looks(study, splits)
    last = table[table["x"] == table["x"].max()].set_index("series")["value"]
    ends = names(f"{looks[split].label} {100 * last[split]:.0f} %" for split in splits if split in last)
    alt = f"Accuracy of the model along training. At its end: {ends}."
    return curves(table, looks, x="training step", y="accuracy", alt=alt, note=note)
