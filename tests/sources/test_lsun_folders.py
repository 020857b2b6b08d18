"""LSUN categories as people have them: folders of exported images, a database without its published folder."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.sources.lsun import published
from pipeline.sources.lsun.index import write_keys
from pipeline.sources.lsun.published import DATABASE, PublishedCategory
from pipeline.sources.lsun.records import open_records
from pipeline.sources.lsun.synthetic import make_category

TOWER = PublishedCategory(zip="scenes/tower_train_lmdb.zip", images=708264, bytes=12010237081, sha256="0" * 64)


def find(directory: Path, *, only: bool = False) -> Path:
    return published.find(directory, "tower", TOWER, only=only)


@pytest.mark.parametrize("name", ["tower", "Tower_train", "tower-lmdb", "scenes/tower", "LSUN tower"])
def test_finds_a_folder_of_that_name_in_any_spelling(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    (folder / "a/b").mkdir(parents=True)
    (tmp_path / "tower_val_lmdb").mkdir()
    (tmp_path / "tower_val_lmdb" / DATABASE).touch()
    with pytest.raises(SourceError, match="no database of this category"):
        find(tmp_path)
    (folder / "a/b/ab.webp").touch()
    assert find(tmp_path) == find(folder) == folder
    (folder / DATABASE).touch()
    assert find(tmp_path) == find(folder) == folder / DATABASE


def test_a_folder_of_another_name_is_that_of_the_only_category(tmp_path: Path) -> None:
    (tmp_path / DATABASE).touch()
    with pytest.raises(SourceError, match="no database of this category"):
        find(tmp_path)
    assert find(tmp_path, only=True) == find(tmp_path / DATABASE, only=True) == tmp_path / DATABASE


@pytest.mark.parametrize("name", ["church_outdoor_train_lmdb", "churchoutdoor", "church_outdoor_val_lmdb", "LSUN cat"])
def test_a_folder_that_is_named_as_another_category_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / DATABASE).touch()
    for given in (folder, folder / DATABASE):
        with pytest.raises(SourceError, match=rf"{name}: by its name c\w+, but lsun.categories has tower"):
            find(given, only=True)


@pytest.mark.parametrize("name", ["train", "train_lmdb", "tower_val_lmdb", "my churches"])
def test_a_folder_whose_name_says_no_other_category_is_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / DATABASE).touch()
    assert find(tmp_path / name, only=True) == tmp_path / name / DATABASE


def test_an_exported_folder_has_the_records_of_the_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    made, tmp_path = (tmp_path_factory.mktemp(name) for name in ("made", "exported"))
    zipped = make_category(made, "tower", TOWER, records=14, bad_records=3, seed=1)
    with open_records(published.unpack(zipped, made / "unpacked")) as records:
        values = dict(records.values(next(records.keys()), 100))
    export(values, tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir/x.webp").touch()
    with open_records(tmp_path) as folder:
        keys = list(folder.keys())
        assert folder.count == len(values) == 14
        assert [Path(key.decode()).stem.encode() for key in keys] == list(values)
        for start in range(14):
            assert list(folder.values(keys[start], 3)) == [
                (key, values[Path(key.decode()).stem.encode()]) for key in keys[start : start + 3]
            ]
        identity = folder.identity
        with pytest.raises(SourceError, match="it was changed while it was read"):
            list(folder.values(keys[0] + b"x", 2))
    (tmp_path / keys[3].decode()).unlink()
    with open_records(tmp_path) as folder:
        assert folder.identity != identity


def test_an_index_that_a_killed_process_began_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export({b"0123456789": b""}, tmp_path / "images")
    cache = tmp_path / "indices/keys.arrow"
    cache.parent.mkdir()
    cache.with_name("other.arrow.0123abcd.partial").write_bytes(b"half")
    monkeypatch.setattr(atomic, "ABANDONED_SECONDS", -1)
    with open_records(tmp_path / "images") as records:
        write_keys(records, cache)
    assert [*cache.parent.iterdir()] == [cache]


def export(values: Mapping[bytes, bytes], folder: Path) -> None:
    """Write records as LSUN's tool does: folders by the first letters of the key."""
    for key, value in values.items():
        path = folder.joinpath(*key.decode()[:6]) / f"{key.decode()}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value)
