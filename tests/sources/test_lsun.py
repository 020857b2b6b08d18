import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import pytest
from dask.distributed import Client
from PIL import Image

from pipeline import chunks, manifest
from pipeline.chunks import Chunk
from pipeline.demo.scenes import encode_scene
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.params import ClusterParams
from pipeline.shards.layout import Header
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
from pipeline.sources.lsun import index, published
from pipeline.sources.lsun.convert import _WriteShard, convert
from pipeline.sources.lsun.index import key_at, write_keys
from pipeline.sources.lsun.published import DATABASE, PublishedCategory, PublishedLsun
from pipeline.sources.lsun.records import LsunImage, decode, open_records
from pipeline.sources.lsun.synthetic import make_category
from pipeline.workers import connect
from stages import read_manifest

ROOT = Path(__file__).parents[2]
TOWER = PublishedCategory(zip="scenes/tower_train_lmdb.zip", images=708264, bytes=12010237081, sha256="0" * 64)
HEADER = Header(
    resolution=16, codec="gzip", params_digest="0" * 64, decoder="pillow", renderer="pillow-lanczos", libraries="{}"
)


def encoded(image_HWC: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image_HWC).save(stream, kind, **({"lossless": True} if kind == "webp" else {"quality": 95}))
    return stream.getvalue()


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width", "top", "left"), [(20, 31, 0, 5), (33, 20, 6, 0), (20, 20, 0, 0)])
def test_cuts_the_central_square(height: int, width: int, top: int, left: int) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    decoded_HWC, *rest = decode(encoded(image_HWC, "webp"), 20)
    np.testing.assert_array_equal(decoded_HWC, image_HWC[top : top + 20, left : left + 20])
    assert rest == ["webp", (width, height)]


def test_resamples_by_lanczos() -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    expected = Image.fromarray(image_HWC[:, 8:72]).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(decode(encoded(image_HWC, "webp"), 16)[0], np.asarray(expected))


def test_grey_and_transparent_values_become_rgb() -> None:
    grey = np.full((32, 32), 77, np.uint8)
    assert (decode(encoded(grey, "jpeg"), 16)[0] == 77).all()
    transparent = np.full((32, 32, 4), 200, np.uint8)
    assert decode(encoded(transparent, "webp"), 16)[0].shape == (16, 16, 3)


WHOLE_JPEG = encoded(np.zeros((64, 64, 3), np.uint8), "jpeg")
WHOLE_WEBP = encoded(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8), "webp")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", DropReason.NOT_AN_IMAGE),
        (b"<html>404</html>", DropReason.NOT_AN_IMAGE),
        (WHOLE_JPEG[:200], DropReason.UNDECODABLE),
        (WHOLE_JPEG[:3], DropReason.UNDECODABLE),
        (WHOLE_WEBP[: len(WHOLE_WEBP) // 2], DropReason.UNDECODABLE),
        (b"RIFF\x04\x00\x00\x00WEBP", DropReason.UNDECODABLE),
    ],
)
def test_bad_values_are_rejected_with_the_reason(value: bytes, reason: DropReason) -> None:
    with pytest.raises(RejectedInputError, match=f"{len(value)} bytes") as rejected:
        decode(value, 16)
    assert rejected.value.reason is reason
    assert " at 0x" not in rejected.value.detail, "a memory address differs from run to run"


def test_a_jpeg_with_damaged_data_is_rejected() -> None:
    image_HWC = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    whole = encoded(image_HWC, "jpeg")
    middle = len(whole) * 2 // 3
    assert decode(whole, 16)[1] == "jpeg"
    for damaged in (whole[:middle] + b"\xff\xd9", whole[:middle] + bytes(100) + whole[middle + 100 :]):
        with pytest.raises(RejectedInputError, match="JPEG truncated or damaged"):
            decode(damaged, 16)


# --- files ---------------------------------------------------------------------------------------


def test_the_manifest_knows_all_30_categories_of_the_paper() -> None:
    lsun = read_manifest(ROOT / "manifests/lsun.yaml", PublishedLsun)
    assert len(lsun.categories) == 30
    assert sum(category.zip.startswith("scenes/") for category in lsun.categories.values()) == 10
    # the paper's spelling on the left, the publisher's on the right
    assert lsun.categories["churchoutdoor"].zip == "scenes/church_outdoor_train_lmdb.zip"
    assert lsun.categories["churchoutdoor"].folder == "church_outdoor_train_lmdb"
    assert lsun.categories["tvmonitor"].zip == "objects/tv-monitor.zip"
    assert lsun.categories["bedroom"].images == 3033042


def find(directory: Path, category: PublishedCategory = TOWER, *, only: bool = False) -> Path:
    return published.find(directory, "tower", category, only=only)


def test_finds_zip_or_folder_in_the_publishers_tree_or_flat(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"(?s)_lmdb/data\.mdb\n.*tower_train_lmdb\.zip\n.*named tower .*\nSet lsun"):
        find(tmp_path)
    for place in ("scenes/tower_train_lmdb.zip", "tower_train_lmdb.zip"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"PK")
        with pytest.raises(SourceError, match=rf"{place}: 2 bytes, but the published .* has 12010237081"):
            find(tmp_path)
        whole = TOWER.model_copy(update={"bytes": 2, "sha256": hashlib.sha256(b"PK").hexdigest()})
        assert find(tmp_path, whole) == tmp_path / place
    for place in ("scenes/tower_train_lmdb/data.mdb", "tower_train_lmdb/data.mdb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
        assert find(tmp_path) == tmp_path / place


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A synthetic category of 14 records, 3 of them bad: its zip, and its database unpacked."""
    folder = tmp_path_factory.mktemp("tower")
    path = make_category(folder, "tower", TOWER, records=14, bad_records=3, seed=1)
    return path, published.unpack(path, folder / "unpacked")


def test_the_synthetic_category_has_the_published_form(tower: tuple[Path, Path]) -> None:
    path, database = tower
    assert path.parts[-2:] == ("scenes", "tower_train_lmdb.zip")
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["tower_train_lmdb/data.mdb", "tower_train_lmdb/lock.mdb"]
    kinds: list[str] = []
    with open_records(database) as records:
        keys = list(records.keys())
        assert records.count == len(keys) == 14
        assert keys == sorted(keys)
        for key, value in records.values(keys[0], 14):
            assert len(key) == 40
            int(key, 16)
            try:
                image_HWC, encoding, size = decode(value, 64)
            except RejectedInputError as rejected:
                kinds.append(rejected.reason.value)
            else:
                assert min(size) == 256
                assert image_HWC.std() > 10
                kinds.append(encoding)
    assert set(kinds) == {"webp", "jpeg", "not an image", "undecodable image"}


def test_scenes_differ_by_category_and_repeat_by_seed() -> None:
    def scene(name: str, seed: int) -> str:
        return hashlib.md5(encode_scene(name, np.random.default_rng([seed, *name.encode()]))).hexdigest()

    seen = {scene(name, seed) for name in ("bedroom", "kitchen", "tower") for seed in (1, 2)}
    assert len(seen) == 6
    assert scene("bedroom", 1) in seen


def test_unpacks_once_and_keeps_nothing_else(tower: tuple[Path, Path], tmp_path: Path) -> None:
    path, database = tower
    stale = tmp_path / "00000000-1"
    stale.mkdir()
    unpacked = published.unpack(path, tmp_path)
    assert unpacked.read_bytes() == database.read_bytes()
    assert not stale.exists()
    before = unpacked.stat().st_mtime_ns
    assert published.unpack(path, tmp_path).stat().st_mtime_ns == before


def test_what_a_killed_run_left_half_unpacked_is_removed_first(
    tower: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, database = tower
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("tower_train_lmdb/data.mdb")
    stale = tmp_path / f"{info.CRC:08x}-{info.file_size}" / "data.mdb.partial"
    stale.parent.mkdir()
    stale.write_bytes(bytes(1000))

    class Usage:
        """A disk on which the database just fits where nothing else is."""

        def __init__(self, _: Path) -> None:
            self.free = info.file_size - sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())

    monkeypatch.setattr(shutil, "disk_usage", Usage)
    assert published.unpack(path, tmp_path).read_bytes() == database.read_bytes()
    assert not stale.exists()


@pytest.mark.parametrize(("local", "central", "value"), [(6, 8, 1), (8, 10, 99), (4, 6, 99)])
def test_zips_that_cannot_be_unpacked_are_named(
    tower: tuple[Path, Path], tmp_path: Path, local: int, central: int, value: int
) -> None:
    """Encrypted, of an unknown method, of a version to come."""
    content = bytearray(tower[0].read_bytes())
    content[local] = content[content.index(b"PK\x01\x02") + central] = value
    path = tmp_path / "tower.zip"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"tower\.zip: cannot be unpacked .* set lsun\.source\.directory"):
        published.unpack(path, tmp_path / "scratch")


def test_the_published_count_is_compared_with_the_database() -> None:
    database = Path("data.mdb")
    assert published.check_count(TOWER, database, TOWER.images, 100) is None
    warning = "data.mdb: holds 90 records, published are 708264"
    assert published.check_count(TOWER, database, 90, 80) == warning
    assert published.check_count(TOWER, database, 90, None) == warning
    with pytest.raises(SourceError, match=f"{warning}; lsun.max_images is 100. Lower it"):
        published.check_count(TOWER, database, 90, 100)
    small = TOWER.model_copy(update={"images": 95})
    assert published.check_count(small, database, 90, 100), "of a category with fewer images all are taken"


def test_damaged_zips_are_named(tower: tuple[Path, Path], tmp_path: Path) -> None:
    whole = tower[0].read_bytes()
    path = tmp_path / "tower.zip"
    path.write_bytes(whole[:-100])
    with pytest.raises(SourceError, match=r"tower\.zip: damaged or incomplete"):
        published.unpack(path, tmp_path / "scratch")
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    with pytest.raises(SourceError, match=r"tower\.zip: damaged"):
        published.unpack(path, tmp_path / "scratch")
    assert not list((tmp_path / "scratch").rglob("data.mdb*"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no database")
    with pytest.raises(SourceError, match=r"holds 0 files named data\.mdb"):
        published.unpack(path, tmp_path / "scratch")


def test_damaged_databases_are_named(tower: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    path.write_bytes(tower[1].read_bytes()[:-8192])
    with pytest.raises(SourceError, match=r"data\.mdb: .* bytes, but its pages reach to"), open_records(path):
        pass
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(SourceError, match=r"data\.mdb: no LMDB database"), open_records(path):
        pass


def test_reading_leaves_no_trace(tower: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    path.write_bytes(tower[1].read_bytes())
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with open_records(path) as records:
            assert len(list(records.keys())) == 14
    finally:
        tmp_path.chmod(0o755)
    assert [file.name for file in tmp_path.iterdir()] == [DATABASE]


@pytest.mark.parametrize("at_once", [5, 100_000])
def test_keys_are_walked_once_and_kept(
    at_once: int, tower: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "keys.arrow"
    monkeypatch.setattr(index, "KEYS_AT_ONCE", at_once)
    with open_records(tower[1]) as records:
        walked = list(records.keys())
        write_keys(records, cache)
        monkeypatch.setattr(index, "KEYS_AT_ONCE", 7)  # of another version
        assert [key_at(cache, place) for place in range(14)] == walked
        records.keys = lambda: pytest.fail("walked again")  # type: ignore[method-assign, assignment]
        write_keys(records, cache)


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "another file"])
def test_a_damaged_index_is_made_again(damage: str, tower: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "keys.arrow"
    with open_records(tower[1]) as records:
        write_keys(records, cache)
        whole = cache.read_bytes()
        changed = {"cut": whole[: len(whole) // 2], "emptied": b"", "another file": b"text" * 1000}
        cache.write_bytes(changed.get(damage, whole[:-200] + bytes(200)))
        write_keys(records, cache)
        assert [key_at(cache, place) for place in range(records.count)] == list(records.keys())
        assert cache.read_bytes() == whole


def test_keys_are_those_of_the_content_not_of_the_file(tower: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / DATABASE
    copy.write_bytes(tower[1].read_bytes())
    os.utime(copy, (0, 0))
    with open_records(tower[1]) as one:
        identity = one.identity
    with open_records(copy) as other:
        assert other.identity == identity


def test_keys_of_another_database_are_not_taken(tower: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_category(tmp_path, "cat", TOWER, records=3, bad_records=0, seed=1)
    database = published.unpack(other, tmp_path / "unpacked")
    for path, count in ((tower[1], 14), (database, 3)):
        with open_records(path) as records:
            write_keys(records, tmp_path / "keys.arrow")
            assert [key_at(tmp_path / "keys.arrow", place) for place in range(count)] == list(records.keys())


# --- shards --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A database of 20 small records of which four in a row, and one more, are bad; and the indices of the good."""
    folder = tmp_path_factory.mktemp("gappy")
    bad = {4, 5, 6, 7, 9}
    with lmdb.open(str(folder), map_size=2**22) as environment, environment.begin(write=True) as transaction:
        for index in range(20):
            value = b"" if index in bad else encoded(np.full((16, 16, 3), 10 * index, np.uint8), "webp")
            transaction.put(f"{index:040x}".encode(), value)
    return folder / DATABASE, [index for index in range(20) if index not in bad]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    params = ClusterParams(scheduler=None, worker_wait_minutes=1.0, workers=1, memory_per_worker_mib=1000)
    with connect(params) as connected:
        yield connected


@pytest.mark.parametrize(("first", "last"), [(0, 4), (2, 4)], ids=["shard", "half of it"])
def test_a_record_that_killed_its_worker_is_left_out(
    gappy: tuple[Path, list[int]], tmp_path: Path, first: int, last: int
) -> None:
    with open_records(gappy[0]) as records:
        keys = list(records.keys())
        write_keys(records, tmp_path / "keys.arrow")
    write = _WriteShard(gappy[0], HEADER, tmp_path / "keys.arrow")
    write(Chunk("shard-00000", first, last, frozenset({2})), tmp_path)
    (drop,) = manifest.read_dropped(tmp_path / chunks.TABLE)
    assert (drop.index, drop.file, drop.reason) == (2, keys[2].decode(), DropReason.KILLED_WORKER)
    kept = manifest.read_kept(tmp_path / chunks.TABLE, LsunImage)
    assert [row.index for row in kept] == [index for index in range(first, last) if index != 2]


@pytest.mark.parametrize(
    ("max_images", "good", "read", "shards"),
    [
        (3, 3, 3, [3]),
        (8, 8, 13, [4, 3, 1]),  # records 0...7 give 4 (the second shard none), 8...11 give 3, 12 the last
        (15, 15, 20, [4, 3, 3, 4, 1]),
        (100, 15, 20, [4, 3, 4, 4]),
        (None, 15, 20, [4, 3, 4, 4]),
    ],
)
def test_takes_the_first_good_records(
    client: Client,
    gappy: tuple[Path, list[int]],
    tmp_path: Path,
    max_images: int | None,
    good: int,
    read: int,
    shards: list[int],
) -> None:
    database, indices = gappy
    account = convert(
        client,
        database,
        HEADER,
        max_images=max_images,
        images_per_shard=4,
        index=tmp_path / "keys.arrow",
        work=tmp_path,
        max_dropped=0.5,
    )
    assert (account.given, account.kept) == (read, good)
    rows = manifest.read_kept(tmp_path / "lsun.parquet", LsunImage)
    assert [row.index for row in rows] == indices[:good]
    assert all(drop.reason is DropReason.NOT_AN_IMAGE for drop in manifest.read_dropped(tmp_path / "lsun.parquet"))
    lengths: dict[str, int] = {}
    for row in rows:
        assert row.row == lengths.get(row.shard, 0)
        lengths[row.shard] = row.row + 1
    assert list(lengths.values()) == shards
    assert write_view(tmp_path) == good
    data = DataSet(tmp_path)
    assert data.index.tolist() == indices[:good]
    assert data.files == [row.file for row in rows]
    assert data.read(16, range(good))[:, 0, 0, 0].tolist() == [10 * index for index in indices[:good]]
