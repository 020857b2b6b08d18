"""The settings of a training step after so many real images: level of detail, minibatch, learning rate.

Karras et al. 2018, appendix A.1.
"""

import math
from typing import NamedTuple

from pipeline.params import EmaHalfLife, LearningRates, ScheduleOptions


class Step(NamedTuple):
    """The settings of one training step.

    `lod` is the level of detail, `resolution` the current resolution in pixels, `minibatch` the number of images,
    `tick_kimg` the thousands of images between two reports. `discriminator_learning_rate` is None where both networks
    have `learning_rate`.
    """

    lod: float
    resolution: int
    minibatch: int
    learning_rate: float
    tick_kimg: float
    discriminator_learning_rate: float | None = None


def at(options: ScheduleOptions, resolution: int, images: int) -> Step:
    """The step after `images` reals were shown, for networks whose full resolution is `resolution`."""
    lod = _lod(options, resolution, images / 1000)
    current = resolution >> math.floor(lod)
    rampup, rates_of_d = _rampup(options, images / 1000), options.discriminator_rates
    return Step(
        lod=lod,
        resolution=current,
        minibatch=_minibatch(options, current),
        learning_rate=learning_rate(options, current) * rampup,
        tick_kimg=options.tick_kimg_at.get(current, options.tick_kimg),
        discriminator_learning_rate=None if rates_of_d is None else learning_rate(rates_of_d, current) * rampup,
    )


def learning_rate(options: ScheduleOptions | LearningRates, resolution: int) -> float:
    """The learning rate at a resolution, after the rampup."""
    return options.learning_rate_at.get(resolution, options.learning_rate)


def ema_decay(option: float | EmaHalfLife, minibatch: int) -> float:
    """How much of the average of G's weights an update with `minibatch` images leaves."""
    return 0.5 ** (minibatch / (1000 * option.half_life_kimg)) if isinstance(option, EmaHalfLife) else option


class Phase(NamedTuple):
    """A part of a run at one resolution, either in a fade or after it: `steps` from `start` to `end` images shown.

    `first` is its first step. The learning rate may rise within a phase, by `rampup_kimg`.
    """

    first: Step
    start: int
    end: int
    steps: int

    @property
    def fades(self) -> bool:
        """Whether the resolution is faded in."""
        return self.first.lod > math.floor(self.first.lod)


def phases(options: ScheduleOptions, resolution: int, images: int = 0) -> list[Phase]:
    """The phases of a run that starts after `images`, in order, as the loop takes its steps."""
    found: list[Phase] = []
    while not run_ends(options, images):
        step = at(options, resolution, images)
        shown = images + options.minibatch_repeats * images_per_step(options, step)
        phase = Phase(step, images, shown, options.minibatch_repeats)
        if found and (found[-1].first.resolution, found[-1].fades) == (step.resolution, phase.fades):
            found[-1] = found[-1]._replace(end=shown, steps=found[-1].steps + phase.steps)
        else:
            found.append(phase)
        images = shown
    return found


def growth(options: ScheduleOptions, resolution: int) -> list[tuple[int, int]]:
    """After how many images each resolution that a run reaches is first shown, and that resolution."""
    found, phase = list[tuple[int, int]](), options.train_kimg + options.fade_kimg
    for number in range((resolution // options.initial_resolution).bit_length() if phase > 0 else 1):
        # the fade into the resolution of phase n is the end of phase n - 1
        start = math.ceil(max(number * phase - options.fade_kimg, 0) * 1000) if number else 0
        if start < options.total_kimg * 1000:
            found.append((start, options.initial_resolution << number))
    return found


def images_per_step(options: ScheduleOptions, step: Step) -> int:
    """The reals that D is trained on in one step."""
    return step.minibatch * (1 if options.joint_steps else options.discriminator_repeats)


def resets(previous_lod: float | None, lod: float) -> bool:
    """Whether both optimisers are reset: at the first step, and where a fade begins or ends."""
    if previous_lod is None:
        return True
    return math.floor(lod) != math.floor(previous_lod) or math.ceil(lod) != math.ceil(previous_lod)


def tick_ends(options: ScheduleOptions, step: Step, *, tick_start: int, images: int) -> bool:
    """Whether the tick that began after `tick_start` images ends after `images`; the end of the run ends it too."""
    return images >= tick_start + step.tick_kimg * 1000 or run_ends(options, images)


def run_ends(options: ScheduleOptions, images: int) -> bool:
    """Whether the run is complete after `images`."""
    return images >= options.total_kimg * 1000


def _lod(options: ScheduleOptions, resolution: int, kimg: float) -> float:
    phase_kimg = options.train_kimg + options.fade_kimg
    phase = math.floor(kimg / phase_kimg) if phase_kimg > 0 else 0
    fading_kimg = max(kimg - phase * phase_kimg - options.train_kimg, 0.0)
    faded = fading_kimg / options.fade_kimg if options.fade_kimg > 0 else 0.0
    return max(math.log2(resolution) - math.log2(options.initial_resolution) - phase - faded, 0.0)


def _rampup(options: ScheduleOptions, kimg: float) -> float:
    """From exp(-5) to 1, with derivative 0 at the end (Laine and Aila 2017)."""
    if kimg >= options.rampup_kimg:
        return 1.0
    return math.exp(-5 * (1 - kimg / options.rampup_kimg) ** 2)


def _minibatch(options: ScheduleOptions, current: int) -> int:
    minibatch = options.minibatch_at.get(current, options.minibatch)
    divisible = minibatch - minibatch % options.devices
    limit = options.max_minibatch_per_device_at.get(current)
    return divisible if limit is None else min(divisible, limit * options.devices)
