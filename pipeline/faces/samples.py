"""Samples of more than 8 bits to 8 bits.

- 16 bits: the high byte (value >> 8), in grey and in colour.
- Floating point: values from 0 to 1 are multiplied by 255, others from 0 to 255 are used as they are; rounded to the
  nearest integer.
- There is no rule for other values and for other integers: the photograph is refused.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError


def to_bytes(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Samples of any type to 8 bits, by the rules of this module.

    `RejectedInputError`: UNDECODABLE where none holds; it names the file's format, `name`, and the range of values.
    """
    if values.dtype == np.uint8:
        return values.astype(np.uint8)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # of either byte order
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 255:  # not so where a value is no number
            return np.rint(values.astype(np.float64) * (255 if high <= 1 else 1)).astype(np.uint8)
        detail = f"{name} with floating-point values from {low:g} to {high:g}; scale them to 0...1 or 0...255"
        raise RejectedInputError(DropReason.UNDECODABLE, detail)
    detail = f"{name} with samples of type {values.dtype}; convert it to 8 or 16 bits per sample"
    raise RejectedInputError(DropReason.UNDECODABLE, detail)
