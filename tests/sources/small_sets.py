"""CIFAR-10, MNIST and CelebA's aligned photographs as their authors pack them, with a handful of images each."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-bin"


def cifar_records(count: int, seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    records_NB = random.integers(0, 256, (count, 3073)).astype(np.uint8)
    records_NB[:, 0] = random.integers(0, 10, count)
    return records_NB


def cifar_batches(per_batch: int) -> dict[str, NDArray[np.uint8]]:
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    return {name: cifar_records(per_batch, place) for place, name in enumerate(names)}


def cifar10(path: Path, batches: Mapping[str, NDArray[np.uint8] | bytes]) -> Path:
    """The tar.gz; as in the published one, the batches do not lie in their order."""
    members = {"batches.meta.txt": ("\n".join(CIFAR_CLASSES) + "\n\n").encode(), "readme.html": b"<html>"}
    members |= {name: bytes(batches[name]) for name in sorted(batches, reverse=True)}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def idx(path: Path, values: NDArray[np.uint8]) -> Path:
    content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def mnist(folder: Path, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(3)
    digits_NHW = random.integers(0, 256, (count, 28, 28)).astype(np.uint8)
    classes_N = random.integers(0, 10, count).astype(np.uint8)
    idx(folder / "train-images-idx3-ubyte.gz", digits_NHW)
    idx(folder / "train-labels-idx1-ubyte.gz", classes_N)
    return digits_NHW, classes_N


def aligned_celeba(folder: Path, count: int) -> dict[str, bytes]:
    """img_align_celeba.zip, of which the last photograph has another size; the annotation files in the same folder."""
    photographs: dict[str, bytes] = {}
    for number in range(1, count + 1):
        size = (178, 218) if number < count else (178, 219)
        y, x = np.mgrid[: size[1], : size[0]]
        image_HWC = np.stack([x + number, y, x * y // 50 + 9 * number], axis=-1).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(image_HWC).save(stream, "JPEG")
        photographs[f"{number:06d}.jpg"] = stream.getvalue()
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for name, content in photographs.items():
            archive.writestr(f"img_align_celeba/{name}", content)
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {int(name[:6]) % 3}\n" for name in photographs))
    rows = "".join(f"{name}  1 -1 {'1' if int(name[:6]) % 2 else '-1'}\n" for name in photographs)
    (folder / "list_attr_celeba.txt").write_text(f"{count}\nSmiling Male Young\n{rows}")
    return photographs
