"""What is kept of a measurement: dense blocks of sums, and the tidy table that is published.

A *row* of a block is all scored positions of one sequence that have the same covariates; its index (sequence, covariates,
number of positions n) is kept once, however many simplifications are measured. Values are sums over these positions. So
results can be grouped by any covariates without measuring again, and intervals are made by drawing sequences.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lib.artifacts import writing
from lib.errors import ArtifactError, InputError, one_of
from lib.proxies.base import MODEL, Simplification
from lib.split import Split

COLUMNS = ["task", "seed", "layer", "head", "proxy", "complexity", "fit_on", "split"]
COLUMNS += ["group", "group_value", "metric", "value", "n"]
_INDEX = ("sequence", "n")


class Rows:
    """The rows of a split's block, and how scored positions add up to them."""

    def __init__(self, split: Split, covariates: Mapping[str, np.ndarray]):
        """`covariates` [scored positions], in row-major order."""
        sequence = np.nonzero(split.scored)[0]
        columns = {"sequence": sequence, **covariates}
        self.order = np.lexsort(list(columns.values())[::-1])
        table = np.stack([np.asarray(column, np.int64)[self.order] for column in columns.values()])
        self.starts = np.flatnonzero((np.diff(table, prepend=-1, axis=1) != 0).any(0))
        self.columns = {name: column[self.starts].astype(np.int32) for name, column in zip(columns, table, strict=True)}
        self.columns["n"] = np.diff(self.starts, append=len(sequence)).astype(np.int32)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums [..., row] of values [..., scored position]."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)


@dataclass(frozen=True, eq=False)
class Block:
    """Sums of measures over the rows of one split, for several simplifications of one model. No two are equal."""

    split: str
    sequences: int  # of the split, also those without a scored position
    columns: Mapping[str, np.ndarray]  # [row] each: `sequence`, `n`, and every covariate
    sums: Mapping[tuple[Simplification, str], np.ndarray]  # by simplification and measure: sums [row]
    labels: Mapping[str, Sequence[str]]  # covariate -> names of its categories 0, 1, ...
    step: int | None = None  # of training, if the model is not the trained one

    @property
    def covariates(self) -> list[str]:
        """The names of the covariates."""
        return [name for name in self.columns if name not in _INDEX]

    @property
    def simplifications(self) -> list[Simplification]:
        """What was measured."""
        return list(dict.fromkeys(simplification for simplification, _ in self.sums))

    @property
    def measures(self) -> list[str]:
        """The names of the measures."""
        return list(dict.fromkeys(measure for _, measure in self.sums))

    def where(self, conditions: Mapping[str, object]) -> np.ndarray:
        """[row] bool: which rows have the given values of covariates. A value is a category, its name, or several of them."""
        chosen = np.ones(len(self.columns["n"]), bool)
        for name, wanted in conditions.items():
            if name not in self.covariates:
                raise InputError(f"split {self.split!r} has no covariate {name!r}, but only: {', '.join(self.covariates)}")
            several = wanted if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]
            codes = [self._category(name, value) if isinstance(value, str) else value for value in several]
            chosen &= np.isin(self.columns[name], codes)
        return chosen

    def _category(self, covariate: str, called: str) -> int:
        names = list(self.labels.get(covariate, ()))
        one_of(f"{covariate} of split {self.split!r}", called, names or ["a whole number"])
        return names.index(called)

    def __add__(self, other: Block) -> Block:
        """This block with what else was measured on the same rows."""
        return replace(self, sums=ChainMap(other.sums, self.sums))


def write(path: Path, blocks: Sequence[Block]) -> None:
    """Write blocks as parquet: a row group a block, a column a simplification and measure, empty where not measured."""
    simplifications = list(dict.fromkeys(s for block in blocks for s in block.simplifications))
    measures = list(dict.fromkeys(m for block in blocks for m in block.measures))
    number = {simplification: i for i, simplification in enumerate(simplifications)}
    index = list(dict.fromkeys(name for block in blocks for name in block.columns))
    fields = [pa.field(name, pa.int32()) for name in index]
    fields += [pa.field(f"{i}:{m}", pa.float32()) for i in number.values() for m in measures]
    described = [{"split": b.split, "sequences": b.sequences, "labels": dict(b.labels), "step": b.step} for b in blocks]
    content = {"simplifications": [asdict(s) for s in simplifications], "measures": measures, "blocks": described}
    schema = pa.schema(fields, {"content": json.dumps(content)})
    with writing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as file:
        for block in blocks:
            known = {**block.columns, **{f"{number[s]}:{m}": values for (s, m), values in block.sums.items()}}
            empty = pa.nulls(len(block.columns["n"]))
            arrays = [pa.array(known[f.name], f.type) if f.name in known else empty.cast(f.type) for f in fields]
            table = pa.Table.from_arrays(arrays, schema=schema)
            file.write_table(table, row_group_size=max(1, len(table)))


def read(path: Path) -> list[Block]:
    """Read what `write` wrote. Columns of values are read when they are asked for, as all together may be gigabytes.

    Raises `ArtifactError` for a file that is missing or damaged.
    """
    remedy = "delete it, and it is made again"
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata
        content = json.loads(metadata[b"content"])
        simplifications = [Simplification(**values) for values in content["simplifications"]]
        blocks = []
        for group, block in enumerate(content["blocks"]):
            values = _Columns(path, file, group, simplifications, content["measures"])
            index = [name for name in file.schema_arrow.names if ":" not in name]
            table = file.read_row_group(group, columns=index)
            columns = {name: table[name].to_numpy() for name in index if not table[name].null_count}
            blocks.append(Block(columns=columns, sums=values, **block))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} cannot be read as measurements ({error}); {remedy}") from error
    return blocks


class _Columns(Mapping):
    """The sums of a block in a file, by simplification and measure."""

    def __init__(self, path: Path, file: pq.ParquetFile, group: int, simplifications: Sequence, measures: Sequence[str]):
        self.path, self.file, self.group = path, file, group
        row_group = file.metadata.row_group(group)
        chunks = map(row_group.column, range(row_group.num_columns))
        empty = {c.path_in_schema for c in chunks if c.statistics is not None and c.statistics.null_count == row_group.num_rows}
        names = {(s, m): f"{i}:{m}" for i, s in enumerate(simplifications) for m in measures}
        self.names = {key: name for key, name in names.items() if name not in empty}

    def __getitem__(self, key: tuple[Simplification, str]) -> np.ndarray:
        try:
            return self.file.read_row_group(self.group, columns=[self.names[key]]).column(0).to_numpy()
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"{self.path} is damaged ({error}); delete it, and it is made again") from error

    def __contains__(self, key: object) -> bool:
        return key in self.names  # without reading it

    def __iter__(self):
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def tidy(blocks: Sequence[Block], task: str, seed: int) -> pd.DataFrame:
    """The results table: one row per measurement, of whole splits and of every category of every covariate.

    `original_accuracy`, the accuracy of the model itself, stands beside that of every simplification.
    """
    tables = []
    for block in blocks:
        keys = [key for key in block.sums if key[0] != MODEL]
        sums = np.stack([block.sums[key] for key in keys]).astype(float)
        own = block.sums[MODEL, "accuracy"].astype(float)
        for group in ("", *block.covariates):
            categories = block.columns[group] if group else np.zeros_like(block.columns["n"])
            order = np.argsort(categories, kind="stable")
            found, starts = np.unique(categories[order], return_index=True)
            n = np.add.reduceat(block.columns["n"][order], starts)
            means = np.add.reduceat(sums[:, order], starts, axis=1) / n  # [key, category]
            own_means = np.add.reduceat(own[order], starts) / n
            names = block.labels.get(group)
            values = [names[code] if names else str(code) for code in found] if group else [""]
            rows = [(*key, means[i]) for i, key in enumerate(keys)]
            rows += [(simplification, "original_accuracy", own_means) for simplification in dict.fromkeys(k[0] for k in keys)]
            frame = pd.DataFrame([{**asdict(simplification), "metric": measure} for simplification, measure, _ in rows])
            frame = frame.astype({"complexity": "Int64"}).loc[frame.index.repeat(len(found))].reset_index(drop=True)
            values_of_all = {"group_value": values * len(rows), "value": np.concatenate([v for *_, v in rows])}
            tables.append(frame.assign(split=block.split, group=group, n=np.tile(n, len(rows)), **values_of_all))
    table = pd.concat(tables, ignore_index=True).assign(task=task, seed=seed)
    return table[COLUMNS].sort_values([c for c in COLUMNS if c not in ("value", "n")], ignore_index=True)
