"""The published facts (manifests/): complete, in agreement with each other, and with what readers expect."""

from pathlib import Path
from typing import get_args

import pytest

from pipeline.params import LsunCategory
from pipeline.params.lsun import LsunScene
from pipeline.published import deltas
from pipeline.sources.fetch.mirrors import PUBLISHED, urls_of
from pipeline.sources.lsun.published import PublishedLsun
from pipeline.sources.published import Published
from stages import read_manifest

NAMES = ("celeba", "celebahq-deltas", "cifar10", "mnist", "restoration", "weights")


def read(name: str) -> Published:
    return read_manifest(Path("manifests") / f"{name}.yaml", Published)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_bears_its_own_name_and_every_file_can_be_had(name: str) -> None:
    manifest = read(name)
    assert manifest.name == name
    assert len({file.path for file in manifest.files}) == len(manifest.files)
    for file in manifest.files:
        assert urls_of(manifest, file, [PUBLISHED]), file.path
        assert file.hashes or name == "celebahq-deltas", file.path


def test_celeba_is_complete() -> None:
    manifest = read("celeba")
    parts = manifest.parts_of(manifest.at("Img/img_celeba.7z/img_celeba.7z.001"))
    assert len(parts) == 14
    assert sum(part.bytes or 0 for part in parts) == 13 * 734003200 + 649030866
    assert sum(file.bytes is None for file in manifest.files) == 1
    assert manifest.at("Img/img_align_celeba.zip").bytes == 1443490838


def test_the_deltas_are_thirty_of_unknown_size_and_hash() -> None:
    files = read("celebahq-deltas").files
    assert [file.path for file in files] == [f"deltas{n:02d}000.zip" for n in range(30)]
    assert all(file.bytes is None and not file.hashes for file in files)
    assert len({file.drive_id for file in files}) == 30


def test_the_deltas_are_checked_by_the_names_and_sizes_that_their_reader_wants() -> None:
    manifest = read("celebahq-deltas")
    assert manifest.members is not None
    assert manifest.limits is not None
    for file, first in zip(manifest.files, range(0, 30_000, deltas.PER_ARCHIVE), strict=True):
        wanted = range(first, first + deltas.PER_ARCHIVE)
        assert manifest.members.names(file.name) == [deltas.member_name(idx) for idx in wanted]
        assert {deltas.archive_name(idx) for idx in wanted} == {file.name}
    assert manifest.limits.member_bytes == deltas.TOKEN_BYTES_MAX


def test_networks_of_others_have_names_licences_sizes_and_hashes() -> None:
    files = read("restoration").files
    assert len({file.path.split("/")[0] for file in files}) == len(files) >= 8
    assert all(file.licence and file.bytes and file.sha256 for file in files)


def test_lsun_has_forty_archives() -> None:
    manifest = read_manifest(Path("manifests/lsun.yaml"), PublishedLsun)
    assert manifest.name == "lsun"
    assert set(manifest.categories) == set(get_args(LsunCategory))
    scenes = {name for name, category in manifest.categories.items() if category.validation is not None}
    assert scenes == set(get_args(LsunScene))
    archives = [
        archive
        for category in manifest.categories.values()
        for archive in (category, category.validation)
        if archive is not None
    ]
    assert len({archive.sha256 for archive in archives}) == len(archives) == 40
    for archive in archives:
        (url,) = urls_of(manifest, manifest.file(archive), [PUBLISHED])
        assert url == f"http://dl.yf.io/lsun/{archive.zip}"


def test_urls_come_in_the_order_of_the_mirrors() -> None:
    celeba, mnist = read("celeba"), read("mnist")
    landmarks = celeba.at("Anno/list_landmarks_celeba.txt")
    mine, drive = urls_of(celeba, landmarks, ["http://files.example/data/", PUBLISHED])
    assert mine == "http://files.example/data/celeba/Anno/list_landmarks_celeba.txt"
    asked = f"id={landmarks.drive_id}&export=download&confirm=t"
    assert drive == f"https://drive.usercontent.google.com/download?{asked}"
    file = mnist.files[0]
    assert urls_of(mnist, file, [PUBLISHED]) == list(file.urls)
