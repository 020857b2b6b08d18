"""The last steps of one face: enlarge the restored region, pad it, transform it to the final image.

`superres` runs them on every face to score it, `shard` again on the chosen ones, so that 200,000 final images are never
stored. Both get equal bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.container import read_stored
from pipeline.faces import geometry, render
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import decode_png
from pipeline.faces.region import Region, enlarge
from pipeline.manifest import Cropped, Denoised
from pipeline.params import SuperresParams
from pipeline.published.exact import render as exact_render
from pipeline.published.exact.self_test import self_test

if TYPE_CHECKING:
    from pipeline.restoration.apply import Restorer


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A final image, (R, R, 3) uint8 RGB; whether it was padded; by how much its region was enlarged, 1 for not."""

    image_HWC: NDArray[np.uint8]
    padded: bool
    enlarge: int


RENDERERS = {"fast": render.render, "exact": exact_render.render}


class FinalRenderer:
    """Makes final images of rows; where deltas are to be added, the images before them (see `pipeline.published`).

    Parameters
    ----------
    params
        How to enlarge.
    resolution
        Side R of the final images.
    network
        The folder that `fit_superres` published; read where the method is `network`.
    data
        The folder that the rows' containers are relative to.

    Raises
    ------
    NetworkError
        A network is wanted, and `network` holds none.
    RendererError
        The exact renderer is wanted, and this machine does not compute it to the bit.
    """

    def __init__(self, params: SuperresParams, *, resolution: int, network: Path, data: Path) -> None:
        self._method = params.method
        self._renderer = params.renderer
        self._resolution = resolution
        self._data = data
        self._network = _load(network, params.tile_pixels) if params.method == "network" else None
        if params.renderer == "exact":
            self_test()

    def finish(self, row: Denoised) -> Finished:
        """The final image of a row.

        Raises
        ------
        SourceError
            The row's pixels are not where it says.
        """
        region = read_region(self._data, row)
        if row.landmarks is None:
            return Finished(box_filtered(region.image_HWC, self._resolution), padded=False, enlarge=1)
        enlarged = self._enlarged(region)
        rendered = RENDERERS[self._renderer](
            enlarged.image_HWC, enlarged.rectangle, border=region.border, resolution=self._resolution
        )
        return Finished(rendered.image_HWC, rendered.padded, enlarged.image_HWC.shape[0] // region.image_HWC.shape[0])

    def _enlarged(self, region: Region) -> Region:
        if self._network is not None:
            rectangle = region.rectangle.enlarged(self._network.scale)
            return Region(self._network(region.image_HWC), rectangle, region.shrink, region.border)
        return region if self._method == "none" else enlarge(region, lanczos_factor(region.rectangle))


def lanczos_factor(rectangle: Rectangle) -> int:
    """By how much the methods `lanczos` and `delta` enlarge a region; 1 for not."""
    return max(geometry.enlarge_factor(rectangle.zoom), 1)


def read_region(data: Path, row: Cropped) -> Region:
    """The region that a row of `crop` or `denoise` points to."""
    pixels = decode_png(read_stored(data, row.pixels))
    return Region(pixels, Rectangle.from_row(row.quad, row.zoom), row.shrink, row.border)


def box_filtered(image_HWC: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """A square image reduced by an integer factor: means of whole pixels, rounded to nearest, ties to even.

    Raises
    ------
    ValueError
        The image is not square, or its side is no multiple of `resolution`.
    """
    height, width, _ = image_HWC.shape
    factor, rest = divmod(width, resolution)
    if height != width or rest or not factor:
        raise ValueError(f"an image of {width} x {height} pixels cannot be cut into {resolution} x {resolution} boxes")
    if factor == 1:
        return image_HWC
    boxes = image_HWC.reshape(resolution, factor, resolution, factor, 3)
    return np.rint(boxes.mean(axis=(1, 3), dtype=np.float64)).astype(np.uint8)


def _load(network: Path, tile_pixels: int) -> "Restorer":
    # torch takes seconds to import; a data set made without networks must not need it
    from pipeline.restoration.apply import Restorer  # noqa: PLC0415

    return Restorer.load(network, tile_pixels=tile_pixels)
