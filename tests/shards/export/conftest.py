"""A small data set of shards: two shards, faces, splits and attributes; or classes, without a table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard
from tests.shards.conftest import HEADER, images

INDICES = (7, 3, 3, 12, 20, 21, 30, 31, 32, 45)
FACES = (0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
SPLITS = ("train", "train", "validation", "train", "test", "train", "train", "validation", "train", "train")
LENGTHS = (6, 4)
RESOLUTION = 16


def write_data_set(folder: Path, labels: np.ndarray | None, *, table: bool, published: bool = False) -> Path:
    all_NCHW = images(len(INDICES), RESOLUTION)
    rows = []
    start = 0
    for number, length in enumerate(LENGTHS):
        with writing_shard(folder / f"shard-{number:05d}.h5", replace(HEADER, resolution=RESOLUTION), length) as shard:
            for row in range(length):
                place = start + row
                file = f"{INDICES[place]:06d}.jpg"
                shard.add(
                    all_NCHW[place], index=INDICES[place], file=file, labels=None if labels is None else labels[place]
                )
                rows.append({
                    "index": INDICES[place], "file": file, "face": FACES[place], "split": SPLITS[place],
                    "quality": None if published else 0.5, "rank": 100 - place, "position": place,
                    "shard": f"shard-{number:05d}.h5", "row": row, "image_md5": "", "drop_reason": None,
                })  # fmt: skip
        for row, md5 in zip(rows[start:], shard.md5s, strict=True):
            row["image_md5"] = md5
        start += length
    write_view(folder)
    if table:
        rows.append({"index": 99, "file": "000100.jpg", "drop_reason": "not an image"})
        schema = pa.Table.from_pylist(rows[:1]).schema.set(4, pa.field("quality", pa.float64()))
        schema = schema.set(len(schema) - 1, pa.field("drop_reason", pa.string()))
        # tables are in the order of the source, not of the data set
        pq.write_table(
            pa.Table.from_pylist(sorted(rows, key=lambda row: row["index"]), schema=schema), folder / "shard.parquet"
        )
    return folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images of nine photographs, with splits, attributes and a table."""
    labels = np.random.default_rng(0).integers(0, 2, (len(INDICES), 4)).astype(np.float32)
    labels[0] = [1, 1, 0, 0.5]
    return write_data_set(tmp_path_factory.mktemp("faces"), labels, table=True)


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images in three classes, without a table."""
    return write_data_set(
        tmp_path_factory.mktemp("classes"), np.eye(3, dtype=np.float32)[np.arange(10) % 3], table=False
    )


@pytest.fixture(scope="session")
def pixels(faces: Path) -> dict[int, np.ndarray]:
    """(N, 3, r, r) by resolution."""
    with DataSet(faces) as data:
        return {level: data.read(level, range(len(data))) for level in (16, 8, 4)}
