"""Convolutions of 3x3 with 16 multiplications where 36 are usual, as matrix products (Winograd; Lavin and Gray 2016).

Every 2x2 pixels of the result come from a tile of 4x4 pixels of the input: both the tile and the kernel are transformed
to 4x4 values, which are multiplied value by value, summed over the channels, and transformed back. The same holds for
the gradient of the weight. In float32 the result differs from that of the plain sum in the last two digits.

Shapes: images (N, C, H, W) in memory order channels-last, sizes even; inside, (…, H, W, C). P: tiles of a part.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_POINTWISE = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
"""Stride, padding, dilation and so on of a 1x1 convolution.

The matrix products are written as such: oneDNN computes them at twice the speed of torch's own (MKL's) on AMD's
processors, and as fast on Intel's. One thread takes oneDNN for 16 images or more.
"""

FEWEST_MAPS = 256
PART_FLOATS = 1 << 22
"""Samples are taken in parts whose transformed tiles hold about so many numbers: what a processor's cache holds."""


def pays(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether tiles are faster than the plain convolution and its gradient: measured on AVX-512, from 256 maps on."""
    height, width = x.shape[2:]
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and stride == 1
        and weight.shape[2:] == (3, 3)
        and min(weight.shape[:2]) >= FEWEST_MAPS
        and min(height, width) >= 8
        and height % 2 == width % 2 == 0
    )


def convolve(x_NCHW: Tensor, weight: Tensor, transposed: bool = False) -> Tensor:
    """`torch.nn.functional.conv2d(x_NCHW, weight, padding=1)`, or `conv_transpose2d` with the same arguments."""
    kernels_16KC = _kernels(weight, transposed)
    samples, _, height, width = x_NCHW.shape
    outputs = kernels_16KC.shape[1]
    y_NHWK = x_NCHW.new_empty(samples, height, width, outputs)
    for part, tiles_16PC in _parts(x_NCHW):
        products = [
            torch.ops.aten.convolution(_images(tiles_PC), _pixels(kernel_KC), None, *_POINTWISE)
            .permute(0, 2, 3, 1)
            .reshape(-1, height // 2, width // 2, outputs)
            for tiles_PC, kernel_KC in zip(tiles_16PC, kernels_16KC, strict=True)
        ]
        _from_16(products, y_NHWK[part])
    return y_NHWK.permute(0, 3, 1, 2)


def weight_grad(x_NCHW: Tensor, grad_y_NKHW: Tensor) -> Tensor:
    """The gradient of `convolve` with respect to its weight, (outputs, inputs, 3, 3), in order channels-last."""
    inputs, outputs = x_NCHW.shape[1], grad_y_NKHW.shape[1]
    grad_y_NHWK = grad_y_NKHW.permute(0, 2, 3, 1)
    sums_16KC = x_NCHW.new_zeros(16, outputs, inputs)
    like = _pixels(sums_16KC[0])
    for part, tiles_16PC in _parts(x_NCHW):
        for sums_KC, grad_PK, tiles_PC in zip(sums_16KC, _to_16(grad_y_NHWK[part]), tiles_16PC, strict=True):
            _, grads, _ = torch.ops.aten.convolution_backward(
                _images(grad_PK), _images(tiles_PC), like, None, *_POINTWISE, [False, True, False]
            )
            sums_KC.add_(grads[:, :, 0, 0])
    grad_K9C = torch.matmul(_widening(x_NCHW).T, sums_16KC.transpose(0, 1))
    return grad_K9C.view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)


def _kernels(weight: Tensor, transposed: bool) -> Tensor:
    """Transformed kernels as matrices (16, outputs of the convolution, its inputs)."""
    rows, columns = weight.shape[:2]
    weight_K9C = weight.permute(0, 2, 3, 1).reshape(rows, 9, columns)
    widening = _widening(weight)
    if transposed:  # turned by half, and from rows to columns
        return torch.matmul(widening.flip(1), weight_K9C).permute(1, 2, 0).contiguous()
    return torch.matmul(widening, weight_K9C).transpose(0, 1).contiguous()


def _images(tiles_PC: Tensor) -> Tensor:
    """The rows of a matrix as pixels of up to 16 images, (16, C, P / 16, 1)."""
    rows, channels = tiles_PC.shape
    return tiles_PC.view(math.gcd(rows, 16), -1, 1, channels).permute(0, 3, 1, 2)


def _pixels(matrix_KC: Tensor) -> Tensor:
    """A matrix as the kernel of a 1x1 convolution, (K, C, 1, 1)."""
    return matrix_KC[:, :, None, None]


def _widening(like: Tensor) -> Tensor:
    """The linear map (16, 9) from a kernel to its transform."""
    one_axis = like.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return torch.kron(one_axis, one_axis)


def _parts(x_NCHW: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Neighbouring samples, and their transformed tiles (16, P, C)."""
    samples, channels, height, width = x_NCHW.shape
    at_once = max(1, PART_FLOATS // (4 * channels * height * width))
    for start in range(0, samples, at_once):
        part = slice(start, start + at_once)
        yield part, _tiles_to_16(x_NCHW[part].permute(0, 2, 3, 1))


def _tiles_to_16(x_NHWC: Tensor) -> Tensor:
    """All overlapping 4x4 tiles, transformed: (16, P, C)."""
    samples, height, width, channels = x_NHWC.shape
    padded = x_NHWC.new_zeros(samples, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = x_NHWC
    rows = x_NHWC.new_empty(4, samples, height // 2, width + 2, channels)
    _differences(padded[:, 0::2], padded[:, 1::2], rows, 1)
    both = x_NHWC.new_empty(4, 4, samples, height // 2, width // 2, channels)
    _differences(rows[:, :, :, 0::2], rows[:, :, :, 1::2], both.transpose(0, 1), 3)
    return both.view(16, -1, channels)


def _differences(even: Tensor, odd: Tensor, out: Tensor, axis: int) -> None:
    """Of four neighbours a b c d, each two from the last: a - c, b + c, c - b, b - d."""
    tiles = even.shape[axis] - 1
    a, c = even.narrow(axis, 0, tiles), even.narrow(axis, 1, tiles)
    b, d = odd.narrow(axis, 0, tiles), odd.narrow(axis, 1, tiles)
    torch.sub(a, c, out=out[0])
    torch.add(b, c, out=out[1])
    torch.sub(c, b, out=out[2])
    torch.sub(b, d, out=out[3])


def _from_16(products: Sequence[Tensor], y_NHWK: Tensor) -> None:
    """Four transformed rows p q r s make two: p + q + r and q - r - s; likewise columns. Writes 2x2 pixels a tile."""
    columns = [products[column::4] for column in range(4)]
    rows = (
        [(p + q).add_(r) for p, q, r, _ in columns],
        [(q - r).sub_(s) for _, q, r, s in columns],
    )
    for row, (p, q, r, s) in enumerate(rows):
        torch.add(p, q, out=y_NHWK[:, row::2, 0::2]).add_(r)
        torch.sub(q, r, out=y_NHWK[:, row::2, 1::2]).sub_(s)


def _to_16(grad_NHWK: Tensor) -> Tensor:
    """The transpose of `_from_16`: (16, P, outputs)."""
    samples, height, width, outputs = grad_NHWK.shape
    rows = grad_NHWK.new_empty(4, samples, height // 2, width, outputs)
    _spread(grad_NHWK[:, 0::2], grad_NHWK[:, 1::2], rows)
    both = grad_NHWK.new_empty(4, 4, samples, height // 2, width // 2, outputs)
    _spread(rows[:, :, :, 0::2], rows[:, :, :, 1::2], both.transpose(0, 1))
    return both.view(16, -1, outputs)


def _spread(first: Tensor, second: Tensor, out: Tensor) -> None:
    out[0] = first
    torch.add(first, second, out=out[1])
    torch.sub(first, second, out=out[2])
    torch.neg(second, out=out[3])
