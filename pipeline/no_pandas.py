"""Keeps libraries from loading pandas where they do so only to know its values: a quarter of a second and 45 MiB."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


class _Absent:
    """A finder of modules that finds no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


@contextmanager
def no_pandas() -> Generator[None]:
    """In this context pandas is not installed, unless it was loaded before."""
    if "pandas" in sys.modules:
        yield
        return
    sys.meta_path.insert(0, _Absent)
    try:
        yield
    finally:
        sys.meta_path.remove(_Absent)


def arrow_without_pandas() -> None:
    """Have pyarrow, if this process has loaded it, look for pandas now and find none; it looks once, for a value."""
    if "pyarrow" in sys.modules:
        with no_pandas():
            sys.modules["pyarrow"].scalar(0)
