"""Models: what is looked at. `base` says what a model has to offer, `transformer` is ours, `training` makes it.

`huggingface` are those of others: read by `pretrained`, their attention made replaceable by `attention` and `inline`. `export`
gives ours the form of GPT-2.
"""
