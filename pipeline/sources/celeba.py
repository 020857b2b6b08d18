"""CelebA as its authors publish it: the photographs in parts of a 7z, or the aligned ones in a zip; annotations."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import SourceError
from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import DETECT, PUBLISHED, AlignedCelebASource, CelebASource
from pipeline.sources import folder_index, sevenzip
from pipeline.sources.archive_safety import OWN_LIMITS
from pipeline.sources.listing import find_images
from pipeline.sources.local import copy_annotations, link_or_copy, require_annotations
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource, Given

ARCHIVE = "Img/img_celeba.7z/img_celeba.7z"
"""Without the numbers of its parts."""
ALIGNED = "Img/img_align_celeba.zip"
ANNOTATIONS = {
    "landmarks": "Anno/list_landmarks_celeba.txt",
    "partition": "Eval/list_eval_partition.txt",
    "attributes": "Anno/list_attr_celeba.txt",
}
"""Published paths by the field of the params."""
ALIGNED_LANDMARKS = "list_landmarks_align_celeba"
"""Without its suffix: Kaggle's copy is a table with commas."""


class CelebA(DataSource[CelebASource]):
    """Photographs, annotations, and the deltas of CelebA-HQ if params name them."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        **{field: ("celeba", path) for field, path in ANNOTATIONS.items()},
        "images": ("celeba", f"{ARCHIVE}.001"),
        "deltas": ("celebahq-deltas", None),
    }

    def locate(self, params: CelebASource) -> CelebASource:
        """See `DataSource.locate`."""
        return params.model_copy(update={"images": find_images(params.images, f"{Path(ARCHIVE).name}.001")})

    def check(self, params: CelebASource, known: Published | None) -> Given:
        """See `DataSource.check`."""
        _check_aligned(params)
        given = _check(params, known, ARCHIVE)
        if params.deltas is not None:
            for path in _delta_archives(self._deltas(params)):
                _check_zip(path)
        return given

    def fill(self, params: CelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        contents = _fill(params, self.params, known, folder, ARCHIVE)
        if params.deltas is not None:
            for path in _delta_archives(self._deltas(params)):
                link_or_copy(path, folder / "deltas" / path.name)
        return contents

    def _deltas(self, params: CelebASource) -> Path:
        """The folder of the archives; of fetched ones `params` name the first file."""
        assert params.deltas is not None
        return params.deltas.parent if self.params.deltas == PUBLISHED else params.deltas


class AlignedCelebA(DataSource[AlignedCelebASource]):
    """Photographs that CelebA's authors aligned and cut to 178 x 218, and annotations."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        "partition": ("celeba", ANNOTATIONS["partition"]),
        "attributes": ("celeba", ANNOTATIONS["attributes"]),
        "images": ("celeba", ALIGNED),
    }

    def locate(self, params: AlignedCelebASource) -> AlignedCelebASource:
        """See `DataSource.locate`."""
        return params.model_copy(update={"images": find_images(params.images, Path(ALIGNED).name)})

    def check(self, params: AlignedCelebASource, known: Published | None) -> Given:
        """See `DataSource.check`."""
        return _check(params, known, ALIGNED)

    def fill(self, params: AlignedCelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        return _fill(params, self.params, known, folder, ALIGNED)


def contents(images: str, annotations: set[str], photographs: int | None = None) -> Contents:
    """The description of a tree in CelebA's published layout; `annotations` holds the fields of those it has."""
    paths = {field: path for field, path in ANNOTATIONS.items() if field in annotations}
    return Contents.model_validate({"images": images, "numbering": "celeba", "photographs": photographs, **paths})


def _check_aligned(params: CelebASource) -> None:
    """Raise `SourceError` if, by their published names, landmarks are of other photographs than `images`."""
    places = (*params.images.parts[-2:], *(path.name for path in params.images.glob("img_align_celeba*")))
    aligned = any("img_align_celeba" in place for place in places)
    own = params.landmarks.name.startswith(ALIGNED_LANDMARKS)
    if own and not aligned:
        raise SourceError(
            f"{params.landmarks}: this file belongs to {Path(ALIGNED).name}: its points are of the aligned photographs "
            f"of 178 x 218 pixels. Give {Path(ANNOTATIONS['landmarks']).name} in download.source.landmarks."
        )
    if aligned and params.landmarks.name.startswith(Path(ANNOTATIONS["landmarks"]).stem):
        raise SourceError(
            f"{params.landmarks}: this file belongs to {Path(ARCHIVE).name}, the photographs in the wild, but "
            f"download.source.images names {params.images}. Give the photographs in the wild; or for the aligned ones "
            f"set download.source.kind to celeba-128, which needs no landmarks."
        )


def _check(params: CelebASource | AlignedCelebASource, known: Published | None, archive: str) -> Given:
    assert known is not None
    images = params.images
    if not images.exists():
        raise SourceError(
            f"{images}: no such file or folder. Get {Path(archive).name} of {known.dataset} from {known.home} "
            f"({known.terms.statement}) and name it (the first part, or the unpacked folder) in "
            f"download.source.images of params.yaml; or set that to published, and it is fetched."
        )
    own = known.find(images.name)
    parts = [] if own is None else [images.with_name(file.name) for file in known.parts_of(own)]
    missing = [path.name for path in parts if not path.is_file()]
    if missing:
        raise SourceError(
            f"{images.parent}: {len(missing)} of {len(parts)} parts are missing ({', '.join(missing)}). "
            f"Put them in the folder of {images.name}; they are published at {known.home}."
        )
    given = _annotations(params)
    for path in given.values():
        require_annotations(path)
    known.check([*([] if images.is_dir() else sevenzip.files_of(images)), *given.values()])
    files: dict[str, Any] = {field: getattr(params, field, None) for field in ANNOTATIONS}
    return Given(images, AnnotationFiles(**files), "celeba", known.limits or OWN_LIMITS, _photographs(images, known))


def _fill(
    params: CelebASource | AlignedCelebASource,
    stated: CelebASource | AlignedCelebASource,
    known: Published | None,
    folder: Path,
    archive: str,
) -> Contents:
    """Link what was fetched, where `stated` names no file; copy the user's annotations; describe the user's images."""
    assert known is not None
    given = _annotations(params)
    for field, path in given.items():
        bring = link_or_copy if getattr(stated, field) == PUBLISHED else copy_annotations
        bring(path, folder / ANNOTATIONS[field])
    photographs = _photographs(params.images, known)
    if stated.images != PUBLISHED:
        own = folder_index.describe(params.images, known.limits or OWN_LIMITS, folder)
        return contents(own.pop("images"), set(given), photographs).model_copy(update=own)
    target = (folder / archive).parent
    for part in sevenzip.files_of(params.images):
        link_or_copy(part, target / part.name)
    return contents((target / params.images.name).relative_to(folder).as_posix(), set(given), photographs)


def _annotations(params: CelebASource | AlignedCelebASource) -> dict[str, Path]:
    """The annotation files that `params` name, by field."""
    paths = {field: getattr(params, field, None) for field in ANNOTATIONS}
    return {field: path for field, path in paths.items() if path not in (None, DETECT)}


def _photographs(images: Path, known: Published) -> int | None:
    """How many photographs `images` must hold: known where it has a published name."""
    return None if known.find(images.name) is None else known.photographs


def _delta_archives(folder: Path) -> list[Path]:
    archives = sorted(folder.glob("deltas[0-9]*.zip"))
    if not archives:
        raise SourceError(
            f"{folder}: no deltasNNNNN.zip in this folder. Put the published archives there, or correct "
            f"download.source.deltas in params.yaml (null for none)."
        )
    return archives


def _check_zip(archive: Path) -> None:
    if not zipfile.is_zipfile(archive):
        with archive.open("rb") as file:
            start = file.read(16)
        raise SourceError(
            f"{archive}: {archive.stat().st_size} bytes that start with {start!r} are no whole zip: a web page in "
            f"its place, or an incomplete download. Fetch it again."
        )
