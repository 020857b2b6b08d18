"""What to generate: seeds, the layout of a sheet, labels, and the network file, as a user names them.

N = images, L = label size.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from pipeline.errors import NetworkError, ParamsError
from pipeline.provenance import RECORD
from training import checkpoint
from training.checkpoint import NetworkInfo
from training.choices import Format

ORIGINAL = ".pkl"
ATTRIBUTES = "attributes.txt"
"""In the folder of the stage extract: the names of the labels."""
MOST_SEEDS = 1_000_000
NO_TRUNCATION = (
    "--truncation: the progressive GAN has none. It normalises each latent to one length, so a scaled latent makes "
    "the same image, and has no centre to draw it to, as StyleGAN's mapping network has. Leave the option out."
)

Labels = NDArray[np.float32]


class Grid(NamedTuple):
    """The cells of a sheet or a video."""

    columns: int
    rows: int

    @property
    def cells(self) -> int:
        """Their number."""
        return self.columns * self.rows


def parse_seeds(text: str) -> list[int]:
    """Seeds and ranges, both ends included: `1,2,10-20`; `ParamsError` for another form, or for a seed given twice."""
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last - first >= MOST_SEEDS:
            raise ParamsError(
                f"--seeds {text}: {part.strip()!r} is no seed and no range of up to {MOST_SEEDS:,}; give them as in "
                f"1,2,10-20"
            )
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise ParamsError(f"--seeds {text}: a seed is given twice, and each makes one image")
    return seeds


def parse_grid(text: str) -> Grid:
    """Columns and rows, as in `8x4`; `ParamsError` for another form."""
    found = re.fullmatch(r"([1-9]\d*)[xX]([1-9]\d*)", text.strip(), re.ASCII)
    if not found:
        raise ParamsError(f"--grid {text}: give columns and rows, as in 8x4")
    return Grid(int(found[1]), int(found[2]))


def network_file(path: Path, snapshot: str = "last") -> Path:
    """The network file that `path` names: itself, or of a run's folder the `last` snapshot or the `best` one.

    The best one of a finished run is the nearest to the reals by `snapshot_fid`, else by `snapshot_swd`.

    Raises
    ------
    NetworkError
        There is none, or the snapshot is one of the original, which has to be converted.
    """
    if path.suffix == ORIGINAL:
        raise NetworkError(
            f"{path}: a snapshot of the original. Convert it first: celebahq convert {path} {path.stem}.safetensors"
        )
    if not path.is_dir():
        return path
    files = checkpoint.network_files(path)
    if not files:
        raise NetworkError(f"{path}: holds no network file (network-*.safetensors). Name a run, such as runs/demo.")
    if snapshot == "last":
        return files[-1]
    best = read_record(path)["report"].get("best")
    if best is None:
        raise NetworkError(
            f"{path}: does not state its best snapshot. A finished run does, if snapshot_swd or snapshot_fid is "
            f"not null: leave --snapshot out for the last one, or name one of its {len(files)} files."
        )
    return path / Path(best["network"]).name


def form_of(path: Path) -> Format:
    """The format of an exported generator by the name of its file; `ParamsError` for another name."""
    forms = {".onnx": Format.onnx, ".pt": Format.torchscript}
    if path.suffix not in forms:
        raise ParamsError(f"{path}: ends in neither .onnx nor .pt (TorchScript). Name it so, or give --format.")
    return forms[path.suffix]


def run_folder(path: Path) -> Path:
    """The folder of a network file, or of a run."""
    return path if path.is_dir() else path.parent


def labels_of_rows(info: NetworkInfo, chosen: Labels | None, rows: Sequence[int]) -> Labels | None:
    """Labels (N, L) of images: `chosen` for all, else class `row` modulo L of each; None without labels."""
    if not info.label_size:
        return None
    if chosen is not None:
        return np.repeat(chosen[None], len(rows), axis=0)
    return np.eye(info.label_size, dtype=np.float32)[[row % info.label_size for row in rows]]


def parse_label(text: str, info: NetworkInfo, network: Path, attributes: Path | None) -> Labels:
    """The label (L,) of `--class`: 1 for the classes or attributes that it lists, by number or name, and 0 for others.

    Names are those of the file `attributes`, by default that of the data set on which the network's run was trained,
    where its record states it.

    Raises
    ------
    ParamsError
        The network has no labels, or none of that number or name, or the names are not known.
    """
    size = info.label_size
    if not size:
        raise ParamsError(f"--class {text}: {network} was trained without labels. Leave the option out.")
    label_L = np.zeros(size, np.float32)
    names: tuple[str, ...] | None = None
    for part in (part.strip() for part in text.split(",")):
        if part.isascii() and part.isdecimal():
            number = int(part)
        else:
            names = names or _label_names(text, size, network, attributes)
            number = names.index(part) if part in names else size
        if number >= size:
            named = f", named {', '.join(names)}" if names else ""
            raise ParamsError(f"--class {text}: {part!r} is no class; there are 0 to {size - 1}{named}")
        label_L[number] = 1
    return label_L


def _label_names(text: str, size: int, network: Path, attributes: Path | None) -> tuple[str, ...]:
    path = attributes or _attributes_of_run(network.parent)
    if path is None:
        raise ParamsError(
            f"--class {text}: the names of the classes are not known here. Give their numbers, 0 to {size - 1}, or the "
            f"file that names them: --attributes data/extract/{ATTRIBUTES}"
        )
    from pipeline.faces.landmarks import read_attributes  # noqa: PLC0415 - pyarrow, which training does without

    names = read_attributes(path).columns or tuple(map(str, range(size)))
    if len(names) != size:
        raise ParamsError(f"{path}: names {len(names)} classes, but {network} has {size}. Name its own --attributes.")
    return names


def _attributes_of_run(folder: Path) -> Path | None:
    """That of the data set of a run `runs/NAME`, which its record names from the same root."""
    dataset = read_record(folder)["run"].get("dataset")
    path = (folder.absolute().parent.parent / dataset).parent / "extract" / ATTRIBUTES if dataset else None
    return path if path and path.is_file() else None


class _Best(BaseModel):
    network: str


class _Report(BaseModel, extra="allow"):
    best: _Best | None = None


class _Run(BaseModel, extra="allow"):
    dataset: str | None = None


class _Record(BaseModel):
    run: _Run = _Run()
    report: _Report = _Report()


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """The parts `run`, its options, and `report` of a published run's record; both are empty where there is none.

    `NetworkError` if the record has another form.
    """
    path = folder / RECORD
    if not path.is_file():
        return {"run": {}, "report": {}}
    try:
        content = path.read_bytes()
        _Record.model_validate_json(content)
    except ValidationError as error:
        raise NetworkError(f"{path}: not the record of a run, or damaged. Restore it, or train again.") from error
    return {"run": {}, "report": {}} | json.loads(content)
