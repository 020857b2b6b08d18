import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.shards.layout import shard_name
from pipeline.shards.pyramid import pyramid
from pipeline.shards.view import write_view
from tests.shards.conftest import HEADER, images, write

MakeDataSet = Callable[..., tuple[Path, np.ndarray]]

PLAIN_READER = """
import sys
from pathlib import Path
import h5py, numpy as np

path = Path(sys.argv[1])
with h5py.File(path) as file:
    top = max(int(name[4:].partition("x")[0]) for name in file if name.startswith("data"))
    resolution, levels = top, {}
    while resolution >= 1:
        levels[f"l{resolution}"] = file[f"data{resolution}x{resolution}"][:]
        resolution //= 2
labels = path.with_name(path.name.removesuffix(".h5") + "-labels.npy")
if labels.exists():
    levels["labels"] = np.load(labels)
np.savez(sys.argv[2], **levels)
"""


def read_plainly(view: Path, scratch: Path, folder: Path) -> dict[str, np.ndarray]:
    """What a reader of the original layout, without this project, reads when it is started in `folder`."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", PLAIN_READER, str(view), str(scratch / "seen.npz")]
    subprocess.run(command, check=True, cwd=folder, env=clean)
    with np.load(scratch / "seen.npz") as seen:
        return dict(seen)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_a_reader_of_the_original_layout_sees_all_levels(tmp_path: Path, data_set: MakeDataSet, codec: str) -> None:
    folder, all_NCHW = data_set((5, 5, 2), replace(HEADER, codec=codec), labels=True)
    seen = read_plainly(folder / "dataset.h5", tmp_path, tmp_path)
    assert set(seen) == {"l16", "l8", "l4", "l2", "l1", "labels"}
    for expected in pyramid(all_NCHW):
        np.testing.assert_array_equal(seen[f"l{expected.shape[-1]}"], expected)
    assert seen["labels"].dtype == np.float32
    np.testing.assert_array_equal(seen["labels"], np.eye(12, 5))


def test_the_folder_may_be_moved_and_linked(tmp_path: Path, data_set: MakeDataSet) -> None:
    folder, all_NCHW = data_set((4, 3))
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    folder.rename(moved)
    # its old place, and the folder in which the reader is started, hold other files of the same names
    for decoy in (folder, tmp_path / "here"):
        write(decoy / shard_name(0), HEADER, images(4, 16, seed=9))
    # DVC may put every file in its cache under another name and leave links
    linked, cache = tmp_path / "linked", tmp_path / "cache"
    linked.mkdir()
    shutil.copytree(moved, cache)
    for number, path in enumerate(sorted(cache.iterdir())):
        hidden = path.rename(cache / f"{number:032x}")
        (linked / path.name).symlink_to(hidden)
    for place in (moved, linked):
        seen = read_plainly(place / "dataset.h5", tmp_path, tmp_path / "here")
        np.testing.assert_array_equal(seen["l16"], all_NCHW)


def test_same_shards_same_view(data_set: MakeDataSet) -> None:
    folder, _ = data_set((3, 3), labels=True)
    before = (folder / "dataset.h5").read_bytes()
    write_view(folder)
    assert (folder / "dataset.h5").read_bytes() == before


def test_no_time_of_writing_is_kept(data_set: MakeDataSet) -> None:
    folder, _ = data_set((3, 3), labels=True)
    for path in (folder / shard_name(0), folder / "dataset.h5"):
        with h5py.File(path) as file:
            objects: list[h5py.Dataset | h5py.Group] = [file]
            file.visititems(lambda _, found, objects=objects: objects.append(found))
            assert len(objects) > 8
            assert {h5py.h5g.get_objinfo(found.id).mtime for found in objects} == {0}


def test_the_view_is_small(data_set: MakeDataSet) -> None:
    folder, all_NCHW = data_set((40, 40), replace(HEADER, resolution=64))
    assert (folder / "dataset.h5").stat().st_size < all_NCHW.nbytes / 10
    with h5py.File(folder / "dataset.h5") as file:
        assert file["data64x64"].is_virtual


def test_shards_of_two_data_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path / shard_name(0), HEADER, images(2, 16))
    write(tmp_path / shard_name(1), replace(HEADER, decoder="pillow"), images(2, 16))
    with pytest.raises(ShardError, match=r"shard-00001\.h5 has .*pillow.* to different data sets"):
        write_view(tmp_path)
    write(tmp_path / shard_name(1), HEADER, images(2, 16), np.zeros((2, 4), np.float32))
    with pytest.raises(ShardError, match=r"has None labels per image and shard-00001\.h5 4"):
        write_view(tmp_path)


def test_a_view_needs_shards(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"holds no shard-\*\.h5"):
        write_view(tmp_path)
