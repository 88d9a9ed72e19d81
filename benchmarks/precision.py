"""Training steps on code in bfloat16 against float32."""

from __future__ import annotations

import time

import torch
from harness import code_training, ratios, run, said

from lib.models.machine import resolve_device, resolve_precision
from lib.models.training import Trainer


def gradient(trainer: Trainer) -> torch.Tensor:
    """Of the last step, all parameters in one vector."""
    return torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()])


def main(steps: int = 12) -> None:
    """Training steps on code in bfloat16 against float32: above 1 this machine gains from bfloat16."""
    device = resolve_device("auto")
    (single, single_step), (half, half_step) = (code_training(name, device) for name in ("float32", "bfloat16"))
    single_step(), half_step()
    cosine = torch.cosine_similarity(gradient(single), gradient(half), dim=0)
    assert cosine > 0.99, f"gradients point in different directions: their cosine is {cosine:.3f}"
    found = ratios(single_step, half_step, steps, time.process_time if device.type == "cpu" else time.perf_counter)
    print(f"steps a second, bfloat16 over float32: {said(found)}; 'auto' takes {resolve_precision('auto', device)} here")


if __name__ == "__main__":
    run(main)
