import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.shards import layout, writer
from pipeline.shards.codecs import CODECS
from pipeline.shards.pyramid import pyramid
from pipeline.shards.verify import faults_of_shard
from pipeline.shards.writer import writing_shard
from tests.shards.conftest import HEADER, images, write


@pytest.mark.parametrize("codec", CODECS)
def test_holds_every_level_whatever_the_codec(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "shard-00000.h5"
    header = replace(HEADER, codec=codec, resolution=64)
    images_NCHW = images(7, 64)
    write(path, header, images_NCHW)
    with h5py.File(path) as file:
        levels = [name for name in file if name.startswith("data")]
        assert sorted(levels) == sorted(f"data{r}x{r}" for r in (64, 32, 16, 8, 4, 2, 1))
        for expected in pyramid(images_NCHW):
            level = file[f"data{expected.shape[-1]}x{expected.shape[-1]}"]
            assert level.dtype == np.uint8
            np.testing.assert_array_equal(level[:], expected)
        assert layout.read_texts(file, layout.IDENTITY_FILE) == [f"{n:06d}.jpg" for n in range(7)]
        assert layout.read_values(file, layout.IDENTITY_INDEX).tolist() == list(range(100, 107))


@pytest.mark.parametrize("batch_bytes", [1, 3 * 16 * 16 * 5, 10**9])
def test_any_batch_size_gives_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int
) -> None:
    # 70 images: more than one chunk at 8x8 (64 images), and a last chunk that is not full
    images_NCHW = images(70, 16)
    write(tmp_path / "whole.h5", HEADER, images_NCHW)
    monkeypatch.setattr(writer, "BATCH_BYTES", batch_bytes)
    write(tmp_path / "other.h5", HEADER, images_NCHW)
    with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(tmp_path / "other.h5") as other:
        for resolution in layout.level_resolutions(16):
            name = layout.level_name(resolution)
            np.testing.assert_array_equal(whole[name][:], other[name][:])


def test_same_images_same_bytes(tmp_path: Path) -> None:
    labels = np.eye(5, 3, dtype=np.float32)
    for name in ("a", "b"):
        write(tmp_path / name, HEADER, images(5, 16), labels)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_shard_may_end_before_its_capacity(tmp_path: Path) -> None:
    images_NCHW = images(3, 16)
    with writing_shard(tmp_path / "s.h5", HEADER, 10) as shard:
        for number, image_CHW in enumerate(images_NCHW):
            shard.add(image_CHW, index=number, file=f"{number}", labels=None)
        assert len(shard) == 3
    with h5py.File(tmp_path / "s.h5") as file:
        np.testing.assert_array_equal(file["data16x16"][:], images_NCHW)
        assert file["data1x1"].shape == (3, 3, 1, 1)


def test_an_image_may_be_a_view_of_another_layout(tmp_path: Path) -> None:
    image_HWC = np.ascontiguousarray(images(1, 16)[0].transpose(1, 2, 0))
    write(tmp_path / "s.h5", HEADER, image_HWC.transpose(2, 0, 1)[None])
    assert not list(faults_of_shard(tmp_path / "s.h5"))


IMAGE = images(1, 16)[0]


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ([IMAGE.astype(np.float64)], r"0\.jpg: image is float64 .* takes uint8 \(3, 16, 16\)"),
        ([IMAGE[:, ::2]], r"0\.jpg: image is uint8 \(3, 8, 16\)"),
        ([IMAGE] * 3, r"2\.jpg: the shard .* was opened for 2 images only"),
        ([], "no image was added"),
    ],
)
def test_unfit_images_are_refused_and_leave_no_file(tmp_path: Path, added: list[np.ndarray], message: str) -> None:
    with pytest.raises(ShardError, match=message), writing_shard(tmp_path / "s.h5", HEADER, 2) as shard:
        for number, image_CHW in enumerate(added):
            shard.add(image_CHW, index=number, file=f"{number}.jpg", labels=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("level", [16, 4])
def test_damage_is_found_and_named(tmp_path: Path, level: int) -> None:
    path = tmp_path / "s.h5"
    write(path, HEADER, images(70, 16))
    assert not list(faults_of_shard(path))
    with h5py.File(path, "r+") as file:
        for place in (1, 69):
            file[layout.level_name(level)][place, 0, 0, 0] ^= 1
    found = list(faults_of_shard(path))
    places = [(f"{level}x{level}", "000001.jpg"), (f"{level}x{level}", "000069.jpg")]
    assert [(fault.level, fault.image) for fault in found] == places
    problem = "differs from its recorded MD5" if level == 16 else "is not the mean of its largest level"
    assert all(fault.problem.startswith(problem) for fault in found)


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_that_reads_back_differently_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    header = replace(HEADER, codec=codec)
    write(tmp_path / "good.h5", header, images(3, 16))
    with h5py.File(tmp_path / "good.h5") as file:
        info = file["data8x8"].id.get_chunk_info(0)
    verify = writer.ShardWriter.verify

    def on_a_bad_disk(shard: writer.ShardWriter, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[info.byte_offset + info.size // 2] ^= 4
        path.write_bytes(content)
        verify(shard, path)

    monkeypatch.setattr(writer.ShardWriter, "verify", on_a_bad_disk)
    with pytest.raises(ShardError, match="read back, it differs from what was written"):
        write(tmp_path / "s.h5", header, images(3, 16))
    assert [path.name for path in tmp_path.iterdir()] == ["good.h5"]


WITHOUT_ISAL = """
import sys
sys.modules["isal"] = None
import h5py, numpy as np
with h5py.File(sys.argv[1]) as file:
    for level in file.values():
        if isinstance(level, h5py.Dataset):
            plist = level.id.get_create_plist()
            filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
            chunk = level.id.get_chunk_info(0)
            print(level.name, level.chunks, filters, chunk.filter_mask, level[:].sum(dtype=int))
"""


def test_gzip_chunks_are_those_of_hdf5_itself(tmp_path: Path) -> None:
    """HDF5's own filter reads them, and zlib: RFC 1950."""
    images_NCHW = images(70, 128)
    write(tmp_path / "s.h5", replace(HEADER, resolution=128), images_NCHW)
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_ISAL, str(tmp_path / "s.h5")], check=True, capture_output=True, text=True
    )
    levels = {level.shape[-1]: level for level in pyramid(images_NCHW)}
    rows = {128: 1, 64: 1, 32: 4, 16: 16, 8: 64, 4: 70, 2: 70, 1: 70}
    assert sorted(ran.stdout.splitlines()) == sorted(
        f"/data{r}x{r} ({rows[r]}, 3, {r}, {r}) [1] 0 {level.sum(dtype=int)}" for r, level in levels.items()
    )
    with h5py.File(tmp_path / "s.h5") as file:
        for r, level in levels.items():
            _, chunk = file[f"data{r}x{r}"].id.read_direct_chunk((0, 0, 0, 0))
            assert zlib.decompress(chunk) == level[: rows[r]].tobytes()
