"""Benchmarks: how much faster a part of this project is than the plain way, as ratios that hold across machines."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from lib.dyck.language import sample_structures, with_types
from lib.dyck.splits import DyckConfig
from lib.errors import InputError


def plain_sentence(config: DyckConfig, rng: np.random.Generator) -> tuple[list[int], list[int], list[int]]:
    """One sentence of the same automaton, token by token: types (negative closes), depths, and openers as indices or -1."""
    while True:  # sentences that grow too long are discarded
        types, depths, openers, stack = [], [], [], []
        while len(types) <= config.max_length:
            if not stack and len(types) >= config.min_length and rng.random() < config.p_end:
                return types, depths, openers
            if not stack or (len(stack) < config.max_depth and rng.random() < 0.5):
                stack.append(len(types))
                depths.append(len(stack))
                types.append(int(rng.integers(1, config.bracket_types + 1)))
                openers.append(-1)
            else:
                depths.append(len(stack))
                openers.append(stack.pop())
                types.append(-types[openers[-1]])


def dyck_sampler(sentences: int = 200_000, plain_sentences: int = 2_000) -> float:
    """Time the vectorized sampler against `plain_sentence`, the best of five each; prints and returns the ratio of speeds."""
    config = DyckConfig()
    rng = np.random.default_rng(0)
    vectorized = min(_seconds(lambda: _vectorized(config, sentences)) for _ in range(5))
    plain = min(_seconds(lambda: [plain_sentence(config, rng) for _ in range(plain_sentences)]) for _ in range(5))
    ratio = (sentences / vectorized) / (plain_sentences / plain)
    print(f"vectorized: {sentences:,} sentences with types, depths and openers in {vectorized:.2f} s of processor time")
    print(f"token by token: {plain_sentences:,} sentences in {plain:.2f} s of processor time")
    print(f"ratio of sentences a second: {ratio:.0f}")
    return ratio


def _vectorized(config: DyckConfig, sentences: int) -> None:
    rng = np.random.default_rng(0)
    with_types(sample_structures(sentences, config.automaton, rng), config.bracket_types, rng)


def _seconds(function) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def rank_sweep(sentences: int = 300, layer: int = 1) -> float:
    """Time an SVD of every rank, on every split, against running the whole model once per rank.

    Both ways must make the same predictions. Prints both times and returns the ratio, sweep over plain.
    """
    import torch

    from lib.dyck.splits import dyck_task
    from lib.faithfulness import METRICS, compare
    from lib.presets import ModelConfig, TaskPreset, preset
    from lib.proxies import Setting, capture, fit_rules
    from lib.training import new_model

    config: TaskPreset = preset("smoke").task("dyck")
    task = dyck_task(replace(config.data, split_sentences=sentences), seed=0)
    model = new_model(task, replace(config, model=ModelConfig()), seed=0)
    with torch.no_grad():  # weights as large as trained ones, so that attention is not uniform
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() > 1 else 1)
    torch.set_num_threads(1)
    data = capture(model, task.training[:200], [layer])
    settings = [Setting("svd", rank, layer) for rank in range(1, config.model.head_width + 1)]
    rules = {setting: fit_rules(model, setting, data) for setting in settings}

    def sweep() -> dict:
        return {name: compare(model, split, rules) for name, split in task.splits.items()}

    def plain() -> dict:
        agreement = {}
        for name, split in task.splits.items():
            original = _plain_choices(model, split, {})
            agreement[name] = {setting: _plain_choices(model, split, rule) == original for setting, rule in rules.items()}
        return agreement

    swept, expected = sweep(), plain()
    for name, by_setting in expected.items():
        for setting, agreement in by_setting.items():
            found = swept[name][setting][METRICS.index("same_prediction")]
            if not np.array_equal(found.astype(bool), agreement):
                raise AssertionError(f"{setting} on {name}: the sweep and the plain way make different predictions")
    fast, slow = (min(_seconds(way) for _ in range(3)) for way in (sweep, plain))
    print(f"every rank from 1 to {len(settings)}, on {len(task.splits)} splits of {sentences} sentences: the same predictions")
    print(f"sweep, all measures: {fast:.2f} s of processor time; the whole model once per rank, predictions only: {slow:.2f} s")
    print(f"ratio: {fast / slow:.2f}")
    return fast / slow


def _plain_choices(model, split, rules, batch_size: int = 250) -> np.ndarray:
    """What the model with `rules` chooses at scored positions, running all layers at all positions: [positions]."""
    import torch

    choices = []
    candidates = torch.from_numpy(split.candidates)
    for start in range(0, len(split), batch_size):
        tokens = torch.from_numpy(split.tokens[start : start + batch_size].astype(np.int64))
        with torch.no_grad():
            chosen = model(tokens, rules)[..., candidates].argmax(-1).numpy()
        choices.append(chosen[split.scored[start : start + batch_size]])
    return np.concatenate(choices)


def precision(steps: int = 12) -> float:
    """Time training steps on code in bfloat16 against float32, alternating; prints and returns the ratio of speeds.

    Above 1 this machine gains from bfloat16. What `precision="auto"` chooses here is printed beside it.
    """
    from lib.training import resolve_device, resolve_precision

    trainers = {name: _code_trainer(name) for name in ("float32", "bfloat16")}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(steps):
        for name, step in trainers.items():
            start = time.process_time()
            step()
            seconds[name].append(time.process_time() - start)
    ratio = median(seconds["float32"]) / median(seconds["bfloat16"])
    for name, of_name in seconds.items():
        print(f"{name}: {1_000 * median(of_name):.0f} ms of processor time a step (median of {steps})")
    print(f"speed of bfloat16 over float32: {ratio:.2f}; 'auto' takes {resolve_precision('auto', resolve_device('auto'))} here")
    return ratio


def _code_trainer(precision: str):
    """A function that does one training step on full random windows, at the shape of preset `paper`."""
    import torch

    from lib.code.splits import VOCABULARY
    from lib.presets import preset
    from lib.training import Trainer, keep_freed_memory, resolve_device
    from lib.transformer import Transformer

    torch.set_num_threads(1)
    keep_freed_memory()
    config = preset("paper").task("code")
    width, batch = config.data.context + 1, config.training.batch_size
    device = resolve_device("auto")
    trainer = Trainer(Transformer(config.model, len(VOCABULARY), width).to(device), config.training, precision)
    rng = np.random.default_rng(0)
    windows = rng.integers(2, len(VOCABULARY), (1_000, width)).astype(np.int16)

    def step() -> int:
        rows = rng.integers(0, len(windows), batch)
        trainer.train_on(torch.from_numpy(windows[rows].astype(np.int64)).to(device))
        return batch * (width - 1)

    return step


def training(peer: Path | None, rounds: int = 5, steps: int = 12) -> float:
    """Time training on code against nanoGPT's `train.py` at the same shape, on one thread, in alternating rounds.

    `peer` is a checkout of nanoGPT; its script runs in a temporary folder, in float32 and not compiled, as ours does.
    Prints and returns the ratio of tokens a second, ours over theirs (medians over steps, without those that warm up).
    """
    if peer is None or not (peer / "train.py").is_file() or not (peer / "model.py").is_file():
        raise InputError(
            f"peer is {str(peer)!r}, but must be a checkout of nanoGPT, with train.py and model.py: give its folder"
        )
    ours, theirs = [], []
    step = _code_trainer("float32")
    with tempfile.TemporaryDirectory() as folder:
        _prepare_peer(peer, Path(folder))
        for _ in range(rounds):
            theirs += _peer_speeds(Path(folder), steps)
            step()
            for _ in range(steps):
                start = time.perf_counter()
                tokens = step()
                ours.append(tokens / (time.perf_counter() - start))
    ratio = median(ours) / median(theirs)
    print(f"here: {median(ours):,.0f} tokens/s; nanoGPT: {median(theirs):,.0f} (one thread, {rounds} rounds of {steps} steps)")
    print(f"ratio: {ratio:.2f}")
    return ratio


def _prepare_peer(peer: Path, folder: Path) -> None:
    """A folder in which nanoGPT's script finds itself and random text in our vocabulary."""
    from lib.code.splits import VOCABULARY

    for name in ("train.py", "model.py", "configurator.py"):
        shutil.copy(peer / name, folder)
    data = folder / "data" / "random"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("train.bin", "val.bin"):
        rng.integers(0, len(VOCABULARY), 300_000).astype(np.uint16).tofile(data / name)
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(VOCABULARY)}))  # the form that nanoGPT reads


def _peer_speeds(folder: Path, steps: int) -> list[float]:
    """Tokens a second of each step of nanoGPT's training loop, from what it prints."""
    from lib.presets import preset

    config = preset("paper").task("code")
    batch, context = config.training.batch_size, config.data.context
    options = {
        "dataset": "random", "device": "cpu", "dtype": "float32", "compile": False, "eval_iters": 1, "eval_interval": 10**6,
        "always_save_checkpoint": False, "log_interval": 1, "gradient_accumulation_steps": 1, "max_iters": steps,
        "batch_size": batch, "block_size": context, "n_layer": config.model.layers, "n_head": config.model.heads,
        "n_embd": config.model.width, "dropout": 0.0,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "train.py", *(f"--{name}={value}" for name, value in options.items())],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    times = [float(found) for found in re.findall(r"iter \d+: loss .*?, time ([\d.]+)ms", done.stdout)][2:]
    if not times:
        raise InputError(f"nanoGPT's train.py printed no step times: {(done.stderr or done.stdout).strip()[-400:]}")
    return [1_000 * batch * context / milliseconds for milliseconds in times]
