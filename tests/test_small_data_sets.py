"""CIFAR-10, MNIST-RGB and CelebA 128 by their profiles, from the authors' files to shards, through every stage."""

import json
import shutil
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import manifest
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.manifest import Sharded
from pipeline.shards.reader import DataSet
from stages import align, crop, denoise, download, extract, fit_denoise, fit_superres, profiles, select, shard, superres
from tests.stages.faces import scheduler

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/sources"))
import small_sets  # noqa: E402 - a helper of the tests of sources

STAGES = (
    download.download, extract.extract, align.align, crop.crop, fit_denoise.fit_denoise, denoise.denoise,
    fit_superres.fit_superres, superres.superres, select.select, shard.shard,
)  # fmt: skip


@pytest.fixture(scope="module")
def address() -> Generator[str]:
    with scheduler() as address:
        yield address


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("manifests", "profiles"):
        shutil.copytree(ROOT / folder, folder)


def build(profile: str, address: str, **source: Any) -> DataSet:
    """Run the data stages of a profile, with some values of its source replaced."""
    params = yaml.safe_load(profiles.content_of(profile))
    params["cluster"]["scheduler"] = address
    params["download"]["source"] |= source
    params["download"]["watch"] = str(Path(next(value for value in source.values() if isinstance(value, str))).parent)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for stage in STAGES:
        stage()
    return DataSet(Path("data/shard"))


def test_cifar10(address: str) -> None:
    Path("cifar10").mkdir()
    batches = small_sets.cifar_batches(5)
    small_sets.cifar10(Path("cifar10/batches.tar.gz"), batches)
    data = build("cifar10", address, archive="cifar10/batches.tar.gz")
    records_NB = np.concatenate([batches[f"data_batch_{number}.bin"] for number in range(1, 6)])[data.index]
    np.testing.assert_array_equal(data.read(32, range(25)), records_NB[:, 1:].reshape(25, 3, 32, 32))
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels, records_NB[:, :1] == np.arange(10))
    order = np.arange(25)
    np.random.RandomState(123).shuffle(order)
    assert data.index.tolist() == order.tolist()


def test_mnist_rgb(address: str) -> None:
    Path("mnist").mkdir()
    digits_NHW, classes_N = small_sets.mnist(Path("mnist"), 30)
    for path in Path("mnist").iterdir():  # of the published names only the published files are taken
        path.rename(path.with_name(f"my-{path.name}"))
    files = {key: f"mnist/my-train-{key}-idx{kind}-ubyte.gz" for key, kind in (("images", 3), ("labels", 1))}
    data = build("mnist-1k-k2", address, count=50, **files)
    drawn_N3 = np.random.RandomState(123).randint(0, 30, (50, 3))
    images_NCHW = data.read(32, range(50))
    np.testing.assert_array_equal(images_NCHW[:, :, 2:30, 2:30], digits_NHW[drawn_N3])
    assert images_NCHW.sum(dtype=int) == digits_NHW[drawn_N3].sum(dtype=int)
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels.reshape(50, 3, 10).argmax(axis=2), classes_N[drawn_N3])
    assert data.labels.sum() == 150


def test_celeba_128(address: str) -> None:
    Path("celeba").mkdir()
    photographs = small_sets.aligned_celeba(Path("celeba"), 9)
    for path in Path("celeba").iterdir():
        path.rename(path.with_name(f"my-{path.name}"))
    source = {
        "images": "img_align_celeba.zip",
        "partition": "list_eval_partition.txt",
        "attributes": "list_attr_celeba.txt",
    }
    data = build("celeba-128-a", address, **{key: f"celeba/my-{name}" for key, name in source.items()})
    order = np.arange(8)
    np.random.RandomState(123).shuffle(order)
    assert data.index.tolist() == order.tolist()
    for position, index in enumerate(order.tolist()):
        whole_HWC = decode(photographs[f"{index + 1:06d}.jpg"], AS_PUBLISHED)
        found_HWC = data.read(128, [position])[0].transpose(1, 2, 0)
        np.testing.assert_array_equal(found_HWC, whole_HWC[57:185, 25:153])
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels, [[1, 0, (index + 1) % 2] for index in order.tolist()])
    rows = manifest.read_kept(Path("data/shard/shard.parquet"), Sharded)
    assert [row.split for row in rows] == [("train", "validation", "test")[(row.index + 1) % 3] for row in rows]
    assert json.loads(Path("reports/align.json").read_text())["dropped"] == {"not the published size": 1}
