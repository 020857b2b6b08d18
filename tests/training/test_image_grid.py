from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.image_grid import image_grid, progress, write_png


@given(
    columns=st.integers(1, 4), rows=st.integers(1, 3), side=st.sampled_from([4, 8]), scale=st.sampled_from([1, 2, 4])
)
def test_every_image_appears_enlarged_at_its_place(columns: int, rows: int, side: int, scale: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (columns * rows, 3, side, side), np.uint8)
    cell = side * scale
    picture = image_grid(images, columns, cell)
    assert picture.shape == (rows * cell, columns * cell, 3)
    for n, image_CHW in enumerate(images):
        top, left = n // columns * cell, n % columns * cell
        shown = picture[top : top + cell : scale, left : left + cell : scale]
        assert np.array_equal(shown, image_CHW.transpose(1, 2, 0))
        assert np.array_equal(picture[top + scale - 1 : top + cell : scale, left : left + cell : scale], shown)


def test_progress_stacks_the_first_rows_from_the_lowest_resolution(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = {r: rng.integers(0, 256, (32, 48, 3), np.uint8) for r in (8, 4)}
    for resolution, picture in pictures.items():
        write_png(tmp_path / f"{resolution}.png", picture)
    paths = {r: tmp_path / f"{r}.png" for r in (*pictures, 16, 32)}
    write_png(paths[32], rng.integers(0, 256, (64, 96, 3), np.uint8))  # of other cells; there is none of 16
    found = progress(paths, 3, 16)
    assert found is not None
    assert np.array_equal(found, np.concatenate([pictures[4][:16], pictures[8][:16]]))
    assert progress({16: paths[16]}, 3, 16) is None


def test_equal_pictures_are_equal_files(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    write_png(tmp_path / "a.png", picture)
    write_png(tmp_path / "b.png", picture)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
