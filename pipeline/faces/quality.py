"""The quality metric: how broad and how isotropic an image's power spectrum is (Karras et al. 2018, appendix C).

The paper ranks faces by such a metric and gives no formula. Ours is in docs/quality.md; its symbols are P (power), G, T
and S (a cell's typical power, a ring's mean power and signal), n (noise), A (contrast), B (breadth), O (order) and K
(blocks).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from pipeline.faces.artefacts import BlockGrid, artefacts

SECTORS = 12
RINGS_PER_OCTAVE = 4
LOWEST_FREQUENCY = 1 / 64
LOWEST_CYCLES = 2
HIGHEST_FREQUENCY = 0.5
TOP_RINGS = 2
TOP_FALL = 2.8
ROUNDING_NOISE = 1 / 12
NOISE_MARGIN = 2.0
LEAST_SIGNAL = 0.01
BLOCK_PENALTY = 4.0
FULL_DB, EMPTY_DB = 5.0, -40.0
DECIMALS = 6
"""The last bits of an FFT depend on the machine; a rank must not."""
OWN_SIZE = BlockGrid()


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """The terms of the metric: B, O, K and n (in squared levels), and those of each ring.

    `frequencies` are the rings' centres in cycles per pixel; `levels_db` their whitened signal relative to the image's
    own contrast, in dB (a natural image has about 0).
    """

    frequencies: NDArray[np.float64]
    levels_db: NDArray[np.float64]
    breadth: float
    order: float
    noise: float
    blocks: float

    @property
    def quality(self) -> float:
        """The metric, 0...1."""
        return round(self.breadth * self.order**0.5 / (1 + BLOCK_PENALTY * self.blocks), DECIMALS)


def quality(image_HWC: NDArray[np.uint8], grid: BlockGrid = OWN_SIZE) -> float:
    """The quality of a square uint8 RGB image, 0...1, higher is better; 0 without contrast or below 8 pixels.

    `grid` says how the photograph lies in the image; by default the image is a photograph at its own size.
    """
    return spectrum(image_HWC, grid).quality


def sharpness(image_HWC: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of an RGB image's luminance, in squared levels: a common measure of focus."""
    laplacian_HW = cv2.Laplacian(cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY), cv2.CV_16S, ksize=1)
    return round(float(cv2.meanStdDev(laplacian_HW)[1][0, 0]) ** 2, DECIMALS)


def best_first(scores: Sequence[float]) -> list[int]:
    """Positions of scores from the best to the worst; equal ones stay in order."""
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def spectrum(image_HWC: NDArray[np.uint8], grid: BlockGrid = OWN_SIZE) -> Spectrum:
    """Analyse a square uint8 RGB image, `grid` as in `quality`; `ValueError` where it is not square."""
    height, width, _ = image_HWC.shape
    if height != width:
        raise ValueError(f"the quality metric is defined on square images, not on {width} x {height} pixels")
    cells = _cells(height)
    luminance_HW = np.asarray(cv2.cvtColor(image_HWC.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)
    power = _power(luminance_HW, cells)
    sums, log_sums = cells.sums(power), cells.sums(np.log(power + 1e-9))
    contrast = cells.contrast(power)
    if len(cells.frequencies) == 0 or contrast < ROUNDING_NOISE * LOWEST_FREQUENCY**2:
        return Spectrum(cells.frequencies, np.full(len(cells.frequencies), EMPTY_DB), 0.0, 0.0, 0.0, 0.0)

    found = artefacts(luminance_HW, grid)
    noise = max(_noise(cells, log_sums), found.noise)
    counts_RS = cells.of_rings(cells.counts)
    typical_RS = _typical(cells.of_rings(log_sums), counts_RS)
    signal_RS = np.maximum(typical_RS - NOISE_MARGIN * noise, LEAST_SIGNAL * typical_RS)
    # in a small image a sector may have no point in a ring
    signal_R = np.exp(np.mean(np.log(signal_RS), axis=1, where=counts_RS > 0))
    mean_R = cells.of_rings(sums).sum(axis=1) / counts_RS.sum(axis=1)

    white_R = cells.frequencies**2
    levels_db = 10 * np.log10(white_R * signal_R / contrast)
    breadth = float(np.clip((levels_db - EMPTY_DB) / (FULL_DB - EMPTY_DB), 0, 1).mean())
    order = min(float((white_R * signal_R).sum() / (white_R * mean_R).sum()), 1.0)
    return Spectrum(cells.frequencies, levels_db, breadth, order, noise, found.blocks)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """The cell of each point of a half spectrum, for images of one size.

    Labels: ring x SECTORS + sector; then one for the points below the rings, one for the corners beyond them. `anchor`
    are the points of the band that the contrast is measured in.
    """

    window: NDArray[np.float32]
    window_power: float
    labels: NDArray[np.intp]
    counts: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    anchor: NDArray[np.intp]
    anchor_frequencies: NDArray[np.float64]

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.bincount(self.labels, values, len(self.counts)).astype(np.float64)

    def of_rings(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[: len(self.frequencies) * SECTORS].reshape(-1, SECTORS)

    def contrast(self, power: NDArray[np.float32]) -> float:
        return float((power[self.anchor] * self.anchor_frequencies**2).mean())


@cache
def _cells(size: int) -> _Cells:
    y, x = fft.fftfreq(size)[:, None], fft.rfftfreq(size)[None]
    radius = np.hypot(x, y).ravel()
    lowest = max(LOWEST_FREQUENCY, LOWEST_CYCLES / size)
    rings = max(round(np.log2(HIGHEST_FREQUENCY / lowest) * RINGS_PER_OCTAVE), 0)
    edges = HIGHEST_FREQUENCY * 2.0 ** ((np.arange(rings + 1) - rings) / RINGS_PER_OCTAVE)
    edges[-1] = np.nextafter(edges[-1], 1)
    ring = np.searchsorted(edges, radius, side="right") - 1
    # sectors are centred on the axes, so that a horizontal or vertical line falls into one
    sector = np.floor((np.arctan2(y, x).ravel() / np.pi + 0.5) * SECTORS + 0.5).astype(int) % SECTORS
    inside = (ring >= 0) & (ring < rings)
    # in a small image a ring may hold no point at all
    present = np.unique(ring[inside])
    beyond = len(present) * SECTORS
    labels = np.full(len(radius), beyond)
    labels[inside] = np.searchsorted(present, ring[inside]) * SECTORS + sector[inside]
    labels[ring == rings] = beyond + 1
    anchor = np.flatnonzero((radius >= max(edges[0] / 4, 1 / size)) & (radius < edges[0]))
    hann = np.hanning(size + 1)[:-1]
    return _Cells(
        window=np.outer(hann, hann).astype(np.float32),
        window_power=float(np.square(hann).sum() ** 2),
        labels=labels.astype(np.intp),
        counts=np.bincount(labels, minlength=beyond + 2).astype(np.float64),
        frequencies=np.sqrt(edges[:-1] * edges[1:])[present],
        anchor=anchor,
        anchor_frequencies=radius[anchor],
    )


def _power(luminance_HW: NDArray[np.float32], cells: _Cells) -> NDArray[np.float32]:
    """P over the half spectrum, flattened."""
    mean = np.vdot(luminance_HW, cells.window) / cells.window.sum()
    amplitude: NDArray[np.complex64] = np.asarray(fft.rfft2((luminance_HW - np.float32(mean)) * cells.window))
    power = amplitude.real**2 + amplitude.imag**2
    return (power * np.float32(1 / cells.window_power)).ravel()


def _typical(log_sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """G from sums of log P; Euler's constant makes it equal the mean for noise."""
    return np.exp(log_sums / np.maximum(counts, 1) + np.euler_gamma)


def _noise(cells: _Cells, log_sums: NDArray[np.float64]) -> float:
    """n: the part of the outermost power that does not fall with frequency."""
    corner = _typical(log_sums[-1:], cells.counts[-1:])[0]
    rings = slice(-TOP_RINGS, None)
    top = _typical(cells.of_rings(log_sums)[rings].sum(), cells.of_rings(cells.counts)[rings].sum())
    return max(float((TOP_FALL * corner - top) / (TOP_FALL - 1)), ROUNDING_NOISE)
