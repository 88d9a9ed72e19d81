"""Single functions, as the model and the model with a proxy read them. What they say is data: escaped, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
import torch

from lib.measuring.faithfulness import batches
from lib.measuring.table import Block
from lib.prose import paragraph, table
from lib.proxies import Simplification
from lib.runs import Run
from lib.tasks.code.corpora import FEWEST, MOST, Corpus
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.splits import decode
from lib.tasks.code.task import CodeTask

CSS = """<style>
pre.reading { font-size: 0.82em; line-height: 1.5; padding: 0.6em 0.8em; overflow-x: auto; }
pre.reading .differs { border-radius: 2px; color: #000; }
pre.reading .model { background: #56B4E9; }
pre.reading .proxy { background: #E69F00; }
pre.reading .neither { background: #BBBBBB; }
</style>"""


@dataclass(frozen=True)
class Reading:
    """One window of source as the model and the model with a proxy read it; arrays are per predicted character."""

    text: str
    model: list[str]  # what the model predicts in its place
    proxy: list[str]  # what the model with the proxy predicts
    agrees: np.ndarray  # [characters] bool

    def to_html(self) -> str:
        """The text with every character marked at which model and proxy part ways."""
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


@torch.no_grad()
def read(run: Run, split: str, row: int, simplification: Simplification) -> Reading:
    """One sequence of a split through the model, with and without a proxy."""
    whole = run.data.splits[split]
    tokens, lengths = whole.tokens[[row]], whole.lengths[[row]]
    every = np.arange(tokens.shape[1])[None] < lengths - 1
    one = replace(whole, tokens=tokens, lengths=lengths, scored=every, fitted=None, covariates={})
    (batch,) = batches(run.model, one)
    found = batch.simplified(run.fitter.rules(simplification))
    model, proxy = (output.choices.cpu().numpy() for output in (found.original, found.simplified))
    vocabulary = run.data.vocabulary
    text = decode(one.targets[0][one.scored[0]])
    return Reading(text, [vocabulary[t] for t in model], [vocabulary[t] for t in proxy], model == proxy)


def median_sequence(block: Block, simplification: Simplification, among: Sequence[int] = range(100)) -> int:
    """Of the sequences `among`, the one whose share of disagreements is the median of those with at least half the most scored.

    `block` holds what was measured of the simplification on the split.
    """
    sequence = block.columns["sequence"]
    agreed = np.bincount(sequence, block.sums[simplification, "same_prediction"])
    n = np.bincount(sequence, block.columns["n"])
    rows = np.array([row for row in among if row < len(n) and n[row]])
    rows = rows[n[rows] >= n[rows].max() / 2]
    return int(rows[np.argsort(agreed[rows] / n[rows], kind="stable")[len(rows) // 2]])


def examples(corpus: Corpus, characters: int = 400) -> str:
    """One function of each language as HTML: the one whose length is nearest to `characters`."""
    parts = [CSS]
    for name in corpus.languages:
        functions = corpus.functions[corpus.functions["language"] == name]
        row = functions.iloc[int((functions["code"].str.len() - characters).abs().argmin())]
        where = escape(f"{row['package']}: {row['path']}")
        parts.append(f"<p><b>{escape(LANGUAGES[name].title)}</b>, {where}</p><pre class='reading'>{escape(row['code'])}</pre>")
    return "\n".join(parts)


def composition(corpus: Corpus) -> pd.DataFrame:
    """What a corpus is made of, one row per language."""
    rows = {}
    for name in corpus.languages:
        functions = corpus.functions[corpus.functions["language"] == name]
        by_package = functions["package"].value_counts()
        rows[LANGUAGES[name].title] = {
            "packages": f"{len(by_package):,}",
            "functions": f"{len(functions):,}",
            "characters": f"{functions['code'].str.len().sum():,}",
            "largest package": f"{by_package.index[0]} ({100 * by_package.iloc[0] / len(functions):.0f} %)",
        }
    return table(rows)


def about(corpus: Corpus, task: CodeTask) -> str:
    """How a corpus was made."""
    dropped = corpus.manifest["dropped"]
    return paragraph(
        f"Functions have {FEWEST} to {MOST:,} printable ASCII characters, and no more than {task.package_functions:,} come "
        f"from one package, {task.language_functions:,} from one language. Dropped were {dropped.get('exact duplicate', 0):,} "
        f"exact and {dropped.get('near duplicate', 0):,} near duplicates. This is the corpus *{task.corpus}*, SHA-256 "
        f"{corpus.manifest['sha256'][:16]}…; who has the same pinned packages, and the same JDK if any, has the same text."
    )
