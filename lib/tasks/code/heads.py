"""What else is asked of a code model: how well it predicts, which heads copy, what heads do on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import torch

from lib.derived import derived
from lib.measuring import table
from lib.measuring.estimates import Estimates
from lib.measuring.faithfulness import batches, block_of
from lib.measuring.table import Block
from lib.models.base import Capture
from lib.provenance import code_of
from lib.proxies import MODEL, Simplification
from lib.runs import Run
from lib.studies import Study
from lib.tasks.code.ngram import NGram
from lib.tasks.code.splits import FIRST_CHARACTER, START, VOCABULARY

INDUCTION = 0.2  # a head does induction if so much of its attention is where an induction head's would be
BASELINE = Simplification("6-gram model", fit_on="training text")  # in blocks of `scores`
_CODE = code_of(__name__)  # read now, when it is the code that was loaded


def scores(runs: Sequence[Run]) -> dict[int, list[Block]]:
    """By seed, blocks of `accuracy` and `bits` of the true character (under the distribution over characters) on every split.

    Of the model itself (`MODEL`), and of an n-gram model of the training text (`BASELINE`), which all of them have in common.
    Kept with each run.
    """

    @cache
    def baseline() -> NGram:
        return NGram(runs[0].data.training, len(runs[0].data.vocabulary))

    def of(run: Run) -> list[Block]:
        run.train()
        record = run.trained.read()
        identity = {"weights": record["files"]["model.safetensors"], "data": record["made"]["data"], "code": _CODE}
        return derived(run, "scores", identity, lambda: _scores(run, baseline()), table.write, table.read)

    return {run.seed: of(run) for run in runs}


@torch.no_grad()
def _scores(run: Run, baseline: NGram) -> list[Block]:
    blocks = []
    for split in run.data.splits.values():
        right, bits = (np.empty(int(split.scored.sum()), np.float32) for _ in range(2))
        for batch in batches(run.model, split):
            logits = batch.original.logits
            of_true = logits.gather(1, batch.targets[:, None])[:, 0] - logits[:, batch.candidates].logsumexp(-1)
            right[batch.positions] = (batch.original.choices == batch.targets).cpu().numpy()
            bits[batch.positions] = -of_true.cpu().numpy() / np.log(2)
        of_both = {MODEL: (right, bits), BASELINE: [of.astype(np.float32) for of in baseline.score(split)]}
        values = {(who, name): v for who, pair in of_both.items() for name, v in zip(("accuracy", "bits"), pair, strict=True)}
        blocks.append(block_of(split, {}, values))
    return blocks


@torch.no_grad()
def copying_heads(run: Run, sequences: int = 64) -> pd.DataFrame:
    """For each head: mean attention to the previous token, and to the token after the previous occurrence of the present one.

    Measured on random strings of distinct characters, each repeated once, as long as context and characters allow; the
    *induction* score is over the second half (Elhage et al. 2021; Olsson et al. 2022). Columns: `seed`, `layer`, `head`,
    `previous_token`, `induction`, and `chance`, what induction would be if attention were spread evenly.
    """
    model, candidates = run.model, np.arange(FIRST_CHARACTER, len(VOCABULARY))
    length = min((model.context - 1) // 2, len(candidates))
    rng = np.random.default_rng([run.seed, 1])
    drawn = rng.permuted(np.tile(candidates, (sequences, 1)), axis=1)[:, :length]  # distinct, so one earlier occurrence each
    chance = float(np.mean(1 / np.arange(length + 2, 2 * length + 2)))
    tokens = np.concatenate([np.full((sequences, 1), START), drawn, drawn], 1)
    seen = {layer: Capture() for layer in range(model.layers)}
    model.run(model.embed(torch.from_numpy(tokens).to(model.device)), seen)
    rows = []
    for layer, captured in seen.items():
        previous = captured.pattern.diagonal(-1, -2, -1).mean((0, 2))  # (head,)
        after = captured.pattern.diagonal(1 - length, -2, -1)[..., 2:].mean((0, 2))  # from the second half on
        for head in range(model.heads):
            rows.append((run.seed, layer, head, float(previous[head]), float(after[head]), chance))
    return pd.DataFrame(rows, columns=["seed", "layer", "head", "previous_token", "induction", "chance"])


def pooled_heads(study: Study, simplification: Simplification, heads: pd.DataFrame) -> tuple[Estimates, tuple, tuple]:
    """Estimates of a proxy in single heads, pooled over heads that do induction and over those that do not.

    Induction heads are those with an induction score of at least `INDUCTION` in `heads` (of `copying_heads`), in each seed
    its own. Also returned are the simplifications by which to ask for them: (induction heads, others).
    """
    does, does_not = (replace(simplification, layer=-1, head=group) for group in (1, 0))
    blocks = {}
    for seed, of_seed in heads.groupby("seed"):
        chosen = of_seed[of_seed["induction"] >= INDUCTION]
        induction = set(zip(chosen["layer"], chosen["head"], strict=True))
        blocks[int(seed)] = [_pooled(b, simplification, {does: induction}, does_not) for b in study.estimates.blocks(int(seed))]
    return study.estimates_of(blocks), does, does_not


def _pooled(block: Block, simplification: Simplification, groups: Mapping, rest: Simplification) -> Block:
    """A block with the mean over a group of heads where it had single heads."""
    (name, chosen), *_ = groups.items()
    found: dict[Simplification, list[np.ndarray]] = {name: [], rest: []}
    for s in block.simplifications:
        if s.head >= 0 and replace(s, layer=-1, head=-1) == replace(simplification, layer=-1, head=-1):
            found[name if (s.layer, s.head) in chosen else rest].append(block.sums[s, "same_prediction"])
    return replace(block, sums={(s, "same_prediction"): np.mean(sums, 0) for s, sums in found.items() if sums})


def single_heads(study: Study, splits: Sequence[str], kind: str = "") -> pd.DataFrame:
    """Agreement with each head simplified on its own, on one `kind` of character or, if empty, on all.

    One row per simplification, seed, layer and head: `simplification` (without its place), `seed`, `layer`, `head`, `inside`,
    its agreement on the split in distribution, and `gap`, its mean distance from `splits`. A split in which no such character
    is to be predicted has no part in the mean.
    """
    where = {"character": kind} if kind else {}
    rows = []
    for run in study.runs:
        for block in study.estimates.blocks(run.seed):
            chosen = block.where(where)
            n = block.columns["n"][chosen].sum()
            for s in (s for s in block.simplifications if s.head >= 0 and n):
                agreement = block.sums[s, "same_prediction"][chosen].sum(dtype=float) / n
                place = replace(s, layer=-1, head=-1)
                rows.append((place, run.seed, s.layer, s.head, block.split, agreement))
    found = pd.DataFrame(rows, columns=["simplification", "seed", "layer", "head", "split", "agreement"])
    found = found.astype({"seed": int, "layer": int, "head": int, "agreement": float})
    keys = ["simplification", "seed", "layer", "head"]
    wide = found.pivot_table(index=keys, columns="split", values="agreement", sort=False)
    inside, outside = wide.reindex(columns=[study.task.reference])[study.task.reference], wide.reindex(columns=list(splits))
    return pd.DataFrame({"inside": inside, "gap": inside - outside.mean(axis=1)}).reset_index()
