"""Models: `base` says what one has to offer, `transformer` is ours, `training` makes it, `huggingface` has those of others."""
