"""The final image of one face: its restored region is enlarged, padded and transformed.

`superres` makes the final image of every face to score it, `shard` again those that are kept, so that 200,000 final
images are never stored. Both get equal bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.container import read_stored
from pipeline.errors import DecoderError, RejectedInputError
from pipeline.faces.decode import decode
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import decode_png
from pipeline.faces.region import Region, crop_again, enlarge_square, md5_of
from pipeline.faces.render import RegionRenderer
from pipeline.faces.squares import Reduction, resized
from pipeline.manifest import Cropped, Denoised
from pipeline.params import PhotographParams, SuperresParams
from pipeline.restoration.needs import network_mib

if TYPE_CHECKING:
    from pipeline.restoration.apply import Restorer


RENDERING_MIB = 450
"""Measured: a padded face of 900 pixels, enlarged by 4, with the exact renderer; one of 270 pixels needs 50."""


@dataclass(frozen=True, slots=True, eq=False)
class FinalImage:
    """A final image, (R, R, 3) uint8 RGB; whether it was padded; the factor by which its region was enlarged."""

    image_HWC: NDArray[np.uint8]
    padded: bool
    enlarge: int


class FinalRenderer:
    """Makes final images of rows: enlarged as `params` say, then by `renderer` at side `resolution`.

    `photographs` says how the photographs of regions that are not stored are decoded.

    `network` is the folder that `fit_superres` published, for the method `network`; `NetworkError` where it holds none.
    It enlarges the faces whose square has fewer pixels than the final image.
    `data` is the folder that the rows' containers are relative to.
    """

    def __init__(
        self,
        params: SuperresParams,
        photographs: PhotographParams,
        renderer: RegionRenderer,
        *,
        resolution: int,
        network: Path,
        data: Path,
    ) -> None:
        self._method = params.method
        self._reduction: Reduction = params.reduction
        self._photographs = photographs
        self._renderer = renderer
        self._resolution = resolution
        self._data = data
        self._network: Restorer | None = None
        if params.method == "network":
            # torch takes seconds to import; a data set made without networks must not need it
            from pipeline.restoration import apply  # noqa: PLC0415

            self._network = apply.Restorer.load(network, tile_pixels=params.tile_pixels, precision=params.precision)

    def render(self, row: Denoised) -> FinalImage:
        """The final image of a row; errors as `read_region`."""
        (final,) = self.render_all([row])
        if isinstance(final, RejectedInputError):
            raise final
        return final

    def render_all(self, rows: Sequence[Denoised]) -> Iterator[FinalImage | RejectedInputError]:
        """The final image of each row, or why it has none; a GPU enlarges the regions of several rows at once."""
        for row, found in zip(rows, self._enlarged(rows), strict=True):
            if isinstance(found, RejectedInputError):
                yield found
                continue
            enlarged, factor = found
            if row.landmarks is None:
                image_HWC = resized(enlarged.image_HWC, self._resolution, self._reduction)
                yield FinalImage(image_HWC, padded=False, enlarge=1)
            else:
                rendered = self._renderer(enlarged, self._resolution)
                yield FinalImage(rendered.image_HWC, rendered.padded, factor)

    def _enlarged(self, rows: Sequence[Denoised]) -> Iterator[tuple[Region, int] | RejectedInputError]:
        """The region of each row, enlarged where it has landmarks, and the factor."""
        if self._network is not None:
            from pipeline.restoration.apply import restore_regions  # noqa: PLC0415

            for found in restore_regions(self._network, rows, self._read, _needs_network):
                if isinstance(found, RejectedInputError):
                    yield found
                elif found[1] is None:
                    yield found[0], 1
                else:
                    rectangle = found[0].rectangle.enlarged(self._network.scale)
                    yield replace(found[0], image_HWC=found[1], rectangle=rectangle), self._network.scale
            return
        for row in rows:
            try:
                region = self._read(row)
            except RejectedInputError as rejected:
                yield rejected
                continue
            plain = self._method == "none" or row.landmarks is None
            enlarged = region if plain else enlarge_square(region, self._resolution)
            yield enlarged, enlarged.image_HWC.shape[0] // region.image_HWC.shape[0]

    def _read(self, row: Denoised) -> Region:
        return read_region(self._data, row, self._photographs)


def rendering_mib(params: SuperresParams, resolution: int, network: Path) -> int:
    """MiB that a worker needs for the final image of the largest region and its score, and for its network."""
    mib = int(RENDERING_MIB * (resolution / 1024) ** 2)
    return mib + (network_mib(network, params.tile_pixels) if params.method == "network" else 0)


def _needs_network(row: Denoised, region: Region) -> bool:
    """Whether the square of the face has fewer pixels than the final image; else it is only reduced."""
    return row.landmarks is not None and region.rectangle.zoom > 1


def read_region(data: Path, row: Cropped, photographs: PhotographParams) -> Region:
    """The region of a row of `crop` or `denoise`: as it is stored, or cut again out of the photograph.

    `SourceError`: the bytes are missing. `DecoderError`: the photograph has other pixels here than it had for `crop`.
    """
    if row.pixels is not None:
        pixels = decode_png(read_stored(data, row.pixels))
        return Region(pixels, Rectangle.from_row(row.quad, row.zoom), row.shrink, row.border)
    region = crop_again(decode(read_stored(data, row.photograph), photographs, again=True), row)
    if md5_of(region) != row.region_md5:
        raise DecoderError(
            f"{row.file}: the photograph decodes to other pixels than in the stage crop. Use the same versions of "
            f"jpeglib, pillow and opencv on all workers, or run dvc repro -f -s crop."
        )
    return region
