"""How well a simplified model agrees with the model, on any split, into blocks (`lib.measuring.table`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lib.measuring.measures import MEASURES, AttentionRows, Comparison, Output, Vectors
from lib.measuring.table import Block, Rows
from lib.models.base import ALL, Attend, AttentionRule, Capture, Heads, Model, Paused, Positions
from lib.proxies.base import MODEL, Fitter, LayerRule, Simplification
from lib.split import Split

MARGINS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # nats
_BATCH = 600_000  # attention weights of a layer in a batch, at most: they stay in the cache of a processor core


def measure(
    splits: Sequence[Split],
    simplifications: Sequence[Simplification],
    fitter: Fitter,
    skip: Mapping[str, Sequence[Simplification]] | None = None,
    *,
    title: str = "measure",
) -> list[Block]:
    """Measure every simplification of the fitter's model on every split, a block a split.

    What is fitted on a split is measured on that split alone: the oracle, which knows the distribution that it is tested on;
    what is fitted on anything else, on every split. `skip` names by split what is not to be measured on it. Raises `InputError`
    for a simplification that the model does not allow, before anything is measured.
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
    scored positions. A covariate `margin` is added: the log-probability of the model's choice minus that of the next best.
    """
    keys = [(simplification, name) for simplification in (MODEL, *rules) for name in MEASURES]
    values = np.empty((len(keys), int(split.scored.sum())), np.float32)
    margin = np.empty(values.shape[1], np.int8)
    for batch in batches(model, split):
        margin[batch.positions] = np.digitize(batch.margin().cpu().numpy(), MARGINS)
        measured = [of(comparison) for comparison in batch.comparisons(rules.values()) for of in MEASURES.values()]
        values[:, batch.positions] = torch.stack(measured).cpu().numpy()
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


class Attending:
    """What the original model has in some heads of a layer; what several comparisons need of it is computed once."""

    def __init__(self, paused: Paused, heads: Heads, scored: Positions, sequences: Tensor):
        """`sequences` (P,) says to which sequence of the batch each scored position belongs."""
        self.queries, self.keys = (Vectors(x[:, heads].contiguous()) for x in (paused.queries, paused.keys))
        self.rows = AttentionRows(scored.take(paused.pattern[:, heads].transpose(1, 2)))  # (P, head, T)
        self.scored, self.sequences = scored, sequences

    def dropped_share(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(P, head) what is dropped of the query and of the keys that it attends to, if these replace them."""
        query = self.scored.take(self.queries.dropped_share(queries).transpose(1, 2))
        of_keys = self.keys.dropped_share(keys).index_select(0, self.sequences)  # (P, head, T)
        return (query + of_keys.mul_(self.rows.weights).sum(-1)) / 2


class Batch:
    """Some sequences of a split, and what the original model does with them."""

    def __init__(self, model: Model, split: Split, rows: np.ndarray, positions: np.ndarray):
        length = split.lengths[rows].max()
        scored = split.scored[rows, :length]

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(model.device)

        self.model = model
        self.positions = positions  # [P] indices of the batch's scored positions among those of the split
        self.scored, self.sequences = Positions(tensor(scored)), tensor(scored.nonzero()[0])
        self.targets = tensor(split.targets[rows, :length].astype(np.int64)[scored])  # (P,)
        self.candidates = tensor(split.candidates.astype(np.int64))
        residual, self.paused = model.embed(tensor(split.tokens[rows, :length].astype(np.int64))), []
        for layer in range(model.layers):
            self.paused.append(model.pause(residual, layer, self.scored if layer == model.layers - 1 else None))
            residual = self.paused[-1].resume(self.paused[-1].pattern)
        self.original = Output(model.unembed(residual), self.candidates)
        self._attending: dict[tuple[int, tuple[int, ...]], Attending] = {}

    def margin(self) -> Tensor:
        """(P,) logit of the model's choice above that of the next best candidate, infinite where there is none."""
        logits = self.original.of_candidates
        if logits.shape[1] == 1:
            return torch.full_like(logits[:, 0], torch.inf)
        return -logits.topk(2, -1).values.diff()[:, 0]

    def attending(self, layer: int, heads: Heads = ALL) -> Attending:
        """What the original model has in some heads of a layer."""
        key = layer, tuple(range(self.model.heads)[heads] if isinstance(heads, slice) else heads)
        if key not in self._attending:
            self._attending[key] = Attending(self.paused[layer], heads, self.scored, self.sequences)
        return self._attending[key]

    def comparisons(self, rules: Iterable[Mapping[int, AttentionRule]]) -> Iterator[Comparison]:
        """The model against itself, then against each simplification; one at a time, as patterns are large."""
        yield self.unchanged()
        yield from map(self.simplified, rules)

    def unchanged(self) -> Comparison:
        """The model against itself."""
        attention = {layer: (self.attending(layer).rows,) * 2 for layer in range(self.model.layers)}
        nothing = {layer: rows.entropy.new_zeros(rows.entropy.shape) for layer, (rows, _) in attention.items()}
        return Comparison(self.original, self.original, self.targets, attention, nothing)

    def simplified(self, rules: Mapping[int, AttentionRule]) -> Comparison:
        """The model against itself with `rules`, run from the lowest layer that has one; other heads there are not run anew."""
        start = min(rules)
        rule, paused, seen = rules[start], self.paused[start], {layer: Capture(rule) for layer, rule in rules.items()}
        heads = rule.heads if isinstance(rule, LayerRule) and len(rule.heads) < self.model.heads else ALL
        seen[start] = Replacing(rule if heads is ALL else rule.of_heads)
        own = self.attending(start, heads)
        pattern = seen[start](own.queries.values, own.keys.values, partial(paused.attend, heads=heads))
        residual = paused.resume(pattern, heads)
        if start + 1 < self.model.layers:
            residual = self.model.run(residual, seen, start + 1, positions=self.scored)
        simplified = Output(self.model.unembed(residual), self.candidates)
        attention, dropped = {}, {}
        for layer, found in seen.items():
            of = ALL if layer == start else heads  # in the first layer nothing else was seen
            rows = AttentionRows(self.scored.take(found.pattern[:, of].transpose(1, 2)))
            own = self.attending(layer, heads)
            attention[layer] = own.rows, rows
            replaced = found.replaced if layer == start else self._replaced(layer, rules[layer], heads)
            dropped[layer] = own.dropped_share(*replaced)
        return Comparison(self.original, simplified, self.targets, attention, dropped)

    def _replaced(self, layer: int, rule: AttentionRule, heads: Heads) -> tuple[Tensor, Tensor]:
        """What a rule replaces queries and keys of the *original* by: known of text on which the simplified model never ran."""
        if isinstance(rule, LayerRule):
            own = self.attending(layer, heads)
            return rule.simplified(own.queries.values, own.keys.values)
        paused, seen = self.paused[layer], Replacing(rule)
        seen(paused.queries, paused.keys, paused.attend)
        queries, keys = seen.replaced
        return queries[:, heads], keys[:, heads]


def batches(model: Model, split: Split) -> Iterator[Batch]:
    """The split in batches of similar length, so large that patterns stay small; unscored sequences are left out."""
    batch_size = max(1, _BATCH // (model.heads * split.tokens.shape[1] ** 2))
    per_row = split.scored.sum(1)
    first = np.cumsum(per_row) - per_row  # of each sequence, the index of its first scored position
    rows = np.flatnonzero(per_row)
    rows = rows[np.lexsort((per_row[rows], split.lengths[rows]))]  # of a length, those with as many scored positions
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        positions = np.concatenate([first[row] + np.arange(per_row[row]) for row in chosen])
        yield Batch(model, split, chosen, positions)
