"""Commands about networks of the progressive GAN."""

from pathlib import Path
from typing import Annotated

import typer

from stages.commands import app


@app.command()
def convert(
    snapshot: Annotated[Path, typer.Argument(help="network snapshot (.pkl) of the original implementation")],
    network: Annotated[Path, typer.Argument(help="network file (.safetensors) to write")],
) -> None:
    """Convert a snapshot of the original TensorFlow implementation to a network file; no code in it is executed."""
    from training import interop

    original = interop.read(snapshot)
    interop.write(network, original)
    side = original.average.resolution_at(original.lod)
    print(f"{network}: G, D and Gs of {snapshot}, which makes images of {side}x{side}")


@app.command()
def generate(
    network: Annotated[Path, typer.Argument(help="network file (.safetensors)")],
    folder: Annotated[Path, typer.Argument(help="folder for the images")],
    count: Annotated[int, typer.Option(min=1)] = 16,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Write random images of a network as PNG files."""
    from training.generate import write_images
    from training.runtime.device import default_device

    write_images(network, folder, count=count, seed=seed, device=default_device())
    print(f"{count} images in {folder}")
