"""Why a simplification fails on Dyck: what attention looks at, and what of the queries and keys the proxy cannot express."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch

from lib.derived import derived
from lib.live.kept import rules_of
from lib.measuring.faithfulness import batches, block_of
from lib.measuring.table import Block
from lib.models.base import Captured, most_attended
from lib.provenance import code_of
from lib.proxies import MODEL, Simplification, Subspace, nearest
from lib.runs import Run
from lib.split import Split
from lib.tasks.dyck.language import FIRST_BRACKET, annotate

_CODE = code_of(__name__)  # read now, when it is the code that was loaded
ANYWHERE = Simplification("any earlier bracket", fit_on="")  # in tables: what attention would find by chance


@torch.no_grad()
def attention_rows(run: Run, split: Split, simplifications: Sequence[Simplification]) -> dict[Simplification, np.ndarray]:
    """Where each scored position of a split attends in the simplified layer, mean over heads: [positions, T], row-major order.

    By simplification, all of one layer; `MODEL` is the original model.
    """
    layer = simplifications[0].layer
    rules = rules_of(run, simplifications)
    shape = (int(split.scored.sum()), split.tokens.shape[1])
    found = {simplification: np.zeros(shape, np.float32) for simplification in (MODEL, *rules)}
    for batch in batches(run.model, split):
        for simplification, comparison in zip(found, batch.comparisons(rules.values()), strict=True):
            rows = comparison.attention[layer][1].weights.mean(1).cpu().numpy()
            found[simplification][batch.positions, : rows.shape[1]] = rows
    return found


def opener_attention(
    run: Run, splits: Sequence[str], simplifications: Sequence[Simplification]
) -> tuple[list[Block], pd.DataFrame]:
    """Attention of one layer at scored positions, in the model (`MODEL`) and with each simplification, all of one layer.

    Returns blocks with the measures `opener_weight`, the weight on the opener of the bracket to be closed, and `opener_first`,
    whether it is the largest (1/m where it ties with m - 1 others); and a table with one row per split, simplification, true
    `depth`, `attended` depth (of the bracket with the largest weight, 0 for START) and whether that bracket is the `opener`,
    with the number of positions `n`, to which each of m that tie adds 1/m. With the simplification `ANYWHERE`, it is what would
    be attended if every bracket before were as likely as any other.
    """
    blocks, depths = [], []
    for name in splits:
        split = run.data.splits[name]
        brackets = annotate(split.tokens, run.experiment.task.bracket_types)
        sequence, query = np.nonzero(split.scored)
        opener, depth = brackets.opener[sequence, query + 1], brackets.depth[sequence, query + 1]
        values, every = {}, np.arange(len(opener))
        before = (np.arange(split.tokens.shape[1]) <= query[:, None]) & (brackets.depth[sequence] > 0)
        first_of = {ANYWHERE: before / before.sum(1, keepdims=True)}
        for simplification, weights in attention_rows(run, split, simplifications).items():
            first = first_of[simplification] = most_attended(torch.from_numpy(weights)).numpy()
            values[simplification, "opener_weight"] = weights[every, opener]
            values[simplification, "opener_first"] = first[every, opener]
        for simplification, first in first_of.items():
            at, key = np.nonzero(first)
            columns = {"depth": depth[at], "attended": brackets.depth[sequence[at], key], "opener": key == opener[at]}
            counts = pd.DataFrame({**columns, "n": first[at, key]})
            counts = counts.groupby(["depth", "attended", "opener"])["n"].sum().reset_index()
            depths.append(counts.assign(split=name, seed=run.seed, simplification=[simplification] * len(counts)))
        covariates = {covariate: array[split.scored] for covariate, array in split.covariates.items()}
        blocks.append(block_of(split, covariates, values))
    return blocks, pd.concat(depths, ignore_index=True)


def projections(run: Run, layer: int, splits: Sequence[str], clusters: int, sequences: int = 150) -> pd.DataFrame:
    """Queries and keys of a layer's first head on the first two principal directions of those on training sentences.

    One row per vector: `split`, `kind` ("queries" or "keys"), coordinates `x` and `y`, and what its token is: `depth`,
    `position`, `type` (-1 for START and END), and the `cluster` that k-means with `clusters` clusters puts it in. Those asked
    for last are kept with the run.
    """
    run.train()
    record, fitted_on = run.trained.read(), run.experiment.measuring.fit_sequences
    identity = {"weights": record["files"]["model.safetensors"], "data": record["made"]["data"], "fit_sequences": fitted_on}
    identity |= {"layer": layer, "splits": [*splits], "clusters": clusters, "sequences": sequences, "code": _CODE}
    return derived(run, "projections", identity, partial(_projections, run, layer, splits, clusters, sequences))


def _projections(run: Run, layer: int, splits: Sequence[str], clusters: int, sequences: int) -> pd.DataFrame:
    k = run.experiment.task.bracket_types
    of_clusters, head = Simplification("kmeans", clusters, layer), run.fitter.head(layer, 0)
    kmeans = rules_of(run, [of_clusters])[of_clusters][layer].proxies[0]
    fitted = {"queries": (head.queries, kmeans.query_centroids), "keys": (head.keys, kmeans.key_centroids)}
    tables = []
    for name in splits:
        split = run.data.splits[name].first(sequences)
        brackets, real = annotate(split.tokens, k), split.real
        columns = {
            "depth": brackets.depth[real],
            "position": np.broadcast_to(np.arange(split.tokens.shape[1]), real.shape)[real],
            "type": np.where(split.tokens < FIRST_BRACKET, -1, (split.tokens - FIRST_BRACKET) % k)[real],
        }
        captured = [vectors[0] for vectors in Captured(run.model, split)[layer]]
        for (kind, (train, centroids)), vectors in zip(fitted.items(), captured, strict=True):
            plane = Subspace.principal(train, 2)
            x, y = ((vectors - plane.mean) @ plane.basis).T.cpu().numpy()
            cluster = nearest(vectors, centroids).cpu().numpy()
            tables.append(pd.DataFrame({"split": name, "kind": kind, "x": x, "y": y, "cluster": cluster, **columns}))
    return pd.concat(tables, ignore_index=True)


def unexplained(run: Run, blocks: Sequence[Block], splits: Sequence[str], simplification: Simplification) -> pd.DataFrame:
    """How much of the queries and keys a proxy drops, sentence by sentence, and how often it then disagrees with the model.

    `blocks` are those of the run. One row per sentence with something to score: `seed`, `split`, `sequence`; `outside`, the
    mean squared distance of its queries and keys from what the proxy replaces them by, as a share of their variance on training
    sentences (mean of both); `disagreement`, the share of scored positions at which model and proxy differ; `n`, their number.
    """
    layer = simplification.layer
    rule, head = rules_of(run, [simplification])[simplification][layer], run.fitter.head(layer, 0)
    proxy = rule.proxies[0]
    variance = [float((x - x.mean(0)).square().sum(1).mean()) for x in (head.queries, head.keys)]
    of_split = {block.split: block for block in blocks}
    tables = []
    for name in splits:
        split, block = run.data.splits[name], of_split[name]
        vectors = [x[0] for x in Captured(run.model, split)[layer]]
        lost = [
            (a - b).square().sum(1).cpu().numpy() / v
            for a, b, v in zip(vectors, proxy.simplify(*vectors), variance, strict=True)
        ]
        sentence = np.nonzero(split.real)[0]
        outside = np.bincount(sentence, (lost[0] + lost[1]) / 2) / np.bincount(sentence)
        agreed, n = (
            np.bincount(block.columns["sequence"], part, len(split))
            for part in (block.sums[simplification, "same_prediction"], block.columns["n"])
        )
        scored = np.flatnonzero(n)
        columns = {"sequence": scored, "outside": outside[scored], "disagreement": 1 - agreed[scored] / n[scored]}
        tables.append(pd.DataFrame({"seed": run.seed, "split": name, **columns, "n": n[scored].astype(int)}))
    return pd.concat(tables, ignore_index=True)
