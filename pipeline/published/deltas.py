"""The published deltas: the difference that the authors' restoration made to each face, encrypted.

The key is PBKDF2-HMAC-SHA256 of all bytes of the original JPEG, with the file's name as salt, so a delta is useless
without CelebA. Decrypted it is a bz2 stream of a (3, 1024, 1024) uint8 image, which is added to the processed one
modulo 256 (the published dataset_tool.py).
"""

import base64
import binascii
import bz2
import zipfile
import zlib
from pathlib import Path

import numpy as np
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError

SHAPE_CHW = (3, 1024, 1024)
ITERATIONS = 100_000
PER_ARCHIVE = 1000
TOKEN_BYTES_MAX = 1 << 23
"""An incompressible delta has 4.3 MB as a token; anything larger is not read into memory."""
_VERSION, _OVERHEAD, _BLOCK = 0x80, 1 + 8 + 16 + 32, 16  # of a Fernet token: version, time, IV, HMAC; AES blocks


def member_name(idx: int) -> str:
    """The file name of delta `idx` (its number in the published list)."""
    return f"delta{idx:05d}.dat"


def archive_name(idx: int) -> str:
    """The published archive that holds delta `idx`."""
    return f"deltas{idx // PER_ARCHIVE * PER_ARCHIVE:05d}.zip"


def read_token(folder: Path, idx: int) -> bytes:
    """The encrypted delta `idx`, from its archive in `folder` or from a loose file there.

    `RejectedInputError` DELTA_MISSING: there is neither; DELTA_CORRUPT: the archive is damaged, or its member too
    large for a delta.
    """
    loose, archive = folder / member_name(idx), folder / archive_name(idx)
    if loose.is_file():
        _check_length(loose.stat().st_size, str(loose))
        return loose.read_bytes()
    if not archive.is_file():
        raise RejectedInputError(DropReason.DELTA_MISSING, f"neither {archive} nor {loose} exists")
    try:
        with zipfile.ZipFile(archive) as opened:
            info = next((info for info in opened.infolist() if info.filename.split("/")[-1] == member_name(idx)), None)
            if info is None:
                raise RejectedInputError(DropReason.DELTA_MISSING, f"{archive} has no {member_name(idx)}")
            _check_length(info.file_size, f"{archive}, {member_name(idx)}")
            return opened.read(info)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:  # the last one: encrypted
        raise RejectedInputError(DropReason.DELTA_CORRUPT, f"{archive}, {member_name(idx)}: {error}") from error


def open_delta(token: bytes, jpeg: bytes, file: str) -> NDArray[np.uint8]:
    """Decrypt and decompress a delta to (3, 1024, 1024) uint8.

    `token` are the bytes of a `deltaNNNNN.dat`, `jpeg` all bytes of the original photograph, `file` its published name.

    `RejectedInputError` DELTA_CORRUPT: no complete token, or its content is no bz2; DELTA_KEY: it does not decrypt
    with this photograph and name; DELTA_SIZE: it decompresses to another number of bytes.
    """
    _check_form(token)
    try:
        packed = Fernet(_key(jpeg, file)).decrypt(token)
    except InvalidToken as error:
        raise RejectedInputError(
            DropReason.DELTA_KEY,
            f"the delta does not decrypt with {file} ({len(jpeg)} bytes): the photograph is not the published one, or "
            f"the delta was altered",
        ) from error
    size = int(np.prod(SHAPE_CHW))
    try:
        plain = bz2.BZ2Decompressor().decompress(packed, size + 1)
    except (OSError, EOFError) as error:
        raise RejectedInputError(DropReason.DELTA_CORRUPT, f"the decrypted delta is no bz2: {error}") from error
    if len(plain) != size:
        found = f"more than {size}" if len(plain) > size else str(len(plain))
        raise RejectedInputError(DropReason.DELTA_SIZE, f"the delta decompresses to {found} bytes, not to {size}")
    return np.frombuffer(plain, np.uint8).reshape(SHAPE_CHW)


def apply_delta(proc_CHW: NDArray[np.uint8], delta_CHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The final image: (processed + delta) modulo 256."""
    return proc_CHW + delta_CHW


def seal_delta(delta_CHW: NDArray[np.uint8], jpeg: bytes, file: str) -> bytes:
    """Compress and encrypt a delta in the published form: the inverse of `open_delta`."""
    return Fernet(_key(jpeg, file)).encrypt(bz2.compress(delta_CHW.tobytes()))


def _key(jpeg: bytes, file: str) -> bytes:
    kdf = PBKDF2HMAC(SHA256(), length=32, salt=file.encode("ascii"), iterations=ITERATIONS)
    return base64.urlsafe_b64encode(kdf.derive(jpeg))


def _check_length(size: int, name: str) -> None:
    if size > TOKEN_BYTES_MAX:
        raise RejectedInputError(
            DropReason.DELTA_CORRUPT, f"{name}: {size} bytes, a delta has {TOKEN_BYTES_MAX} at most; fetch it again"
        )


def _check_form(token: bytes) -> None:
    """Refuse a token that is damaged whatever the key, so that DELTA_KEY is left for a wrong photograph."""
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise RejectedInputError(
            DropReason.DELTA_CORRUPT, f"{len(token)} bytes that are no base64: {error}; fetch the archive again"
        ) from error
    if len(raw) <= _OVERHEAD or raw[0] != _VERSION or (len(raw) - _OVERHEAD) % _BLOCK:
        raise RejectedInputError(
            DropReason.DELTA_CORRUPT, f"{len(raw)} bytes are no complete Fernet token; fetch the archive again"
        )
