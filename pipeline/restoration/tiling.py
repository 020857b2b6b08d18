"""Overlapping tiles of one size, each output pixel from exactly one of them."""

from dataclasses import astuple, dataclass
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

    Starts, stops and `length` are multiples of `multiple`. A tile keeps pixels that are at least `halo` from its ends,
    except at the ends of the image. `NetworkError` if `tile` is too small for that.
    """
    if multiple > 1:
        cells = spans(length // multiple, tile // multiple, -(-halo // multiple))
        return [Span(*(multiple * place for place in astuple(span))) for span in cells]
    if length <= tile:
        return [Span(0, length, 0, length)]
    if tile <= 2 * halo:
        raise NetworkError(
            f"tile_pixels is {tile}, but this network sees {halo} pixels to each side, so a tile needs more than "
            f"{2 * halo} pixels to keep any. Raise tile_pixels in params.yaml."
        )
    count = -(-(length - 2 * halo) // (tile - 2 * halo))
    size = -(-(length + (count - 1) * 2 * halo) // count)
    starts = [i * (length - size) // (count - 1) for i in range(count)]
    cuts = [0, *[(start + size + after) // 2 for start, after in pairwise(starts)], length]
    return [Span(start, start + size, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]
