"""Starting a run with trained networks: those of another run, or of the original.

A network file and a snapshot of the original hold G, D and Gs. The state of the optimisers is in checkpoints only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline import provenance
from pipeline.errors import NetworkError, TrainingError
from pipeline.params import NetworkOptions, Section, StartOptions, TrainRun
from training import checkpoint, interop, run_identity, schedule
from training.checkpoint import NetworkInfo, StateDict
from training.trainer import CHANNELS, make_networks

PICKLE = ".pkl"
GENERATOR_ONLY = {
    "latent_size", "normalize_latents", "normalize_labels", "use_pixelnorm", "pixelnorm_epsilon", "use_batchnorm",
    "use_leakyrelu", "use_tanh",
}  # fmt: skip
DISCRIMINATOR_ONLY = {
    "discriminator_fmap_scale", "use_layernorm", "mbstd_group_size", "mbdisc_kernels", "mbdisc_kernel_size",
}  # fmt: skip


class Start(Section):
    """The files that a run starts from, and its clock there.

    `state` is the file of the optimisers, None where they begin anew. `network_sha256` and `state_sha256` are what the
    run is known by: the files may be gone when it is resumed.
    """

    network: Path
    state: Path | None
    images_shown: int
    network_sha256: str
    state_sha256: str | None

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint states of it, as JSON; where the files lie is no part of it."""
        return {
            "images_shown": self.images_shown,
            "network_sha256": self.network_sha256,
            "state_sha256": self.state_sha256,
        }


@dataclass(frozen=True, slots=True)
class StartState:
    """What `load` found: the weights of G, D and Gs, and of the checkpoint the trainer's state and the last step.

    `remarks` are sentences about what the user may not expect.
    """

    networks: Mapping[str, StateDict]
    trainer: Mapping[str, Any] | None
    step_start: int | None
    remarks: list[str]


def of_run(run: TrainRun, images: str, folders: Sequence[Path]) -> Start | None:
    """What a run on `images` (the `Reals.digest`) starts from; None for new networks. Errors as `find`.

    A file is what it is. A folder, and what lay in the published folder of this run (the first of `folders`), stand for
    what was there when the run began, as its checkpoints in any of `folders` state it; so does a file that is gone.
    """
    if run.start is None:
        return None
    path = run.start.path
    if not path.is_file() or path.resolve().is_relative_to(folders[0].resolve()):
        options = run.start.model_dump(mode="json")
        for folder in folders:
            saved = checkpoint.saved_run(folder)
            if saved is None or saved.start is None or (saved.options or {})["start"] != options:
                continue
            if run_identity.fault(saved, run, images, saved.start) is None:
                return Start(network=path, state=None, **saved.start)
    return find(run.start)


def find(options: StartOptions) -> Start:
    """The files that the options name, and their SHA-256.

    Raises
    ------
    NetworkError
        No such file, or no network file.
    TrainingError
        The clock is unknown, or optimisers are wanted that are not there.
    """
    network = _network_file(options.path)
    if options.kimg is not None:
        images_shown = round(options.kimg * 1000)
    else:
        images_shown = 0 if _is_pickle(network) else checkpoint.read_network(network, ())[0].images_shown
        if not images_shown:
            raise TrainingError(
                f"{network}: a network of the original does not state how many images it was shown. Set start.kimg: "
                f"schedule and learning rates follow it (network-snapshot-NNNNNN.pkl has it in its name)."
            )
    state = None
    if options.optimizers == "saved":
        state = checkpoint.state_of(network)
        if state is None:
            raise TrainingError(
                f"{network}: is not part of a complete checkpoint, and optimisers are saved in those only (a run keeps "
                f"the newest two). Set start.optimizers to new; or start from one of those: celebahq runs lists them."
            )
    return Start(
        network=network,
        state=state,
        images_shown=images_shown,
        network_sha256=provenance.digest_of_file(network),
        state_sha256=None if state is None else provenance.digest_of_file(state),
    )


def load(start: Start, run: TrainRun, label_size: int) -> StartState:
    """Read the files, and compare them with the run.

    Raises
    ------
    NetworkError
        The networks are damaged, incomplete, or do not fit the run's resolution, labels or network options.
    TrainingError
        The run ends before it starts, the files have changed, or the optimisers do not fit.
    """
    if schedule.run_ends(run.schedule, start.images_shown):
        raise TrainingError(
            f"the run starts after {start.images_shown / 1000:g} kimg (start.kimg, or what {start.network} states), "
            f"but schedule.total_kimg is {run.schedule.total_kimg:g}. Raise it, or set a lower start.kimg."
        )
    for path, sha256 in ((start.network, start.network_sha256), (start.state, start.state_sha256)):
        if path is not None and provenance.digest_of_file(path) != sha256:
            raise TrainingError(f"{path}: has changed while the run began. Start again.")
    info, networks = _read(start.network)
    different = _differences(info, run.networks)
    _check_sizes(start.network, info, run, label_size)
    _check_shapes(start.network, networks, different, make_networks(run, label_size, torch.device("meta")))
    remarks = [f"{start.network} has other options of networks of the same shape: {different}"] if different else []
    first = schedule.at(run.schedule, run.resolution, start.images_shown)
    if first.resolution != info.resolution:
        untrained = ", whose new layers were not trained before" if first.resolution > info.resolution else ""
        remarks.append(
            f"{start.network} was trained up to {info.resolution} px; by start.kimg the run begins at "
            f"{first.resolution} px{untrained}"
        )
    if start.state is None:
        return StartState(networks, None, None, remarks)
    state = torch.load(start.state, map_location="cpu", weights_only=True)
    _check_moments(start.state, state["trainer"], run)
    # with another clock the last step is no part of the run's schedule: as if it had been at the present one
    moved = start.images_shown != info.images_shown
    step_start = start.images_shown if moved else json.loads(state["story"])["step_start"]
    return StartState(networks, state["trainer"], step_start, remarks)


def description(start: Start, run: TrainRun) -> str:
    """One line: what the run starts from, and which of its options differ from those of the run it came from."""
    optimizers = "new optimisers" if start.state_sha256 is None else "the saved optimisers"
    line = f"starts from {start.network} at {start.images_shown / 1000:g} kimg, with {optimizers}"
    saved = checkpoint.saved_run(start.network.parent) if start.network.is_file() else None
    if saved is None or saved.options is None:
        return line
    before, now = (run_identity.deciding(values) for values in (saved.options, run.model_dump(mode="json")))
    return f"{line}; different from its run: {', '.join(run_identity.differences(before, now)) or 'nothing'}"


def _network_file(path: Path) -> Path:
    if not path.is_dir():
        if not path.is_file():
            raise NetworkError(
                f"{path}: no such network file, which start.path names. celebahq runs lists those that are there."
            )
        return path
    saved, files = checkpoint.saved_run(path), checkpoint.network_files(path)
    if saved is None and not files:
        raise NetworkError(f"{path}: holds no network file to start from (start.path).")
    return files[-1] if saved is None else checkpoint.network_path(path, saved.images_shown)


def _is_pickle(path: Path) -> bool:
    return path.suffix == PICKLE


def _read(path: Path) -> tuple[NetworkInfo, dict[str, StateDict]]:
    if not _is_pickle(path):
        return checkpoint.read_network(path, ("G", "D", "Gs"))
    original = interop.read(path)
    return interop.network_info(original), interop.state_dicts(original)


def _differences(info: NetworkInfo, ours: NetworkOptions) -> str:
    """The options, by name, in which each network of a file differs from the run's."""
    now, found = ours.model_dump(), dict[str, str]()
    for options, absent in ((info.generator, DISCRIMINATOR_ONLY), (info.discriminator, GENERATOR_ONLY)):
        for name, value in options.model_dump(exclude=absent).items():
            if value != now[name]:
                found[name] = f"networks.{name} {value} -> {now[name]}"
    return ", ".join(found.values())


def _check_sizes(path: Path, info: NetworkInfo, run: TrainRun, label_size: int) -> None:
    sizes = (
        ("resolution", info.full_resolution, run.resolution),
        ("colour channels", info.channels, CHANNELS),
        ("classes of labels", info.label_size, label_size),
    )
    for name, theirs, ours in sizes:
        if theirs != ours:
            raise NetworkError(
                f"{path}: cannot start this run: {name} {theirs} in the file, {ours} in the run and its data set."
            )


def _check_shapes(path: Path, networks: Mapping[str, StateDict], different: str, expected: Sequence[nn.Module]) -> None:
    """Raise where G, D or Gs of a file have other tensors than `expected`; `different` names the options."""
    for name, network in zip(("G", "D", "Gs"), expected, strict=True):
        if not networks[name]:
            raise NetworkError(f"{path}: has no network {name}. A run starts from files with G, D and Gs.")
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        theirs = {key: tuple(value.shape) for key, value in networks[name].items()}
        wrong = sorted(key for key in shapes.keys() | theirs.keys() if shapes.get(key) != theirs.get(key))
        if wrong:
            example = f"{name}.{wrong[0]} is {theirs.get(wrong[0], 'absent')}, not {shapes.get(wrong[0], 'absent')}"
            raise NetworkError(
                f"{path}: cannot start this run, whose networks have another shape: {different or example} "
                f"({len(wrong)} tensors of {name} differ). Set train.runs.NAME.networks to the values of the file."
            )


def _check_moments(path: Path, trainer: Mapping[str, Any], run: TrainRun) -> None:
    """Raise where Adam had no first moments (beta1 0) and is to have them now."""
    lacking = any(trainer[name]["second"] and not trainer[name]["first"] for name in ("G", "D"))
    if run.optimizer.beta1 > 0 and lacking:
        raise TrainingError(
            f"{path}: was saved with optimizer.beta1 0, so it has no first moments for beta1 {run.optimizer.beta1:g}. "
            f"Set start.optimizers to new."
        )
