"""Measures a restoration network, or the plain method, on the photographs of a folder."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np
from PIL import Image

from pipeline.errors import NetworkError, ParamsError, RejectedInputError
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.restoration.protocols import measures
from pipeline.restoration.protocols.matlab import Pixels, luma, luma_levels, resize

Task = Literal["jpeg", "x4"]
Restore = Callable[[Pixels], Pixels]
"""(H, W, 3) uint8 RGB to a restored or enlarged image."""

QUALITIES = (10, 20, 30, 40)
SCALE = 4
SHAVED = 4
"""Border pixels that are not measured, for x4."""
HOW = AS_PUBLISHED.model_copy(update={"decoder": "pillow", "damaged": "drop"})
LEAST_SIDE = measures.WINDOW + 2 * SHAVED + SCALE
"""Of an image, in pixels: SSIM's window, what x4 shaves and what it cuts off."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one image, or their means: PSNR and PSNR-B in dB, SSIM 0...1; None where a protocol has none."""

    psnr: float
    ssim: float
    psnr_b: float | None = None
    y_psnr: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one image under one protocol: of the plain method, and of the network where there is one."""

    file: str
    protocol: str
    plain: Figures
    network: Figures | None


@dataclass(slots=True)
class Result:
    """What was measured, image by image; and the files that were not, by reason.

    `colourless`: grey images, which the colour protocols leave out.
    """

    images: list[str] = field(default_factory=list[str])
    measured: list[Measured] = field(default_factory=list[Measured])
    bad: dict[str, str] = field(default_factory=dict[str, str])
    colourless: list[str] = field(default_factory=list[str])

    def means(self) -> dict[str, tuple[int, Figures, Figures | None]]:
        """By protocol: the number of images, the means of the plain method, and those of the network."""
        protocols = dict.fromkeys(row.protocol for row in self.measured)
        rows = {name: [row for row in self.measured if row.protocol == name] for name in protocols}
        return {name: (len(of), _mean([row.plain for row in of]), _network_mean(of)) for name, of in rows.items()}


def tasks_of(scale: int | None, asked: Task | None) -> tuple[Task, ...]:
    """What to measure: what is `asked` for, or what a network of `scale` (None without one) does.

    `NetworkError` where a network does something else.
    """
    if scale is None:
        return (asked,) if asked else ("jpeg", "x4")
    able: Mapping[int, Task] = {1: "jpeg", SCALE: "x4"}
    if scale not in able or (asked and able[scale] != asked):
        does = "restores at the same size" if scale == 1 else f"enlarges {scale} times"
        wanted = asked or "jpeg or x4"
        raise NetworkError(f"the network {does}, but the task is {wanted}; jpeg needs scale 1 and x4 scale {SCALE}.")
    return (able[scale],)


def measure(folder: Path, tasks: Sequence[Task], restore: Restore | None, report: Callable[[str], None]) -> Result:
    """Measure all images of a folder, in the order of their names; `report` is called with each file's name.

    `ParamsError` if the folder is absent, or has no file that can be measured.
    """
    if not folder.is_dir():
        raise ParamsError(f"{folder}: no such folder; --set names a folder of photographs.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    result = Result()
    for path in files:
        report(path.name)
        try:
            image_HWC = decode(path.read_bytes(), HOW)
        except RejectedInputError as rejected:
            result.bad[path.name] = f"{rejected.reason}: {rejected.detail}"
            continue
        except OSError as error:
            result.bad[path.name] = error.strerror or str(error)
            continue
        if min(image_HWC.shape[:2]) < LEAST_SIDE:
            height, width, _ = image_HWC.shape
            result.bad[path.name] = f"{width} x {height} pixels; {LEAST_SIDE} x {LEAST_SIDE} are the least"
            continue
        grey = bool((image_HWC == image_HWC[..., :1]).all())
        result.images.append(path.name)
        result.colourless += [path.name] if grey else []
        for task in tasks:
            protocols = _jpeg(image_HWC, grey, restore) if task == "jpeg" else _enlarge(image_HWC, restore)
            result.measured += [Measured(path.name, *row) for row in protocols]
    if not result.measured:
        found = f"; {len(result.bad)} files cannot be used: {_first(result.bad)}" if result.bad else ""
        raise ParamsError(f"{folder}: no photograph to measure on{found}.")
    return result


def _jpeg(image_HWC: Pixels, grey: bool, restore: Restore | None) -> Iterator[tuple[str, Figures, Figures | None]]:
    clean_HW = image_HWC[..., 0] if grey else luma_levels(image_HWC)
    for quality in QUALITIES:
        decoded_HW = _compressed(clean_HW, quality)
        network = None
        if restore is not None:
            restored_HWC = restore(np.repeat(decoded_HW[..., None], 3, axis=2))
            network = _figures(np.rint(restored_HWC.mean(axis=2)).astype(np.uint8), clean_HW)
        yield f"jpeg-grey-q{quality}", _figures(decoded_HW, clean_HW), network
    for quality in () if grey else QUALITIES:
        decoded_HWC = _compressed(image_HWC, quality)
        network = None if restore is None else _figures(restore(decoded_HWC), image_HWC)
        yield f"jpeg-colour-q{quality}", _figures(decoded_HWC, image_HWC), network


def _enlarge(image_HWC: Pixels, restore: Restore | None) -> Iterator[tuple[str, Figures, Figures | None]]:
    height, width = (side - side % SCALE for side in image_HWC.shape[:2])
    clean_HWC = image_HWC[:height, :width]
    small_HWC = resize(clean_HWC, Fraction(1, SCALE))
    network = None if restore is None else _luma_figures(restore(small_HWC), clean_HWC)
    yield "x4", _luma_figures(resize(small_HWC, Fraction(SCALE)), clean_HWC), network


def _compressed(image: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(stream))


def _figures(image: Pixels, clean: Pixels) -> Figures:
    y_psnr = measures.psnr(luma(image), luma(clean)) if clean.ndim == 3 else None
    return Figures(measures.psnr(image, clean), measures.ssim(image, clean), measures.psnr_b(image, clean), y_psnr)


def _luma_figures(image_HWC: Pixels, clean_HWC: Pixels) -> Figures:
    inner = slice(SHAVED, -SHAVED)
    image, clean = (luma(pixels[inner, inner]) for pixels in (image_HWC, clean_HWC))
    return Figures(measures.psnr(image, clean), measures.ssim(image, clean))


def _network_mean(rows: Sequence[Measured]) -> Figures | None:
    figures = [row.network for row in rows if row.network is not None]
    return _mean(figures) if figures else None


def _mean(figures: Sequence[Figures]) -> Figures:
    psnr_b = [one.psnr_b for one in figures if one.psnr_b is not None]
    y_psnr = [one.y_psnr for one in figures if one.y_psnr is not None]
    return Figures(
        psnr=fmean(one.psnr for one in figures),
        ssim=fmean(one.ssim for one in figures),
        psnr_b=fmean(psnr_b) if psnr_b else None,
        y_psnr=fmean(y_psnr) if y_psnr else None,
    )


def _first(bad: Mapping[str, str]) -> str:
    name, reason = next(iter(bad.items()))
    return f"{name} ({reason})"
