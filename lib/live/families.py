"""What a reader may choose from in a live figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lib.live.packs import offered
from lib.models.transformer import Transformer
from lib.proxies import PROXIES, Simplification

MOST_CLUSTERS = 256  # that a page offers: the centroids of more would weigh more than all else that it loads


def families(simplifications: Sequence[Simplification], model: Transformer, arrays: Iterable[str]) -> list[dict[str, Any]]:
    """The proxies among `simplifications` as a live figure knows them: looks, and the complexities of each layer.

    `arrays` are the names of those that are in its packs; what is not there is computed in Python alone, there at any rank.
    """
    known, shipped = offered(simplifications, model), {re.split("[:/]", name)[0] for name in arrays}

    def complexities(name: str, layer: int) -> list[int | None]:
        most = PROXIES[name].most(model.head_width)
        if name in shipped or most is None:
            return [complexity for complexity in known[name, layer] if is_light(complexity)]
        return list(range(1, most + 1))

    return [
        {
            **{part: getattr(PROXIES[name], part) for part in ("name", "label", "colour", "parameter", "nested")},
            "example": PROXIES[name].example(model.head_width),
            "arrays": name in shipped,
            "complexities": [complexities(name, layer) for layer in range(model.layers)],
        }
        for name in dict.fromkeys(name for name, _ in known)
    ]


def is_light(complexity: int | None) -> bool:
    """Whether the arrays of a setting are so small that pages load them."""
    return complexity is None or complexity <= MOST_CLUSTERS
