"""The original's pickles as plain data: nothing in a file is executed, whatever it holds.

A pickle is a program that may call whatever it can name. Here it can name five things, and gets stand-ins of ours
for them that only keep what they are given; even NumPy's own reconstruction is left out. Any other name is refused.
"""

import io
import math
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NetworkError

ELEMENTS = ("f2", "f4", "f8", "i4", "i8")
"""Types of numbers that a snapshot may hold, by NumPy's short names."""


class Network:
    """Stands in for `tfutil.Network`: the state it was pickled with, unread."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class ArrayType:
    """Stands in for `numpy.ndarray`, which pickles name as an argument."""


class Element:
    """Stands in for `numpy.dtype`."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in ELEMENTS:
            raise pickle.UnpicklingError(f"numbers of type {name!r}; a snapshot holds {', '.join(ELEMENTS)}")
        self.dtype = np.dtype(name).newbyteorder("<")

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "|"):
            raise pickle.UnpicklingError(f"numbers in byte order {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])

    def read(self, shape: tuple[int, ...], content: Any) -> NDArray[Any]:
        """Numbers of this type from their bytes."""
        if not isinstance(content, bytes) or len(content) != math.prod(shape) * self.dtype.itemsize:
            raise pickle.UnpicklingError(f"an array of shape {shape} whose bytes do not fit it")
        return np.frombuffer(content, self.dtype).astype(self.dtype.newbyteorder("="))


class Array:
    """Stands in for `numpy.core.multiarray._reconstruct`: an array, empty until its state comes."""

    value: NDArray[Any] = np.empty(0, np.float32)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, element, in_columns, content = state
        shape = tuple(int(side) for side in shape)
        if not isinstance(element, Element) or min(shape, default=0) < 0:
            raise pickle.UnpicklingError(f"an array of shape {shape} without a type of numbers")
        self.value = element.read(shape, content).reshape(shape, order="F" if in_columns else "C")


class Scalar:
    """Stands in for `numpy.core.multiarray.scalar`: one number."""

    value: float = math.nan

    def __init__(self, element: Any, content: Any) -> None:
        if not isinstance(element, Element):
            raise pickle.UnpicklingError("a number without a type")
        self.value = float(element.read((1,), content)[0])


ALLOWED: dict[tuple[str, str], type] = {
    ("tfutil", "Network"): Network,
    ("numpy", "ndarray"): ArrayType,
    ("numpy", "dtype"): Element,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): Scalar,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file)
        # a pickle may set attributes of what it names: it gets classes of its own, which go with it
        self._own = {name: type(stand_in.__name__, (stand_in,), {}) for name, stand_in in ALLOWED.items()}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The stand-in for a name; any name that has none is refused."""
        if (module_name, global_name) not in self._own:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which no network snapshot needs and which may be harmful"
            )
        return self._own[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> Any:
        """Nothing lies outside a snapshot."""
        raise pickle.UnpicklingError(f"it refers to {pid!r} outside the file")


def networks(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The states of G, D and Gs as the file holds them; arrays are `Array` and single numbers `Scalar`.

    Raises
    ------
    NetworkError
        No such file, not a pickle, one that names anything else, or not of three networks.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such file. Name a network snapshot (.pkl) of the original implementation.")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except (
        pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, TypeError, ValueError,
        OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise NetworkError(
            f"{path}: refused: {error or type(error).__name__}. A network snapshot of the original is a pickle of "
            f"three tfutil.Network (G, D, Gs); if this should be one, obtain it again."
        ) from error
    parts = cast(tuple[Any, ...], content) if isinstance(content, tuple) else ()
    states = [part.state for part in parts if isinstance(part, Network) and isinstance(part.state, dict)]
    if len(parts) != 3 or len(states) != 3:
        raise NetworkError(f"{path}: not a snapshot of the original: it does not hold three networks (G, D, Gs).")
    return states[0], states[1], states[2]
