"""Network options of the original implementation, converted to ours."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions

DEFAULTS: dict[str, Any] = {
    "fmap_base": 8192, "fmap_decay": 1.0, "fmap_max": 512, "normalize_latents": True, "use_wscale": True,
    "use_pixelnorm": True, "pixelnorm_epsilon": 1e-8, "use_leakyrelu": True, "fused_scale": True,
    "mbstd_group_size": 4,
}  # fmt: skip
"""The original's default values."""

SIZES = {"num_channels": 1, "resolution": 32, "label_size": 0}
"""The original's default sizes of the data."""

LARGEST_SIZE, LARGEST_DECAY = 1 << 16, 8.0
"""Limits far above any real network: a damaged or hostile file must not exhaust the memory."""

IGNORED = ("dtype", "structure", "is_template_graph")
"""Options without effect on the result."""

ABSENT: dict[str, Any] = {
    "discriminator_fmap_scale": 1.0, "normalize_labels": True, "use_batchnorm": False, "use_layernorm": False,
    "use_tanh": False, "mbdisc_kernels": 0, "mbdisc_kernel_size": 5,
}  # fmt: skip
"""Values of the options that the original does not have."""


def network_options(static: Mapping[str, Any]) -> NetworkOptions:
    """Convert the options (`static_kwargs`) of one of the original's networks.

    Raises
    ------
    NetworkError
        An unknown option, or a size beyond the limits.
    ValidationError
        An invalid value of an option.
    """
    unknown = static.keys() - DEFAULTS.keys() - SIZES.keys() - {"latent_size", *IGNORED}
    if unknown:
        raise NetworkError(f"unknown options of the original's networks: {', '.join(sorted(unknown))}")
    values = {**DEFAULTS, **{key: value for key, value in static.items() if key in DEFAULTS}}
    _check_sizes({name: values[name] for name in ("fmap_base", "fmap_max", "mbstd_group_size")})
    latent_size = static.get("latent_size") or min(values["fmap_base"], values["fmap_max"])
    _check_sizes({"latent_size": latent_size})
    if not 0 <= values["fmap_decay"] <= LARGEST_DECAY:
        raise NetworkError(f"fmap_decay {values['fmap_decay']!r}: not from 0 to {LARGEST_DECAY:g}")
    return NetworkOptions(**values, **ABSENT, latent_size=latent_size)


def sizes(static: Mapping[str, Any]) -> dict[str, int]:
    """Resolution, channels and label size by our names.

    Raises
    ------
    NetworkError
        A size beyond the limits, or a resolution that is not a power of two from 4 to 1024.
    """
    values = {name: static.get(name, default) for name, default in SIZES.items()}
    _check_sizes(values)
    resolution = values["resolution"]
    if not 4 <= resolution <= 1024 or resolution & (resolution - 1):
        raise NetworkError(f"a network of resolution {resolution}, which is not a power of two from 4 to 1024")
    return {"resolution": resolution, "channels": values["num_channels"], "label_size": values["label_size"]}


def _check_sizes(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or not 0 <= value <= LARGEST_SIZE:
            raise NetworkError(f"{name} {value!r}: not a whole number from 0 to {LARGEST_SIZE}")
