"""Models that run in a reader's browser: as arrays, in one script, on a page of the book and in a notebook alike."""
