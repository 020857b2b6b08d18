"""Commands about networks of the progressive GAN."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import ParamsError
from stages.commands import Json, app, panels, print_facts
from training.choices import Format, Snapshot, Source, Which

if TYPE_CHECKING:
    from training.video import Written


@app.command(rich_help_panel=panels.NETWORKS)
def convert(
    snapshot: Annotated[Path, typer.Argument(help="network snapshot (.pkl) of the original implementation")],
    network: Annotated[Path, typer.Argument(help="network file (.safetensors) to write")],
) -> None:
    """Convert a snapshot of the original to a network file.

    Of the TensorFlow implementation; no code in it is executed.
    """
    from training import interop

    original = interop.read(snapshot)
    interop.write(network, original)
    side = original.average.resolution_at(original.lod)
    print(f"{network}: G, D and Gs of {snapshot}, which makes images of {side}x{side}")


Network = Annotated[Path, typer.Argument(help="network file (.safetensors), or the folder of a run")]
WhichOption = Annotated[Which, typer.Option(help="Gs, the running average; or G as trained")]
SnapshotOption = Annotated[Snapshot, typer.Option(help="of a run: the last one, or the nearest to the reals")]
ClassOption = Annotated[str, typer.Option("--class", help="classes or attributes that are set, by number or name")]
AttributesOption = Annotated[Path | None, typer.Option(help="file with the classes' names; default: of the run's data")]


@app.command(rich_help_panel=panels.NETWORKS)
def generate(
    network: Network,
    folder: Annotated[Path, typer.Argument(help="folder for the images")],
    *,
    seeds: Annotated[str, typer.Option(help="an image of each, as in 1,2,10-20; seed 7 is always the same")] = "",
    count: Annotated[int | None, typer.Option(min=1, help="without --seeds: so many images of one seed; 16")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="without --seeds; 1")] = None,
    label: ClassOption = "",
    attributes: AttributesOption = None,
    grid: Annotated[str, typer.Option(help="columns and rows, as in 8x4: one sheet, grid.png")] = "",
    which: WhichOption = Which.average,
    snapshot: SnapshotOption = Snapshot.last,
    truncation: Annotated[float | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write images of a network.

    As PNG files, or as one sheet.
    """
    from training import sampling
    from training.generate import SHEET, load, write_images, write_seeds
    from training.runtime.device import default_device

    if truncation is not None:
        raise ParamsError(sampling.NO_TRUNCATION)
    layout = sampling.parse_grid(grid) if grid else None
    numbers = sampling.parse_seeds(seeds) if seeds else []
    if numbers and (count, seed) != (None, None):
        raise ParamsError("--seeds names each image's seed: leave out --count and --seed.")
    total = len(numbers) or count or (layout.cells if layout else 16)
    if layout and total != layout.cells:
        raise ParamsError(f"--grid {grid} has {layout.cells} cells, for {total} images: make both numbers equal.")
    path = sampling.network_file(network, snapshot)
    loaded = load(path, default_device(), which)
    chosen = sampling.parse_label(label, loaded.info, path, attributes) if label else None
    if numbers:
        write_seeds(loaded, folder, numbers, label=chosen, grid=layout)
    else:
        write_images(loaded, folder, count=total, seed=1 if seed is None else seed, label=chosen, grid=layout)
    print(f"{total} images in {folder / SHEET if layout else folder}")


@app.command("export-network", rich_help_panel=panels.NETWORKS)
def export_network(
    network: Network,
    out: Annotated[Path, typer.Argument(help="file to write: .onnx, or .pt for TorchScript")],
    *,
    form: Annotated[Format | None, typer.Option("--format", help="default: by the name of OUT")] = None,
    uint8: Annotated[bool, typer.Option(help="images as bytes, in place of float -1...1")] = False,
    which: WhichOption = Which.average,
    snapshot: SnapshotOption = Snapshot.last,
    as_json: Json = False,
) -> None:
    """Write the generator as ONNX or TorchScript.

    For other programs; its images are compared with the network's own.
    """
    import torch

    from training import sampling
    from training.export import export
    from training.generate import load

    form = form or sampling.form_of(out)
    loaded = load(sampling.network_file(network, snapshot), torch.device("cpu"), which)
    difference = export(loaded, out, form, uint8=uint8)
    info = loaded.info
    latents, labels = f"latents (N, {info.generator.latent_size})", f", labels (N, {info.label_size})"
    side = info.resolution
    images = f"images (N, {info.channels}, {side}, {side}) {'uint8' if uint8 else 'float32, -1...1'}"
    facts = {
        "file": str(out), "format": form.value, "latent_size": info.generator.latent_size,
        "label_size": info.label_size, "resolution": side, "uint8": uint8, "largest_difference": difference,
    }  # fmt: skip
    print_facts(
        facts,
        f"{out}: {form.value}, {latents}{labels if info.label_size else ''} to {images}; its images differ from the "
        f"network's own by {difference:.1e} at most",
        as_json,
    )


video = typer.Typer(no_args_is_help=True, help="Write videos of a network or a run (H.264, MP4).")
app.add_typer(video, name="video", rich_help_panel=panels.NETWORKS)
Fps = Annotated[int, typer.Option(min=1, max=240, help="frames per second")]
Crf = Annotated[int, typer.Option(min=0, max=51, help="constant rate factor: higher is smaller and worse")]


@video.command("interpolation")
def video_interpolation(
    network: Network,
    out: Annotated[Path | None, typer.Argument(help="default: interpolation.mp4 in the network's folder")] = None,
    *,
    grid: Annotated[str, typer.Option(help="columns and rows")] = "4x2",
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help="length of the loop")] = 20.0,
    fps: Fps = 60,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    label: ClassOption = "",
    attributes: AttributesOption = None,
    which: WhichOption = Which.average,
    snapshot: SnapshotOption = Snapshot.last,
    crf: Crf = 16,
    as_json: Json = False,
) -> None:
    """A loop through the latent space: one latent per frame and cell, smoothed over time."""
    from training import sampling
    from training.generate import load
    from training.runtime.device import default_device
    from training.video import encode, interpolation

    path = sampling.network_file(network, snapshot)
    out = out or sampling.run_folder(network) / "interpolation.mp4"
    loaded = load(path, default_device(), which)
    chosen = sampling.parse_label(label, loaded.info, path, attributes) if label else None
    layout = sampling.parse_grid(grid)
    count, frames = interpolation(loaded, layout, seconds=seconds, fps=fps, seed=seed, label=chosen)
    _print_video(out, encode(out, frames, count=count, fps=fps, crf=crf), as_json)


@video.command("progress")
def video_progress(
    run: Annotated[Path, typer.Argument(help="folder of a run, finished or not")],
    out: Annotated[Path | None, typer.Argument(help="default: progress.mp4 in the run's folder")] = None,
    *,
    source: Annotated[Source | None, typer.Option(help="the run's sheets of samples, or its kept networks")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help="time of each snapshot")] = 0.75,
    fps: Fps = 30,
    most_pixels: Annotated[int, typer.Option(min=64, max=16384, help="longest side; larger sheets are reduced")] = 1920,
    grid: Annotated[str, typer.Option(help="with networks: columns and rows")] = "8x4",
    seed: Annotated[int, typer.Option(min=0, help="with networks: of the latents")] = 1,
    label: ClassOption = "",
    attributes: AttributesOption = None,
    crf: Crf = 16,
    as_json: Json = False,
) -> None:
    """What a run learned: the same latents at its snapshots, growing and fading, with the thousands of images shown."""
    from training import sampling
    from training.progress_video import frames as progress_frames
    from training.progress_video import sheets_of_networks, sheets_of_run
    from training.runtime.device import default_device
    from training.video import encode

    sheets = [] if source is Source.networks else sheets_of_run(run, most_pixels)
    if not sheets and source is not Source.sheets:
        sheets = sheets_of_networks(
            run, sampling.parse_grid(grid), most_pixels,
            seed=seed, device=default_device(), label=label, attributes=attributes,
        )  # fmt: skip
    count, frames = progress_frames(run, sheets, seconds=seconds, fps=fps)
    out = out or run / "progress.mp4"
    _print_video(out, encode(out, frames, count=count, fps=fps, crf=crf), as_json)


def _print_video(out: Path, made: "Written", as_json: bool) -> None:
    size, seconds = out.stat().st_size, made.frames / made.fps
    facts = {"file": str(out), **asdict(made), "seconds": seconds, "bytes": size}
    line = (
        f"{out}: {made.frames} frames of {made.width}x{made.height}, {seconds:g} s at {made.fps} per second, "
        f"{size / 1e6:.1f} MB"
    )
    print_facts(facts, line, as_json)


@app.command(rich_help_panel=panels.NETWORKS)
def neighbours(
    network: Network,
    dataset: Annotated[Path, typer.Argument(help="data set of shards, such as data/shard")],
    out: Annotated[Path | None, typer.Argument(help="sheet; default: neighbours.png in the network's folder")] = None,
    *,
    seeds: Annotated[str, typer.Option(help="the images to compare, as in 1,2,10-20")] = "0-15",
    images: Annotated[Path | None, typer.Option(help="a folder of pictures to compare, in place of seeds")] = None,
    count: Annotated[int, typer.Option(min=1, help="neighbours of each image")] = 6,
    region: Annotated[str, typer.Option(help="left,top,right,bottom in parts of the side")] = "0.25,0.3,0.75,0.8",
    resolution: Annotated[int | None, typer.Option(min=1, help="side at which to compare; at most 256")] = None,
    features: Annotated[Path | None, typer.Option(help="TorchScript network; default: compare pixels")] = None,
    mirror: Annotated[bool, typer.Option(help="compare mirrored real images too")] = False,
    label: ClassOption = "",
    attributes: AttributesOption = None,
    which: WhichOption = Which.average,
    snapshot: SnapshotOption = Snapshot.last,
    memory_mib: Annotated[float, typer.Option(min=1, max=1e9, help="of real images held at once")] = 512,
    as_json: Json = False,
) -> None:
    """Find the nearest real images of generated ones.

    Of all in a data set. Writes a sheet, and a table (CSV) of the same name.
    """
    import numpy as np

    from pipeline.shards.reader import DataSet
    from training import sampling
    from training.generate import load
    from training.neighbours import (
        FeatureNetwork,
        at_side,
        find,
        parse_region,
        read_folder,
        side_to_compare,
        write_sheet,
        write_table,
    )
    from training.runtime.device import default_device

    path = sampling.network_file(network, snapshot)
    out = out or sampling.run_folder(network) / "neighbours.png"
    if out.suffix != ".png":
        raise ParamsError(f"{out}: the sheet is a PNG file, {out.stem}.csv the table. Name it {out.stem}.png")
    table = out.with_suffix(".csv")
    device, rectangle = default_device(), parse_region(region)
    loaded = load(path, device, which)
    compared = FeatureNetwork(features, device) if features else None
    with DataSet(dataset) as reals:
        side = side_to_compare(resolution, reals, None if images else loaded.info.resolution)
        if images:
            names, queries = read_folder(images, side)
        else:
            numbers = sampling.parse_seeds(seeds)
            chosen = sampling.parse_label(label, loaded.info, path, attributes) if label else None
            labels = sampling.labels_of_rows(loaded.info, chosen, numbers)
            names = [str(number) for number in numbers]
            queries = at_side(np.stack(list(loaded.images_of_seeds(numbers, labels))), side)
        found = find(
            queries, reals, region=rectangle, features=compared, neighbours=count, mirror=mirror,
            memory_mib=memory_mib, device=device,
        )  # fmt: skip
        write_sheet(out, queries, found, reals, rectangle)
        write_table(table, "image" if images else "seed", names, found, reals)
        nearest, closest = found.distances_NK[:, 0], int(found.distances_NK[:, 0].argmin())
        unit = "Euclidean, of features" if features else "RMS, levels of 0...255"
        facts = {
            "sheet": str(out), "table": str(table), "images": len(names), "reals": len(reals), "resolution": side,
            "distance": unit, "median": float(np.median(nearest)), "least": float(nearest.min()),
            "least_of": names[closest], "least_to": reals.files[int(found.positions_NK[closest, 0])],
        }  # fmt: skip
    line = (
        f"{out}, {table}: {len(names)} images against {facts['reals']} at {side}x{side}; distance ({unit}) to the "
        f"nearest: median {facts['median']:.4g}, least {facts['least']:.4g} ({names[closest]} to {facts['least_to']})"
    )
    print_facts(facts, line, as_json)


@app.command(rich_help_panel=panels.NETWORKS)
def card(network: Network, as_json: Json = False) -> None:
    """Write a model card for each network file of a run.

    Or for one file: data, terms, training, metrics, how to load it.
    """
    from training import checkpoint, sampling
    from training.model_card import write_cards

    last = sampling.network_file(network)
    cards = write_cards(checkpoint.network_files(network) if network.is_dir() else [last])
    print_facts({"cards": [str(path) for path in cards]}, "\n".join(map(str, cards)), as_json)
