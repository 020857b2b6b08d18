"""The checkpoints of a run, to resume from and to generate images with.

A checkpoint is three files whose names carry the images shown: `network-*.safetensors` (G, D and the average Gs),
`state-*.pt` (optimisers and counters) and `checkpoint-*.json`, which states the run and names both with their SHA-256.
It is written last: without it the other two are ignored.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline import atomic, provenance
from pipeline.errors import NetworkError, TrainingError
from pipeline.params import NetworkOptions, PositiveInt, Section, TrainRun
from training.network_files import CHECKPOINTS, METADATA, NETWORKS
from training.run_identity import SavedRun, network_options_before

FORMAT = 5
READABLE = (4, 5)
"""Formats of network files and checkpoints that can be read. Format 4 states the run in the network file, and does not
state the images."""
RESUMABLE = 2
"""Checkpoints kept to resume from: the newest, and the one before in case the newest is damaged."""

SIDES = ("generator", "discriminator")
"""The keys of `NetworkInfo` that hold options."""

StateDict = dict[str, Tensor]


class NetworkInfo(Section):
    """The metadata of a network file: what is needed to build the networks, and no option of training.

    `lod` is log2(`full_resolution`) - log2(`resolution`) plus the fraction of a fade; `resolution` is that of the
    images of both networks at this lod.
    """

    format: int
    generator: NetworkOptions
    discriminator: NetworkOptions
    full_resolution: PositiveInt
    channels: PositiveInt
    label_size: int
    images_shown: int
    lod: float
    resolution: PositiveInt

    @classmethod
    def of_run(cls, run: TrainRun, *, channels: int, label_size: int, images_shown: int, lod: float) -> Self:
        """For a snapshot of a training run."""
        return cls(
            format=FORMAT,
            generator=run.networks,
            discriminator=run.networks,
            full_resolution=run.resolution,
            channels=channels,
            label_size=label_size,
            images_shown=images_shown,
            lod=lod,
            resolution=run.resolution >> math.floor(lod),
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as read: networks by name (G, D, Gs), and the training state."""

    info: NetworkInfo
    networks: dict[str, StateDict]
    state: dict[str, Any]
    run: SavedRun


def network_path(folder: Path, images_shown: int) -> Path:
    """The network file of a snapshot; nine digits, so that names sort by images shown."""
    return folder / f"network-{images_shown:09d}.safetensors"


def network_files(folder: Path) -> list[Path]:
    """The network files in a run's folder, oldest first."""
    return sorted(folder.glob(NETWORKS))


def save(
    folder: Path,
    info: NetworkInfo,
    networks: Mapping[str, StateDict],
    state: Mapping[str, Any],
    *,
    run: TrainRun,
    images: str,
    start: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint; if the process is killed, it is complete or ignored.

    `images` is the `Reals.digest`, `start` the `Start.identity` of a run that did not start with new networks.
    """
    network, state_file, record = _paths(folder, info.images_shown)
    write_network(network, info, networks)
    with atomic.writing(state_file) as partial, partial.open("wb") as file:
        torch.save(dict(state), file)
    files = {path.name: provenance.digest_of_file(path) for path in (network, state_file)}
    stated = {"images_shown": info.images_shown, "run": run.model_dump(mode="json"), "images": images}
    stated |= {} if start is None else {"start": dict(start)}
    atomic.write_json(record, {"format": FORMAT, "files": files, **stated})


def newest(folder: Path, log: Callable[[str], None]) -> Checkpoint | None:
    """The newest intact checkpoint in `folder`; None where no checkpoint was ever completed.

    A damaged one is skipped, with a message to `log`. Files of later checkpoints than the returned one are removed.

    Raises
    ------
    TrainingError
        There are checkpoints, but all are damaged.
    """
    records = _records(folder)
    for record in records:
        fault = _fault(record)
        if fault is None:
            found = read(folder, _images_shown(record))
            for path in _files(folder):
                if _images_shown(path) > found.info.images_shown:
                    path.unlink()
            return found
        log(f"{record}: {fault}; resuming from the checkpoint before it")
    if records:
        raise TrainingError(
            f"{folder}: all of its {len(records)} checkpoints are damaged. Restore the folder from a copy, or delete "
            f"it to train from the beginning."
        )
    return None


def read(folder: Path, images_shown: int) -> Checkpoint:
    """The checkpoint after `images_shown`, which must be intact."""
    network, state_file, record = _paths(folder, images_shown)
    info, networks = read_network(network, ("G", "D", "Gs"))
    state = torch.load(state_file, map_location="cpu", weights_only=True)
    return Checkpoint(info, networks, state, _saved_run(record))


def saved_run(folder: Path) -> SavedRun | None:
    """What the newest intact checkpoint in `folder` states; None where there is none. Changes nothing."""
    intact = (record for record in _records(folder) if _fault(record) is None)
    return next(map(_saved_run, intact), None)


def state_of(network: Path) -> Path | None:
    """The state file of the checkpoint that a network file is part of; None where there is no such checkpoint.

    Raises
    ------
    TrainingError
        The checkpoint is damaged.
    """
    digits = network.stem.rpartition("-")[2]
    if not digits.isdecimal() or network != network_path(network.parent, int(digits)):
        return None
    _, state_file, record = _paths(network.parent, int(digits))
    if not record.is_file():
        return None
    if fault := _fault(record):
        raise TrainingError(f"{record}: {fault}. Restore the file, or choose another checkpoint.")
    return state_file


def history_of(folder: Path, images_shown: int) -> dict[str, Any]:
    """The attributes of the `RunHistory` in a checkpoint, without reading the moments of its optimisers."""
    state_file = _paths(folder, images_shown)[1]
    return json.loads(torch.load(state_file, map_location="cpu", weights_only=True, mmap=True)["story"])


def earliest(folder: Path) -> int:
    """The images shown at the oldest checkpoint in `folder`, from which a run resumes at the least; 0 without any."""
    return min(map(_images_shown, _records(folder)), default=0)


def write_network(path: Path, info: NetworkInfo, networks: Mapping[str, StateDict]) -> None:
    """Write networks as one safetensors file; tensors are named `<network>.<parameter>`."""
    tensors = {f"{name}.{key}": value for name, network in networks.items() for key, value in network.items()}
    about = info.model_dump(mode="json")
    before = network_options_before()
    for side in SIDES:  # an option that is not used is not stated, so that earlier versions can read the file
        about[side] = {key: value for key, value in about[side].items() if key not in before or value != before[key]}
    # a single metadata key, since safetensors writes several in no fixed order
    metadata = {METADATA: json.dumps(about, sort_keys=True)}
    with atomic.writing(path) as partial:
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, partial, metadata)


def read_network(path: Path, names: Sequence[str]) -> tuple[NetworkInfo, dict[str, StateDict]]:
    """Read some networks ("G", "D", "Gs") of a network file, on the CPU.

    Raises
    ------
    NetworkError
        No such file, not a safetensors file, not a network file, or one of a version that this one cannot read.
    """
    if not path.is_file():
        raise NetworkError(f"{path}: no such network file. It is made by the stage train: dvc repro train.")
    try:
        with safe_open(path, framework="pt") as file:
            info = _network_info(path, file.metadata() or {})
            keys = [key for key in file.keys() if key.partition(".")[0] in names]  # noqa: SIM118 - no dict
            tensors = {key: file.get_tensor(key) for key in keys}
    except SafetensorError as error:
        raise NetworkError(
            f"{path}: damaged, or not a safetensors file ({error}). Train again, or restore it."
        ) from error
    networks: dict[str, StateDict] = {name: {} for name in names}
    for key, tensor in tensors.items():
        name, _, parameter = key.partition(".")
        networks[name][parameter] = tensor
    return info, networks


def kept(snapshots: Sequence[int], keep: int) -> set[int]:
    """Which of a run's snapshots to keep, at most `keep`: the newest, and others spread evenly.

    Of the snapshots 1, 2, 3 ... every 1st, 2nd, 4th or 8th ... is kept: the smallest such stride that leaves no more
    than `keep`. No later stride needs a snapshot that an earlier one dropped, so the result depends on the number of
    snapshots only, wherever the run was interrupted.
    """
    stride = 1
    while True:
        found = {*snapshots[stride - 1 :: stride], *snapshots[-1:]}
        if len(found) <= keep:
            return found
        stride *= 2


def prune(folder: Path, kept: set[int], resumable: int) -> None:
    """Remove network files other than those of `kept`, and all but the newest `resumable` checkpoints."""
    resume_from = sorted(map(_images_shown, folder.glob(CHECKPOINTS)))[-resumable:]
    for path in _files(folder):
        needed = {*kept, *resume_from} if path.suffix == ".safetensors" else resume_from
        if _images_shown(path) not in needed:
            path.unlink()


def _network_info(path: Path, metadata: Mapping[str, str]) -> NetworkInfo:
    """The metadata of a network file of any readable format, with the options that were added since."""
    try:
        about: dict[str, Any] = json.loads(metadata[METADATA])
        if about["format"] in READABLE:
            about = {key: value for key, value in about.items() if key != "run"}
            for side in SIDES:
                about[side] = network_options_before() | about[side]
        unknown = [key for key in about if key not in NetworkInfo.model_fields]
        unknown += [f"{side}.{key}" for side in SIDES for key in about[side] if key not in NetworkOptions.model_fields]
        if unknown or about["format"] > FORMAT:
            has = f"the option {', '.join(sorted(unknown))}" if unknown else f"format {about['format']}"
            raise NetworkError(
                f"{path}: was written by a newer version of this project: it has {has}, which this version does not "
                f"know. Update the project (git pull)."
            )
        if about["format"] not in READABLE:
            raise NetworkError(
                f"{path}: has format {about['format']}; this version reads {READABLE[0]} to {FORMAT}. Use the version "
                f"that wrote it, or train again."
            )
        return NetworkInfo.model_validate_json(json.dumps(about))
    except (KeyError, TypeError, ValueError) as error:  # ValidationError is a ValueError
        raise NetworkError(f"{path}: not a network file of this project: {error!s}. Train again.") from error


def _saved_run(record: Path) -> SavedRun:
    stated: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    shown = _images_shown(record)
    if "run" in stated:
        return SavedRun(shown, stated["run"], stated["images"], stated.get("start"))
    with safe_open(network_path(record.parent, shown), framework="pt") as file:  # format 4
        return SavedRun(shown, json.loads((file.metadata() or {})[METADATA])["run"], None)


def _records(folder: Path) -> list[Path]:
    """The records of the checkpoints in `folder`, newest first."""
    return sorted(folder.glob(CHECKPOINTS), reverse=True)


def _paths(folder: Path, images_shown: int) -> tuple[Path, Path, Path]:
    digits = f"{images_shown:09d}"
    return network_path(folder, images_shown), folder / f"state-{digits}.pt", folder / f"checkpoint-{digits}.json"


def _fault(record: Path) -> str | None:
    try:
        files: dict[str, str] = json.loads(record.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError):
        return "damaged record"
    for name, sha256 in files.items():
        path = record.with_name(name)
        if not path.is_file():
            return f"{name} is missing"
        if provenance.digest_of_file(path) != sha256:
            return f"{name} is damaged (its SHA-256 is not the recorded one)"
    return None


def _files(folder: Path) -> Iterator[Path]:
    """All files of checkpoints; records first, since a record must never outlive its files."""
    for pattern in (CHECKPOINTS, "state-*.pt", NETWORKS):
        yield from list(folder.glob(pattern))


def _images_shown(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])
