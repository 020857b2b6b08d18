"""The user's own photographs: a folder or an archive of them, with landmarks and labels or without."""

from pathlib import Path

from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import DETECT, FOLDERS, FolderSource
from pipeline.sources import folder_index
from pipeline.sources.archive_safety import OWN_LIMITS
from pipeline.sources.listing import find_images
from pipeline.sources.local import copy_annotations, require_annotations, require_images
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource, Given

LANDMARKS, ATTRIBUTES = "landmarks.txt", "attributes.txt"


class Folder(DataSource[FolderSource]):
    """A folder or an archive of photographs, which stays where it is."""

    def locate(self, params: FolderSource) -> FolderSource:
        """See `DataSource.locate`."""
        require_images(params.images)
        return params.model_copy(update={"images": find_images(params.images)})

    def check(self, params: FolderSource, known: Published | None) -> Given:
        """See `DataSource.check`; nothing of it is published."""
        for file in (_landmarks(params), attributes := _attributes(params)):
            if file is not None:
                require_annotations(file)
        return Given(params.images, AnnotationFiles(params.landmarks, None, attributes), "sorted")

    def fill(self, params: FolderSource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`."""
        given = {LANDMARKS: _landmarks(params), ATTRIBUTES: _attributes(params)}
        for name, file in given.items():
            if file is not None:
                copy_annotations(file, folder / name)
        return Contents(
            numbering="sorted",
            landmarks=LANDMARKS if given[LANDMARKS] else None,
            attributes=ATTRIBUTES if given[ATTRIBUTES] else None,
            classes=params.attributes == FOLDERS,
            **folder_index.describe(params.images, OWN_LIMITS, folder),
        )


def _landmarks(params: FolderSource) -> Path | None:
    return None if params.landmarks == DETECT else params.landmarks


def _attributes(params: FolderSource) -> Path | None:
    return None if params.attributes == FOLDERS else params.attributes
