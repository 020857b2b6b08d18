"""Stage denoise: removes JPEG artefacts from the regions of the faces; the result is stored losslessly."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline import chunks, manifest, sizes
from pipeline.cluster import map_rows
from pipeline.container import writing_container
from pipeline.errors import RejectedInputError
from pipeline.faces.decode import decoding_mib
from pipeline.faces.final_image import read_region
from pipeline.faces.png import encode_png
from pipeline.manifest import Accounting, Cropped, Denoised, Drop, extend
from pipeline.params import DenoiseParams, Params, PhotographParams
from pipeline.restoration.needs import libraries, network_mib
from stages import DATA, StageRun, main, read_params, stage_run, table

NETWORK = DATA / "fit_denoise"
MEMORY_MIB = 50  # of a region and its PNG


def denoise() -> None:
    """Write `data/denoise/`: containers of restored regions and their table; with method none only the table."""
    params = read_params()
    inputs = [table("crop"), NETWORK / "network.json"]
    restored = params.denoise.method == "network"
    room = sizes.restored(table("crop")) if restored else 0
    keys, more = {"denoise": params.denoise.deciding()}, libraries(NETWORK)
    with stage_run("denoise", params=keys, inputs=inputs, room=room, libraries=more) as run:
        if restored:
            account = _restore(run, params)
        else:
            chunks.collect(chunks.folder_of(run.table))  # of a run that an earlier version began
            account = manifest.write_tables(run.table, Denoised, unchanged(table("crop")))
        run.count(account, params.denoise.max_dropped)


def _restore(run: StageRun, params: Params) -> Accounting:
    network = network_mib(NETWORK, params.denoise.tile_pixels)
    return map_rows(
        params.cluster,
        partial(
            restore_chunk,
            params=params.denoise,
            photographs=params.photographs,
            network=NETWORK.resolve(),
            data=DATA.absolute(),
        ),
        table=table("crop"),
        row_in=Cropped,
        row_out=Denoised,
        rows_per_chunk=params.denoise.faces_per_chunk,
        out=run.table,
        memory_mib=MEMORY_MIB + network + decoding_mib(params.photographs, params.align.max_megapixels),
        finished=run.drop_limit(params.denoise.max_dropped, table("crop")).add,
    )


def unchanged(cropped: Path) -> Iterator[pa.Table]:
    """The kept rows of crop, whose regions are cut out of the photographs again."""
    schema = manifest.schema_of(Denoised)
    for rows in manifest.kept_groups(cropped, Cropped):
        denoised = pa.repeat(pa.scalar(False), len(rows))
        yield manifest.with_columns(rows.append_column("denoised", denoised), schema)


def restore_chunk(
    rows: Sequence[Cropped],
    stem: Path,
    *,
    params: DenoiseParams,
    photographs: PhotographParams,
    network: Path,
    data: Path,
) -> Iterator[Denoised | Drop]:
    """Restore the regions of some faces into a container."""
    from pipeline.restoration.apply import Restorer, restore_regions

    restorer = Restorer.load(network, tile_pixels=params.tile_pixels, precision=params.precision)
    path = stem.with_name(f"{stem.name}.tar")
    regions = restore_regions(restorer, rows, lambda row: read_region(data, row, photographs))
    with writing_container(path, f"denoise/{path.name}") as container:
        for row, found in zip(rows, regions, strict=True):
            if isinstance(found, RejectedInputError):
                yield Drop.of(row, found)
            else:
                region, restored_HWC = found
                content = encode_png(region.image_HWC if restored_HWC is None else restored_HWC, params.png_level)
                yield extend(row, Denoised, pixels=container.add(f"{row.label}.png", content), denoised=True)


if __name__ == "__main__":
    main(denoise)
