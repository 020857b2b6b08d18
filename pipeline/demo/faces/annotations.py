"""CelebA's annotation files in their published text forms: their spaces and their line ends included."""

from collections.abc import Mapping, Sequence

from pipeline.demo.faces.traits import ATTRIBUTES

LANDMARK_NAMES = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)
TRAIN, VALIDATION, TEST = 0, 1, 2


def landmarks_text(rows: Mapping[str, Sequence[int]]) -> bytes:
    """`list_landmarks_celeba.txt`: count, names, then file and ten integers in columns; CRLF ends every line."""
    lines = [str(len(rows)), LANDMARK_NAMES]
    lines += [f"{file} {' '.join(f'{value:<4d}' for value in values).rstrip()}" for file, values in rows.items()]
    return _text(lines, "\r\n")


def attributes_text(rows: Mapping[str, Sequence[int]]) -> bytes:
    """`list_attr_celeba.txt`: count, names, then file and forty times -1 or 1, right-aligned; LF."""
    lines = [str(len(rows)), " ".join(ATTRIBUTES)]
    lines += [f"{file} {' '.join(f'{value:2d}' for value in values)}" for file, values in rows.items()]
    return _text(lines, "\n")


def partition_text(files: Sequence[str]) -> bytes:
    """`list_eval_partition.txt`: file and split; four fifths train, then a tenth each validation and test; CRLF."""
    count = len(files)
    splits = [
        TRAIN if 5 * place < 4 * count else VALIDATION if 10 * place < 9 * count else TEST for place in range(count)
    ]
    return _text([f"{file} {split}" for file, split in zip(files, splits, strict=True)], "\r\n")


def _text(lines: Sequence[str], end: str) -> bytes:
    return "".join(f"{line}{end}" for line in lines).encode("ascii")
