"""What depends on the machine: devices, precision, memory. What was chosen is recorded with what it made."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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


DEFAULT, ONEDNN = "PyTorch's default", "oneDNN"  # libraries for products of float32 on the CPU


def faster(asked: str, step: Callable[[str, str], Callable[[], object]], device: torch.device) -> tuple[str, str]:
    """Precision and library with which a step, given both, takes less time; `asked` is a precision or auto.

    A step in bfloat16 has no products of float32, so no library is looked for.
    """
    if asked == "bfloat16":
        return asked, DEFAULT
    library = faster_library(lambda name: step("float32", name), device)
    if asked == "auto" and faster_precision(lambda name: step(name, library), device) == "bfloat16":
        return "bfloat16", DEFAULT
    return "float32", library


def faster_library(step: Callable[[str], Callable[[], object]], device: torch.device, rounds: int = 6) -> str:
    """The library for products of float32 with which a step takes less time, oneDNN only if it is clearly faster, and exact.

    `step` gives a step with a library. PyTorch's builds for x86 take MKL, which makes the most of its own maker's processors,
    and of small matrices. A gain has to be clear, as weights show in their last digits which library it was.
    """
    if device.type != "cpu" or not is_exact(ONEDNN):
        return DEFAULT
    return ONEDNN if _gain(step(DEFAULT), step(ONEDNN), device, rounds) > 1.2 else DEFAULT


def faster_precision(step: Callable[[str], Callable[[], object]], device: torch.device, rounds: int = 6) -> str:
    """The precision in which a step takes less time on a device, bfloat16 only if it is clearly faster.

    `step` gives a step in a precision. What a processor says of itself does not tell: of those without a unit for matrices in
    bfloat16, some gain half as much again and some lose.
    """
    return "bfloat16" if _gain(step("float32"), step("bfloat16"), device, rounds) > 1.1 else "float32"


def is_exact(library: str) -> bool:
    """Whether a library's products of float32 are exact to 1e-6 here: with a unit for bfloat16, oneDNN may compute in that."""
    draw = torch.Generator().manual_seed(0)
    left, right = torch.randn(512, 128, generator=draw), torch.randn(128, 512, generator=draw)
    with products_by(library):
        found = left @ right
    exact = left.double() @ right.double()
    return bool((found - exact).norm() < 1e-6 * exact.norm())


@contextmanager
def products_by(library: str) -> Iterator[None]:
    """Have a library compute products of float32 on the CPU meanwhile. PyTorch asks oneDNN where bfloat16 would do."""
    of = torch.backends.mkldnn.matmul
    # what was inherited from the setting for all that oneDNN does is inherited afterwards, too: none
    before = "none" if of.fp32_precision == torch.backends.mkldnn.fp32_precision else of.fp32_precision
    of.fp32_precision = "bf16" if library == ONEDNN else "ieee"
    try:
        yield
    finally:
        of.fp32_precision = before


def by_onednn(kind: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN is asked for products of a kind of numbers now. It makes a plan for every shape: few shapes should be
    asked for, and no small ones, of which PyTorch's fused attention is made.
    """
    single = kind == torch.float32 and torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    return device.type == "cpu" and (kind == torch.bfloat16 or single)


def _gain(usual: Callable[[], object], other: Callable[[], object], device: torch.device, rounds: int) -> float:
    """How many times as fast the other way is, by turns and the shortest time of each, which is disturbed the least.

    Of one thread on a CPU it is processor time that counts, where it is told finely enough: by the clock a busy machine would
    choose now this way, now that. Of several it is the clock, as they wait for each other.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    fine = time.get_clock_info("process_time").resolution < 1e-4
    clock = time.process_time if alone and fine else time.perf_counter
    times: tuple[list[float], list[float]] = [], []
    for _ in range(rounds + 1):  # the first of each makes plans
        for way, found in zip((usual, other), times, strict=True):
            start = clock()
            way()
            found.append(clock() - start)
    usual_time, other_time = (min(found[1:]) for found in times)
    return usual_time / other_time


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
