"""A snapshot of the original as our networks, and as our network file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.errors import NetworkError
from training import checkpoint
from training.checkpoint import FORMAT, NetworkInfo, StateDict
from training.interop import tf_options, tf_unpickle
from training.interop.tf_variables import load_original
from training.networks import Discriminator, Generator

VERSION = 2
Variables = dict[str, NDArray[np.float32]]
AnyNetwork = TypeVar("AnyNetwork", Generator, Discriminator)


@dataclass(frozen=True)
class Original:
    """The three networks of a snapshot, in evaluation mode, and their level of detail."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    lod: float


def read(path: Path) -> Original:
    """Read a `.pkl` snapshot of the original without executing anything in it.

    Raises
    ------
    NetworkError
        Not such a snapshot, or unknown options or variables.
    """
    g, d, gs = tf_unpickle.networks(path)
    try:
        generator, _ = _network(g, Generator, "G_paper")
        discriminator, _ = _network(d, Discriminator, "D_paper")
        average, lod = _network(gs, Generator, "G_paper")
        average.resolution_at(lod)
    except (NetworkError, ValidationError) as error:
        raise NetworkError(f"{path}: {error}") from error
    return Original(generator.eval(), discriminator.eval(), average.eval(), lod)


def write(path: Path, original: Original) -> None:
    """Write a network file. The images shown, which a snapshot does not contain, are 0."""
    checkpoint.write_network(path, network_info(original), state_dicts(original))


def network_info(original: Original) -> NetworkInfo:
    """The metadata of its network file."""
    average = original.average
    return NetworkInfo(
        format=FORMAT,
        generator=average.options,
        discriminator=original.discriminator.options,
        full_resolution=average.resolution,
        channels=average.channels,
        label_size=average.label_size,
        images_shown=0,
        lod=original.lod,
        resolution=average.resolution_at(original.lod),
    )


def state_dicts(original: Original) -> dict[str, StateDict]:
    """The weights of G, D and Gs by name."""
    networks = {"G": original.generator, "D": original.discriminator, "Gs": original.average}
    return {name: network.state_dict() for name, network in networks.items()}


def _network(state: Mapping[str, Any], kind: type[AnyNetwork], function: str) -> tuple[AnyNetwork, float]:
    if state.get("version") != VERSION:
        raise NetworkError(
            f"a network of version {state.get('version')!r}; only version {VERSION}, of the TensorFlow implementation, "
            f"can be read (the older Theano version has another format)"
        )
    if state.get("build_func_name") != function:
        raise NetworkError(f"a network built by {state.get('build_func_name')!r} where {function!r} was expected")
    static = state.get("static_kwargs")
    if not isinstance(static, dict) or not all(isinstance(name, str) for name in static):
        raise NetworkError("a network without options (static_kwargs)")
    options, sizes = tf_options.network_options(static), tf_options.sizes(static)
    variables, lod = _variables(state.get("variables"))
    with torch.device("meta"):
        load_original(kind(options, **sizes), variables)  # checks names and shapes before memory is allocated
    network = kind(options, **sizes)
    load_original(network, variables)
    return network, lod


def _variables(pairs: Any) -> tuple[Variables, float]:
    variables: Variables = {}
    lod: float | None = None
    for pair in cast(list[Any], pairs) if isinstance(pairs, list) else []:
        match pair:
            case ("lod", tf_unpickle.Scalar() | tf_unpickle.Array() as number) if np.size(number.value) == 1:
                lod = float(np.asarray(number.value).item())
            case (str() as name, tf_unpickle.Array() as array):
                variables[name] = array.value.astype(np.float32)
            case _:
                raise NetworkError("a variable that is neither a named array nor the level of detail")
    if lod is None:
        raise NetworkError("a network without its level of detail (the variable lod)")
    return variables, lod
