"""A file has its final name only when it is complete: write a temporary file, flush it, verify it, rename it."""

import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import disk

PARTIAL_SUFFIX = ".partial"


@contextmanager
def writing(path: Path, verify: Callable[[Path], None] | None = None) -> Generator[Path]:
    """Yield a temporary path in the folder of `path`; on success the file is flushed, verified and renamed to `path`.

    The folder is created, an existing file replaced. `verify` is called with the temporary path before the rename, and
    raises an error to refuse the file. On an error, a `DiskFullError` where no space is left, the temporary file is
    removed and `path` stays as it was. A killed process leaves only the `.partial` file, which the next write of the
    same name replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
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


def publish(folder: Path, target: Path) -> None:
    """Rename a finished folder to `target`, which it replaces; its `.partial` files are removed first.

    Both must be on one file system. After a kill, `target` is the old folder, absent, or the new one, never a mixture.
    """
    for left in folder.rglob(f"*{PARTIAL_SUFFIX}"):
        left.unlink()
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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
