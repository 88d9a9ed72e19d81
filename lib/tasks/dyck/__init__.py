"""The Dyck languages: balanced brackets of several types, nested to a bounded depth."""

from lib.tasks.dyck.task import DyckTask

__all__ = ["DyckTask"]
