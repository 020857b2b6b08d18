"""Synthetic photographs for the fits: edges, gradients and texture that JPEG and reduction degrade."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pipeline import manifest
from pipeline.container import writing_container
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.manifest import Photograph
from pipeline.params import TrainedNetwork
from pipeline.restoration.fit import Fitting
from pipeline.restoration.networks import RestorationNetwork

SMALL = TrainedNetwork(
    kind="train",
    channels=6,
    blocks=2,
    patch_pixels=12,
    minibatch=2,
    steps=12,
    learning_rate=0.002,
    loss_epsilon=12.0,
    ema_decay=0.9,
    precision="float32",
    adversarial=None,
    blur_max=0.0,
    filters=("bicubic",),
    noise_max=0.0,
    jpeg_quality_min=20,
    jpeg_quality_max=60,
    jpeg_twice=0.0,
    uncompressed=0.0,
    min_pixels=30,
    max_photographs=4,
    held_out_photographs=2,
    threads=1,
    seed=5,
)


def fitting(photographs: Path, **values: Any) -> Fitting:
    """What `fit` reads: the photographs of a folder or a table."""
    return Fitting(
        photographs=photographs, data=photographs.parents[1], how=AS_PUBLISHED, workers=0, before=None
    ) | Fitting(**values)


def scene(number: int, side: int = 220) -> np.ndarray:
    """Striped discs on a gradient, drawn at twice the size and reduced: edges as smooth as a camera's."""
    rng = np.random.default_rng([7, number])
    y, x = np.mgrid[: 2 * side, : 2 * side] / side
    grey_HW = 90 + 50 * x / 2
    for _ in range(40):
        centre_y, centre_x, radius = rng.random(3) * (2, 2, 0.4)
        phase, level, contrast = rng.random(3) * (6, 150, 30)
        stripes_HW = level + 50 + contrast * np.sin(60 * (x * np.cos(phase) + y * np.sin(phase)))
        inside_HW = (y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2
        grey_HW[inside_HW] = stripes_HW[inside_HW]
    image_HWC = grey_HW[..., None] * (1.0, 0.9, 0.8)
    image_HWC = image_HWC.reshape(side, 2, side, 2, 3).mean(axis=(1, 3))
    return image_HWC.clip(0, 255).round().astype(np.uint8)


def jpeg(image_HWC: np.ndarray, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image_HWC).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def write_table(folder: Path, contents: list[bytes]) -> Path:
    """Write `folder/extract` as the stage does; return its table."""
    with writing_container(folder / "extract" / "extract-00000.tar", "extract/extract-00000.tar") as container:
        rows = [
            Photograph(index=i, file=f"{i:06d}.jpg", photograph=container.add(f"{i:06d}.jpg", content))
            for i, content in enumerate(contents)
        ]
    table = folder / "extract" / "extract.parquet"
    manifest.write_rows(table, Photograph, rows)
    return table


def randomize(network: RestorationNetwork) -> RestorationNetwork:
    """Give every layer of a network weights that change the image much."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in network.parameters():
            scale = 1.5 / max(parameter[0].numel(), 1) ** 0.5 if parameter.dim() > 1 else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network.eval().requires_grad_(False)
