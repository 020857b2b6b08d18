"""What is known of each photograph by its name: landmarks, split and attributes, from the files of a source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces.landmarks import Annotations, read_attributes, read_landmarks, read_partition
from pipeline.params import AlignParams

UNKNOWN = 0
"""An attribute that is neither 1 (yes) nor -1 (no)."""


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """The annotation files of a source; None for those that it does not have."""

    landmarks: Path | None
    partition: Path | None
    attributes: Path | None


class Values(NamedTuple):
    """The annotations of one photograph; each is None where the source has no such file, or it is not used."""

    landmarks: tuple[float, ...] | None
    split: str | None
    attributes: tuple[int, ...] | None


class PhotographAnnotations:
    """The annotations of all photographs, and which photographs cannot be used for want of them.

    A missing or unreadable row of the landmarks or, with `missing_attributes: drop`, of the attributes drops its
    photograph. With `unknown` the attributes are all 0. A missing row of the partition leaves the split unknown.

    Attributes
    ----------
    warnings
        Rows that cannot be read and cost no photograph, and wrong counts in the files' heads.

    Raises
    ------
    SourceError
        The landmarks are needed and absent, or a file cannot be read.
    """

    def __init__(self, files: AnnotationFiles, params: AlignParams) -> None:
        self._params = params
        self._landmarks = self._attributes = None
        if params.rectangle == "landmarks":
            if files.landmarks is None:
                raise SourceError(
                    "the source has no landmarks. Name a landmarks file in download.source, or set align.rectangle to "
                    "whole for images that are square already."
                )
            self._landmarks = read_landmarks(files.landmarks)
        self._partition = None if files.partition is None else read_partition(files.partition)
        if files.attributes is not None:
            self._attributes = read_attributes(files.attributes)
            self._unknown = (UNKNOWN,) * len(next(iter(self._attributes.values.values())))
        self.warnings = [warning for found in self.files for warning in found.warnings]
        if self._partition is not None:
            self.warnings += self._partition.errors.values()
        if self._attributes is not None and params.missing_attributes == "unknown":
            self.warnings += self._attributes.errors.values()

    @property
    def files(self) -> list[Annotations]:
        """The files that are used."""
        return [found for found in (self._landmarks, self._partition, self._attributes) if found is not None]

    def of(self, file: str) -> Values:
        """The annotations of the photograph `file`.

        `RejectedInputError`: NO_LANDMARKS, ABSURD_LANDMARKS (a row that cannot be read) or NO_ATTRIBUTES.
        """
        landmarks = attributes = None
        if self._landmarks is not None:
            landmarks = self._landmarks.values.get(file)
            if landmarks is None:
                unreadable = file in self._landmarks.errors
                reason = DropReason.ABSURD_LANDMARKS if unreadable else DropReason.NO_LANDMARKS
                raise RejectedInputError(reason, _fault(self._landmarks, file))
        if self._attributes is not None:
            attributes = self._attributes.values.get(file)
            if attributes is None and self._params.missing_attributes == "drop":
                raise RejectedInputError(DropReason.NO_ATTRIBUTES, _fault(self._attributes, file))
            attributes = attributes or self._unknown
        return Values(landmarks, None if self._partition is None else self._partition.values.get(file), attributes)

    def without_photograph(self, files: Iterable[str]) -> Mapping[str, RejectedInputError]:
        """By name, the rows of landmarks whose photograph is not among `files`: NO_PHOTOGRAPH."""
        if self._landmarks is None:
            return {}
        known, name = set(files), self._landmarks.path.name
        return {
            file: RejectedInputError(DropReason.NO_PHOTOGRAPH, f"{name} has a row {file}, the source has no such file")
            for file in (*self._landmarks.values, *self._landmarks.errors)
            if file not in known
        }


def _fault(annotations: Annotations, file: str) -> str:
    return annotations.errors.get(file) or f"{annotations.path.name} has no row {file}"
