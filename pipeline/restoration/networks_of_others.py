"""Restoration networks of others, by the library spandrel: FBCNN, SCUNet, SwinIR, Real-ESRGAN, DAT, HAT and many more.

Weights are read without running code, and published as safetensors; the architecture follows from their names and
shapes.
"""

import importlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from pipeline import atomic
from pipeline.errors import NetworkError
from pipeline.restoration.networks import RestorationNetwork

FORMAT = "celebahq spandrel network 1"
LARGEST_HALO = 64
"""In input pixels. Attention and means over the image see all of it, deep stacks hundreds of pixels, with a weight that
falls off fast: of such networks a tile reads this much around what it keeps."""

_METADATA_KEY = "network"
_TORCHVISION = "torchvision.transforms.functional"
_NEED_TORCHVISION = ("LaMa", "RestoreFormer")
_PROBE_ROWS = 8


class NetworkOfOthers(RestorationNetwork):
    """A network of spandrel with our ranges; inputs are padded to the sizes that it takes.

    `whole`: its makers discourage tiles, so an image is passed whole where it is no larger than a tile.
    """

    def __init__(self, model: Any, receptive_radius: int) -> None:
        """`model` is an `ImageModelDescriptor`."""
        super().__init__()
        self.module = model.model  # its parameters are those of this network
        self._model = model
        self.scale = model.scale
        self.multiple = _period(model)
        self.receptive_radius = receptive_radius
        if receptive_radius == LARGEST_HALO and LARGEST_HALO % self.multiple == 0:
            self.multiple = LARGEST_HALO  # windows of 8 after strides of 8 at most, which nothing states

    @property
    def architecture(self) -> str:
        """The name in spandrel, with what it says of the size."""
        return " ".join([self._model.architecture.name, *self._model.tags])

    @property
    def whole(self) -> bool:
        """Whether its makers discourage tiles."""
        return self._model.tiling.name != "SUPPORTED"

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [-1, 1]; values beyond are clipped."""
        # in bfloat16 the last two operations would round bright values by a level
        return self._model(images_NCHW.add(1).div(2).clamp(0, 1)).float().mul(2).sub(1)


def import_network(source: Path, content: bytes, target: Path) -> NetworkOfOthers:
    """Write the weights in `content`, of the file `source`, to `target` as safetensors; return their network.

    `NetworkError`: the content holds more than weights, or none of a network that restores RGB images, or spandrel is
    not installed.
    """
    spandrel = _spandrel(source)
    weights = _read_weights(source, content)
    try:
        state = spandrel.canonicalize_state_dict(weights)
    except Exception as error:
        raise _unknown(source, error) from error
    tensors = {name: tensor.contiguous().clone() for name, tensor in state.items() if isinstance(tensor, Tensor)}
    network = _build(source, tensors, radius=receptive_radius(_build(source, tensors, radius=0)))
    facts = {"format": FORMAT, "architecture": network.architecture, "receptive_radius": network.receptive_radius}
    metadata = {_METADATA_KEY: json.dumps(facts, sort_keys=True)}
    atomic.write_bytes(target, safetensors.torch.save(tensors, metadata=metadata))
    return network


def facts_of(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """What `import_network` states in the metadata of its files; None for those of another file."""
    try:
        found = json.loads(metadata.get(_METADATA_KEY, "null"))
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def load_imported(path: Path, facts: dict[str, Any]) -> NetworkOfOthers:
    """Load a file of `import_network`, whose metadata are `facts`; `NetworkError` as there."""
    return _build(path, safetensors.torch.load_file(path), int(facts["receptive_radius"]))


def receptive_radius(network: RestorationNetwork) -> int:
    """How far a network sees, in input pixels, at most `LARGEST_HALO`: how far NaN spreads from one column."""
    step = network.multiple
    width = 2 * (LARGEST_HALO + step) + 1
    columns = torch.zeros(1, 3, max(_PROBE_ROWS, step), width)
    middle = width // 2
    columns[..., middle] = torch.nan
    with torch.inference_mode():
        seen = network(columns).isnan().any(dim=1).any(dim=1)[0].nonzero().flatten()
    if len(seen) == 0:  # as by a replacement of NaN: nothing is known
        return LARGEST_HALO
    radius = max(middle - int(seen[0]) // network.scale, int(seen[-1]) // network.scale - middle)
    return min(radius + step - 1, LARGEST_HALO)  # where a block of `step` pixels begins is not known


def _period(model: Any) -> int:
    """The size of its windows and strides, as far as they are stated."""
    sizes = [model.size_requirements.multiple_of]
    for name in ("window_size", "split_size"):
        window = getattr(model.model, name, 1)
        sizes += window if isinstance(window, Sequence) else [window]
    return math.lcm(*sizes)


def _build(path: Path, tensors: dict[str, Tensor], radius: int) -> NetworkOfOthers:
    spandrel = _spandrel(path)
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor.float()).all())]
    if broken:
        raise NetworkError(f"{path}: values that are not finite in {', '.join(broken)}.")
    registry = spandrel.ArchRegistry()
    registry.add(*(kind for kind in spandrel.MAIN_REGISTRY if kind.architecture.id not in _NEED_TORCHVISION))
    try:
        with warnings.catch_warnings(action="ignore"):  # of old calls of torch in the library
            model = registry.load({name: tensor.clone() for name, tensor in tensors.items()})
    except Exception as error:
        raise _unknown(path, error) from error
    if not isinstance(model, spandrel.ImageModelDescriptor):
        raise NetworkError(f"{path}: a {model.architecture.name} network fills in masked images; it restores none.")
    channels = (model.input_channels, model.output_channels)
    if channels != (3, 3):
        raise NetworkError(
            f"{path}: this {model.architecture.name} network takes {channels[0]} and gives {channels[1]} channels, but "
            f"the photographs are RGB. Choose the colour version of the network."
        )
    model.model.float()
    network = NetworkOfOthers(model, radius)
    return network.eval().requires_grad_(False)


def _read_weights(source: Path, content: bytes) -> dict[str, Any]:
    try:
        if source.suffix == ".safetensors":
            return safetensors.torch.load(content)
        found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises many kinds, also IndexError, AssertionError, struct.error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise NetworkError(
            f"{source}: not read: it is damaged, or holds more than weights, such as code ({reason[0]}). Use the "
            f"network's file of weights (.safetensors, or .pth with a state dict)."
        ) from error
    if not isinstance(found, dict):
        raise NetworkError(f"{source}: holds a {type(found).__name__}, not the weights of a network by name.")
    return found


def _unknown(path: Path, error: Exception) -> NetworkError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return NetworkError(
        f"{path}: its weights fit no network of spandrel that restores images ({reason}). See the list of "
        f"architectures at https://github.com/chaiNNer-org/spandrel; LaMa and RestoreFormer are left out."
    )


def _spandrel(path: Path) -> Any:
    """The library; `NetworkError` where it is not installed."""
    try:
        return _import_spandrel()
    except ImportError as error:
        raise NetworkError(
            f"{path}: networks of others need the library spandrel ({error}): "
            f"pip install --no-deps 'spandrel>=0.4.2' einops"
        ) from error


@cache
def _import_spandrel(load: Callable[[str], ModuleType] = importlib.import_module) -> ModuleType:
    # spandrel imports torchvision for two architectures only, which are left out. torchvision fits one version of torch
    # and is often absent or broken next to another: three names that nothing uses take its place during the import
    if "torchvision" in sys.modules:
        return load("spandrel")
    placeholder = ModuleType(_TORCHVISION)
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(placeholder, name, None)
    sys.modules[_TORCHVISION] = placeholder
    try:
        return load("spandrel")
    finally:
        del sys.modules[_TORCHVISION]
