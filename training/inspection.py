"""What lies in a network file, a checkpoint, a run or a snapshot of the original: facts for people and programs."""

import csv
from pathlib import Path
from typing import Any

from pipeline.errors import NetworkError
from pipeline.provenance import read_json
from pipeline.trust.inspection import Facts, provenance
from training.network_files import CHECKPOINTS, NETWORKS, network_info, read_checkpoint

SIDES = ("generator", "discriminator")


def network(path: Path) -> Facts:
    """A network file."""
    info = network_info(path)
    return {
        "kimg": info.pop("images_shown") / 1000,
        "resolution": info.pop("resolution"),
        "full_resolution": info.pop("full_resolution"),
        "lod": info.pop("lod"),
        "labels": info.pop("label_size"),
        "bytes": path.stat().st_size,
        **info,
    }


def checkpoint(path: Path) -> Facts:
    """A checkpoint, by its record."""
    stated = read_checkpoint(path)
    files = {name: path.with_name(name) for name in stated["files"]}
    return {
        "kimg": stated.get("images_shown", 0) / 1000,
        "format": stated["format"],
        "files": {name: file.stat().st_size if file.is_file() else "missing" for name, file in files.items()},
        "images": stated.get("images"),
        "options": stated.get("run"),
    }


def run(folder: Path) -> Facts:
    """The folder of a training run, published or at work; a newest file that is damaged is named among the facts."""
    networks = sorted(folder.glob(NETWORKS))
    checkpoints = sorted(folder.glob(CHECKPOINTS))
    facts: Facts = {
        "networks_kimg": [int(path.stem.rpartition("-")[2]) / 1000 for path in networks],
        "checkpoints_kimg": [int(path.stem.rpartition("-")[2]) / 1000 for path in checkpoints],
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }
    damaged: list[str] = []
    if networks:
        try:
            newest = network(networks[-1])
            facts["newest_network"] = {key: value for key, value in newest.items() if key not in SIDES}
        except NetworkError as error:
            damaged.append(str(error))
    metrics = read_json(folder / "live" / "metrics.json")
    facts |= {"metrics": metrics} if metrics else {}
    measured = _evaluated(folder)
    facts |= {"evaluation": measured} if measured else {}
    if checkpoints:
        try:
            facts["options"] = checkpoint(checkpoints[-1])["options"]
        except NetworkError as error:
            damaged.append(str(error))
    facts |= {"damaged": damaged} if damaged else {}
    return facts | provenance(folder)


def snapshot(path: Path) -> Facts:
    """A snapshot (.pkl) of the original; nothing in it is executed."""
    from training import interop  # noqa: PLC0415 - loads torch

    original = interop.read(path)
    networks = {"G": original.generator, "D": original.discriminator, "Gs": original.average}
    return {
        "resolution": original.average.resolution_at(original.lod),
        "full_resolution": original.average.resolution,
        "lod": original.lod,
        "labels": original.average.label_size,
        "bytes": path.stat().st_size,
        "parameters": {name: sum(p.numel() for p in each.parameters()) for name, each in networks.items()},
        "generator": original.generator.options.model_dump(mode="json"),
        "discriminator": original.discriminator.options.model_dump(mode="json"),
    }


def _evaluated(folder: Path) -> dict[str, Any]:
    """The last row of each table of `evaluations/NAME`, next to `runs/NAME`."""
    found: dict[str, Any] = {}
    for path in sorted((folder.absolute().parent.parent / "evaluations" / folder.name).glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if rows and "kimg" in rows[-1]:
            found[path.stem] = {key: float(value) for key, value in rows[-1].items() if value}
    return found
