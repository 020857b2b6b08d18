"""Golden vectors of networks and their layers."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping

import torch

from tests.training.pggan import Case, at_full_resolution, discriminator, generator
from tests.training.pggan_compare import Compared, compare
from training.interop.tf_variables import original_name, tensor_from_original
from training.networks.layers import (
    Conv,
    ConvDown,
    ConvUp,
    Dense,
    Layer,
    downscale,
    minibatch_stddev,
    pixel_norm,
    upscale,
)
from training.ops.activations import leaky_relu


def g_forward(case: Case) -> Iterator[Compared]:
    network = generator(case.about["static_kwargs"], case.below("G/"))
    yield from multipliers(network, case.about["weight_multipliers"])
    latents_NL, labels_NC = case.tensor("latents"), case.labels("labels")
    for lod in case.about["lods"]:
        images = at_full_resolution(network(latents_NL, labels_NC, lod), lod)
        theirs = case.arrays[f"images/lod_{lod:.2f}"]
        yield compare(f"images at lod {lod}", images, theirs, allowed=1e-5, noise=case.noise("images"))


def d_forward(case: Case) -> Iterator[Compared]:
    network = discriminator(case.about["static_kwargs"], case.below("D/"))
    yield from multipliers(network, case.about["weight_multipliers"])
    for lod in case.about["lods"]:
        images_NCHW = torch.nn.functional.avg_pool2d(case.tensor("images"), 2 ** int(lod))
        scores_N, logits_NC = network(images_NCHW, lod)
        theirs = case.arrays[f"scores/lod_{lod:.2f}"][:, 0]
        yield compare(f"scores at lod {lod}", scores_N.detach(), theirs, allowed=1e-5, noise=case.noise("scores"))
        if logits_NC is not None:
            theirs = case.arrays[f"labels/lod_{lod:.2f}"]
            yield compare(f"logits at lod {lod}", logits_NC.detach(), theirs, allowed=1e-5, noise=case.noise("labels"))


def multipliers(network: torch.nn.Module, theirs: Mapping[str, float]) -> Iterator[Compared]:
    for name, layer in network.named_modules():
        if isinstance(layer, Layer):
            variable = original_name(f"{name}.weight")
            yield compare(f"multiplier of {variable}", layer.multiplier, theirs.get(variable, 1.0), allowed=1e-6)


def layers(case: Case) -> Iterator[Compared]:
    for name in sorted({name.partition("/")[0] for name in case.arrays}):
        x = case.tensor(f"{name}/x").requires_grad_()
        y = block(case, name)(x)
        yield compare(name, y.detach(), case.arrays[f"{name}/y"], allowed=1e-5, noise=case.noise(name))
        if f"{name}/dy_dx" in case.arrays:
            (derivative,) = torch.autograd.grad(y.sum(), x)
            yield compare(f"derivative of {name}", derivative, case.arrays[f"{name}/dy_dx"], allowed=1e-7)


def block(case: Case, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The building block that a set of arrays in layers.npz is named after."""
    if f"{name}/weight" in case.arrays:
        return weighted_block(case, name)
    kind = next(
        kind for kind in ("pixel_norm", "upscale2d", "downscale2d", "minibatch", "leaky") if name.startswith(kind)
    )
    factor = int(name.partition("_f")[2] or 2).bit_length() - 1
    return {
        "pixel_norm": lambda x: pixel_norm(x, 1e-8),
        "upscale2d": lambda x: functools.reduce(lambda y, _: upscale(y), range(factor), x),
        "downscale2d": lambda x: functools.reduce(lambda y, _: downscale(y), range(factor), x),
        "minibatch": lambda x: minibatch_stddev(x, int(name.split("_")[2].removeprefix("g"))),
        "leaky": leaky_relu,
    }[kind]


def weighted_block(case: Case, name: str) -> Layer:
    weight = tensor_from_original(case.arrays[f"{name}/weight"])
    wscale = f"{name}/weight" in case.about["weight_multipliers"]
    gain = 1.0 if "gain1" in name else math.sqrt(2)
    first, second = weight.shape[:2]
    layer: Layer
    if name.startswith("dense"):
        layer = Dense(second, first, gain=gain, use_wscale=wscale)
    elif name.startswith("upscale2d_conv2d"):
        layer = ConvUp(first, second, gain=gain, use_wscale=wscale)
    elif name.startswith("conv2d_downscale2d"):
        layer = ConvDown(second, first, gain=gain, use_wscale=wscale)
    else:
        layer = Conv(second, first, kernel=weight.shape[2], gain=gain, use_wscale=wscale)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer
