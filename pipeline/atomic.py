"""A file has its final name only when it is complete: write a temporary file, flush it, verify it, rename it."""

import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.errors import BusyError

PARTIAL_SUFFIX = ".partial"
ABANDONED_SECONDS = 86_400
"""A temporary file that nobody has changed for so long has no writer any more."""


@contextmanager
def writing(path: Path, verify: Callable[[Path], None] | None = None) -> Generator[Path]:
    """Yield a temporary path in the folder of `path`; on success the file is flushed, verified and renamed to `path`.

    The folder is created, an existing file replaced, a folder at `path` refused with `IsADirectoryError`. `verify` is
    called with the temporary path before the rename, and raises an error to refuse the file. On an error, a
    `DiskFullError` where no space is left, the temporary file is removed and `path` stays as it was. The temporary name
    is never used twice, so of several writers of one path the last one to end replaces the file as a whole. A killed
    process leaves its `.partial` file, which `sweep` and `sweep_abandoned` remove.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _temporary(path)
    try:
        yield partial
        _flush(partial)
        if verify is not None:
            verify(partial)
        partial.replace(path)
        _flush(path.parent)
    except BaseException as error:
        full = disk.full_error(path, partial, error)
        partial.unlink(missing_ok=True)
        if full is not None:
            raise full from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with writing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON with sorted keys."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


@contextmanager
def writing_folder(target: Path, prefix: str, *, keep: bool = True) -> Generator[Path]:
    """Yield a new folder next to `target`, whose parent must exist; on success it is renamed to `target`, once.

    If a filled folder has that name already, or `keep` is false, it is removed instead: of several writers of one
    target, the first that ends publishes its folder as a whole. The files must be flushed. A writer whose folder was
    removed by `sweep` gets `FileNotFoundError`, though it may have made it again by writing to it.
    """
    folder = _temporary(target.with_name(prefix))
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)  # as long as it is open, no other folder has its number
    try:
        yield folder
        if keep:
            if folder.stat().st_ino != os.fstat(descriptor).st_ino:
                raise FileNotFoundError(errno.ENOENT, "removed while it was written", str(folder))
            os.fsync(descriptor)
            _rename_first(folder, target)
    finally:
        os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def _rename_first(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    else:
        _flush(target.parent)


def sweep(folder: Path) -> None:
    """Remove the `.partial` files and folders that killed processes left below `folder`; a writer may still run."""
    for left in [*folder.rglob(f"*{PARTIAL_SUFFIX}")]:
        with suppress(FileNotFoundError):  # in a folder that is removed already
            if left.is_dir():
                remove_folder(left)
            else:
                left.unlink()


def sweep_abandoned(folder: Path) -> None:
    """Remove temporary files of `writing` below a folder that several processes share, unless they are of the last day.

    Other `.partial` files, which may hold what was downloaded so far, stay.
    """
    oldest = time.time() - ABANDONED_SECONDS
    for left in [*folder.rglob(f"*.{'[0-9a-f]' * 8}{PARTIAL_SUFFIX}")]:
        with suppress(OSError):  # its writer has just ended, or it is another user's
            if left.is_file() and left.stat().st_ctime < oldest:  # a link keeps the time of the last write
                left.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder, though another process may still be writing to it by its name."""
    removed = _temporary(folder)
    folder.replace(removed)
    shutil.rmtree(removed)


@contextmanager
def locked(path: Path, task: str) -> Generator[None]:
    """Hold the lock file `path`, which is removed at the end; the system releases it when the process ends.

    A file system without locks is reported. `BusyError` if another process holds it; the message names it and `task`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path, task)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file `path`, as far as the file system has locks; it does not prevent a lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here
        return False
    finally:
        os.close(descriptor)
    return False


def publish(folder: Path, target: Path) -> None:
    """Rename a finished folder to `target`, which it replaces; its `.partial` files are removed first.

    Both must be on one file system. After a kill, `target` is the old folder, absent, or the new one, never a mixture.
    """
    sweep(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    retired = target.with_name(target.name + ".retired")
    if retired.exists():
        shutil.rmtree(retired)
    if target.exists():
        target.replace(retired)
    folder.replace(target)
    _flush(target.parent)
    if retired.exists():
        shutil.rmtree(retired)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")


def _lock(path: Path, task: str) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(descriptor)
        except BlockingIOError as error:
            holder = os.read(descriptor, 1000).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise BusyError(
                f"{task} is running already: {holder} holds {path}. Wait until it ends, or end it; then run again."
            ) from error
        except OSError as error:
            print(f"{path} cannot be locked ({error.strerror}): {task} must not be run twice at once", file=sys.stderr)
            return descriptor
        try:
            same = path.stat().st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            same = False
        if same:  # else the holder before has removed it meanwhile
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            return descriptor
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Lock a file; who only looks whether it is locked holds it for a moment, and is waited for."""
    while True:
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # BlockingIOError where it is locked
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.001)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
