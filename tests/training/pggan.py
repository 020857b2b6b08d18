"""The golden vectors of the progressive GAN: a folder of .npz files and the cases.json that describes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.params import OptimizerOptions, ScheduleOptions, WganLoss
from training.interop.tf_options import network_options, sizes
from training.interop.tf_variables import load_original
from training.networks import Discriminator, Generator

Arrays = Mapping[str, NDArray[Any]]

TICKS = {4: 160.0, 8: 140.0, 16: 120.0, 32: 100.0, 64: 80.0, 128: 60.0, 256: 40.0, 512: 20.0, 1024: 10.0}
LOSS_DEFAULTS = {"wgan_lambda": 10.0, "wgan_target": 1.0, "wgan_epsilon": 0.001, "cond_weight": 1.0}


@dataclass(frozen=True)
class Case:
    """One file of vectors: what cases.json says of it, and its arrays."""

    about: dict[str, Any]
    arrays: Arrays
    folder: Path

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """Read `<name>` of a folder of vectors."""
        about = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["files"][name]
        with np.load(folder / name) as arrays:
            return cls(about, dict(arrays), folder)

    def below(self, prefix: str) -> dict[str, NDArray[np.float32]]:
        """The arrays whose names start with `prefix`, which is cut off."""
        return {name.removeprefix(prefix): value for name, value in self.arrays.items() if name.startswith(prefix)}

    def tensor(self, name: str) -> torch.Tensor:
        """One array as a tensor."""
        return torch.from_numpy(self.arrays[name])

    def labels(self, name: str, dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
        """Labels, None where there are none."""
        value = self.arrays.get(name)
        return None if value is None or value.shape[1] == 0 else torch.from_numpy(value).to(dtype)

    def reference(self, name: str) -> NDArray[Any]:
        """One value per sample of an array of a loss file, or its one value.

        Where the original adds terms of shape [N, 1] and [N], the diagonal of its [N, N] is the loss per sample.
        """
        value = self.arrays[name]
        return np.diag(value) if value.ndim == 2 and value.shape[1] > 1 else value.reshape(value.shape[:1])

    def noise(self, name: str) -> float:
        """Rounding noise of the reference itself, largest absolute difference."""
        return self.about["rounding_noise_max_abs"].get(name, 0.0)


def generator(kwargs: Mapping[str, Any], variables: Arrays) -> Generator:
    """A generator holding the given variables."""
    network = Generator(network_options(kwargs), **sizes(kwargs))
    load_original(network, variables)
    return network


def discriminator(kwargs: Mapping[str, Any], variables: Arrays) -> Discriminator:
    """A discriminator holding the given variables."""
    network = Discriminator(network_options(kwargs), **sizes(kwargs))
    load_original(network, variables)
    return network


def loss_options(about: Mapping[str, Any], network: str) -> WganLoss:
    """The options of the loss of network `G` or `D`."""
    values = {**LOSS_DEFAULTS, **about.get(f"{network}_loss_kwargs", {})}
    values["label_weight"] = values.pop("cond_weight")
    return WganLoss(kind="wgan-gp", **values)


def optimizer_options(adam: Mapping[str, float]) -> OptimizerOptions:
    """The options of the optimiser; the learning rate is no part of them."""
    return OptimizerOptions(**{key: value for key, value in adam.items() if key != "learning_rate"})


def at_full_resolution(images_NCHW: torch.Tensor, lod: float) -> NDArray[np.float32]:
    """Ours at the current resolution as the original gives them: enlarged by nearest neighbour."""
    factor = 2 ** int(lod)
    return images_NCHW.detach().numpy().repeat(factor, axis=2).repeat(factor, axis=3)


def schedule_options(about: Mapping[str, Any], rates: str) -> ScheduleOptions:
    """The schedule of one table, with the learning rates of `G_lrate` or `D_lrate`."""
    kwargs = about["schedule_kwargs"]

    def table(name: str, default: Mapping[int, Any] | None = None) -> dict[int, Any]:
        return {int(resolution): value for resolution, value in kwargs.get(name, default or {}).items()}

    return ScheduleOptions(
        initial_resolution=kwargs.get("lod_initial_resolution", 4),
        train_kimg=float(kwargs.get("lod_training_kimg", 600)),
        fade_kimg=float(kwargs.get("lod_transition_kimg", 600)),
        minibatch=kwargs.get("minibatch_base", 16),
        minibatch_at=table("minibatch_dict"),
        devices=about["num_gpus"],
        max_minibatch_per_device_at=table("max_minibatch_per_gpu"),
        learning_rate=kwargs.get(f"{rates}_base", 0.001),
        learning_rate_at=table(f"{rates}_dict"),
        discriminator_rates=None,
        rampup_kimg=0.0,
        reset_optimizers=True,
        tick_kimg=float(kwargs.get("tick_kimg_base", 160)),
        tick_kimg_at=table("tick_kimg_dict", TICKS),
        discriminator_repeats=1,
        joint_steps=False,
        minibatch_repeats=4,
        total_kimg=float(about["total_kimg"]),
    )
