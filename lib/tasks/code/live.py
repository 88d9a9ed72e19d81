"""The live figure of source code: all that a page or a notebook needs to let a model run in the reader's browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lib.experiment import simplifications_of
from lib.figures.colours import on_both
from lib.figures.style import measured_on
from lib.live.explorer import Explorer
from lib.live.families import families
from lib.live.kept import arrays_of, packed
from lib.proxies import Simplification
from lib.studies import Study
from lib.tasks.code import reading
from lib.tasks.code.splits import START, decode


def live_reading(study: Study, start: Simplification, first: tuple[str, int]) -> Explorer:
    """A function, character by character, of the model of the first seed; it opens on the simplification `start`.

    `first` is the split and row of the function that it opens on. Of every split that figures show a function is offered.
    """
    run = study.runs[0]
    name = f"{study.name}-{run.seed}"
    rows = {first[0]: first[1]} | {split: 0 for split in study.task.shown(list(run.data.splits)) if split != first[0]}
    examples = [{"label": study.task.look(split).label, **window(study, split, row)} for split, row in rows.items()]
    state: Mapping[str, Any] = {"proxy": start.proxy, "complexity": start.complexity, "layer": start.layer, "seed": 0}
    of_run = packed(run)
    offered = families(simplifications_of(study.experiment.measuring.grid), run.model, arrays_of(run))
    config = {
        "of": study.name,
        "vocabulary": list(run.data.vocabulary),
        "context": run.model.context - 1,
        "head_width": run.model.head_width,
        "seeds": [name],
        "families": [{**family, "colour": on_both(family["colour"])} for family in offered],
        "measured_on": measured_on(study),
        "examples": examples,
        "start": {**state, "text": examples[0]["text"], "character": None},
        "asks": f"{len(of_run) * 4 / 3e6:.1f}",  # before the weights are loaded: megabytes, in base64
    }
    return Explorer("reading", config, {name: of_run}, _still(study, start, *first))


def _still(study: Study, start: Simplification, split: str, row: int) -> str:
    """What stands there before the model is loaded."""
    found = reading.read(study.runs[0], split, row, start)
    said = f"{study.task.look(split).label}; {start.phrase} in {start.place} of the model of the first seed. The two agree"
    share = f"{100 * found.agrees.mean():.0f} % of the {len(found.text)} characters"
    return f"{reading.CSS}{found.to_html()}<p>{said} on {share}.</p>"


def window(study: Study, split: str, row: int) -> dict[str, str]:
    """A window of source: its `text`, and the character `before` it, empty at the beginning of a function."""
    whole = study.runs[0].data.splits[split]
    first, *tokens = whole.tokens[row, : whole.lengths[row]]
    return {"text": decode(np.array(tokens)), "before": "" if first == START else decode(np.array([first]))}
