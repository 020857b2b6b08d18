"""Makes a tiny CelebA with deltas, of the true shape: drawn photographs, annotations, delta archives, the image list.

    python -m tests.data.celebahq.make FOLDER

The "published" MD5s are made by running the recipe on each photograph in memory; the stages must arrive at them through
containers, tables and workers. (The golden vectors test the recipe itself.) Some inputs are then spoilt on purpose, and
`expected.json` has the expected verdict of each image.
"""

import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.demo import annotations, faults
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.params import SyntheticSource
from pipeline.published.deltas import apply_delta, archive_name, member_name, seal_delta
from pipeline.published.exact.render import render_photograph
from pipeline.published.image_list import SCHEMA, PublishedImage, md5_of
from pipeline.published.ledger import Verdict

SOURCE = SyntheticSource(
    kind="synthetic", photographs=10, bad_photographs=0, face_pixels_min=70, face_pixels_max=330, seed=5
)
NUMBERS = (7, 2, 9, 4, 1, 8, 3, 6)  # CelebA's numbers of images 0, 1, ...; 5 and 10 are in no list
SPOILT = {
    3: Verdict.UNDECODABLE,  # a byte of its delta is altered
    4: Verdict.PROC_MISMATCH,  # its photograph was saved again
    5: Verdict.FINAL_MISMATCH,  # its delta is that of another image, correctly encrypted
    6: Verdict.MISSING_INPUT,  # its photograph is not there
    7: Verdict.UNDECODABLE,  # its photograph is a text
}


@dataclass(frozen=True)
class Face:
    """A photograph as drawn, its processed image, and its delta."""

    file: str
    jpeg: bytes
    landmarks: tuple[int, ...]
    proc_CHW: np.ndarray
    delta_CHW: np.ndarray


def make(folder: Path) -> None:
    """Write `celeba/`, `deltas/`, `list/` and `expected.json` into `folder`."""
    photographs = folder / "celeba" / "img_celeba"
    photographs.mkdir(parents=True)
    (folder / "deltas").mkdir()
    faces = {number: draw(number) for number in range(1, SOURCE.photographs + 1)}
    images: list[PublishedImage] = []
    for idx, number in enumerate(NUMBERS):
        face = faces[number]
        final_CHW = apply_delta(face.proc_CHW, face.delta_CHW)
        images.append(PublishedImage(idx, number - 1, md5_of(face.proc_CHW), md5_of(final_CHW)))
    write_list(folder / "list", images, files=2)
    landmarks = {face.file: face.landmarks for face in faces.values()}
    (folder / "celeba" / "list_landmarks.txt").write_bytes(annotations.landmarks_text(landmarks))
    expected = [SPOILT.get(idx, Verdict.MATCH).value for idx in range(len(NUMBERS))]
    (folder / "expected.json").write_text(json.dumps(expected))
    spoil_and_write(folder, faces)


def write_list(folder: Path, images: Sequence[PublishedImage], files: int) -> None:
    """Write an image list as `files` tables of about equal length."""
    folder.mkdir(exist_ok=True)
    for part in np.array_split(np.arange(len(images)), files):
        chosen = [images[place] for place in part]
        columns = {
            "idx": [image.idx for image in chosen],
            "orig_idx": [image.orig_idx for image in chosen],
            "proc_md5": [bytes.fromhex(image.proc_md5) for image in chosen],
            "final_md5": [bytes.fromhex(image.final_md5) for image in chosen],
        }
        pq.write_table(pa.table(columns, schema=SCHEMA), folder / f"images-{chosen[0].idx:05d}.parquet")


def draw(number: int) -> Face:
    """The photograph of this number, its processed image, and a delta of mild noise."""
    item = faults.good(SOURCE, number)
    assert item.content is not None and item.landmarks is not None
    points_52 = np.array(item.landmarks, np.float32).reshape(5, 2)
    if number not in NUMBERS:
        blank_CHW = np.zeros((3, 1024, 1024), np.uint8)
        return Face(f"{number:06d}.jpg", item.content, item.landmarks, blank_CHW, blank_CHW)
    image_HWC = render_photograph(decode(item.content, AS_PUBLISHED), points_52, 1024).image_HWC
    coarse = np.random.default_rng(number).integers(-3, 4, (3, 64, 64)).astype(np.int8)
    delta_CHW = coarse.repeat(16, axis=1).repeat(16, axis=2).view(np.uint8)
    proc_CHW = np.ascontiguousarray(image_HWC.transpose(2, 0, 1))
    return Face(f"{number:06d}.jpg", item.content, item.landmarks, proc_CHW, delta_CHW)


def spoil_and_write(folder: Path, faces: dict[int, Face]) -> None:
    """Write photographs and delta archives, some of them spoilt."""
    tokens = {idx: seal(faces[number]) for idx, number in enumerate(NUMBERS)}
    altered = bytearray(tokens[3])
    altered[len(altered) // 2] = ord("A") if altered[len(altered) // 2] != ord("A") else ord("B")
    tokens[3] = bytes(altered)
    tokens[5] = seal(replace(faces[NUMBERS[5]], delta_CHW=faces[NUMBERS[0]].delta_CHW))
    saved_again = cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(faces[NUMBERS[4]].jpeg, np.uint8), cv2.IMREAD_COLOR))
    contents = {number: face.jpeg for number, face in faces.items()}
    contents[NUMBERS[4]] = saved_again[1].tobytes()
    contents[NUMBERS[7]] = b"<html>Quota exceeded</html>"
    del contents[NUMBERS[6]]
    for number, content in contents.items():
        (folder / "celeba" / "img_celeba" / f"{number:06d}.jpg").write_bytes(content)
    for idx, token in tokens.items():
        with zipfile.ZipFile(folder / "deltas" / archive_name(idx), "a") as archive:
            archive.writestr(member_name(idx), token)


def seal(face: Face) -> bytes:
    """The published form of a face's delta."""
    return seal_delta(face.delta_CHW, face.jpeg, face.file)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
