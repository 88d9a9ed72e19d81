"""Models: what is looked at. `base` says what a model has to offer, `transformer` is ours, `training` makes it."""
