"""The final image of one face: its restored region is enlarged, padded and transformed.

`superres` makes the final image of every face to score it, `shard` again those that are kept, so that 200,000 final
images are never stored. Both get equal bytes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.container import read_stored
from pipeline.errors import DecoderError
from pipeline.faces.decode import decode
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import decode_png
from pipeline.faces.region import Region, crop_again, enlarge_square, md5_of
from pipeline.faces.render import RegionRenderer
from pipeline.faces.squares import Reduction, resized
from pipeline.manifest import Cropped, Denoised
from pipeline.params import PhotographParams, SuperresParams

if TYPE_CHECKING:
    from pipeline.restoration.apply import Restorer


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

            self._network = apply.Restorer.load(network, tile_pixels=params.tile_pixels)

    def render(self, row: Denoised) -> FinalImage:
        """The final image of a row; errors as `read_region`."""
        region = read_region(self._data, row, self._photographs)
        if row.landmarks is None:
            return FinalImage(resized(region.image_HWC, self._resolution, self._reduction), padded=False, enlarge=1)
        enlarged = self._enlarged(region)
        rendered = self._renderer(enlarged, self._resolution)
        factor = enlarged.image_HWC.shape[0] // region.image_HWC.shape[0]
        return FinalImage(rendered.image_HWC, rendered.padded, factor)

    def _enlarged(self, region: Region) -> Region:
        if self._network is not None:
            rectangle = region.rectangle.enlarged(self._network.scale)
            return Region(self._network(region.image_HWC), rectangle, region.shrink, region.border)
        return region if self._method == "none" else enlarge_square(region, self._resolution)


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
