"""Builds a folder of small pictures that go wrong, and compares the result with its `expect.json`.

A case holds `images/`, annotations, and what must come out: names kept and dropped, where the eyes of a result lie, its
colours, and what has to be said.
"""

import csv
import json
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.params import FOLDERS
from pipeline.shards.reader import DataSet
from stages.build import NothingBuiltError, Request, build

NAMED_BY_OPTION = {"squares-of-500": "align.rectangle: centre"}
"""Cases that are refused rightly if the message names the option that does it."""
EYES = {"left": (0, 0, 255), "right": (0, 190, 0)}
Picture = NDArray[np.uint8]


def build_case(case: Path, out: Path, scheduler: str | None) -> tuple[dict[str, list[Picture]], str]:
    """Build a case; return the pictures (R, R, 3) by file, and everything that was printed and written about it."""
    expected = json.loads((case / "expect.json").read_text())
    source, params = expected["source"], expected["params"]

    def path(key: str) -> Path | None:
        value = source.get(key)
        return None if value is None else FOLDERS if value == "folders" else case / value

    request = Request(
        images=case / source["images"],
        out=out,
        landmarks=path("landmarks"),
        attributes=path("attributes"),
        rectangle=params["rectangle"],
        resolution=params["resolution"],
        orientation="shown",
        restore="none",
        detect={},
        cluster={"workers": 1, "scheduler": scheduler},
    )
    said = StringIO()
    try:
        with redirect_stderr(said):
            lines = [*build(request)]
    except NothingBuiltError as error:
        lines = [str(error)]
    said = "\n".join([said.getvalue(), *lines, *(path.read_text() for path in sorted(out.glob("*.csv")))])
    return pictures_of(out, params["resolution"]), said


def faults(case: Path, out: Path, pictures: dict[str, list[Picture]], said: str) -> list[str]:
    """What is not as `expect.json` says."""
    expected: dict[str, Any] = json.loads((case / "expect.json").read_text())
    if case.name in NAMED_BY_OPTION:
        return [] if NAMED_BY_OPTION[case.name] in said else [f"{NAMED_BY_OPTION[case.name]!r} is not said"]
    found: list[str] = []
    kept = Counter({name: len(shown) for name, shown in pictures.items()})
    if kept != Counter(expected["kept"]):
        found.append(f"kept {dict(kept)}, not {expected['kept']}")
    with (out / "dropped.csv").open(newline="") as file:
        drops = {Path(row["file"]).name: f"{row['reason']}: {row['detail']}" for row in csv.DictReader(file)}
    counted_apart = "left out" in expected.get("also_right", "") and "left out" in said
    for name, words in expected["dropped"].items():
        if name not in drops:
            found += [] if counted_apart else [f"{name} is not dropped"]
        elif not any(word in drops[name] for word in words.replace("(", "or ").split(" or ")):
            found.append(f"{name} is dropped as {drops[name]!r}, not {words!r}")
    for name, eyes in expected.get("eyes", {}).items():
        for picture, wanted in zip(pictures.get(name, []), eyes if isinstance(eyes, list) else [eyes], strict=False):
            places = {side: centre_of(picture, colour) for side, colour in EYES.items()}
            if any(np.abs(place - wanted[side]).max() > expected["tolerance"] for side, place in places.items()):
                found.append(f"{name}: eyes at {places}, not {wanted}")
    for name, colour in expected.get("colours", {}).items():
        for picture in pictures.get(name, []):
            middle = picture[len(picture) // 2, len(picture) // 2].astype(int)
            if np.abs(middle - colour).max() > 12:
                found.append(f"{name}: {middle} in the middle, not {colour}")
    found += [f"{words!r} is not said" for words in expected.get("say", []) if len(words) < 50 and words not in said]
    return found


def pictures_of(out: Path, resolution: int) -> dict[str, list[Picture]]:
    """The images of a data set by the bare names of their files."""
    pictures: dict[str, list[Picture]] = {}
    if (out / "dataset.h5").is_file():
        table = pq.read_table(out / "shard.parquet").to_pylist()
        kept = sorted((row for row in table if row["drop_reason"] is None), key=lambda row: row["position"])
        with DataSet(out) as data:
            images_NCHW = data.read(resolution, list(range(len(kept))))
        for row, image_CHW in zip(kept, images_NCHW, strict=True):
            pictures.setdefault(Path(row["file"]).name, []).append(image_CHW.transpose(1, 2, 0))
    return pictures


def centre_of(picture: Picture, colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """The x and y, of 1024, of the middle of a colour; far outside where there is none."""
    distance = np.abs(picture.astype(int) - colour).sum(axis=2)
    y, x = np.nonzero(distance < 90)
    if not len(x):
        return np.array([-1e4, -1e4])
    return np.array([np.median(x) + 0.5, np.median(y) + 0.5]) * 1024 / len(picture)
