"""Commands that say whether files are whole, what they hold, and how two of them differ; and what a machine lacks."""

from pathlib import Path
from typing import Annotated

import typer

from stages.commands import CORES, Json, Workers, app, panels, print_json

SHOWN = 100
WITHOUT = (
    "No SHA256SUMS, so only pixels, labels and other bytes with checksums of their own were verified, not pictures, "
    "records and the inner structures of HDF5 and parquet"
)


@app.command(rich_help_panel=panels.TRUST)
def verify(
    path: Annotated[Path, typer.Argument(help="data set, shard, table, labels, view, network, run, published folder")],
    workers: Workers = CORES,
    json: Json = False,
) -> None:
    """Verify that files are whole.

    Every byte that a digest covers, every level and image, table, labels and view. The exit status is 1 for any fault.
    """
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


@app.command(rich_help_panel=panels.TRUST)
def inspect(
    path: Annotated[Path, typer.Argument(help="data set, shard, table, network, snapshot (.pkl), checkpoint, run")],
    json: Json = False,
) -> None:
    """Print what a file or folder is and holds.

    Counts, options, metrics, drops, provenance; no pixels are read.
    """
    from stages import trust

    facts = trust.inspect(path)
    if json:
        print_json(facts)
    else:
        print("\n".join(trust.lines(facts)))


@app.command(rich_help_panel=panels.TRUST)
def compare(
    a: Annotated[Path, typer.Argument(help="data set, shard, table, network, checkpoint, run or published folder")],
    b: Annotated[Path, typer.Argument(help="another of the same kind")],
    json: Json = False,
) -> None:
    """Print how two data sets, tables, networks or runs differ.

    Images worst first. The exit status is 1 if the content differs, whatever made it.
    """
    from stages import trust

    facts = trust.compare(a, b)
    if json:
        print_json(facts)
    else:
        print("\n".join(trust.lines({key: value for key, value in facts.items() if value not in ({}, [])})))
    if not facts["equal"]:
        raise typer.Exit(1)


@app.command(rich_help_panel=panels.TRUST)
def doctor(json: Json = False) -> None:
    """Examine this machine: packages, GPU, disks, limits.

    Also self-tests, dask, DVC and git. The exit status is 1 if something needed fails.
    """
    from stages import doctor as examination

    findings: list[examination.Finding] = []
    for finding in examination.examine():
        findings.append(finding)
        if not json:
            print(finding, flush=True)
    if json:
        print_json(findings)
    if any(finding.state is examination.State.FAILED for finding in findings):
        raise typer.Exit(1)
