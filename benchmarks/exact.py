"""The exact renderer against the same recipe by current Pillow and scipy: `python -m benchmarks.exact [ROUNDS]`.

One core; both alternate, the best of ROUNDS (default 5) counts, decoding included. Pillow and scipy do not give the
published bytes: see `differing_bytes`. Memory is what one image adds to a fresh process. The hours for 30,000 images
include the delta and count a third as padded, as real faces are.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import scipy.ndimage
from numpy.typing import NDArray
from PIL import Image

from benchmarks.result import PeakMemory, anonymous_mib, in_new_process, save
from pipeline.faces import geometry
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.geometry import Padding, Points, Rectangle
from pipeline.published.deltas import apply_delta, open_delta, seal_delta
from pipeline.published.exact.render import render_photograph

RESOLUTION, SAMPLES = 1024, 4096
Pixels = NDArray[np.uint8]

CASES: dict[str, tuple[int, int, Points]] = {
    "620x780, enlarged, not padded": (620, 780, np.float32([[261, 288], [361, 300], [0, 0], [255, 398], [330, 406]])),
    "430x640, enlarged, padded": (430, 640, np.float32([[139, 225], [243, 231], [0, 0], [136, 313], [229, 328]])),
    "3000x4000, reduced, padded": (
        3000, 4000, np.float32([[950, 1500], [2080, 1560], [0, 0], [1000, 2800], [2000, 2840]])
    ),
    "3000x4000, as it is, padded": (
        3000, 4000, np.float32([[1100, 1500], [1950, 1560], [0, 0], [1080, 2500], [1850, 2540]])
    ),
}  # fmt: skip


def photograph(width: int, height: int) -> bytes:
    """A JPEG of smooth shapes with noise."""
    random = np.random.default_rng(width)
    coarse = random.integers(0, 256, (height // 40, width // 40, 3), np.uint8)
    image_HWC = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    image_HWC += random.normal(0, 4, image_HWC.shape).astype(np.float32)
    stream = io.BytesIO()
    Image.fromarray(image_HWC.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def exact(jpeg: bytes, landmarks_52: Points) -> tuple[Pixels, bool]:
    """Ours: the published image, bit for bit."""
    rendered = render_photograph(decode(jpeg, AS_PUBLISHED), landmarks_52, RESOLUTION)
    return rendered.image_HWC, rendered.padded


def by_pillow_and_scipy(jpeg: bytes, landmarks_52: Points) -> tuple[Pixels, bool]:
    """The same steps as in the published tool, by the current libraries."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    rectangle = geometry.rectangle_of_landmarks(landmarks_52, RESOLUTION)
    shrink = geometry.shrink_factor(rectangle.zoom)
    if shrink > 1:
        size = geometry.shrunk_size(image.width, image.height, shrink)
        image, rectangle = image.resize(size, Image.Resampling.LANCZOS), rectangle.shrunk(shrink)
    border = geometry.border_pixels(rectangle.zoom, RESOLUTION)
    box = geometry.crop_box(rectangle, image.width, image.height, border)
    image, rectangle = image.crop((box.left, box.upper, box.right, box.lower)), rectangle.moved(-box.left, -box.upper)
    factor = geometry.enlarge_factor(rectangle.zoom)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
        rectangle = rectangle.enlarged(factor)
    padding = geometry.padding(rectangle, image.width, image.height, border, RESOLUTION)
    if padding is not None:
        image, rectangle = padded(np.asarray(image), padding), rectangle.moved(padding.left, padding.top)
    return transformed(image, rectangle), padding is not None


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


def transformed(image: Image.Image, rectangle: Rectangle) -> Pixels:
    """Transform to the square at four times the size, then reduce."""
    corners = tuple(rectangle.transform_corners_42.ravel().tolist())
    large = image.transform((SAMPLES, SAMPLES), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.asarray(large.resize((RESOLUTION, RESOLUTION), Image.Resampling.LANCZOS))


def timed(function: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def compare(name: str, rounds: int) -> dict[str, Any]:
    """Seconds per image of both, in alternating rounds."""
    width, height, landmarks_52 = CASES[name]
    jpeg = photograph(width, height)
    ours_HWC, ours_padded = exact(jpeg, landmarks_52)  # compiles the renderer
    theirs_HWC, theirs_padded = by_pillow_and_scipy(jpeg, landmarks_52)
    assert ours_padded == theirs_padded == ("not" not in name)
    seconds = [
        (timed(exact, jpeg, landmarks_52), timed(by_pillow_and_scipy, jpeg, landmarks_52)) for _ in range(rounds)
    ]
    best, pillow_scipy = map(min, zip(*seconds, strict=True))
    return {
        "exact_seconds": round(best, 3),
        "pillow_scipy_seconds": round(pillow_scipy, 3),
        "ratio": round(pillow_scipy / best, 2),
        "differing_bytes": f"{np.mean(ours_HWC != theirs_HWC):.2%}",
        "peak_mib_of_one_image": in_new_process(peak_mib, name),
    }


def peak_mib(name: str) -> int:
    """MiB that one image adds, after a small one has loaded and compiled everything."""
    small, (width, height, landmarks_52) = CASES["430x640, enlarged, padded"], CASES[name]
    exact(photograph(*small[:2]), small[2])
    jpeg = photograph(width, height)
    before = anonymous_mib(os.getpid())
    with PeakMemory() as peak:
        exact(jpeg, landmarks_52)
        time.sleep(0.1)
    return round(peak.mib - before)


def delta_seconds(rounds: int) -> float:
    """Seconds to decrypt, decompress and apply one delta of realistic strength."""
    delta_CHW = np.random.default_rng(1).normal(0, 3, (3, RESOLUTION, RESOLUTION)).astype(np.int8).view(np.uint8)
    jpeg = photograph(620, 780)
    token = seal_delta(delta_CHW, jpeg, "000001.jpg")
    return min(timed(lambda: apply_delta(delta_CHW, open_delta(token, jpeg, "000001.jpg"))) for _ in range(rounds))


def main(rounds: int) -> None:
    """Compare all cases, print and save."""
    cv2.setNumThreads(1)
    cases = {name: compare(name, rounds) for name in CASES}
    delta = delta_seconds(rounds)
    plain, with_padding, *_ = cases.values()
    mean = (2 * plain["exact_seconds"] + with_padding["exact_seconds"]) / 3 + delta
    figures = {
        "cases": cases,
        "delta_seconds": round(delta, 3),
        "hours_of_30000_on_2_cores": round(mean * 30_000 / 3600 / 2, 2),
        "hours_of_30000_on_16_cores": round(mean * 30_000 / 3600 / 16, 2),
    }
    print(json.dumps(figures, indent=2))
    save("exact", figures, {name: case["ratio"] for name, case in cases.items()})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
