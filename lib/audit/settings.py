"""What an audit measures: simplifications from words such as `svd:8,16,32`, and how much text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from lib.errors import InputError, one_of
from lib.models.base import Model
from lib.proxies import PROXIES, Simplification
from lib.tasks.text.windows import Windows

EACH = ("none", "layer", "head")


class Settings(Windows):
    """The settings of an audit."""

    proxies: tuple[str, ...] = ()
    """Such as `svd:8,16,32` or `one_hot`; none: `default_proxies`."""
    each: Literal["none", "layer", "head"] = "none"
    """What is simplified by itself as well, at the first complexity given of each proxy and on a quarter of the windows."""
    oracles: bool = True
    """Whether proxies are also fitted on the other texts, each tested on its own: what fitting alone could win back."""


def default_proxies(head_width: int) -> tuple[str, ...]:
    """SVD at an eighth, a quarter and half of all directions, as far as these differ, and hard attention."""
    ranks = sorted({max(1, head_width // share) for share in (8, 4, 2)})
    return (f"svd:{','.join(map(str, ranks))}", "one_hot")


def parse(words: Iterable[str], model: Model) -> list[Simplification]:
    """Simplifications of all layers from words; `InputError` for one that there is not, or that the model does not allow."""
    found: list[Simplification] = []
    for word in words:
        name, _, listed = word.partition(":")
        one_of("proxy", name, PROXIES)
        parameter, most = PROXIES[name].parameter, PROXIES[name].most(model.head_width)
        if parameter and not listed:
            raise InputError(
                f"proxy {word!r} does not say which {parameter}: write it as in {name}:{max(1, (most or 64) // 4)}"
            )
        for number in listed.split(",") if listed else [None]:
            if number is not None and not (number.strip().isdecimal() and len(number) < 10):
                raise InputError(f"proxy {word!r}: {number!r} is no {parameter or 'number'}; write it as in svd:8,16,32")
            simplification = Simplification(name, None if number is None else int(number))
            simplification.check(model)
            found.append(simplification)
    if not found:
        raise InputError("no proxy is given: name at least one, as in svd:8")
    return list(dict.fromkeys(found))


def oracles(whole: Sequence[Simplification], texts: Iterable[str]) -> list[Simplification]:
    """The same simplifications fitted on other texts, of those that are fitted."""
    return [replace(s, fit_on=text) for text in texts for s in whole if PROXIES[s.proxy].fitted]


def parts(whole: Sequence[Simplification], model: Model, each: str) -> list[Simplification]:
    """The first complexity of each proxy in each layer, or each head, alone."""
    if each == "none":
        return []
    first = {s.proxy: s for s in reversed(whole)}
    heads = range(model.heads) if each == "head" else (-1,)
    chosen = [s for s in whole if first[s.proxy] is s]
    return [replace(s, layer=layer, head=head) for s in chosen for layer in range(model.layers) for head in heads]
