"""Applies a restoration network to images of any size, in tiles, which bound the memory."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline import provenance
from pipeline.errors import NetworkError, RejectedInputError
from pipeline.params import NetworkPrecision
from pipeline.restoration.device import reproducible, select_device
from pipeline.restoration.memory import bytes_per_pixel
from pipeline.restoration.networks import RestorationNetwork
from pipeline.restoration.tiling import Span, spans
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, describe, load_network

if TYPE_CHECKING:  # it brings the libraries of tables, which a machine that only measures a GPU may lack
    from pipeline.faces.region import Region

TILES_PER_BATCH = {"cpu": 1, "cuda": 16}
"""A CPU core is fastest with one tile, which fills its cache; a GPU needs several."""

SIZE_STEPS = {"cpu": 1, "cuda": 32}
"""The sides of tiles are padded to multiples of it, so that faces of about one size can be computed together."""

GPU_BYTES = 4 << 30
"""Of a batch's tensors. A constant, not what is free: the size of a batch must not change from run to run."""

REGION_BYTES = 1 << 30
"""Of the pixels of regions that are held at once, with what the network makes of them. At least one region is."""

Row = TypeVar("Row")
_Tile = tuple[int, Span, Span]  # the number of its image, rows, columns


def to_tensor(images_NHWC: NDArray[np.uint8] | Tensor, device: torch.device) -> Tensor:
    """uint8 RGB to the input of a network: float32 NCHW in [-1, 1], channels last in memory.

    A tensor in pinned memory is copied to a GPU without waiting for it.
    """
    images = images_NHWC if isinstance(images_NHWC, Tensor) else torch.from_numpy(np.ascontiguousarray(images_NHWC))
    images = images.to(device, non_blocking=True)
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
    including the overlap. `precision` bfloat16 computes the layers that allow it with 8 bits of mantissa.
    """

    def __init__(
        self,
        network: RestorationNetwork,
        *,
        tile_pixels: int,
        precision: NetworkPrecision = "float32",
        tiles_per_batch: int | None = None,
    ) -> None:
        """`tiles_per_batch`: None for what the device gains by, and its memory allows."""
        self._network = network
        self._tile_pixels = tile_pixels
        self._precision = precision
        self._device = next(network.parameters()).device
        self._tiles_per_batch = tiles_per_batch or TILES_PER_BATCH[self._device.type]
        self._limited = tiles_per_batch is None and self._device.type == "cuda"

    @classmethod
    def load(cls, folder: Path, *, tile_pixels: int, precision: NetworkPrecision = "float32") -> Self:
        """Load the network that a fitting stage published in `folder`; it is cached per process and file.

        `NetworkError` if the folder holds no network, or not the one of its `network.json`.
        """
        description = describe(folder)
        if description["kind"] == "none":
            raise NetworkError(
                f"{folder / DESCRIPTION}: no network was made, but a step needs one. In params.yaml set "
                f"{folder.name}.network.kind to train, file, spandrel or published, or the step's method to other than "
                f"network."
            )
        network = _load_cached(folder / WEIGHTS, description["sha256"], select_device())
        return cls(network, tile_pixels=tile_pixels, precision=precision)

    @property
    def scale(self) -> int:
        """Output pixels per input pixel, along one side."""
        return self._network.scale

    @property
    def images_at_once(self) -> int:
        """How many images `many` gains by: one on a CPU."""
        return 4 * self._tiles_per_batch if self._tiles_per_batch > 1 else 1

    def __call__(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Restore an image: (H, W, 3) uint8 RGB to (H x scale, W x scale, 3); `NetworkError` if tiles are too small."""
        return self.many([image_HWC])[0]

    def many(self, images_HWC: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Restore images: tiles of equal size, of whichever image, go through the network together.

        The result of an image does not depend on the others, on a CPU to the byte. On a GPU tiles are padded to
        multiples of 32 pixels, which affects pixels near the right and lower end of the region.
        """
        tile, halo, multiple = self._tile_pixels, self._network.receptive_radius, self._network.multiple
        restored = [_empty(image, self.scale) for image in images_HWC]
        groups: dict[tuple[int, int], list[_Tile]] = defaultdict(list)
        for number, image_HWC in enumerate(images_HWC):
            height, width, _ = image_HWC.shape
            for y, x in product(spans(height, tile, halo, multiple), spans(width, tile, halo, multiple)):
                groups[self._size(y), self._size(x)].append((number, y, x))
        with torch.inference_mode(), reproducible(threads=1), self._autocast():
            for (height, width), tiles in groups.items():
                step = self._step(height * width)
                for batch in (tiles[i : i + step] for i in range(0, len(tiles), step)):
                    cut = [_cut(images_HWC[number], y, x, height, width) for number, y, x in batch]
                    results = to_pixels(self._network(to_tensor(np.stack(cut), self._device)).float())
                    for (number, y, x), result in zip(batch, results, strict=True):
                        restored[number][_kept(y, self.scale, 0), _kept(x, self.scale, 0)] = result[
                            _kept(y, self.scale, y.start), _kept(x, self.scale, x.start)
                        ]
        return restored

    def _size(self, span: Span) -> int:
        step = SIZE_STEPS[self._device.type]
        return -(-(span.stop - span.start) // step) * step

    def _step(self, pixels: int) -> int:
        if not self._limited:
            return self._tiles_per_batch
        return max(min(self._tiles_per_batch, int(GPU_BYTES // (self._bytes_per_pixel * pixels))), 1)

    @cached_property
    def _bytes_per_pixel(self) -> float:
        return bytes_per_pixel(self._network)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bfloat16")


def restore_regions(
    restorer: Restorer,
    rows: Iterable[Row],
    read: "Callable[[Row], Region]",
    needed: "Callable[[Row, Region], bool]" = lambda row, region: True,
) -> "Iterator[tuple[Region, NDArray[np.uint8] | None] | RejectedInputError]":
    """For each row the region that `read` gives, and what the network makes of it, None where it is not `needed`.

    In place of a row that `read` rejects, the error. Several rows are read ahead and restored at once where the device
    gains by it, as many as `REGION_BYTES` allows.
    """
    for group in _groups(restorer, rows, read, needed):
        wanted = [found for found, is_wanted in group if is_wanted and not isinstance(found, RejectedInputError)]
        restored = iter(restorer.many([region.image_HWC for region in wanted]))
        for region, is_wanted in group:
            yield region if isinstance(region, RejectedInputError) else (region, next(restored) if is_wanted else None)
        del group, wanted, restored  # before the next ones are read


def _groups(
    restorer: Restorer,
    rows: Iterable[Row],
    read: "Callable[[Row], Region]",
    needed: "Callable[[Row, Region], bool]",
) -> "Iterator[list[tuple[Region | RejectedInputError, bool]]]":
    """What is read of the rows that are restored at once, and whether it is."""
    group: list[tuple[Region | RejectedInputError, bool]] = []
    held = 0
    for row in rows:
        found = _read(read, row)
        is_wanted = not isinstance(found, RejectedInputError) and needed(row, found)
        size = 0 if isinstance(found, RejectedInputError) else found.image_HWC.nbytes
        size += size * restorer.scale**2 * is_wanted
        if group and held + size > REGION_BYTES:
            yield group
            group, held = [], 0
        group.append((found, is_wanted))
        held += size
        if len(group) == restorer.images_at_once:
            yield group
            group, held = [], 0
    if group:
        yield group


def _read(read: "Callable[[Row], Region]", row: Row) -> "Region | RejectedInputError":
    try:
        return read(row)
    except RejectedInputError as rejected:
        return rejected


def _empty(image_HWC: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    height, width, channels = image_HWC.shape
    return np.empty((height * scale, width * scale, channels), np.uint8)


def _cut(image_HWC: NDArray[np.uint8], y: Span, x: Span, height: int, width: int) -> NDArray[np.uint8]:
    tile_HWC = image_HWC[y.start : y.stop, x.start : x.stop]
    missing = (height - tile_HWC.shape[0], width - tile_HWC.shape[1])
    return np.pad(tile_HWC, ((0, missing[0]), (0, missing[1]), (0, 0)), "edge") if any(missing) else tile_HWC


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
