"""What a user named: the files of a folder or an archive, by name, before one of them is read.

Junk of systems and programs is set apart. What cannot be read, but could be a photograph, is named with a reason.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.errors import DropReason, SourceError
from pipeline.faces.annotation_table import IMAGE_SUFFIXES
from pipeline.sources import archive
from pipeline.sources.archive_safety import Limits
from pipeline.sources.junk import is_junk, is_junk_file, is_junk_folder

SUFFIXES = (*IMAGE_SUFFIXES, ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2")
"""Of files that are named as photographs, in lower case; their first bytes decide whether they are."""

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".7z", ".7z.001")

NAMED = 5
"""Archives that a message names."""

Lost = tuple[DropReason, str]
"""Why a file or folder cannot be read, and the detail."""


@dataclass(slots=True)
class Listing:
    """Files by their path below the folder or in the archive, with `/`; bytes that are no UTF-8 as lone surrogates.

    Attributes
    ----------
    members
        Regular files; of a folder in the order of `sort_key`, of an archive in its own order.
    lost
        What cannot be read, folders included.
    junk
        What systems and programs left; a folder of it counts once.
    twice
        Members that are the same file as an earlier one, by a link, and that one.
    links
        Links to folders, which are followed.
    """

    members: list[str] = field(default_factory=list[str])
    lost: dict[str, Lost] = field(default_factory=dict[str, Lost])
    junk: list[str] = field(default_factory=list[str])
    twice: dict[str, str] = field(default_factory=dict[str, str])
    links: list[str] = field(default_factory=list[str])

    @property
    def names(self) -> Sequence[str]:
        """Members and what is lost."""
        return [*self.members, *self.lost] if self.lost else self.members


def list_images(images: Path, limits: Limits | None) -> Listing:
    """The files of a folder or an archive; errors as `list_folder` and `archive.list_members`."""
    return list_folder(images) if images.is_dir() else list_archive(images, limits)


def list_archive(path: Path, limits: Limits | None) -> Listing:
    """The files of an archive; errors as `archive.list_members`, and `SourceError` if there is none."""
    lost: dict[str, Lost] = {}
    names = archive.list_members(path, limits, lost)
    found = Listing([name for name in names if not is_junk(name)], junk=[name for name in names if is_junk(name)])
    places: dict[str, str] = {}
    if any(_place(name) is not name for name in found.members):
        places = {place: name for name in reversed(found.members) if (place := _place(name))}
    for name in [name for name in found.members if places.get(_place(name), name) != name]:
        found.members.remove(name)
        found.lost[name] = (DropReason.ODD_NAME, f"the name of another member, {readable(places[_place(name)])}")
    for name, why in lost.items():
        if is_junk(name):
            found.junk.append(name)
        else:
            found.lost[name] = why
    if not found.members and not found.lost:
        raise SourceError(f"{path}: no file in this archive{_junk_left(found)}. Name an archive of photographs.")
    return found


def list_folder(folder: Path) -> Listing:
    """The files below a folder. Links are followed, but not into a folder that holds the link.

    `SourceError` if the folder cannot be read or nothing is below it.
    """
    walk = _Walk()
    try:
        walk.visit(_Folder("", folder, (_number(folder.stat()),)))
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror}). Check its permissions.") from error
    while walk.folders:
        here = walk.folders.pop()
        try:
            walk.visit(here)
        except OSError as error:
            walk.found.lost[here.above[:-1]] = (DropReason.UNREADABLE, f"a folder: {error.strerror}")
    found = walk.found
    if not found.members and not found.lost:
        left = _junk_left(found)
        raise SourceError(f"{folder}: no file in this folder{left}. Put the photographs there, or name another folder.")
    found.members.sort(key=sort_key)
    found.lost = dict(sorted(found.lost.items(), key=lambda item: sort_key(item[0])))
    found.junk.sort(key=sort_key)
    first: dict[tuple[int, int], str] = {}
    for name in found.members:
        if (other := first.setdefault(walk.numbers[name], name)) != name:
            found.twice[name] = other
    return found


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to visit: what its files' names begin with, its path, and the numbers of it and the folders above."""

    above: str
    path: Path
    numbers: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Walk:
    """A walk through folders: what is found, the numbers of the files, and the folders still to visit."""

    found: Listing = field(default_factory=Listing)
    numbers: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    folders: list[_Folder] = field(default_factory=list[_Folder])

    def visit(self, folder: _Folder) -> None:
        """Add the files of one folder; `OSError` if it cannot be read."""
        with os.scandir(folder.path) as listed:
            entries = list(listed)
        for entry in entries:
            name = folder.above + entry.name
            try:
                status = entry.stat()
            except OSError as error:
                if is_junk_file(entry.name):
                    self.found.junk.append(name)
                else:
                    self.found.lost[name] = _lost(entry, error)
                continue
            if stat.S_ISDIR(status.st_mode):
                self._add_folder(folder, entry, name, _number(status))
            elif is_junk_file(entry.name):
                self.found.junk.append(name)
            elif stat.S_ISREG(status.st_mode):
                self.found.members.append(name)
                self.numbers[name] = _number(status)
            else:
                self.found.lost[name] = (DropReason.NOT_A_FILE, _kind(status.st_mode))

    def _add_folder(self, folder: _Folder, entry: "os.DirEntry[str]", name: str, number: tuple[int, int]) -> None:
        if is_junk_folder(entry.name):
            self.found.junk.append(name)
        elif number in folder.numbers:
            detail = f"leads back to a folder that holds it: {_target(entry)}"
            self.found.lost[name] = (DropReason.LINK_LOOP, detail)
        else:
            self.folders.append(_Folder(f"{name}/", Path(entry.path), (*folder.numbers, number)))
            if entry.is_symlink():
                self.found.links.append(name)


def _number(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def sort_key(name: str) -> tuple[bytes, str]:
    """Photographs are in the order of the UTF-8 bytes of their names in Unicode's form NFC."""
    return (name.encode() if name.isascii() else _bytes(unicodedata.normalize("NFC", name)), name)


def readable(name: str) -> str:
    """The name as a table can hold it: bytes that are no UTF-8 as \\xNN."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return _bytes(name).decode("utf-8", "backslashreplace")
    return name


def is_named_as_photograph(name: str) -> bool:
    """Whether the name has the suffix of an image file."""
    return name[name.rfind("/") + 1 :].lower().endswith(SUFFIXES)


def find_images(images: Path, prefer: str | None = None) -> Path:
    """The archive in a folder that holds archives but no photographs; else `images` itself.

    `prefer`: the published name of the archive's file, which is taken whatever else is there. Raises `SourceError`,
    which names the archives, if there are several or the first part is missing.
    """
    if not images.is_dir():
        return images
    names = list_folder(images).members
    found = [name for name in names if name.lower().endswith(ARCHIVES)]
    preferred = [name for name in found if PurePosixPath(name).name == prefer]
    if not preferred and any(map(is_named_as_photograph, names)):
        return images
    found = preferred or found
    if len(found) > 1:
        raise SourceError(
            f"{images}: holds no photographs but {len(found)} archives ({', '.join(map(readable, found[:NAMED]))}"
            f"{', ...' if len(found) > NAMED else ''}). Name one of them in download.source.images of params.yaml."
        )
    parts = [name for name in names if PurePosixPath(PurePosixPath(name).stem).suffix.lower() == ".7z"]
    if parts and not found:
        first = PurePosixPath(parts[0]).with_suffix(".001")
        raise SourceError(f"{images}: holds {parts[0]}, but not {first}, the first part of that archive. Put it there.")
    return images / found[0] if found else images


def _junk_left(found: Listing) -> str:
    return f" but {len(found.junk)} files of systems and programs" if found.junk else ""


def _place(name: str) -> str:
    """A member's path without what changes nothing; the same object where there is nothing of that."""
    return str(PurePosixPath(name)) if "./" in name or "//" in name else name


def _bytes(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # surrogates that stand for no byte, of an archive's damaged name
        return name.encode("utf-8", "surrogatepass")


def _lost(entry: "os.DirEntry[str]", error: OSError) -> Lost:
    if entry.is_symlink() and isinstance(error, FileNotFoundError | NotADirectoryError):
        return DropReason.BROKEN_LINK, f"a link to {_target(entry)}, which is not there"
    if entry.is_symlink() and error.errno == errno.ELOOP:
        return DropReason.LINK_LOOP, f"leads back to itself: {_target(entry)}"
    return DropReason.UNREADABLE, str(error.strerror)


def _target(entry: "os.DirEntry[str]") -> str:
    try:
        return readable(str(Path(entry.path).readlink()))
    except OSError:
        return "a mounted folder"


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a pipe (FIFO)"), (stat.S_ISSOCK, "a socket"), (stat.S_ISBLK, "a block device"))
    return next((text for test, text in kinds if test(mode)), "a device")
