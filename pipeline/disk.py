"""Free space: required before a stage starts, and named in one sentence where it runs out."""

import errno
import os
import re
import resource
import shutil
from pathlib import Path

from pipeline.errors import DiskFullError

FULL = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota of the disk is used up: free some space",
    errno.EFBIG: "no file may grow larger (a limit of the file system, or ulimit -f): raise that limit",
}
"""What is wrong and what to do, by the error's number."""

NEARLY_NOTHING = 1 << 16
"""Bytes. If no more are left, an error of a library that does not state its cause is want of space."""

_TEXT = re.compile("|".join(f"errno = {number},|os error {number}\\)|{os.strerror(number)}" for number in FULL))


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of `folder`, or of its nearest parent that exists."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def require(folder: Path, needed: int, what: str) -> None:
    """Raise `DiskFullError` if fewer than `needed` bytes are free on the disk of `folder`; `what` needs them."""
    free = free_bytes(folder)
    if needed > free:
        raise DiskFullError(
            f"{what} needs about {gigabytes(needed)} below {folder.absolute()}, {gigabytes(free)} are free: free "
            f"{gigabytes(needed - free)} more, or make that folder a link to a larger disk."
        )


def full_error(path: Path, written: Path, error: BaseException) -> DiskFullError | None:
    """The error that says that `path` could not be written for want of space; None if `error` has another cause.

    `written`: the file that was written, so far.
    """
    number = _number(error)
    if number is None and isinstance(error, OSError | RuntimeError):
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = written.stat().st_size if written.exists() else 0
        if free_bytes(path.parent) < NEARLY_NOTHING:
            number = errno.ENOSPC
        elif limit != resource.RLIM_INFINITY and size > limit - NEARLY_NOTHING:
            number = errno.EFBIG
    if number is None:
        return None
    return DiskFullError(f"{path}: {FULL[number]} and run this again; what is finished is kept.")


def gigabytes(count: int) -> str:
    """A number of bytes as text: GB, or MB below one."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _number(error: BaseException | None) -> int | None:
    """Why space is wanting, of an error or of what caused it; HDF5, Arrow and others state it only in their text."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error.errno
        if isinstance(error, Exception) and (found := _TEXT.search(str(error))):
            return next(n for n in FULL if str(n) in re.findall(r"\d+", found[0]) or os.strerror(n) == found[0])
        error = error.__cause__ or error.__context__
    return None
