"""A small `data/extract` of made-up photographs, and the params that run a stage on it, for tests of align and crop."""

import copy
import io
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from dask.distributed import LocalCluster
from PIL import Image

from pipeline import manifest
from pipeline.container import writing_container
from pipeline.manifest import Photograph

DEMO = Path(__file__).parents[2] / "profiles" / "demo.yaml"
LANDMARKS = "60 70 100 74 80 90 62 110 92 114"


@contextmanager
def scheduler() -> Generator[str]:
    """The address of a dask cluster of threads in this process: no second of start-up per stage."""
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster:
        yield str(cluster.scheduler_address)


def photograph(number: int, form: str = "JPEG", size: tuple[int, int] = (170, 190)) -> bytes:
    """A colourful picture of its own."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    image_HWC = np.stack([x + 3 * number, y, (x * y) // 64], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image_HWC).save(stream, form)
    return stream.getvalue()


def write_extract(photographs: Mapping[str, bytes], landmarks: str) -> None:
    """Write `data/extract` in the working directory, as the stage extract does."""
    folder = Path("data/extract")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with writing_container(folder / "extract-00000.tar", "extract/extract-00000.tar") as container:
        rows = [
            Photograph(index=index, file=file, photograph=container.add(file, content))
            for index, (file, content) in enumerate(photographs.items())
        ]
    manifest.write_rows(folder / "extract.parquet", Photograph, rows)
    (folder / "landmarks.txt").write_text(landmarks)


def choose(address: str, **sections: dict[str, Any]) -> None:
    """Write `params.yaml`: the demo's, with values of some sections replaced."""
    params = copy.deepcopy(_demo())
    params["cluster"]["scheduler"] = address
    params["align"]["max_suspicious"] = 1.0  # the photographs share their landmarks
    for name, values in sections.items():
        params[name] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


@cache
def _demo() -> dict[str, Any]:
    return yaml.safe_load(DEMO.read_text())
