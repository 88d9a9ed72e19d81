"""What depends on the machine is found out by what it does, and PyTorch's own settings are as before afterwards."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib.models import machine
from lib.models.machine import BLAS, ONEDNN, by_onednn, faster_precision, library_for_products, products_by
from lib.models.training import Trainer, TrainingConfig, learning_rate
from lib.models.transformer import ModelConfig, Transformer

CPU = torch.device("cpu")
SHAPE = ModelConfig(layers=2, heads=2, width=32, mlp_width=64)


@pytest.mark.parametrize(("half", "expected"), [(1.0, "bfloat16"), (1.7, "bfloat16"), (1.9, "float32"), (3.0, "float32")])
@pytest.mark.parametrize(("device", "clock"), [("cpu", "process_time"), ("cuda", "perf_counter")])
def test_the_faster_precision_is_taken_by_the_shortest_of_its_times(monkeypatch, device, clock, half, expected):
    """A step in single precision takes 2 seconds here, now and then 9; bfloat16 has to be clearly faster."""
    now = itertools.count()
    elapsed = 0.0

    def step(precision: str):
        def run() -> None:
            nonlocal elapsed
            elapsed += (half if precision == "bfloat16" else 2.0) + 7.0 * (next(now) % 3 == 0)

        return run

    monkeypatch.setattr(time, clock, lambda: elapsed)
    assert faster_precision(step, torch.device(device)) == expected


def test_what_else_a_machine_does_does_not_make_a_way_slower():
    """To sleep is what a process does while others have the processor."""
    draw = torch.randn(200, 200, dtype=torch.float64)

    def step(precision: str):
        def run() -> None:
            time.sleep(0.02 if precision == "bfloat16" else 0)
            for _ in range(2 if precision == "bfloat16" else 12):
                draw @ draw

        return run

    assert faster_precision(step, CPU) == "bfloat16"


@pytest.mark.parametrize(("gain", "expected"), [(0.8, BLAS), (1.4, BLAS), (1.6, ONEDNN)])
def test_onednn_computes_products_where_it_is_much_faster(monkeypatch, gain, expected):
    monkeypatch.setattr(machine, "_gain", lambda *_: gain)
    assert library_for_products(CPU) == (BLAS if _is_coarse() else expected)
    assert library_for_products(torch.device("cuda")) == BLAS


def _is_coarse() -> bool:
    """Whether oneDNN computes in bfloat16 on this machine where it may."""
    one = torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    with products_by(ONEDNN):
        found = one @ one
    exact = one.double() @ one.double()
    return bool((found - exact).norm() > 1e-5 * exact.norm())


def test_a_library_that_computes_in_half_precision_is_not_taken_for_single(monkeypatch):
    @contextlib.contextmanager
    def coarse(library: str):
        with torch.autocast("cpu", torch.bfloat16, enabled=library == ONEDNN):
            yield

    monkeypatch.setattr(machine, "_gain", lambda *_: 9.0)
    monkeypatch.setattr(machine, "products_by", coarse)
    assert library_for_products(CPU) == BLAS


@pytest.mark.parametrize("library", [BLAS, ONEDNN])
def test_the_library_is_taken_back(library):
    before = torch.get_float32_matmul_precision()
    assert not by_onednn(torch.float32, CPU)
    torch.set_float32_matmul_precision("high")
    try:
        with products_by(library):
            assert by_onednn(torch.float32, CPU) == (library == ONEDNN)
            assert not by_onednn(torch.float64, CPU)
            assert not by_onednn(torch.float32, torch.device("cuda"))
        with pytest.raises(KeyError), products_by(library):
            raise KeyError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def loss_and_gradients(library: str) -> list[torch.Tensor]:
    """Of one batch."""
    model = Transformer.seeded(SHAPE, 12, 40, 0)
    tokens = torch.randint(12, (16, 33), generator=torch.Generator().manual_seed(0))
    with products_by(library):
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters())]


def test_both_libraries_compute_the_same_gradients():
    """By other kernels of attention, too."""
    tolerance = 3e-2 if _is_coarse() else 1e-5
    for one, other in zip(loss_and_gradients(BLAS), loss_and_gradients(ONEDNN), strict=True):
        assert (one - other).norm() <= tolerance * one.norm() + 1e-9


# The optimizer


def test_a_step_is_that_of_the_adamw_of_pytorch():
    config = TrainingConfig(steps=6, warmup_steps=2, weight_decay=0.3, batch_size=4)
    trainer, expected = (Transformer.seeded(SHAPE, 12, 40, 0) for _ in range(2))
    trainer = Trainer(trainer, config, "float32")
    named = dict(expected.named_parameters())
    decayed = [n for n in named if n.endswith("weight") and "norm" not in n and "embedding" not in n]
    groups = [
        {"params": [named[n] for n in decayed], "weight_decay": 0.3},
        {"params": [named[n] for n in named if n not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    rng = np.random.default_rng(0)
    for step in range(config.steps):
        tokens = torch.from_numpy(rng.integers(12, size=(4, 21)))
        trainer.train_on(tokens[:, :-1], tokens[:, 1:])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        optimizer.zero_grad()
        F.cross_entropy(expected(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(expected.parameters(), config.clip_norm)
        optimizer.step()
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, named[name]), name


def test_training_does_without_the_compiler_of_pytorch():
    """It takes a second to load."""
    statements = """
import sys, torch
from lib.models.training import Trainer, TrainingConfig
from lib.models.transformer import ModelConfig, Transformer
trainer = Trainer(Transformer.seeded(ModelConfig(), 9, 8, 0), TrainingConfig(steps=2), "float32")
trainer.train_on(torch.ones(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long))
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", statements], check=True)
