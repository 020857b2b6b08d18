"""CelebA's files as its authors publish them, laid down by hand: checked, and put where they are published."""

import zipfile
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.params import CelebASource
from pipeline.sources import local, sevenzip
from pipeline.sources.contents import Contents
from pipeline.sources.published import Published

IMAGES = "Img/img_celeba.7z"
"""Folder of the archive's parts in the published tree."""
ARCHIVE = "img_celeba.7z"
ALIGNED = "Img/img_align_celeba.zip"
LANDMARKS = "Anno/list_landmarks_celeba.txt"
ATTRIBUTES = "Anno/list_attr_celeba.txt"
PARTITION = "Eval/list_eval_partition.txt"
DELTAS = "deltas"
"""Folder of the CelebA-HQ delta archives, as they are published."""


def stage_files(source: CelebASource, published: Published, folder: Path) -> Contents:
    """Check the user's copies of CelebA's files and lay them down in `folder` as the published tree.

    A file that bears a published name must be the published file; one of another name (a sample, an
    archive of the user's own) is taken as it is.

    Raises
    ------
    SourceError
        A file is missing, incomplete or not the published one; the message names it and the remedy.
    """
    annotations = {LANDMARKS: source.landmarks, PARTITION: source.partition, ATTRIBUTES: source.attributes}
    given = {place: path for place, path in annotations.items() if path is not None}
    _check(source.images, list(given.values()), published)
    images = local.lay_down_images(source.images, folder / IMAGES, "img_celeba.tar")
    for place, path in given.items():
        local.lay_down(path, folder / place)
    if source.deltas is not None:
        _lay_down_deltas(source.deltas, folder / DELTAS)
    published_count = published.photographs if published.beside(source.images) else None
    return contents(f"{IMAGES}/{images}", set(given), published_count)


def contents(images: str, annotations: set[str], photographs: int | None = None) -> Contents:
    """The description of a tree in CelebA's published layout, with those of its annotations that are there."""
    return Contents(
        images=images,
        numbering="celeba",
        landmarks=LANDMARKS if LANDMARKS in annotations else None,
        partition=PARTITION if PARTITION in annotations else None,
        attributes=ATTRIBUTES if ATTRIBUTES in annotations else None,
        photographs=photographs,
    )


def _lay_down_deltas(given: Path, folder: Path) -> None:
    archives = sorted(given.glob("deltas[0-9]*.zip"))
    if not archives:
        raise SourceError(
            f"{given}: no deltasNNNNN.zip in this folder. Put the published archives there, or correct "
            f"download.source.deltas in params.yaml (null where none are wanted)."
        )
    for archive in archives:
        if not zipfile.is_zipfile(archive):
            with archive.open("rb") as file:
                start = file.read(16)
            raise SourceError(
                f"{archive}: {archive.stat().st_size} bytes that start with {start!r} are no whole zip; a page that "
                f"a server sent in its place, or a download that broke off. Fetch it again."
            )
        local.lay_down(archive, folder / archive.name)


def _check(images: Path, annotations: list[Path], published: Published) -> None:
    if not images.exists():
        raise SourceError(
            f"{images}: no such file or folder. Get {published.dataset} from {published.home} "
            f"({published.terms.statement}) and name the first part, or the unpacked folder, in "
            f"download.source.images of params.yaml; or set that to published, and it is fetched."
        )
    wanted = published.beside(images)
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise SourceError(
            f"{images.parent}: {len(missing)} of {len(wanted)} parts are missing ({', '.join(missing)}). "
            f"Put them beside {images.name}; they are published at {published.home}."
        )
    parts = [] if images.is_dir() else sevenzip.files_of(images)
    published.check(path for path in [*parts, *annotations] if path.is_file())
