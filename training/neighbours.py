"""The nearest real images of generated ones: what a network may have memorised (Karras et al. 2018, appendix F).

Every real image is compared, in parts that fit into memory. Compared is the central region, the face without its
background: as pixels, or as features of the user's network. (The paper compares features of VGG, of a region that it
shows in a figure only.)

N = queries, M = real images of a part, F = values compared, K = neighbours, C = 3, H = W = side.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, UnidentifiedImageError
from torch import Tensor

from pipeline import atomic
from pipeline.errors import NetworkError, ParamsError
from pipeline.progress import progress
from pipeline.shards.pyramid import pyramid
from pipeline.shards.reader import DataSet
from training.image_grid import Pixels, write_png

MOST_PIXELS = 256
"""Side at which images are compared, unless the user names another."""
SHEET_CELL = 128
"""Side of the images of a sheet at least, if they are that large, in pixels."""
FEATURE_OPTIONS = "return_lpips", "return_features"
"""Options by which published TorchScript networks give features: those of VGG (LPIPS) and of Inception."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MIB = 1 << 20
MINIBATCH = 32
"""Of a network of features."""


class Region(NamedTuple):
    """A rectangle in parts of the side, 0...1."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, side: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels of an image, right and bottom excluded."""
        left, top, right, bottom = (round(value * side) for value in self)
        return left, top, max(right, left + 1), max(bottom, top + 1)

    def of(self, images_NCHW: Pixels) -> Pixels:
        """The region of each image."""
        left, top, right, bottom = self.pixels(images_NCHW.shape[-1])
        return images_NCHW[:, :, top:bottom, left:right]


CENTRE = Region(0.25, 0.3, 0.75, 0.8)
"""Of aligned faces: from the brows to the chin, between the cheeks."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """For each query its K nearest real images, nearest first: positions in the data set, distances, mirrored (N, K).

    The distance of pixels is the root mean square over the region, in levels of 0...255; of features, it is Euclidean.
    """

    positions_NK: NDArray[np.int64]
    distances_NK: NDArray[np.float64]
    mirrored_NK: NDArray[np.bool_]


def parse_region(text: str) -> Region:
    """`left,top,right,bottom` in parts of the side; `ParamsError` for another form."""
    try:
        region = Region(*map(float, text.split(",")))
    except (TypeError, ValueError) as error:
        raise ParamsError(f"--region {text}: give left,top,right,bottom in parts of the side, {_parts()}") from error
    if not (0 <= region.left < region.right <= 1 and 0 <= region.top < region.bottom <= 1):
        raise ParamsError(f"--region {text}: is no rectangle within 0...1, such as {_parts()}")
    return region


def _parts() -> str:
    return f"{','.join(map(str, CENTRE))} (the face) or 0,0,1,1 (all)"


class FeatureNetwork:
    """A TorchScript network of uint8 images (N, 3, H, W) to features, which are flattened to (N, F).

    It is called with the option `return_lpips` or `return_features` where it has one, as the published VGG and
    Inception networks have.

    Raises
    ------
    NetworkError
        The file is missing, is no TorchScript, or cannot be called so.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        if not path.is_file():
            raise NetworkError(f"{path}: no such file. Name a TorchScript network, or leave --features out.")
        try:
            self._network: Any = torch.jit.load(path, map_location=device).eval()  # pyright: ignore[reportUnknownMemberType]
        except RuntimeError as error:
            raise NetworkError(f"{path}: not a TorchScript file: {error}") from error
        self._path = path
        known = {argument.name for argument in self._network.forward.schema.arguments}
        option = next((name for name in FEATURE_OPTIONS if name in known), None)
        self._options = {option: True} if option else {}

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Features (N, F) float32."""
        try:
            parts = [cast(Tensor, self._network(part, **self._options)) for part in images_NCHW.split(MINIBATCH)]
            return torch.cat([part.float().flatten(1) for part in parts])
        except RuntimeError as error:
            raise NetworkError(
                f"{self._path}: cannot be called with uint8 images of {tuple(images_NCHW.shape)}: {error}"
            ) from error


@torch.no_grad()
def find(
    queries_NCHW: Pixels,
    dataset: DataSet,
    *,
    region: Region,
    features: Callable[[Tensor], Tensor] | None,
    neighbours: int,
    mirror: bool,
    memory_mib: float,
    device: torch.device,
) -> Neighbours:
    """The nearest images of the data set, at the side of the queries; of equal distances, the first position.

    Without `features` pixels are compared. Their sums of squares are whole numbers, which float64 holds exactly.
    With `mirror`, real images are also compared mirrored. Parts of the data set take about `memory_mib` MiB.
    """
    side = queries_NCHW.shape[-1]

    def values(images_NCHW: Pixels) -> Tensor:
        images = torch.from_numpy(np.ascontiguousarray(region.of(images_NCHW))).to(device)
        return (features(images) if features else images.flatten(1)).double()

    queries_NF = values(queries_NCHW)
    unit = 1 if features else queries_NF.shape[1]
    bytes_each = 3 * side**2 * (1 + mirror) + 8 * queries_NF.shape[1] + 2 * region.of(queries_NCHW[:1]).size
    at_once = max(1, int(memory_mib * MIB / bytes_each))
    shape = len(queries_NCHW), 0
    best = Neighbours(np.zeros(shape, np.int64), np.zeros(shape, np.float64), np.zeros(shape, np.bool_))
    with progress(total=len(dataset), unit="image") as done:
        for start in range(0, len(dataset), at_once):
            positions = np.arange(start, min(start + at_once, len(dataset)))
            reals_MCHW = dataset.read(side, positions)
            for mirrored in (False, True)[: 1 + mirror]:
                reals_MF = values(reals_MCHW[..., ::-1] if mirrored else reals_MCHW)
                near_NM = (_squared_distances(queries_NF, reals_MF) / unit).sqrt().cpu().numpy()
                best = _nearest(best, near_NM, positions, mirrored, neighbours)
            done.update(len(positions))
    return best


def _squared_distances(a_NF: Tensor, b_MF: Tensor) -> Tensor:
    lengths_N, lengths_M = (torch.einsum("nf,nf->n", x, x) for x in (a_NF, b_MF))
    lengths_NM = lengths_N[:, None] + lengths_M
    return (lengths_NM - 2 * a_NF @ b_MF.T).clamp(min=0)


def _nearest(
    best: Neighbours, near_NM: NDArray[np.float64], positions: NDArray[np.int64], mirrored: bool, count: int
) -> Neighbours:
    """The nearest of those found so far and of a new part; an image counts once, mirrored or not."""
    shape = near_NM.shape
    positions_NJ = np.concatenate([best.positions_NK, np.broadcast_to(positions, shape)], axis=1)
    distances_NJ = np.concatenate([best.distances_NK, near_NM], axis=1)
    mirrored_NJ = np.concatenate([best.mirrored_NK, np.full(shape, mirrored)], axis=1)
    order_NJ = np.lexsort((mirrored_NJ, positions_NJ, distances_NJ), axis=1)
    rows: list[NDArray[np.int64]] = []
    for row, order_J in enumerate(order_NJ):
        head_J = order_J[: 2 * count]  # each image at most twice
        _, first = np.unique(positions_NJ[row, head_J], return_index=True)
        rows.append(head_J[np.sort(first)][:count])
    chosen_NK = np.stack(rows)
    return Neighbours(
        np.take_along_axis(positions_NJ, chosen_NK, axis=1),
        np.take_along_axis(distances_NJ, chosen_NK, axis=1),
        np.take_along_axis(mirrored_NJ, chosen_NK, axis=1),
    )


def side_to_compare(chosen: int | None, dataset: DataSet, generated: int | None) -> int:
    """The side of the compared images: `chosen`, else at most `MOST_PIXELS`; both the images and the reals have it.

    `generated` is the side of generated images. `ParamsError` if one of both is too small or has no such level.
    """
    most = min(dataset.resolution, generated or dataset.resolution)
    side = chosen or min(most, MOST_PIXELS)
    if not 1 <= side <= most or side & (side - 1):
        raise ParamsError(
            f"--resolution {side}: give a power of two up to {most}, which both sides of the comparison have"
        )
    return side


def read_folder(folder: Path, side: int) -> tuple[list[str], Pixels]:
    """Names and pixels (N, C, H, W) of the pictures of a folder, at `side`.

    Raises
    ------
    ParamsError
        There is none, or one is no square picture of `side` times a power of two.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ParamsError(
            f"{folder}: holds no picture ({', '.join(SUFFIXES)}). Name a folder of images after --images."
        )
    images: list[Pixels] = []
    for path in paths:
        try:
            with Image.open(path) as image:
                pixels_CHW = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        except (UnidentifiedImageError, OSError) as error:
            raise ParamsError(f"{path}: cannot be read as a picture ({error}). Remove it from the folder.") from error
        height, width = pixels_CHW.shape[1:]
        factor = height // side
        if height != width or factor * side != height or factor & (factor - 1):
            raise ParamsError(
                f"{path}: has {width}x{height} pixels; images are compared at {side}x{side}: give squares whose side "
                f"is {side} times a power of two, or another --resolution."
            )
        images.append(at_side(pixels_CHW[None], side)[0])
    return [path.name for path in paths], np.stack(images)


def at_side(images_NCHW: Pixels, side: int) -> Pixels:
    """Images reduced to `side` by 2x2 means, as the levels of a data set are made."""
    return pyramid(images_NCHW)[(images_NCHW.shape[-1] // side).bit_length() - 1]


def write_table(path: Path, header: str, names: Sequence[str], found: Neighbours, dataset: DataSet) -> None:
    """Write a row for each neighbour: the query under `header`, rank from 1, and which real image it is."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([header, "rank", "position", "index", "file", "mirrored", "distance"])
    for row, name in enumerate(names):
        for rank, position in enumerate(found.positions_NK[row].tolist()):
            identity = position, int(dataset.index[position]), dataset.files[position]
            distance = f"{found.distances_NK[row, rank]:.6g}"
            writer.writerow([name, rank + 1, *identity, int(found.mirrored_NK[row, rank]), distance])
    atomic.write_bytes(path, text.getvalue().encode())


def write_sheet(path: Path, queries_NCHW: Pixels, found: Neighbours, dataset: DataSet, region: Region) -> None:
    """Write a row for each query: the query with its compared region outlined, then its neighbours, nearest first."""
    side = queries_NCHW.shape[-1]
    scale = max(1, SHEET_CELL // side)
    rows: list[Pixels] = []
    for query_CHW, positions_K, mirrored_K in zip(queries_NCHW, found.positions_NK, found.mirrored_NK, strict=True):
        reals = dataset.read(side, positions_K)
        reals = np.where(mirrored_K[:, None, None, None], reals[..., ::-1], reals)
        cells = [query_CHW, *reals]
        cells = [cell.repeat(scale, axis=1).repeat(scale, axis=2).transpose(1, 2, 0) for cell in cells]
        cells[0] = _outlined(cells[0], region)
        rows.append(np.concatenate(cells, axis=1))
    write_png(path, np.concatenate(rows))


def _outlined(picture_HWC: Pixels, region: Region) -> Pixels:
    image = Image.fromarray(picture_HWC)
    left, top, right, bottom = region.pixels(picture_HWC.shape[0])
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline="white")
    return np.asarray(image)
