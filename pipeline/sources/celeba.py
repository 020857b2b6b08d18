"""CelebA as its authors publish it: the photographs in parts of a 7z, or the aligned ones in a zip; annotations."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pipeline.errors import SourceError
from pipeline.params import PUBLISHED, AlignedCelebASource, CelebASource
from pipeline.sources import sevenzip
from pipeline.sources.local import link_or_copy, link_or_pack_images
from pipeline.sources.published import Published
from pipeline.sources.source import Contents, DataSource

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

    def fill(self, params: CelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        contents = _fill(params, known, folder, ARCHIVE)
        if params.deltas is not None:
            fetched = self.params.deltas == PUBLISHED
            _link_deltas(params.deltas.parent if fetched else params.deltas, folder / "deltas")
        return contents


class AlignedCelebA(DataSource[AlignedCelebASource]):
    """Photographs that CelebA's authors aligned and cut to 178 x 218, and annotations."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        "partition": ("celeba", ANNOTATIONS["partition"]),
        "attributes": ("celeba", ANNOTATIONS["attributes"]),
        "images": ("celeba", ALIGNED),
    }

    def fill(self, params: AlignedCelebASource, known: Published | None, folder: Path) -> Contents:
        """See `DataSource.fill`. The result is the published tree."""
        return _fill(params, known, folder, ALIGNED)


def contents(images: str, annotations: set[str], photographs: int | None = None) -> Contents:
    """The description of a tree in CelebA's published layout; `annotations` holds the fields of those it has."""
    paths = {field: path for field, path in ANNOTATIONS.items() if field in annotations}
    return Contents.model_validate({"images": images, "numbering": "celeba", "photographs": photographs, **paths})


def _fill(params: CelebASource | AlignedCelebASource, known: Published | None, folder: Path, archive: str) -> Contents:
    assert known is not None
    images, target = params.images, folder / archive
    fields = {field: getattr(params, field, None) for field in ANNOTATIONS}
    given: dict[str, Path] = {field: path for field, path in fields.items() if path is not None}
    if not images.exists():
        raise SourceError(
            f"{images}: no such file or folder. Get {target.name} of {known.dataset} from {known.home} "
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
    known.check([*([] if images.is_dir() else sevenzip.files_of(images)), *given.values()])
    name = link_or_pack_images(images, target.parent, f"{target.stem}.tar")
    for field, path in given.items():
        link_or_copy(path, folder / ANNOTATIONS[field])
    place = (target.parent / name).relative_to(folder).as_posix()
    return contents(place, set(given), known.photographs if own is not None else None)


def _link_deltas(given: Path, folder: Path) -> None:
    archives = sorted(given.glob("deltas[0-9]*.zip"))
    if not archives:
        raise SourceError(
            f"{given}: no deltasNNNNN.zip in this folder. Put the published archives there, or correct "
            f"download.source.deltas in params.yaml (null for none)."
        )
    for archive in archives:
        if not zipfile.is_zipfile(archive):
            with archive.open("rb") as file:
                start = file.read(16)
            raise SourceError(
                f"{archive}: {archive.stat().st_size} bytes that start with {start!r} are no whole zip: a web page in "
                f"its place, or an incomplete download. Fetch it again."
            )
        link_or_copy(archive, folder / archive.name)
