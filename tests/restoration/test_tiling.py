import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import NetworkError
from pipeline.restoration.tiling import spans

SIZES = {"length": st.integers(1, 3000), "halo": st.integers(0, 60), "room": st.integers(1, 200)}


@given(**SIZES, multiple=st.sampled_from([1, 1, 2, 7, 8, 64]))
def test_spans_cover_once_with_their_halo(length: int, halo: int, room: int, multiple: int) -> None:
    tile = 2 * halo + room + 2 * multiple - 2
    result = spans(length, tile, halo, multiple)
    assert [s.keep_start for s in result] == [0, *[s.keep_stop for s in result[:-1]]]
    assert result[-1].keep_stop == length
    assert len({s.stop - s.start for s in result}) == 1
    for span in result:
        assert 0 <= span.start <= span.keep_start < span.keep_stop <= span.stop <= length
        assert span.start % multiple == 0
        assert span.stop - span.start <= tile
        assert span.keep_start - span.start >= halo or span.start == span.keep_start == 0
        assert span.stop - span.keep_stop >= halo or span.stop == span.keep_stop == length


@given(**SIZES)
def test_no_fewer_tiles_would_do(length: int, halo: int, room: int) -> None:
    count = len(spans(length, 2 * halo + room, halo))
    assert count == 1 or (count - 1) * room + 2 * halo < length


def test_a_tile_of_nothing_but_halo_is_refused() -> None:
    assert len(spans(16, 16, 20)) == 1
    with pytest.raises(NetworkError, match="at least 41 pixels"):
        spans(41, 40, 20)
    with pytest.raises(NetworkError, match="begin at multiples of 8, so a tile needs at least 55 pixels"):
        spans(55, 54, 20, 8)
