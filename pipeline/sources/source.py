"""One data set as `params.download.source` names it, and the description of what it leaves in `data/download`."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError

from pipeline import atomic, provenance
from pipeline.errors import SourceError
from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import PUBLISHED
from pipeline.params.section import Section
from pipeline.sources.archive_safety import OWN_LIMITS, Limits
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.published import Fact, Published, PublishedFile

FILE = "contents.json"

Numbering = Literal["celeba", "sorted"]
"""How a photograph gets its index: NNNNNN.jpg is NNNNNN - 1, or its place among the names in sorted order."""


class Arrays(Fact):
    """Images that are published as arrays of numbers."""

    labels: str | None = None  # the idx file of labels (MNIST); None for CIFAR-10's tar of batches
    draw: int | None = None  # how many images of three drawn digits are made; None: the images as they are
    seed: int = 0  # of the draw


class Contents(Fact):
    """What lies where in `data/download`: paths relative to it, with `/`; None where the data set has no such file.

    The user's own images stay where they are: `images` leads out of `data/download`, or is absolute. `limits`: what an
    archive may unpack to before it counts as a bomb.
    """

    images: str  # a tar, a zip, a 7z, the first part of a multi-part 7z, or a folder
    listing: str | None = None  # the table of the files of that folder, see `folder_index`; None of an archive
    junk: int = 0  # files that systems and programs left between the user's photographs
    junk_examples: tuple[str, ...] = ()
    numbering: Numbering
    landmarks: str | None = None
    partition: str | None = None
    attributes: str | None = None
    classes: bool = False  # whether each folder directly below `images` is a class
    photographs: int | None = None  # how many it must hold, named 000001.jpg on; None where that is not known
    arrays: Arrays | None = None  # what `images` is where it is no archive of photographs
    limits: Limits = OWN_LIMITS
    files: dict[str, str] = Field(default_factory=dict)  # SHA-256 of every other file: this one stands for the folder

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description in a folder that the stage download filled."""
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise SourceError(f"{path}: no such file. Run dvc repro download.") from error
        except ValidationError as error:
            raise SourceError(f"{path}: not a description of a source ({error}). Run dvc repro download.") from error


@dataclass(frozen=True, slots=True)
class Given:
    """Photographs and their annotations, where the user or the download left them.

    `images` is a folder or an archive. `photographs`: as in `Contents`.
    """

    images: Path
    annotations: AnnotationFiles
    numbering: Numbering
    limits: Limits = OWN_LIMITS
    photographs: int | None = None


Params = TypeVar("Params", bound=Section)


class DataSource(ABC, Generic[Params]):
    """Files of one data set; `params` is the section `download.source`."""

    published: ClassVar[Mapping[str, tuple[str, str | None]]] = {}
    """By field of `params` that may be `published`: the manifest, and the path in it; None for all of its files.

    Copies are checked against the first manifest.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    @property
    def manifests(self) -> list[str]:
        """Names of the manifests that `stage` needs."""
        return list(dict.fromkeys(name for name, _ in self.published.values()))

    def stage(
        self,
        manifests: Mapping[str, Published],
        downloads: Downloads,
        folder: Path,
        preflight: Callable[[Given], None],
    ) -> Contents:
        """Fetch what `params` call `published`, check it, fill `folder`, and write its description there.

        `preflight` raises an error if annotations do not fit the photographs. What a killed run left in `folder` is
        removed first. Terms are checked before anything is fetched. Raises the errors of `Downloads.fetch`;
        `SourceError` if a file is missing, or has a published name and other content.
        """
        params = self.locate(self._fetch(manifests, downloads))
        known = manifests[self.manifests[0]] if self.manifests else None
        given = self.check(params, known)
        if given is not None:
            preflight(given)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        contents = self.fill(params, known, folder)
        if known is not None and known.limits is not None:
            contents = contents.model_copy(update={"limits": known.limits})
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        digests = {name: provenance.digest_of_file(path) for name, path in files.items()}
        contents = contents.model_copy(update={"files": digests})
        atomic.write_json(folder / FILE, contents.model_dump(mode="json"))
        return contents

    def locate(self, params: Params) -> Params:
        """`params` with the archive in place of a folder that holds no photographs but that archive."""
        return params

    def check(self, params: Params, known: Published | None) -> Given | None:
        """Check the files that `params` name; return the photographs and annotations among them, if there are any.

        `params` have paths of files in place of `published`; `known` is the first manifest.
        """

    @abstractmethod
    def fill(self, params: Params, known: Published | None, folder: Path) -> Contents:
        """Link or copy the files, which are checked, into `folder`, or make them there; arguments as `check`."""

    def _fetch(self, manifests: Mapping[str, Published], downloads: Downloads) -> Params:
        """`params` with the path of the first fetched file in place of every `published`."""
        wanted: dict[str, list[PublishedFile]] = {}
        first: dict[str, PublishedFile] = {}
        for field, (name, path) in self.published.items():
            if getattr(self.params, field) == PUBLISHED:
                manifest = manifests[name]
                files = list(manifest.files) if path is None else manifest.parts_of(manifest.at(path))
                wanted.setdefault(name, []).extend(files)
                first[field] = files[0]
        for name, files in wanted.items():
            downloads.demand(manifests[name], files)
        paths: dict[PublishedFile, Path] = {}
        for name, files in wanted.items():
            paths |= zip(files, downloads.fetch(manifests[name], files), strict=True)
        return self.params.model_copy(update={field: paths[file] for field, file in first.items()})
