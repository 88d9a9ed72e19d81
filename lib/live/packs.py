"""A model and its simplifications as arrays, in one file that a page can read without Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from lib.errors import InputError
from lib.models.transformer import Transformer
from lib.proxies import PROXIES, TRAINING, Arrays, Fitter, Simplification


def offered(simplifications: Sequence[Simplification], model: Transformer) -> dict[tuple[str, int], list[int | None]]:
    """What a page lets one choose: the complexities by proxy and layer, of every proxy among `simplifications`.

    All of them for a proxy whose directions nest; else those among `simplifications` that are fitted on training sequences.
    """
    of_training = [s for s in simplifications if s.fit_on == TRAINING and s.head < 0]
    found = {}
    for name in dict.fromkeys(s.proxy for s in of_training):
        proxy = PROXIES[name]
        for layer in range(model.layers):
            asked = {s.complexity for s in of_training if s.proxy == name and s.layer in (-1, layer)}
            if proxy.parameter is None:
                found[name, layer] = [None]
            elif proxy.nested:
                found[name, layer] = list(range(1, proxy.most(model.head_width) + 1))
            else:
                found[name, layer] = sorted(asked)
    return found


def fitted_arrays(fitter: Fitter, simplifications: Sequence[Simplification]) -> dict[str, Tensor]:
    """What is `offered`, fitted, as arrays named `<proxy>[:<complexity>]/<layer>/<head>/<part>`, see `lib.proxies.Arrays`.

    Parts are `queries.<part>` and `keys.<part>`, and `one_hot`, which is 1 or 0 and never missing. Of a proxy whose directions
    nest there is the most complex one alone, without its complexity in the name. A proxy that has no arrays, or cannot be
    fitted, is left out.
    """
    found: dict[str, Tensor] = {}
    for (name, layer), complexities in offered(simplifications, fitter.model).items():
        for complexity in complexities[-1:] if PROXIES[name].nested else complexities:
            try:
                by_head = fitter.proxies(Simplification(name, complexity, layer))[layer]
            except InputError:  # more clusters than there are vectors, say
                continue
            title = name if PROXIES[name].nested or complexity is None else f"{name}:{complexity}"
            for head, proxy in by_head.items():
                found |= {f"{title}/{layer}/{head}/{part}": array for part, array in _parts(proxy.arrays())}
    return found


def _parts(arrays: Arrays | None) -> Iterator[tuple[str, Tensor]]:
    if arrays is None:
        return
    yield "one_hot", torch.tensor([float(arrays.one_hot)])
    for name, parts in (("queries", arrays.queries), ("keys", arrays.keys)):
        for part, array in parts.items():
            yield f"{name}.{part}", array.detach().float().cpu().clone(memory_format=torch.contiguous_format)


def pack(model: Transformer, arrays: Mapping[str, Tensor]) -> bytes:
    """The model's weights and `fitted_arrays` as a safetensors file in float32; its metadata hold the model's shape as JSON."""
    from safetensors.torch import save

    weights = {name: tensor.detach().float().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights["positions"] = model.positions.detach().float().cpu().contiguous()
    shape = {"layers": model.layers, "heads": model.heads, "width": model.config.width, "context": model.context}
    return save(weights | dict(arrays), {"model": json.dumps(shape)})
