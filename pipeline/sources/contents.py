"""What a delivered source consists of: which file of the folder holds the photographs, which the annotations."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.sources.archive_safety import OWN_LIMITS, Limits

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
    """A delivered source. Paths are relative to its folder, with `/`; None where the source has no such file.

    Attributes
    ----------
    images
        The archive of photographs: a tar, a zip, a 7z, or the first part of a multi-part 7z.
    photographs
        How many it must hold, named 000001.jpg on; None where nobody says.
    arrays
        What `images` is where it is no archive of photographs.
    landmarks, partition, attributes
        Annotations in CelebA's formats (SPEC §1).
    limits
        What `images` may unpack to before it counts as a bomb.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    images: str
    numbering: Numbering
    landmarks: str | None
    partition: str | None
    attributes: str | None
    photographs: int | None = None
    arrays: Arrays | None = None
    limits: Limits = OWN_LIMITS

    def write(self, folder: Path) -> None:
        """Leave the description in the folder it describes."""
        atomic.write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The description of a delivered folder.

        Raises
        ------
        SourceError
            The folder was not delivered, or by another version.
        """
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise SourceError(f"{path}: no such file; the source is not delivered. Run dvc repro download.") from error
        except ValidationError as error:
            raise SourceError(f"{path}: not a description of a source ({error}). Run dvc repro download.") from error
