"""Commands about data sets of shards."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stages.commands import CORES, Json, Workers, app, panels, print_facts


class Format(StrEnum):
    """The form of an export."""

    png = "png"
    zip = "zip"
    webdataset = "webdataset"
    tfrecord = "tfrecord"
    parquet = "parquet"
    zarr = "zarr"


@app.command(rich_help_panel=panels.BUILD)
def export(
    dataset: Annotated[Path, typer.Argument(help="folder of shards: data/shard, data/lsun/NAME, or of celebahq build")],
    out: Annotated[Path, typer.Argument(help="new folder; an export that was killed goes on there")],
    *,
    format: Annotated[Format, typer.Option(help="the form of the files")],
    resolution: Annotated[int, typer.Option(min=1, help="side of the images in pixels")],
    split: Annotated[str | None, typer.Option(help="only its images: train, validation, test; default: all")] = None,
    images_per_file: Annotated[
        int | None, typer.Option(min=1, help="of webdataset and parquet; default: about 500 MB of pixels")
    ] = None,
    workers: Workers = CORES,
    as_json: Json = False,
) -> None:
    """Write a data set in the format of other programs.

    PNG, StyleGAN's zip, webdataset, TFRecords, parquet or zarr. An export that was killed is resumed.
    """
    from pipeline.shards.export.run import Request
    from pipeline.shards.export.run import export as run_export

    request = Request(dataset, out, format.value, resolution, split, images_per_file)
    done = run_export(request, workers)
    of = f" of the split {split}" if split else ""
    count = f"{done['images']} image{'' if done['images'] == 1 else 's'}"
    print_facts(done, f"{out}: {count}{of} at {resolution}x{resolution}, {done['format']}", as_json)
