"""Sections of the stages that train and evaluate the progressive GAN."""

import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import ParamsError
from pipeline.params.section import (
    Beta,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Resolution,
    Section,
    Sha256,
)


class NetworkOptions(Section):
    """Both networks (Karras et al. 2018, appendix A.1). G: generator, D: discriminator."""

    # feature maps at level s (resolution 2^s): fmap_base / 2^((s-1) * fmap_decay), at most fmap_max
    fmap_base: PositiveInt
    fmap_decay: NonNegativeFloat
    fmap_max: PositiveInt
    discriminator_fmap_scale: Annotated[float, Field(gt=0, le=1)]  # D's feature maps as a fraction of G's
    latent_size: PositiveInt
    normalize_latents: bool  # to unit length before the first layer
    normalize_labels: bool  # the label is part of the vector that is normalised
    use_wscale: bool  # equalised learning rate
    use_pixelnorm: bool  # G
    pixelnorm_epsilon: PositiveFloat
    use_batchnorm: bool  # G
    use_layernorm: bool  # D
    use_leakyrelu: bool  # G; false: ReLU
    use_tanh: bool  # G: at the output
    fused_scale: bool  # up- and downsampling are part of the convolution
    mbstd_group_size: NonNegativeInt  # D: minibatch standard deviation; 0 or 1: none; >= minibatch: one group
    mbdisc_kernels: NonNegativeInt  # D: minibatch discrimination (Salimans et al. 2016); 0: none
    mbdisc_kernel_size: PositiveInt

    @model_validator(mode="after")
    def _one_normalisation(self) -> Self:
        if self.use_batchnorm and self.use_pixelnorm:
            raise ValueError("use_batchnorm and use_pixelnorm exclude each other: choose one normalisation")
        return self


class WganLoss(Section):
    """WGAN-GP (Karras et al. 2018, appendix A.1)."""

    kind: Literal["wgan-gp"]
    wgan_lambda: NonNegativeFloat  # weight of the gradient penalty
    wgan_target: PositiveFloat  # target gradient norm
    wgan_epsilon: NonNegativeFloat  # weight of the drift term
    label_weight: NonNegativeFloat  # of the AC-GAN terms; without effect if the run has no labels


class LsganLoss(Section):
    """Least squares with adaptive noise in the discriminator (Karras et al. 2018, appendix B)."""

    kind: Literal["lsgan"]
    fake_weight: PositiveFloat  # of D's term for the fakes
    noise_gain: NonNegativeFloat  # noise strength = noise_gain * max(0, mean score of the fakes - 0.5)^2
    label_weight: NonNegativeFloat  # as in WganLoss


AnyLoss = Annotated[WganLoss | LsganLoss, Field(discriminator="kind")]


class LearningRates(Section):
    """The learning rates of one network."""

    learning_rate: PositiveFloat
    learning_rate_at: dict[Resolution, PositiveFloat]


class ScheduleOptions(Section):
    """Progressive growing, by thousands of real images shown (kimg). `*_at`: values for single resolutions.

    With `train_kimg` and `fade_kimg` 0 the networks do not grow: they stay at `initial_resolution`, as in the original.
    """

    initial_resolution: Resolution
    train_kimg: NonNegativeFloat  # each resolution is trained for this long
    fade_kimg: NonNegativeFloat  # then the next one is faded in for this long
    minibatch: PositiveInt  # rounded down to a multiple of `devices`
    minibatch_at: dict[Resolution, PositiveInt]
    devices: PositiveInt  # the minibatch is divided among them
    max_minibatch_per_device_at: dict[Resolution, PositiveInt]
    learning_rate: PositiveFloat  # of both networks, or of G alone
    learning_rate_at: dict[Resolution, PositiveFloat]
    discriminator_rates: LearningRates | None  # of D, where they are others; null: as G
    rampup_kimg: NonNegativeFloat  # the learning rate rises over this long; 0: constant
    reset_optimizers: bool  # when a fade begins and when it ends
    tick_kimg: PositiveFloat  # between two reports
    tick_kimg_at: dict[Resolution, PositiveFloat]
    discriminator_repeats: PositiveInt  # updates of D per update of G
    joint_steps: bool  # D and G are updated from the same weights, not one after the other
    minibatch_repeats: PositiveInt  # steps between two evaluations of the schedule
    total_kimg: PositiveFloat

    @model_validator(mode="after")
    def _steps_are_possible(self) -> Self:
        if self.joint_steps and self.discriminator_repeats > 1:
            raise ValueError(
                f"discriminator_repeats is {self.discriminator_repeats} but joint_steps is true: a joint step updates "
                f"both networks once; set discriminator_repeats to 1 or joint_steps to false"
            )
        return self


class OptimizerOptions(Section):
    """Adam as in TensorFlow 1: epsilon is added to the root of the uncorrected second moment."""

    beta1: Beta
    beta2: Beta
    epsilon: PositiveFloat


class EmaHalfLife(Section):
    """The decay of an average by images instead of steps: it does not depend on the size of minibatches."""

    half_life_kimg: PositiveFloat  # images in thousands after which a weight counts half


class StartOptions(Section):
    """The networks that a run starts from, in place of new ones; docs/training.md, "Steering"."""

    path: Path  # network file (.safetensors), snapshot of the original (.pkl), or folder of a run: its newest network
    kimg: NonNegativeFloat | None  # images shown at the start, in thousands: the run's clock; null: as the file states
    optimizers: Literal["new", "saved"]  # saved: those of the checkpoint that the network file is part of


class SpeedOptions(Section):
    """How a run is computed. Results change by rounding only."""

    precision: Literal["float32", "tf32", "bfloat16", "float16"]  # of the 3x3 convolutions; weights stay float32
    float32_penalty: bool  # of a 16-bit precision: the gradient penalty of WGAN-GP is computed in float32
    compile: bool  # a GPU computes gradients with kernels that Inductor fuses for each resolution
    graphs_up_to: NonNegativeInt  # resolution up to which a GPU replays CUDA graphs; 0: none
    samples_at_once: dict[Resolution, PositiveInt]  # per device; larger minibatches are split, gradients add up
    gpu_mib: NonNegativeInt  # a level of the data set up to this size is kept on the GPU
    workers: NonNegativeInt  # processes that prefetch levels not kept in memory; 0: read when needed
    minibatches_ahead: PositiveInt  # prefetched


class SnapshotSwd(Section):
    """Sliced Wasserstein distance of each snapshot, at its resolution."""

    images: PositiveInt  # real ones, and as many generated ones
    patches_per_image: PositiveInt
    directions: PositiveInt  # random projections


class InceptionFile(Section):
    """An Inception network that the user provides."""

    file: Path  # TorchScript: uint8 (N, 3, H, W) -> probabilities, or features with return_features=True
    sha256: Sha256  # of the file; published: inception-2015-12-05.pt


class SnapshotFid(InceptionFile):
    """Frechet inception distance of each snapshot, at its resolution."""

    images: Annotated[int, Field(ge=2)]  # real ones, and as many generated ones


class AlarmOptions(Section):
    """Limits that end a run which has diverged. Losses that are not finite always end it."""

    max_score: PositiveFloat  # absolute value of D's mean score in a tick
    min_sample_std: NonNegativeFloat  # between a snapshot's samples, mean over pixels; black is -1, white 1
    max_skipped_share: Fraction  # of a tick's updates, skipped for gradients that are not finite


class TrainRun(Section):
    """One training run. `training.run_identity` has the options that may change when it is resumed."""

    dataset: Path  # folder of shards
    resolution: Resolution  # of the fully grown networks
    labels: bool  # conditional on the data set's labels
    mirror: bool  # augmentation: each image is mirrored with probability 1/2
    start: StartOptions | None  # null: new networks
    ram_mib: NonNegativeInt  # a level of the data set up to this size is kept in memory
    seed: NonNegativeInt
    threads: PositiveInt  # CPU threads
    speed: SpeedOptions
    networks: NetworkOptions
    loss: AnyLoss
    schedule: ScheduleOptions
    optimizer: OptimizerOptions
    ema_decay: Beta | EmaHalfLife  # of G's weights, per step of D; or by kimg: {half_life_kimg: 10.0}
    snapshot_ticks: PositiveInt  # between two snapshots
    keep_snapshots: PositiveInt  # newest network files; the best by `snapshot_fid`, else by `snapshot_swd`, stays
    snapshot_swd: SnapshotSwd | None
    snapshot_fid: SnapshotFid | None
    alarms: AlarmOptions | None
    loggers: list[Literal["dvclive", "tensorboard", "wandb"]]  # where curves are shown; the last two are extras
    deterministic: bool  # on a GPU: the same bits on every run. A CPU run always is
    grid_columns: PositiveInt  # of the sample images
    grid_rows: PositiveInt
    grid_cell_pixels: Resolution  # side of one image; smaller images are enlarged

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
    def _minibatches_can_be_split(self) -> Self:
        if self.schedule.devices == 1 and not self.speed.samples_at_once:
            return self
        for name in ("use_batchnorm", "mbdisc_kernels"):
            if getattr(self.networks, name):
                raise ValueError(
                    f"networks.{name} looks at all samples of a minibatch at once, so it cannot be split: "
                    f"set schedule.devices to 1 and speed.samples_at_once to {{}}"
                )
        return self


class TrainParams(Section):
    """The runs by name; each is a DVC stage `train@NAME`."""

    runs: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], TrainRun]

    def named(self, name: str) -> TrainRun:
        """The run `name`; `ParamsError` with all names if there is none."""
        if name not in self.runs:
            raise ParamsError(f"train.runs of params.yaml has no run {name!r}; it has {', '.join(sorted(self.runs))}")
        return self.runs[name]


class InceptionOptions(InceptionFile):
    """Metrics in the feature space of an Inception network."""

    fid_images: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]  # one FID per number of images
    score_images: Annotated[int, Field(ge=10)]  # of the Inception score, in 10 splits
    kid_images: Annotated[int, Field(ge=2)]
    kid_subsets: PositiveInt  # drawn from `kid_images`
    kid_subset_size: Annotated[int, Field(ge=2)]
    precision_images: Annotated[int, Field(ge=2)]  # of precision and recall
    precision_neighbours: PositiveInt  # k of the k-nearest-neighbour manifolds

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
        """The largest number of images that a metric needs."""
        return max(*self.fid_images, self.score_images, self.kid_images, self.precision_images)


class ModesOptions(Section):
    """Number of discrete modes in images of three digits, 32x32 (Karras et al. 2018, appendix E)."""

    digits: Path  # data set of single digits with labels (N, 10); a classifier is trained on it
    samples: PositiveInt  # generated images that are classified
    steps: PositiveInt  # of the classifier's training
    minibatch: PositiveInt
    learning_rate: PositiveFloat
    held_out: PositiveInt  # digits that test the classifier


Snapshots = Literal["all", "last"] | PositiveInt  # a number: so many, spread evenly over the run, the last one included


class MeasuredSnapshots(Section):
    """Which of a run's snapshots each metric measures. The last one has all metrics."""

    swd: Snapshots
    msssim: Snapshots
    inception: Snapshots
    modes: Snapshots


class EvaluateParams(Section):
    """The metrics of a trained network. Their names hold the counts: swd16k is 16,384 images."""

    swd_images: PositiveInt
    swd_patches_per_image: PositiveInt
    swd_directions: PositiveInt  # random projections per repeat
    swd_repeats: PositiveInt
    msssim_pairs: PositiveInt
    inception: InceptionOptions | None  # null: not measured
    modes: ModesOptions | None  # null: not measured
    snapshots: MeasuredSnapshots
    minibatch: Annotated[int, Field(gt=0, multiple_of=2)]  # even, for the pairs
    threads: PositiveInt  # CPU threads
    seed: NonNegativeInt
