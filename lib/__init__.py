"""Do simplified pictures of a Transformer still describe it out of distribution?

The package reads bottom up; arrows between modules point down only:

    errors, split, dyck/                the language and its evaluation splits
    presets, artifacts                  what may be asked for, and where results are kept
    transformer, training               the model
    proxies                             its simplifications
    measures, faithfulness, intervals   how well a simplification predicts the model
    runs                                train and evaluate, reusing what is already there
    claims, mechanism                   what the results say, and why
    figures, dyck_figures, explorers    what the notebooks show
    bench, cli                          `python -m lib`

Modules are imported where they are used, so that `python -m lib --help` answers before PyTorch would have loaded.
"""
