"""What depends on the machine: devices, precision, memory. What was chosen is recorded with what it made."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from lib.errors import InputError


def resolve_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; anything else is PyTorch's own name for a device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        on = torch.ones(1, device=name)
        float(on)
        return on.device
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device is {name!r}, which cannot be used here ({str(error).splitlines()[0]}); use auto or cpu"
        ) from None


def check_precision(name: str, device: torch.device) -> None:
    """Raise `InputError` for a precision that a device does not have."""
    if name == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            f"precision is 'bfloat16', which {torch.cuda.get_device_name(device)} does not have: use float32 or auto"
        )


def use_threads(count: int) -> None:
    """Compute with so many threads on the CPU; `InputError` if there are not as many processors."""
    has = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > has:
        raise InputError(f"threads is {count}, but this process may use {has} processors: ask for at most {has}")
    torch.set_num_threads(count)


def faster_precision(step: Callable[[str], Callable[[], object]], rounds: int = 5) -> str:
    """The precision in which a step takes less time here, bfloat16 only if it is clearly faster.

    `step` gives a step in a precision. What a processor says of itself does not tell: of those without a unit for matrices in
    bfloat16, some gain half as much again and some lose. Both are timed by turns, and the shortest time of each counts, as
    whatever else the machine does only ever adds.
    """
    steps = {precision: step(precision) for precision in ("float32", "bfloat16")}
    times: dict[str, list[float]] = {precision: [] for precision in steps}
    for _ in range(rounds + 1):  # the first of each makes plans
        for precision, run in steps.items():
            start = time.perf_counter()
            run()
            times[precision].append(time.perf_counter() - start)
    return "bfloat16" if min(times["float32"][1:]) > 1.15 * min(times["bfloat16"][1:]) else "float32"


def spare_memory() -> None:
    """Have training neither ask for the same memory again and again nor keep what it does not need. To be called first.

    The C library keeps what a step frees instead of asking for it again, page by page, in the next; only glibc knows how. And
    PyTorch's kernels on the CPU keep a plan and its working memory for each of the last 1,024 shapes of products, which can
    be gigabytes. They read their limit once, at the first product.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "512")
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, 2**30)


def log_(positive: Tensor) -> Tensor:
    """The natural logarithm in place; on a CPU by NumPy, whose vector code takes less than half the time of PyTorch's."""
    if positive.device.type != "cpu":
        return positive.log_()
    np.log(positive.numpy(), out=positive.numpy())
    return positive
