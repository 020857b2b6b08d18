import os
import re
import resource
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
from pipeline.shards import open_files, reader, verify, view, writer
from pipeline.shards.layout import shard_name
from pipeline.shards.pyramid import pyramid
from pipeline.shards.reader import DataSet
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


README = Path(__file__).parents[2] / "README.md"
SNIPPET = re.search(r"```python\n(import h5py\n.*?)```", README.read_text(), re.DOTALL)


def read_as_in_readme(folder: Path, files: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run README's example in a folder that has the data set as data/shard; `files`: the limit of open files."""
    assert SNIPPET
    (folder / "data").mkdir(exist_ok=True)
    code = SNIPPET[1].replace("256x256", "16x16").replace("[-64:]", "[:]")
    if files is not None:
        code = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))\n{code}"
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_a_view_without_its_shards_is_magenta_and_the_readme_notices(tmp_path: Path, data_set: MakeDataSet) -> None:
    folder, all_NCHW = data_set((3,) * 50)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shard").symlink_to(folder)
    ran = read_as_in_readme(tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = read_as_in_readme(tmp_path, files=30)
    assert "OSError: shards are absent, or more than ulimit -n allows" in ran.stderr
    alone = tmp_path / "alone" / "data" / "shard"
    alone.mkdir(parents=True)
    shutil.copy(folder / "dataset.h5", alone)
    assert "OSError: shards are absent" in read_as_in_readme(tmp_path / "alone").stderr
    with pytest.raises(ShardError, match=r"shard-00000\.h5: is missing; the data set has 50 shards"):
        DataSet(alone)
    shutil.copy(folder / shard_name(1), alone)
    with h5py.File(alone / "dataset.h5") as file:
        for resolution in (16, 8, 4, 2, 1):
            level_NCHW = file[f"data{resolution}x{resolution}"][:]
            np.testing.assert_array_equal(level_NCHW[:3], np.full_like(level_NCHW[:3], 1) * MAGENTA)
        np.testing.assert_array_equal(file["data16x16"][3:6], all_NCHW[3:6])


MAGENTA = np.array([255, 0, 255], np.uint8)[:, None, None]

FEW_FILES = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
from pipeline.errors import ShardError
from pipeline.shards import open_files
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
folder = Path(sys.argv[1])
try:
    open_files.check_shards(50, 1)
    write_view(folder)
except ShardError as error:
    print("refused:", error)
with DataSet(folder) as data:
    print(int(data.read(16, range(50)).sum()))
"""


@pytest.mark.parametrize(("soft", "hard"), [(40, 400), (40, 40)])
def test_few_open_files_are_raised_or_refused_and_the_reader_needs_few(
    data_set: MakeDataSet, soft: int, hard: int
) -> None:
    folder, all_NCHW = data_set((1,) * 50)
    before = (folder / "dataset.h5").read_bytes()
    command = [sys.executable, "-c", FEW_FILES, str(folder), str(soft), str(hard)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == str(int(all_NCHW.sum(dtype=np.int64)))
    if hard == soft:
        assert "refused: 50 images make 50 shards of 1" in ran.stdout
        assert "a process may open 40 files here (ulimit -Hn). Set shard.images_per_shard" in ran.stdout
    else:
        assert "programs that read it need ulimit -n 114 (here 40)" in ran.stderr
    assert (folder / "dataset.h5").read_bytes() == before


def test_the_named_images_per_shard_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    with pytest.raises(ShardError, match=r"100000 images make 12500 shards of 8, .* to 105 or more, or .* to 12564"):
        open_files.check_shards(100_000, 8)
    open_files.check_shards(100_000, 105)


def test_nothing_locks_a_file(data_set: MakeDataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    class Recording(h5py.File):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            use, _ = self.id.get_access_plist().get_file_locking()
            assert not use, f"NFS and Lustre without locks refuse {self.filename}"
            opened.append(self.mode)

    for module in (writer, verify, view, reader):
        monkeypatch.setattr(module.h5py, "File", Recording)
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    folder, _ = data_set((2, 2))
    with DataSet(folder) as data:
        data.read(16, [0, 3])
    assert opened.count("r+") == 3, "two shards and the view"
    assert opened.count("r") >= 8
