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
from lib.models.machine import DEFAULT, ONEDNN, faster, faster_library, faster_precision, is_exact, products_by
from lib.models.trainer import Trainer, TrainingConfig, learning_rate
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

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(time, clock, lambda: elapsed)
    assert faster_precision(step, torch.device(device)) == expected


@pytest.mark.skipif(torch.get_num_threads() > 1, reason="of several threads the clock counts")
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


def test_of_several_threads_the_clock_counts(monkeypatch):
    """One that waits for another takes processor time, and saves none."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(time, "process_time", lambda: pytest.fail("processor time was asked for"))
    assert faster_precision(lambda precision: lambda: time.sleep(0.02 if precision == "float32" else 0), CPU) == "bfloat16"


def steps(**seconds: float):
    """Steps of a made-up machine, by precision, or in float32 by library; and its clock, which only they move."""
    now = 0.0

    def step(precision: str, library: str):
        def run() -> None:
            nonlocal now
            now += seconds[library if precision == "float32" else precision]

        return run

    return step, lambda: now


@pytest.mark.parametrize(("other", "expected"), [(1.2, DEFAULT), (0.9, DEFAULT), (0.8, ONEDNN), (0.5, ONEDNN)])
def test_onednn_computes_products_where_a_step_is_clearly_faster_by_it(monkeypatch, other, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    step, clock = steps(**{DEFAULT: 1.0, ONEDNN: other})
    monkeypatch.setattr(time, "process_time", clock)
    monkeypatch.setattr(machine, "is_exact", lambda library: True)
    assert faster_library(lambda library: step("float32", library), CPU) == expected


@pytest.mark.parametrize(
    ("asked", "onednn", "half", "expected"),
    [
        pytest.param("float32", 0.5, 0.1, ("float32", ONEDNN), id="asked for float32"),
        pytest.param("bfloat16", 0.5, 9.0, ("bfloat16", DEFAULT), id="asked for bfloat16"),
        pytest.param("auto", 0.5, 0.4, ("bfloat16", DEFAULT), id="bfloat16 is fastest"),
        pytest.param("auto", 0.5, 0.7, ("float32", ONEDNN), id="bfloat16 is faster than the default alone"),
        pytest.param("auto", 0.95, 0.99, ("float32", DEFAULT), id="no gain is clear"),
    ],
)
def test_the_fastest_way_is_taken(monkeypatch, asked, onednn, half, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    step, clock = steps(**{DEFAULT: 1.0, ONEDNN: onednn, "bfloat16": half})
    monkeypatch.setattr(time, "process_time", clock)
    monkeypatch.setattr(machine, "is_exact", lambda library: True)
    assert faster(asked, step, CPU) == expected


def never(library: str):
    raise AssertionError(f"{library} was timed")


def test_a_library_is_timed_only_on_a_cpu_and_where_it_does_not_compute_in_half_precision(monkeypatch):
    @contextlib.contextmanager
    def coarse(library: str):
        with torch.autocast("cpu", torch.bfloat16, enabled=library == ONEDNN):
            yield

    assert faster_library(never, torch.device("cuda")) == DEFAULT
    monkeypatch.setattr(machine, "products_by", coarse)
    assert is_exact(DEFAULT)
    assert not is_exact(ONEDNN)
    assert faster_library(never, CPU) == DEFAULT


SETTINGS = {  # and whether products then follow what is said of all that oneDNN does
    "nothing": ("pass", True),
    "for all, the old way": ("torch.set_float32_matmul_precision('high')", False),
    "for all, the new way": ("torch.backends.fp32_precision = 'tf32'", True),
    "for CUDA": ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", True),
    "for the CPU": ("torch.backends.mkldnn.matmul.fp32_precision = 'tf32'", False),
}


@pytest.mark.parametrize(("setting", "follow"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_pytorch_are_as_before_and_do_not_stand_in_the_way(setting, follow):
    """In a process of its own, as some of them cannot be taken back."""
    statements = f"""
import torch
from lib.models.machine import DEFAULT, ONEDNN, by_onednn, products_by
from lib.models.trainer import Trainer, TrainingConfig
from lib.models.transformer import ModelConfig, Transformer

def settings():
    of = torch.backends
    found = [of.fp32_precision, of.cuda.matmul.fp32_precision, of.mkldnn.fp32_precision, of.mkldnn.matmul.fp32_precision]
    try:
        return found, torch.get_float32_matmul_precision()
    except RuntimeError as error:  # where old and new settings contradict each other
        return found, str(error)

single, cpu = torch.float32, torch.device("cpu")
{setting}
before = settings()
for library in (DEFAULT, ONEDNN):
    try:
        with products_by(library):
            assert by_onednn(single, cpu) == (library == ONEDNN)
            assert by_onednn(torch.bfloat16, cpu) and not by_onednn(torch.float64, cpu)
            assert not by_onednn(single, torch.device("cuda"))
            raise KeyError
    except KeyError:
        pass
    trainer = Trainer(Transformer.seeded(ModelConfig(), 9, 8, 0), TrainingConfig(steps=2), "float32", library)
    trainer.train_on(torch.ones(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long))
    trainer.model(torch.ones(2, 4, dtype=torch.long))
    assert settings() == before, (settings(), before)
assert not by_onednn(single, cpu)
torch.backends.mkldnn.fp32_precision = "bf16"
assert by_onednn(single, cpu) == {follow}
"""
    subprocess.run([sys.executable, "-c", statements], check=True)


def loss_and_gradients(library: str, length: int) -> list[torch.Tensor]:
    """Of one batch."""
    model = Transformer.seeded(SHAPE, 12, 600, 0)
    tokens = torch.randint(12, (4, length + 1), generator=torch.Generator().manual_seed(0))
    with products_by(library):
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("length", [32, 256, 257, 600])
def test_both_libraries_compute_the_same_gradients(length):
    """By other kernels of attention, too, where sequences are short."""
    tolerance = 1e-5 if is_exact(ONEDNN) else 3e-2
    for one, other in zip(loss_and_gradients(DEFAULT, length), loss_and_gradients(ONEDNN, length), strict=True):
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
from lib.models.trainer import Trainer, TrainingConfig
from lib.models.transformer import ModelConfig, Transformer
trainer = Trainer(Transformer.seeded(ModelConfig(), 9, 8, 0), TrainingConfig(steps=2), "float32")
trainer.train_on(torch.ones(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long))
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", statements], check=True)
