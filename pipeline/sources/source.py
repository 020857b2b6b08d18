"""One data set as `params.download.source` names it, and the description of what it leaves in `data/download`."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, ValidationError

from pipeline import atomic, provenance
from pipeline.errors import SourceError
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

    The annotations have CelebA's formats. `limits`: what `images` may unpack to before it counts as a bomb.
    """

    images: str  # a tar, a zip, a 7z or the first part of a multi-part 7z
    numbering: Numbering
    landmarks: str | None = None
    partition: str | None = None
    attributes: str | None = None
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

    def stage(self, manifests: Mapping[str, Published], downloads: Downloads, folder: Path) -> Contents:
        """Fetch what `params` call `published`, fill `folder`, and write its description there.

        What a killed run left in `folder` is removed first. Terms are checked before anything is fetched. Raises the
        errors of `Downloads.fetch`; `SourceError` if a file is missing, or has a published name and other content.
        """
        params = self._fetch(manifests, downloads)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        known = manifests[self.manifests[0]] if self.manifests else None
        contents = self.fill(params, known, folder)
        if known is not None and known.limits is not None:
            contents = contents.model_copy(update={"limits": known.limits})
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        digests = {name: provenance.digest_of_file(path) for name, path in files.items()}
        contents = contents.model_copy(update={"files": digests})
        atomic.write_json(folder / FILE, contents.model_dump(mode="json"))
        return contents

    @abstractmethod
    def fill(self, params: Params, known: Published | None, folder: Path) -> Contents:
        """Check the files that `params` name and link or copy them into `folder`, or make them there.

        `params` have paths of files in place of `published`; `known` is the first manifest.
        """

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
