"""The named errors. A message says what was wanted, the value or file that was found, and the remedy."""

from enum import StrEnum


class PipelineError(Exception):
    """Base of every error that ends a run on purpose."""


class ParamsError(PipelineError):
    """`params.yaml` or a profile does not describe a run."""


class SourceError(PipelineError):
    """A published or user-supplied file is missing, incomplete, or not what it should be."""


class DecoderError(PipelineError):
    """The JPEG decoder at hand gives other pixels than the one that `params.yaml` names."""


class FetchError(PipelineError):
    """A published file can be had from none of its places; the message lists each with its cause."""


class TermsError(PipelineError):
    """A published file is wanted whose terms, or whose lack of a published hash, the user has not accepted."""


class RendererError(PipelineError):
    """The resampler at hand gives other pixels than the published recipe, or its result may not be trusted."""


class ExactMatchError(PipelineError):
    """Fewer images equal the published ones than `exact.min_match` asks for."""


class TableError(PipelineError):
    """A table of rows lacks a column, or its rows do not add up."""


class TooManyDroppedError(PipelineError):
    """More input was rejected than the stage's `max_dropped` allows."""


class ShardError(PipelineError):
    """An HDF5 shard, or a data set of shards, cannot be written or read as laid out."""


class NetworkError(PipelineError):
    """A network's weights are missing, or do not fit the network that should hold them."""


class TrainingError(PipelineError):
    """A training run cannot start, resume or go on."""


class DropReason(StrEnum):
    """Why one input went no further. The value is what tables and reports show."""

    NO_LANDMARKS = "no landmark row"
    NO_PHOTOGRAPH = "landmark row without photograph"
    NOT_AN_IMAGE = "not an image"
    TRUNCATED = "truncated image"
    UNDECODABLE = "undecodable image"
    ABSURD_LANDMARKS = "absurd landmarks"
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


class RejectedInputError(Exception):
    """One input (a photograph, a record) cannot be used; the run goes on and counts it.

    Parameters
    ----------
    reason
        The class of the fault.
    detail
        The values that show it, for whoever looks the reject up.
    """

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["RejectedInputError"], tuple[DropReason, str]]:
        return (RejectedInputError, (self.reason, self.detail))
