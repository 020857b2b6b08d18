import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.restoration.clean_images import REGION_PIXELS, CleanImages, is_good, read_clean
from pipeline.restoration.evaluation import psnr
from tests.restoration.photographs import SMALL, jpeg, scene, write_table


def _read(photographs: Path, *, training: int = 9, held_out: int = 2, side: int = 60, **values: Any) -> CleanImages:
    values |= {"max_photographs": training, "held_out_photographs": held_out, "seed": 3}
    data = photographs.parents[1]
    return read_clean(photographs, data, SMALL.model_copy(update=values), AS_PUBLISHED, side=side)


def test_broken_and_small_photographs_are_left_out_and_counted(small_table: Path) -> None:
    clean = _read(small_table)
    assert (len(clean.training), len(clean.held_out), clean.photographs) == (4, 2, 4)
    assert clean.skipped == {"truncated image": 1, "too small": 1}


def test_held_out_photographs_are_never_trained_on_and_do_not_change_with_their_number(small_table: Path) -> None:
    clean, fewer = _read(small_table), _read(small_table, training=1)
    assert not any(np.array_equal(a, b) for a in clean.training for b in clean.held_out)
    assert len(fewer.training) == 1
    assert all(np.array_equal(a, b) for a, b in zip(clean.held_out, fewer.held_out, strict=True))


def test_a_folder_takes_the_place_of_the_table(small_table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(3):
        (tmp_path / "mine" / f"{number}.jpg").write_bytes(jpeg(scene(number)))
    (tmp_path / "mine" / "notes.txt").write_text("no photograph")
    clean = _read(tmp_path, held_out=1)
    assert (len(clean.training), len(clean.held_out)) == (2, 1)
    assert clean.skipped == {"not an image": 1}
    whole = _read(small_table, held_out=1)
    assert any(np.array_equal(clean.held_out[0], image) for image in [*whole.training, *whole.held_out])


@pytest.mark.parametrize(("quality", "good"), [(95, True), (90, True), (88, False), (40, False)])
def test_the_quantisation_table_tells_the_quality(quality: int, good: bool) -> None:
    assert is_good(jpeg(scene(1), quality)) == good
    png = io.BytesIO()
    Image.fromarray(scene(1)).save(png, "PNG")
    assert is_good(png.getvalue())


def test_halving_removes_the_artefacts_of_a_photograph(tmp_path: Path) -> None:
    photograph = jpeg(scene(1), quality=75)
    [region] = _read(write_table(tmp_path, [photograph, photograph]), held_out=1).training
    truth = np.asarray(Image.fromarray(scene(1)).resize((110, 110), Image.Resampling.LANCZOS))
    as_published = psnr(np.asarray(Image.open(io.BytesIO(photograph))), scene(1))
    assert psnr(region, truth) > as_published + 3


def test_only_photographs_of_enough_clean_pixels_are_used(tmp_path: Path) -> None:
    small, half, good = jpeg(scene(1, side=90)), jpeg(scene(2), quality=75), jpeg(scene(3), quality=95)
    table = write_table(tmp_path, [small, half, good, good])
    assert _read(table, held_out=1, min_pixels=120).skipped == {"too small": 2}
    assert _read(table, held_out=1, min_pixels=100).skipped == {"too small": 1}
    assert _read(table, held_out=1, min_pixels=60).skipped == {}


def test_a_large_photograph_gives_several_regions(tmp_path: Path) -> None:
    large = jpeg(np.asarray(Image.fromarray(scene(2)).resize((1300, 1100))), 95)
    table = write_table(tmp_path, [large, large])
    clean = _read(table, held_out=1, training=20)
    assert (len(clean.training), len(clean.held_out), clean.photographs) == (9, 1, 1)
    assert {image.shape for image in clean.training} == {(REGION_PIXELS, REGION_PIXELS, 3)}
    assert len({image.tobytes() for image in clean.training}) == 9
    assert len(_read(table, held_out=1, training=4).training) == 4


def test_regions_are_never_smaller_than_the_squares_of_patches(tmp_path: Path) -> None:
    large = jpeg(np.asarray(Image.fromarray(scene(2)).resize((700, 620))), 95)
    clean = _read(write_table(tmp_path, [large, large]), held_out=1, side=576)
    assert {image.shape for image in [*clean.training, *clean.held_out]} == {(576, 576, 3)}


def test_a_photograph_one_pixel_wide_is_too_small(tmp_path: Path) -> None:
    thin = jpeg(scene(1)[:, :1], quality=75)
    assert _read(write_table(tmp_path, [jpeg(scene(1)), thin, jpeg(scene(2))]), held_out=1).skipped == {"too small": 1}


def test_the_quantisation_table_may_have_any_number() -> None:
    grey = bytearray(jpeg(scene(1)[..., 0], quality=95))
    table, frame = grey.index(b"\xff\xdb"), grey.index(b"\xff\xc0")
    grey[table + 4] = grey[frame + 12] = 1
    assert is_good(bytes(grey))


def test_too_few_photographs_are_an_error_that_names_the_remedy(small_table: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"6 of 8 photographs can be used .*but 6 are held out.*folder of larger"):
        _read(small_table, held_out=6)
    with pytest.raises(SourceError, match=r"gone: no such folder of photographs"):
        _read(tmp_path / "gone")
