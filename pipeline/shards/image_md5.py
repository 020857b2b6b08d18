"""MD5s of several images at once.

Each step of an MD5 waits for the one before, so that most of a core is idle. Here the steps of `LANES` images are done
together, each in a lane of the processor's vectors: in a fifth of hashlib's time with vectors of 256 bits.
"""

import hashlib
import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from pipeline.faces.compiled import Words, compiled

LANES = 8
BLOCK_BYTES = 64
START = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476], np.uint32)
# RFC 1321, by round of 16 steps: by how many bits each of four steps rotates, and the first word of a block and the
# distance to the next
ROTATIONS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
ORDER = ((0, 1), (1, 5), (5, 3), (0, 7))


def md5s(images_NCHW: NDArray[np.uint8]) -> list[str]:
    """The MD5 of the bytes of each of (N, ...) contiguous images, in hexadecimal."""
    found: list[str] = []
    for start in range(0, len(images_NCHW), LANES):
        some_NCHW = images_NCHW[start : start + LANES]
        if len(some_NCHW) == 1 or some_NCHW[0].size % BLOCK_BYTES:
            found += [hashlib.md5(image_CHW.data, usedforsecurity=False).hexdigest() for image_CHW in some_NCHW]
        else:
            found += _of_lanes(some_NCHW.reshape(len(some_NCHW), -1))
    return found


def _of_lanes(bytes_NB: NDArray[np.uint8]) -> list[str]:
    images, size = bytes_NB.shape
    state_4L = np.repeat(START[:, None], LANES, axis=1)
    _add_blocks(bytes_NB.view(np.uint32), state_4L)
    padding = bytes([0x80]).ljust(BLOCK_BYTES - 8, b"\0") + (8 * size).to_bytes(8, "little")
    _add_blocks(np.frombuffer(padding, np.uint32)[None].copy(), state_4L)
    return [state_4L[:, lane].tobytes().hex() for lane in range(images)]


@compiled
def _add_blocks(words_NW: Words, state_4L: Words) -> None:
    """Add the words of each image to the state of its lane; lanes without an image take those of the last one."""
    block_16L = np.empty((16, LANES), np.uint32)
    for start in range(0, words_NW.shape[1], 16):
        for lane in range(LANES):
            image = min(lane, words_NW.shape[0] - 1)
            for word in range(16):
                block_16L[word, lane] = words_NW[image, start + word]
        _mix(state_4L, block_16L)


def _typed_mix(_: Any, state_4L: Any, block_16L: Any) -> tuple[Any, Callable[..., Any]]:
    """The 64 steps of a block as vector instructions of LLVM, which numba would not make of loops."""
    word = ir.IntType(32)
    vector = ir.VectorType(word, LANES)

    def every(value: int) -> ir.Constant:
        return ir.Constant(vector, [ir.Constant(word, value)] * LANES)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointers(number: int, count: int) -> list[Any]:
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            base = builder.bitcast(array.data, vector.as_pointer())
            return [builder.gep(base, [ir.Constant(ir.IntType(64), row)]) for row in range(count)]

        state = pointers(0, 4)
        a, b, c, d = before = [builder.load(pointer, align=4) for pointer in state]
        words = [builder.load(pointer, align=4) for pointer in pointers(1, 16)]
        for step in range(64):
            turn, place = divmod(step, 16)
            mixed = (
                lambda b, c, d: builder.xor(d, builder.and_(b, builder.xor(c, d))),
                lambda b, c, d: builder.xor(c, builder.and_(d, builder.xor(b, c))),
                lambda b, c, d: builder.xor(builder.xor(b, c), d),
                lambda b, c, d: builder.xor(c, builder.or_(b, builder.not_(d))),
            )[turn](b, c, d)
            first, distance = ORDER[turn]
            added = words[(first + distance * place) % 16], every(int(abs(math.sin(step + 1)) * 2**32)), a, mixed
            total, bits = reduce(builder.add, added), ROTATIONS[turn][step % 4]
            rotated = builder.or_(builder.shl(total, every(bits)), builder.lshr(total, every(32 - bits)))
            a, b, c, d = d, builder.add(b, rotated), b, c
        for pointer, old, new in zip(state, before, (a, b, c, d), strict=True):
            builder.store(builder.add(old, new), pointer, align=4)
        return context.get_dummy_value()

    return types.void(state_4L, block_16L), generate


_mix: Any = intrinsic(_typed_mix)
