"""Commands that say whether files are whole, what they hold, and how two of them differ; and what a machine lacks."""

from pathlib import Path
from typing import Annotated

import typer

from stages.commands import Json, app, print_json

SHOWN = 100
WITHOUT = (
    "No SHA256SUMS, so only pixels, labels and other bytes with checksums of their own were verified, not pictures, "
    "records and the inner structures of HDF5 and parquet"
)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="data set, shard, table, labels, view, network, run, published folder")],
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: one for each core")] = None,
    json: Json = False,
) -> None:
    """Verify every byte that a digest covers, every level and image, table, labels and view; status 1 for any fault."""
    from stages import trust

    result = trust.verify(path, workers)
    if json:
        print_json(result)
    else:
        for fault in result.faults[:SHOWN]:
            print(fault)
        if len(result.faults) > SHOWN:
            print(f"... and {len(result.faults) - SHOWN} more (--json prints all)")
        if result.without_digests:
            print(f"{WITHOUT}: {', '.join(map(str, result.without_digests))}")
        if result.unlisted:
            print(f"no digest is listed of {', '.join(map(str, result.unlisted))}")
        state = f"{len(result.faults)} faults" if result.faults else "no fault"
        size, speed = result.bytes / 1e9, result.bytes / 1e9 / max(result.seconds, 1e-9)
        print(f"{path}: {state}; {result.files} files, {size:.3f} GB in {result.seconds:.1f} s, {speed:.3f} GB/s")
    if result.faults:
        raise typer.Exit(1)
