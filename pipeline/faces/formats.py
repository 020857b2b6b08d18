"""Names a file's format from its first bytes, whatever the file is called."""

from dataclasses import dataclass

from pipeline.errors import DropReason, RejectedInputError

HEAD_BYTES = 512
"""As many bytes from the start of a file are enough for `identify`."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files.

    `plugin`: Pillow's name for the formats that are decoded. `remedy`: what to do with one that is not. `picture`: it
    holds pixels of a photograph.
    """

    name: str
    plugin: str | None = None
    remedy: str = ""
    picture: bool = False


def _read(name: str, plugin: str | None = None) -> Format:
    return Format(name, plugin or name, picture=True)


def _unread(name: str, remedy: str) -> Format:
    return Format(name, remedy=remedy, picture=True)


JPEG, PNG, TIFF, WEBP, BMP, PPM = (_read(name) for name in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "PPM"))
JPEG2000 = _read("JPEG 2000", "JPEG2000")
AVIF, HEIC = _read("AVIF"), _read("HEIC", "HEIF")
RAW = _unread("camera RAW", "develop it to JPEG, PNG or TIFF")

_EXPORT = "export it as PNG or JPEG"
_UNPACK = "unpack it first"

_SIGNATURES: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", PNG),
    (0, b"GIF87a", _read("GIF")),
    (0, b"GIF89a", _read("GIF")),
    (8, b"WEBP", WEBP),
    (8, b"CR\x02\0", RAW),
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (0, b"II+\0", TIFF),
    (0, b"MM\0+", TIFF),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", JPEG2000),
    (0, b"\xff\x4f\xff\x51", JPEG2000),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"MMOR", RAW),
    (0, b"IIU\0", RAW),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"\0MRM", RAW),
    (0, b"FOVb", RAW),
    (0, b"\xff\x0a", _unread("JPEG XL", _EXPORT)),
    (0, b"\0\0\0\x0cJXL ", _unread("JPEG XL", _EXPORT)),
    (0, b"8BPS", _unread("Photoshop document", _EXPORT)),
    (0, b"gimp xcf", _unread("GIMP document", _EXPORT)),
    (0, b"v/1\x01", _unread("OpenEXR", "tone-map it to PNG or JPEG")),
    (0, b"#?RADIANCE", _unread("Radiance HDR", "tone-map it to PNG or JPEG")),
    (0, b"DDS ", _unread("DirectDraw surface", _EXPORT)),
    (128, b"DICM", _unread("DICOM", _EXPORT)),
    (0, b"SIMPLE  =", _unread("FITS", _EXPORT)),
    (0, b"qoif", _unread("QOI", _EXPORT)),
    (0, b"P7\n", _unread("PAM", "convert it to PNG or PPM")),
    (0, b"\0\0\1\0", Format("Windows icon")),
    (0, b"%PDF", Format("PDF document", remedy=_EXPORT)),
    (0, b"%!PS", Format("PostScript document", remedy=_EXPORT)),
    (0, b"\xc5\xd0\xd3\xc6", Format("PostScript document", remedy=_EXPORT)),
    (8, b"AVI ", Format("AVI video", remedy="extract its frames")),
    (8, b"WAVE", Format("WAV sound")),
    (0, b"\x1a\x45\xdf\xa3", Format("Matroska or WebM video", remedy="extract its frames")),
    (0, b"\0\0\1\xba", Format("MPEG video", remedy="extract its frames")),
    (0, b"\0\0\1\xb3", Format("MPEG video", remedy="extract its frames")),
    (0, b"FLV\1", Format("Flash video", remedy="extract its frames")),
    (0, b"0&\xb2u\x8ef\xcf\x11", Format("Windows Media video", remedy="extract its frames")),
    (0, b"OggS", Format("Ogg file")),
    (0, b"ID3", Format("MP3 sound")),
    (0, b"PK\x03\x04", Format("ZIP archive or office document", remedy=_UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Format("7z archive", remedy=_UNPACK)),
    (0, b"Rar!\x1a\x07", Format("RAR archive", remedy=_UNPACK)),
    (0, b"\x1f\x8b", Format("gzip file", remedy=_UNPACK)),
    (0, b"BZh", Format("bzip2 file", remedy=_UNPACK)),
    (0, b"\xfd7zXZ\0", Format("xz file", remedy=_UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Format("zstd file", remedy=_UNPACK)),
    (257, b"ustar", Format("tar archive", remedy=_UNPACK)),
    (0, b"SQLite format 3\0", Format("SQLite database")),
    (0, b"\xd0\xcf\x11\xe0", Format("Windows thumbnails or an old office document")),
    (0, b"\0\5\x16\7", Format("macOS file attributes (AppleDouble)")),
    (0, b"\0\0\0\1Bud1", Format("macOS folder settings (.DS_Store)")),
    (0, b"\x93NUMPY", Format("NumPy array")),
    (0, b"\x89HDF", Format("HDF5 file")),
    (0, b"PAR1", Format("parquet table")),
    (0, b"version https://git-lfs", Format("Git LFS pointer", remedy="fetch the file itself: git lfs pull")),
)

_PPM_KINDS = {b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf"}
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def identify(head: bytes) -> Format | None:
    """The format of a file that starts with `head` (`HEAD_BYTES` of it, or all); None if it is not known."""
    for place, signature, known in _SIGNATURES:
        if head.startswith(signature, place) and (place != 8 or head[:4] in (b"RIFF", b"II*\0")):
            return known
    if head[4:8] == b"ftyp":
        return _identify_iso(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return BMP
    if head[:2] in _PPM_KINDS and head[2:3] in (b"\n", b"\r", b" ", b"\t", b"#"):
        return PPM
    return _identify_text(head)


def check_picture(content: bytes) -> Format:
    """The format of a file that may be a photograph; `content` is its start, or all of it.

    `RejectedInputError`: NOT_AN_IMAGE, or UNDECODABLE for a format of pictures that is not read; both name the format.
    """
    known = identify(content[:HEAD_BYTES])
    if known in (AVIF, HEIC) and not _has_second_box(content):
        raise RejectedInputError(DropReason.UNDECODABLE, f"{known.name} with nothing after its type")
    if known is not None and known.plugin is not None:
        return known
    if known is None:
        what = f"it starts with {content[:8].hex(' ')}" if content else "an empty file"
        if content and not content.strip(b"\0"):
            what = "it starts with zeros only"
        raise RejectedInputError(DropReason.NOT_AN_IMAGE, what)
    reason = DropReason.UNDECODABLE if known.picture else DropReason.NOT_AN_IMAGE
    raise RejectedInputError(reason, f"{known.name}; {known.remedy}" if known.remedy else known.name)


def _identify_iso(head: bytes) -> Format:
    """Of the ISO base media formats, by the brands in the first box: the major one, its version, compatible ones."""
    size = max(min(int.from_bytes(head[:4]), len(head)), 12)
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4))]
    if brands[0] == b"crx ":
        return RAW
    if {b"avif", b"avis"} & {*brands}:
        return AVIF
    if _HEIC_BRANDS & {*brands}:
        return HEIC
    return Format("QuickTime video" if brands[0] == b"qt  " else "MP4 video", remedy="extract its frames")


def _has_second_box(head: bytes) -> bool:
    """Whether the first box of an ISO base media file, as far as it is in `head`, is followed by another one."""
    end = int.from_bytes(head[:4])
    return end + 8 > HEAD_BYTES or head[end + 4 : end + 8].isalnum()


def _identify_text(head: bytes) -> Format | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return Format("HTML page")
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return Format("SVG drawing", remedy=_EXPORT)
    printable = start and all(byte >= 32 or byte in b"\t\r\n\f" for byte in head)
    return Format("text") if printable and _is_utf8(head) else None


def _is_utf8(head: bytes) -> bool:
    """Whether `head` is UTF-8; a character may be cut at its end."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and error.start > 0
    return True
