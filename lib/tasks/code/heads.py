"""What else is asked of a code model: how well it predicts, which heads copy, and what single functions look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import torch

from lib.code.ngram import NGram
from lib.code.splits import START, decode
from lib.faithfulness import METRICS, PositionIndex, compare_positions, labelled, model_scores, rows_of, stacked
from lib.proxies import MODEL, Setting, fit_rules
from lib.runs import Run, Study
from lib.split import Split
from lib.transformer import Capture

INDUCTION = 0.2  # a head does induction if so much of its attention is where an induction head's would be
SCORES = ("accuracy", "bits", "baseline_accuracy", "baseline_bits")


def scores(run: Run) -> pd.DataFrame:
    """A sequences table of the model itself (`MODEL`) on every split: sums of `SCORES` over scored positions.

    `accuracy` and `bits` (of the true character, under the distribution over characters) are the model's, the others those of
    an n-gram model counted on the same training text.
    """
    baseline = NGram(run.task.training, len(run.task.vocabulary))
    tables = []
    for split in run.splits:
        right, bits = model_scores(run.model, split)
        table = PositionIndex(split).table(np.stack([right, bits, *baseline.score(split)]), SCORES)
        tables.append(labelled(table, MODEL, split.name).assign(seed=run.seed))
    return stacked(tables)


@torch.no_grad()
def copying_heads(run: Run, sequences: int = 64) -> pd.DataFrame:
    """For each head: mean attention to the previous token, and to the token after the previous occurrence of the present one.

    Measured on random strings of distinct characters, each repeated once, as long as context and characters allow; the
    *induction* score is over the second half (Elhage et al. 2021; Olsson et al. 2022). Columns: `seed`, `layer`, `head`,
    `previous_token`, `induction`, and `chance`, what induction would be if attention were spread evenly.
    """
    model, task = run.model, run.task
    candidates = next(iter(task.splits.values())).candidates
    length = min((task.context - 1) // 2, len(candidates))
    rng = np.random.default_rng([run.seed, 1])
    drawn = rng.permuted(np.tile(candidates, (sequences, 1)), axis=1)[:, :length]  # distinct, so one earlier occurrence each
    chance = float(np.mean(1 / np.arange(length + 2, 2 * length + 2)))
    tokens = np.concatenate([np.full((sequences, 1), START), drawn, drawn], 1)
    seen = {layer: Capture() for layer in range(model.config.layers)}
    device = next(model.parameters()).device
    model.run(model.embed(torch.from_numpy(tokens).to(device)), seen)
    rows = []
    for layer, captured in seen.items():
        previous = captured.pattern.diagonal(-1, -2, -1).mean((0, 2))  # (head,)
        after = captured.pattern.diagonal(1 - length, -2, -1)[..., 2:].mean((0, 2))  # from the second half on
        for head in range(model.config.heads):
            rows.append((run.seed, layer, head, float(previous[head]), float(after[head]), chance))
    return pd.DataFrame(rows, columns=["seed", "layer", "head", "previous_token", "induction", "chance"])


def pooled_heads(run: Run, setting: Setting, heads: pd.DataFrame) -> pd.DataFrame:
    """The sequences table of a proxy in single heads, pooled over heads that do induction and over those that do not.

    Induction heads are those with an induction score of at least `INDUCTION` in `heads` (of `copying_heads`). In the result
    `layer` is -1 and `head` says which: 1 for induction heads, 0 for others.
    """
    table = run.sequences
    of_proxy = (table["proxy"] == setting.proxy) & (table["complexity"].fillna(0) == (setting.complexity or 0))
    table = table[of_proxy & (table["head"] >= 0) & (table["fit_on"] == setting.fit_on)]
    induction = heads[heads["induction"] >= INDUCTION]
    chosen = set(zip(induction["layer"], induction["head"], strict=True))
    does = [pair in chosen for pair in zip(table["layer"], table["head"], strict=True)]
    keys = ["seed", "proxy", "complexity", "fit_on", "split", "group", "group_value", "sequence", "head"]
    summed = table.assign(head=np.array(does, np.int8)).groupby(keys, observed=True, dropna=False, sort=False)
    return summed[["n", *METRICS]].sum().reset_index().assign(layer=-1)


def single_heads(study: Study, kind: str = "") -> pd.DataFrame:
    """Agreement with each head simplified on its own, on one `kind` of character or, if empty, on all.

    Columns: `proxy`, `complexity` (0 for none), `seed`, `layer`, `head`, `split`, `agreement`.
    """
    keys = ["proxy", "complexity", "seed", "layer", "head", "split"]
    tables = []
    for table in study.sequences():
        chosen = (table["head"] >= 0) & (table["group"] == ("character" if kind else "")) & (table["group_value"] == kind)
        rows = table[chosen].assign(complexity=table["complexity"].fillna(0))
        sums = rows.astype({"same_prediction": float}).groupby(keys, observed=True, sort=False)[["same_prediction", "n"]].sum()
        tables.append((sums["same_prediction"] / sums["n"]).rename("agreement").reset_index())
    return pd.concat(tables, ignore_index=True).astype({"proxy": str, "split": str, "complexity": int})


@dataclass(frozen=True)
class Reading:
    """One window of source as the model and the model with a proxy read it; arrays are per predicted character."""

    text: str
    model: list[str]  # what the model predicts in its place
    proxy: list[str]  # what the model with the proxy predicts
    agrees: np.ndarray  # [characters] bool

    def to_html(self) -> str:
        """The text with every character marked at which model and proxy part ways. What it says is escaped, whatever it is."""
        parts = []
        for character, model, proxy, agrees in zip(self.text, self.model, self.proxy, self.agrees, strict=True):
            shown = escape(character)
            if not agrees:
                right = "model" if model == character else "proxy" if proxy == character else "neither"
                title = escape(f"model: {_visible(model)}, proxy: {_visible(proxy)}", quote=True)
                shown = f'<span class="differs {right}" title="{title}">{_blank(character) + shown}</span>'
            parts.append(shown)
        return f'<pre class="reading">{"".join(parts)}</pre>'


def _visible(character: str) -> str:
    return {"\n": "line feed", " ": "blank"}.get(character, character)


def _blank(character: str) -> str:
    """A sign for what could not be seen to be marked."""
    return "↵" if character == "\n" else ""


def read(run: Run, split: str, row: int, setting: Setting) -> Reading:
    """One sequence of a split through the model, with and without a proxy."""
    chosen = run.task.splits[split]
    one = Split(split, chosen.tokens[[row]], chosen.scored[[row]], chosen.candidates)
    rules = fit_rules(run.model, setting, run.fitting_data, run.seed)
    model, proxy = compare_positions(run.model, one, rules)
    scored = one.scored[0]
    text = decode(one.targets[0][scored])
    vocabulary = run.task.vocabulary
    return Reading(text, [vocabulary[t] for t in model], [vocabulary[t] for t in proxy], model == proxy)


def median_sequence(run: Run, split: str, setting: Setting, among: Sequence[int] = range(100)) -> int:
    """Of the sequences `among`, the one whose share of disagreements is the median of those at least half a window long."""
    rows = rows_of(run.sequences, setting)
    rows = rows[(rows["split"] == split) & (rows["group"] == "") & rows["sequence"].isin(list(among))]
    long = rows[rows["n"] >= run.task.context // 2]
    share = (long if len(long) else rows).eval("same_prediction / n").sort_values(kind="stable")
    return int(rows.loc[share.index[len(share) // 2], "sequence"])
