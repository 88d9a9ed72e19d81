"""How well a simplified model agrees with the model, on any split, into blocks (`lib.measuring.table`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.measuring.measures import MEASURES, Comparison, Output, dropped_share
from lib.measuring.table import Block, Rows
from lib.models.base import Attend, AttentionRule, Capture, Model
from lib.proxies.base import MODEL, Fitter, Simplification
from lib.split import Split

MARGINS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # nats
_BATCH = 2_500_000  # attention weights of a layer in a batch, at most


def measure(
    splits: Sequence[Split],
    simplifications: Sequence[Simplification],
    fitter: Fitter,
    skip: Mapping[str, Sequence[Simplification]] | None = None,
    *,
    title: str = "measure",
) -> list[Block]:
    """Measure every simplification of the fitter's model on every split, a block a split.

    What is fitted on a split is measured on that split alone: the oracle, which knows the distribution that it is tested on.
    What is fitted on anything else that the fitter knows, such as training sequences, is measured on every split. `skip` names
    by split what is not to be measured on it. Raises `InputError` for a simplification that the model does not allow, before
    anything is measured.
    """
    for simplification in simplifications:
        simplification.check(fitter.model)
    blocks = []
    with tqdm(total=len(simplifications) + len(splits), desc=title, unit="fit or split", mininterval=1) as bar:
        rules = {}
        for simplification in simplifications:
            rules[simplification] = fitter.rules(simplification)
            bar.update()
        for split in splits:
            left_out = (skip or {}).get(split.name, ())
            on_split = {s: rule for s, rule in rules.items() if fitter.measures_on(s, split.name) and s not in left_out}
            blocks.append(compare(fitter.model, split, on_split))
            bar.update()
    return blocks


@torch.no_grad()
def compare(model: Model, split: Split, rules: Mapping[Simplification, Mapping[int, AttentionRule]]) -> Block:
    """Every measure of every simplification, and of the model itself, over the rows of a split.

    The original model is run once, each simplification only from its lowest simplified layer up, and the last layer only at
    scored positions. To the split's covariates is added `margin`: how certain the model is of its choice, the log-probability
    of it minus that of the next best candidate, in bins between `MARGINS`.
    """
    keys = [(simplification, name) for simplification in (MODEL, *rules) for name in MEASURES]
    values = np.empty((len(keys), int(split.scored.sum())), np.float32)
    margin = np.empty(values.shape[1], np.int8)
    for batch in batches(model, split):
        margin[batch.positions] = np.digitize(batch.margin().cpu().numpy(), MARGINS)
        measured = [batch.measures(batch.original, slice(None))]
        for simplification, by_layer in rules.items():
            heads = slice(None) if simplification.head < 0 else [simplification.head]
            measured.append(batch.measures(batch.run(by_layer), heads))
        values[:, batch.positions] = torch.cat(measured).cpu().numpy()
    covariates = {name: array[split.scored] for name, array in split.covariates.items()}
    return block_of(split, {**covariates, "margin": margin}, dict(zip(keys, values, strict=True)))


def block_of(
    split: Split, covariates: Mapping[str, np.ndarray], values: Mapping[tuple[Simplification, str], np.ndarray]
) -> Block:
    """The block of what was measured at scored positions: covariates and values [scored positions], in row-major order."""
    rows = Rows(split, covariates)
    sums = rows.sums(np.stack([np.asarray(v, np.float32) for v in values.values()]))
    bins = tuple(f"{low:g} to {high:g} nats" for low, high in zip((0, *MARGINS), (*MARGINS, np.inf), strict=True))
    labels = {**split.labels, "margin": bins}
    labels = {name: names for name, names in labels.items() if name in covariates}
    return Block(split.name, len(split), rows.columns, dict(zip(values, sums, strict=True)), labels)


class Replacing(Capture):
    """Keeps as well what the rule replaces queries and keys by: what it hands to the model to attend with, last if often."""

    def __call__(self, queries: Tensor, keys: Tensor, attend: Attend) -> Tensor:
        self.replaced = queries, keys  # by a rule that never attends

        def kept(queries: Tensor, keys: Tensor) -> Tensor:
            self.replaced = queries, keys
            return attend(queries, keys)

        return super().__call__(queries, keys, kept)


class Batch:
    """Some sequences of a split, and what the original model does with them."""

    def __init__(self, model: Model, split: Split, rows: np.ndarray, positions: np.ndarray):
        length = split.lengths[rows].max()
        scored = split.scored[rows, :length]
        # the scored positions of each sequence, padded to as many as the sequence with most has
        first = np.argsort(~scored, axis=1, kind="stable")[:, : scored.sum(1).max()]

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(model.device)

        self.model = model
        self.positions = positions  # [P] indices of the batch's scored positions among those of the split
        self.scored, self.queries = tensor(scored), tensor(first)  # (batch, T) bool, (batch, Q) positions
        self.real = tensor(np.take_along_axis(scored, first, 1))  # (batch, Q) bool: not padding
        self.targets = tensor(split.targets[rows, :length].astype(np.int64)[scored])  # (P,)
        self.candidates = tensor(split.candidates.astype(np.int64))
        self.residuals = [model.embed(tensor(split.tokens[rows, :length].astype(np.int64)))]  # what enters each layer
        self.attention = {}  # of the model by layer, (batch, head, T, T), in the last layer (batch, head, Q, T)
        for layer in range(model.layers):
            seen = Capture()
            only = self.queries if layer == model.layers - 1 else None
            self.residuals.append(model.run(self.residuals[-1], {layer: seen}, layer, layer + 1, only))
            self.attention[layer] = seen.pattern
        patterns = {layer: self._scored_rows(pattern) for layer, pattern in self.attention.items()}
        nothing = {layer: rows.new_zeros(rows.shape[:2]) for layer, rows in patterns.items()}
        self.original = Output(model.unembed(self.residuals[-1][self.real]), patterns, self.candidates, nothing)

    def _scored_rows(self, of_queries: Tensor) -> Tensor:
        """What belongs to scored queries, (P, head, ...), of (batch, head, T or Q, ...)."""
        rows = of_queries.transpose(1, 2)
        return rows[self.scored] if rows.shape[1] == self.scored.shape[1] else rows[self.real]

    def margin(self) -> Tensor:
        """(P,) logit of the model's choice above that of the next best candidate, infinite where there is none."""
        logits = self.original.logits[:, self.candidates]
        if logits.shape[1] == 1:
            return torch.full_like(logits[:, 0], torch.inf)
        best, _ = logits.topk(2, -1)
        return best[:, 0] - best[:, 1]

    def run(self, rules: Mapping[int, AttentionRule]) -> Output:
        """The model with `rules`, from the lowest layer that has one; with the patterns of the layers that do."""
        start = min(rules)
        seen = {layer: Replacing(rule) for layer, rule in rules.items()}
        residual = self.model.run(self.residuals[start], seen, start, positions=self.queries)
        patterns = {layer: self._scored_rows(captured.pattern) for layer, captured in seen.items()}
        dropped = {layer: self._scored_rows(self._dropped(layer, captured)) for layer, captured in seen.items()}
        return Output(self.model.unembed(residual[self.real]), patterns, self.candidates, dropped)

    def _dropped(self, layer: int, seen: Replacing) -> Tensor:
        """(batch, head, T or Q) the share that is dropped of each query and of the keys that the model attends to from it."""
        query, key = (dropped_share(x, y) for x, y in zip((seen.queries, seen.keys), seen.replaced, strict=True))
        return (query + torch.einsum("bhqt,bht->bhq", self.attention[layer], key)) / 2

    def measures(self, simplified: Output, heads: slice | Sequence[int]) -> Tensor:
        """(measure, P) every measure of a simplified model against the original."""
        comparison = Comparison(self.original, simplified, self.targets, heads)
        return torch.stack([of(comparison) for of in MEASURES.values()])


def batches(model: Model, split: Split) -> Iterator[Batch]:
    """The split in batches of similar length, so large that patterns stay small; unscored sequences are left out."""
    batch_size = max(1, _BATCH // (model.heads * split.tokens.shape[1] ** 2))
    per_row = split.scored.sum(1)
    first = np.cumsum(per_row) - per_row  # of each sequence, the index of its first scored position
    rows = np.flatnonzero(per_row)
    rows = rows[np.argsort(split.lengths[rows], kind="stable")]
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        positions = np.concatenate([first[row] + np.arange(per_row[row]) for row in chosen])
        yield Batch(model, split, chosen, positions)
