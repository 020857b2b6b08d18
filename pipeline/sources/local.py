"""Files that are on this machine already: linked or copied to where a stage publishes them."""

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.sources import sevenzip


def lay_down(file: Path, target: Path) -> None:
    """Make `target` the same bytes as `file`: a hard link where the file system allows one, else a copy.

    Raises
    ------
    SourceError
        `file` does not exist.
    """
    if not file.is_file():
        raise SourceError(f"{file}: no such file. Put it there, or correct the path in download.source of params.yaml.")
    with atomic.writing(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), partial)
        except OSError:
            shutil.copyfile(file, partial)


def lay_down_images(images: Path, folder: Path, packed_name: str) -> str:
    """Bring photographs into `folder` as one archive; return its name (of its first part) there.

    Parameters
    ----------
    images
        An archive, the first part of a 7z, or a folder, which becomes the plain tar `packed_name`:
        a DVC output of many loose files would be slow to track (DESIGN, rule 1).
    folder
        Where the archive goes.
    packed_name
        Name of that tar.

    Raises
    ------
    SourceError
        Nothing lies at `images`, or the folder holds no file.
    """
    if images.is_dir():
        pack(images, folder / packed_name)
        return packed_name
    if not images.is_file():
        raise SourceError(
            f"{images}: no such file or folder. Put the photographs there, or correct download.source.images in "
            f"params.yaml (relative paths start at the repository's root)."
        )
    for part in sevenzip.files_of(images):
        lay_down(part, folder / part.name)
    return images.name


def pack(folder: Path, target: Path) -> None:
    """Write all files below `folder`, in the order of their names, as one plain tar whose headers hold name and size.

    Links to files are followed, links to folders are not.
    """
    files = _files_below(folder)
    if not files:
        raise SourceError(f"{folder}: no file in this folder. Put the photographs there, or name another folder.")
    with atomic.writing(target) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.relative_to(folder).as_posix())
            with file.open("rb") as content:
                member.size = os.fstat(content.fileno()).st_size
                archive.addfile(member, content)


def _files_below(folder: Path) -> Sequence[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
