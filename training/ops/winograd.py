"""3x3 convolutions of a CPU with a quarter of the multiplications, as matrix products of transformed tiles.

Winograd 1980; Lavin and Gray 2016. Every 4x4 pixels of the result come from a tile of 6x6 pixels of the input. Tile and
kernel are transformed to 36 numbers each, which are multiplied one by one, summed over the channels, and transformed
to 16 pixels: 36 multiplications instead of 144. The gradient of the kernel is computed from the same tiles. In float32,
results differ from those of the plain sums by about 3e-6 of their norm.

Shapes: images (N, C, H, W), channels-last in memory, and (N, H, W, C) in the loops; weights (K, C, 3, 3); P = tiles.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from pipeline.faces.compiled import Floats, compiled

TILE = 4
"""Pixels of the result along an axis that one tile gives."""
MIN_MAPS = 256
"""With fewer, the transforms take longer than the multiplications that they save."""
MIN_TILES = 128
"""With fewer, the transform of the kernel does."""
PART_FLOATS = 1 << 25
"""Samples are computed in parts whose transformed tiles hold at most so many numbers, if one sample's do."""
SPARE_ROWS = 3
"""Unused rows after the tiles, so that the numbers of a tile are not a power of two apart, which caches hold badly."""

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Where the polynomials of Toom (1963) and Cook (1966) are evaluated; infinity is one more."""


def _evaluation(coefficients: int) -> Floats:
    """The values (6, coefficients) of the powers at the points."""
    matrix = np.vander([*POINTS, 0.0], coefficients, increasing=True)
    matrix[-1] = np.eye(coefficients)[-1]
    return np.ascontiguousarray(matrix, np.float32)


INPUT = np.ascontiguousarray(np.linalg.inv(_evaluation(6).astype(np.float64)).T, np.float32)
"""The transform along an axis of a tile, (6, 6)."""
OUTPUT = np.ascontiguousarray(_evaluation(TILE).T)
"""The transform to pixels, (4, 6)."""
GRADIENT = _evaluation(TILE)
"""Its transpose, of the gradient of the pixels."""
KERNEL = torch.from_numpy(np.kron(_evaluation(3), _evaluation(3)))
"""The transform of a kernel, along both axes: (36, 9)."""

_POINTWISE = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
"""Stride, padding and so on of a 1x1 convolution.

The matrix products are written as such: oneDNN computes them at twice the speed of torch's own (MKL's) on AMD's
processors, and nearly as fast on Intel's. One thread takes oneDNN for 16 images or more.
"""


def pays(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether tiles are faster than the plain sums. Never for a traced tensor, whose type is another."""
    samples, _, height, width = x.shape
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and (weight.shape[2], stride) == (3, 1)
        and min(weight.shape[:2]) >= MIN_MAPS
        and height % TILE == width % TILE == 0
        and samples * height * width >= MIN_TILES * TILE**2
    )


def conv2d(x_NCHW: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    """The zero-padded convolution, or the transposed one with the same weight."""
    if transposed:
        weight = weight.transpose(0, 1).flip(2, 3)
    outputs, inputs = weight.shape[:2]
    kernels = torch.matmul(KERNEL, weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, outputs, inputs, 1, 1)
    x_NHWC = _rows_of_maps(x_NCHW)
    y_NHWK = torch.empty(*x_NHWC.shape[:3], outputs)
    for part in _parts(x_NHWC):
        products = [
            _rows_of_maps(torch.ops.aten.convolution(tiles, kernel, None, *_POINTWISE)).flatten(0, 2).numpy()
            for tiles, kernel in zip(_tiles(x_NHWC[part], INPUT, first=-1), kernels, strict=True)
        ]
        _over_samples(from_tiles, y_NHWK[part], tuple(products), OUTPUT)
    return y_NHWK.permute(0, 3, 1, 2)


def weight_grad(x_NCHW: Tensor, grad_y_NKHW: Tensor, transposed: bool) -> Tensor:
    """The gradient of `conv2d` with respect to its weight, channels-last in memory."""
    if transposed:  # of the same weight: y and x change places
        x_NCHW, grad_y_NKHW = grad_y_NKHW, x_NCHW
    x_NHWC, grad_NHWK = _rows_of_maps(x_NCHW), _rows_of_maps(grad_y_NKHW)
    outputs, inputs = grad_NHWK.shape[3], x_NHWC.shape[3]
    sums = torch.zeros(36, outputs, inputs, 1, 1)
    for part in _parts(x_NHWC):
        pairs = zip(_tiles(grad_NHWK[part], GRADIENT, first=0), _tiles(x_NHWC[part], INPUT, first=-1), strict=True)
        for total, pair in zip(sums, pairs, strict=True):
            total.add_(torch.ops.aten.convolution_backward(*pair, total, None, *_POINTWISE, [False, True, False])[1])
    grad_9KC = torch.matmul(KERNEL.T, sums.flatten(1)).view(3, 3, outputs, inputs)
    return grad_9KC.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)


def _rows_of_maps(x_NCHW: Tensor) -> Tensor:
    """(N, H, W, C), contiguous."""
    return x_NCHW.permute(0, 2, 3, 1).contiguous()


def _parts(x_NHWC: Tensor) -> list[slice]:
    """Neighbouring samples that are computed at once."""
    samples = len(x_NHWC)
    at_once = max(1, PART_FLOATS * TILE**2 // (36 * x_NHWC[0].numel()))
    return [slice(start, start + at_once) for start in range(0, samples, at_once)]


def _tiles(x_NHWC: Tensor, matrix: Floats, *, first: int) -> list[Tensor]:
    """The transformed tiles of images, each number as 16 images of P / 16 pixels: 36 of (16, C, P / 16, 1)."""
    samples, height, width, maps = x_NHWC.shape
    count = samples * (height // TILE) * (width // TILE)
    tiles = torch.empty(36, count + SPARE_ROWS, maps)
    _over_samples(to_tiles, x_NHWC, tiles.numpy(), matrix, first)
    images = int(np.gcd(count, 16))
    return [rows[:count].view(images, -1, 1, maps).permute(0, 3, 1, 2) for rows in tiles]


def _over_samples(loop: Callable[..., None], images: Tensor, *args: object) -> None:
    """Call a loop for as many parts of the samples as there are threads."""
    samples, threads = len(images), torch.get_num_threads()
    if threads == 1:
        loop((0, samples), images.numpy(), *args)
        return
    with ThreadPoolExecutor(threads) as pool:
        edges = [samples * number // threads for number in range(threads + 1)]
        list(pool.map(lambda part: loop(part, images.numpy(), *args), pairwise(edges)))


@compiled
def to_tiles(samples: tuple[int, int], x_NHWC: Floats, tiles: Floats, matrix: Floats, first: int) -> None:
    """Transform the tiles of `samples` (first, end) along both axes by `matrix`, (6, S), into `tiles`, (36, P, C).

    A tile has S x S pixels and begins at `first` + a multiple of TILE; outside of the image it is 0.
    """
    _, height, width, maps = x_NHWC.shape
    down, across, pixels = height // TILE, width // TILE, matrix.shape[1]
    tile, half = np.empty((pixels * pixels, maps), np.float32), np.empty((6 * pixels, maps), np.float32)
    for number in range(samples[0] * down * across, samples[1] * down * across):
        sample, place = number // (down * across), number % (down * across)
        top, left = place // across * TILE + first, place % across * TILE + first
        for i in range(pixels):
            for j in range(pixels):
                if 0 <= top + i < height and 0 <= left + j < width:
                    tile[i * pixels + j] = x_NHWC[sample, top + i, left + j]
                else:
                    tile[i * pixels + j] = 0
        for t in range(6):
            for j in range(pixels):
                _combine(half[t * pixels + j], matrix[t], tile, j, pixels)
        for t in range(6):
            for u in range(6):
                _combine(tiles[t * 6 + u, number], matrix[u], half, t * pixels, 1)


@compiled
def from_tiles(samples: tuple[int, int], y_NHWK: Floats, products: tuple[Floats, ...], matrix: Floats) -> None:
    """Transform 36 products (P, K) along both axes by `matrix`, (4, 6), to the pixels of `samples` (first, end)."""
    _, height, width, maps = y_NHWK.shape
    down, across = height // TILE, width // TILE
    tile, half = np.empty((36, maps), np.float32), np.empty((TILE * 6, maps), np.float32)
    for number in range(samples[0] * down * across, samples[1] * down * across):
        sample, place = number // (down * across), number % (down * across)
        for t in range(36):
            tile[t] = products[t][number]
        for i in range(TILE):
            for u in range(6):
                _combine(half[i * 6 + u], matrix[i], tile, u, 6)
        for i in range(TILE):
            for j in range(TILE):
                target = y_NHWK[sample, place // across * TILE + i, place % across * TILE + j]
                _combine(target, matrix[j], half, i * 6, 1)


@compiled
def _combine(out: Floats, factors: Floats, rows: Floats, first: int, step: int) -> None:
    """The sum of 4 or 6 `factors` times every `step`-th row from `first` on; loops that become vector instructions."""
    a, b, c, d = rows[first], rows[first + step], rows[first + 2 * step], rows[first + 3 * step]
    fa, fb, fc, fd = factors[0], factors[1], factors[2], factors[3]
    if len(factors) == 4:
        for n in range(len(out)):
            out[n] = fa * a[n] + fb * b[n] + fc * c[n] + fd * d[n]
        return
    e, f, fe, ff = rows[first + 4 * step], rows[first + 5 * step], factors[4], factors[5]
    for n in range(len(out)):
        out[n] = fa * a[n] + fb * b[n] + fc * c[n] + fd * d[n] + fe * e[n] + ff * f[n]
