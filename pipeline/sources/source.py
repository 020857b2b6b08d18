"""One data set as `params.download.source` names it, and the description of what it leaves in `data/download`."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.params import PUBLISHED
from pipeline.params.section import Section
from pipeline.sources.archive_safety import OWN_LIMITS, Limits
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.published import Published, PublishedFile

FILE = "contents.json"

Numbering = Literal["celeba", "sorted"]
"""How a photograph gets its index: NNNNNN.jpg is NNNNNN - 1, or its place among the names in sorted order."""


class Arrays(BaseModel):
    """Images that are published as arrays of numbers.

    Attributes
    ----------
    labels
        The idx file of labels where `Contents.images` is one of images (MNIST); None for CIFAR-10's tar of batches.
    draw
        How many images of three drawn digits are made, None where the images are taken as they are.
    seed
        Of the draw.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    labels: str | None
    draw: int | None
    seed: int


class Contents(BaseModel):
    """What lies where in `data/download`: paths relative to it, with `/`; None where the data set has no such file.

    Attributes
    ----------
    images
        The archive of photographs: a tar, a zip, a 7z, or the first part of a multi-part 7z.
    photographs
        How many it must hold, named 000001.jpg on; None where that is not known.
    arrays
        What `images` is where it is no archive of photographs.
    landmarks, partition, attributes
        Annotations in CelebA's formats.
    limits
        What `images` may unpack to before it counts as a bomb.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    images: str
    numbering: Numbering
    landmarks: str | None = None
    partition: str | None = None
    attributes: str | None = None
    photographs: int | None = None
    arrays: Arrays | None = None
    limits: Limits = OWN_LIMITS

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description in a folder that the stage download filled.

        Raises
        ------
        SourceError
            There is none, or it is of another version.
        """
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise SourceError(f"{path}: no such file. Run dvc repro download.") from error
        except ValidationError as error:
            raise SourceError(f"{path}: not a description of a source ({error}). Run dvc repro download.") from error


Params = TypeVar("Params", bound=Section)


class DataSource(ABC, Generic[Params]):
    """Files of one data set; `params` is the section `download.source`.

    Attributes
    ----------
    manifests
        Names of the lists of published files; the first lists `published_paths`, and what copies are checked against.
    published_paths
        The path in that list by the field of `params`, for fields that may be `published`.
    """

    manifests: ClassVar[tuple[str, ...]] = ()
    published_paths: ClassVar[Mapping[str, str]] = {}

    def __init__(self, params: Params) -> None:
        self.params = params

    def stage(self, manifests: Mapping[str, Published], downloads: Downloads, folder: Path) -> Contents:
        """Fetch what `params` call `published`, fill `folder`, and write its description there.

        Parameters
        ----------
        manifests
            By name, all of `manifests`.
        downloads
            Fetches; terms are checked before anything is fetched.
        folder
            It is emptied first, of what a killed run left.

        Raises
        ------
        TermsError, FetchError
            See `Downloads.fetch`.
        SourceError
            A file is missing, or bears a published name and is not the published file.
        """
        params = self._fetch(manifests, downloads)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        published = manifests[self.manifests[0]] if self.manifests else None
        contents = self.fill(params, published, folder)
        if published is not None and published.limits is not None:
            contents = contents.model_copy(update={"limits": published.limits})
        atomic.write_json(folder / FILE, contents.model_dump(mode="json"))
        return contents

    @abstractmethod
    def fill(self, params: Params, published: Published | None, folder: Path) -> Contents:
        """Check the files that `params` name and link or copy them into `folder`, or make them there."""

    def published_files(self, manifests: Mapping[str, Published]) -> dict[str, tuple[str, list[PublishedFile]]]:
        """The manifest and the files that are fetched for each field of `params` that is `published`."""
        files: dict[str, tuple[str, list[PublishedFile]]] = {}
        for field, path in self.published_paths.items():
            if getattr(self.params, field) == PUBLISHED:
                name = self.manifests[0]
                files[field] = name, manifests[name].parts_of(manifests[name].at(path))
        return files

    def _fetch(self, manifests: Mapping[str, Published], downloads: Downloads) -> Params:
        """`params` with the path of the first file in place of every `published`."""
        by_field = self.published_files(manifests)
        by_manifest: dict[str, list[PublishedFile]] = {}
        for name, files in by_field.values():
            by_manifest.setdefault(name, []).extend(files)
        for name, files in by_manifest.items():
            downloads.demand(manifests[name], files)
        paths: dict[PublishedFile, Path] = {}
        for name, files in by_manifest.items():
            paths |= zip(files, downloads.fetch(manifests[name], files), strict=True)
        return self.params.model_copy(update={field: paths[files[0]] for field, (_, files) in by_field.items()})
