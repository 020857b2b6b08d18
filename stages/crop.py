"""Stage crop: decodes the photograph of each face, and notes where the face's region lies and which pixels it has.

The regions are not stored: to decode and cut one again takes less time than to compress it as PNG.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.cluster import map_rows, outcomes
from pipeline.container import read_stored
from pipeline.faces.decode import decoding_mib, read_picture, self_test
from pipeline.faces.geometry import Rectangle
from pipeline.faces.region import crop_region, crop_square, md5_of
from pipeline.manifest import Aligned, Cropped, Drop, extend
from pipeline.params import Params
from pipeline.suspicions import remarks_of
from stages import DATA, main, read_params, stage_run, table


def crop() -> None:
    """Write `data/crop/crop.parquet`: each face with its region, or the reason why it has none."""
    params = read_params()
    keys = {"photographs": params.photographs, "align.resolution": params.align.resolution}
    with stage_run("crop", params=keys, inputs=[table("align")]) as run:
        run.report["decoder"] = params.photographs.decoder
        run.report["decoder_self_test_md5"] = self_test(params.photographs.decoder)
        account = map_rows(
            params.cluster,
            partial(crop_chunk, params=params, data=DATA.absolute()),
            table=table("align"),
            row_in=Aligned,
            row_out=Cropped,
            rows_per_chunk=params.crop.faces_per_chunk,
            out=run.table,
            memory_mib=decoding_mib(params.photographs, params.align.max_megapixels),
            finished=run.drop_limit(params.crop.max_dropped, table("align")).add,
        )
        run.suspect(remarks_of(run.table, besides=table("align")))
        run.count(account, params.crop.max_dropped)


def crop_chunk(rows: Sequence[Aligned], stem: Path, *, params: Params, data: Path) -> Iterator[Cropped | Drop]:
    """Regions of some faces. Each worker tests its decoder first."""
    self_test(params.photographs.decoder)

    def crop_face(row: Aligned) -> Cropped:
        picture = read_picture(read_stored(data, row.photograph), params.photographs)
        image_HWC = picture.image_HWC
        rectangle = Rectangle.from_row(row.quad, row.zoom)
        whole = row.landmarks is None
        region = (
            crop_square(image_HWC, rectangle) if whole else crop_region(image_HWC, rectangle, params.align.resolution)
        )
        height, width = region.image_HWC.shape[:2]
        return extend(
            row,
            Cropped,
            pixels=None,
            region_md5=md5_of(region),
            left=region.left,
            upper=region.upper,
            quad=region.rectangle.flat,
            zoom=region.rectangle.zoom,
            crop_width=width,
            crop_height=height,
            shrink=region.shrink,
            border=region.border,
            remarks=tuple(sorted(picture.remarks)),
        )

    return outcomes(rows, crop_face)


if __name__ == "__main__":
    main(crop)
