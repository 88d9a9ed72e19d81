"""Chapters on all tasks together: what their notebooks show and say. Those on one task stand with it."""
