"""Files of this machine: linked or copied to where a stage publishes them."""

import os
import shutil
import tarfile
from pathlib import Path

from pipeline import atomic, disk
from pipeline.errors import SourceError
from pipeline.sources import sevenzip


def require_file(file: Path) -> None:
    """Raise `SourceError` if there is no such file."""
    if not file.is_file():
        raise SourceError(f"{file}: no such file. Put it there, or correct the path in download.source of params.yaml.")


def require_images(images: Path) -> None:
    """Raise `SourceError` if at `images` there is neither an archive nor a folder."""
    if not images.exists():
        raise SourceError(
            f"{images}: no such file or folder. Put the photographs there, or correct download.source.images in "
            f"params.yaml (relative paths start at the repository's root)."
        )


def files_below(folder: Path) -> dict[str, Path]:
    """All files below `folder` by their relative names, which are sorted; `SourceError` if there is none.

    Links to files are followed, links to folders are not.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise SourceError(f"{folder}: no file in this folder. Put the photographs there, or name another folder.")
    return dict(sorted(files.items()))


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` the same bytes as `file`: a hard link where the file system allows one, else a copy."""
    require_file(file)
    with atomic.writing(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), partial)
        except OSError:
            shutil.copyfile(file, partial)


def link_or_pack_images(images: Path, folder: Path, tar_name: str) -> str:
    """Bring photographs into `folder` as one archive, all its parts; return its name (of its first part) there.

    A folder of photographs becomes the plain tar `tar_name`: DVC is slow with outputs of many files. Raises
    `SourceError` if nothing is at `images`, or the folder holds no file.
    """
    if images.is_dir():
        pack(images, folder / tar_name)
        return tar_name
    require_images(images)
    for part in sevenzip.files_of(images):
        link_or_copy(part, folder / part.name)
    return images.name


def pack(folder: Path, target: Path) -> None:
    """Write the files of `files_below` as one plain tar whose headers hold name and size."""
    files = files_below(folder)
    disk.require(target.parent, sum(file.stat().st_size for file in files.values()), f"a tar of {folder}")
    with atomic.writing(target) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            with file.open("rb") as content:
                member.size = os.fstat(content.fileno()).st_size
                archive.addfile(member, content)
