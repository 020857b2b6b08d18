"""What every stage makes of a tiny fixed input, in figures that are the same on every machine.

    python -m tests.stages.recipe_results

renews tests/golden/recipes.json. The input, tests/golden/recipes/, is six drawn photographs with their landmarks.

Each stage has a digest of the rows, pixels and labels that it publishes, not of its files: versions of zlib, HDF5 and
Arrow may write the same content in other bytes. Results of networks depend on the processor in their last bits. They
are kept as numbers, which the test compares with a tolerance.
"""

import csv
import hashlib
import json
import shutil
import tempfile
from contextlib import chdir
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image
from safetensors.numpy import load_file

from pipeline import checksums
from pipeline.container import read_stored
from pipeline.faces.detection.detector import MTCNN_PACKAGE
from pipeline.faces.png import decode_png
from pipeline.manifest import Stored
from stages import RECIPES, RECORD, recipe_of
from stages.align import align
from stages.crop import crop
from stages.denoise import denoise
from stages.detect import detect
from stages.download import download
from stages.evaluate import evaluate
from stages.extract import extract
from stages.fit_denoise import fit_denoise
from stages.fit_superres import fit_superres
from stages.lsun import lsun
from stages.report import METRICS, report
from stages.select import select
from stages.shard import shard
from stages.superres import superres
from stages.train import train
from tests.stages.faces import DEMO, scheduler

ROOT = Path(__file__).parents[2]
INPUT = ROOT / "tests/golden/recipes"
GOLDEN = ROOT / "tests/golden/recipes.json"
STAGES: list[str] = list(yaml.safe_load(RECIPES.read_text(encoding="utf-8")))
STORAGE = {"container", "offset", "size", "md5"}

NO_NETWORK = {"network": {"kind": "none"}}
FIT = {"channels": 8, "blocks": 1, "steps": 4, "held_out_photographs": 2, "patch_pixels": 16, "min_pixels": 1}


def results() -> dict[str, dict[str, Any]]:
    """Run all stages in a temporary folder: by stage its recipe, and `digest` or `numbers` of what it publishes."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), scheduler() as address:
        Path("manifests").symlink_to(ROOT / "manifests")
        shutil.copytree(INPUT, "input")
        _write_database(Path("input/lsun/cat/data.mdb").parent)
        _write_sharp(Path("input/sharp"))
        _write_params(address)
        for stage in (
            download,
            extract,
            detect,
            align,
            crop,
            fit_denoise,
            denoise,
            fit_superres,
            superres,
            select,
            shard,
        ):
            stage()
        _write_params(None)  # an LMDB cannot be opened twice in one process, so dask's workers must be processes
        lsun("cat")
        found: dict[str, dict[str, Any]] = {
            "download": {"digest": _digest_of_files(Path("data/download"))},
            "extract": {"digest": _digest([_rows("extract"), _digest_of_files(Path("data/extract"), "*.t[ax][rt]")])},
            "detect": {"digest": _digest(_rows("detect"))},
            "align": {"digest": _digest(_rows("align"))},
            "crop": {"digest": _digest(_rows("crop"))},
            "superres": {"digest": _digest(_rows("superres"))},
            "select": {"digest": _digest(_rows("select"))},
            "shard": {"digest": _digest([_rows("shard"), _images(Path("data/shard"))])},
            "lsun": {"digest": _digest(_images(Path("data/lsun/cat")))},
        }
        train("demo")
        evaluate("demo")
        report()
        found["report"] = _headlines()
        swd = [value for name, value in _report("evaluate/demo").items() if name.startswith("swd")]
        found["train"] = {"numbers": _weights(Path("runs/demo"))}
        found["evaluate"] = {"numbers": swd}
        _write_params(address, networks=True)
        for stage in (fit_denoise, denoise, fit_superres, superres):
            stage()
        if find_spec(MTCNN_PACKAGE):
            detect()
            found["detect"]["numbers"] = _faces()
        found["fit_denoise"] = {"numbers": _history("fit_denoise")}
        found["fit_superres"] = {"numbers": _history("fit_superres")}
        found["denoise"] = {"numbers": [float(pixels.mean()) for pixels in _crops("denoise")]}
        found["superres"]["numbers"] = [
            row["quality"] for row in pq.read_table("data/superres/superres.parquet").to_pylist()
        ]
    return {stage: {"recipe": recipe_of(stage), **found[stage]} for stage in STAGES}


def _write_params(address: str | None, *, networks: bool = False) -> None:
    """Write `params.yaml`; with `networks` landmarks are detected and images restored."""
    params = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    params["cluster"] |= {"scheduler": address, "workers": 1}
    folder = {"kind": "folder", "images": "input/photographs", "landmarks": "input/landmarks.txt", "attributes": None}
    params["download"] = {"watch": "input", "source": folder}
    if networks:
        folder["landmarks"] = "detect"
    params["align"]["resolution"] = 128
    params["align"]["min_side_pixels"] = 16
    params["select"]["keep"] = 4
    params["shard"]["images_per_shard"] = 3
    for fit, method in (("fit_denoise", "denoise"), ("fit_superres", "superres")):
        if networks:
            params[fit]["network"] |= FIT
        else:
            params[fit] |= NO_NETWORK
            params[method]["method"] = "none" if method == "denoise" else "lanczos"
    params["fit_superres"]["photographs"] = "input/sharp"
    params["superres"]["renderer"] = "exact"
    params["lsun"] |= {"categories": ["cat"], "source": {"kind": "local", "directory": "input/lsun"}, "resolution": 64}
    run = params["train"]["runs"]["demo"]
    run |= {"resolution": 8, "snapshot_ticks": 1, "snapshot_swd": None, "grid_columns": 2, "grid_rows": 2}
    run["networks"] |= {"fmap_base": 32, "fmap_max": 16, "latent_size": 16}
    run["schedule"] |= {"minibatch": 4, "train_kimg": 0.01, "fade_kimg": 0.01, "tick_kimg": 0.01, "total_kimg": 0.04}
    params["evaluate"] |= {"swd_images": 8, "swd_patches_per_image": 8, "swd_directions": 8, "msssim_pairs": 4}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def _write_sharp(folder: Path) -> None:
    """The photographs as PNG: as JPEGs they would be halved, and then be too small for the x4 network."""
    folder.mkdir()
    for path in sorted((INPUT / "photographs").iterdir()):
        Image.open(path).save(folder / f"{path.stem}.png")


def _write_database(folder: Path) -> None:
    """The photographs as an LSUN category."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**20) as environment, environment.begin(write=True) as transaction:
        for path in sorted((INPUT / "photographs").iterdir()):
            transaction.put(hashlib.sha1(path.name.encode()).hexdigest().encode(), path.read_bytes())


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digest_of_files(folder: Path, pattern: str = "*") -> str:
    files = sorted(
        path for path in folder.rglob(pattern) if path.is_file() and path.name not in (RECORD, checksums.FILE)
    )
    return _digest({str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})


def _rows(stage: str) -> Any:
    """The rows of a stage's table, without places in containers, floats with six digits."""
    return _plain(pq.read_table(f"data/{stage}/{stage}.parquet").to_pylist())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in STORAGE}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return f"{value:.6g}" if isinstance(value, float) else value


def _crops(stage: str) -> list[np.ndarray]:
    places = pq.read_table(f"data/{stage}/{stage}.parquet")["pixels"].drop_null().to_pylist()
    return [decode_png(read_stored(Path("data"), Stored(**place))) for place in places]


def _faces() -> list[float]:
    rows = pq.read_table("data/detect/detect.parquet", columns=["score", "box", "landmarks"]).to_pylist()
    return [value for row in rows if row["score"] for value in (row["score"], *row["box"], *row["landmarks"])]


def _images(folder: Path) -> dict[str, str]:
    """Digests of all levels and labels of a data set of shards."""
    with h5py.File(folder / "dataset.h5") as file:
        levels = {name: level[:] for name, level in file.items() if isinstance(level, h5py.Dataset)}
    return {name: hashlib.sha256(pixels.tobytes()).hexdigest() for name, pixels in levels.items()}


def _report(name: str) -> dict[str, Any]:
    return json.loads(Path(f"reports/{name}.json").read_text(encoding="utf-8"))


def _headlines() -> dict[str, Any]:
    """What `dvc metrics show` prints; the page itself has parts that matplotlib draws."""
    files = sorted(METRICS.rglob("*.json"))
    values = {str(path): json.loads(path.read_text(encoding="utf-8")) for path in files}
    return {
        "digest": _digest({path: sorted(of) for path, of in values.items()}),
        "numbers": [float(value) for path in values for _, value in sorted(values[path].items())],
    }


def _history(stage: str) -> list[float]:
    with Path(f"data/{stage}/history.csv").open(encoding="utf-8") as file:
        return [float(row["psnr"]) for row in csv.DictReader(file)]


def _weights(run: Path) -> list[float]:
    """The root mean square of each tensor of the last snapshot."""
    tensors = load_file(max(run.glob("*.safetensors")))
    return [float(np.sqrt(np.mean(np.square(tensor, dtype=np.float64)))) for _, tensor in sorted(tensors.items())]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(results(), indent=1) + "\n", encoding="utf-8")
