"""Clean images to train on: regions of the user's photographs that show true detail.

Photographs are JPEGs, whose artefacts would be learnt. Those of quality 90 and above, and those of other formats, are
used as they are. Others are halved in size, which removes most of it: on the Berkeley photographs the error of JPEG at
quality 50 to 90 falls by 5 dB. What is then smaller than `min_pixels` is left out.

Images are (H, W, 3) uint8 RGB.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from pipeline.container import read_stored
from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.decode import decode
from pipeline.faces.open_image import open_image
from pipeline.manifest import Stored, kept_columns
from pipeline.params import PhotographParams, TrainedNetwork
from pipeline.restoration.degradations import Pixels
from pipeline.sources.listing import list_folder

REGION_PIXELS = 512
"""Side of the squares that are used of a larger photograph; bounds the memory at 0.75 MiB each."""
GOOD_QUALITY = 90

# the sum of the standard's table for brightness (ISO/IEC 10918-1, annex K), which is that of quality 50
_STANDARD_SUM = 3688


@dataclass(frozen=True, slots=True)
class CleanImages:
    """Clean regions of training and held-out photographs.

    `photographs` is the number of those to train on, `skipped` that of those left out, by reason.
    """

    training: list[Pixels]
    held_out: list[Pixels]
    photographs: int
    skipped: dict[str, int]


def read_clean(
    photographs: Path, data: Path, params: TrainedNetwork, how: PhotographParams, *, side: int
) -> CleanImages:
    """Read clean regions of photographs in random order; the held-out ones come first.

    `photographs` is a folder, or a table with rows of `Photograph`, whose containers are below the folder `data`; `how`
    says how they are decoded. Broken photographs, and those with less than `side` or `min_pixels` pixels in height or
    width, are left out. A large photograph gives several regions while there are fewer than `max_photographs`.

    `SourceError`: fewer usable photographs than the held-out ones and one more.
    """
    how = how.model_copy(update={"decoder": "pillow"})  # the faster one: no published pixel depends on it
    held_out, seed = params.held_out_photographs, params.seed
    least = max(side, params.min_pixels)
    count, read = _source(photographs, data)
    skipped: Counter[str] = Counter()
    images: list[list[Pixels]] = []
    each = -(-params.max_photographs // max(count - held_out, 1))
    for position in np.random.default_rng([seed]).permutation(count):
        try:
            image = clean(read(int(position)), how, least)
        except RejectedInputError as rejected:
            skipped[rejected.reason.value] += 1
            continue
        rng = np.random.default_rng([seed, int(position)])
        images.append([*_regions(image, 1 if len(images) < held_out else each, rng)])
        if sum(map(len, images[held_out:])) >= params.max_photographs:
            break
    if len(images) <= held_out:
        raise SourceError(
            f"{photographs}: {len(images)} of {count} photographs can be used (left out: {dict(skipped)}; "
            f"{least} x {least} pixels are needed, of JPEGs below quality {GOOD_QUALITY} twice as many), but "
            f"{held_out} are held out and one must remain. Name a folder of larger photographs in "
            f"`photographs`, or lower min_pixels, patch_pixels or held_out_photographs."
        )
    training = [region for regions in images[held_out:] for region in regions][: params.max_photographs]
    first = [regions[0] for regions in images[:held_out]]
    return CleanImages(training, first, len(images) - held_out, dict(sorted(skipped.items())))


def clean(content: bytes, how: PhotographParams, least: int) -> Pixels:
    """The pixels of a photograph without visible artefacts of JPEG.

    `RejectedInputError`: as `decode`, and TOO_SMALL with less than `least` pixels in height or width.
    """
    image = decode(content, how)
    if not is_good(content):
        height, width, _ = image.shape
        image = np.asarray(Image.fromarray(image).resize((width // 2, height // 2), Image.Resampling.LANCZOS))
    if min(image.shape[:2]) < least:
        raise RejectedInputError(
            DropReason.TOO_SMALL, f"{image.shape[1]} x {image.shape[0]} clean pixels, less than {least} x {least}"
        )
    return image


def is_good(content: bytes) -> bool:
    """Whether a photograph is no JPEG, or one of at least `GOOD_QUALITY` by its quantisation table."""
    image = open_image(content)
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return True
    rounding = 0.5  # of the table's values
    return sum(image.quantization[0]) <= _STANDARD_SUM * (2 - (GOOD_QUALITY - rounding) / 50)


def _source(photographs: Path, data: Path) -> tuple[int, Callable[[int], bytes]]:
    """The number of photographs, and what reads the one at a place."""
    if photographs.is_dir():
        paths = [photographs / os.fsdecode(os.fsencode(name)) for name in list_folder(photographs).members]
        return len(paths), lambda place: paths[place].read_bytes()
    if not photographs.is_file():
        raise SourceError(
            f"{photographs.resolve()}: no such folder of photographs, which `photographs` in params.yaml names."
        )
    rows = kept_columns(photographs, ["photograph"])["photograph"]
    return len(rows), lambda place: read_stored(data, Stored(**rows[place].as_py()))


def _regions(image: Pixels, count: int, rng: np.random.Generator) -> Iterator[Pixels]:
    """Random squares of an image, as many as lie side by side in it, at most `count`."""
    spans = [max(size - REGION_PIXELS, 0) for size in image.shape[:2]]
    fitting = int(np.prod([-(-size // REGION_PIXELS) for size in image.shape[:2]]))
    for _ in range(min(count, fitting)):
        y, x = (int(rng.integers(span, endpoint=True)) for span in spans)
        yield image[y : y + REGION_PIXELS, x : x + REGION_PIXELS].copy()
