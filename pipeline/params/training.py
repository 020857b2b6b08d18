"""Sections of the stages that train the progressive GAN and measure it."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import ParamsError
from pipeline.params.section import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Resolution, Section


class NetworkOptions(Section):
    """Options of both networks (SPEC §4).

    `use_pixelnorm`, `use_batchnorm`, `use_leakyrelu` and `use_tanh` are the generator's, `use_layernorm` and what
    begins with `mb` the discriminator's. `normalize_labels`: the normalised latent vector includes the label.
    `mbstd_group_size`: 0 or 1 for none, the largest minibatch or more for the whole minibatch as one group.
    `mbdisc_kernels`: of minibatch discrimination, 0 for none. `discriminator_fmap_scale`: the discriminator's
    feature maps as a part of the generator's.
    """

    fmap_base: PositiveInt
    fmap_decay: NonNegativeFloat
    fmap_max: PositiveInt
    discriminator_fmap_scale: Annotated[float, Field(gt=0, le=1)]
    latent_size: PositiveInt
    normalize_latents: bool
    normalize_labels: bool
    use_wscale: bool
    use_pixelnorm: bool
    pixelnorm_epsilon: PositiveFloat
    use_batchnorm: bool
    use_layernorm: bool
    use_leakyrelu: bool
    use_tanh: bool
    fused_scale: bool
    mbstd_group_size: NonNegativeInt
    mbdisc_kernels: NonNegativeInt
    mbdisc_kernel_size: PositiveInt

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if self.use_batchnorm and self.use_pixelnorm:
            raise ValueError("use_batchnorm and use_pixelnorm exclude each other: choose one normalisation")
        return self


class WganLoss(Section):
    """WGAN-GP (SPEC §5). `label_weight` multiplies the AC-GAN terms and acts only where there are labels."""

    kind: Literal["wgan-gp"]
    wgan_lambda: NonNegativeFloat
    wgan_target: PositiveFloat
    wgan_epsilon: NonNegativeFloat
    label_weight: NonNegativeFloat


class LsganLoss(Section):
    """Least squares with noise in the discriminator that grows as it wins (SPEC §5).

    `fake_weight` multiplies the discriminator's term of the fakes; the noise is `noise_gain` times the square of how
    far their mean score lies above one half, 0 for none. `label_weight` as in `WganLoss`.
    """

    kind: Literal["lsgan"]
    fake_weight: PositiveFloat
    noise_gain: NonNegativeFloat
    label_weight: NonNegativeFloat


AnyLoss = Annotated[WganLoss | LsganLoss, Field(discriminator="kind")]


class ScheduleOptions(Section):
    """Growth and step sizes by images shown (SPEC §6). Tables map a resolution to its own value.

    A minibatch is rounded down to a multiple of `devices`, which share it, and limited by what one of them can hold.
    `rampup_kimg`: the learning rate rises over so many thousand images, 0 for no rise. `reset_optimizers`: where a
    fade begins or ends. `discriminator_repeats`: updates of D for one of G; `joint_steps`: both from the same weights
    instead of one after the other. `minibatch_repeats`: such steps for one look at the schedule.
    """

    initial_resolution: Resolution
    train_kimg: NonNegativeFloat
    fade_kimg: NonNegativeFloat
    minibatch: PositiveInt
    minibatch_at: dict[Resolution, PositiveInt]
    devices: PositiveInt
    max_minibatch_per_device_at: dict[Resolution, PositiveInt]
    learning_rate: PositiveFloat
    learning_rate_at: dict[Resolution, PositiveFloat]
    rampup_kimg: NonNegativeFloat
    reset_optimizers: bool
    tick_kimg: PositiveFloat
    tick_kimg_at: dict[Resolution, PositiveFloat]
    discriminator_repeats: PositiveInt
    joint_steps: bool
    minibatch_repeats: PositiveInt
    total_kimg: PositiveFloat

    @model_validator(mode="after")
    def _steps_are_possible(self) -> Self:
        if self.train_kimg + self.fade_kimg == 0:
            raise ValueError("train_kimg and fade_kimg are both 0: a resolution must be trained for some images")
        if self.joint_steps and self.discriminator_repeats > 1:
            raise ValueError(
                f"discriminator_repeats is {self.discriminator_repeats} but joint_steps is true: a joint step updates "
                f"both networks once; set one of the two otherwise"
            )
        return self


class OptimizerOptions(Section):
    """Adam with epsilon added to the uncorrected root (SPEC §6)."""

    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    epsilon: PositiveFloat


class SpeedOptions(Section):
    """How a run is computed; what it computes stays the same but for rounding.

    `precision`: of the 3x3 convolutions, and their weights are float32 in any case; tf32 acts on a GPU only.
    `graphs_up_to`: resolution up to which a GPU repeats recorded steps instead of being told each operation, 0 for
    none. `samples_at_once`: by resolution, how many samples of its minibatch a device holds at a time; their
    gradients add up. `gpu_mib`: a level of the data set up to this size is held on the GPU. `workers`: processes that
    read `minibatches_ahead` of a level that is held nowhere, 0 to read each when it is needed.
    """

    precision: Literal["float32", "tf32", "bfloat16", "float16"]
    graphs_up_to: NonNegativeInt
    samples_at_once: dict[Resolution, PositiveInt]
    gpu_mib: NonNegativeInt
    workers: NonNegativeInt
    minibatches_ahead: PositiveInt


class SnapshotSwd(Section):
    """Sliced Wasserstein distance of every snapshot at its resolution: `images` reals against as many samples."""

    images: PositiveInt
    patches_per_image: PositiveInt
    directions: PositiveInt


class AlarmOptions(Section):
    """What ends a run that has gone wrong; losses that are not finite always do.

    `max_score`: the discriminator's mean score of a tick, in absolute value. `min_sample_std`: the deviation between
    the samples of a snapshot, mean over pixels, where black is -1 and white 1. `max_skipped_share`: of a tick's
    updates, those left out because a gradient was not finite.
    """

    max_score: PositiveFloat
    min_sample_std: NonNegativeFloat
    max_skipped_share: Annotated[float, Field(ge=0, le=1)]


FREE = {
    "ram_mib",
    "threads",
    "snapshot_ticks",
    "keep_snapshots",
    "snapshot_swd",
    "alarms",
    "deterministic",
    "speed",
}
"""Values of a run, beside its length, that may change between two starts of it."""


class TrainRun(Section):
    """One training run.

    `ram_mib`: a level of the data set up to this size is held in memory. `snapshot_ticks`: ticks between
    snapshots; `keep_snapshots`: how many network files stay, beside the best by `snapshot_swd` (null measures none).
    `alarms`: null for none. `deterministic`: a GPU, too, repeats a run to the last bit; without influence on a CPU,
    which always does. `grid_cell_pixels`: side of one image in the pictures of samples, where it appears enlarged.
    """

    dataset: Path
    resolution: Resolution
    labels: bool
    mirror: bool
    ram_mib: NonNegativeInt
    seed: NonNegativeInt
    threads: PositiveInt
    speed: SpeedOptions
    networks: NetworkOptions
    loss: AnyLoss
    schedule: ScheduleOptions
    optimizer: OptimizerOptions
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    snapshot_ticks: PositiveInt
    keep_snapshots: PositiveInt
    snapshot_swd: SnapshotSwd | None
    alarms: AlarmOptions | None
    deterministic: bool
    grid_columns: PositiveInt
    grid_rows: PositiveInt
    grid_cell_pixels: Resolution

    @model_validator(mode="after")
    def _sizes_fit_together(self) -> Self:
        first, last = self.schedule.initial_resolution, self.resolution
        if first > last:
            raise ValueError(f"schedule.initial_resolution {first} is above the run's resolution {last}")
        if self.grid_cell_pixels < last:
            raise ValueError(f"grid_cell_pixels {self.grid_cell_pixels} is below the run's resolution {last}")
        levels = last.bit_length() - 2
        if self.networks.fmap_base < 2 ** (levels * self.networks.fmap_decay):
            raise ValueError(
                f"networks.fmap_base {self.networks.fmap_base} leaves no feature map at resolution {last}: it must be "
                f"at least {math.ceil(2 ** (levels * self.networks.fmap_decay))}"
            )
        return self

    @model_validator(mode="after")
    def _minibatches_can_be_cut(self) -> Self:
        mixing = {"use_batchnorm": self.networks.use_batchnorm, "mbdisc_kernels": self.networks.mbdisc_kernels > 0}
        cutting = {"schedule.devices": self.schedule.devices > 1, "speed.samples_at_once": self.speed.samples_at_once}
        for name in (name for name, used in mixing.items() if used):
            for place in (place for place, cuts in cutting.items() if cuts):
                raise ValueError(
                    f"networks.{name} looks at all samples of a minibatch at once, which {place} would cut: "
                    f"set schedule.devices to 1 and speed.samples_at_once to {{}}"
                )
        return self

    def deciding(self) -> dict[str, Any]:
        """The values that decide what a run learns: a checkpoint serves every run in which these are the same."""
        values = self.model_dump(mode="json", exclude=FREE)
        values["schedule"] = self.schedule.model_dump(mode="json", exclude={"total_kimg"})
        return values


class TrainParams(Section):
    """The runs by name; each is a DVC stage `train@NAME`."""

    runs: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], TrainRun]

    def named(self, name: str) -> TrainRun:
        """The run `name`; raises `ParamsError` with the names that there are."""
        if name not in self.runs:
            raise ParamsError(f"train.runs of params.yaml has no run {name!r}; it has {', '.join(sorted(self.runs))}")
        return self.runs[name]


class InceptionOptions(Section):
    """What is measured in the features of an Inception network, and where the network is.

    `file`: the published TorchScript file (`inception-2015-12-05.pt`), or one that is called alike: uint8 images
    (N, 3, H, W) give probabilities, with `return_features=True` features. `sha256`: of the file.
    `fid_images`: one Fréchet distance for each count. `score_images`: of the inception score, in 10 splits.
    `kid_subsets` of `kid_subset_size` images each are taken from `kid_images`.
    """

    file: Path
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    fid_images: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    score_images: Annotated[int, Field(ge=10)]
    kid_images: Annotated[int, Field(ge=2)]
    kid_subsets: PositiveInt
    kid_subset_size: Annotated[int, Field(ge=2)]
    precision_images: Annotated[int, Field(ge=2)]
    precision_neighbours: PositiveInt

    @model_validator(mode="after")
    def _parts_fit_into_the_whole(self) -> Self:
        if self.kid_subset_size > self.kid_images:
            raise ValueError(f"kid_subset_size {self.kid_subset_size} is above kid_images {self.kid_images}")
        if self.precision_neighbours >= self.precision_images:
            raise ValueError(
                f"precision_neighbours {self.precision_neighbours} is not below precision_images "
                f"{self.precision_images}: an image has only so many neighbours"
            )
        return self

    @property
    def images(self) -> int:
        """How many images the largest of the counts needs."""
        return max(*self.fid_images, self.score_images, self.kid_images, self.precision_images)


class ModesOptions(Section):
    """The count of discrete modes in images of three digits, 32x32.

    `digits`: a data set of single digits with labels (N, 10), on which a classifier is fitted in `steps` minibatches;
    `held_out` of them test it. `samples`: images that are read.
    """

    digits: Path
    samples: PositiveInt
    steps: PositiveInt
    minibatch: PositiveInt
    learning_rate: PositiveFloat
    held_out: PositiveInt


class EvaluateParams(Section):
    """Names of metrics carry the counts given here: swd16k is 16,384 images, msssim10k 10,000 pairs.

    `swd_directions` is for each of the `swd_repeats` draws. `minibatch` is even, for the pairs. `inception`: null
    leaves out what needs an Inception network, `modes`: null the count of modes.
    """

    swd_images: PositiveInt
    swd_patches_per_image: PositiveInt
    swd_directions: PositiveInt
    swd_repeats: PositiveInt
    msssim_pairs: PositiveInt
    inception: InceptionOptions | None
    modes: ModesOptions | None
    minibatch: Annotated[int, Field(gt=0, multiple_of=2)]
    threads: PositiveInt
    seed: NonNegativeInt
