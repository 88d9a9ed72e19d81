"""Measuring: how alike two predictions are, over splits, into blocks of sums; means of them with intervals."""
