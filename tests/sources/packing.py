"""Archives of every format that sources may bring, with the same members."""

import io
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pipeline.sources.sevenzip import program as sevenzip_program

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


def sevenzip(folder: Path, members: Mapping[str, bytes], *options: str) -> Path:
    """By 7-Zip's program: members come in the order of their names, empty ones first."""
    path = folder / "images.7z"
    _by_program(path, members, options)
    return path


def sevenzip_parts(folder: Path, members: Mapping[str, bytes], part_bytes: int = 100) -> Path:
    _by_program(folder / "parts.7z", members, [f"-v{part_bytes}b"])
    return folder / "parts.7z.001"


def _by_program(path: Path, members: Mapping[str, bytes], options: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for member, content in members.items():
            file = Path(name, member)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        pack_folder(path, Path(name), *options)


def pack_folder(path: Path, folder: Path, *options: str) -> None:
    """Pack what lies in `folder` as the 7z `path`."""
    words = [sevenzip_program(), "a", "-t7z", "-bso0", "-bsp0", *options, "--", str(path.resolve()), "./"]
    subprocess.run(words, cwd=folder, check=True)


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
