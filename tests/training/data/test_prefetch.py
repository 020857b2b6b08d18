"""Prefetching: the same images in the same order, with any number of processes, and errors with their cause."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ShardError, TrainingError
from pipeline.shards.reader import DataSet
from tests.training.small import make_dataset, make_run
from training.data.real_images import Minibatch, Reals

SIZES = [(4, 8), (8, 8), (8, 4)]
"""Resolution and minibatch of three phases of a run."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("dataset"), label_size=3)


def shown(folder: Path, workers: int, samples: list[int] | None = None) -> list[Minibatch]:
    run = make_run(folder, labels=True, ram_mib=0, speed__workers=workers, speed__minibatches_ahead=3)
    taken = None if samples is None else np.array(samples)
    with Reals(DataSet(folder), run) as reals:
        found, position = list[Minibatch](), 100
        for resolution, count in SIZES:
            for _ in range(5):
                found.append(reals.minibatch(resolution, position, count, taken))
                position += count
            found.append(reals.read(resolution, 0, count))
        return found


@pytest.mark.parametrize("samples", [None, [1, 3]])
def test_any_number_of_workers_shows_the_same(folder: Path, samples: list[int] | None) -> None:
    alone = shown(folder, 0, samples)
    for workers in (2, 4):
        for ours, theirs in zip(alone, shown(folder, workers, samples), strict=True):
            for name in ("images_NCHW", "mirrored_N", "labels_NL"):
                assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_useless_prefetches_are_dropped_and_no_more_than_the_limit_is_prefetched(folder: Path) -> None:
    run = make_run(folder, ram_mib=0, speed__workers=1, speed__minibatches_ahead=3)
    with Reals(DataSet(folder), run) as reals, Reals(DataSet(folder), make_run(folder)) as plain:
        for position in (0, 8, 800, 16, 24, 24):
            found = reals.minibatch(8, position, 8)
            assert np.array_equal(found.images_NCHW, plain.minibatch(8, position, 8).images_NCHW)
            positions = [request[1] for request, _ in reals._prefetcher._pending]
            assert positions == [position + 8, position + 16, position + 24]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path)
    shard = folder / "shard-00001.h5"
    content = shard.read_bytes()
    for workers in (0, 1):
        run = make_run(folder, ram_mib=0, speed__workers=workers)
        with Reals(DataSet(folder), run) as reals:
            shard.write_bytes(bytes(len(content)))
            with pytest.raises(ShardError, match=r"shard-00001\.h5: HDF5 cannot read"):
                for position in range(0, 24, 8):
                    reals.minibatch(8, position, 8)
        shard.write_bytes(content)


def test_a_killed_worker_is_an_error_and_the_next_read_starts_new_workers(folder: Path) -> None:
    run = make_run(folder, ram_mib=0, speed__workers=1)
    with Reals(DataSet(folder), run) as reals:
        reals.minibatch(8, 0, 8)
        pool = reals._prefetcher.pool._pool
        assert pool is not None
        (worker,) = pool._processes.values()
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with pytest.raises(TrainingError, match="killed"):
            for position in range(8, 400, 8):
                reals.minibatch(8, position, 8)
        expected = DataSet(folder).read(8, reals.rows(0, 8))
        assert np.array_equal(reals.minibatch(8, 0, 8).images_NCHW, expected)
    assert reals._prefetcher.pool._pool is None
