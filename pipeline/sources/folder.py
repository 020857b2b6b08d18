"""The user's own photographs: a folder or an archive of them, with landmarks in CelebA's format or without."""

from pathlib import Path

from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import FolderSource
from pipeline.sources.local import link_or_copy, link_or_pack_images, require_file, require_images
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource, Given

LANDMARKS = "landmarks.txt"


class Folder(DataSource[FolderSource]):
    """A folder or an archive of photographs."""

    def check(self, params: FolderSource, known: Published | None) -> Given:
        """See `DataSource.check`; nothing of it is published."""
        require_images(params.images)
        if params.landmarks is not None:
            require_file(params.landmarks)
        return Given(params.images, AnnotationFiles(params.landmarks, None, None), "sorted")

    def fill(self, params: FolderSource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`."""
        images = link_or_pack_images(params.images, folder, "images.tar")
        if params.landmarks is not None:
            link_or_copy(params.landmarks, folder / LANDMARKS)
        return Contents(images=images, numbering="sorted", landmarks=LANDMARKS if params.landmarks else None)
