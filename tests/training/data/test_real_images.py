import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import TrainingError
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training.data import real_images
from training.data.real_images import Reals
from training.runtime.signals import stop_signals

IMAGES = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), images=IMAGES, label_size=3)


@pytest.fixture(scope="module")
def reals(folder: Path) -> Reals:
    return Reals(DataSet(folder), make_run(folder, labels=True))


def which(folder: Path, resolution: int, images_NCHW: np.ndarray) -> list[int]:
    """The position in the data set of each image."""
    known = {image.tobytes(): n for n, image in enumerate(DataSet(folder).read(resolution, range(IMAGES)))}
    return [known[image.tobytes()] for image in images_NCHW]


def test_every_pass_shows_each_image_once_in_a_new_order(folder: Path, reals: Reals) -> None:
    orders = [which(folder, 8, reals.minibatch(8, epoch * IMAGES, IMAGES).images_NCHW) for epoch in range(3)]
    assert all(sorted(order) == list(range(IMAGES)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


@given(start=st.integers(0, 10 * IMAGES), count=st.integers(2, 3 * IMAGES), cut=st.integers(1, 100))
def test_what_is_shown_depends_on_the_position_only(reals: Reals, start: int, count: int, cut: int) -> None:
    cut %= count
    whole = reals.minibatch(8, start, count)
    parts = [reals.minibatch(8, start, cut or 1), reals.minibatch(8, start + (cut or 1), count - (cut or 1))]
    for name in ("images_NCHW", "mirrored_N", "labels_NL"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


@settings(max_examples=20, deadline=None)
@given(start=st.integers(0, 100), count=st.integers(1, 40), resolution=st.sampled_from([4, 8, 16]))
def test_levels_held_in_memory_and_read_from_disk_are_the_same(
    folder: Path, reals: Reals, start: int, count: int, resolution: int
) -> None:
    from_disk = Reals(DataSet(folder), make_run(folder, labels=True, ram_mib=0))
    assert np.array_equal(
        reals.minibatch(resolution, start, count).images_NCHW, from_disk.minibatch(resolution, start, count).images_NCHW
    )


def test_only_the_level_in_training_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[tuple[int, int]] = []
    read = DataSet.read
    monkeypatch.setattr(DataSet, "read", lambda self, r, rows: (reads.append((r, len(rows))), read(self, r, rows))[1])
    reals = Reals(DataSet(folder), make_run(folder))
    for position in range(0, 200, 8):
        reals.minibatch(4, position, 8)
    reals.minibatch(8, 200, 8)
    assert reads == [(4, IMAGES), (8, IMAGES)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_request_to_stop_ends_the_reading_of_a_level_and_the_step_is_finished_without_it(
    folder: Path, reals: Reals, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, pieces = reals.minibatch(16, 3, 5).images_NCHW, list[int]()
    for name in ("READ_MIB", "PIECE_MIB"):
        monkeypatch.setattr(real_images, name, 1e-3)
    store = real_images._Loading._store

    def stop_after_three(self: Any, rows: np.ndarray, images_NCHW: np.ndarray) -> None:
        store(self, rows, images_NCHW)
        pieces.append(len(rows))
        if len(pieces) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            while not requested():
                time.sleep(0.001)

    monkeypatch.setattr(real_images._Loading, "_store", stop_after_three)
    with stop_signals() as requested, Reals(DataSet(folder), make_run(folder, speed__workers=workers)) as stopped:
        for _ in range(2):
            assert np.array_equal(stopped.minibatch(16, 3, 5).images_NCHW, expected)
    assert pieces == [1, 1, 1], "of 24 images"


def test_labels_go_with_their_images(folder: Path, reals: Reals) -> None:
    shown = reals.minibatch(8, 7, 10)
    assert shown.labels_NL is not None
    expected = [position % 3 for position in which(folder, 8, shown.images_NCHW)]
    assert shown.labels_NL.argmax(axis=1).tolist() == expected
    drawn = reals.random_labels(80, 64)
    assert drawn is not None
    assert (drawn.sum(axis=1) == 1).all()
    assert (drawn.sum(axis=0) > 8).all()
    assert reals.label_size == 3


def test_mirroring_is_as_the_run_says(folder: Path) -> None:
    assert not Reals(DataSet(folder), make_run(folder, mirror=False)).minibatch(8, 0, 64).mirrored_N.any()
    assert 16 < Reals(DataSet(folder), make_run(folder, mirror=True)).minibatch(8, 0, 64).mirrored_N.sum() < 48


def test_a_data_set_that_does_not_suit_the_run_is_named(tmp_path: Path) -> None:
    plain = make_dataset(tmp_path, images=8, resolution=4)
    with pytest.raises(TrainingError, match="has no labels"):
        Reals(DataSet(plain), make_run(plain, resolution=4, labels=True))
    with pytest.raises(TrainingError, match=r"4x4, the run needs 8x8"):
        Reals(DataSet(plain), make_run(plain))


def test_the_next_level_is_read_by_other_processes_while_this_one_is_in_use(
    folder: Path, reals: Reals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small pieces, of which one is taken between two steps; a level that is not ready is waited for."""
    monkeypatch.setattr(real_images, "PIECE_MIB", 1e-3)
    monkeypatch.setattr(real_images, "PIECES_AT_ONCE", 1)
    with Reals(DataSet(folder), make_run(folder, labels=True, speed__workers=2)) as ahead:
        shown = {resolution: reals.minibatch(resolution, 3, 40).images_NCHW for resolution in (4, 8, 16)}
        monkeypatch.setattr(DataSet, "read", lambda *_: pytest.fail("read by this process"))
        for resolution, steps in ((4, 500), (8, 2), (16, 0)):
            assert np.array_equal(ahead.minibatch(resolution, 3, 40).images_NCHW, shown[resolution])
            loading = ahead._ram._next
            assert loading is None
            for _ in range(steps):
                ahead.preload(2 * resolution)
                time.sleep(0.01)
            loading = ahead._ram._next
            if resolution == 4:
                assert loading is not None
                assert not loading._pending, "all of it is there before it is needed"
        assert ahead._ram._next is None
        ahead.preload(16)
        assert ahead._ram._next is None, "it is in use"
        ahead._ram._limit_mib = 0.01
        ahead.preload(32)
        assert ahead._ram._next is None, "too large"
