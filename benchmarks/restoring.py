"""Faces per second, peak memory and hours of restoration: `python -m benchmarks.restoring [--quick]`.

Before: tiles of 256 pixels, and every face goes through the x4 network. Now: tiles of 384 pixels, faces of about one
size together on a GPU, and only faces with fewer pixels than the final image are enlarged. Regions are drawn, of about
CelebA's sizes (median 264 x 274 pixels), and a large one. Networks are as large as those of the profile
celebahq-network, and as the demo's, with random weights, which compute as long as trained ones. The sides run in turn,
in processor seconds of one core; with a GPU, in wall-clock seconds.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.drawn_images import DrawnImages
from benchmarks.result import PeakMemory, in_new_process, save
from pipeline.faces.geometry import Rectangle
from pipeline.faces.quality import quality
from pipeline.faces.region import Region
from pipeline.faces.render import render
from pipeline.restoration.apply import Restorer
from pipeline.restoration.device import select_device
from pipeline.restoration.memory import bytes_per_pixel
from pipeline.restoration.needs import ROOM, TORCH_MIB
from pipeline.restoration.networks import NetworkSpec, RestorationNetwork
from pipeline.workers import LIBRARIES_MIB

FACES, SELECTED = 202_599, 30_000
"""Of CelebA, and of CelebA-HQ."""

REGIONS = ((274, 264), (180, 174), (330, 318), (420, 404))
"""Height and width: CelebA's median, and others about it."""

LARGE = 1320
"""Side of the region of a face of 1,100 pixels."""

SPECS = {"full-size": (("arresnet", 64, 16), ("srresnet", 64, 16)), "demo": (("arresnet", 16, 3), ("srresnet", 16, 3))}
TILES = {"before": 256, "now": 384}
Spec = tuple[Any, int, int]
Image = NDArray[np.uint8]


def drawn(height: int, width: int) -> Image:
    """A drawn region."""
    image_CHW = DrawnImages(max(height, width), 1).read(max(height, width), np.zeros(1, np.int64))[0]
    return np.ascontiguousarray(image_CHW.transpose(1, 2, 0)[:height, :width])


def network_of(spec: Spec) -> RestorationNetwork:
    """A network with random weights on the device."""
    architecture, channels, blocks = spec
    torch.manual_seed(1)
    network = NetworkSpec(architecture=architecture, channels=channels, blocks=blocks).build()
    return network.eval().requires_grad_(False).to(select_device())


def seconds(call: Callable[[], Any]) -> float:
    """Processor seconds on a CPU, wall-clock seconds with a GPU."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    call()  # its result is on the CPU, so a GPU has finished
    return clock() - started


def compare(spec: Spec, images: Sequence[Image], rounds: int) -> dict[str, float]:
    """Faces per second before and now, alternating, and with bfloat16; by how many levels that differs."""
    network = network_of(spec)
    before, now = (Restorer(network, tile_pixels=TILES[side]) for side in ("before", "now"))
    half = Restorer(network, tile_pixels=TILES["now"], precision="bfloat16")
    sides: dict[str, Callable[[], Any]] = {
        "before": lambda: [before(image) for image in images],
        "now": partial(now.many, images),
        "bfloat16": partial(half.many, images),
    }
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, call in sides.items():
            taken[side].append(seconds(call))
    found = {f"{side}_faces_per_second": len(images) / median(values) for side, values in taken.items()}
    difference = np.abs(half(images[0]).astype(int) - now(images[0]))
    return found | {"bfloat16_mean_levels": float(difference.mean()), "bfloat16_max_levels": float(difference.max())}


def final_image(region_HWC: Image, resolution: int, restorer: Restorer | None) -> Image:
    """The final image of a region whose square is 5/6 of its side, enlarged by the network or only reduced."""
    side, scale = min(region_HWC.shape[:2]) / 1.2, 1 if restorer is None else restorer.scale
    square_42 = np.array([[0, 0], [0, side], [side, side], [side, 0]], np.float32) + np.float32(side / 10)
    rectangle = Rectangle(square_42, resolution / side).enlarged(scale)
    image_HWC = region_HWC if restorer is None else restorer(region_HWC)
    return render(Region(image_HWC, rectangle, 1, round(side / 10)), resolution).image_HWC


def final_images(spec: Spec, usual_HWC: Image, large_HWC: Image, resolution: int) -> dict[str, float]:
    """Seconds of a large face before and now; and the share of the work that the selected faces cost again."""
    restorer = Restorer(network_of(spec), tile_pixels=TILES["now"])
    final_image(large_HWC, resolution, None)  # loads what is loaded once
    large = [seconds(partial(final_image, large_HWC, resolution, used)) for used in (restorer, None)]
    once = seconds(partial(final_image, usual_HWC, resolution, restorer))
    scored = seconds(partial(quality, final_image(usual_HWC, resolution, None)))
    return {
        "large_before_seconds": large[0],
        "large_now_seconds": large[1],
        "usual_seconds": once,
        "usual_quality_seconds": scored,
        "again_by_superres": SELECTED * once / (FACES * (once + scored)),
    }


def peak_mib(spec: Spec, tile: int) -> tuple[float, float]:
    """Peak of anonymous memory in this process for a whole tile, and what the stages state for it."""
    torch.set_num_threads(1)
    image_HWC, network = drawn(tile, tile), network_of(spec)
    stated = LIBRARIES_MIB + TORCH_MIB + ROOM * bytes_per_pixel(network) * tile**2 / 2**20
    with PeakMemory() as memory:
        Restorer(network, tile_pixels=tile)(image_HWC)
    return memory.mib, stated


def main(quick: bool) -> None:
    """Print and save the figures."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images = [drawn(*size) for size in (((40, 30),) if quick else REGIONS)]
    large_HWC, resolution, rounds = (drawn(80, 80), 64, 1) if quick else (drawn(LARGE, LARGE), 1024, 3)
    figures: dict[str, Any] = {"device": str(select_device()), "regions": [image.shape[:2] for image in images]}
    ratios: dict[str, float] = {}
    for kind in ("demo",) if quick else SPECS:
        hours = dict.fromkeys(("before", "now", "bfloat16"), 0.0)
        for spec in SPECS[kind]:
            found = compare(spec, images, rounds)
            if not quick:
                for side, tile in TILES.items():
                    found[f"{side}_peak_mib"], found[f"{side}_stated_mib"] = in_new_process(peak_mib, spec, tile)
            if spec[0] == "srresnet":
                found |= final_images(spec, images[0], large_HWC, resolution)
                ratios[f"{kind} large face"] = round(found["large_before_seconds"] / found["large_now_seconds"], 1)
            for side in hours:
                hours[side] += FACES / found[f"{side}_faces_per_second"] / 3600
            speed = {side: found[f"{side}_faces_per_second"] for side in hours}
            ratios[f"{kind} {spec[0]}"] = round(speed["now"] / speed["before"], 3)
            ratios[f"{kind} {spec[0]} bfloat16"] = round(speed["bfloat16"] / speed["now"], 3)
            figures[f"{kind} {spec[0]}"] = {key: round(value, 4) for key, value in found.items()}
            print(kind, spec[0], figures[f"{kind} {spec[0]}"])
        figures[f"{kind} hours"] = {side: round(value, 1) for side, value in hours.items()}
        print(f"{kind}: hours of both networks for {FACES} faces: {figures[f'{kind} hours']}")
    save("restoring", figures, ratios)


if __name__ == "__main__":
    main("--quick" in sys.argv)
