"""The golden vectors of the progressive GAN: a folder of .npz files and the cases.json that describes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.params import NetworkOptions, OptimizerOptions, ScheduleOptions, WganLoss
from training.networks import Discriminator, Generator
from training.variables import load_original

Arrays = Mapping[str, NDArray[Any]]

NETWORK_DEFAULTS: dict[str, Any] = {
    "fmap_base": 8192, "fmap_decay": 1.0, "fmap_max": 512, "normalize_latents": True, "use_wscale": True,
    "use_pixelnorm": True, "pixelnorm_epsilon": 1e-8, "use_leakyrelu": True, "fused_scale": True,
    "mbstd_group_size": 4,
    "discriminator_fmap_scale": 1.0, "normalize_labels": True, "use_batchnorm": False, "use_layernorm": False,
    "use_tanh": False, "mbdisc_kernels": 0, "mbdisc_kernel_size": 5,
}  # fmt: skip
TICKS = {4: 160.0, 8: 140.0, 16: 120.0, 32: 100.0, 64: 80.0, 128: 60.0, 256: 40.0, 512: 20.0, 1024: 10.0}
LOSS_DEFAULTS = {"wgan_lambda": 10.0, "wgan_target": 1.0, "wgan_epsilon": 0.001, "cond_weight": 1.0}


@dataclass(frozen=True)
class Case:
    """One file of vectors: what cases.json says of it, and its arrays."""

    about: dict[str, Any]
    arrays: Arrays

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """Read `<name>` of a folder of vectors."""
        about = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["files"][name]
        with np.load(folder / name) as arrays:
            return cls(about, dict(arrays))

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


def network_options(kwargs: Mapping[str, Any]) -> NetworkOptions:
    """The options of a network from the keyword arguments that the original was called with."""
    elsewhere = ("num_channels", "resolution", "label_size")
    values = {**NETWORK_DEFAULTS, **{key: value for key, value in kwargs.items() if key not in elsewhere}}
    values.setdefault("latent_size", min(values["fmap_base"], values["fmap_max"]))
    return NetworkOptions(**values)


def _sizes(kwargs: Mapping[str, Any]) -> dict[str, int]:
    return {
        "resolution": kwargs.get("resolution", 32),
        "channels": kwargs.get("num_channels", 1),
        "label_size": kwargs.get("label_size", 0),
    }


def generator(kwargs: Mapping[str, Any], variables: Arrays) -> Generator:
    """A generator holding the given variables."""
    network = Generator(network_options(kwargs), **_sizes(kwargs))
    load_original(network, variables)
    return network


def discriminator(kwargs: Mapping[str, Any], variables: Arrays) -> Discriminator:
    """A discriminator holding the given variables."""
    network = Discriminator(network_options(kwargs), **_sizes(kwargs))
    load_original(network, variables)
    return network


def loss_options(about: Mapping[str, Any]) -> WganLoss:
    """The options of both losses."""
    values = {**LOSS_DEFAULTS, **about.get("D_loss_kwargs", {}), **about.get("G_loss_kwargs", {})}
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

    def table(name: str) -> dict[int, Any]:
        return {int(resolution): value for resolution, value in kwargs.get(name, {}).items()}

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
        rampup_kimg=0.0,
        reset_optimizers=True,
        tick_kimg=float(kwargs.get("tick_kimg_base", 160)),
        tick_kimg_at=table("tick_kimg_dict") or TICKS,
        discriminator_repeats=1,
        joint_steps=False,
        minibatch_repeats=4,
        total_kimg=float(about["total_kimg"]),
    )
