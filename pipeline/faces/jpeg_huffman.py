"""Loops over the Huffman codes of a JPEG's scan. Nothing becomes pixels: what no encoder writes is looked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.faces.compiled import Bytes, Integers, compiled

Tables = NDArray[np.uint16]
"""(8, 65536): length << 8 | symbol of the code that 16 bits begin with, 0 for none; four DC and four AC tables."""

Masks = NDArray[np.uint64]
"""By block: a bit for each coefficient that is not 0."""

FAULTS = {
    1: "a Huffman code that is not in its table",
    2: "data end too early",
    3: "a coefficient beyond the block's end",
    4: "a coefficient out of range",
    5: "a restart marker is missing",
    6: "data are left over",
    7: "a run of blocks beyond the end",
    8: "a hole of zeros",
}
DC, AC, DC_REFINED, AC_REFINED, BOTH = range(5)
"""Kinds of scans: four of progressive files, and that of sequential ones."""

_ZEROS = 72  # bits of 0 in a row: two dozen coefficients of -1, as zeros are read with the usual tables
_LIMIT = 1100  # of a coefficient, in samples of 8 bits: no picture has more than 1024

Bits = tuple[Any, Any, Any]
"""Place of the next byte, buffered bits (the last ones count), and their number. Passed by value: in registers."""


@compiled
def _fill(data: Bytes, bits: Bits) -> Bits:
    """Append bytes to the buffer, up to the next marker."""
    place, buffer, count = bits
    while count <= 40 and place < len(data):
        value = np.int64(data[place])
        if value == 0xFF:
            if place + 1 >= len(data) or data[place + 1] != 0:
                break
            place += 1
        place += 1
        buffer = (buffer << 8 | value) & 0xFFFFFFFFFFFF
        count += 8
    return place, buffer, count


@compiled
def _symbol(data: Bytes, bits: Bits, tables: Tables, table: int) -> tuple[Any, Bits]:
    """The next symbol; -1 for an unknown code, -2 where the data have ended. Up to 16 bits more are buffered."""
    if bits[2] < 32:
        bits = _fill(data, bits)
    place, buffer, count = bits
    peeked = buffer >> (count - 16) if count >= 16 else buffer << (16 - count)
    entry = np.int64(tables[table, peeked & 0xFFFF])
    length = entry >> 8
    if length == 0 or length > count:
        return (-2 if count < 16 else -1), bits
    return entry & 0xFF, (place, buffer, count - length)


@compiled
def _take(data: Bytes, bits: Bits, number: int) -> tuple[Any, Bits]:
    """The next `number` (0...16) bits; -1 where the data have ended."""
    if bits[2] < number:
        bits = _fill(data, bits)
    place, buffer, count = bits
    if count < number:
        return -1, bits
    count -= number
    return (buffer >> count) & ((1 << number) - 1), (place, buffer, count)


@compiled
def _read_dc(data: Bytes, bits: Bits, tables: Tables, table: int, previous: int, scale: int) -> tuple[Any, Any, Bits]:
    """The fault, and the quantised mean of a block."""
    size, bits = _symbol(data, bits, tables, table)
    if size < 0 or size > 11:
        return (2 if size == -2 else 1), previous, bits
    value, bits = _take(data, bits, size)
    if value < 0:
        return 2, previous, bits
    if size > 0 and value < 1 << (size - 1):
        value -= (1 << size) - 1
    value += previous
    return (4 if abs(value) * scale > _LIMIT + scale else 0), value, bits


@compiled
def _read_ac(data: Bytes, bits: Bits, tables: Tables, table: int, steps: Integers) -> tuple[Any, Bits]:
    """Read all but the first coefficient of a block of a sequential scan; the inner loop of most files."""
    k = 1
    zeros = 0
    place, buffer, count = bits
    while k <= 63:
        if count < 32:
            place, buffer, count = _fill(data, (place, buffer, count))
        peeked = (buffer >> (count - 16) if count >= 16 else buffer << (16 - count)) & 0xFFFF
        entry = np.int64(tables[table, peeked])
        run, size, length = entry >> 4 & 15, entry & 15, entry >> 8
        count -= length + size
        if count < 0 or length == 0:
            return (2 if count < 16 else 1), (place, buffer, count)
        k += run + 1
        if size == 0:
            if run == 0:
                break
            if run != 15:
                return 1, (place, buffer, count)
        elif k > 64:
            return 3, (place, buffer, count)
        elif steps[k - 1] << size > 2 * (_LIMIT + steps[k - 1]):
            return 4, (place, buffer, count)
        zeros = zeros + length + size if peeked >> max(16 - length - size, 0) == 0 else 0
        if zeros > _ZEROS:
            return 8, (place, buffer, count)
    return 0, (place, buffer, count)


@compiled
def _read_band(
    data: Bytes, bits: Bits, tables: Tables, table: int, steps: Integers, first: int, last: int, seen: Masks, block: int
) -> tuple[Any, Any, Bits]:
    """Read the coefficients `first`...`last` of a block for the first time; also the blocks of 0 that follow."""
    place = first
    while place <= last:
        symbol, bits = _symbol(data, bits, tables, table)
        if symbol < 0:
            return (2 if symbol == -2 else 1), 0, bits
        run, size = symbol >> 4, symbol & 15
        if size == 0:
            if run != 15:
                more, bits = _take(data, bits, run)
                return (2 if more < 0 else 0), (1 << run) + more - 1, bits
            place += 16
            continue
        place += run
        if place > last:
            return 3, 0, bits
        if steps[place] << size > 2 * (_LIMIT + steps[place]):
            return 4, 0, bits
        value, bits = _take(data, bits, size)
        if value < 0:
            return 2, 0, bits
        seen[block] |= np.uint64(1) << np.uint64(place)
        place += 1
    return 0, 0, bits


@compiled
def _refine_band(
    data: Bytes, bits: Bits, tables: Tables, table: int, first: int, last: int, seen: Masks, block: int, blocks: int
) -> tuple[Any, Any, Bits]:
    """Read one more bit of the coefficients `first`...`last` of a block; `blocks` that get no new ones are left."""
    place, mask = first, seen[block]
    while blocks == 0 and place <= last:
        symbol, bits = _symbol(data, bits, tables, table)
        if symbol < 0:
            return (2 if symbol == -2 else 1), 0, bits
        run, size = symbol >> 4, symbol & 15
        if size > 1:
            return 1, 0, bits
        more, bits = _take(data, bits, run if size == 0 and run < 15 else size)
        if more < 0:
            return 2, 0, bits
        if size == 0 and run < 15:
            blocks = (1 << run) + more
            break
        while place <= last:
            if mask >> np.uint64(place) & np.uint64(1):
                more, bits = _take(data, bits, 1)
                if more < 0:
                    return 2, 0, bits
            elif run == 0:
                break
            else:
                run -= 1
            place += 1
        if size == 1:
            if place > last:
                return 3, 0, bits
            seen[block] |= np.uint64(1) << np.uint64(place)
        place += 1
    if blocks > 0:
        while place <= last:
            if mask >> np.uint64(place) & np.uint64(1):
                more, bits = _take(data, bits, 1)
                if more < 0:
                    return 2, 0, bits
            place += 1
        blocks -= 1
    return 0, blocks, bits


@compiled
def _finish(data: Bytes, bits: Bits) -> tuple[Any, Bits]:
    """At the end of a scan or interval: nothing may be left before the next marker but bytes of 0 or 255."""
    bits = _fill(data, (bits[0], bits[1], bits[2] - bits[2] % 8))
    while bits[2] >= 8:
        value, bits = _take(data, bits, 8)
        if value not in (0, 0xFF):
            return 6, bits
        bits = _fill(data, bits)
    return 0, bits


@compiled
def read_scan(
    data: Bytes, start: int, tables: Tables, kind: int, layout: Integers, steps: Integers, across: int, down: int,
    restart: int, first: int, last: int, seen: Masks, stride: int,
) -> tuple[int, int]:  # fmt: skip
    """Read a scan of `across` x `down` MCUs; the fault's number, 0 where there is none, and the place behind its data.

    `layout` has for each component: blocks per MCU, tables of DC and of AC; `steps` the quantisation.
    """
    means = np.zeros(len(layout), np.int64)
    none: Any = np.int64(0)  # a literal would have numba compile what is called with it a second time
    bits = (start, none, none)
    blocks = none  # that follow without new coefficients
    for number in range(across * down):
        if restart and number and number % restart == 0:
            fault, bits = _finish(data, bits)
            place = bits[0]
            while place + 1 < len(data) and data[place + 1] == 0xFF:
                place += 1
            if fault or blocks:
                return (fault if fault else 7), place
            if place + 1 >= len(data) or data[place + 1] != 0xD0 + (number // restart - 1) % 8:
                return 5, place
            bits = (place + 2, none, none)
            means[:] = 0
        for part in range(len(layout)):
            for _ in range(layout[part, 0]):
                fault = 0
                if kind == BOTH or kind == DC:  # noqa: PLR1714, SIM109 - a tuple is slow here
                    fault, means[part], bits = _read_dc(
                        data, bits, tables, layout[part, 1], means[part], steps[part, 0]
                    )
                    if kind == BOTH and fault == 0:
                        fault, bits = _read_ac(data, bits, tables, layout[part, 2], steps[part])
                elif kind == DC_REFINED:
                    more, bits = _take(data, bits, 1)
                    fault = 2 if more < 0 else 0
                elif kind == AC and blocks:
                    blocks -= 1
                else:
                    block = number // across * stride + number % across
                    if kind == AC:
                        fault, blocks, bits = _read_band(
                            data, bits, tables, layout[part, 2], steps[part], first, last, seen, block
                        )
                    else:
                        fault, blocks, bits = _refine_band(
                            data, bits, tables, layout[part, 2], first, last, seen, block, blocks
                        )
                if fault:
                    return fault, bits[0]
    fault, bits = _finish(data, bits)
    return (7 if fault == 0 and blocks else fault), bits[0]
