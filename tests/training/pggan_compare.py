"""How an array of ours is held to one of the original's."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Compared(NamedTuple):
    """One comparison: the largest difference and what is allowed, both relative to the reference's largest value."""

    what: str
    error: float
    allowed: float


def compare(what: str, ours: Any, theirs: Any, *, allowed: float, noise: float = 0.0) -> Compared:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, what
    largest = max(float(np.abs(theirs).max(initial=0)), 1e-12)
    error = float(np.abs(ours - theirs).max(initial=0)) / largest
    assert np.isfinite(error), what
    return Compared(what, error, max(allowed, 10 * noise / largest))


def compare_gradients(
    what: str, single: Any, double: Any, theirs: NDArray[Any], *, allowed: float, noise: float
) -> Compared:
    """As `compare` for `single`; where it fails, for `double` if both are close as a whole."""
    result = compare(what, single, theirs, allowed=allowed, noise=noise)
    distance = np.linalg.norm(np.asarray(single) - np.asarray(double)) / max(np.linalg.norm(double), 1e-12)
    if result.error <= result.allowed or distance > 1e-2:
        return result
    return compare(f"{what} (float64)", double, theirs, allowed=allowed, noise=noise)
