"""The extracted photographs as plain files in a folder, with their published names and bytes."""

import hashlib
from pathlib import Path

from pipeline import atomic, manifest
from pipeline.container import read_stored
from pipeline.errors import SourceError
from pipeline.manifest import Photograph
from pipeline.progress import progress


def unpack(data: Path, table: Path, folder: Path) -> tuple[int, int]:
    """Write every photograph that `table`, of the stage extract, keeps to `folder`.

    The table's containers are relative to `data`. Photographs that an earlier run wrote are checked; files of other
    names are not touched. Returns how many photographs were written, and how many were there already. Raises
    `SourceError` if a photograph in the containers is not what the table says, or a file of its name is another one.
    """
    count, written = manifest.account(table).kept, 0
    for row in progress(manifest.iterate_kept(table, Photograph), unit="photograph", total=count):
        path = folder / row.file
        if path.exists():
            _check(path, path.read_bytes() if path.is_file() else b"", row, "move it away, or name another folder")
            continue
        content = read_stored(data, row.photograph)
        try:
            atomic.write_bytes(path, content)
        except (FileExistsError, NotADirectoryError) as error:
            raise SourceError(
                f"{path}: cannot be written, since another photograph has the name of its folder. Read the photographs "
                f"by the table {table}."
            ) from error
        written += 1
    return written, count - written


def _check(path: Path, content: bytes, row: Photograph, remedy: str) -> None:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != row.photograph.md5:
        raise SourceError(f"{path}: MD5 is {md5}, but photograph {row.file} has {row.photograph.md5}; {remedy}.")
