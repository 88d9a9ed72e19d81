"""Hard attention."""

from __future__ import annotations

from torch import Tensor

from lib.models.base import most_attended
from lib.proxies.base import Arrays, Head, Proxy


class OneHot(Proxy, name="one_hot", label="one-hot", parameter=None, fitted=False, colour="#009E73", marker="D"):
    """All attention goes to the highest-scoring key, in equal parts to those that tie; uses no data."""

    @classmethod
    def fit(cls, head: Head, complexity: int | None) -> OneHot:
        return cls()

    def simplify_pattern(self, pattern: Tensor) -> Tensor:
        return most_attended(pattern)

    def arrays(self) -> Arrays:
        return Arrays(one_hot=True)
