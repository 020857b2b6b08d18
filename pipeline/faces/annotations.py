"""What is known of each photograph by its name: faces, split and attributes, from the files of a source."""

from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import DropReason, RejectedInputError, SourceError
from pipeline.faces import suspicious
from pipeline.faces.five_points import Face
from pipeline.faces.landmarks import Annotations, read_attributes, read_landmarks, read_partition, split_names
from pipeline.faces.row_names import Match, Matches
from pipeline.params import DETECT, AlignParams
from pipeline.suspicions import Suspicion

ROLES = {"split": "partition"}
"""What the file of a column is called, if not as the column."""

UNKNOWN = 0
"""An attribute that is neither 1 (yes) nor -1 (no)."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """The annotation files of a source; None for those that it does not have.

    `landmarks` may be `DETECT`: the stage detect finds them. They are then not read here, and none is missed.
    `classes`: the attributes are of no file of the user, but of the folders.
    """

    landmarks: Path | None
    partition: Path | None
    attributes: Path | None
    classes: bool = False


class Values(NamedTuple):
    """The annotations of one photograph; split and attributes are None where the source has no such file.

    `faces` has one entry per face: its landmarks, None where none are used, or why it cannot be used.
    """

    faces: tuple[Face | RejectedInputError | None, ...]
    split: str | None
    attributes: tuple[int, ...] | None


class PhotographAnnotations:
    """The annotations of `photographs`, by name, and which of them cannot be used for want of annotations.

    A missing row of the landmarks or, with `missing_attributes: drop`, of the attributes drops its photograph. With
    `unknown` the attributes are all 0. A missing row of the partition leaves the split unknown. A row of landmarks that
    cannot be read drops its face.

    Attributes
    ----------
    warnings
        Rows that cannot be read and cost no photograph, and wrong counts in the files' heads.
    suspicions
        What the files alone show: names that differ, eyes in the other order, the same points in many rows.
    normalised
        Landmarks are in units of the photograph's width and height.

    Raises
    ------
    SourceError
        The landmarks are needed and absent, or a file cannot be read.
    """

    def __init__(self, files: AnnotationFiles, params: AlignParams, photographs: Collection[str]) -> None:
        self._params, self._photographs, self._classes = params, photographs, files.classes
        names = {file: number for number, file in enumerate(photographs)}
        self._landmarks = self._attributes = None
        if params.rectangle == "landmarks" and files.landmarks != DETECT:
            if files.landmarks is None:
                raise SourceError(
                    "the source has no landmarks. Name a landmarks file in download.source, or detect to find them; or "
                    "set align.rectangle to centre for images without landmarks (whole, if they are square already)."
                )
            self._landmarks = read_landmarks(files.landmarks, names)
        self._partition = None if files.partition is None else read_partition(files.partition, names)
        if files.attributes is not None:
            self._attributes = read_attributes(files.attributes, names)
            self._unknown = (UNKNOWN,) * len(next(iter(self._attributes.values.values())))
        self.warnings = [warning for found in self.files for warning in found.warnings]
        if self._partition is not None:
            self.warnings += self._partition.errors.values()
        if self._attributes is not None and params.missing_attributes == "unknown":
            self.warnings += self._attributes.errors.values()
        self.matches = {
            found.path: Matches(
                photographs,
                dict.fromkeys(found.values) | dict.fromkeys(found.errors) if found.errors else found.values,
            )
            for found in self.files
        }
        self.suspicions = [found for role, file in self._roles.items() for found in self._differences(role, file)]
        if self._landmarks is not None:
            named, points_N52 = _points(photographs, self._landmarks, self.matches[self._landmarks.path])
            self.suspicions += suspicious.of_landmarks(named, points_N52, normalised=self._landmarks.normalised)
        self.normalised = self._landmarks is not None and self._landmarks.normalised

    @property
    def files(self) -> list[Annotations]:
        """The files that are used."""
        return [*self._roles.values()]

    @property
    def _roles(self) -> dict[str, Annotations[Any]]:
        """The files that are used, by the column that they fill."""
        files = {"landmarks": self._landmarks, "split": self._partition, "attributes": self._attributes}
        return {role: found for role, found in files.items() if found is not None}

    def of(self, file: str) -> Values:
        """The annotations of the photograph `file`. `RejectedInputError`: NO_LANDMARKS or NO_ATTRIBUTES."""
        faces: tuple[Face | RejectedInputError | None, ...] = (None,)
        if self._landmarks is not None:
            faces = self._faces(self._landmarks, file)
        attributes = None
        if self._attributes is not None:
            attributes = self._value(self._attributes, file)
            if attributes is None and self._params.missing_attributes == "drop":
                raise RejectedInputError(DropReason.NO_ATTRIBUTES, self._fault(self._attributes, file))
            attributes = attributes or self._unknown
        return Values(faces, None if self._partition is None else self._value(self._partition, file), attributes)

    def columns_of(self, files: Sequence[str]) -> tuple[NDArray[np.bool_], dict[str, pa.Array]]:
        """Which of some photographs have one face and nothing unusual, and the annotations of these.

        `split`, `attributes` and `landmarks` as `of` gives them; those of which the source has no file are left out.
        """
        usual_N = np.ones(len(files), np.bool_)
        places: dict[str, NDArray[np.int64]] = {}
        for role, found in self._roles.items():
            rows = [*self.matches[found.path].rows_of(files)]
            places[role] = found.values.places(rows)
            if role == "split":  # a photograph may lack a row of it
                usual_N &= np.array([row not in found.values.others for row in rows], np.bool_)
            else:
                usual_N &= places[role] >= 0
                usual_N &= np.array([row not in found.errors for row in rows], np.bool_)
        columns: dict[str, pa.Array] = {}
        for role, found in self._roles.items():
            places_N = places[role][usual_N]
            if role == "split":
                columns[role] = split_names(found.values.numbers_NK, places_N)
                continue
            numbers_NK = found.values.numbers_NK[places_N]
            with np.errstate(over="ignore"):
                flat = pa.array(numbers_NK.astype(np.float32 if role == "landmarks" else np.int8).ravel())
            columns[role] = pa.FixedSizeListArray.from_arrays(flat, max(numbers_NK.shape[1], 1))
        return usual_N, columns

    def without_photograph(self) -> Mapping[str, list[RejectedInputError]]:
        """By name, the faces of the landmarks file whose photograph does not exist: NO_PHOTOGRAPH."""
        if self._landmarks is None:
            return {}
        name, errors = self._landmarks.path.name, self._landmarks.errors
        values, rejected = self._landmarks.values, RejectedInputError
        return {
            row: [rejected(DropReason.NO_PHOTOGRAPH, f"{name} has a row {row}, the source has no such file")]
            * (len(values.get(row, ())) + (row in errors))
            for row in self.matches[self._landmarks.path].unused()
        }

    def _faces(self, landmarks: Annotations[tuple[Face, ...]], file: str) -> tuple[Face | RejectedInputError, ...]:
        found = self._value(landmarks, file) or ()
        match = self.matches[landmarks.path].get(file)
        error = None if match is None else landmarks.errors.get(match.row)
        if match is None or not (found or error):
            raise RejectedInputError(DropReason.NO_LANDMARKS, self._fault(landmarks, file))
        return found if error is None else (*found, RejectedInputError(DropReason.ABSURD_LANDMARKS, error))

    def _value(self, annotations: Annotations[Value], file: str) -> Value | None:
        match = self.matches[annotations.path].get(file)
        return None if match is None else annotations.values.get(match.row)

    def _fault(self, annotations: Annotations[Value], file: str) -> str:
        if annotations is self._attributes and self._classes:
            return f"{file} lies in no folder of a class"
        match = self.matches[annotations.path].get(file, Match(file, ""))
        return annotations.errors.get(match.row) or f"{annotations.path.name} has no row {file}"

    def _differences(self, role: str, annotations: Annotations[Value]) -> list[Suspicion]:
        """The rows whose names differ from those of their photographs, by what differs."""
        matches = self.matches[annotations.path]
        others = [(file, matches.others[file]) for file in self._photographs if file in matches.others]
        kinds = Counter(match.difference for _, match in others)
        return [
            Suspicion(
                f"rows of {ROLES.get(role, role)} matched to photographs of another name ({kind})",
                count,
                len(matches),
                [f"{file} = {match.row}" for file, match in others if match.difference == kind][:5],
                harmless=True,
            )
            for kind, count in kinds.most_common()
        ]


def _points(
    photographs: Collection[str], landmarks: Annotations[tuple[Face, ...]], matches: Matches
) -> tuple[list[str], NDArray[np.float64]]:
    """The photograph of each face, and the points of the faces (N, 5, 2)."""
    values, named, order, others = landmarks.values, list[str](), array("q"), list[Face]()
    places = values.places(matches.rows_of(photographs))
    for file, row, place in zip(photographs, matches.rows_of(photographs), places, strict=True):
        faces = (None,) if place >= 0 else values.others.get(row, ())
        for face in faces:
            named.append(file)
            order.append(place if face is None else len(values.numbers_NK) + len(others))
            others += () if face is None else (face,)
    points_N10 = values.numbers_NK.reshape(-1, 10)
    if others:
        points_N10 = np.concatenate([points_N10, others])
    return named, points_N10[np.array(order)].reshape(-1, 5, 2)
