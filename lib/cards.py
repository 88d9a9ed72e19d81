"""The card of models that come with the repository: what they are, what they were trained on, and what they are not for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

import numpy as np

from lib import prose
from lib.models.machine import ONEDNN
from lib.presets import Preset
from lib.studies import Study

HEAD = """# Models of preset `{preset}`

Small Transformers that were trained for this project, to be looked at and not to be used: they learned no more than a figure of
the book needs. A folder `<experiment>/seed-<n>` holds weights (`model.safetensors`), what they depend on with checksums
(`config.json`), the training curve (`training.csv`) and, where something is measured along training, the weights at each of its
steps (`snapshots.safetensors`). In Python, after `from lib import load`: `load("{first}", seed=0, preset="{preset}").model`.
This page was written by `python -m lib ship --preset {preset}`.

Weights are under this repository's licence. The text that models were trained on is not in the repository: it is sampled from a
grammar, or cut out of packages that are installed with it, under licences of their own (below).
"""
LIMITS = """

## Limits

- {caveats}
- One tokenization, architecture and optimizer for each task; seeds differ in initial weights and in the order of batches, and
  where data are sampled, in these.
- Results differ in their last digits between processors, and weights that are trained elsewhere may differ visibly.
"""


def card(preset: Preset, studies: Iterable[Study]) -> str:
    """The card as Markdown, from records and training curves of models that are there."""
    studies = list(studies)
    caveats = dict.fromkeys(study.task.caveat for study in studies if study.task.caveat)
    parts = [HEAD.format(preset=preset.name, first=studies[0].name)]
    for study in studies:
        parts += [f"\n## `{study.name}`\n", *_model(study), *_data(study)]
    return "\n".join(parts) + LIMITS.format(caveats=" ".join(caveats) or "Nothing is known of other data.")


def _model(study: Study) -> Iterator[str]:
    shape, training, run = study.experiment.model, study.experiment.training, study.runs[0]
    weights = sum(parameter.numel() for parameter in run.model.parameters())
    yield f"{prose.begin(study.task.title)}; {study.seeds} models of {weights:,} weights.\n"
    yield f"- Shape: {', '.join(f'{key} {value}' for key, value in shape.plain().items())}; {len(run.vocabulary)} tokens."
    yield f"- Training: {', '.join(f'{key} {value}' for key, value in training.plain().items())}."
    ways = dict.fromkeys(_how(run.trained.read()["made"]) for run in study.runs)  # of all seeds, which may differ
    yield f"- Trained on {'; or on '.join(ways)}."
    last = study.history.groupby("seed").last()
    accuracies = {name.removeprefix("accuracy_"): last[name] for name in last if name.startswith("accuracy_")}
    listed = ", ".join(f"{name} {_range(values)}" for name, values in accuracies.items() if values.notna().any())
    yield f"- Accuracy at the end, in % on held-out text, from the lowest seed to the highest: {listed}."


def _how(made: Mapping) -> str:
    """With what a model was trained, from its record."""
    where = f"{made.get('processor', 'unknown')}, torch {made.get('torch', 'unknown')}"
    products = f", products by {made['products']}" if ONEDNN in made["products"] else ""
    return f"{made['device']} ({where}) in {made['precision']}{products}"


def _range(values: Iterable[float]) -> str:
    found = np.array(list(values), float)
    low, high = 100 * np.nanmin(found), 100 * np.nanmax(found)
    return f"{low:.1f} to {high:.1f}" if round(low, 1) != round(high, 1) else f"{low:.1f}"


def _data(study: Study) -> Iterator[str]:
    described = study.task.describe()
    digests = sorted({run.trained.read()["made"]["data"][:16] for run in study.runs})
    yield f"- Training text: SHA-256 beginning with {', '.join(digests)}."
    plain = {key: value for key, value in described.items() if not isinstance(value, Mapping)}
    yield f"- Data: {', '.join(f'{key} {value}' for key, value in plain.items())}."
    for key, counts in described.items():
        if isinstance(counts, Mapping) and all(isinstance(value, int) for value in counts.values()):
            yield f"- {prose.begin(key)}: {', '.join(f'{name} {value:,}' for name, value in counts.items())}."
    origins = described.get("versions", {})
    if origins:
        yield "\n| text | from | licence as it says itself |\n|---|---|---|"
    for kind, packages in origins.items():
        for package, version in packages.items():
            if licence := licence_of(package):
                yield f"| {kind} | {package} {version} | {licence} |"
        if others := [package for package in packages if not licence_of(package)]:
            yield f"| {kind} | {len(others)} other origins, such as {others[0]} | see there |"


def licence_of(package: str) -> str:
    """What an installed package says of its licence; empty where there is none of this name, or it says nothing."""
    try:
        said = metadata.metadata(package)
    except (metadata.PackageNotFoundError, ValueError):
        return ""
    classified = [of.rpartition(" :: ")[2] for of in said.get_all("Classifier") or () if of.startswith("License ::")]
    first = (said.get("License-Expression") or ", ".join(classified) or said.get("License") or "").strip()
    return first.splitlines()[0][:80].replace("|", "/") if first else ""
