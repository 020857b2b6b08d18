"""A name means complete: write beside, flush to disk, verify, rename (DESIGN, rule 2)."""

import json
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTIAL_SUFFIX = ".partial"


@contextmanager
def writing(path: Path, verify: Callable[[Path], None] | None = None) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed, verified and renamed to it.

    Parameters
    ----------
    path
        The final name. Its folder is made. An existing file is replaced whole.
    verify
        Called with the temporary path before the rename; raises to refuse the file.

    Notes
    -----
    On any error the temporary file is removed and `path` is left as it was. A process killed
    in between leaves only the `.partial` file, which the next write of the same name replaces.
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
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with writing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def publish(folder: Path, target: Path) -> None:
    """Give a finished folder its final name; whatever stood there before goes away as one.

    Both must be on one file system. Killed at any moment, `target` is the old folder, absent,
    or the new one, never a mixture. What a killed process left half written in `folder` goes away first.
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
