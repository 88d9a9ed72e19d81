"""Why a simplification fails on Dyck: what attention looks at, and what of the queries and keys the proxy cannot express."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from lib.dyck.language import FIRST_BRACKET, annotate
from lib.faithfulness import PositionIndex, attention_rows, labelled, rows_of, stacked
from lib.measures import most_attended
from lib.proxies import PROXIES, Head, Setting, Subspace, capture, fit_proxies, fit_rules, nearest
from lib.runs import Run

OPENER_METRICS = ("opener_weight", "opener_first", "original_opener_weight", "original_opener_first")


def opener_attention(run: Run, splits: Sequence[str], settings: Sequence[Setting]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Attention of one layer at scored positions, with each of `settings` (all of one layer) and without.

    Returns two tables. The first is a sequences table with the sums of `OPENER_METRICS`: the weight on the opener of the
    bracket to be closed, and whether it is the largest (1/m where it ties with m - 1 others); with the proxy and in the
    original model. The second has a row a split, setting (None: the model), true `depth` and `attended` depth (of the bracket
    with the largest weight, 0 for START) with the number of positions `n`, to which each of m that tie adds 1/m.
    """
    rules = {setting: fit_rules(run.model, setting, run.fitting_data, run.seed) for setting in settings}
    sums, depths = [], []
    for name in splits:
        split = run.task.splits[name]
        brackets = annotate(split.tokens, run.config.data.bracket_types)
        sequence, query = np.nonzero(split.scored)
        opener, depth = brackets.opener[sequence, query + 1], brackets.depth[sequence, query + 1]
        rows = attention_rows(run.model, split, rules, settings[0].layer)
        attended = {setting: most_attended(torch.from_numpy(weights)).numpy() for setting, weights in rows.items()}
        on = np.arange(len(opener))
        on_opener = {setting: weights[on, opener] for setting, weights in rows.items()}
        first = {setting: shares[on, opener] for setting, shares in attended.items()}
        index = PositionIndex(split)
        for setting in settings:
            values = [on_opener[setting], first[setting], on_opener[None], first[None]]
            table = index.table(np.array(values, np.float32), OPENER_METRICS)
            sums.append(labelled(table, setting, name).assign(seed=run.seed))
        for setting in rows:
            query_of, key = np.nonzero(attended[setting])
            share = attended[setting][query_of, key]
            counts = pd.DataFrame({"depth": depth[query_of], "attended": brackets.depth[sequence[query_of], key], "n": share})
            counts = counts.groupby(["depth", "attended"])["n"].sum().reset_index()
            depths.append(counts.assign(split=name, seed=run.seed, setting=[setting] * len(counts)))
    return stacked(sums), pd.concat(depths, ignore_index=True)


def projections(run: Run, layer: int, splits: Sequence[str], clusters: int, sequences: int = 150) -> pd.DataFrame:
    """Queries and keys of a layer's first head on the first two principal directions of those on training sentences.

    A row a vector: `split`, `kind` ("queries" or "keys"), coordinates `first` and `second`, and what its token is: `depth`,
    `position`, `type` (-1 for START and END), and the `cluster` that k-means with `clusters` clusters puts it in.
    """
    k = run.config.data.bracket_types
    fitted = [vectors[0] for vectors in run.fitting_data[layer]]
    kmeans = PROXIES["kmeans"].fit(Head(*fitted, run.seed), clusters)
    tables = []
    for name in splits:
        tokens = run.task.splits[name].tokens[:sequences]
        brackets = annotate(tokens, k)
        real = tokens != 0
        columns = {
            "depth": brackets.depth[real],
            "position": np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)[real],
            "type": np.where(tokens < FIRST_BRACKET, -1, (tokens - FIRST_BRACKET) % k)[real],
        }
        captured = [vectors[0] for vectors in capture(run.model, tokens, [layer])[layer]]
        centroids = (kmeans.query_centroids, kmeans.key_centroids)
        for kind, vectors, train, centroid in zip(("queries", "keys"), captured, fitted, centroids, strict=True):
            plane = Subspace.principal(train, 2)
            first, second = ((vectors - plane.mean) @ plane.basis).T.cpu().numpy()
            cluster = nearest(vectors, centroid).cpu().numpy()
            tables.append(
                pd.DataFrame({"split": name, "kind": kind, "first": first, "second": second, "cluster": cluster, **columns})
            )
    return pd.concat(tables, ignore_index=True)


def unexplained(run: Run, splits: Sequence[str], setting: Setting) -> pd.DataFrame:
    """How much of the queries and keys a proxy drops, sentence by sentence, and how often it then disagrees with the model.

    A row a sentence with something to score: `split`, `sequence`; `outside`, the mean squared distance of its queries and
    keys from what the proxy replaces them by, as a share of their variance on training sentences (mean of both);
    `disagreement`, the share of scored positions at which model and proxy differ; `n`, the number of scored positions.
    """
    (heads,) = fit_proxies(run.model, setting, run.fitting_data, run.seed).values()
    proxy, train = heads[0], [vectors[0] for vectors in run.fitting_data[setting.layer]]
    variance = [float((x - x.mean(0)).square().sum(1).mean()) for x in train]
    measured = rows_of(run.sequences, setting)
    measured = measured[measured["group"] == ""]
    tables = []
    for name in splits:
        tokens = run.task.splits[name].tokens
        vectors = [x[0] for x in capture(run.model, tokens, [setting.layer])[setting.layer]]
        simplified = proxy.simplify(*vectors)
        lost = [(a - b).square().sum(1).cpu().numpy() / v for a, b, v in zip(vectors, simplified, variance, strict=True)]
        sentence = np.nonzero(tokens)[0]
        share = np.bincount(sentence, (lost[0] + lost[1]) / 2) / np.bincount(sentence)
        rows = measured[(measured["split"] == name) & (measured["n"] > 0)]
        columns = {"outside": share[rows["sequence"]], "disagreement": 1 - rows["same_prediction"] / rows["n"]}
        tables.append(rows[["seed", "split", "sequence", "n"]].assign(**columns))
    return pd.concat(tables, ignore_index=True)
