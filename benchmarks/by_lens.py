"""An audit against the same numbers by hand in TransformerLens' bridge, which is given an interpreter of its own.

The bridge replaces parts of transformers for the whole process, and brings other versions; so it is never imported here.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Contest, Difference, LeftOut, checkout, language_models, timed

from lib.audit import audit
from lib.audit.measuring import every
from lib.proxies import Simplification
from lib.split import Dataset, Sequences, Split

PEER = "transformer-lens"  # a virtual environment into which it is installed
SCRIPT = Path(__file__).with_name("by_hand.py")
RANK, LAYER = 4, 1
TEXTS = "first", "second"
SHAPE = {"vocab_size": 97, "n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}


def ours(folder: Path, data: Dataset, rank: int = RANK):
    """What one writes with an audit; of texts, their paths and the tokenizer in place of None and windows."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    found = audit(model, None, data, [f"svd:{rank}"], each="layer", oracles=False, say=lambda line: None)
    return found, found.estimate(Simplification("svd", rank), TEXTS[1], "gap").value


def statements(source: str, function: str) -> int:
    """How many statements a function holds: neither its head and docstring nor imports, but all that stand in its blocks."""
    body = next(of for of in ast.walk(ast.parse(source)) if isinstance(of, ast.FunctionDef) and of.name == function)
    return sum(isinstance(of, ast.stmt) and not isinstance(of, ast.ImportFrom) for of in ast.walk(body)) - 2


LINES = {"ours": statements(inspect.getsource(ours), "ours"), "theirs": statements(SCRIPT.read_text("utf-8"), "by_hand") - 1}
# less the one that says that it keeps log-probabilities for divergences


def dataset(windows: int, length: int) -> Dataset:
    """Two random texts, of frequent and of all tokens; every position is fitted on and scored."""
    rng, splits = np.random.default_rng(0), {}
    for name, most in zip(("fitted", *TEXTS), (20, 20, SHAPE["vocab_size"]), strict=True):
        tokens = rng.integers(0, most, (windows, length))
        position = np.broadcast_to(np.arange(length), tokens.shape)
        splits[name] = Split(
            name=name, tokens=tokens, lengths=np.full(windows, length), scored=position < length - 1,
            candidates=np.arange(SHAPE["vocab_size"]), covariates={"position": position},
        )  # fmt: skip
    fitted = splits.pop("fitted")
    words = tuple(map(str, range(SHAPE["vocab_size"])))
    return Dataset(words, length, Sequences(tokens=fitted.tokens, lengths=fitted.lengths), splits)


def write(folder: Path, data: Dataset) -> list[Simplification]:
    """A small GPT-2 whose weights are so large that everything matters, and what is asked of both; the settings in turn."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(**SHAPE, initializer_range=0.3)).save_pretrained(folder)
    windows = len(next(iter(data.splits.values())))
    wanted = [Simplification("svd", RANK), Simplification("svd", RANK, LAYER)]
    settings = [
        {"rank": RANK, "layers": list(range(SHAPE["n_layer"])), "every": 1},
        {"rank": RANK, "layers": [LAYER], "every": every(windows)},
    ]
    texts = {name: split.tokens.tolist() for name, split in data.splits.items()}
    asked = {"fitted": data.training.tokens.tolist(), "texts": texts, "settings": settings}
    (folder / "windows.json").write_text(json.dumps(asked), encoding="utf-8")
    return wanted


def by_hand(python: Path, folder: Path, threads: int) -> list[dict]:
    """What the script prints that does it by hand."""
    on = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run([python, SCRIPT, folder, str(threads)], env=on, capture_output=True, text=True)
    try:
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        said = ((done.stderr or done.stdout).strip().splitlines() or [""])[-1]
        raise LeftOut(f"{python} cannot be used as {PEER} ({said})") from error


def differences(found, gap: float, settings: list[Simplification], expected: list[dict]) -> list[Difference]:
    """How far the numbers of an audit are from those by hand: at any position of any text, and in the gap."""
    chosen, diverged = [], []
    for s, by_setting in zip(settings, expected, strict=True):
        for block in found.blocks if s.layer < 0 else found.single:
            by_text = by_setting["texts"][block.split]
            chosen.append(np.abs(block.sums[s, "same_prediction"] - by_text["same"]).max())
            diverged.append(np.abs(block.sums[s, "output_kl"] - by_text["divergence"]).max())
    return [
        Difference("agreement of SVD in all layers and in one, at any position", float(np.max(chosen)), 0.0),
        Difference("divergence of the output, in nats, likewise", float(np.max(diverged)), 1e-4),
        Difference("gap between the texts", abs(gap - expected[0]["gap"]), 1e-4),
    ]


def begin(folder: Path | None, threads: int, windows: int = 40, length: int = 64) -> Contest:
    """One setting on two texts: ours from a folder to the gap, with its checks; by hand without."""
    language_models()
    python, workplace = checkout(folder, PEER) / "bin" / "python", tempfile.TemporaryDirectory()
    where, data = Path(workplace.name), dataset(windows, length)

    def quietly(work: Callable) -> object:
        with contextlib.redirect_stderr(io.StringIO()):  # progress
            return work(where, data)

    settings = quietly(write)
    found = differences(*quietly(ours), settings, by_hand(python, where, threads))
    note = "ours includes the checks of a model, all measures, and each layer alone; by hand, one setting and agreement"
    seconds = timed(lambda: (workplace, quietly(ours)), threads)  # the folder is there as long as this is
    return Contest(seconds, lambda: by_hand(python, where, threads)[0]["seconds"], found, note)
