"""Stage crop: photographs to the region of each face, decoded once and stored losslessly."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline import sizes
from pipeline.cluster import map_rows, outcomes
from pipeline.container import read_stored, writing_container
from pipeline.faces.decode import decode, self_test
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import encode_png
from pipeline.faces.region import crop_region, crop_square
from pipeline.manifest import Aligned, Cropped, Drop, extend
from pipeline.params import Params
from stages import DATA, main, read_params, stage_run, table

MIB_PER_MEGAPIXEL = 6  # the decoded photograph, 3 bytes per pixel, and a copy of it while it is reduced


def crop() -> None:
    """Write `data/crop/`: containers of PNG regions and their table."""
    params = read_params()
    keys = {
        "crop": params.crop.deciding(),
        "photographs": params.photographs,
        "align.resolution": params.align.resolution,
    }
    room = sizes.regions(table("align"), params.align.resolution)
    with stage_run("crop", params=keys, inputs=[table("align")], room=room) as run:
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
            memory_mib=int(MIB_PER_MEGAPIXEL * params.align.max_megapixels),
            finished=run.drop_limit(params.crop.max_dropped, table("align")).add,
        )
        run.count(account, params.crop.max_dropped)


def crop_chunk(rows: Sequence[Aligned], stem: Path, *, params: Params, data: Path) -> Iterator[Cropped | Drop]:
    """Regions of some faces, in a container of their own. Each worker tests its decoder first."""
    section, resolution = params.crop, params.align.resolution
    self_test(params.photographs.decoder)
    path = stem.with_name(f"{stem.name}.tar")
    with writing_container(path, f"crop/{path.name}") as container:

        def crop_face(row: Aligned) -> Cropped:
            image_HWC = decode(read_stored(data, row.photograph), params.photographs.decoder)
            rectangle = Rectangle.from_row(row.quad, row.zoom)
            whole = row.landmarks is None
            region = crop_square(image_HWC, rectangle) if whole else crop_region(image_HWC, rectangle, resolution)
            height, width = region.image_HWC.shape[:2]
            return extend(
                row,
                Cropped,
                pixels=container.add(f"{row.index:06d}.png", encode_png(region.image_HWC, section.png_level)),
                quad=region.rectangle.flat,
                zoom=region.rectangle.zoom,
                crop_width=width,
                crop_height=height,
                shrink=region.shrink,
                border=region.border,
            )

        yield from outcomes(rows, crop_face)


if __name__ == "__main__":
    main(crop)
