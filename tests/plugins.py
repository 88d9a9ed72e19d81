"""Plugins, files of a user's own, in a process that goes on to other tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lib import presets
from lib.measuring.measures import LABELS, MEASURES
from lib.proxies import PROXIES
from lib.tasks import TASKS


@contextmanager
def plugins_forgotten() -> Iterator[None]:
    """No plugin is loaded yet in the block, and what plugins register in it is gone after it."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(presets, "_PLUGINS", {})
            yield
    finally:
        for registry in (PROXIES, MEASURES, TASKS):
            for name in [name for name, entry in registry.items() if entry.__module__.startswith("plugin_")]:
                del registry[name]
                LABELS.pop(name, None)
