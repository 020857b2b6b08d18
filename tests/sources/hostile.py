"""Hostile and broken archives: one builder per trick; each returns the file to open."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import packing

Build = Callable[[Path], Path]
PHOTOGRAPH = b"\xff\xd8\xff" + bytes(range(256)) * 20
PLAIN_INDEX = "-mhc=off"
NOISE = b"\xff\xd8\xff" + os.urandom(30_000)


def named(*names: str) -> dict[str, Build]:
    """The three formats with members of these names."""
    return {
        "tar": lambda folder: tar(folder, [(tarfile.TarInfo(name), PHOTOGRAPH) for name in names]),
        "zip": lambda folder: zipped(folder, [(zipfile.ZipInfo(name), PHOTOGRAPH) for name in names]),
        "7z": lambda folder: sevenzip_named(folder, names),
    }


def tar(folder: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Path:
    path = folder / "images.tar"
    with tarfile.open(path, "w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(kind: bytes) -> Build:
    return lambda folder: tar(folder, [(link("000001.jpg", kind), b"")])


def zipped(folder: Path, members: Sequence[tuple[zipfile.ZipInfo, bytes]]) -> Path:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


LINKED = {"broken.jpg": "nowhere.jpg", "outside": "../outside", "passwd.jpg": "/etc/passwd"}
"""Links between two photographs, a.jpg and z.jpg."""


def link(name: str, kind: bytes = tarfile.SYMTYPE, target: str = "a.jpg") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_links(kind: bytes) -> Build:
    links = [(link(name, kind, target), b"") for name, target in LINKED.items()]
    ends = [(tarfile.TarInfo("a.jpg"), PHOTOGRAPH), (tarfile.TarInfo("z.jpg"), NOISE)]
    return lambda folder: tar(folder, [ends[0], *links, ends[1]])


def zip_links(folder: Path) -> Path:
    infos = {zipfile.ZipInfo(name): target.encode() for name, target in LINKED.items()}
    for info in infos:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
    ends = [(zipfile.ZipInfo("a.jpg"), PHOTOGRAPH), (zipfile.ZipInfo("z.jpg"), NOISE)]
    return zipped(folder, [ends[0], *infos.items(), ends[1]])


def sevenzip_links(folder: Path) -> Path:
    (folder / "packed").mkdir()
    (folder / "packed/a.jpg").write_bytes(PHOTOGRAPH)
    (folder / "packed/z.jpg").write_bytes(NOISE)
    for name, target in LINKED.items():
        (folder / "packed" / name).symlink_to(target)
    packing.pack_folder(folder / "images.7z", folder / "packed", "-snl")
    return folder / "images.7z"


def sevenzip_named(folder: Path, names: Sequence[str]) -> Path:
    """Harmless names of the same length, in the same order, are replaced in the finished index."""
    harmless = {_harmless(place, len(name)): name for place, name in enumerate(names)}
    path = packing.sevenzip(folder, dict.fromkeys(harmless, PHOTOGRAPH), PLAIN_INDEX)
    content = path.read_bytes()
    for before, after in harmless.items():
        assert content.count(f"{before}\0".encode("utf-16-le")) == 1
        content = content.replace(f"{before}\0".encode("utf-16-le"), f"{after}\0".encode("utf-16-le"))
    path.write_bytes(with_sums(content))
    return path


def _harmless(place: int, length: int) -> str:
    letters = [str(place), *"n" * (length - 1)]
    letters[200::200] = "/" * len(letters[200::200])  # a file's name holds 255 bytes
    return "".join(letters)


def with_sums(content: bytes) -> bytes:
    """A 7z with the checksums of its index made right again."""
    offset, size = struct.unpack("<QQ", content[12:28])
    index = content[32 + offset : 32 + offset + size]
    start = struct.pack("<QQI", offset, size, zlib.crc32(index))
    return content[:8] + struct.pack("<I", zlib.crc32(start)) + start + content[32:]


def sevenzip_folder_with_content(folder: Path) -> Path:
    """The last member calls itself a folder."""
    path = packing.sevenzip(folder, {"000001.jpg": NOISE, "000002.jpg": NOISE}, PLAIN_INDEX, "-mtr=on")
    file = folder / "file"
    file.write_bytes(b"")
    attributes = struct.pack("<I", 0x8020 | file.stat().st_mode << 16)
    before, found, after = path.read_bytes().rpartition(attributes)
    assert found
    path.write_bytes(with_sums(before + struct.pack("<I", 0x10) + after))
    return path


def zip_folder_with_content(folder: Path) -> Path:
    return zipped(folder, [(zipfile.ZipInfo("img/"), NOISE)])


def bomb(pack: packing.Pack, size: int = 8_000_000) -> Build:
    return lambda folder: pack(folder, {"000001.jpg": bytes(size)})


def many(pack: packing.Pack) -> Build:
    """No member is large, and none is much smaller packed: only their sum is too much."""
    return lambda folder: pack(folder, {f"{number:06d}.jpg": os.urandom(30_000) for number in range(100)})


def header_bomb(folder: Path) -> Path:
    """A name that claims two gigabytes: a library would read it into memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2 << 30
    path = folder / "images.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(tarfile.TarInfo("a.jpg").tobuf() + info.tobuf())
        file.write(bytes(1 << 20))
    return path


def sparse(folder: Path) -> Path:
    """A file of holes: its header claims more than its blocks hold."""
    info = tarfile.TarInfo("000001.jpg")
    info.type = tarfile.GNUTYPE_SPARSE
    return tar(folder, [(info, b"")])


def encrypted_zip(folder: Path) -> Path:
    path = zipped(folder, [(zipfile.ZipInfo("000001.jpg"), PHOTOGRAPH)])
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def encrypted_sevenzip(*options: str) -> Build:
    return lambda folder: packing.sevenzip(folder, {"000001.jpg": PHOTOGRAPH}, "-psecret", *options)


def understated_zip(folder: Path) -> Path:
    """The index states 100 bytes, the member unpacks to many more."""
    path = zipped(folder, [(zipfile.ZipInfo("000001.jpg"), bytes(1_000_000))])
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 24 : start + 28] = struct.pack("<I", 100)
    path.write_bytes(content)
    return path


def overlapping_zip(folder: Path) -> Path:
    """Every entry of the index points to the same packed bytes."""
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("000001.jpg", NOISE)
        for number in range(2, 9):
            info = zipfile.ZipInfo(f"{number:06d}.jpg")
            first = archive.filelist[0]
            info.header_offset, info.CRC, info.compress_type = 0, first.CRC, first.compress_type
            info.compress_size, info.file_size = first.compress_size, first.file_size
            archive.filelist.append(info)
    return path


def flipped(pack: packing.Pack, place: float) -> Build:
    """One bit is another, at that share of the file."""

    def build(folder: Path) -> Path:
        path = pack(folder, {"000001.jpg": NOISE, "000002.jpg": NOISE[::-1]})
        content = bytearray(path.read_bytes())
        content[int(len(content) * place)] ^= 16
        path.write_bytes(content)
        return path

    return build


def cut(pack: packing.Pack, keep: float) -> Build:
    def build(folder: Path) -> Path:
        path = pack(folder, {"000001.jpg": NOISE, "000002.jpg": NOISE[::-1]})
        os.truncate(path, int(path.stat().st_size * keep))
        return path

    return build


def parts(change: Callable[[list[Path]], None]) -> Build:
    """A 7z of seven parts, to which something happens."""

    def build(folder: Path) -> Path:
        first = packing.sevenzip_parts(folder, {"000001.jpg": NOISE, "000002.jpg": NOISE[::-1]}, 9_000)
        change(sorted(folder.glob("parts.7z.*")))
        return first

    return build


def swap(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
