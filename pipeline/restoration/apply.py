"""Applying a restoration network to whole images: in tiles, so that memory depends on the tile and not on the image."""

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
"""One tile at a time is fastest on a CPU core, whose cache it fills; a GPU needs more to be busy."""


def to_network(images_NHWC: NDArray[np.uint8], device: torch.device) -> Tensor:
    """uint8 RGB as the networks take it: float32 NCHW in [-1, 1], channels last in memory."""
    images = torch.from_numpy(np.ascontiguousarray(images_NHWC)).to(device)
    return images.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def to_pixels(images_NCHW: Tensor) -> NDArray[np.uint8]:
    """What a network gave, as uint8 RGB (N, H, W, 3): rounded to nearest, clipped to 0...255."""
    levels = images_NCHW.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())


class Restorer:
    """A network, ready to restore images of any size.

    Parameters
    ----------
    network
        In evaluation mode, on `device`.
    tile_pixels
        Side of the largest square that goes through the network at once, halo included.
    device
        Where to compute.

    Notes
    -----
    Tiles overlap by the network's receptive field and their layout depends on the image's size alone. So tiled and
    whole agree but for the order in which a convolution adds up, which may move a value across the rounding
    to uint8: at most one level, in a few pixels of a million.
    """

    def __init__(self, network: RestorationNetwork, *, tile_pixels: int, device: torch.device) -> None:
        self._network = network
        self._tile_pixels = tile_pixels
        self._device = device

    @classmethod
    def load(cls, folder: Path, *, tile_pixels: int) -> Self:
        """The network that a fitting stage published in `folder`, on the GPU where there is one.

        Read once per process and file, however often it is asked for.

        Raises
        ------
        NetworkError
            The folder holds none, or not the one that its `network.json` describes.
        """
        description = describe(folder)
        if description["kind"] == "none":
            raise NetworkError(
                f"{folder / DESCRIPTION}: no network was made, yet a step asks for one. In params.yaml set "
                f"{folder.name}.network.kind to train or file, or the step's method to other than network."
            )
        device = select_device()
        network = _load_once(folder / WEIGHTS, description["sha256"], device)
        return cls(network, tile_pixels=tile_pixels, device=device)

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along one side."""
        return self._network.scale

    def __call__(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Restore one image.

        Parameters
        ----------
        image_HWC
            (H, W, 3) uint8 RGB.

        Returns
        -------
        ndarray
            (H x scale, W x scale, 3) uint8 RGB.

        Raises
        ------
        NetworkError
            `tile_pixels` is too small for the network's receptive field and this image.
        """
        height, width, _ = image_HWC.shape
        tile, halo, scale = self._tile_pixels, self._network.reach, self.scale
        restored = np.empty((height * scale, width * scale, 3), np.uint8)
        windows = [*product(spans(height, tile, halo), spans(width, tile, halo))]
        step = TILES_PER_BATCH[self._device.type]
        with torch.inference_mode(), reproducible(threads=1):
            for batch in (windows[i : i + step] for i in range(0, len(windows), step)):
                tiles = np.stack([image_HWC[y.start : y.stop, x.start : x.stop] for y, x in batch])
                results = to_pixels(self._network(to_network(tiles, self._device)))
                for (y, x), result in zip(batch, results, strict=True):
                    restored[_kept(y, scale, 0), _kept(x, scale, 0)] = result[
                        _kept(y, scale, y.start), _kept(x, scale, x.start)
                    ]
        return restored


def _kept(span: Span, scale: int, origin: int) -> slice:
    return slice((span.keep_start - origin) * scale, (span.keep_stop - origin) * scale)


@cache
def _load_once(path: Path, sha256: str, device: torch.device) -> RestorationNetwork:
    # the digest is part of the key: the workers of a lasting cluster outlive the file's content
    found = provenance.digest_of_file(path) if path.is_file() else "no file"
    if found != sha256:
        raise NetworkError(
            f"{path}: is {found}, but {DESCRIPTION} beside it names {sha256}. Run dvc repro -f {path.parent.name}."
        )
    return load_network(path).to(device)
