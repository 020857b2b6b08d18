"""Stage shard: the selected faces' final images to multi-resolution HDF5 shards, and the single-file view of them."""

import json
from functools import partial
from typing import Any

from pipeline import provenance
from pipeline.cluster import connect
from pipeline.finish import Finisher
from pipeline.params import Params
from pipeline.shards.assemble import assemble
from pipeline.shards.complete import complete
from pipeline.shards.layout import Header
from stages import DATA, main, read_params, stage_run, table

NETWORK = DATA / "fit_superres"
LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "pillow", "jpeglib", "torch", "h5py", "hdf5plugin")


def shard() -> None:
    """Render the rows of `select` again and write them to `data/shard`."""
    params = read_params()
    values = _deciding(params)
    with_network = params.superres.method == "network"
    inputs = [table("select"), NETWORK] if with_network else [table("select")]
    with stage_run("shard", params=values, inputs=inputs, out=DATA / "shard") as run:
        header = Header(
            resolution=params.align.resolution,
            codec=params.shard.codec,
            params_digest=provenance.digest_of(values),
            decoder=params.crop.decoder,
            renderer=params.superres.renderer,
            libraries=json.dumps({library: provenance.library_versions()[library] for library in LIBRARIES}),
        )
        with connect(params.cluster) as client:
            account = assemble(
                client,
                partial(
                    Finisher,
                    params.superres,
                    resolution=params.align.resolution,
                    network=NETWORK.resolve(),
                    data=DATA.resolve(),
                ),
                header,
                table=table("select"),
                order=params.shard.order,
                seed=params.shard.seed,
                images_per_shard=params.shard.images_per_shard,
                work=run.work,
            )
        run.count(account, max_dropped=0.0)
        run.report.update(complete(run.work))


def _deciding(params: Params) -> dict[str, Any]:
    return {
        "shard": params.shard,
        "superres.method": params.superres.method,
        "superres.renderer": params.superres.renderer,
        "superres.tile_pixels": params.superres.tile_pixels,
        "align.resolution": params.align.resolution,
        "crop.decoder": params.crop.decoder,
    }


if __name__ == "__main__":
    main(shard)
