"""Fitted proxies as arrays, kept beside a run's measurements: learned ones take long to fit."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from lib import artifacts, provenance, shipped
from lib.live.families import is_light
from lib.live.packs import fitted_arrays, pack
from lib.models.trainer import with_prefix
from lib.proxies import TRAINING, KMeans, LayerRule, LearnedSubspace, Proxy, Simplification, Subspace
from lib.runs import Run

_FILE = "proxies.safetensors"


def record_of(run: Run) -> provenance.Record:
    """The record of a run's arrays."""
    path = run.folder / "proxies.json"
    return provenance.Record(path, f"delete its record, and it is made again: rm {shlex.quote(str(path))}")


def arrays_of(run: Run) -> dict[str, Tensor]:
    """The proxies of a run that are fitted on training sequences, as arrays; see `fitted_arrays`.

    They are fitted now where they are not there, damaged or of something else, after training what is not trained; nothing is
    measured.
    """
    run.train()
    record, identity = record_of(run), identity_of(run)
    if not are_kept(run) and not shipped.take(run.folder, identity, record):
        artifacts.write_tensors(run.folder / _FILE, fitted_arrays(run.fitter, run.experiment.simplifications()))
        record.write(identity, [_FILE], {})
    return _read(record)


def _read(record: provenance.Record) -> dict[str, Tensor]:
    return artifacts.read_tensors(record.verified(_FILE), record.remedy)[0]


def are_kept(run: Run) -> bool:
    """Whether the arrays of a run are there: nothing has to be fitted before a page can have them."""
    record = record_of(run)
    return run.is_trained() and not record.damage() and record.is_current(identity_of(run))


def identity_of(run: Run) -> dict:
    """What the arrays of a run depend on."""
    experiment = run.experiment
    code = experiment.measuring_code() | provenance.code_of("lib.live.packs")
    return {"trained": run.trained.read()["files"], "measuring": experiment.measuring.plain(), "code": code}


def rules_of(run: Run, simplifications: Sequence[Simplification]) -> dict[Simplification, dict[int, LayerRule]]:
    """Attention rules by layer of simplifications of a run's recorded model; what takes long to fit is what is kept of it."""
    arrays = _read(record_of(run)) if are_kept(run) else {}
    return {s: _kept(run, s, arrays) or run.fitter.rules(s) for s in simplifications}


def _kept(run: Run, s: Simplification, arrays: Mapping[str, Tensor]) -> dict[int, LayerRule]:
    """The rules of a simplification made of arrays; empty if they are not among those, or the proxy is soon fitted."""
    if s.proxy not in _PROXIES or s.fit_on != TRAINING:
        return {}
    layers = range(run.model.layers) if s.layer < 0 else (s.layer,)
    heads = range(run.model.heads) if s.head < 0 else (s.head,)
    prefixes = {(layer, head): f"{s.proxy}:{s.complexity}/{layer}/{head}/" for layer in layers for head in heads}
    parts = {place: with_prefix(arrays, prefix) for place, prefix in prefixes.items()}
    if not all(parts.values()):
        return {}

    def proxy(layer: int, head: int) -> Proxy:
        return _PROXIES[s.proxy]({name: array.to(run.on) for name, array in parts[layer, head].items()})

    return {layer: LayerRule({head: proxy(layer, head) for head in heads}) for layer in layers}


def _kmeans(parts: Mapping[str, Tensor]) -> KMeans:
    return KMeans(parts["queries.centroids"], parts["keys.centroids"])


def _learned_subspace(parts: Mapping[str, Tensor]) -> LearnedSubspace:
    both = ((parts[f"{of}.offset"], parts[f"{of}.directions"].T.contiguous()) for of in ("queries", "keys"))
    return LearnedSubspace(*(Subspace(*of) for of in both))


_PROXIES: dict[str, Callable[[Mapping[str, Tensor]], Proxy]] = {"kmeans": _kmeans, "learned_subspace": _learned_subspace}
"""Makes the proxies that take long to fit of what their `arrays` are."""


def packed(run: Run) -> bytes:
    """The model of a run with those of its simplifications that pages offer, as a page reads them."""
    arrays = arrays_of(run)
    complexity = {name: re.match(r"\w+:(\d+)/", name) for name in arrays}  # where arrays are of one alone
    light = {name: arrays[name] for name, of in complexity.items() if of is None or is_light(int(of[1]))}
    return pack(run.model, light)
