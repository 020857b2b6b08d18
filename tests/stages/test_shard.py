"""Stage shard on a small table of select: final images, in order, with their labels and rows."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import manifest
from pipeline.container import writing_container
from pipeline.errors import ShardError, SourceError
from pipeline.faces.final_image import FinalRenderer
from pipeline.faces.geometry import rectangle_of_landmarks
from pipeline.faces.png import encode_png
from pipeline.faces.render import render
from pipeline.manifest import Selected, Sharded, Stored
from pipeline.params import SuperresParams
from pipeline.shards.reader import DataSet
from stages import read_params
from stages.shard import shard
from tests.stages.faces import choose

DATA = Path("data")
OUT = DATA / "shard"
RESOLUTION = 32
LANDMARKS = (30.0, 30.0, 50.0, 31.0, 40.0, 40.0, 32.0, 52.0, 48.0, 53.0)
ATTRIBUTES = (1, -1, -1, 1)


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def region(index: int, side: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (side, side, 3)).astype(np.uint8)


def selected(index: int, side: int, pixels: Stored, **columns: Any) -> Selected:
    values = {
        "index": index, "file": f"{index:06d}.png", "photograph": pixels, "width": side, "height": side,
        "split": "train", "attributes": ATTRIBUTES, "landmarks": None, "quad": (0.0,) * 8, "zoom": 1.0,
        "pixels": pixels, "region_md5": "", "left": 0, "upper": 0, "crop_width": side,
        "crop_height": side, "shrink": 1, "border": 0, "denoised": False,
        "quality": 0.5, "padded": False, "enlarge": 1, "rank": index,
    }  # fmt: skip
    return Selected(**values | columns)


def write_select(rows: dict[int, dict[str, Any]], side: int) -> None:
    """Write regions as `denoise` does, and the table of `select`."""
    with writing_container(DATA / "crop/crop-00000.tar", "crop/crop-00000.tar") as container:
        chosen = [
            selected(index, side, container.add(f"{index:06d}.png", encode_png(region(index, side), 3)), **columns)
            for index, columns in rows.items()
        ]
    manifest.write_rows(DATA / "select/select.parquet", Selected, chosen)


def choose_shard(address: str, method: str = "none", **shard: Any) -> None:
    values = {"images_per_shard": 4, "codec": "gzip", "order": "index", "seed": 123}
    choose(
        address,
        align={"resolution": RESOLUTION, "rectangle": "whole" if method == "none" else "landmarks"},
        superres={"method": method},
        fit_superres={"network": {"kind": "none"}},
        shard=values | shard,
    )


@pytest.mark.parametrize("order", ["index", "shuffled"])
def test_square_images_become_a_data_set(address: str, order: str) -> None:
    indices = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    write_select({index: {} for index in indices}, RESOLUTION)
    choose_shard(address, order=order)
    shard()
    expected = np.array(indices)
    if order == "shuffled":
        np.random.RandomState(123).shuffle(expected)
    with DataSet(OUT) as data:
        assert data.index.tolist() == expected.tolist()
        images_NCHW = data.read(RESOLUTION, range(10))
        for image_CHW, index in zip(images_NCHW, expected.tolist(), strict=True):
            np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), region(index, RESOLUTION))
        assert data.labels is not None
        np.testing.assert_array_equal(data.labels, [[1, 0, 0, 1]] * 10)
        assert (data.header.decoder, data.header.renderer) == ("libjpeg-8d", "fast")
    rows = manifest.read_kept(OUT / "shard.parquet", Sharded)
    assert [row.index for row in rows] == indices
    for row in rows:
        assert expected[row.position] == row.index
        assert (row.shard, row.row) == (f"shard-{row.position // 4:05d}.h5", row.position % 4)
        assert row.image_md5 == hashlib.md5(images_NCHW[row.position].tobytes()).hexdigest()
    report = json.loads(Path("reports/shard.json").read_text())
    assert (report["kept"], report["images"], report["shards"]) == (10, 10, 3)
    assert report["bytes"] == sum(path.stat().st_size for path in OUT.glob("shard-*.h5"))
    assert {path.name for path in OUT.iterdir()} == {
        "dataset.h5", "dataset-labels.npy", "shard.parquet", "samples.png", "pyramid.png", "record.json", "SHA256SUMS",
        "README.md", "croissant.json",
        *(f"shard-{number:05d}.h5" for number in range(3)),
    }  # fmt: skip


def test_faces_are_rendered_as_they_were_scored(address: str) -> None:
    rectangle = rectangle_of_landmarks(np.array(LANDMARKS, np.float32).reshape(5, 2), RESOLUTION)
    quad = tuple(rectangle.quad_42.reshape(-1).tolist())
    columns = {"landmarks": LANDMARKS, "quad": quad, "zoom": rectangle.zoom, "attributes": None}
    write_select({4: columns, 9: columns}, 100)
    choose_shard(address, method="lanczos", codec="zstd")
    shard()
    params = SuperresParams(
        method="lanczos",
        renderer="fast",
        reduction="area",
        faces_per_chunk=1,
        tile_pixels=64,
        precision="float32",
        previews=0,
        max_dropped=0.0,
    )
    network, photographs = Path("none"), read_params().photographs
    renderer = FinalRenderer(params, photographs, render, resolution=RESOLUTION, network=network, data=DATA)
    with DataSet(OUT) as data:
        assert data.labels is None
        for position, row in enumerate(manifest.read_kept(DATA / "select/select.parquet", Selected)):
            image_CHW = data.read(RESOLUTION, [position])[0]
            np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), renderer.render(row).image_HWC)
    assert not (OUT / "dataset-labels.npy").exists()


def test_equal_runs_give_equal_bytes_and_other_params_another_digest(address: str) -> None:
    def run(**values: Any) -> dict[str, bytes]:
        choose_shard(address, **values)
        shard()
        return {path.name: path.read_bytes() for path in OUT.iterdir()}

    write_select({index: {} for index in range(6)}, RESOLUTION)
    first = run()
    digest = DataSet(OUT).header.params_digest
    assert run() == first
    run(images_per_shard=3)
    assert DataSet(OUT).header.params_digest != digest


def test_nothing_is_published_when_the_input_is_incomplete(address: str) -> None:
    choose_shard(address)
    write_select({0: {}, 1: {"attributes": None}}, RESOLUTION)
    with pytest.raises(ShardError, match="number of attributes"):
        shard()
    write_select({0: {}}, RESOLUTION)
    (DATA / "crop/crop-00000.tar").unlink()
    with pytest.raises(SourceError, match=r"crop-00000\.tar: container not found"):
        shard()
    assert not OUT.exists()
