"""Do simplified pictures of a Transformer still describe it out of distribution?

The package reads bottom up. What stands in a row uses what stands above it, or before it in the row, and nothing else:

    errors, artifacts, config           messages for whoever typed the input; whole files; configurations
    provenance                          what a result depends on; checksums
    split                               what a model is trained and tested on
    tasks/                              what is tested: a protocol, a registry, and what makes each domain's data
    models/                             what is looked at
    proxies/                            how it is simplified
    measuring/                          how alike two predictions are; over splits; means with intervals
    experiment, runs                    what is done; one seed of it
    live/                               models and proxies as arrays, and what runs them in a reader's browser
    studies                             several seeds, with intervals
    presets/                            the sizes
    prose, figures/                     sentences and plots from estimates
    audit/                              the same for anyone's language model and texts
    rules, foreseeing                   how claims are judged; what could have been known
    claims, answers, matrices           what is claimed, tested cell by cell; in words; as HTML
    tasks/<domain>/                     what its chapters show and say: the rest of a domain's folder
    chapters/                           chapters on all tasks together
    book, report, workflow, cli         executing notebooks, building pages; of an audit; the whole way; `python -m lib`

Modules are imported where they are used, so that `python -m lib --help` answers before PyTorch would have loaded.
"""
