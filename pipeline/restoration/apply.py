"""Applies a restoration network to images of any size, in tiles, which bound the memory."""

from functools import cache
from itertools import product
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import provenance
from pipeline.errors import NetworkError
from pipeline.restoration.device import reproducible, select_device
from pipeline.restoration.networks import RestorationNetwork
from pipeline.restoration.tiling import Span, spans
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, describe, load_network

TILES_PER_BATCH = {"cpu": 1, "cuda": 16}
"""A CPU core is fastest with one tile, which fills its cache; a GPU needs several."""


def to_tensor(images_NHWC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 RGB to the input of a network: float32 NCHW in [-1, 1], channels last in memory."""
    images = torch.from_numpy(np.ascontiguousarray(images_NHWC)).to(device)
    return images.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def to_pixels(images_NCHW: Tensor) -> NDArray[np.uint8]:
    """The output of a network to uint8 RGB (N, H, W, 3), rounded to nearest and clipped."""
    levels = images_NCHW.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


class Restorer:
    """Restores images of any size.

    Tiles overlap by the network's receptive field, and their layout depends on the image's size alone. The result
    differs from that of the whole image by at most one level in a few pixels of a million, by the order of sums.

    `network` is in evaluation mode; `tile_pixels` is the side of the largest square that goes through it at once,
    including the overlap.
    """

    def __init__(self, network: RestorationNetwork, *, tile_pixels: int) -> None:
        self._network = network
        self._tile_pixels = tile_pixels
        self._device = next(network.parameters()).device

    @classmethod
    def load(cls, folder: Path, *, tile_pixels: int) -> Self:
        """Load the network that a fitting stage published in `folder`; it is cached per process and file.

        `NetworkError` if the folder holds no network, or not the one of its `network.json`.
        """
        description = describe(folder)
        if description["kind"] == "none":
            raise NetworkError(
                f"{folder / DESCRIPTION}: no network was made, but a step needs one. In params.yaml set "
                f"{folder.name}.network.kind to train or file, or the step's method to other than network."
            )
        return cls(_load_cached(folder / WEIGHTS, description["sha256"], select_device()), tile_pixels=tile_pixels)

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along one side."""
        return self._network.scale

    def __call__(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Restore an image: (H, W, 3) uint8 RGB to (H x scale, W x scale, 3); `NetworkError` if tiles are too small."""
        height, width, _ = image_HWC.shape
        tile, halo, scale, multiple = (
            self._tile_pixels,
            self._network.receptive_radius,
            self.scale,
            self._network.multiple,
        )
        image_HWC = np.pad(image_HWC, ((0, -height % multiple), (0, -width % multiple), (0, 0)), mode="edge")
        restored = np.empty((image_HWC.shape[0] * scale, image_HWC.shape[1] * scale, 3), np.uint8)
        windows = [*product(*(spans(size, tile, halo, multiple) for size in image_HWC.shape[:2]))]
        step = TILES_PER_BATCH[self._device.type]
        with torch.inference_mode(), reproducible(threads=1):
            for batch in (windows[i : i + step] for i in range(0, len(windows), step)):
                tiles = np.stack([image_HWC[y.start : y.stop, x.start : x.stop] for y, x in batch])
                results = to_pixels(self._network(to_tensor(tiles, self._device)))
                for (y, x), result in zip(batch, results, strict=True):
                    restored[_kept(y, scale, 0), _kept(x, scale, 0)] = result[
                        _kept(y, scale, y.start), _kept(x, scale, x.start)
                    ]
        return restored[: height * scale, : width * scale]


def _kept(span: Span, scale: int, origin: int) -> slice:
    return slice((span.keep_start - origin) * scale, (span.keep_stop - origin) * scale)


@cache
def _load_cached(path: Path, sha256: str, device: torch.device) -> RestorationNetwork:
    # the digest is part of the key, since the worker of a lasting cluster may outlive the file's content
    found = provenance.digest_of_file(path) if path.is_file() else "no file"
    if found != sha256:
        raise NetworkError(
            f"{path}: is {found}, but {DESCRIPTION} in its folder names {sha256}. Run dvc repro -f {path.parent.name}."
        )
    return load_network(path).to(device)
