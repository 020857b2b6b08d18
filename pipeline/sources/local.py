"""Files of this machine: linked or copied to where a stage publishes them, or named where they are."""

import errno
import io
import os
import shlex
import shutil
import stat
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.faces.annotation_records import pts_files
from pipeline.sources.listing import list_folder


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


def require_watched(watch: Path, given: Sequence[Path]) -> None:
    """Raise `SourceError` if DVC would not notice a change of the files and folders `given` when it compares `watch`.

    It does not look into linked folders below `watch`. Those that lead to another place in `watch` are allowed.
    """
    top, real = _absolute(watch), watch.resolve()
    for path in given:
        links = [above for above in (path, *path.parents) if top in _absolute(above).parents and above.is_symlink()]
        links += [path / link for link in list_folder(path).links] if path.is_dir() else []
        for link in links:
            target = link.resolve()
            if target.is_dir() and not target.is_relative_to(real):
                old, new = (shlex.quote(str(place)) for place in (link, target))
                raise SourceError(
                    f"{link}: a link to the folder {target}, into which DVC does not look, so it would miss changes "
                    f"there. Put links to its files in its place: rm {old} && cp -rs {new} {old}. Files that are added "
                    f"there later need links too."
                )


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` the same bytes as `file`: a hard link where the file system allows one, else a copy."""
    require_file(file)
    with atomic.writing(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), partial)
        except OSError:
            shutil.copyfile(file, partial)


def require_annotations(path: Path) -> None:
    """Raise `SourceError` if at `path` there is neither a file nor a folder, which may hold a file per photograph."""
    if not path.is_dir():
        require_file(path)


def copy_annotations(path: Path, target: Path) -> None:
    """Make `target` the bytes of the user's file, which DVC must not mark as read-only: no link.

    Of a folder it is a plain tar of its files of points (.pts).
    """
    if not path.is_dir():
        require_file(path)
        atomic.write_bytes(target, path.read_bytes())
        return
    with atomic.writing(target) as partial, tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in pts_files(path):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read. `OSError` if it is none, or no regular one: a pipe would be waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file any more", str(path))
    return os.fdopen(descriptor, "rb")


def reference(path: Path) -> str:
    """A user's file or folder as `Contents` names it: relative to `data/download`, or absolute.

    It is relative where it is below the current folder, which holds `data`: so nothing depends on where that lies.
    """
    absolute, root = _absolute(path), Path.cwd()
    if not absolute.is_relative_to(root):
        return absolute.as_posix()
    return (Path("../..") / absolute.relative_to(root)).as_posix()


def located(download: Path, images: str) -> Path:
    """The file or folder that `Contents` names `images`, of the folder `download`. `..` is not what a link leads to."""
    return Path(os.path.normpath(download / images))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolves `..`, but not links
