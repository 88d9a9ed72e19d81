"""Benchmarks: how much faster a part of this project is than the plain way, as ratios that hold across machines."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from lib.dyck.language import sample_structures, with_types
from lib.dyck.splits import DyckConfig


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
