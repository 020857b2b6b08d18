import hashlib
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ShardError
from pipeline.shards import reader
from pipeline.shards.codecs import CODECS
from pipeline.shards.pyramid import pyramid
from pipeline.shards.reader import DataSet
from pipeline.shards.verify import faults_of_shard
from pipeline.shards.view import write_view
from tests.shards.conftest import HEADER, images, write

MakeDataSet = Callable[..., tuple[Path, np.ndarray]]
LENGTHS = (33, 33, 7)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, dict[int, np.ndarray]]:
    folder = tmp_path_factory.mktemp("shared")
    all_NCHW = images(sum(LENGTHS), 64)
    start = 0
    for number, length in enumerate(LENGTHS):
        write(folder / f"shard-{number:05d}.h5", replace(HEADER, resolution=64), all_NCHW[start : start + length])
        start += length
    write_view(folder)
    return DataSet(folder), {level.shape[-1]: level for level in pyramid(all_NCHW)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([64, 32, 16, 1]), st.lists(st.integers(0, sum(LENGTHS) - 1), max_size=50))
def test_reads_any_images_in_any_order(
    shared: tuple[DataSet, dict[int, np.ndarray]], resolution: int, indices: list[int]
) -> None:
    data, levels = shared
    read = data.read(resolution, indices)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, levels[resolution][indices])


@pytest.mark.parametrize("codec", CODECS)
def test_knows_its_images(data_set: MakeDataSet, codec: str) -> None:
    folder, all_NCHW = data_set((4, 2), replace(HEADER, codec=codec), labels=True)
    with DataSet(folder) as data:
        assert (len(data), data.resolution, data.header.decoder) == (6, 16, "libjpeg-8d")
        assert data.index.tolist() == list(range(100, 106))
        assert data.files[5] == "000005.jpg"
        assert data.labels is not None
        np.testing.assert_array_equal(data.labels, np.eye(6, 5))
        np.testing.assert_array_equal(data.read(16, np.arange(6)), all_NCHW)


def in_threads(data: DataSet, order: list[int]) -> tuple[np.ndarray, set[int]]:
    """What is read, and the threads that decompressed it."""
    threads: set[int] = set()
    plain = vars(reader)["_decompress"]

    def decompress(*arguments: Any) -> None:
        threads.add(threading.get_ident())
        plain(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_decompress", decompress)
        patch.setattr(reader, "THREADED_BYTES", 1)
        return data.read(16, order), threads


@pytest.mark.parametrize("codec", CODECS)
def test_threads_read_the_same(data_set: MakeDataSet, codec: str) -> None:
    folder, all_NCHW = data_set((20, 3, 40), replace(HEADER, codec=codec))
    order = [62, 5, 21, 5, *range(63)]
    with DataSet(folder) as data:
        read, threads = in_threads(data, order)
        np.testing.assert_array_equal(read, all_NCHW[order])
        assert threads
        assert threading.get_ident() not in threads
        with multiprocessing.get_context("fork").Pool(1) as pool:
            read, threads = pool.apply(in_threads, (data, order))
        np.testing.assert_array_equal(read, all_NCHW[order])
        assert len(threads) == 1, "a child process has no threads of its own"


@pytest.mark.parametrize("package", ["isal", None])
def test_reads_shards_as_earlier_versions_wrote_them(
    data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch, package: str | None
) -> None:
    """Chunks that HDF5 compressed with zlib, one of them stored without its filter, and an MD5 of each level."""
    folder, all_NCHW = data_set((70,))
    with h5py.File(folder / "shard-00000.h5", "r+") as file:
        for level_NCHW in pyramid(all_NCHW):
            name = f"data{level_NCHW.shape[-1]}x{level_NCHW.shape[-1]}"
            chunks = file[name].chunks
            del file[name]
            level = file.create_dataset(name, data=level_NCHW, chunks=chunks, compression="gzip", compression_opts=4)
            level.attrs["md5"] = hashlib.md5(level_NCHW.tobytes()).hexdigest()
        whole = np.zeros((64, 3, 8, 8), np.uint8)
        whole[:6] = pyramid(all_NCHW)[1][64:]
        file["data8x8"].id.write_direct_chunk((64, 0, 0, 0), whole, 1)
    write_view(folder)
    if package:
        monkeypatch.setitem(sys.modules, f"{package}.isal_zlib", None)
    assert not list(faults_of_shard(folder / "shard-00000.h5"))
    with DataSet(folder) as data:
        for level_NCHW in pyramid(all_NCHW):
            for rows in ([69, 3, 3, 64], range(70)):
                np.testing.assert_array_equal(data.read(level_NCHW.shape[-1], rows), level_NCHW[rows])


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("threaded", [False, True])
def test_damaged_chunks_are_named(
    data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch, codec: str, threaded: bool
) -> None:
    monkeypatch.setattr(reader, "_is_large", lambda _: threaded)
    folder, _ = data_set((3,), replace(HEADER, codec=codec))
    shard = folder / "shard-00000.h5"
    with h5py.File(shard) as file:
        info = file["data16x16"].id.get_chunk_info(0)
    content = shard.read_bytes()
    damaged = 0
    for place in range(0, info.size, 61):
        changed = bytearray(content)
        changed[info.byte_offset + place] ^= 0x10
        shard.write_bytes(changed)
        try:
            DataSet(folder).read(16, [0, 2])
        except ShardError as error:
            damaged += 1
            assert re.search(
                r"shard-00000\.h5: HDF5 cannot read images of 16x16 from it \(.*Copy the shard", str(error)
            )
        else:
            assert codec == "zstd", "zlib has a checksum"
    assert damaged


def test_without_labels(data_set: MakeDataSet) -> None:
    folder, _ = data_set((2,))
    assert DataSet(folder).labels is None


def in_child(data: DataSet, indices: list[int]) -> tuple[int, bytes]:
    return os.getpid(), data.read(16, indices).tobytes()


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_serves_worker_processes(data_set: MakeDataSet, method: str, workers: int) -> None:
    folder, all_NCHW = data_set((5, 5))
    data = DataSet(folder)
    data.read(16, [0, 9])  # the parent has files open when the workers start
    with multiprocessing.get_context(method).Pool(workers) as pool:
        orders = [[n, 9 - n, 0] for n in range(10)]
        for order, (process, read) in zip(orders, pool.starmap(in_child, [(data, o) for o in orders]), strict=True):
            assert process != os.getpid()
            assert read == all_NCHW[order].tobytes()
    np.testing.assert_array_equal(data.read(16, [3]), all_NCHW[[3]])


def forked_read(data: DataSet, queue: "multiprocessing.Queue[bytes]") -> None:
    queue.put(data.read(16, [1, 8]).tobytes())
    pickle.dumps(data)
    data.close()


def test_a_forked_worker_leaves_the_parents_files_open(data_set: MakeDataSet) -> None:
    folder, all_NCHW = data_set((5, 5))
    data = DataSet(folder)
    data.read(16, [0, 9])
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[bytes] = context.Queue()
    child = context.Process(target=forked_read, args=(data, queue))
    child.start()
    assert queue.get(timeout=30) == all_NCHW[[1, 8]].tobytes()
    child.join()
    assert child.exitcode == 0
    np.testing.assert_array_equal(data.read(16, [9]), all_NCHW[[9]])


def test_few_shards_stay_open(data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "OPEN_SHARDS", 2)
    folder, all_NCHW = data_set((1,) * 6)
    data = DataSet(folder)
    np.testing.assert_array_equal(data.read(16, [5, 0, 3, 1]), all_NCHW[[5, 0, 3, 1]])
    before = open_shards(folder)
    data.close()
    assert (before, open_shards(folder)) == (2, 0)


def test_a_shard_stays_open_while_threads_read_it(data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = vars(reader)["_decompress"]

    def slow(*arguments: Any) -> None:
        time.sleep(0.01)
        plain(*arguments)

    monkeypatch.setattr(reader, "OPEN_SHARDS", 2)
    monkeypatch.setattr(reader, "THREADED_BYTES", 1)
    monkeypatch.setattr(reader, "_decompress", slow)
    folder, all_NCHW = data_set((1,) * 6)
    with DataSet(folder) as data:
        np.testing.assert_array_equal(data.read(16, range(6)), all_NCHW)


def test_a_failed_request_leaves_no_thread_reading(data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []

    def damaged_or_slow(_: Any, __: Any, ___: Any, rows_and_places: tuple[np.ndarray, np.ndarray], ____: Any) -> None:
        if not rows_and_places[1].min():
            raise OSError("damaged")
        time.sleep(0.02)
        ended.append(True)

    monkeypatch.setattr(reader, "THREADED_BYTES", 1)
    monkeypatch.setattr(reader, "_decompress", damaged_or_slow)
    folder, _ = data_set((1,) * 4)
    with DataSet(folder) as data, pytest.raises(ShardError, match=r"shard-00000\.h5: HDF5 cannot read .*damaged"):
        data.read(16, range(4))
    assert len(ended) == 3


def open_shards(folder: Path) -> int:
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.parent == folder for link in links)


def test_absent_resolutions_and_positions_are_refused(data_set: MakeDataSet) -> None:
    folder, _ = data_set((4, 2))
    data = DataSet(folder)
    with pytest.raises(ShardError, match="no resolution 32; there are 16, 8, 4, 2, 1"):
        data.read(32, [0])
    for position in (-1, 6):
        with pytest.raises(ShardError, match=rf"no position .*{position}.*; there are 0 to 5"):
            data.read(16, [0, position])


def test_an_incomplete_folder_is_refused(data_set: MakeDataSet, tmp_path: Path) -> None:
    folder, _ = data_set((4, 2), labels=True)
    with pytest.raises(ShardError, match=r"dataset\.h5: no such file, so .* is no data set.*dvc repro"):
        DataSet(tmp_path)
    np.save(folder / "dataset-labels.npy", np.zeros((5, 3), np.float32))
    with pytest.raises(ShardError, match=r"labels\.npy: has shape \(5, 3\), but the data set has 6 images"):
        DataSet(folder)
    (folder / "dataset-labels.npy").unlink()
    shard = folder / "shard-00001.h5"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(ShardError, match=rf"shard-00001\.h5: has {len(whole) - 100} bytes instead of {len(whole)}"):
        DataSet(folder)
    shard.unlink()
    with pytest.raises(ShardError, match=r"shard-00001\.h5: is missing; the data set has 2 shards"):
        DataSet(folder)
    (folder / "dataset.h5").write_bytes(b"not HDF5")
    with pytest.raises(ShardError, match=r"dataset\.h5: HDF5 cannot open it"):
        DataSet(folder)


def test_a_shard_of_another_version_is_refused(data_set: MakeDataSet) -> None:
    folder, _ = data_set((2,))
    with h5py.File(folder / "dataset.h5", "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(ShardError, match="format version 2, but this code reads 1"):
        DataSet(folder)


def test_needs_nothing_but_numpy_and_h5py() -> None:
    code = (
        "import sys; import pipeline.shards.reader; "
        "others = {'pyarrow', 'pydantic', 'dask', 'hdf5plugin', 'torch', 'cv2', 'PIL', 'isal', 'numba'}; "
        "print(sorted(others & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"
