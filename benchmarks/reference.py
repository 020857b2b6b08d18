"""The training step as most ports write it, to which `benchmarks.step` compares ours.

The same function as ours with default options (no labels, WGAN-GP, beta1 0), in float32 and torch's default memory
format: nearest-neighbour upscaling, then the convolution; the convolution, then the mean; weights scaled at every use;
one pass of the discriminator each for reals, fakes and the penalty; optimiser and average one parameter at a time.
Gradients are computed only where needed. As in the original's fused downscaling, bias and activation follow the mean.
`tests/training/test_reference.py` checks that both compute the same weights.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import NetworkOptions, TrainRun, WganLoss
from training import schedule
from training.networks.progressive import feature_maps


class ScaledConv(nn.Module):
    """A convolution with equalised learning rate; with `halve` a 2x2 mean between convolution and bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor, halve: bool = False) -> Tensor:
        """Convolve and add the bias."""
        y = functional.conv2d(x, self.weight * self.scale, padding=self.weight.shape[-1] // 2)
        return (functional.avg_pool2d(y, 2) if halve else y) + self.bias.view(1, -1, 1, 1)


class ScaledDense(nn.Module):
    """A dense layer with equalised learning rate; with `maps` to 4x4 pixels, with one bias per map."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2), maps: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs * 16 if maps else outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs)
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        """Multiply and add the bias."""
        y = functional.linear(x, self.weight * self.scale)
        return y.view(len(x), -1, 4, 4) + self.bias.view(1, -1, 1, 1) if self.maps else y + self.bias


def pixel_norm(x: Tensor, epsilon: float) -> Tensor:
    """Unit RMS along axis 1."""
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + epsilon)


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Append a map with the mean standard deviation of the sample's group."""
    group = min(group_size, len(x))
    y = x.view(group, -1, *x.shape[1:])
    y = y - y.mean(dim=0, keepdim=True)
    y = torch.sqrt((y**2).mean(dim=0) + 1e-8).mean(dim=(1, 2, 3))
    return torch.cat([x, y.view(1, -1, 1, 1, 1).expand(group, -1, 1, *x.shape[2:]).reshape(len(x), 1, *x.shape[2:])], 1)


def upscale(x: Tensor) -> Tensor:
    """Double the size, nearest neighbour."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def maps_of(options: NetworkOptions, resolution: int) -> list[int]:
    """Feature maps at 4x4, 8x8, … `resolution`."""
    return [feature_maps(options, level) for level in range(1, resolution.bit_length() - 1)]


class PlainGenerator(nn.ModuleDict):
    """G, with our names of modules."""

    def __init__(self, options: NetworkOptions, resolution: int) -> None:
        maps = maps_of(options, resolution)
        dense = ScaledDense(options.latent_size, maps[0], gain=math.sqrt(2) / 4, maps=True)
        super().__init__({"4x4": nn.ModuleDict({"Dense": dense, "Conv": ScaledConv(maps[0], maps[0])})})
        for level, (below, own) in enumerate(pairwise(maps), 1):
            block = {"Conv0_up": ScaledConv(below, own), "Conv1": ScaledConv(own, own)}
            self[f"{4 << level}x{4 << level}"] = nn.ModuleDict(block)
        self.update({f"ToRGB_lod{lod}": ScaledConv(own, 3, 1, gain=1.0) for lod, own in enumerate(reversed(maps))})
        self.levels, self.epsilon = len(maps) - 1, options.pixelnorm_epsilon

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU and pixel norm."""
        return pixel_norm(functional.leaky_relu(x, 0.2), self.epsilon)

    def forward(self, latents: Tensor, lod: float) -> Tensor:
        """Images at the resolution of `lod`."""
        floor, fade = math.floor(lod), lod - math.floor(lod)
        before = x = self.activate(self["4x4"]["Dense"](pixel_norm(latents, self.epsilon)))
        x = self.activate(self["4x4"]["Conv"](x))
        for level in range(1, self.levels - floor + 1):
            before, block = x, self[f"{4 << level}x{4 << level}"]
            x = self.activate(block["Conv0_up"](upscale(x)))
            x = self.activate(block["Conv1"](x))
        images = self[f"ToRGB_lod{floor}"](x)
        if fade > 0:
            images = images + (upscale(self[f"ToRGB_lod{floor + 1}"](before)) - images) * fade
        return images


class PlainDiscriminator(nn.ModuleDict):
    """D, with our names of modules."""

    def __init__(self, options: NetworkOptions, resolution: int) -> None:
        maps, features = maps_of(options, resolution), feature_maps(options, 0)
        conv = ScaledConv(maps[0] + (options.mbstd_group_size > 1), maps[0])
        dense = {"Dense0": ScaledDense(maps[0] * 16, features), "Dense1": ScaledDense(features, 1, gain=1.0)}
        super().__init__({"4x4": nn.ModuleDict({"Conv": conv, **dense})})
        for level, (below, own) in enumerate(pairwise(maps), 1):
            block = {"Conv0": ScaledConv(own, own), "Conv1_down": ScaledConv(own, below)}
            self[f"{4 << level}x{4 << level}"] = nn.ModuleDict(block)
        self.update({f"FromRGB_lod{lod}": ScaledConv(3, own, 1) for lod, own in enumerate(reversed(maps))})
        self.levels, self.group_size = len(maps) - 1, options.mbstd_group_size

    def forward(self, images: Tensor, lod: float) -> Tensor:
        """Scores (N,)."""
        floor, fade = math.floor(lod), lod - math.floor(lod)
        top, head = self.levels - floor, self["4x4"]
        x = functional.leaky_relu(self[f"FromRGB_lod{floor}"](images), 0.2)
        for level in range(top, 0, -1):
            block = self[f"{4 << level}x{4 << level}"]
            x = functional.leaky_relu(block["Conv0"](x), 0.2)
            x = functional.leaky_relu(block["Conv1_down"](x, halve=True), 0.2)
            if fade > 0 and level == top:
                old = functional.leaky_relu(self[f"FromRGB_lod{floor + 1}"](functional.avg_pool2d(images, 2)), 0.2)
                x = x + (old - x) * fade
        if self.group_size > 1:
            x = minibatch_stddev(x, self.group_size)
        x = functional.leaky_relu(head["Conv"](x), 0.2)
        x = functional.leaky_relu(head["Dense0"](x.flatten(1)), 0.2)
        return head["Dense1"](x)[:, 0]


class PlainAdam:
    """Adam with beta1 0 and epsilon next to the uncorrected root, as TensorFlow computes it."""

    def __init__(self, parameters: Iterable[nn.Parameter], beta2: float, epsilon: float) -> None:
        self.parameters = list(parameters)
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.beta2, self.epsilon, self.steps = beta2, epsilon, 0

    def zero_grad(self) -> None:
        """Remove the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient."""
        self.steps += 1
        rate = learning_rate * math.sqrt(1 - self.beta2**self.steps)
        for parameter, second in zip(self.parameters, self.second, strict=True):
            if parameter.grad is not None:
                second.mul_(self.beta2).addcmul_(parameter.grad, parameter.grad, value=1 - self.beta2)
                parameter.addcdiv_(parameter.grad, second.sqrt().add_(self.epsilon), value=-rate)


class Draws(NamedTuple):
    """Inputs of a step: reals in [-1, 1], latents of D's fakes, interpolation weights, latents of G's fakes."""

    reals: Tensor
    latents_d: Tensor
    interpolation_weights: Tensor
    latents_g: Tensor


class PlainTrainer:
    """Both networks, the average, and their step; the run has no labels and WGAN-GP."""

    def __init__(self, run: TrainRun) -> None:
        assert isinstance(run.loss, WganLoss) and not run.labels
        self.loss, self.ema_decay = run.loss, run.ema_decay
        self.generator = PlainGenerator(run.networks, run.resolution)
        self.discriminator = PlainDiscriminator(run.networks, run.resolution)
        self.average = copy.deepcopy(self.generator)
        options = run.optimizer
        self.adam_g = PlainAdam(self.generator.parameters(), options.beta2, options.epsilon)
        self.adam_d = PlainAdam(self.discriminator.parameters(), options.beta2, options.epsilon)

    def load(self, networks: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Start from our weights by their names (`Trainer.networks`)."""
        for name, network in (("G", self.generator), ("Gs", self.average), ("D", self.discriminator)):
            network.load_state_dict(plain_weights(networks[name]))

    def step(self, draws: Draws, lod: float, learning_rate: float) -> None:
        """D, the average, G."""
        reals, latents_d, weights, latents_g = draws
        self.adam_d.zero_grad()
        with torch.no_grad():
            fakes = self.generator(latents_d, lod)
        real_scores, fake_scores = self.discriminator(reals, lod), self.discriminator(fakes, lod)
        interpolated = (reals + (fakes - reals) * weights.view(-1, 1, 1, 1)).requires_grad_(True)
        (grads,) = torch.autograd.grad(self.discriminator(interpolated, lod).sum(), interpolated, create_graph=True)
        norms = grads.flatten(1).norm(dim=1) / 2 ** math.floor(lod)
        target, weight = self.loss.wgan_target, self.loss.wgan_lambda / self.loss.wgan_target**2
        penalty = weight * (norms - target) ** 2
        (fake_scores - real_scores + penalty + self.loss.wgan_epsilon * real_scores**2).mean().backward()
        self.adam_d.step(learning_rate)
        decay = schedule.ema_decay(self.ema_decay, len(reals))
        with torch.no_grad():
            for average, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                average.mul_(decay).add_(current, alpha=1 - decay)
        self.adam_g.zero_grad()
        self.discriminator.requires_grad_(False)
        (-self.discriminator(self.generator(latents_g, lod), lod)).mean().backward()
        self.discriminator.requires_grad_(True)
        self.adam_g.step(learning_rate)


def plain_weights(network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights in the layouts of this module: `Conv0_up` is a convolution here, a transposed one in ours."""
    return {
        name: value.transpose(0, 1).flip(2, 3) if name.endswith("Conv0_up.weight") else value
        for name, value in network.items()
    }
