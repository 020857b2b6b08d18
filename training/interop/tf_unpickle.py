"""Restricted unpickling of the original's snapshots: no code from the file is executed.

A pickle can call any function that it names. Here five names are allowed. Each is replaced by a class of this module
that only stores its arguments, NumPy's array reconstruction too. Any other name is refused.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NetworkError

DTYPES = ("f2", "f4", "f8", "i4", "i8")
"""Allowed types, by NumPy's short names."""


class Network:
    """Replaces `tfutil.Network`: stores its pickled state."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class ArrayType:
    """Replaces `numpy.ndarray`, which pickles name as an argument."""


class DType:
    """Replaces `numpy.dtype`."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in DTYPES:
            raise pickle.UnpicklingError(f"numbers of type {name!r}; allowed are {', '.join(DTYPES)}")
        self.dtype = np.dtype(name).newbyteorder("<")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise pickle.UnpicklingError(f"numbers in byte order {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])

    def read(self, shape: tuple[int, ...], content: Any) -> NDArray[Any]:
        """An array of this type from its bytes."""
        if not isinstance(content, bytes) or len(content) != math.prod(shape) * self.dtype.itemsize:
            raise pickle.UnpicklingError(f"an array of shape {shape} with another number of bytes")
        return np.frombuffer(content, self.dtype).astype(self.dtype.newbyteorder("="))


class Array:
    """Replaces `numpy.core.multiarray._reconstruct`: an array, empty until `__setstate__`."""

    value: NDArray[Any] = np.empty(0, np.float32)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran_order, content = state
        shape = tuple(int(side) for side in shape)
        if not isinstance(dtype, DType) or min(shape, default=0) < 0:
            raise pickle.UnpicklingError(f"an array of shape {shape} without a type of numbers")
        self.value = dtype.read(shape, content).reshape(shape, order="F" if fortran_order else "C")


class Scalar:
    """Replaces `numpy.core.multiarray.scalar`: one number."""

    value: float = math.nan

    def __init__(self, dtype: Any, content: Any) -> None:
        if not isinstance(dtype, DType):
            raise pickle.UnpicklingError("a number without a type")
        self.value = float(dtype.read((1,), content)[0])


ALLOWED: dict[tuple[str, str], type] = {
    ("tfutil", "Network"): Network,
    ("numpy", "ndarray"): ArrayType,
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): Scalar,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file)
        # a pickle can set attributes of the classes that it names: each file gets its own subclasses
        self._classes = {name: type(allowed.__name__, (allowed,), {}) for name, allowed in ALLOWED.items()}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The replacement of an allowed name."""
        if (module_name, global_name) not in self._classes:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which no network snapshot needs and which may be harmful"
            )
        return self._classes[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> Any:
        """Refuse references to objects outside the file."""
        raise pickle.UnpicklingError(f"it refers to {pid!r} outside the file")


def networks(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The states of G, D and Gs; arrays in them are `Array`, single numbers `Scalar`.

    Raises
    ------
    NetworkError
        No such file, not a pickle, a forbidden name in it, or not three networks.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such file. Give a network snapshot (.pkl) of the original implementation.")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except (
        pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, TypeError, ValueError,
        OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise NetworkError(
            f"{path}: refused: {error or type(error).__name__}. A network snapshot of the original is a pickle of "
            f"three tfutil.Network (G, D, Gs); if this should be one, download it again."
        ) from error
    parts = cast(tuple[Any, ...], content) if isinstance(content, tuple) else ()
    states = [part.state for part in parts if isinstance(part, Network) and isinstance(part.state, dict)]
    if len(parts) != 3 or len(states) != 3:
        raise NetworkError(f"{path}: not a snapshot of the original: it does not hold three networks (G, D, Gs).")
    return states[0], states[1], states[2]
