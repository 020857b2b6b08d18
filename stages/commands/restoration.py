"""The command that measures restoration networks by the protocols of papers."""

import sys
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import NetworkError, ParamsError
from stages.commands import Json, app, panels, print_facts

if TYPE_CHECKING:
    from pipeline.restoration.apply import Restorer

KINDS = (".csv", ".md")


class TaskChoice(StrEnum):
    """What is measured."""

    jpeg = "jpeg"
    x4 = "x4"


@app.command("bench-restoration", rich_help_panel=panels.NETWORKS)
def bench_restoration(
    *,
    photographs: Annotated[Path, typer.Option("--set", help="folder of photographs: LIVE1, Classic5, Set5 or any")],
    network: Annotated[Path | None, typer.Option(help="data/fit_denoise, or a file, also .pth of others")] = None,
    task: Annotated[TaskChoice | None, typer.Option(help="default: what the network does; without one, both")] = None,
    out: Annotated[Path | None, typer.Option(help="also write the table (.md), or figures by image (.csv)")] = None,
    tile_pixels: Annotated[int, typer.Option(min=16, help="side of the largest square computed at once")] = 512,
    as_json: Json = False,
) -> None:
    """Measure a restoration network by the protocols of papers.

    JPEG at quality 10 to 40, grey and in colour, and x4: PSNR, SSIM, PSNR-B; without a network, JPEG and bicubic alone.
    """
    from pipeline import atomic
    from pipeline.restoration.protocols import bench
    from pipeline.restoration.protocols import table as tables

    if out is not None and out.suffix not in KINDS:
        raise ParamsError(f"--out {out}: the name ends with {' or '.join(KINDS)}.")
    restorer = None if network is None else _open(network, tile_pixels)
    tasks = bench.tasks_of(restorer.scale if restorer else None, None if task is None else task.value)
    result = bench.measure(photographs, tasks, restorer, _progress)
    lines = tables.table(result, photographs.resolve().name)
    if out is not None:
        content = tables.as_csv(result) if out.suffix == ".csv" else tables.as_markdown(lines)
        atomic.write_bytes(out, content.encode())
    facts = {
        "set": photographs,
        "network": network,
        "images": len(result.images),
        "bad": result.bad,
        "grey": result.colourless,
        "rows": lines,
    }
    notes = [f"{photographs}: {len(result.images)} images, network {network or 'none'}", ""]
    notes += [tables.as_text(lines)]
    if result.colourless and "jpeg" in tasks:
        notes.append(f"\n{len(result.colourless)} grey images are left out of JPEG in colour.")
    if result.bad:
        notes.append(f"\n{len(result.bad)} files were not measured:")
        notes += [f"  {name}: {reason}" for name, reason in result.bad.items()]
    print_facts(facts, "\n".join(notes), as_json)


def _open(network: Path, tile_pixels: int) -> "Restorer":
    """The network of a folder that a fitting stage published, or of a file: ours, or of others (by spandrel)."""
    from pipeline.restoration.apply import Restorer
    from pipeline.restoration.device import select_device
    from pipeline.restoration.networks_of_others import import_network
    from pipeline.restoration.weights import WEIGHTS, load_network

    if network.is_dir():
        return Restorer.load(network, tile_pixels=tile_pixels)
    if not network.is_file():
        raise NetworkError(f"{network}: no such network file or folder.")
    try:
        loaded = load_network(network)
    except NetworkError as not_ours:
        with TemporaryDirectory() as folder:
            try:
                loaded = import_network(network, network.read_bytes(), Path(folder) / WEIGHTS)
            except NetworkError as error:
                raise NetworkError(f"{not_ours}\nAs a network of others: {error}") from error
    return Restorer(loaded.to(select_device()), tile_pixels=tile_pixels)


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{name}", end="", file=sys.stderr, flush=True)
