"""How well a model with a proxy agrees with the model, on any split, into tables.

Two tables come out. The *sequences* table holds, for every setting, split and sequence, the sum of each measure over the
sequence's scored positions and their number `n`; intervals are bootstrapped from it. The *results* table is its summary,
one row a measurement, and is what `faithfulness.parquet` holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib import measures
from lib.errors import one_of
from lib.proxies import TRAINING, Fitted, Setting, capture, fit_rules
from lib.split import Split
from lib.transformer import AttentionRule, Capture, Transformer

METRICS = ("same_prediction", "accuracy", "original_accuracy", "attention_jsd", "attention_top1", "output_kl")
SETTING = ["layer", "head", "proxy", "complexity", "fit_on"]
COLUMNS = ["task", "seed", *SETTING, "split", "group", "group_value", "metric", "value", "n"]


def measure(
    model: Transformer,
    splits: Sequence[Split],
    settings: Sequence[Setting],
    training: np.ndarray,
    *,
    seed: int = 0,
    description: str = "evaluate",
) -> pd.DataFrame:
    """Measure every setting on every split; proxies are fitted on `training` [n, T].

    A proxy whose `fit_on` names a split is fitted on that split and measured on it alone: the oracle, which knows the
    distribution that it is tested on. A split with `whole_model` is measured only with every layer simplified.

    Returns the sequences table: the columns `SETTING`, `split`, `group`, `group_value`, `sequence`, `n` and the sums `METRICS`.
    Raises `InputError` for a setting that the model does not allow, before anything is computed.
    """
    sources = {TRAINING: training, **{split.name: split.tokens for split in splits}}
    for setting in settings:
        setting.check(model.config)
        one_of("fit_on", setting.fit_on, sources)
    layers = range(model.config.layers)
    tables = []
    with tqdm(total=len(settings) + len(splits), desc=description, unit="fit or split", mininterval=1) as bar:
        rules: dict[Setting, dict[int, AttentionRule]] = {}
        fitted: Fitted = {}
        for fit_on in {setting.fit_on: None for setting in settings}:
            data = capture(model, sources[fit_on], layers)
            for setting in settings:
                if setting.fit_on == fit_on:
                    rules[setting] = fit_rules(model, setting, data, seed, fitted)
                    bar.update()
        for split in splits:
            index = PositionIndex(split)
            on_split = {
                setting: rule
                for setting, rule in rules.items()
                if setting.fit_on in (TRAINING, split.name) and not (split.whole_model and setting.layer >= 0)
            }
            for setting, sums in compare(model, split, on_split).items():
                tables.append(labelled(index.table(sums), setting, split.name))
            bar.update()
    return stacked(tables)[[*SETTING, "split", "group", "group_value", "sequence", "n", *METRICS]]


def labelled(table: pd.DataFrame, setting: Setting, split: str) -> pd.DataFrame:
    """A table of `PositionIndex` with the columns `SETTING` and `split` added, in few bytes a row."""
    rows = len(table)

    def same(value: str) -> pd.Categorical:
        return pd.Categorical.from_codes(np.zeros(rows, np.int8), [value])

    return table.assign(
        layer=np.full(rows, setting.layer, np.int8),
        head=np.full(rows, setting.head, np.int8),
        proxy=same(setting.proxy),
        complexity=pd.array([setting.complexity], "Int32").take(np.zeros(rows, int)),
        fit_on=same(setting.fit_on),
        split=same(split),
    )


def rows_of(sequences: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The rows of a sequences table that belong to a setting."""
    chosen = sequences["complexity"].fillna(0) == (setting.complexity or 0)
    for name in ("layer", "head", "proxy", "fit_on"):
        chosen &= sequences[name] == getattr(setting, name)
    return sequences[chosen]


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Sequences tables on top of each other. Their text stays categorical, which pandas gives up where categories differ."""
    columns = {}
    for name, dtype in tables[0].dtypes.items():  # by column, so that few copies of millions of rows exist at a time
        of_all = [table[name] for table in tables]
        if isinstance(dtype, pd.CategoricalDtype):
            categories = sorted({category for column in of_all for category in column.cat.categories})
            codes = np.concatenate([column.cat.set_categories(categories).cat.codes for column in of_all])
            columns[name] = pd.Categorical.from_codes(codes, categories)
        else:
            columns[name] = pd.concat(of_all, ignore_index=True)
    return pd.DataFrame(columns, copy=False)


@torch.no_grad()
def compare(
    model: Transformer, split: Split, rules: Mapping[Setting, Mapping[int, AttentionRule]]
) -> dict[Setting, np.ndarray]:
    """Every measure at every scored position of a split: for each setting [len(METRICS), positions], in row-major order.

    The original model is run once, each setting only from its lowest simplified layer up, and the last layer only at
    scored positions.
    """
    results = {setting: np.empty((len(METRICS), int(split.scored.sum())), np.float32) for setting in rules}
    for batch in _batches(model, split):
        for setting, by_layer in rules.items():
            heads = slice(None) if setting.head < 0 else [setting.head]
            results[setting][:, batch.positions] = batch.compare(by_layer, heads).cpu().numpy()
    return results


@torch.no_grad()
def attention_rows(
    model: Transformer, split: Split, rules: Mapping[Setting, Mapping[int, AttentionRule]], layer: int
) -> dict[Setting | None, np.ndarray]:
    """Where each scored position of a split attends in a layer, mean over heads: [positions, T], in row-major order.

    By setting; None is the original model.
    """
    shape = (int(split.scored.sum()), split.tokens.shape[1])
    found = {setting: np.zeros(shape, np.float32) for setting in [None, *rules]}
    for batch in _batches(model, split):
        patterns = {None: batch.patterns} | {setting: batch.run(by_layer)[1] for setting, by_layer in rules.items()}
        for setting, by_layer in patterns.items():
            rows = by_layer[layer].mean(1).cpu().numpy()
            found[setting][batch.positions, : rows.shape[1]] = rows
    return found


MARGINS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # nats


@torch.no_grad()
def with_margin(model: Transformer, split: Split) -> Split:
    """The split with a further group, `margin`: how certain the model is of its choice at each scored position.

    The margin is the log-probability of its choice minus that of the next best candidate, in nats, in bins between `MARGINS`.
    """
    margins = np.zeros(split.tokens.shape, np.int8)
    found = np.empty(int(split.scored.sum()), np.int8)
    for batch in _batches(model, split):
        best, _ = batch.logits[:, batch.candidates].topk(2, -1)
        found[batch.positions] = np.digitize((best[:, 0] - best[:, 1]).cpu().numpy(), MARGINS)
    margins[split.scored] = found
    labels = tuple(f"{low:g} to {high:g} nats" for low, high in zip((0, *MARGINS), (*MARGINS, np.inf), strict=True))
    return replace(split, groups={**split.groups, "margin": margins}, labels={**split.labels, "margin": labels})


@torch.no_grad()
def model_scores(model: Transformer, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """At each scored position of a split: whether the model's choice is right, and the bits of the true candidate."""
    right, bits = np.empty(int(split.scored.sum()), bool), np.empty(int(split.scored.sum()), np.float32)
    for batch in _batches(model, split):
        of_true = batch.logits.gather(1, batch.targets[:, None])[:, 0] - batch.logits[:, batch.candidates].logsumexp(-1)
        right[batch.positions] = (batch.choices == batch.targets).cpu().numpy()
        bits[batch.positions] = -of_true.cpu().numpy() / np.log(2)
    return right, bits


@torch.no_grad()
def compare_positions(model: Transformer, split: Split, rules: Mapping[int, AttentionRule]) -> tuple[np.ndarray, np.ndarray]:
    """What the model chooses at each scored position of a split, without `rules` and with them: token ids [positions]."""
    found = np.empty((2, int(split.scored.sum())), np.int64)
    for batch in _batches(model, split):
        with_rules = measures.choices(batch.run(rules)[0], batch.candidates)
        found[:, batch.positions] = torch.stack([batch.choices, with_rules]).cpu().numpy()
    return found[0], found[1]


class _Batch:
    """Some sequences of a split, and what the original model does with them."""

    def __init__(self, model: Transformer, split: Split, rows: np.ndarray, positions: np.ndarray):
        device = next(model.parameters()).device
        length = split.lengths[rows].max()
        scored = split.scored[rows, :length]
        # the scored positions of each sequence, padded to as many as the sequence with most has
        first = np.argsort(~scored, axis=1, kind="stable")[:, : scored.sum(1).max()]

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.model, self.positions = model, positions
        self.scored, self.queries = tensor(scored), tensor(first)  # (batch, T) bool, (batch, Q) positions
        self.real = tensor(np.take_along_axis(scored, first, 1))  # (batch, Q) bool: not padding
        self.targets = tensor(split.targets[rows, :length].astype(np.int64)[scored])
        self.candidates = tensor(split.candidates.astype(np.int64))
        self.residuals = [model.embed(tensor(split.tokens[rows, :length].astype(np.int64)))]  # what enters each layer
        self.patterns = []  # of each layer at scored queries: (scored, head, T)
        for layer in range(model.config.layers):
            seen = Capture()
            is_last = layer == model.config.layers - 1
            only = self.queries if is_last else None
            self.residuals.append(model.run(self.residuals[-1], {layer: seen}, layer, layer + 1, only))
            self.patterns.append(self._rows(seen.pattern))
        self.logits = model.unembed(self.residuals[-1][self.real])  # (scored, vocabulary)
        self.choices = measures.choices(self.logits, self.candidates)

    def _rows(self, pattern: Tensor) -> Tensor:
        """The rows of scored queries, (scored, head, T), of a pattern (batch, head, T or Q, T)."""
        rows = pattern.transpose(1, 2)
        return rows[self.scored] if rows.shape[1] == self.scored.shape[1] else rows[self.real]

    def run(self, rules: Mapping[int, AttentionRule]) -> tuple[Tensor, dict[int, Tensor]]:
        """With `rules`: logits (scored, vocabulary), and by layer of theirs the patterns (scored, head, T)."""
        start = min(rules)
        seen = {layer: Capture(rule) for layer, rule in rules.items()}
        residual = self.model.run(self.residuals[start], seen, start, positions=self.queries)
        logits = self.model.unembed(residual[self.real])
        return logits, {layer: self._rows(capture.pattern) for layer, capture in seen.items()}

    def compare(self, rules: Mapping[int, AttentionRule], heads: slice | list[int]) -> Tensor:
        """METRICS (len(METRICS), scored) of the model with `rules` against the model."""
        logits, patterns = self.run(rules)
        chosen = measures.choices(logits, self.candidates)
        pairs = [(self.patterns[layer], pattern) for layer, pattern in patterns.items()]

        def over_heads(attention_measure) -> Tensor:
            return torch.cat([attention_measure(original[:, heads], proxy[:, heads]) for original, proxy in pairs], 1).mean(1)

        by_name = {
            "same_prediction": (chosen == self.choices).float(),
            "accuracy": (chosen == self.targets).float(),
            "original_accuracy": (self.choices == self.targets).float(),
            "attention_jsd": over_heads(measures.attention_jsd),
            "attention_top1": over_heads(measures.attention_top1),
            "output_kl": measures.output_kl(self.logits, logits),
        }
        return torch.stack([by_name[name] for name in METRICS])


def _batches(model: Transformer, split: Split) -> Iterator[_Batch]:
    """The split in batches of similar length, so large that patterns stay small; unscored sequences are left out."""
    batch_size = max(1, 2_500_000 // (model.config.heads * split.tokens.shape[1] ** 2))
    per_row = split.scored.sum(1)
    first = np.cumsum(per_row) - per_row  # of each sequence, the index of its first scored position
    rows = np.flatnonzero(per_row)
    rows = rows[np.argsort(split.lengths[rows], kind="stable")]
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        positions = np.concatenate([first[row] + np.arange(per_row[row]) for row in chosen])
        yield _Batch(model, split, chosen, positions)


class PositionIndex:
    """Adds up what was measured at the scored positions of a split: per sequence, and per sequence and group value."""

    def __init__(self, split: Split):
        sequence = np.nonzero(split.scored)[0]
        parts = [self._rows("", [""], np.zeros(len(split), int), np.arange(len(split)))]
        self.rows_of = [(sequence, len(split))]  # for each scored position the row it adds to, and how many rows there are
        for group, values in split.groups.items():
            pairs = np.stack([values[split.scored].astype(np.int64), sequence], 1)
            distinct, row = np.unique(pairs, axis=0, return_inverse=True)
            found, code = np.unique(distinct[:, 0], return_inverse=True)
            parts.append(self._rows(group, [split.label(group, value) for value in found], code, distinct[:, 1]))
            self.rows_of.append((row.ravel(), len(distinct)))
        self.rows = stacked(parts)

    @staticmethod
    def _rows(group: str, values: Sequence[str], value: np.ndarray, sequence: np.ndarray) -> pd.DataFrame:
        columns = {"group": pd.Categorical([group]).repeat(len(value)), "group_value": pd.Categorical.from_codes(value, values)}
        return pd.DataFrame({**columns, "sequence": sequence.astype(np.int32)})

    def table(self, values: np.ndarray, names: Sequence[str] = METRICS) -> pd.DataFrame:
        """values [names, positions] -> group, group_value, sequence, n and the sum of each measure."""

        def sums(weights: np.ndarray | None, dtype: type) -> np.ndarray:
            return np.concatenate([np.bincount(row, weights, rows) for row, rows in self.rows_of]).astype(dtype)

        of_each = {name: sums(of_name, np.float32) for name, of_name in zip(names, values, strict=True)}
        return self.rows.assign(n=sums(None, np.int32), **of_each)


def summarize(sequences: pd.DataFrame) -> pd.DataFrame:
    """The results table of a sequences table that also has the columns `task` and `seed`: one row a measurement."""
    keys = [c for c in COLUMNS if c not in ("metric", "value", "n")]
    wide = sequences.astype(dict.fromkeys(METRICS, float))
    sums = wide.groupby(keys, dropna=False, observed=True, sort=False)[["n", *METRICS]].sum().reset_index()
    text = {name: str for name, dtype in sums.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}
    sums = sums.astype({**text, "seed": int, "layer": int, "head": int, "complexity": "Int64", "n": int})
    means = sums.assign(**{metric: sums[metric] / sums["n"] for metric in METRICS})
    table = means.melt([*keys, "n"], list(METRICS), "metric", "value")
    return table[COLUMNS].sort_values([*keys, "metric"], ignore_index=True)
