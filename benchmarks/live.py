"""How long a step of a slider takes on a page in a real browser: 64 brackets, 256 characters of code.

The models are those of a preset, in shape, and not trained, which makes no difference to the time. Needs what `make test`
installs, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from harness import machine

from lib.errors import InputError
from lib.experiment import Experiment
from lib.figures.colours import on_both
from lib.live import script
from lib.live.explorer import Explorer
from lib.live.families import families
from lib.live.packs import fitted_arrays, pack
from lib.models.transformer import Transformer
from lib.presets import load
from lib.proxies import Fitter, Simplification
from lib.split import Sequences
from lib.tasks.code.splits import CHARACTERS, VOCABULARY
from lib.tasks.dyck.text import type_names, vocabulary

PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="_static/live.css">
<script src="_static/live.js"></script><body>{}</body>"""
STEP = """async (steps) => {
    const slider = [...document.querySelectorAll(".live input[type=range]")].find((of) => of.labels[0].textContent === "Rank");
    const said = document.querySelector(".live-said"), taken = [];
    for (let step = 0; step < steps; step++) {
        slider.value = 1 + (step % 12);
        const begun = performance.now();
        await new Promise((resolve) => {
            const shown = new MutationObserver(() => { shown.disconnect(); resolve(); });
            shown.observe(said, { childList: true, subtree: true, characterData: true });
            slider.dispatchEvent(new Event("input"));
        });
        document.body.getBoundingClientRect(); // laid out, too
        taken.push(performance.now() - begun);
    }
    return taken;
}"""


def explorer(kind: str, experiment: Experiment, words: Sequence[str], context: int, config: dict) -> Explorer:
    """A live figure of a model that is not trained, with the SVD in all layers."""
    model = Transformer.seeded(experiment.model, len(words), context, 0).eval()
    tokens = np.random.default_rng(0).integers(3, len(words), (40, context)).astype(np.int16)
    settings = [Simplification("svd", 4, -1)]
    arrays = fitted_arrays(Fitter(model, {"training": Sequences.padded(tokens)}), settings)
    offered = [{**family, "colour": on_both(family["colour"])} for family in families(settings, model, arrays)]
    shared = {"of": kind, "seeds": [kind], "head_width": model.head_width, "families": offered}
    start = {"proxy": "svd", "complexity": 4, "layer": -1, "seed": 0, **config.pop("start")}
    return Explorer(kind, {**shared, **config, "start": start, "measured_on": kind}, {kind: pack(model, arrays)})


def brackets(experiment: Experiment) -> Explorer:
    """A sentence of 64 brackets."""
    task, types = experiment.task, type_names(experiment.task.bracket_types)
    half = [types[i % len(types)] for i in range(16)]
    text = " ".join([f"({name}" for name in half] + [f"{name})" for name in reversed(half)])
    config = {"types": types, "longest": 96, "trained_to": task.max_depth, "min_distance": 10, "curves": {}, "sentences": []}
    config["start"] = {"sentence": f"{text} {text}", "at": None}
    return explorer("brackets", experiment, vocabulary(task.bracket_types), 98, config)


def code(experiment: Experiment) -> Explorer:
    """256 characters."""
    drawn = np.random.default_rng(1).integers(1, len(CHARACTERS), 256)
    config = {"vocabulary": list(VOCABULARY), "context": 256, "examples": []}
    config["start"] = {"text": "".join(CHARACTERS[i] for i in drawn), "character": None}
    return explorer("reading", experiment, VOCABULARY, 257, config)


def steps(figure: Explorer, count: int) -> list[float]:
    """Milliseconds of each step of the slider for the rank."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise InputError("no Chromium was found on the PATH: install it to time what a page takes")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        static = Path(folder, "_static")
        (static / "live").mkdir(parents=True)
        for name, text in {"live.js": script.script(), "live.css": script.style()}.items():
            (static / name).write_text(text, encoding="utf-8")
        for name, packed in figure.packs.items():
            (static / "live" / f"{name}.mjs").write_text(script.delivering(name, packed), encoding="ascii")
        Path(folder, "page.html").write_text(PAGE.format(figure.to_html()), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(Path(folder, "page.html").as_uri())
        page.wait_for_selector(".live-ready")
        taken = page.evaluate(STEP, count)
        browser.close()
    return taken


def main() -> int:
    """Exit status: 2 where it cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", default="paper", help="whose shapes the models have; default: paper")
    parser.add_argument("--steps", type=int, default=25)
    given = parser.parse_args()
    try:
        preset = load(given.preset)
        for what, make, allowed in (("dyck", brackets, 50), ("code", code, 100)):
            taken = steps(make(preset.experiment(what)), given.steps)[3:]  # the first ones compile
            middle, high = statistics.median(taken), sorted(taken)[int(0.9 * len(taken))]
            print(f"{what}: a step takes {middle:.0f} ms at the median ({high:.0f} ms in one of ten); asked for: {allowed} ms")
    except (InputError, ImportError) as error:
        parser.exit(2, f"error: {error}\n")
    print("on " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
