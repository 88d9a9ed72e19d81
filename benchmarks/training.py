"""Training on code against nanoGPT's train.py at the same shape: on one thread, in float32, not compiled."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import CODE, VOCABULARY, code_training, run, said, seconds

from lib.errors import InputError
from lib.models.transformer import Transformer

FILES = ("train.py", "model.py", "configurator.py")
SHAPE = {
    "block_size": CODE.task.context, "n_layer": CODE.model.layers, "n_head": CODE.model.heads, "n_embd": CODE.model.width,
    "dropout": 0.0, "bias": CODE.model.bias,
}  # fmt: skip
OURS = {  # parts of names of parameters
    "transformer.h.": "blocks.", "transformer.": "", "wte": "token_embedding", "wpe.weight": "positions",
    "attn.c_attn": "attention.qkv", "attn.c_proj": "attention.out", "mlp.c_fc": "mlp.0", "mlp.c_proj": "mlp.2",
    "ln_1": "norm_attention", "ln_2": "norm_mlp", "ln_f": "norm", "lm_head": "unembedding",
}  # fmt: skip


def check(peer: Path, model: Transformer) -> None:
    """`model` predicts what nanoGPT's predicts once it has its weights."""
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, len(VOCABULARY), (2, CODE.task.context)))
    try:
        if missing := [name for name in FILES if not (peer / name).is_file()]:
            raise FileNotFoundError(f"it has no {missing[0]}")
        spec = importlib.util.spec_from_file_location("nanogpt_model", peer / "model.py")
        nanogpt = importlib.util.module_from_spec(spec)
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            spec.loader.exec_module(nanogpt)
            theirs = nanogpt.GPT(nanogpt.GPTConfig(vocab_size=len(VOCABULARY), **SHAPE))
            expected, _ = theirs(tokens, tokens)
        weights = theirs.state_dict()
        for part, ours in OURS.items():
            weights = {name.replace(part, ours): tensor for name, tensor in weights.items()}
        model.load_state_dict(weights, strict=False)  # only ours has biases of norms, which are zero
    except Exception as error:
        raise InputError(f"peer is {str(peer)!r}, but must be a checkout of nanoGPT ({error}): give its folder") from error
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), expected, rtol=1e-3, atol=1e-5)


def prepare(peer: Path, folder: Path) -> None:
    """A folder in which nanoGPT's script finds itself and random text in our vocabulary."""
    for name in FILES:
        shutil.copy(peer / name, folder)
    data = folder / "data" / "random"
    data.mkdir(parents=True)
    for name in ("train.bin", "val.bin"):
        np.random.default_rng(0).integers(0, len(VOCABULARY), 300_000).astype(np.uint16).tofile(data / name)
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(VOCABULARY)}))  # the form that nanoGPT reads


def peer_seconds(folder: Path, steps: int) -> list[float]:
    """Seconds of each step of nanoGPT's training loop, from what it prints; without two that warm up."""
    options = {
        **SHAPE, "dataset": "random", "device": "cpu", "dtype": "float32", "compile": False, "eval_iters": 1,
        "eval_interval": 10**6, "always_save_checkpoint": False, "log_interval": 1, "gradient_accumulation_steps": 1,
        "max_iters": steps + 1, "batch_size": CODE.training.batch_size,
    }  # fmt: skip
    command = [sys.executable, "train.py", *(f"--{name}={value}" for name, value in options.items())]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=one_thread, capture_output=True, text=True)
    times = [float(found) / 1_000 for found in re.findall(r"iter \d+: loss .*?, time ([\d.]+)ms", done.stdout)][2:]
    if not times:
        raise InputError(f"nanoGPT's train.py printed no step times: {(done.stderr or done.stdout).strip()[-400:]}")
    return times


def main(peer: Path, rounds: int = 5, steps: int = 12) -> None:
    """Training on code against nanoGPT's train.py at the same shape, on one thread in float32. PEER: a checkout of nanoGPT."""
    trainer, step = code_training("float32", torch.device("cpu"))
    check(peer, trainer.model)
    step()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(peer, Path(folder))
        for _ in range(rounds):
            theirs, ours = peer_seconds(Path(folder), steps), [seconds(step, time.perf_counter) for _ in range(steps)]
            found.append(min(theirs) / min(ours))  # what else the machine does only ever adds
    print(f"tokens a second, here over nanoGPT: {said(np.array(found))}")


if __name__ == "__main__":
    run(main)
