"""Why a place did not give a file, and what is sensible next."""

from enum import Enum, auto


class Next(Enum):
    """What to do after a fault."""

    AGAIN = auto()
    """Ask the same place again, and go on where it stopped."""
    AFRESH = auto()
    """Ask the same place again, from the first byte: what is here does not go together with what it has."""
    CORRUPT = auto()
    """Discard what is here: it has all bytes, and they are wrong."""
    ELSEWHERE = auto()
    """This place will not give the file now; ask the next one."""


class PlaceError(Exception):
    """One attempt at one place failed.

    Parameters
    ----------
    cause
        What happened, with the values that show it.
    then
        What is sensible next.
    remedy
        What the user can do about this cause in particular, if anything.
    wait_seconds
        How long the place asked to be left alone.
    """

    def __init__(self, cause: str, then: Next, *, remedy: str = "", wait_seconds: float = 0.0) -> None:
        super().__init__(cause)
        self.cause = cause
        self.then = then
        self.remedy = remedy
        self.wait_seconds = wait_seconds
