"""The user's own photographs: a folder or an archive of them, with landmarks in CelebA's format or without."""

from pathlib import Path

from pipeline.params import FolderSource
from pipeline.sources import local
from pipeline.sources.contents import Contents

LANDMARKS = "landmarks.txt"


def stage_files(source: FolderSource, folder: Path) -> Contents:
    """Lay the photographs and the landmarks down in `folder`.

    Raises
    ------
    SourceError
        A file that the params name does not exist.
    """
    images = local.lay_down_images(source.images, folder, "images.tar")
    if source.landmarks is not None:
        local.lay_down(source.landmarks, folder / LANDMARKS)
    return Contents(
        images=images,
        numbering="sorted",
        landmarks=LANDMARKS if source.landmarks is not None else None,
        partition=None,
        attributes=None,
    )
