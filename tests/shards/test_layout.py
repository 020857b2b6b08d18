from pathlib import Path

import h5py
import pytest

from pipeline.errors import ShardError
from pipeline.shards import layout
from tests.shards.conftest import HEADER


def test_names_are_those_of_the_original() -> None:
    assert layout.level_name(1024) == "data1024x1024"
    assert layout.level_resolutions(8) == (8, 4, 2, 1)
    # the view and its labels have the names that readers of the original look for
    assert layout.VIEW.removesuffix(".h5") + "-labels.npy" == layout.LABELS
    # readers take every dataset whose name starts with "data" for a level
    for name in (layout.IDENTITY_INDEX, layout.SHARD_FILE):
        assert not name.startswith("data")


@pytest.mark.parametrize("resolution", [0, 3, 96, -4])
def test_a_resolution_is_a_power_of_two(resolution: int) -> None:
    with pytest.raises(ShardError, match=f"resolution {resolution}: .* power of two"):
        layout.level_resolutions(resolution)


def test_header_survives(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layout.write_header(file, HEADER)
    with h5py.File(tmp_path / "a.h5") as file:
        assert layout.read_header(file) == HEADER
        assert type(layout.read_header(file).resolution) is int


def test_texts_survive(tmp_path: Path) -> None:
    texts = ["000001.jpg", "", "Zoë/ärger 1.png"]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        layout.write_texts(file, "identity/file", texts)
        assert layout.read_texts(file, "identity/file") == texts


def test_strange_files_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        with pytest.raises(ShardError, match=r"a\.h5: has no attribute format_version"):
            layout.read_header(file)
        file.attrs["format_version"] = 99
        with pytest.raises(ShardError, match=r"format version 99, but this code reads 1.*dvc repro"):
            layout.read_header(file)
        file.attrs["format_version"] = layout.FORMAT_VERSION
        with pytest.raises(ShardError, match="attribute resolution, codec"):
            layout.read_header(file)
        with pytest.raises(ShardError, match="dataset data4x4 is absent"):
            layout.dataset(file, "data4x4")
