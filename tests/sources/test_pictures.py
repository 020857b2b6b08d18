"""CIFAR-10 and MNIST from their published files: every pixel, every label, and files that are not theirs."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import small_sets
from PIL import Image

from pipeline.errors import SourceError
from pipeline.faces.landmarks import read_attributes
from pipeline.sources import cifar10, mnist
from pipeline.sources.archive_safety import Limits
from tests.outside import REAL

LIMITS = Limits(member_bytes=100_000_000, total_bytes=200_000_000, ratio=100.0)


def test_cifars_training_images_come_in_the_order_of_their_batches(tmp_path: Path) -> None:
    batches = small_sets.cifar_batches(4)
    pictures = cifar10.load(small_sets.cifar10(tmp_path / "cifar-10-binary.tar.gz", batches), LIMITS)
    records_NB = np.concatenate([batches[f"data_batch_{number}.bin"] for number in range(1, 6)])
    assert pictures.labels_NL.shape == (20, 10)
    assert pictures.label_names == small_sets.CIFAR_CLASSES
    for index, record_B in enumerate(records_NB):
        assert pictures.labels_NL[index].nonzero()[0].tolist() == [record_B[0]]
        image_HWC = pictures.image(index)
        np.testing.assert_array_equal(image_HWC[..., 0].ravel(), record_B[1:1025])
        np.testing.assert_array_equal(image_HWC[..., 2].ravel(), record_B[2049:])


def test_members_are_lossless_pngs_and_only_the_named_ones(tmp_path: Path) -> None:
    batches = small_sets.cifar_batches(3)
    pictures = cifar10.load(small_sets.cifar10(tmp_path / "cifar.tar.gz", batches), LIMITS)
    names = pictures.names()
    assert names == [f"{index:06d}.png" for index in range(15)]
    wanted = names[3:5] + names[9:11]
    members = list(pictures.read(frozenset(wanted)))
    assert [name for name, _ in members] == wanted
    for name, content in members:
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(np.asarray(image), pictures.image(int(name[:6])))


def test_labels_are_written_as_attributes(tmp_path: Path) -> None:
    digits_NHW, classes_N = small_sets.mnist(tmp_path, 12)
    del digits_NHW
    files = (tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz")
    pictures = mnist.load(*files, None, 0, LIMITS)
    pictures.write_attributes(tmp_path / "attributes.txt")
    read = read_attributes(tmp_path / "attributes.txt")
    assert read.columns == mnist.GREY_NAMES
    assert (len(read.values), read.errors, read.warnings) == (12, {}, ())
    assert [row.index(1) for row in read.values.values()] == classes_N.tolist()
    assert all(sum(row) == -8 for row in read.values.values())


def test_digits_are_grey_and_centred(tmp_path: Path) -> None:
    digits_NHW, _ = small_sets.mnist(tmp_path, 5)
    files = (tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz")
    image_HWC = mnist.load(*files, None, 0, LIMITS).image(4)
    assert image_HWC.shape == (32, 32, 3)
    for channel in range(3):
        np.testing.assert_array_equal(image_HWC[2:30, 2:30, channel], digits_NHW[4])
    assert image_HWC.sum(dtype=int) == 3 * digits_NHW[4].sum(dtype=int)


def test_three_drawn_digits_and_their_labels(tmp_path: Path) -> None:
    digits_NHW, classes_N = small_sets.mnist(tmp_path, 30)
    files = (tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz")
    pictures = mnist.load(*files, 40, 123, LIMITS)
    random = np.random.RandomState(123)
    for index in range(40):
        drawn = random.randint(30, size=3)
        np.testing.assert_array_equal(pictures.image(index)[2:30, 2:30], digits_NHW[drawn].transpose(1, 2, 0))
        expected = [place * 10 + classes_N[number] for place, number in enumerate(drawn)]
        assert pictures.labels_NL[index].nonzero()[0].tolist() == expected
    longer = mnist.load(*files, 90, 123, LIMITS)
    np.testing.assert_array_equal(longer.labels_NL[:40], pictures.labels_NL)
    other = mnist.load(*files, 40, 124, LIMITS)
    assert (other.labels_NL != pictures.labels_NL).any()


def test_a_million_names_are_in_order() -> None:
    names = mnist.Pictures(lambda _: np.zeros((32, 32, 3), np.uint8), (), np.zeros((1_000_001, 0), bool)).names()
    assert (names[0], names[-1]) == ("0000000.png", "1000000.png")


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (bytes(3072), r"data_batch_3\.bin has 3072 bytes, no multiple of an image's 3073"),
        (b"", r"data_batch_3\.bin has 0 bytes"),
        (b"\x0a" + bytes(3072), r"data_batch_3\.bin has a label 10"),
        (None, r"lacks cifar-10-batches-bin/data_batch_3\.bin.* the binary version"),
    ],
)
def test_a_tar_that_is_not_cifars_is_refused(batch: bytes | None, message: str, tmp_path: Path) -> None:
    batches: dict[str, np.ndarray | bytes] = {**small_sets.cifar_batches(2)}
    del batches["data_batch_3.bin"]
    if batch is not None:
        batches["data_batch_3.bin"] = batch
    with pytest.raises(SourceError, match=message):
        cifar10.load(small_sets.cifar10(tmp_path / "cifar.tar.gz", batches), LIMITS)


HEAD = struct.pack(">HBB3I", 0, 8, 3, 2, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file"),
        (b"<html>quota exceeded</html>", "no idx file"),
        (HEAD[:9], "no idx file"),
        (struct.pack(">HBB3I", 0, 13, 3, 2, 28, 28) + bytes(1568), "no idx file of unsigned bytes"),
        (HEAD + bytes(1567), r"1583 bytes, but its header describes an array of \(2, 28, 28\)"),
        (HEAD + bytes(1569), "Fetch it again, whole"),
        (struct.pack(">HBB3I", 0, 8, 3, 2, 14, 56) + bytes(1568), r"an array of \(2, 14, 56\), expected N"),
        (gzip.compress(HEAD + bytes(1568), mtime=0)[:-9], "damaged"),
        (gzip.compress(bytes(5_000_000), mtime=0), r"unpacks to more than the \d+ bytes.*limits\.ratio allows"),
    ],
)
def test_a_file_that_is_no_idx_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    small_sets.mnist(tmp_path, 2)
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(SourceError, match=rf"(?s)images: .*{message}|images: {message}"):
        mnist.load(tmp_path / "images", tmp_path / "train-labels-idx1-ubyte.gz", None, 0, LIMITS)


@pytest.mark.parametrize("labels", [np.zeros(3, np.uint8), np.array([1, 10], np.uint8)])
def test_labels_of_another_set_are_refused(labels: np.ndarray, tmp_path: Path) -> None:
    small_sets.mnist(tmp_path, 2)
    small_sets.idx(tmp_path / "labels", labels)
    with pytest.raises(
        SourceError, match=r"labels: an array of .* expected a label from 0 to 9 for each of the 2 images"
    ):
        mnist.load(tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "labels", None, 0, LIMITS)


@pytest.mark.vectors
def test_the_real_mnist() -> None:
    folder = REAL.needed("mnist")
    files = (folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte.gz")
    pictures = mnist.load(*files, None, 0, LIMITS)
    assert pictures.labels_NL.sum(axis=0).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    ink = np.mean([pictures.image(index).mean() for index in range(0, 60_000, 100)])
    assert 24 < ink < 27  # 33.3 of 255 over 28 x 28, spread over 32 x 32
    drawn = mnist.load(*files, 20_000, 123, LIMITS)
    modes = drawn.labels_NL.reshape(-1, 3, 10).argmax(axis=2) @ [100, 10, 1]
    assert len(set(modes.tolist())) == 1000
