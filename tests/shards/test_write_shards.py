import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

from pipeline import chunks, manifest, sizes
from pipeline.chunks import Chunk
from pipeline.errors import DropReason, RejectedInputError, ShardError
from pipeline.manifest import Selected, Sharded
from pipeline.shards import parts
from pipeline.shards.reader import DataSet
from pipeline.shards.verify import faults_of_shard
from pipeline.shards.view import write_view
from pipeline.shards.write_shards import Renderer, _WriteShard, labels_of, positions, write_shards
from stages.profiles import read_profile
from tests.shards.painting import HEADER, Painter, build_with, paint, selected, write_selection

ROOT = Path(__file__).parents[2]
INDICES = [3 * n + 1 for n in range(30)]


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def client() -> Generator[Client]:
    with (
        LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def reference(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    write_selection(folder / "select.parquet", INDICES)
    build_with(client, folder)
    return folder / "work"


def test_every_selected_image_is_stored_with_its_identity(reference: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for path in reference.iterdir():
        (work / path.name).write_bytes(path.read_bytes())
    assert write_view(work) == 30
    data = DataSet(work)
    expected = np.array(INDICES)
    np.random.RandomState(123).shuffle(expected)
    assert data.index.tolist() == expected.tolist()
    images_NCHW = data.read(32, range(30))
    for image_CHW, index in zip(images_NCHW, expected.tolist(), strict=True):
        np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), paint(index))
    assert data.labels is not None
    assert data.labels.tolist() == [[1.0, 0.0, 0.0]] * 30


def test_the_table_points_to_the_image(reference: Path) -> None:
    rows = manifest.read_kept(reference / "shard.parquet", Sharded)
    assert [row.index for row in rows] == INDICES
    assert sorted(row.position for row in rows) == list(range(30))
    for row in rows:
        assert (row.shard, row.row) == (f"shard-{row.position // 7:05d}.h5", row.position % 7)
        assert row.image_md5 == hashlib.md5(paint(row.index).transpose(2, 0, 1).tobytes()).hexdigest()


def test_a_killed_run_of_two_workers_is_resumed_with_the_bytes_of_one(
    client: Client, reference: Path, tmp_path: Path
) -> None:
    write_selection(tmp_path / "select.parquet", INDICES)
    work = tmp_path / "work"
    process = start(tmp_path)
    wait_until_half_written(work, 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until_quiet(work)
    # two workers hold a shard each, half written in a folder of their own
    assert 1 <= len(list(work.glob("shard.chunks/shard-*.partial"))) <= 2
    assert not (work / "shard.parquet").exists()
    done = {path.name: path.stat().st_mtime_ns for path in work.glob("shard.chunks/shard-?????/*.h5")}
    assert len(done) >= 2
    build_with(client, tmp_path)
    assert sums(work) == sums(reference)
    assert {name: (work / name).stat().st_mtime_ns for name in done} == done, "finished shards are not written again"


def test_a_run_killed_while_its_shards_were_moved_is_completed(client: Client, reference: Path, tmp_path: Path) -> None:
    write_selection(tmp_path / "select.parquet", INDICES)
    shutil.copytree(reference, tmp_path / "work")
    chunk = tmp_path / "work/shard.chunks/shard-00004"
    chunk.mkdir(parents=True)
    (chunk / chunks.TABLE).write_bytes(b"a table that is joined already")
    (tmp_path / "work/shard-00004.h5").rename(chunk / "shard-00004.h5")
    account = build_with(client, tmp_path)
    assert (account.given, account.kept) == (30, 30)
    assert sums(tmp_path / "work") == sums(reference)


@dataclass(frozen=True)
class Choosy:
    """Paints all images but those of two indices, and says which it painted."""

    log: Path

    def __call__(self) -> Renderer:
        return self._render

    def _render(self, row: Selected) -> np.ndarray:
        if row.index in (INDICES[2], INDICES[29]):
            raise RejectedInputError(DropReason.DELTA_MISSING, f"of {row.index}")
        with self.log.open("a") as log:
            log.write(f"{row.index}\n")
        return paint(row.index)


def test_the_last_shards_are_made_in_parts_with_the_bytes_of_whole_ones(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_selection(tmp_path / "select.parquet", INDICES)
    places = positions(range(30), 30, "shuffled", 123)

    def build(workers: Client, name: str) -> None:
        write_shards(
            workers,
            Choosy(tmp_path / f"{name}.log"),
            HEADER,
            table=tmp_path / "select.parquet",
            places=places,
            images_per_shard=10,
            work=tmp_path / name,
        )

    build(client, "whole")
    monkeypatch.setattr(parts, "PIXELS", 3 * 32**2)
    folder = tmp_path / "parts/shard.chunks"
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as two_workers,
    ):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(parts, "Parts", _interrupt)
            build(two_workers, "parts")
        made = ["shard-00000", *(f"shard-0000{n}-{n * 10 + start:06d}" for n in (1, 2) for start in (0, 3, 6, 9))]
        assert chunks.finished_chunks(folder) == made
        build(two_workers, "parts")
    assert not folder.exists()
    assert sums(tmp_path / "parts") == sums(tmp_path / "whole")
    painted = (tmp_path / "parts.log").read_text().split()
    assert len(painted) == len({*painted}) == 28, "what was made before is not rendered again"


def test_parts_are_read_by_a_worker_that_wrote_none_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    write_selection(tmp_path / "select.parquet", INDICES)

    def write(codec: Any) -> Path:
        (folder := tmp_path / codec).mkdir()
        header, table = replace(HEADER, codec=codec), tmp_path / "select.parquet"
        task = _WriteShard(lambda: lambda row: paint(row.index), header, table, np.arange(30))
        task(Chunk("shard-00000-000000", 0, 4), folder)
        return folder / chunks.TABLE

    code = (
        "import sys; from pathlib import Path; from pipeline.shards.parts import Parts; "
        "from tests.shards.painting import selected; print(Parts([Path(sys.argv[1])])()(selected(4)).sum())"
    )
    read = subprocess.check_output([sys.executable, "-c", code, str(write("zstd"))], cwd=ROOT)
    assert int(read) == paint(4).sum()
    table = write("none")
    assert np.array_equal(parts.Parts([table])()(selected(4)), paint(4))
    with h5py.File(table.with_name("shard-00000-000000.h5"), "r+") as file:
        file["data32x32"][1, 0, 3, 3] ^= 1
    with pytest.raises(ShardError, match="image 1: differs from what was written"):
        parts.Parts([table])()(selected(4))


def _interrupt(tables: Sequence[Path]) -> None:
    raise KeyboardInterrupt


def test_parts_are_few_of_many_shards_and_none_where_they_are_of_no_use() -> None:
    shards = _shards(30_000)
    found = parts.parts_of(shards, set(), 1024, workers=2)
    assert [*found] == shards[-2:]
    for shard, some in found.items():
        assert (some[0].start, some[-1].stop, len(some)) == (shard.start, shard.stop, 16)
        assert [part.start for part in some[1:]] == [part.stop for part in some[:-1]]
    assert len(parts.parts_of(shards, set(), 1024, workers=64)) == 15
    assert [*parts.parts_of(shards, {"shard-00119"}, 1024, workers=2)] == shards[-2:-1]
    assert parts.parts_of(shards, set(), 1024, workers=1) == {}
    assert parts.parts_of(shards, set(), 64, workers=2) == {}, "small images take no time"


def test_few_large_shards_are_made_in_parts_by_as_many_workers() -> None:
    """The last shard may be short: if it alone is in parts, a worker makes the large one, and others wait."""
    assert [*parts.parts_of(_shards(296), set(), 1024, workers=2)] == _shards(296)
    assert [*parts.parts_of(_shards(1046), set(), 1024, workers=2)] == _shards(1046)[-2:]
    assert len(parts.parts_of(_shards(2000), set(), 1024, workers=16)) == 8
    long = [Chunk(f"shard-{place:05d}", 5000 * place, 5000 * place + 5000) for place in range(6)]
    assert [*parts.parts_of(long, set(), 1024, workers=8)] == long[-1:], "all of them would take the disk twice"


@pytest.mark.parametrize("images", [10, 200, 296, 1046, 2000, 5100, 30_000])
def test_the_disk_that_parts_take_is_planned(images: int) -> None:
    params = read_profile("celebahq")
    of_cluster: dict[int, dict[str, Any]] = {each: {"workers": each} for each in (1, 2, 8, 16, 64)}
    for workers, cluster in (of_cluster | {1000: {"scheduler": "tcp://host:8786"}}).items():
        planned = params.model_copy(update={"cluster": params.cluster.model_copy(update=cluster)})
        in_parts = sum(shard.stop - shard.start for shard in parts.parts_of(_shards(images), set(), 1024, workers))
        assert parts.extra_bytes(images, planned) == sizes.shards(in_parts, 1024, params.shard.codec), workers


def _shards(images: int) -> list[Chunk]:
    starts = range(0, images, 250)
    return [Chunk(f"shard-{place:05d}", start, min(start + 250, images)) for place, start in enumerate(starts)]


def test_an_image_that_killed_its_worker_is_left_out(tmp_path: Path) -> None:
    write_selection(tmp_path / "select.parquet", INDICES)
    write = _WriteShard(partial(Painter, 0.0), HEADER, tmp_path / "select.parquet", np.arange(30))
    write(Chunk("shard-00001", 7, 14, frozenset({9})), tmp_path)
    (drop,) = manifest.read_dropped(tmp_path / chunks.TABLE)
    assert (drop.index, drop.reason) == (INDICES[9], DropReason.KILLED_WORKER)
    rows = manifest.read_kept(tmp_path / chunks.TABLE, Sharded)
    assert [(row.index, row.row) for row in rows] == list(zip(INDICES[7:9] + INDICES[10:14], range(6), strict=True))
    assert not list(faults_of_shard(tmp_path / "shard-00001.h5"))


def start(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.shards.painting", str(folder), "2", "0.05"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)


def wait_until_half_written(work: Path, shards: int, process: "subprocess.Popen[bytes]") -> None:
    """Until `shards` shards are done and another one is half written."""
    deadline = time.monotonic() + 60
    folder = work / "shard.chunks"
    while len(list(folder.glob("shard-?????"))) < shards or not any(folder.glob("shard-*.partial/*.h5.*")):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_until_quiet(work: Path) -> None:
    """Until the workers of a killed process have stopped writing."""
    before = None
    while before != (now := {path: path.stat().st_mtime_ns for path in work.rglob("*")}):
        before = now
        time.sleep(0.5)


def test_index_order_is_the_order_of_the_rows() -> None:
    assert positions(range(5), 5, "index", 123).tolist() == [0, 1, 2, 3, 4]


def test_the_shuffle_is_that_of_numpy() -> None:
    assert sorted(positions(range(8), 8, "shuffled", 123).tolist()) == list(range(8))
    expected = np.arange(1000)
    np.random.RandomState(123).shuffle(expected)
    assert positions(range(1000), 1000, "shuffled", 123).tolist() == expected.tolist()
    assert positions(range(1000), 1000, "shuffled", 124).tolist() != expected.tolist()


def test_rows_are_ordered_by_number_and_a_missing_one_moves_no_other() -> None:
    numbers = [4, 0, 2, 3]  # of five; image 1 is missing
    assert positions(numbers, 5, "index", 123).tolist() == [1, 2, 3, 0]
    order = np.arange(5)
    np.random.RandomState(123).shuffle(order)
    present = [number for number in order.tolist() if number != 1]
    assert [numbers[row] for row in positions(numbers, 5, "shuffled", 123)] == present


def test_attributes_become_labels() -> None:
    labels = labels_of((1, -1, 0))
    assert labels is not None
    assert labels.dtype == np.float32
    assert labels.tolist() == [1, 0, 0.5], "0 stands for unknown"
    assert labels_of(None) is None


def test_attributes_of_only_some_images_are_refused_before_any_work(client: Client, tmp_path: Path) -> None:
    manifest.write_rows(tmp_path / "select.parquet", Selected, [selected(0), selected(1, None)])
    with pytest.raises(
        ShardError, match=r"000000\.jpg has 3, 000001\.jpg has None.*download\.source\.attributes: null"
    ):
        build_with(client, tmp_path)
    assert not (tmp_path / "work").exists()
