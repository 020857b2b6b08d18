import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.shards.layout import Header, shard_name
from pipeline.shards.view import write_view
from pipeline.shards.writer import writing_shard

HEADER = Header(
    resolution=16,
    codec="gzip",
    params_digest="0" * 64,
    decoder="libjpeg-8d",
    renderer="fast",
    libraries='{"numpy": "2"}',
)


def images(count: int, resolution: int, seed: int = 0) -> np.ndarray:
    """(count, 3, resolution, resolution): noise over a gradient, so that levels differ and compress."""
    random = np.random.default_rng([seed, resolution])
    noise = random.integers(0, 128, (count, 3, resolution, resolution))
    ramp = np.linspace(0, 127, resolution).astype(np.int64)
    return (noise + ramp).astype(np.uint8)


def write(
    path: Path, header: Header, images_NCHW: np.ndarray, labels: np.ndarray | None = None, start: int = 0
) -> None:
    with writing_shard(path, header, len(images_NCHW)) as shard:
        for number, image_CHW in enumerate(images_NCHW):
            shard.add(
                image_CHW,
                index=100 + start + number,
                file=f"{start + number:06d}.jpg",
                labels=None if labels is None else labels[number],
            )
    assert shard.md5s == [hashlib.md5(image_CHW.tobytes()).hexdigest() for image_CHW in images_NCHW]


@pytest.fixture
def data_set(tmp_path: Path) -> Callable[..., tuple[Path, np.ndarray]]:
    """Makes a folder of shards of the given lengths, with its view; returns it and all its images."""

    def make(lengths: tuple[int, ...], header: Header = HEADER, labels: bool = False) -> tuple[Path, np.ndarray]:
        folder = tmp_path / "set"
        all_NCHW = images(sum(lengths), header.resolution)
        values = np.eye(sum(lengths), 5, dtype=np.float32) if labels else None
        start = 0
        for number, length in enumerate(lengths):
            part = slice(start, start + length)
            write(folder / shard_name(number), header, all_NCHW[part], None if values is None else values[part], start)
            start += length
        assert write_view(folder) == sum(lengths)
        return folder, all_NCHW

    return make
