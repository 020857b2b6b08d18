"""Loops compiled by numba: the decorator, array types, and how a float becomes a pixel.

But for `contracted`, nothing is contracted or reordered, so a loop gives the bytes of the same Python. numba keeps
machine code in `__pycache__` and compares the time stamp of the function's own file only: after a change here, remove
that folder.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

_settings: Any = config
if _settings.CPU_FEATURES is None and "+avx512f" in get_host_cpu_features():
    # where an Intel processor has vectors of 512 bits, LLVM uses 256 of them; the exact renderer is faster with all
    _settings.CPU_FEATURES = f"{get_host_cpu_features()},-prefer-256-bit"

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint32]
Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """`function` as machine code, compiled on first use; it releases the GIL."""
    return numba.njit(nogil=True, cache=True, error_model="numpy")(function)


def contracted(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, but a multiplication and an addition may be rounded once: faster, with other last bits."""
    return numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})(function)


@compiled
def level(value: float | np.floating) -> np.uint8:
    """A float as a pixel: truncated, and clipped to 0...255."""
    return np.uint8(min(max(np.int32(value), np.int32(0)), np.int32(255)))
