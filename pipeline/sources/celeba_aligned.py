"""CelebA's aligned photographs, laid down by hand: img_align_celeba.zip and what is known of each photograph."""

from pathlib import Path

from pipeline.errors import SourceError
from pipeline.params import AlignedCelebASource
from pipeline.sources import celeba, local
from pipeline.sources.contents import Contents
from pipeline.sources.published import Published

IMAGES = "Img"


def stage_files(source: AlignedCelebASource, published: Published, folder: Path) -> Contents:
    """Check the user's copies and lay them down in `folder` as the published tree.

    Raises
    ------
    SourceError
        A file is missing, or bears a published name and is not the published one.
    """
    annotations = {celeba.PARTITION: source.partition, celeba.ATTRIBUTES: source.attributes}
    given = {place: path for place, path in annotations.items() if path is not None}
    if not source.images.exists():
        raise SourceError(
            f"{source.images}: no such file or folder. Get img_align_celeba.zip of {published.dataset} from "
            f"{published.home} and name it in download.source.images of params.yaml; or set that to published, and it "
            f"is fetched."
        )
    published.check(path for path in (source.images, *given.values()) if path.is_file())
    images = local.lay_down_images(source.images, folder / IMAGES, "img_align_celeba.tar")
    for place, path in given.items():
        local.lay_down(path, folder / place)
    count = (
        published.photographs if source.images.is_file() and published.find(source.images.name) is not None else None
    )
    return celeba.contents(f"{IMAGES}/{images}", set(given), count)
