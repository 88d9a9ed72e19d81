"""Source code as a task: where functions come from, what kind of character each is, and the splits made of them."""

from lib.tasks.code.task import CodeTask

__all__ = ["CodeTask"]
