"""The original's options of a network as ours."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import NetworkError
from pipeline.params import NetworkOptions

DEFAULTS: dict[str, Any] = {
    "fmap_base": 8192, "fmap_decay": 1.0, "fmap_max": 512, "normalize_latents": True, "use_wscale": True,
    "use_pixelnorm": True, "pixelnorm_epsilon": 1e-8, "use_leakyrelu": True, "fused_scale": True,
    "mbstd_group_size": 4,
}  # fmt: skip
"""What an option is where the original was not told."""

SIZES = {"num_channels": 1, "resolution": 32, "label_size": 0}
"""Options that are sizes of the data, with their defaults."""

LARGEST_SIZE, LARGEST_DECAY = 1 << 16, 8.0
"""Far above any network's: beyond, a file asks for what no machine holds."""

WITHOUT_EFFECT = ("dtype", "structure", "is_template_graph")
"""How the original computes, not what."""

ABSENT: dict[str, Any] = {
    "discriminator_fmap_scale": 1.0, "normalize_labels": True, "use_batchnorm": False, "use_layernorm": False,
    "use_tanh": False, "mbdisc_kernels": 0, "mbdisc_kernel_size": 5,
}  # fmt: skip
"""Our options for what the original's networks do not have."""


def network_options(static: Mapping[str, Any]) -> NetworkOptions:
    """Our options for those that a network of the original was made with.

    Raises
    ------
    NetworkError
        An option that the original's networks do not have, or sizes of layers that no network has.
    ValidationError
        A value that an option cannot have.
    """
    unknown = static.keys() - DEFAULTS.keys() - SIZES.keys() - {"latent_size", *WITHOUT_EFFECT}
    if unknown:
        raise NetworkError(f"unknown options of the original's networks: {', '.join(sorted(unknown))}")
    values = {**DEFAULTS, **{key: value for key, value in static.items() if key in DEFAULTS}}
    _check_sizes({name: values[name] for name in ("fmap_base", "fmap_max")})
    latent_size = static.get("latent_size") or min(values["fmap_base"], values["fmap_max"])
    _check_sizes({"latent_size": latent_size, "mbstd_group_size": values["mbstd_group_size"]})
    if not 0 <= values["fmap_decay"] <= LARGEST_DECAY:
        raise NetworkError(f"fmap_decay {values['fmap_decay']!r}: not from 0 to {LARGEST_DECAY:g}")
    return NetworkOptions(**values, **ABSENT, latent_size=latent_size)


def sizes(static: Mapping[str, Any]) -> dict[str, int]:
    """Resolution, channels and label size, as our networks take them.

    Raises
    ------
    NetworkError
        Not sizes that a network has, or a resolution that is no power of two from 4 to 1024.
    """
    values = {name: static.get(name, default) for name, default in SIZES.items()}
    _check_sizes(values)
    resolution = values["resolution"]
    if not 4 <= resolution <= 1024 or resolution & (resolution - 1):
        raise NetworkError(f"a network of resolution {resolution}, which is no power of two from 4 to 1024")
    return {"resolution": resolution, "channels": values["num_channels"], "label_size": values["label_size"]}


def _check_sizes(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or not 0 <= value <= LARGEST_SIZE:
            raise NetworkError(f"{name} {value!r}: not a whole number from 0 to {LARGEST_SIZE}")
