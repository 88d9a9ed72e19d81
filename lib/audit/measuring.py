"""Measuring an audit: what it will take, proxies fitted layer by layer, and all settings in one pass, a few windows at a time.

What was measured of some windows is kept in a file of its own, so that an interrupted audit goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from lib.audit import memory
from lib.measuring import table
from lib.measuring.faithfulness import compare
from lib.measuring.table import Block
from lib.models.base import AttentionRule, Model
from lib.proxies import Fitter, LayerRule, OneHot, Simplification
from lib.split import Sequences, Split

_AT_A_TIME = 4  # windows that are measured before what was found is kept
_PARTS, _FEWEST = 4, 20  # what is simplified by itself is measured on every fourth window, if these are so many
_KINDS = "whole", "parts"  # of chunks

Rules = Mapping[Simplification, Mapping[int, AttentionRule]]


@dataclass(frozen=True)
class Chunk:
    """Some windows of a split, and what is measured on them together."""

    split: Split
    rows: slice
    simplifications: tuple[Simplification, ...]
    apart: bool  # whether these are parts of the model

    @property
    def file(self) -> str:
        """Where what was measured is kept."""
        return f"{_KINDS[self.apart]}-{self.split.name}-{self.rows.start}.parquet"


def every(windows: int) -> int:
    """Of so many windows, every how-manieth parts of a model are measured on."""
    return max(1, min(_PARTS, windows // _FEWEST))


def chunks(splits: Mapping[str, Split], fitter: Fitter, whole: Sequence, parts: Sequence) -> Iterator[Chunk]:
    """All that is to be measured: everything that replaces all layers on all windows, parts on some of them."""
    for split in splits.values():
        some = split.part(slice(None, None, every(len(split))))
        for apart, simplifications, of in ((False, whole, split), (True, parts, some)):
            chosen = tuple(s for s in simplifications if fitter.measures_on(s, split.name))
            for start in range(0, len(of) if chosen else 0, _AT_A_TIME):
                yield Chunk(of, slice(start, min(start + _AT_A_TIME, len(of))), chosen, apart)


def fit(fitter: Fitter, simplifications: Sequence[Simplification], title: str) -> None:
    """Fit every proxy, layer by layer: so a layer's queries and keys are computed once, and need not be kept."""
    wanted = [(source, layer) for source in fitter.sources for layer in range(fitter.model.layers)]
    for source, layer in tqdm(wanted, desc=title, unit="layer", mininterval=1):
        for s in simplifications:
            if s.fit_on == source and s.layer in (-1, layer):
                fitter.proxies(replace(s, layer=layer))
        memory.give_back()


def measure(
    model: Model, chunks: Sequence[Chunk], rules: Rules, folder: Path | None, title: str
) -> tuple[list[Block], list[Block]]:
    """Blocks of the whole model, a split each, and blocks of its parts; what a folder holds already is not measured again."""
    found: dict[tuple[bool, str], list[Block]] = {}
    with tqdm(total=sum(c.rows.stop - c.rows.start for c in chunks), desc=title, unit="window", mininterval=1) as bar:
        for chunk in chunks:
            kept = folder and folder / chunk.file
            if kept and kept.exists():
                (block,) = table.read(kept)
            else:
                some = chunk.split.part(chunk.rows)
                block = compare(model, some, {s: rules[s] for s in chunk.simplifications})
                if kept:
                    table.write(kept, [block])
            found.setdefault((chunk.apart, chunk.split.name), []).append(block)
            memory.give_back()
            bar.update(chunk.rows.stop - chunk.rows.start)
    return tuple([joined(blocks) for (apart, _), blocks in found.items() if apart is of] for of in (False, True))


def clear(folder: Path) -> None:
    """Remove what was kept along the way."""
    for pattern in (f"{kind}-*.parquet" for kind in _KINDS):
        for file in folder.glob(pattern):
            file.unlink()


def joined(blocks: Sequence[Block]) -> Block:
    """One block of blocks of the same split and settings, whose sequences follow one another."""
    first, begins = np.cumsum([0, *(block.sequences for block in blocks)]), blocks[0]
    columns = {name: np.concatenate([block.columns[name] for block in blocks]) for name in begins.columns}
    of_block = np.repeat(np.arange(len(blocks)), [len(block.columns["n"]) for block in blocks])
    columns["sequence"] = columns["sequence"] + first[of_block].astype(np.int32)
    sums = {key: np.concatenate([block.sums[key] for block in blocks]) for key in begins.sums}
    return replace(begins, sequences=int(first[-1]), columns=columns, sums=sums)


@dataclass(frozen=True)
class Cost:
    """What an audit will take."""

    seconds: float
    gigabytes: float  # of memory, beside the model

    def __str__(self) -> str:
        took = f"about {self.seconds / 60:.0f} minutes" if self.seconds >= 90 else "less than two minutes"
        return f"{took}, and at most {self.gigabytes:.1f} GB of memory beside the model"


def cost(model: Model, chunks: Sequence[Chunk], fitted: Sequence[Sequences]) -> Cost:
    """What measuring chunks will take, and fitting on some sequences before; `InputError` where there is not the memory.

    It is timed on one window, with a proxy that needs no fit in place of each.
    """
    window = chunks[0].split.part(slice(1))
    positions = [int((of.real if of.fitted is None else of.fitted).sum()) for of in fitted]
    gigabytes = memory.needed(model, window, max(positions, default=0))
    memory.check(gigabytes)

    def seconds(rules: Rules) -> float:
        start = time.perf_counter()
        compare(model, window, rules)
        return time.perf_counter() - start

    hard = {layer: LayerRule({head: OneHot() for head in range(model.heads)}) for layer in range(model.layers)}
    seconds({})  # with whatever is done only once
    own = seconds({})
    each = max(0.0, seconds({Simplification("one_hot"): hard}) - own)
    above = {s: 1 if s.layer < 0 else 1 - s.layer / model.layers for chunk in chunks for s in chunk.simplifications}
    windows = sum((c.rows.stop - c.rows.start) * (own + each * sum(above[s] for s in c.simplifications)) for c in chunks)
    return Cost(windows + 2 * own * sum(map(len, fitted)), gigabytes)
