"""The training step as most ports write it: what `benchmarks.step` sets ours against.

The same function as ours with default options (no labels, WGAN-GP, beta1 0), in float32 and torch's standard memory
order, operation by operation: nearest-neighbour upscaling, then the convolution; the convolution, then the mean; every
weight multiplied when it is used; one pass of the discriminator each for reals, fakes and the gradient penalty;
optimiser and average one parameter after the other. What needs no gradient gets none: the fakes of the discriminator's
step, and the discriminator's weights in the generator's. `tests/training/test_reference.py` holds the two together.

The fused downscaling of the original puts bias and activation after the mean; so does this.
"""

import copy
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import NetworkOptions, TrainRun, WganLoss
from training.networks.progressive import feature_maps


class ScaledConv(nn.Module):
    """A convolution with equalised learning rate; `forward` takes what to do between convolution and bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel**2)

    def forward(self, x: Tensor, halve: bool = False) -> Tensor:
        """Convolve, take the mean of 2x2 pixels if asked, add the bias."""
        y = functional.conv2d(x, self.weight * self.scale, padding=self.weight.shape[-1] // 2)
        if halve:
            y = functional.avg_pool2d(y, 2)
        return y + self.bias.view(1, -1, 1, 1)


class ScaledDense(nn.Module):
    """A matrix product with equalised learning rate; with `maps`, one bias for 16 outputs seen as 4x4 pixels."""

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
    """One map more: the mean standard deviation within a group."""
    group = min(group_size, len(x))
    y = x.view(group, -1, *x.shape[1:])
    y = y - y.mean(dim=0, keepdim=True)
    y = torch.sqrt((y**2).mean(dim=0) + 1e-8).mean(dim=(1, 2, 3))
    return torch.cat([x, y.view(1, -1, 1, 1, 1).expand(group, -1, 1, *x.shape[2:]).reshape(len(x), 1, *x.shape[2:])], 1)


class PlainGenerator(nn.Module):
    """G. Blocks and toRGB layers are in order of resolution, 4x4 first."""

    def __init__(self, options: NetworkOptions, resolution: int) -> None:
        super().__init__()
        maps = [feature_maps(options, level) for level in range(1, resolution.bit_length() - 1)]
        self.epsilon = options.pixelnorm_epsilon
        self.dense = ScaledDense(options.latent_size, maps[0], gain=math.sqrt(2) / 4, maps=True)
        self.conv = ScaledConv(maps[0], maps[0], 3)
        pairs = list(itertools.pairwise(maps))
        self.conv0 = nn.ModuleList([ScaledConv(before, after, 3) for before, after in pairs])
        self.conv1 = nn.ModuleList([ScaledConv(after, after, 3) for _, after in pairs])
        self.to_rgb = nn.ModuleList([ScaledConv(count, 3, 1, gain=1.0) for count in maps])

    def activate(self, x: Tensor) -> Tensor:
        """Leaky ReLU and pixel norm."""
        return pixel_norm(functional.leaky_relu(x, 0.2), self.epsilon)

    def forward(self, latents: Tensor, lod: float) -> Tensor:
        """Images at the resolution of `lod`."""
        level, fade = len(self.conv0) - math.floor(lod), lod - math.floor(lod)
        before = x = self.activate(self.conv(self.activate(self.dense(pixel_norm(latents, self.epsilon)))))
        for conv0, conv1 in zip(self.conv0[:level], self.conv1[:level], strict=True):
            before = x
            x = self.activate(conv0(functional.interpolate(x, scale_factor=2, mode="nearest")))
            x = self.activate(conv1(x))
        images = self.to_rgb[level](x)
        if fade > 0:
            old = functional.interpolate(self.to_rgb[level - 1](before), scale_factor=2, mode="nearest")
            images = images + (old - images) * fade
        return images


class PlainDiscriminator(nn.Module):
    """D. Blocks and fromRGB layers are in order of resolution, 4x4 first."""

    def __init__(self, options: NetworkOptions, resolution: int) -> None:
        super().__init__()
        maps = [feature_maps(options, level) for level in range(1, resolution.bit_length() - 1)]
        self.group_size = options.mbstd_group_size
        pairs = list(itertools.pairwise(maps))
        self.from_rgb = nn.ModuleList([ScaledConv(3, count, 1) for count in maps])
        self.conv0 = nn.ModuleList([ScaledConv(above, above, 3) for _, above in pairs])
        self.conv1 = nn.ModuleList([ScaledConv(above, below, 3) for below, above in pairs])
        self.conv = ScaledConv(maps[0] + (self.group_size > 1), maps[0], 3)
        self.dense0 = ScaledDense(maps[0] * 16, feature_maps(options, 0))
        self.dense1 = ScaledDense(feature_maps(options, 0), 1, gain=1.0)

    def forward(self, images: Tensor, lod: float) -> Tensor:
        """Scores (N,)."""
        level, fade = len(self.conv0) - math.floor(lod), lod - math.floor(lod)
        x = functional.leaky_relu(self.from_rgb[level](images), 0.2)
        for index in reversed(range(level)):
            x = functional.leaky_relu(self.conv0[index](x), 0.2)
            x = functional.leaky_relu(self.conv1[index](x, halve=True), 0.2)
            if fade > 0 and index == level - 1:
                old = functional.leaky_relu(self.from_rgb[index](functional.avg_pool2d(images, 2)), 0.2)
                x = x + (old - x) * fade
        if self.group_size > 1:
            x = minibatch_stddev(x, self.group_size)
        x = functional.leaky_relu(self.conv(x), 0.2)
        x = functional.leaky_relu(self.dense0(x.flatten(1)), 0.2)
        return self.dense1(x)[:, 0]


class PlainAdam:
    """Adam with beta1 0 and epsilon beside the uncorrected root."""

    def __init__(self, parameters: Iterable[nn.Parameter], beta2: float, epsilon: float) -> None:
        self.parameters = list(parameters)
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.beta2, self.epsilon, self.steps = beta2, epsilon, 0

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        rate = learning_rate * math.sqrt(1 - self.beta2**self.steps)
        for parameter, second in zip(self.parameters, self.second, strict=True):
            if parameter.grad is not None:
                second.mul_(self.beta2).addcmul_(parameter.grad, parameter.grad, value=1 - self.beta2)
                parameter.addcdiv_(parameter.grad, second.sqrt().add_(self.epsilon), value=-rate)


class Draws(NamedTuple):
    """What a step is made from: reals in [-1, 1], latents of D's fakes, mixing factors, latents of G's fakes."""

    reals: Tensor
    latents_d: Tensor
    mixing: Tensor
    latents_g: Tensor


class PlainTrainer:
    """Both networks, the average, and their step; the run has no labels and WGAN-GP."""

    def __init__(self, run: TrainRun) -> None:
        assert isinstance(run.loss, WganLoss) and not run.labels
        self.loss, self.decay = run.loss, run.ema_decay
        self.generator = PlainGenerator(run.networks, run.resolution)
        self.discriminator = PlainDiscriminator(run.networks, run.resolution)
        self.average = copy.deepcopy(self.generator)
        options = run.optimizer
        self.adam_g = PlainAdam(self.generator.parameters(), options.beta2, options.epsilon)
        self.adam_d = PlainAdam(self.discriminator.parameters(), options.beta2, options.epsilon)

    def load(self, networks: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Start from our weights by their names (`Trainer.networks`)."""
        targets = (("G", self.generator), ("Gs", self.average), ("D", self.discriminator))
        for name, network in targets:
            network.load_state_dict(dict(plain_names(networks[name], name != "D")))

    def step(self, draws: Draws, lod: float, learning_rate: float) -> None:
        """D, the average, G."""
        reals, latents_d, mixing, latents_g = draws
        self.adam_d.zero_grad()
        with torch.no_grad():
            fakes = self.generator(latents_d, lod)
        real_scores, fake_scores = self.discriminator(reals, lod), self.discriminator(fakes, lod)
        mixed = (reals + (fakes - reals) * mixing.view(-1, 1, 1, 1)).requires_grad_(True)
        mixed_scores = self.discriminator(mixed, lod)
        (grads,) = torch.autograd.grad(mixed_scores.sum(), mixed, create_graph=True)
        norms = grads.flatten(1).norm(dim=1) / 2 ** math.floor(lod)
        target, weight = self.loss.wgan_target, self.loss.wgan_lambda / self.loss.wgan_target**2
        penalty = weight * (norms - target) ** 2
        (fake_scores - real_scores + penalty + self.loss.wgan_epsilon * real_scores**2).mean().backward()
        self.adam_d.step(learning_rate)
        with torch.no_grad():
            for ours, theirs in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                ours.mul_(self.decay).add_(theirs, alpha=1 - self.decay)
        self.adam_g.zero_grad()
        self.discriminator.requires_grad_(False)
        (-self.discriminator(self.generator(latents_g, lod), lod)).mean().backward()
        self.discriminator.requires_grad_(True)
        self.adam_g.step(learning_rate)


def plain_names(network: Mapping[str, Tensor], generator: bool) -> Iterable[tuple[str, Tensor]]:
    """Our weights by the names and in the layouts of this module."""
    levels = sum(name.endswith("Conv1.weight" if generator else "Conv1_down.weight") for name in network)
    fixed = {"Dense": "dense", "Dense0": "dense0", "Dense1": "dense1", "Conv": "conv"}
    several = {"Conv0": "conv0", "Conv0_up": "conv0", "Conv1": "conv1", "Conv1_down": "conv1"}
    for name, value in network.items():
        place, _, rest = name.partition(".")
        if place.startswith(("ToRGB", "FromRGB")):
            side = "to_rgb" if generator else "from_rgb"
            yield f"{side}.{levels - int(place.rpartition('lod')[2])}.{rest}", value
            continue
        layer, _, kind = rest.partition(".")
        index = int(place.partition("x")[0]).bit_length() - 4
        target = fixed[layer] if index < 0 else f"{several[layer]}.{index}"
        turned = layer == "Conv0_up" and kind == "weight"
        yield f"{target}.{kind}", value.transpose(0, 1).flip(2, 3) if turned else value
