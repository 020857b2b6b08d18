"""CelebA's files as its authors publish them, laid down by hand: checked, and put where they are published."""

from pathlib import Path

from pipeline.errors import SourceError
from pipeline.params import CelebASource
from pipeline.sources import local
from pipeline.sources.contents import Contents
from pipeline.sources.published import Published

IMAGES = "Img/img_celeba.7z"
"""Folder of the archive's parts in the published tree."""
ARCHIVE = "img_celeba.7z"
LANDMARKS = "Anno/list_landmarks_celeba.txt"
ATTRIBUTES = "Anno/list_attr_celeba.txt"
PARTITION = "Eval/list_eval_partition.txt"


def deliver(source: CelebASource, published: Published, folder: Path) -> Contents:
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


def _check(images: Path, annotations: list[Path], published: Published) -> None:
    if not images.exists():
        raise SourceError(
            f"{images}: no such file or folder. Get {published.dataset} from {published.home} ({published.terms}) and "
            f"name the first part, or the unpacked folder, in download.source.images of params.yaml."
        )
    wanted = published.beside(images)
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise SourceError(
            f"{images.parent}: {len(missing)} of {len(wanted)} parts are missing ({', '.join(missing)}). "
            f"Put them beside {images.name}; they are published at {published.home}."
        )
    parts = [] if images.is_dir() else local.parts_of(images)
    published.check(path for path in [*parts, *annotations] if path.is_file())
