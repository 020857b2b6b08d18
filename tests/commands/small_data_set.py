"""A tiny published data set, with table, labels, view and digests."""

from pathlib import Path

import numpy as np

from pipeline import checksums, manifest
from pipeline.errors import DropReason
from pipeline.manifest import Drop, Sharded
from pipeline.shards import layout
from pipeline.shards.finalize import finalize_dataset
from pipeline.shards.layout import Header
from pipeline.shards.writer import writing_shard

HEADER = Header(16, codec="gzip", params_digest="0" * 64, decoder="pillow", renderer="fast", libraries="{}")


def make_data_set(folder: Path, count: int = 8, per_shard: int = 4, seed: int = 1) -> Path:
    """A published data set of noise with labels."""
    random = np.random.default_rng(seed)
    rows: list[Sharded | Drop] = [Drop(index=count, file="bad.jpg", reason=DropReason.TRUNCATED, detail="ends early")]
    for start in range(0, count, per_shard):
        name = layout.shard_name(start // per_shard)
        with writing_shard(folder / name, HEADER, per_shard) as shard:
            for row in range(per_shard):
                index = start + row
                labels = np.eye(5, dtype=np.float32)[index % 5]
                image_CHW = random.integers(0, 256, (3, 16, 16), np.uint8)
                shard.add(image_CHW, index=index, file=f"{index}.jpg", labels=labels)
        rows += [_row(start + row, name, row, md5) for row, md5 in enumerate(shard.md5s)]
    manifest.write_rows(folder / "shard.parquet", Sharded, rows)
    finalize_dataset(folder)
    checksums.write(folder)
    return folder


def _row(index: int, shard: str, row: int, md5: str) -> Sharded:
    stored = manifest.Stored(container="extract/extract-00000.tar", offset=0, size=1, md5="0" * 32)
    return Sharded(
        index=index, file=f"{index}.jpg", photograph=stored, width=16, height=16, split="train", attributes=(1, -1),
        landmarks=None, quad=(0.0,) * 8, zoom=1.0, pixels=None, region_md5="", left=0, upper=0, crop_width=16,
        crop_height=16, shrink=1, border=0, denoised=False, quality=0.5, padded=False, enlarge=1, rank=index,
        position=index, shard=shard, row=row, image_md5=md5,
    )  # fmt: skip
