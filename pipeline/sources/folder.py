"""The user's own photographs: a folder or an archive of them, with landmarks in CelebA's format or without."""

from pathlib import Path

from pipeline.params import FolderSource
from pipeline.sources.local import link_or_copy, link_or_pack_images
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource

LANDMARKS = "landmarks.txt"


class Folder(DataSource[FolderSource]):
    """A folder or an archive of photographs."""

    def fill(self, params: FolderSource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`; nothing of it is published."""
        images = link_or_pack_images(params.images, folder, "images.tar")
        if params.landmarks is not None:
            link_or_copy(params.landmarks, folder / LANDMARKS)
        return Contents(images=images, numbering="sorted", landmarks=LANDMARKS if params.landmarks else None)
