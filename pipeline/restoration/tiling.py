"""Overlapping tiles of one size, each output pixel from exactly one of them."""

from dataclasses import dataclass
from itertools import pairwise

from pipeline.errors import NetworkError


@dataclass(frozen=True, slots=True)
class Span:
    """A tile along one side: `start`...`stop` is read, `keep_start`...`keep_stop` of the result is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def spans(length: int, tile: int, halo: int, multiple: int = 1) -> list[Span]:
    """Cover `length` pixels by tiles of one size, at most `tile`, as few and as small as possible.

    A tile begins at a multiple of `multiple`. It keeps pixels that are at least `halo` from its ends, except at the
    ends of the image. `NetworkError` if `tile` is too small for that.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    least = 2 * halo + 2 * multiple - 1
    if tile < least:
        raise NetworkError(
            f"tile_pixels is {tile}, but this network sees {halo} pixels to each side and its tiles begin at multiples "
            f"of {multiple}, so a tile needs at least {least} pixels. Raise tile_pixels in params.yaml."
        )
    steps = -(-(length - 2 * halo) // (tile - 2 * halo)) - 1
    while True:
        # as small as the halos allow, then what starts at multiples need
        smallest = -(-(length + steps * 2 * halo) // (steps + 1))
        for size in range(smallest + (length - smallest) % multiple, tile + 1, multiple):
            last = (length - size) // multiple
            starts = [i * last // steps * multiple for i in range(steps + 1)]
            if all(after - start <= size - 2 * halo for start, after in pairwise(starts)):
                cuts = [0, *[(start + size + after) // 2 for start, after in pairwise(starts)], length]
                return [Span(start, start + size, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]
        steps += 1
