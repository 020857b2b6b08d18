"""Archives of every format that sources may bring, with the same members."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import multivolumefile
import py7zr

Pack = Callable[[Path, Mapping[str, bytes]], Path]


def tar(folder: Path, members: Mapping[str, bytes]) -> Path:
    return _tar(folder / "images.tar", "w", members)


def tar_gz(folder: Path, members: Mapping[str, bytes]) -> Path:
    return _tar(folder / "images.tar.gz", "w:gz", members)


def zipped(folder: Path, members: Mapping[str, bytes]) -> Path:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def sevenzip(folder: Path, members: Mapping[str, bytes]) -> Path:
    path = folder / "images.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writef(io.BytesIO(content), name)
    return path


def sevenzip_parts(folder: Path, members: Mapping[str, bytes], part_bytes: int = 100) -> Path:
    volumes = multivolumefile.MultiVolume(folder / "parts.7z", "wb", volume=part_bytes, ext_digits=3)
    with volumes, py7zr.SevenZipFile(volumes, "w") as archive:
        for name, content in members.items():
            archive.writef(io.BytesIO(content), name)
    return folder / "parts.7z.001"


ALL: tuple[Pack, ...] = (tar, tar_gz, zipped, sevenzip, sevenzip_parts)


def _tar(path: Path, mode: Literal["w", "w:gz"], members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
