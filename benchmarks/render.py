"""Both renderers against the original's recipe by today's libraries: `python -m benchmarks.render [FOLDER] [ROUNDS]`.

From the decoded photograph to the final image of 1024²: shrink, crop, enlarge by Lanczos, pad, transform. The
original's steps are restated for current Pillow and SciPy, which do not give the published bytes (see
`original_differing_bytes`). One thread; the three alternate, and medians of CPU seconds count. Decoding is timed apart.

Photographs are drawn, or those of FOLDER that a CSV file in it names (`orig_file`), with landmarks in columns
(`lefteye_x`, ...). Kinds are `unpadded`, `padded`, `shrunk` (the photograph has far more pixels than the final image)
and `mixed`: a third padded, as real faces are. Memory is what one image adds to a new process.
"""

import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from benchmarks.result import PeakMemory, anonymous_mib, in_new_process, save
from pipeline.faces import geometry
from pipeline.faces import render as fast
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.geometry import Padding, Points, Rectangle
from pipeline.faces.region import crop_region, enlarge_square
from pipeline.faces.render import Rendered
from pipeline.published.deltas import apply_delta, open_delta, seal_delta
from pipeline.published.exact import render as exact

RESOLUTION = 1024
SAMPLES = 4
POINTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
PADDED_SHARE = 1 / 3
Pixels = NDArray[np.uint8]


class Photograph(NamedTuple):
    """A JPEG with one face."""

    name: str
    jpeg: bytes
    landmarks_52: Points


DRAWN = {
    "620x780": (620, 780, (261, 288, 361, 300, 0, 0, 255, 398, 330, 406)),
    "1400x1400": (1400, 1400, (590, 540, 800, 566, 0, 0, 580, 770, 740, 788)),
    "430x640": (430, 640, (139, 225, 243, 231, 0, 0, 136, 313, 229, 328)),
    "3000x4000": (3000, 4000, (950, 1500, 2080, 1560, 0, 0, 1000, 2800, 2000, 2840)),
}


def drawn(scale: float = 1) -> Iterator[Photograph]:
    """Smooth shapes with noise, at a fraction of their sizes."""
    for name, (full_width, full_height, landmarks) in DRAWN.items():
        width, height = round(scale * full_width), round(scale * full_height)
        random = np.random.default_rng(width)
        coarse = random.integers(0, 256, (max(height // 40, 2), max(width // 40, 2), 3), np.uint8)
        image_HWC = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        image_HWC += random.normal(0, 4, image_HWC.shape).astype(np.float32)
        stream = io.BytesIO()
        Image.fromarray(image_HWC.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
        yield Photograph(name, stream.getvalue(), np.array(landmarks, np.float32).reshape(5, 2) * np.float32(scale))


def photographs(folder: Path) -> Iterator[Photograph]:
    """Those of a folder that its CSV files name."""
    files = {path.name: path for path in sorted(folder.rglob("*.jpg"))}
    for table in sorted(folder.rglob("*.csv")):
        with table.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("orig_file") in files and "lefteye_x" in row]
        for row in rows:
            landmarks = [[float(row.get(f"{point}_{axis}") or 0) for axis in "xy"] for point in POINTS]
            yield Photograph(row["orig_file"], files[row["orig_file"]].read_bytes(), np.array(landmarks, np.float32))


def by_exact(image_HWC: Pixels, landmarks_52: Points, resolution: int) -> Rendered:
    """Ours: the published image, bit for bit."""
    return exact.render_photograph(image_HWC, landmarks_52, resolution)


def by_fast(image_HWC: Pixels, landmarks_52: Points, resolution: int) -> Rendered:
    """Ours, by OpenCV."""
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, resolution)
    return fast.render(enlarge_square(crop_region(image_HWC, rectangle, resolution), resolution), resolution)


def by_original(image_HWC: Pixels, landmarks_52: Points, resolution: int) -> Rendered:
    """The same steps as in the published tool, by the current libraries."""
    image = Image.fromarray(image_HWC)
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, resolution)
    shrink = geometry.shrink_factor(rectangle.zoom)
    if shrink > 1:
        size = geometry.shrunk_size(image.width, image.height, shrink)
        image, rectangle = image.resize(size, Image.Resampling.LANCZOS), rectangle.shrunk(shrink)
    border = geometry.border_pixels(rectangle.zoom, resolution)
    box = geometry.crop_box(rectangle, image.width, image.height, border)
    image, rectangle = image.crop((box.left, box.upper, box.right, box.lower)), rectangle.moved(-box.left, -box.upper)
    factor = geometry.enlarge_factor(rectangle.zoom)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
        rectangle = rectangle.enlarged(factor)
    padding = geometry.padding(rectangle, image.width, image.height, border, resolution)
    if padding is not None:
        image, rectangle = padded(np.asarray(image), padding), rectangle.moved(padding.left, padding.top)
    return Rendered(transformed(image, rectangle, resolution), padding is not None)


def padded(image_HWC: Pixels, padding: Padding) -> Image.Image:
    """Pad by mirroring, blur and fade the padding."""
    edges = ((padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
    image = np.pad(image_HWC.astype(np.float32), edges, "reflect")
    height, width, _ = image.shape
    y, x, _ = np.ogrid[:height, :width, :1]
    mask = 1.0 - np.minimum(
        np.minimum(np.float32(x) / padding.left, np.float32(y) / padding.top),
        np.minimum(np.float32(width - 1 - x) / padding.right, np.float32(height - 1 - y) / padding.bottom),
    )
    blurred = scipy.ndimage.gaussian_filter(image, [padding.blur_sigma, padding.blur_sigma, 0])
    image += (blurred - image) * np.clip(mask * 3.0 + 1.0, 0.0, 1.0)
    image += (np.median(image, axis=(0, 1)) - image) * np.clip(mask, 0.0, 1.0)
    return Image.fromarray(np.uint8(np.clip(np.round(image), 0, 255)))


def transformed(image: Image.Image, rectangle: Rectangle, resolution: int) -> Pixels:
    """Transform to the square at four times the size, then reduce."""
    corners = tuple(rectangle.transform_corners_42.ravel().tolist())
    side = SAMPLES * resolution
    large = image.transform((side, side), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(large.resize((resolution, resolution), Image.Resampling.LANCZOS))


RENDERERS = {"exact": by_exact, "fast": by_fast, "original": by_original}


def cpu_seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def compare(photograph: Photograph, rounds: int, resolution: int) -> dict[str, Any]:
    """Median CPU seconds of each renderer, in alternating rounds, and how far their images lie apart."""
    image_HWC = decode(photograph.jpeg, AS_PUBLISHED)
    arguments = (image_HWC, photograph.landmarks_52, resolution)
    images = {name: renderer(*arguments) for name, renderer in RENDERERS.items()}  # the first call compiles
    assert len({rendered.padded for rendered in images.values()}) == 1
    seconds: dict[str, list[float]] = {name: [] for name in (*RENDERERS, "decoding")}
    for _ in range(rounds):
        for name, renderer in RENDERERS.items():
            seconds[name].append(cpu_seconds(renderer, *arguments))
        seconds["decoding"].append(cpu_seconds(decode, photograph.jpeg, AS_PUBLISHED))
    exact_HWC = images["exact"].image_HWC.astype(int)
    apart = {name: np.abs(images[name].image_HWC - exact_HWC) for name in ("fast", "original")}
    return {
        "kind": kind(photograph.landmarks_52, images["exact"].padded, resolution),
        **{f"{name}_seconds": round(float(np.median(values)), 4) for name, values in seconds.items()},
        **{f"{name}_mean_levels_from_exact": round(float(levels.mean()), 3) for name, levels in apart.items()},
        **{f"{name}_most_levels_from_exact": int(levels.max()) for name, levels in apart.items()},
        "original_differing_bytes": f"{np.mean(apart['original'] > 0):.2%}",
    }


def kind(landmarks_52: Points, is_padded: bool, resolution: int) -> str:
    """Of a photograph, by what has to be done."""
    if geometry.shrink_factor(geometry.rectangle_of_landmarks(landmarks_52, resolution).zoom) > 1:
        return "shrunk"
    return "padded" if is_padded else "unpadded"


def ratios(cases: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The original's seconds by ours: of each kind the sums, and of the mixture by its shares."""
    sums = {
        kind: {
            name: float(np.mean([case[f"{name}_seconds"] for case in cases.values() if case["kind"] == kind]))
            for name in RENDERERS
        }
        for kind in dict.fromkeys(case["kind"] for case in cases.values())
    }
    if {"unpadded", "padded"} <= sums.keys():
        sums["mixed"] = {
            name: (1 - PADDED_SHARE) * sums["unpadded"][name] + PADDED_SHARE * sums["padded"][name]
            for name in RENDERERS
        }
    return {
        f"{name} {kind}": round(values["original"] / values[name], 2)
        for name in ("exact", "fast")
        for kind, values in sums.items()
    }


def peak_mib(renderer: str, photograph: Photograph) -> int:
    """MiB that one image adds, after a small one has loaded and compiled everything."""
    small = next(drawn(0.25))
    RENDERERS[renderer](decode(small.jpeg, AS_PUBLISHED), small.landmarks_52, 64)
    image_HWC = decode(photograph.jpeg, AS_PUBLISHED)
    before = anonymous_mib(os.getpid())
    with PeakMemory() as peak:
        RENDERERS[renderer](image_HWC, photograph.landmarks_52, RESOLUTION)
        time.sleep(0.1)
    return round(peak.mib - before)


def delta_seconds(rounds: int) -> float:
    """Seconds to decrypt, decompress and apply one delta of realistic strength."""
    delta_CHW = np.random.default_rng(1).normal(0, 3, (3, RESOLUTION, RESOLUTION)).astype(np.int8).view(np.uint8)
    jpeg = next(drawn()).jpeg
    token = seal_delta(delta_CHW, jpeg, "000001.jpg")

    def final() -> Pixels:
        return apply_delta(delta_CHW, open_delta(token, jpeg, "000001.jpg"))

    return float(np.median([cpu_seconds(final) for _ in range(rounds)]))


def main(folder: Path | None, rounds: int) -> None:
    """Compare all photographs, print and save."""
    cv2.setNumThreads(1)
    chosen = [*(drawn() if folder is None else photographs(folder))]
    if not chosen:
        sys.exit(f"{folder}: no CSV file in it names a .jpg in it by orig_file, with lefteye_x and the like")
    cases: dict[str, dict[str, Any]] = {}
    for photograph in chosen:
        cases[photograph.name] = compare(photograph, rounds, RESOLUTION)
        print(photograph.name, cases[photograph.name], flush=True)
    figures = {
        "cases": cases,
        "peak_mib_of_one_image": {
            f"{name} {photograph.name}": in_new_process(peak_mib, name, photograph)
            for photograph in chosen[:4]
            for name in RENDERERS
        },
        "delta_seconds": round(delta_seconds(rounds), 3),
    }
    save("render-real" if folder else "render-drawn", figures, ratios(cases))


if __name__ == "__main__":
    given = sys.argv[1:]
    count = int(given.pop()) if given and given[-1].isdigit() else 5
    main(Path(given[0]) if given else None, count)
