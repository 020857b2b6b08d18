"""CelebA as its authors publish it: the photographs in parts of a 7z, or the aligned ones in a zip; annotations."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipeline.errors import SourceError
from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import PUBLISHED, AlignedCelebASource, CelebASource
from pipeline.sources import sevenzip
from pipeline.sources.archive_safety import OWN_LIMITS
from pipeline.sources.local import link_or_copy, link_or_pack_images, require_file
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


class CelebA(DataSource[CelebASource]):
    """Photographs, annotations, and the deltas of CelebA-HQ if params name them."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        **{field: ("celeba", path) for field, path in ANNOTATIONS.items()},
        "images": ("celeba", f"{ARCHIVE}.001"),
        "deltas": ("celebahq-deltas", None),
    }

    def check(self, params: CelebASource, known: Published | None) -> Given:
        """See `DataSource.check`."""
        given = _check(params, known, ARCHIVE)
        if params.deltas is not None:
            for path in _delta_archives(self._deltas(params)):
                _check_zip(path)
        return given

    def fill(self, params: CelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        contents = _fill(params, known, folder, ARCHIVE)
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

    def check(self, params: AlignedCelebASource, known: Published | None) -> Given:
        """See `DataSource.check`."""
        return _check(params, known, ALIGNED)

    def fill(self, params: AlignedCelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        return _fill(params, known, folder, ALIGNED)


def contents(images: str, annotations: set[str], photographs: int | None = None) -> Contents:
    """The description of a tree in CelebA's published layout; `annotations` holds the fields of those it has."""
    paths = {field: path for field, path in ANNOTATIONS.items() if field in annotations}
    return Contents.model_validate({"images": images, "numbering": "celeba", "photographs": photographs, **paths})


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
        require_file(path)
    known.check([*([] if images.is_dir() else sevenzip.files_of(images)), *given.values()])
    annotations = AnnotationFiles(**{field: given.get(field) for field in ANNOTATIONS})
    return Given(images, annotations, "celeba", known.limits or OWN_LIMITS, _photographs(images, known))


def _fill(params: CelebASource | AlignedCelebASource, known: Published | None, folder: Path, archive: str) -> Contents:
    assert known is not None
    target = folder / archive
    name = link_or_pack_images(params.images, target.parent, f"{target.stem}.tar")
    given = _annotations(params)
    for field, path in given.items():
        link_or_copy(path, folder / ANNOTATIONS[field])
    place = (target.parent / name).relative_to(folder).as_posix()
    return contents(place, set(given), _photographs(params.images, known))


def _annotations(params: CelebASource | AlignedCelebASource) -> dict[str, Path]:
    """The annotation files that `params` name, by field."""
    paths = {field: getattr(params, field, None) for field in ANNOTATIONS}
    return {field: path for field, path in paths.items() if path is not None}


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
