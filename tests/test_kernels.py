"""What is true of the subject is true on every processor: the numeric tests again under other instruction sets and threads.

Libraries choose their instructions when they are loaded, so each choice is a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
FILES = [f"tests/test_{part}.py" for part in ("measures", "models", "proxies", "intervals")]
KERNELS = {
    "products as on every processor, one thread": {
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OMP_NUM_THREADS": "1",
        "TEST_THREADS": "1",
    },
    "products with narrow vectors, two threads": {
        "MKL_CBWR": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",  # else each waits for the other at full speed, in the way of whoever else is busy
        "TEST_THREADS": "2",
    },
    "everything else without vectors": {"ATEN_CPU_CAPABILITY": "default"},
}
# What may be set where these tests run; that of pytest would make a worker of an outer run of the inner one.
_CHOICES = ("MKL_", "OPENBLAS_", "ONEDNN_", "OMP_", "ATEN_", "TEST_THREADS", "PYTEST_")


@pytest.mark.parametrize("chosen", KERNELS.values(), ids=KERNELS.keys())
def test_what_is_measured_does_not_depend_on_the_instruction_set(chosen):
    others = {name: value for name, value in os.environ.items() if not name.startswith(_CHOICES)}
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "kernels", "-q", "-p", "no:cacheprovider", *FILES],
        cwd=ROOT,
        env={**others, **chosen},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-5_000:] + finished.stderr[-5_000:]
