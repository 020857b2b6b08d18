"""Writing shards, with all levels: `python -m benchmarks.shards [FOLDER]`. `benchmarks.reading` reads them.

FOLDER holds pictures of any size, whose centres are resized to 1024x1024; without it images are drawn, which compress
like photographs. Compared with `benchmarks.plain_shards`: the original's tool and this project's earlier writer. All
alternate on one core; CPU seconds, the median of ROUNDS. The table of codecs, of the largest level alone, is what the
choice of codecs and their levels in `pipeline.shards.codecs` rests on.
"""

import json
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from benchmarks import plain_shards
from benchmarks.result import save
from pipeline.shards import codecs
from pipeline.shards.layout import Header
from pipeline.shards.writer import writing_shard

RESOLUTION = 1024
IMAGES = 8
ROUNDS = 5
Images = list[NDArray[np.uint8]]


def drawn(count: int, resolution: int) -> Images:
    """Images (R, R, 3) of random colours at several scales down to 4 pixels: as smooth as enlarged faces."""
    rng = np.random.default_rng(1)
    images: Images = []
    for _ in range(count):
        image = np.full((resolution, resolution, 3), 128.0)
        for side, strength in ((4, 30), (16, 20), (64, 10), (256, 4)):
            coarse = rng.normal(0, strength, (min(side, resolution), min(side, resolution), 3))
            image += cv2.resize(coarse, (resolution, resolution), interpolation=cv2.INTER_CUBIC)
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


def pictures(folder: Path, resolution: int) -> Images:
    """The centres of all pictures of a folder, (R, R, 3)."""
    images: Images = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            side = min(picture.size)
            left, upper = (picture.width - side) // 2, (picture.height - side) // 2
            square = picture.convert("RGB").crop((left, upper, left + side, upper + side))
            images.append(np.asarray(square.resize((resolution, resolution), Image.Resampling.BICUBIC)))
    return images * -(-IMAGES // len(images))


def seconds_of(call: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    call()
    return time.process_time() - started


def write_ours(codec: str, folder: Path, images_CHW: Images) -> None:
    """Write a data set of one shard."""
    header = Header(images_CHW[0].shape[-1], codec, "0" * 64, "none", "none", "{}")
    with writing_shard(folder / "shard-00000.h5", header, len(images_CHW)) as shard:
        for number, image_CHW in enumerate(images_CHW):
            shard.add(image_CHW, index=number, file=f"{number}.png", labels=None)


def compared(images_HWC: Images, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Write the images with each writer to a folder of its own; milliseconds to write an image, and its MB."""
    # as a renderer gives them
    images_CHW = [image_HWC.transpose(2, 0, 1) for image_HWC in images_HWC]
    names = ("original", "earlier", *codecs.CODECS)
    files = {name: folder / name / "shard-00000.h5" for name in names}
    writers: dict[str, Callable[[], None]] = {
        "original": lambda: plain_shards.write_original(files["original"], images_CHW),
        "earlier": lambda: plain_shards.write_earlier(files["earlier"], images_CHW),
    } | {codec: partial(write_ours, codec, folder / codec, images_CHW) for codec in codecs.CODECS}
    for name in names:
        files[name].parent.mkdir()
    seconds = {name: [0.0] * rounds for name in names}
    for number in range(rounds):
        for name in names:
            seconds[name][number] = seconds_of(writers[name])
    return {
        name: {
            "write_ms": round(statistics.median(seconds[name]) / len(images_CHW) * 1000, 2),
            "megabytes": round(files[name].stat().st_size / len(images_CHW) / 1e6, 4),
        }
        for name in names
    }


def table_of_codecs(images_HWC: Images) -> dict[str, dict[str, float]]:
    """Of each candidate: milliseconds to compress and to decompress an image, and its MB."""
    candidates: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes, int], Any]]] = {
        "zlib 4": (lambda pixels: zlib.compress(pixels, 4), lambda chunk, _: zlib.decompress(chunk))
    }
    for level in (1, 2, 3):
        candidates[f"isal {level}"] = (
            partial(isal_zlib.compress, level=level),  # type: ignore[call-arg]
            lambda chunk, size: isal_zlib.decompress(chunk, bufsize=size),
        )
    for level in (-5, -3, -1, 1, 3):
        codec = pa.Codec("zstd", compression_level=level)
        candidates[f"zstd {level}"] = (partial(codec.compress, asbytes=True), codec.decompress)
    lz4 = pa.Codec("lz4_raw")
    candidates["lz4"] = (partial(lz4.compress, asbytes=True), lz4.decompress)
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in candidates}
    for image_HWC in images_HWC:
        pixels = image_HWC.transpose(2, 0, 1).tobytes()
        for name, (compress, decompress) in candidates.items():
            chunk = compress(pixels)
            written = seconds_of(partial(compress, pixels))
            found[name].append((written, seconds_of(partial(decompress, chunk, len(pixels))), len(chunk)))
    return {
        name: {
            "compress_ms": round(statistics.median(row[0] for row in rows) * 1000, 2),
            "decompress_ms": round(statistics.median(row[1] for row in rows) * 1000, 2),
            "megabytes": round(statistics.mean(row[2] for row in rows) / 1e6, 4),
        }
        for name, rows in found.items()
    }


def main(folder: Path | None, resolution: int = RESOLUTION, images: int = IMAGES, rounds: int = ROUNDS) -> None:
    """Compare, print and save."""
    cv2.setNumThreads(1)
    images_HWC = drawn(images, resolution) if folder is None else pictures(folder, resolution)
    with tempfile.TemporaryDirectory() as scratch:
        writers = compared(images_HWC, Path(scratch), rounds)
    original, earlier = writers["original"], writers["earlier"]
    ratios = {"write gzip by earlier": earlier["write_ms"] / writers["gzip"]["write_ms"]}
    for codec in codecs.CODECS:
        ours = writers[codec]
        ratios[f"write {codec} by original"] = original["write_ms"] / ours["write_ms"]
        ratios[f"size {codec} of original"] = ours["megabytes"] / original["megabytes"]
    figures = {
        "images": len(images_HWC),
        "resolution": resolution,
        "writers": writers,
        "codecs": table_of_codecs(images_HWC),
    }
    print(json.dumps(figures, indent=2))
    name = "shards" if folder is None else f"shards-{folder.resolve().name}"
    save(name, figures, {key: round(ratio, 2) for key, ratio in ratios.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
