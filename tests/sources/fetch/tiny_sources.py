"""Tiny archives with the names, nesting and formats of every source, and manifests for them."""

import gzip
import hashlib
import io
import random
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import packing
import small_sets

from pipeline.demo.annotations import attributes_text, landmarks_text, partition_text
from pipeline.sources.archive_safety import Limits
from pipeline.sources.lsun.published import PublishedCategory
from pipeline.sources.lsun.synthetic import make_category
from pipeline.sources.published import Members, Published, PublishedFile, Terms

DELTAS = {
    "members": Members(name="delta{:05d}.dat", count=20),
    "limits": Limits(member_bytes=10_000, total_bytes=100_000, ratio=10.0),
}
"""What the manifest of the deltas says about each archive, for smaller archives."""
TERMS = Terms(statement="research only", licence="a licence", url="https://example.org/terms")


@dataclass(frozen=True)
class DataSet:
    """A manifest and the bytes of its files."""

    published: Published
    contents: Mapping[str, bytes]

    def only(self, *paths: str) -> list[PublishedFile]:
        return [self.published.at(path) for path in paths]


def dataset(
    name: str, contents: Mapping[str, bytes], *, hashed: bool = True, drive: str | None = None, **facts: Any
) -> DataSet:
    """A data set of these files. With `drive` each is on Google Drive, too; its id is made from its path."""
    files = [
        PublishedFile(
            path=path,
            bytes=len(content) if hashed else None,
            md5=hashlib.md5(content).hexdigest() if hashed else None,
            sha1=hashlib.sha1(content).hexdigest() if hashed else None,
            drive_id=drive_id(path),
        )
        for path, content in contents.items()
    ]
    published = Published(
        name=name, dataset=name, home="https://example.org", drive=drive, terms=TERMS, files=tuple(files), **facts
    )
    return DataSet(published, contents)


def drive_id(path: str) -> str:
    return hashlib.md5(path.encode()).hexdigest()[:12]


def make_all(folder: Path) -> dict[str, DataSet]:
    """Every source."""
    randomness = random.Random(1)
    made = [
        dataset("celeba", _celeba(folder, randomness)),
        dataset(
            "celebahq-deltas",
            {f"deltas{n:02d}000.zip": _deltas(n, randomness) for n in range(3)},
            hashed=False,
            **DELTAS,
        ),
        dataset("lsun", _lsun(folder)),
        dataset("cifar10", {"cifar-10-binary.tar.gz": _cifar10(folder)}),
        dataset("mnist", _mnist(randomness)),
    ]
    return {each.published.name: each for each in made}


def _celeba(folder: Path, randomness: random.Random) -> dict[str, bytes]:
    photographs = {f"img_celeba/{n:06d}.jpg": b"\xff\xd8\xff" + randomness.randbytes(30_000) for n in range(1, 5)}
    first = packing.sevenzip_parts(folder, photographs, 50_000)
    parts = sorted(first.parent.glob("parts.7z.*"))
    names = [f"{n:06d}.jpg" for n in range(1, 200)]
    return {
        **{f"Img/img_celeba.7z/img_celeba.7z{part.suffix}": part.read_bytes() for part in parts},
        "Img/img_align_celeba.zip": _zip({f"img_align_celeba/{name}": randomness.randbytes(300) for name in names}),
        "Anno/list_landmarks_celeba.txt": landmarks_text({name: tuple(range(10)) for name in names}),
        "Anno/list_attr_celeba.txt": attributes_text({name: [1, -1] * 20 for name in names}),
        "Eval/list_eval_partition.txt": partition_text(names),
    }


def _deltas(number: int, randomness: random.Random) -> bytes:
    names = [f"delta{number:02d}{n:03d}.dat" for n in range(20)]
    return _zip({name: randomness.randbytes(2_000) for name in names}, zipfile.ZIP_STORED)


def _lsun(folder: Path) -> dict[str, bytes]:
    category = PublishedCategory(zip="scenes/tower_train_lmdb.zip", images=1, bytes=1, sha256="0" * 64)
    path = make_category(folder, "tower", category, records=4, bad_records=1, seed=1)
    return {category.zip: path.read_bytes()}


def _cifar10(folder: Path) -> bytes:
    return small_sets.cifar10(folder / "cifar-10-binary.tar.gz", small_sets.cifar_batches(4)).read_bytes()


def _mnist(randomness: random.Random) -> dict[str, bytes]:
    images, labels = randomness.randbytes(40 * 784), bytes(n % 10 for n in range(40))
    idx3, idx1 = struct.pack(">4i", 2051, 40, 28, 28) + images, struct.pack(">2i", 2049, 40) + labels
    return {
        f"{split}-{kind}-ubyte.gz": gzip.compress(content, mtime=0)
        for split in ("train", "t10k")
        for kind, content in (("images-idx3", idx3), ("labels-idx1", idx1))
    }


def _zip(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()
