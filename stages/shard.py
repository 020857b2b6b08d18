"""Stage shard: the final images of the selected faces, as multi-resolution HDF5 shards with a single-file view."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import manifest, provenance, sizes
from pipeline.faces.decode import decoding_mib
from pipeline.faces.final_image import FinalRenderer, rendering_mib
from pipeline.params import Params
from pipeline.published.exact.render import select_renderer
from pipeline.published.image_list import read_list
from pipeline.published.ledger import PublishedRenderer, check_matches, write_ledger
from pipeline.report.card import write_card
from pipeline.restoration.needs import libraries
from pipeline.shards import parts
from pipeline.shards.finalize import finalize_dataset
from pipeline.shards.layout import Header
from pipeline.shards.write_shards import Renderer, positions, write_shards
from pipeline.sources.source import Contents
from pipeline.workers import connect
from stages import DATA, main, read_params, stage_run, table
from stages.cards import origin_of_shards

NETWORK = DATA / "fit_superres"
MEMORY_MIB = 50  # of the levels of an image and their compression, at 1024 pixels
DELTAS = DATA / "download" / "deltas"
LIBRARIES = (
    "numpy", "numba", "scipy", "opencv-python-headless", "pillow", "jpeglib", "torch", "h5py", "isal", "pyarrow",
)  # fmt: skip


def shard() -> None:
    """Render the rows of `select` again and write them to `data/shard`; with deltas also `ledger.parquet`."""
    params = read_params()
    with_deltas = params.superres.method == "delta"
    values = _deciding(params)
    inputs = [table("select")]
    if params.superres.method == "network":
        inputs.append(NETWORK / "network.json")
    if params.select.method == "published":
        inputs.append(params.exact.image_list)
    images = manifest.account(table("select")).kept
    room = sizes.shards(images, params.align.resolution, params.shard.codec) + parts.extra_bytes(images, params)
    more = libraries(NETWORK) if params.superres.method == "network" else ()
    with stage_run("shard", params=values, inputs=inputs, room=room, libraries=more) as run:
        header = Header(
            resolution=params.align.resolution,
            codec=params.shard.codec,
            params_digest=provenance.digest_of(values),
            decoder=params.photographs.decoder,
            renderer=params.superres.renderer,
            libraries=json.dumps({library: provenance.library_versions()[library] for library in LIBRARIES}),
        )
        with connect(params.cluster, _memory_mib(params)) as client:
            account = write_shards(
                client,
                partial(open_renderer, params, data=DATA.absolute(), image_list=params.exact.image_list.resolve()),
                header,
                table=table("select"),
                places=_positions(params),
                images_per_shard=params.shard.images_per_shard,
                work=run.work,
            )
        if with_deltas:
            ledger = run.work / "ledger.parquet"
            tables = (run.table, table("select").with_name("absent.parquet"))
            run.report["exact"] = counts = write_ledger(
                ledger,
                read_list(params.exact.image_list)[: params.select.keep],
                _positions_of_files(run.table),
                (drop for path in tables for drop in manifest.iterate_dropped(path)),
            )
            check_matches(counts, params.exact.min_match, ledger)
        run.count(account, max_dropped=1.0)  # by deltas that do not match, or photographs that kill workers
        run.report.update(finalize_dataset(run.work))
        write_card(run.work, origin_of_shards(params, account.dropped))


def _memory_mib(params: Params) -> int:
    image = int(MEMORY_MIB * (params.align.resolution / 1024) ** 2)
    rendering = rendering_mib(params.superres, params.align.resolution, NETWORK)
    return image + rendering + decoding_mib(params.photographs, params.align.max_megapixels)


def open_renderer(params: Params, *, data: Path, image_list: Path) -> Renderer:
    """The renderer of final images; called in a worker."""
    section, resolution, network = params.superres, params.align.resolution, data / NETWORK.name
    region_renderer = select_renderer(section.renderer)
    renderer = FinalRenderer(
        section, params.photographs, region_renderer, resolution=resolution, network=network, data=data
    )
    if section.method == "delta":
        renderer = PublishedRenderer(renderer, read_list(image_list), data.parent / DELTAS, data)
    return lambda row: renderer.render(row).image_HWC


def _positions(params: Params) -> NDArray[np.int64]:
    """The row of `select` at each position: by number in the published list where one is used, else by index."""
    count = manifest.account(table("select")).kept
    numbers = range(count)
    if params.select.method == "published":
        numbers = manifest.kept_columns(table("select"), ["rank"])["rank"].to_pylist()
        count = len(read_list(params.exact.image_list))
    return positions(numbers, count, params.shard.order, params.shard.seed)


def _positions_of_files(path: Path) -> dict[str, int]:
    """The position of each image in the data set, by the file of its photograph."""
    columns = manifest.kept_columns(path, ["file", "position"])
    return dict(zip(columns["file"].to_pylist(), columns["position"].to_pylist(), strict=True))


def _deciding(params: Params) -> dict[str, Any]:
    """Every value that decides a byte. `exact.min_match` does not: a run with a lower one resumes a failed run."""
    files = Contents.read(DELTAS.parent).files if params.superres.method == "delta" else {}
    # what is usual is not named, as in the data sets of earlier versions, which knew nothing else
    values = {"superres.reduction": (params.superres.reduction, "area")}
    if params.superres.method == "network":
        values["superres.precision"] = (params.superres.precision, "float32")
    return {name: value for name, (value, usual) in values.items() if value != usual} | {
        "shard": params.shard,
        "superres.method": params.superres.method,
        "superres.renderer": params.superres.renderer,
        "superres.tile_pixels": params.superres.tile_pixels,
        "align.resolution": params.align.resolution,
        "photographs": params.photographs,
        "select.keep": params.select.keep if params.superres.method == "delta" else None,
        "deltas": sorted((name, digest) for name, digest in files.items() if name.startswith(f"{DELTAS.name}/")),
    }


if __name__ == "__main__":
    main(shard)
