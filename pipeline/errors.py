"""All errors. A message names what was expected, the value or file that was found, and what to do."""

from enum import StrEnum


class PipelineError(Exception):
    """Base class: the command line shows the message without a traceback."""


class ParamsError(PipelineError):
    """`params.yaml` or a profile is invalid."""


class SourceError(PipelineError):
    """A published or user-supplied file is missing, incomplete or wrong."""


class DecoderError(PipelineError):
    """The installed JPEG decoder does not give the pixels of the one that `params.yaml` names."""


class ImageSizeError(PipelineError):
    """An image is too large for its file format."""


class FetchError(PipelineError):
    """All mirrors of a published file failed; the message lists each with its cause."""


class TermsError(PipelineError):
    """The user has not accepted the terms of a published file, or that it has no published hash."""


class RendererError(PipelineError):
    """The exact renderer does not give the pixels of the published recipe on this machine."""


class ExactMatchError(PipelineError):
    """Fewer images than `exact.min_match` equal the published ones."""


class TableError(PipelineError):
    """A table is absent or lacks a column."""


class BusyError(PipelineError):
    """Another process does the same work in the same folder."""


class ClusterError(PipelineError):
    """The workers of a dask cluster are missing, unsuitable, or died."""


class TooManyDroppedError(PipelineError):
    """A stage dropped more of its inputs than its `max_dropped` allows."""


class SuspiciousInputError(PipelineError):
    """More inputs look wrong in one way than params allow."""


class ShardError(PipelineError):
    """An HDF5 shard or a data set of shards cannot be written or read."""


class ExportError(PipelineError):
    """A data set cannot be exported to a folder."""


class DiskFullError(PipelineError):
    """There is, or will be, no space for a result; finished parts are kept."""


class ChecksumError(PipelineError):
    """A file of digests has another form, or cannot be used."""


class NetworkError(PipelineError):
    """The weights of a network are missing or do not fit it."""


class TrainingError(PipelineError):
    """A training run cannot start, resume or continue."""


class AlarmError(TrainingError):
    """A training run diverged and was ended; its last good snapshot is kept."""


class StoppedError(PipelineError):
    """A training run was stopped by a signal. It is saved and resumes when it is started again."""


class DropReason(StrEnum):
    """Why an input was dropped; the values are written to tables and reports."""

    NO_LANDMARKS = "no landmark row"
    NO_FACE = "no face found"
    NO_ATTRIBUTES = "no attribute row"
    NO_PHOTOGRAPH = "landmark row without photograph"
    NOT_AN_IMAGE = "not an image"
    OTHER_FILE = "not an image, nor named as one"
    BROKEN_LINK = "broken link"
    LINK_LOOP = "link loop"
    ARCHIVED_LINK = "link in an archive"
    NOT_A_FILE = "not a regular file"
    UNREADABLE = "unreadable file"
    ODD_NAME = "odd name"
    TRUNCATED = "truncated image"
    UNDECODABLE = "undecodable image"
    ABSURD_LANDMARKS = "absurd landmarks"
    MIRRORED = "mirrored landmarks"
    OUTSIDE_IMAGE = "face outside the image"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    NOT_SQUARE = "not a square"
    WRONG_SIZE = "not the published size"
    WRONG_SIDE = "side is not the resolution times a power of two"
    LOW_QUALITY = "below the quality cut"
    NOT_PUBLISHED = "not in the published list"
    PROC_MISMATCH = "processed image differs from the published one"
    FINAL_MISMATCH = "final image differs from the published one"
    DELTA_MISSING = "no delta"
    DELTA_CORRUPT = "damaged delta"
    DELTA_KEY = "delta does not open with this photograph"
    DELTA_SIZE = "delta of another size"
    KILLED_WORKER = "killed the worker"


NO_INPUTS = frozenset({DropReason.NOT_PUBLISHED, DropReason.OTHER_FILE, DropReason.LINK_LOOP, DropReason.NOT_A_FILE})
"""Reasons of what was never meant to become an image; they do not count towards `max_dropped`."""


class RejectedInputError(Exception):
    """One input (a photograph, a record) cannot be used; the run continues and counts it.

    `reason` is the class of the fault, `detail` the values that show it.
    """

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["RejectedInputError"], tuple[DropReason, str]]:
        return (RejectedInputError, (self.reason, self.detail))
