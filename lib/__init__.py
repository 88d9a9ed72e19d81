"""Do simplified pictures of a Transformer still describe it out of distribution?

The package reads bottom up; arrows between modules point down only:

    errors, artifacts, split            what goes wrong, where results are kept, what a model is tested on
    dyck/, code/                        the two tasks: nested brackets, source code
    presets                             what may be asked for
    transformer, training               the model
    measures, proxies                   how alike two predictions are; simplifications of the model
    faithfulness, intervals             how well a simplification predicts the model
    runs                                train and evaluate, reusing what is already there
    mechanism, code_analysis, claims    why, and what the results say
    figures, dyck_figures               what the notebooks show
    code_figures, explorers
    bench, cli                          `python -m lib`

Modules are imported where they are used, so that `python -m lib --help` answers before PyTorch would have loaded.
"""
