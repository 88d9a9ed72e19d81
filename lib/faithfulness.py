"""How well a model with a proxy agrees with the model, on any split, into tables.

Two tables come out. The *sequences* table holds, for every setting, split and sequence, the sum of each measure over the
sequence's scored positions and their number `n`; intervals are bootstrapped from it. The *results* table is its summary,
one row a measurement, and is what `faithfulness.parquet` holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib import measures
from lib.errors import InputError
from lib.proxies import Setting, capture, fit_rules
from lib.split import Split
from lib.transformer import AttentionRule, Capture, Transformer

METRICS = ("same_prediction", "accuracy", "original_accuracy", "attention_jsd", "attention_top1", "output_kl")
SETTING = ["layer", "head", "proxy", "complexity", "fit_on"]
COLUMNS = ["task", "seed", *SETTING, "split", "group", "group_value", "metric", "value", "n"]


def measure(
    model: Transformer,
    splits: Iterable[Split],
    settings: Sequence[Setting],
    training: np.ndarray,
    *,
    seed: int = 0,
    description: str = "evaluate",
) -> pd.DataFrame:
    """Measure every setting on every split; proxies are fitted on `training` [n, T].

    Returns the sequences table: the columns `SETTING`, `split`, `group`, `group_value`, `sequence`, `n` and the sums `METRICS`.
    Raises `InputError` for a setting that the model does not allow, before anything is computed.
    """
    for setting in settings:
        setting.check(model.config)
        if setting.fit_on != "training":
            raise InputError(f"fit_on is {setting.fit_on!r}, but must be 'training'")
    splits = list(splits)
    with tqdm(total=len(settings) * (1 + len(splits)), desc=description, unit="fit or split", mininterval=1) as bar:
        data = capture(model, training, range(model.config.layers))
        rules = {}
        for setting in settings:
            rules[setting] = fit_rules(model.config, setting, data, seed)
            bar.update()
        tables = []
        for split in splits:
            index = _PositionIndex(split)
            for setting, sums in compare(model, split, rules).items():
                tables.append(index.table(sums).assign(**_columns(setting), split=split.name))
                bar.update()
    table = pd.concat(tables, ignore_index=True)
    table["complexity"] = table["complexity"].astype("Int64")
    return table[[*SETTING, "split", "group", "group_value", "sequence", "n", *METRICS]]


def _columns(setting: Setting) -> dict:
    return {name: getattr(setting, name) for name in SETTING}


@torch.no_grad()
def compare(
    model: Transformer, split: Split, rules: Mapping[Setting, Mapping[int, AttentionRule]], batch_size: int = 250
) -> dict[Setting, np.ndarray]:
    """Every measure at every scored position of a split: for each setting [len(METRICS), positions], in row-major order.

    The original model is run once, and each setting only from its lowest simplified layer up.
    """
    results = {setting: np.empty((len(METRICS), int(split.scored.sum())), np.float32) for setting in rules}
    for batch in _batches(model, split, batch_size):
        for setting, by_layer in rules.items():
            results[setting][:, batch.positions] = batch.compare(by_layer).cpu().numpy()
    return results


class _Batch:
    """Some sequences of a split, and what the original model does with them."""

    def __init__(self, model: Transformer, split: Split, rows: np.ndarray, positions: np.ndarray):
        device = next(model.parameters()).device
        length = split.lengths[rows].max()
        self.model, self.positions = model, positions
        tokens, self.scored, targets = (
            torch.from_numpy(np.ascontiguousarray(a[rows, :length])).to(device)
            for a in (split.tokens.astype(np.int64), split.scored, split.targets.astype(np.int64))
        )
        self.candidates = torch.from_numpy(split.candidates.astype(np.int64)).to(device)
        self.targets = targets[self.scored]
        self.residuals = [model.embed(tokens)]  # what enters each layer
        self.patterns = []  # of each layer at scored queries: (scored, head, T)
        for layer in range(model.config.layers):
            seen = Capture()
            self.residuals.append(model.run(self.residuals[-1], {layer: seen}, layer, layer + 1))
            self.patterns.append(self._rows(seen.pattern))
        self.logits = model.unembed(self.residuals[-1][self.scored])  # (scored, vocabulary)
        self.choices = measures.choices(self.logits, self.candidates)

    def _rows(self, pattern: Tensor) -> Tensor:
        """Of a pattern (batch, head, T, T) the rows of scored queries: (scored, head, T)."""
        return pattern.transpose(1, 2)[self.scored]

    def compare(self, rules: Mapping[int, AttentionRule]) -> Tensor:
        """METRICS (len(METRICS), scored) of the model with `rules` against the model."""
        start = min(rules)
        seen = {layer: Capture(rule) for layer, rule in rules.items()}
        residual = self.model.run(self.residuals[start], seen, start)
        logits = self.model.unembed(residual[self.scored])
        chosen = measures.choices(logits, self.candidates)
        pairs = [(self.patterns[layer], self._rows(capture.pattern)) for layer, capture in seen.items()]

        def over_heads(attention_measure) -> Tensor:
            return torch.cat([attention_measure(original, proxy) for original, proxy in pairs], 1).mean(1)

        by_name = {
            "same_prediction": (chosen == self.choices).float(),
            "accuracy": (chosen == self.targets).float(),
            "original_accuracy": (self.choices == self.targets).float(),
            "attention_jsd": over_heads(measures.attention_jsd),
            "attention_top1": over_heads(measures.attention_top1),
            "output_kl": measures.output_kl(self.logits, logits),
        }
        return torch.stack([by_name[name] for name in METRICS])


def _batches(model: Transformer, split: Split, batch_size: int) -> Iterator[_Batch]:
    """The split in batches of similar length; sequences without a scored position are left out."""
    per_row = split.scored.sum(1)
    first = np.cumsum(per_row) - per_row  # of each sequence, the index of its first scored position
    rows = np.flatnonzero(per_row)
    rows = rows[np.argsort(split.lengths[rows], kind="stable")]
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        positions = np.concatenate([first[row] + np.arange(per_row[row]) for row in chosen])
        yield _Batch(model, split, chosen, positions)


class _PositionIndex:
    """Adds up what was measured at the scored positions of a split: per sequence, and per sequence and group value."""

    def __init__(self, split: Split):
        sequence = np.nonzero(split.scored)[0]
        everything = pd.DataFrame({"group": "", "group_value": "", "sequence": np.arange(len(split))})
        self.parts = [(everything, sequence)]  # rows of the table, and for each scored position the row it adds to
        for group, values in split.groups.items():
            pairs = np.stack([sequence, values[split.scored].astype(np.int64)], 1)
            distinct, row = np.unique(pairs, axis=0, return_inverse=True)
            rows = pd.DataFrame({"group": group, "group_value": distinct[:, 1].astype(str), "sequence": distinct[:, 0]})
            self.parts.append((rows, row.ravel()))

    def table(self, values: np.ndarray) -> pd.DataFrame:
        """values [len(METRICS), positions] -> group, group_value, sequence, n and the sum of each measure."""
        tables = []
        for rows, row in self.parts:
            sums = {name: np.bincount(row, v, len(rows)) for name, v in zip(METRICS, values, strict=True)}
            tables.append(rows.assign(n=np.bincount(row, minlength=len(rows)), **sums))
        return pd.concat(tables, ignore_index=True)


def summarize(sequences: pd.DataFrame) -> pd.DataFrame:
    """The results table of a sequences table that also has the columns `task` and `seed`: one row a measurement."""
    keys = [c for c in COLUMNS if c not in ("metric", "value", "n")]
    sums = sequences.groupby(keys, dropna=False, observed=True, sort=True)[["n", *METRICS]].sum().reset_index()
    means = sums.assign(**{metric: sums[metric] / sums["n"] for metric in METRICS})
    table = means.melt([*keys, "n"], list(METRICS), "metric", "value")
    return table[COLUMNS].sort_values([*keys, "metric"], ignore_index=True)
