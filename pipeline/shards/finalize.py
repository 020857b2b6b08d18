"""Makes a folder of finished shards a data set: the single-file view, and pictures of what is in it."""

from pathlib import Path

from pipeline.shards import layout
from pipeline.shards.previews import write_pyramid, write_samples
from pipeline.shards.reader import DataSet
from pipeline.shards.view import write_view

COLUMNS = 8
TILE = 128
PYRAMID_SIDE = 256


def finalize_dataset(folder: Path) -> dict[str, int]:
    """Write the view, `samples.png` (the first 64 images) and `pyramid.png` (the first at all levels).

    Returns
    -------
    dict
        `images`, `shards` and their `bytes`.
    """
    images = write_view(folder)
    with DataSet(folder) as data:
        write_samples(folder / "samples.png", data, columns=COLUMNS, tile=TILE)
        write_pyramid(folder / "pyramid.png", data, position=0, side=PYRAMID_SIDE)
    shards = list(folder.glob(layout.SHARDS))
    return {"images": images, "shards": len(shards), "bytes": sum(shard.stat().st_size for shard in shards)}
