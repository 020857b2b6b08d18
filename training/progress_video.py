"""The pictures of a run in the order of training: its sheets of samples, or new ones of its kept networks.

All sheets of a run show the same latents, so each cell is one latent that learns.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import NetworkError
from training import checkpoint, generate, sampling
from training.image_grid import Pixels, image_grid, read_png
from training.sampling import Grid
from training.video import SMALLEST_CELL

SHEETS = "grids/samples-*.png"
FADED = 1 / 3
"""The part of a sheet's time in which it turns into the next one."""
LAST_SECONDS = 2.0
CAPTION_PIXELS = 32


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of samples after so many images shown; lod and resolution are None where they are not known."""

    images_shown: int
    picture_HWC: Pixels
    resolution: int | None
    lod: float | None

    def caption(self) -> str:
        """Thousands of images shown, the resolution, and from which it is faded in."""
        kimg = f"{self.images_shown / 1000:,.1f} kimg"
        if self.resolution is None:
            return kimg
        fades = self.lod is not None and self.lod % 1 > 0
        fade = f", fading in from {self.resolution // 2}x{self.resolution // 2}" if fades else ""
        return f"{kimg}   {self.resolution}x{self.resolution}{fade}"


def sheets_of_run(folder: Path, most_pixels: int) -> list[Sheet]:
    """The sheets that the run wrote at its snapshots, each side of at most `most_pixels`.

    Sheets of another size than the last one, since it was changed when the run was resumed, are left out.
    """
    paths = sorted(folder.glob(SHEETS))
    resolutions, lods = (_metric(folder, name) for name in ("resolution", "lod"))
    sheets: list[Sheet] = []
    size = read_png(paths[-1]).shape if paths else None
    for path in paths:
        picture_HWC, shown = read_png(path), int(path.stem.rpartition("-")[2])
        if picture_HWC.shape == size:
            resolution = resolutions.get(shown)
            side = None if resolution is None else int(resolution)
            sheets.append(Sheet(shown, _reduced(picture_HWC, most_pixels), side, lods.get(shown)))
    return sheets


def sheets_of_networks(
    folder: Path, grid: Grid, most_pixels: int, *, seed: int, device: torch.device, label: str, attributes: Path | None
) -> list[Sheet]:
    """Sheets of the latents of `seed`, by the running average of each kept network file of a run."""
    sheets: list[Sheet] = []
    for path in checkpoint.network_files(folder):
        snapshot = generate.load(path, device)
        info = snapshot.info
        chosen = sampling.parse_label(label, info, path, attributes) if label else None
        labels_NC = sampling.labels_of_rows(info, chosen, range(grid.cells))
        images_NCHW = snapshot.images(snapshot.latents(seed, grid.cells), labels_NC, minibatch=8)
        cell = max(SMALLEST_CELL, info.full_resolution)
        picture_HWC = _reduced(image_grid(images_NCHW, grid.columns, cell), most_pixels)
        sheets.append(Sheet(info.images_shown, picture_HWC, info.resolution, info.lod))
    return sheets


def frames(folder: Path, sheets: Sequence[Sheet], *, seconds: float, fps: int) -> tuple[int, Iterator[Pixels]]:
    """The number of frames, and the frames (H, W, 3) with captions: each sheet for `seconds`, the last one longer.

    `NetworkError` where the run has no sheet.
    """
    if not sheets:
        raise NetworkError(f"{folder}: has neither {SHEETS} nor network files. Name a run, such as runs/demo.")
    each = max(1, round(seconds * fps))
    count = each * (len(sheets) - 1) + max(1, round(LAST_SECONDS * fps))

    def pictures() -> Iterator[Pixels]:
        for sheet, following in pairwise(sheets):
            caption_HWC = _caption(sheet)
            for place in range(each):
                weight = max(0.0, (place / each - (1 - FADED)) / FADED)
                yield np.concatenate([caption_HWC, _mixed(sheet.picture_HWC, following.picture_HWC, weight)])
        last_HWC = np.concatenate([_caption(sheets[-1]), sheets[-1].picture_HWC])
        for _ in range(count - each * (len(sheets) - 1)):
            yield last_HWC

    return count, pictures()


def _mixed(first: Pixels, second: Pixels, weight: float) -> Pixels:
    if weight <= 0:
        return first
    return np.rint(first * (1 - weight) + second * weight).astype(np.uint8)


def _caption(sheet: Sheet) -> Pixels:
    """A black strip of the sheet's width with its caption in white."""
    strip = Image.new("RGB", (sheet.picture_HWC.shape[1], CAPTION_PIXELS))
    font = ImageFont.load_default(CAPTION_PIXELS * 0.6)
    ImageDraw.Draw(strip).text((8, CAPTION_PIXELS // 2), sheet.caption(), fill="white", font=font, anchor="lm")
    return np.asarray(strip)


def _reduced(picture_HWC: Pixels, most_pixels: int) -> Pixels:
    factor = -(-max(picture_HWC.shape) // most_pixels)
    return picture_HWC if factor == 1 else np.asarray(Image.fromarray(picture_HWC).reduce(factor))


def _metric(folder: Path, name: str) -> dict[int, float]:
    """A curve of the run by images shown; empty where the run has none."""
    path = folder / "live/plots/metrics" / f"{name}.tsv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8") as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file, delimiter="\t")}
