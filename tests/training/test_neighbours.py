"""Nearest neighbours: exact, whatever the size of the parts."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipeline.errors import NetworkError, ParamsError
from pipeline.shards.reader import DataSet
from stages.__main__ import app
from tests.training.small import make_dataset, make_network
from training import neighbours
from training.image_grid import Pixels, read_png, write_png
from training.neighbours import CENTRE, Region

CPU = torch.device("cpu")
ALL = Region(0, 0, 1, 1)


@pytest.fixture(scope="module")
def reals(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return DataSet(make_dataset(tmp_path_factory.mktemp("neighbours"), images=24, resolution=32))


def find(queries: Pixels, dataset: DataSet, **changes: Any) -> neighbours.Neighbours:
    options = {"region": ALL, "features": None, "neighbours": 3, "mirror": False, "memory_mib": 512}
    return neighbours.find(queries, dataset, device=CPU, **(options | changes))


def plain(queries: Pixels, dataset: DataSet, region: Region, side: int) -> np.ndarray:
    """All distances (N, M), by the definition."""
    left, top, right, bottom = region.pixels(side)
    cut = np.s_[:, :, top:bottom, left:right]
    a, b = (x[cut].astype(float) for x in (queries, dataset.read(side, np.arange(len(dataset)))))
    return np.sqrt(np.square(a[:, None] - b[None]).mean(axis=(2, 3, 4)))


@pytest.mark.parametrize("region", [ALL, CENTRE])
@pytest.mark.parametrize("memory_mib", [512, 0.2, 0.001])
def test_the_nearest_of_all_are_found_in_parts_of_any_size(reals: DataSet, region: Region, memory_mib: float) -> None:
    queries = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), np.uint8)
    found = find(queries, reals, region=region, memory_mib=memory_mib)
    expected = plain(queries, reals, region, 16)
    assert np.array_equal(found.positions_NK, np.argsort(expected, axis=1)[:, :3])
    np.testing.assert_allclose(found.distances_NK, np.sort(expected, axis=1)[:, :3], rtol=1e-12)
    assert not found.mirrored_NK.any()


def test_a_real_image_finds_itself(reals: DataSet) -> None:
    for side in (32, 8):
        found = find(reals.read(side, np.arange(24)), reals, region=CENTRE, memory_mib=0.1)
        assert found.positions_NK[:, 0].tolist() == list(range(24))
        assert not found.distances_NK[:, 0].any()
        assert found.distances_NK[:, 1].all()


def test_a_mirrored_image_is_found_once(reals: DataSet) -> None:
    queries = np.ascontiguousarray(reals.read(32, [5, 20])[..., ::-1])
    found = find(queries, reals, mirror=True, neighbours=24, memory_mib=0.1)
    assert found.positions_NK[:, 0].tolist() == [5, 20]
    assert found.mirrored_NK[:, 0].all()
    assert not found.distances_NK[:, 0].any()
    for row in found.positions_NK:
        assert sorted(row) == list(range(24)), "each image once"
    unmirrored = find(queries, reals, neighbours=24)
    assert unmirrored.distances_NK[0, 0] > 0
    both = np.minimum(plain(queries, reals, ALL, 32), plain(queries[..., ::-1], reals, ALL, 32))
    np.testing.assert_allclose(found.distances_NK, np.sort(both, axis=1), rtol=1e-12)


def test_of_equal_images_the_first_comes_first(tmp_path: Path) -> None:
    reals = DataSet(make_dataset(tmp_path, images=8))
    same = np.repeat(reals.read(16, [0]), 24, axis=0)
    reals.read = lambda resolution, indices: same[np.asarray(indices)]  # type: ignore[method-assign]
    for memory_mib in (0.01, 512):
        assert find(same[:1], reals, memory_mib=memory_mib).positions_NK.tolist() == [[0, 1, 2]]


class Colours(torch.nn.Module):
    """Features that know the mean colours alone."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        if not return_features:
            return torch.zeros(len(images), 1)
        return images.float().mean(dim=(2, 3))


def test_features_of_the_users_network_are_compared(reals: DataSet, tmp_path: Path) -> None:
    torch.jit.script(Colours()).save(tmp_path / "colours.pt")  # pyright: ignore
    network = neighbours.FeatureNetwork(tmp_path / "colours.pt", CPU)
    turned = np.ascontiguousarray(reals.read(32, [3, 9])[:, :, ::-1])  # upside down: other pixels, the same colours
    found = find(turned, reals, features=network)
    assert found.positions_NK[:, 0].tolist() == [3, 9]
    assert found.distances_NK[:, 0].max() < 1e-3
    assert find(turned, reals).distances_NK[0, 0] > 0.1
    (tmp_path / "no.pt").write_bytes(b"no network")
    for name, message in (("none.pt", "no such file"), ("no.pt", "not a TorchScript file")):
        with pytest.raises(NetworkError, match=message):
            neighbours.FeatureNetwork(tmp_path / name, CPU)


@pytest.mark.parametrize("text", ["1,2", "a,b,c,d", "0.5,0,0.5,1", "0,0,1,2", "-0.1,0,1,1"])
def test_what_is_no_region_is_named(text: str) -> None:
    with pytest.raises(ParamsError, match="--region"):
        neighbours.parse_region(text)


def test_pictures_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="holds no picture"):
        neighbours.read_folder(tmp_path, 16)
    write_png(tmp_path / "wide.png", np.zeros((16, 32, 3), np.uint8))
    with pytest.raises(ParamsError, match=r"wide\.png: has 32x16 pixels; .* compared at 16x16"):
        neighbours.read_folder(tmp_path, 16)
    (tmp_path / "wide.png").write_bytes(b"text")
    with pytest.raises(ParamsError, match=r"wide\.png: cannot be read as a picture"):
        neighbours.read_folder(tmp_path, 16)


def celebahq(*words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    return json.loads(result.output)


def test_a_sheet_and_a_table_lie_in_the_run(reals: DataSet, tmp_path: Path) -> None:
    network = make_network(tmp_path / "run", lod=1.0)
    made = celebahq("neighbours", network.parent, reals.folder, "--seeds", "3,5-6", "--count", "2")
    assert (made["images"], made["reals"], made["resolution"]) == (3, 24, 16)
    with (tmp_path / "run/neighbours.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["rank"]) for row in rows] == [(s, r) for s in "356" for r in "12"]
    assert {row["file"] for row in rows} <= set(reals.files)
    sheet = read_png(tmp_path / "run/neighbours.png")
    assert sheet.shape == (3 * 128, 3 * 128, 3)
    nearest = reals.read(16, [int(rows[2]["position"])])[0].transpose(1, 2, 0)
    assert np.array_equal(sheet[128:256:8, 128:256:8], nearest)

    pictures = tmp_path / "pictures"
    for position in (17, 4):
        write_png(pictures / f"{position:02d}.png", reals.read(32, [position])[0].transpose(1, 2, 0))
    options = ["--images", pictures, "--resolution", 8, "--region", "0,0,1,1"]
    made = celebahq("neighbours", network, reals.folder, tmp_path / "own.png", *options)
    with (tmp_path / "own.csv").open() as file:
        first = [row for row in csv.DictReader(file) if row["rank"] == "1"]
    assert [(row["image"], row["position"], row["distance"]) for row in first] == [
        ("04.png", "4", "0"),
        ("17.png", "17", "0"),
    ]
    with pytest.raises(ParamsError, match="--resolution 24: give a power of two up to 16"):
        celebahq("neighbours", network, reals.folder, "--resolution", "24")
