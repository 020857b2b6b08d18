"""The bytes of one file received so far, and the disk that they are written to."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import FetchError

_BLOCK_BYTES = 1 << 20


class Origin(BaseModel):
    """Where the bytes come from: URL without credentials, its validators, and the length of the whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str
    etag: str | None
    last_modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """For If-Range (RFC 9110, 13.1.5): a strong ETag, else the time of the last change."""
        if self.etag is not None and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


class PartialFile:
    """`<target>.partial`, open and locked, hashed while it is written; `<target>.partial.json` has its origin.

    Writes are unbuffered: a killed process loses no byte that it received. `resized` is called with every change of
    the size. Raises `FetchError` if another process has the file open.
    """

    def __init__(
        self, target: Path, algorithms: Iterable[str], resized: Callable[[int], object] = lambda change: None
    ) -> None:
        self.target = target
        self.path = path_of(target)
        self.origin: Origin | None = None
        self._origin_path = Path(f"{self.path}.json")
        self._algorithms = tuple(algorithms)
        self._resized = resized
        self._reset()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._lock():
            self._file.close()
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            self._hash(block)
        try:
            self.origin = Origin.model_validate_json(self._origin_path.read_bytes())
        except (FileNotFoundError, ValidationError):
            self.origin = None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def restart(self, origin: Origin | None) -> None:
        """Discard all bytes; `origin` is where the next ones come from."""
        self._file.truncate(0)
        self._resized(-self.size)
        self._reset()
        if origin is None:
            self._origin_path.unlink(missing_ok=True)
        else:
            atomic.write_bytes(self._origin_path, origin.model_dump_json().encode())
        self.origin = origin

    def append(self, block: bytes) -> None:
        """Add received bytes."""
        view = memoryview(block)
        while view:
            written = self._file.write(view)
            self._hash(view[:written])
            self._resized(written)
            view = view[written:]

    def digests(self) -> dict[str, str]:
        """The hashes of all bytes, as hex."""
        return {name: hasher.hexdigest() for name, hasher in self._hashers.items()}

    def finish(self) -> None:
        """Give the verified file its final name."""
        os.fsync(self._file.fileno())
        self.path.replace(self.target)
        self._origin_path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the partial file."""
        self.path.unlink(missing_ok=True)
        self._origin_path.unlink(missing_ok=True)

    def _lock(self) -> bool:
        """Open and lock the file; False if another process renamed or deleted it before it was locked."""
        self._file = self.path.open("ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise FetchError(
                f"{self.target}: another process is fetching it. Wait for that one, or stop it, and run this again."
            ) from error
        return self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))

    def _reset(self) -> None:
        self.size = 0
        self._hashers = {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}

    def _hash(self, block: bytes | memoryview) -> None:
        self.size += len(block)
        for hasher in self._hashers.values():
            hasher.update(block)


def path_of(target: Path) -> Path:
    """The partial file of `target`."""
    return target.with_name(target.name + atomic.PARTIAL_SUFFIX)


def size_of(target: Path) -> int:
    """Bytes of `target` that an earlier run received."""
    path = path_of(target)
    return path.stat().st_size if path.is_file() else 0


def check_free_space(folder: Path, label: str, missing: int) -> None:
    """Raise `FetchError` if the disk of `folder` has fewer than `missing` bytes free; `label` starts the message."""
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise FetchError(
            f"{label}: {missing} bytes are missing, but {folder.resolve()} has {free} free. "
            f"Free some space, or make that folder a link to a larger disk."
        )


@contextmanager
def disk_errors(target: Path) -> Generator[None]:
    """Turn operating system errors while `target` is written or read into `FetchError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cause = "the disk is full" if full else f"{error.filename or target} cannot be read or written"
        remedy = f"Free some space below {target.parent}" if full else "Check the path and its permissions"
        raise FetchError(
            f"{target}: {cause} ({error.strerror or error}). {remedy} and run this again; received bytes are kept."
        ) from error
