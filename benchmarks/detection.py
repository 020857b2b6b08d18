"""How well faces and landmarks are found, and how fast: `python -m benchmarks.detection [DATA] [--yunet FILE]`.

Without DATA: on drawn photographs of the demo, whose landmarks are known. With DATA, on real ones:
`celeba/img_celeba/*.jpg` with `celeba/list_landmarks_celeba.sample.txt` (CelebA's rows of some of them), with
`celeba/list_landmarks_align_celeba.first88.csv` (landmarks of the aligned photographs, known but for a similarity,
which is fitted), and `photos/open-images/*.jpg` with `faces.csv` (boxes, and what is a statue or a drawing).

Distances are in units of the distance between the eyes, of the detected face nearest to the true one. MTCNN needs its
extra; YuNet needs its file (manifests/weights.yaml). One process, one thread. Decoding is not counted.
"""

import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.result import PeakMemory, anonymous_mib, in_new_process, save
from pipeline.demo.portrait import draw_frame, photograph
from pipeline.errors import NetworkError
from pipeline.faces.decode import AS_PUBLISHED, decode
from pipeline.faces.detection.detector import find_faces, mtcnn_folder
from pipeline.faces.detection.face import Face
from pipeline.params import DetectParams
from stages import profiles

DRAWN, FACE_PIXELS, SEED = 100, 200, 1
ROUNDS = 3
SAME = 0.5
"""The least overlap (intersection over union) with a box that counts as found; or its centre lies in the box."""

Points = NDArray[np.float64]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """A photograph with what is known of it: landmarks (5, 2) in its pixels or in those of an aligned copy, boxes."""

    name: str
    content: bytes
    landmarks: Points | None = None
    aligned: Points | None = None
    boxes: tuple[tuple[str, Points], ...] = ()


def drawn() -> list[Sample]:
    """Photographs of the demo."""
    rng = np.random.default_rng(SEED)
    items = [photograph(rng, number, *draw_frame(rng, FACE_PIXELS)) for number in range(DRAWN)]
    return [
        Sample(f"drawn {number}", item.content, np.array(item.landmarks, float).reshape(5, 2))
        for number, item in enumerate(items)
        if item.content is not None and item.landmarks is not None
    ]


def real(data: Path) -> dict[str, list[Sample]]:
    """The photographs of DATA by set."""
    celeba, images, portraits = data / "celeba", data / "photos/open-images", data / "photos/portraits"
    lines = (celeba / "list_landmarks_celeba.sample.txt").read_text().splitlines()[2:]
    published = {line.split()[0]: _points(line.split()[1:]) for line in lines}
    with (celeba / "list_landmarks_align_celeba.first88.csv").open() as file:
        aligned = {name: _points(values) for name, *values in list(csv.reader(file))[1:]}
    with (images / "faces.csv").open() as file:
        rows = list(csv.DictReader(file))
    boxes: dict[str, list[tuple[str, Points]]] = {}
    for row in rows:
        kind = "depiction" if row["IsDepiction"] == "1" else "occluded" if row["IsOccluded"] == "1" else "face"
        edges = np.array([float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")])
        boxes.setdefault(row["file"], []).append((kind, edges))
    return {
        "celeba": [
            Sample(path.name, path.read_bytes(), published.get(path.name), aligned.get(path.name))
            for path in sorted((celeba / "img_celeba").glob("*.jpg"))
        ],
        "open-images": [
            Sample(path.name, path.read_bytes(), boxes=tuple(boxes.get(path.name, ())))
            for path in sorted(images.glob("*.jpg"))
        ],
        "portraits": [Sample(path.name, path.read_bytes()) for path in sorted(portraits.glob("*.jpg"))],
    }


def measure(samples: list[Sample], params: DetectParams, weights: Path | None) -> dict[str, Any]:
    """Faces found, distances, and photographs per second."""
    pictures = [decode(sample.content, AS_PUBLISHED) for sample in samples]
    seconds = min(_seconds(pictures, params, weights) for _ in range(ROUNDS))
    faces = [find_faces(picture, params, weights) for picture in pictures]
    figures: dict[str, Any] = {
        "photographs": len(samples),
        "megapixels": round(sum(picture.size for picture in pictures) / 3e6 / len(pictures), 2),
        "with a face": sum(map(bool, faces)),
        "faces": sum(map(len, faces)),
        "photographs per second": round(len(samples) / seconds, 2),
    }
    figures |= _distances("landmarks", [*_by_landmarks(samples, faces)])
    figures |= _distances("shape", [*_by_shape(samples, faces)])
    pairs = [*zip(samples, faces, strict=True)]
    for kind in ("face", "occluded", "depiction"):
        found = [
            any(_same(face, box) for face in there) for sample, there in pairs for k, box in sample.boxes if k == kind
        ]
        if found:
            figures[f"boxes: {kind}"] = f"{sum(found)} of {len(found)}"
    return figures


def memory(content: bytes, params: DetectParams, weights: Path | None) -> float:
    """MiB that the search adds to a fresh process, the decoded photograph included."""
    before = anonymous_mib(os.getpid())
    with PeakMemory() as peak:
        find_faces(decode(content, AS_PUBLISHED), params, weights)
        time.sleep(0.05)
    return round(peak.mib - before, 1)


def _seconds(pictures: list[Picture], params: DetectParams, weights: Path | None) -> float:
    started = time.perf_counter()
    for picture in pictures:
        find_faces(picture, params, weights)
    return time.perf_counter() - started


def _by_landmarks(samples: list[Sample], faces: list[list[Face]]) -> Iterator[Points | None]:
    """The five distances of each known face; None where it was not found."""
    for sample, found in zip(samples, faces, strict=True):
        if sample.landmarks is not None:
            inside = [face for face in found if _same(face, _hull(sample.landmarks))]
            yield min((_distance(face.landmarks_52, sample.landmarks) for face in inside), key=np.sum, default=None)


def _by_shape(samples: list[Sample], faces: list[list[Face]]) -> Iterator[Points | None]:
    """As `_by_landmarks`, from landmarks that are known but for a similarity; of the face of best fit."""
    for sample, found in zip(samples, faces, strict=True):
        if sample.aligned is not None:
            fitted = [_distance(_similar(face.landmarks_52, sample.aligned), sample.aligned) for face in found]
            yield min(fitted, key=np.sum, default=None)


def _distances(name: str, of: list[Points | None]) -> dict[str, Any]:
    found = np.array([distances for distances in of if distances is not None])
    if not len(found):
        return {}
    return {
        f"{name}: found": f"{len(found)} of {len(of)}",
        f"{name}: median eyes": round(float(np.median(found[:, :2])), 4),
        f"{name}: median mouth": round(float(np.median(found[:, 3:])), 4),
        f"{name}: 90 % of eyes and mouth": round(float(np.quantile(found[:, [0, 1, 3, 4]], 0.9)), 4),
        f"{name}: largest": round(float(found[:, [0, 1, 3, 4]].max()), 4),
    }


def _points(values: Any) -> Points:
    return np.array([*map(float, values)]).reshape(5, 2)


def _distance(found: Points, true: Points) -> Points:
    return np.linalg.norm(found - true, axis=1) / np.linalg.norm(true[1] - true[0])


def _similar(points: Points, target: Points) -> Points:
    """The points moved, turned and scaled to lie nearest to the target (least squares)."""
    z, w = points @ [1, 1j], target @ [1, 1j]
    factor = np.vdot(z - z.mean(), w - w.mean()) / np.vdot(z - z.mean(), z - z.mean())
    moved = (z - z.mean()) * factor + w.mean()
    return np.stack([moved.real, moved.imag], axis=1)


def _hull(points: Points) -> Points:
    """A box around landmarks, about that of the face."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low - (high - low) / 2, high + (high - low) / 2])


def _same(face: Face, edges: Points) -> bool:
    low, high = face.box_4[:2], face.box_4[:2] + face.box_4[2:]
    centre = (low + high) / 2
    shared = np.prod(np.maximum(np.minimum(high, edges[2:]) - np.maximum(low, edges[:2]), 0))
    both = np.prod(high - low) + np.prod(edges[2:] - edges[:2]) - shared
    return bool(shared >= SAME * both or ((edges[:2] <= centre) & (centre <= edges[2:])).all())


def main(words: list[str]) -> None:
    """Measure both engines, as far as their networks are there; print and save."""
    cv2.setNumThreads(1)
    file = Path(words[words.index("--yunet") + 1]) if "--yunet" in words else None
    data = Path(words[0]) if words and words[0] != "--yunet" else None
    sets = {"drawn": drawn()} if data is None else real(data)
    engines: dict[str, Path | None] = {}
    try:
        mtcnn_folder()
        engines["mtcnn"] = None
    except NetworkError as error:
        print(f"mtcnn: not measured: {error}")
    if file is None:
        print("yunet: not measured: --yunet names no file")
    else:
        engines["yunet"] = file
    section = profiles.read_profile("folder").detect
    largest = max((sample.content for samples in sets.values() for sample in samples), key=_pixels)
    figures: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    for engine, weights in engines.items():
        params = section.model_copy(update={"engine": engine})
        for name, samples in sets.items():
            figures[f"{engine} {name}"] = found = measure(samples, params, weights)
            print(f"{engine}, {name}:", *(f"  {key}: {value}" for key, value in found.items()), sep="\n")
            ratios[f"{engine} {name} photographs per second"] = found["photographs per second"]
        mib = figures[f"{engine} memory MiB"] = in_new_process(memory, largest, params, weights)
        print(f"{engine}: {mib} MiB for a photograph of {_pixels(largest) / 1e6:.1f} megapixels")
    for name in sets if len(engines) == 2 else ():
        yunet_speed, mtcnn_speed = (ratios[f"{engine} {name} photographs per second"] for engine in ("yunet", "mtcnn"))
        ratios[f"{name} yunet by mtcnn"] = round(yunet_speed / mtcnn_speed, 2)
    save(f"detection-{'drawn' if data is None else 'real'}", figures, ratios)


def _pixels(content: bytes) -> int:
    return decode(content, AS_PUBLISHED).size // 3


if __name__ == "__main__":
    main(sys.argv[1:])
