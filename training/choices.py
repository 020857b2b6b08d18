"""What a command may be asked for, by the names that users type; importable without torch."""

from enum import StrEnum


class Which(StrEnum):
    """A generator of a network file."""

    average = "Gs"
    trained = "G"


class Snapshot(StrEnum):
    """Of a run."""

    last = "last"
    best = "best"


class Format(StrEnum):
    """Of an exported generator."""

    torchscript = "torchscript"
    onnx = "onnx"


class Source(StrEnum):
    """Of the pictures of a run."""

    sheets = "sheets"
    networks = "networks"
