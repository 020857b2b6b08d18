import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.restoration.degradations import JpegArtefacts, Pixels
from pipeline.restoration.evaluation import psnr
from pipeline.restoration.patches import REGION_PIXELS, CleanImages, PatchSampler, held_out_pairs, read_clean
from tests.restoration.photographs import SMALL, jpeg, scene, write_table

DEGRADATION = JpegArtefacts(quality_min=20, quality_max=80)


def _read(table: Path, *, training: int = 9, held_out: int = 2, side: int = 60) -> tuple[list[Pixels], list[Pixels]]:
    clean = _read_all(table, training, held_out, side)
    return clean.training, clean.held_out


def _read_all(table: Path, training: int, held_out: int, side: int) -> CleanImages:
    counts = {"max_photographs": training, "held_out_photographs": held_out, "seed": 3}
    return read_clean(table, table.parents[1], SMALL.model_copy(update=counts), AS_PUBLISHED, side=side)


def test_broken_and_small_photographs_are_skipped_and_counted(small_table: Path) -> None:
    clean = _read_all(small_table, training=9, held_out=2, side=60)
    assert (len(clean.training), len(clean.held_out)) == (4, 2)
    assert clean.skipped == {"truncated image": 1, "too small": 1}


def test_held_out_photographs_are_never_trained_on_and_do_not_change_with_their_number(small_table: Path) -> None:
    training, held_out = _read(small_table)
    assert not any(np.array_equal(a, b) for a in training for b in held_out)
    fewer, same = _read(small_table, training=1)
    assert len(fewer) == 1
    assert all(np.array_equal(a, b) for a, b in zip(held_out, same, strict=True))


def test_halving_removes_the_artefacts_of_the_photograph(tmp_path: Path) -> None:
    photograph = jpeg(scene(1), quality=75)
    table = write_table(tmp_path, [photograph, photograph])
    [[region], _] = _read(table, held_out=1)
    truth = np.asarray(Image.fromarray(scene(1)).resize((110, 110), Image.Resampling.LANCZOS))
    as_published = psnr(np.asarray(Image.open(io.BytesIO(photograph))), scene(1))
    assert psnr(region, truth) > as_published + 3


def test_a_photograph_too_small_to_halve_is_used_as_it_is_and_a_large_one_in_part(tmp_path: Path) -> None:
    large = Image.fromarray(scene(2)).resize((1300, 1100))
    table = write_table(tmp_path, [jpeg(scene(1, side=90)), jpeg(np.asarray(large))])
    sizes = {image.shape for images in _read(table, held_out=1) for image in images}
    assert sizes == {(90, 90, 3), (REGION_PIXELS, REGION_PIXELS, 3)}


def test_too_few_photographs_end_the_fit(small_table: Path) -> None:
    with pytest.raises(SourceError, match=r"6 of 8 photographs can be used .* but 6 are held out"):
        _read(small_table, held_out=6)


def test_minibatches_follow_from_the_step(small_table: Path) -> None:
    training, _ = _read(small_table)
    params = SMALL.model_copy(update={"patch_pixels": 16, "minibatch": 3})
    one, two = (PatchSampler(training, DEGRADATION, params) for _ in range(2))
    for _ in range(3):
        one(5)
    expected, found = one(7), two(7)
    assert expected[0].shape == expected[1].shape == (3, 16, 16, 3)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert not np.array_equal(one(8)[1], expected[1])


def test_held_out_pairs_are_the_middle_and_do_not_change(small_table: Path) -> None:
    _, held_out = _read(small_table)
    pairs = held_out_pairs(held_out, DEGRADATION, pixels=50, seed=1)
    again = held_out_pairs(held_out, DEGRADATION, pixels=50, seed=1)
    assert [clean.shape for _, clean in pairs] == [(50, 50, 3)] * 2
    assert all(
        np.array_equal(a, b) for pair, same in zip(pairs, again, strict=True) for a, b in zip(pair, same, strict=True)
    )
