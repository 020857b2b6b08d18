"""The bytes of one file that are here so far: they survive the process, and only one process adds to them."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import FetchError

_BLOCK_BYTES = 1 << 20


class _Digest(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class Origin(BaseModel):
    """Which bytes the partial file began: the answer's address, its validators, and how many bytes there are in all.

    The address is without a password that the place may ask for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str
    etag: str | None
    last_modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """What says for certain that bytes are still the same ones: a strong ETag, or else the time of change."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class Partial:
    """`<target>.partial`, open and locked, with the digests of what it holds; and its `Origin` in a file beside.

    Every block is handed to the system as it arrives, so a killed process loses none that it counted.

    Parameters
    ----------
    target
        The name that the file gets when it is whole.
    algorithms
        Digests to keep, by the names that `hashlib` uses.

    Raises
    ------
    FetchError
        Another process has it open.
    """

    def __init__(self, target: Path, algorithms: Iterable[str]) -> None:
        self.target = target
        self.path = path_of(target)
        self._state = _state_of(target)
        self._algorithms = tuple(algorithms)
        self._digests = self._fresh_digests()
        self.size = 0
        self.origin: Origin | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._lock():
            self._file.close()
        self._take_up()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, origin: Origin) -> None:
        """Drop what is here and start again from the first byte."""
        self._file.truncate(0)
        self.size = 0
        self._digests = self._fresh_digests()
        self.go_on_from(origin)

    def go_on_from(self, origin: Origin) -> None:
        """Note where the next bytes come from."""
        if origin != self.origin:
            atomic.write_bytes(self._state, origin.model_dump_json().encode())
            self.origin = origin

    def append(self, block: bytes) -> None:
        """Add bytes that have just arrived."""
        view = memoryview(block)
        while view:
            written = self._file.write(view)
            for digest in self._digests.values():
                digest.update(view[:written])
            self.size += written
            view = view[written:]

    def digests(self) -> dict[str, str]:
        """Of all bytes that are here, as hex."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def discard(self) -> None:
        """Drop what is here, and where it came from."""
        self._file.truncate(0)
        self.size = 0
        self._digests = self._fresh_digests()
        self._state.unlink(missing_ok=True)
        self.origin = None

    def finish(self) -> None:
        """Give the file, which was verified, its final name."""
        os.fsync(self._file.fileno())
        self.path.replace(self.target)
        self._state.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Remove the partial file: its bytes are not needed."""
        forget(self.target)

    def _lock(self) -> bool:
        """Open and lock the file; False where another process renamed it in between, so that it is a whole one now."""
        self._file = self.path.open("ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise FetchError(
                f"{self.target}: another process is fetching it. Wait for that one, or stop it, and run this again."
            ) from error
        return self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))

    def _take_up(self) -> None:
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            self.origin = Origin.model_validate_json(self._state.read_bytes())
        except (FileNotFoundError, ValidationError):
            self.origin = None
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            for digest in self._digests.values():
                digest.update(block)

    def _fresh_digests(self) -> dict[str, _Digest]:
        return {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}


def path_of(target: Path) -> Path:
    """Where the bytes of `target` wait until they are all there."""
    return target.with_name(target.name + atomic.PARTIAL_SUFFIX)


def forget(target: Path) -> None:
    """Remove what is here of `target` from an earlier run."""
    path_of(target).unlink(missing_ok=True)
    _state_of(target).unlink(missing_ok=True)


def size_of(target: Path) -> int:
    """Bytes of `target` that are here from an earlier run."""
    path = path_of(target)
    return path.stat().st_size if path.is_file() else 0


def _state_of(target: Path) -> Path:
    path = path_of(target)
    return path.with_name(f"{path.name}.json")


@contextmanager
def naming_disk_faults(target: Path) -> Generator[None]:
    """Turn what the system says of a disk or a folder, while `target` is written or read, into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            cause, remedy = "the disk is full", f"make room below {target.parent}"
        else:
            cause, remedy = f"{error.filename or target} cannot be read or written", "see who may write there"
        raise FetchError(
            f"{target}: {cause} ({error.strerror or error}). What was fetched is kept: {remedy} and run this again."
        ) from error
