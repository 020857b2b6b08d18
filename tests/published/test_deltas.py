"""Deltas: sealed and opened again, and every kind of damage."""

import base64
import bz2
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cryptography.fernet import Fernet

from pipeline.errors import DropReason, RejectedInputError
from pipeline.published import deltas
from pipeline.published.deltas import apply_delta, open_delta, read_token, seal_delta

JPEG, FILE = b"\xff\xd8 the bytes of a photograph", "000007.jpg"


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return np.arange(3 * 1024 * 1024, dtype=np.uint32).astype(np.uint8).reshape(3, 1024, 1024)


@pytest.fixture(scope="module")
def token(plain: np.ndarray) -> bytes:
    return seal_delta(plain, JPEG, FILE)


def _sealed(content: bytes) -> bytes:
    return Fernet(deltas._key(JPEG, FILE)).encrypt(content)


def _reason(token: bytes, jpeg: bytes = JPEG, file: str = FILE) -> DropReason:
    with pytest.raises(RejectedInputError) as caught:
        open_delta(token, jpeg, file)
    return caught.value.reason


def test_a_sealed_delta_opens_to_the_same_pixels(plain: np.ndarray, token: bytes) -> None:
    np.testing.assert_array_equal(open_delta(token, JPEG, FILE), plain)


def test_the_key_is_the_photograph_and_its_name(token: bytes) -> None:
    assert _reason(token, jpeg=JPEG[:-1] + b"x") is DropReason.DELTA_KEY
    assert _reason(token, file="000008.jpg") is DropReason.DELTA_KEY


def test_damage_is_distinguished_from_a_wrong_key_where_possible(token: bytes) -> None:
    assert _reason(b"<html>Quota exceeded</html>") is DropReason.DELTA_CORRUPT
    assert _reason(b"") is DropReason.DELTA_CORRUPT
    raw = base64.urlsafe_b64decode(token)
    assert _reason(base64.urlsafe_b64encode(raw[:-16])) is DropReason.DELTA_KEY  # whole blocks: only the HMAC shows it
    assert _reason(base64.urlsafe_b64encode(raw[:-5])) is DropReason.DELTA_CORRUPT
    assert _reason(base64.urlsafe_b64encode(b"\x81" + raw[1:])) is DropReason.DELTA_CORRUPT


def test_what_does_not_unpack_or_has_another_size_is_refused() -> None:
    size = 3 * 1024 * 1024
    assert _reason(_sealed(b"no bz2")) is DropReason.DELTA_CORRUPT
    assert _reason(_sealed(bz2.compress(bytes(size - 1)))) is DropReason.DELTA_SIZE
    assert _reason(_sealed(bz2.compress(bytes(size + 1)))) is DropReason.DELTA_SIZE
    token = _sealed(bz2.compress(bytes(20 * size)))
    tracemalloc.start()
    assert _reason(token) is DropReason.DELTA_SIZE
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * size, "decompressed as a whole"


def test_added_modulo_256() -> None:
    assert apply_delta(np.uint8([250, 3]), np.uint8([10, 254])).tolist() == [4, 1]


def test_a_delta_larger_than_one_can_be_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "deltas00000.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("delta00000.dat", bytes(deltas.TOKEN_BYTES_MAX))
        archive.writestr("delta00001.dat", bytes(deltas.TOKEN_BYTES_MAX + 1))
    (tmp_path / "delta00002.dat").write_bytes(bytes(deltas.TOKEN_BYTES_MAX + 1))
    assert len(read_token(tmp_path, 0)) == deltas.TOKEN_BYTES_MAX
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    monkeypatch.setattr(Path, "read_bytes", None)
    for idx in (1, 2):
        with pytest.raises(RejectedInputError, match=rf"delta0000{idx}\.dat: 8388609 bytes") as caught:
            read_token(tmp_path, idx)
        assert caught.value.reason is DropReason.DELTA_CORRUPT


def test_an_archive_whose_packed_bytes_are_garbled_is_corrupt(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deltas00000.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("delta00000.dat", b"a token " * 99)
    content = bytearray((tmp_path / "deltas00000.zip").read_bytes())
    content[44] = 0xFF  # the first compressed byte: no such kind of block
    (tmp_path / "deltas00000.zip").write_bytes(content)
    with pytest.raises(RejectedInputError) as caught:
        read_token(tmp_path, 0)
    assert caught.value.reason is DropReason.DELTA_CORRUPT


def test_read_from_the_archive_of_its_thousand(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "deltas29000.zip", "w") as archive:
        archive.writestr("deltas/delta29123.dat", b"token")
    assert read_token(tmp_path, 29123) == b"token"
    for idx, message in ((29124, "has no delta29124.dat"), (5, "deltas00000.zip")):
        with pytest.raises(RejectedInputError, match=message) as caught:
            read_token(tmp_path, idx)
        assert caught.value.reason is DropReason.DELTA_MISSING
    content = bytearray((tmp_path / "deltas29000.zip").read_bytes())
    content[content.index(b"token")] ^= 1
    (tmp_path / "deltas29000.zip").write_bytes(content)
    with pytest.raises(RejectedInputError, match=r"deltas29000\.zip, delta29123\.dat") as caught:
        read_token(tmp_path, 29123)
    assert caught.value.reason is DropReason.DELTA_CORRUPT
