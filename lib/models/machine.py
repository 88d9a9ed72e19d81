"""What depends on the machine: devices, precision, memory. What was chosen is recorded with what it made."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

import torch

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


def resolve_precision(name: str, device: torch.device) -> str:
    """`auto` is bfloat16 where the hardware multiplies such matrices faster, else float32.

    That is on GPUs that know the format, and on processors with AMX tiles. Others may gain, too, if they have bfloat16
    instructions at all; without, training in bfloat16 took longer where that was measured (`benchmarks/precision.py` does).
    """
    if name != "auto":
        return name
    gains = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_amx_tile_supported()
    return "bfloat16" if gains else "float32"


def spare_memory() -> None:
    """Have training neither ask for the same memory again and again nor keep what it does not need. To be called first.

    The C library keeps what a step frees instead of asking for it again, page by page, in the next; only glibc knows how. And
    PyTorch's kernels on the CPU keep a plan and its working memory for each of the last 1,024 shapes of products: batches come
    in hundreds of lengths, so that is gigabytes; fewer cost no time. They read their limit once, at the first product.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**31 - 1)
        library.mallopt(mmap_threshold, 2**30)
