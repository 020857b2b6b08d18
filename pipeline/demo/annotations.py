"""CelebA's annotation files in their published text forms: their spaces and their line ends included."""

from collections.abc import Mapping, Sequence

from pipeline.demo.person import ATTRIBUTES

LANDMARKS = "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"


def landmarks_text(rows: Mapping[str, Sequence[int]]) -> bytes:
    """`list_landmarks_celeba.txt`: count, names, then file and ten integers in columns; CRLF ends every line."""
    lines = (f"{file} {' '.join(f'{value:<4d}' for value in values).rstrip()}" for file, values in rows.items())
    return "\r\n".join([str(len(rows)), LANDMARKS, *lines, ""]).encode("ascii")


def attributes_text(rows: Mapping[str, Sequence[int]]) -> bytes:
    """`list_attr_celeba.txt`: count, names, then file and forty times -1 or 1, right-aligned; LF."""
    lines = (f"{file} {' '.join(f'{value:2d}' for value in values)}" for file, values in rows.items())
    return "\n".join([str(len(rows)), " ".join(ATTRIBUTES), *lines, ""]).encode("ascii")


def partition_text(files: Sequence[str]) -> bytes:
    """`list_eval_partition.txt`: file and split, CRLF.

    The first eight tenths of the files are 0 (train), the next 1 (validation), the last 2 (test).
    """
    lines = (f"{file} {max(10 * place // len(files) - 7, 0)}\r\n" for place, file in enumerate(files))
    return "".join(lines).encode("ascii")
