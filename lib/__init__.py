"""Do simplified pictures of a Transformer still describe it out of distribution?

The package reads bottom up. What stands in a row uses what stands above it, or before it in the row, and nothing else:

    errors, artifacts, config           messages for whoever typed the input; whole files; configurations
    provenance                          what a result depends on; checksums
    split                               what a model is trained and tested on
    tasks/                              what is tested: a protocol, a registry, and what makes each domain's data
    models/                             what is looked at
    proxies/                            how it is simplified
    measuring/                          how alike two predictions are; over splits; means with intervals
    experiment, shipped, runs, derived  what is done; models that come with the repository; one seed of it; what follows
    live/                               models and proxies as arrays, and what runs them in a reader's browser
    studies                             several seeds, with intervals
    presets/                            the sizes
    prose, figures/                     sentences and plots from estimates
    audit/                              the same for anyone's language model and texts
    rules, foreseeing                   how claims are judged; what could have been known
    claims, answers, matrices           what is claimed, tested cell by cell; in words; as HTML
    tasks/<domain>/                     what its chapters show and say: the rest of a domain's folder
    chapters/                           chapters on all tasks together
    parameters, executing               what a notebook is executed with; executing it
    book, report                        building pages; those of an audit
    cards, publishing, status           what is published, and whether it is current
    workflow                            the whole way
    options, cli                        `python -m lib`

Modules are imported where they are used, so that `python -m lib --help` answers before PyTorch would have loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.runs import Run


def load(experiment: str, seed: int = 0, preset: str = "paper") -> Run:
    """A trained model that comes with the repository, as `.model`, with its `vocabulary`, `data` and `fitter`.

    `experiment` is one of the preset's, by name; `seed` is that of one of its models. `InputError` names those that there are
    where there is none.
    """
    from lib.errors import InputError
    from lib.presets import load as load_preset
    from lib.publishing import models

    of = load_preset(preset)
    run = of.study(experiment).run(seed)
    if (experiment, seed) not in (known := models(of.name)):
        listed = ", ".join(f"{name} {number}" for name, number in known) or "none"
        raise InputError(f"no model of {experiment!r}, seed {seed}, comes with the repository at preset {preset!r}: {listed}")
    run.train()  # which takes it
    return run
