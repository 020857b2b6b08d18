"""Sections of the stages that train the progressive GAN and measure it."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.errors import ParamsError
from pipeline.params.section import NonNegativeInt, PositiveFloat, PositiveInt, Resolution, Section


class NetworkOptions(Section):
    """Options of both networks (SPEC §4)."""

    fmap_base: PositiveInt
    fmap_decay: Annotated[float, Field(ge=0)]
    fmap_max: PositiveInt
    latent_size: PositiveInt
    normalize_latents: bool
    use_wscale: bool
    use_pixelnorm: bool
    pixelnorm_epsilon: PositiveFloat
    use_leakyrelu: bool
    fused_scale: bool
    mbstd_group_size: NonNegativeInt


class LossOptions(Section):
    """WGAN-GP (SPEC §5). `label_weight` multiplies the AC-GAN terms and acts only where there are labels."""

    wgan_lambda: Annotated[float, Field(ge=0)]
    wgan_target: PositiveFloat
    wgan_epsilon: Annotated[float, Field(ge=0)]
    label_weight: Annotated[float, Field(ge=0)]


class ScheduleOptions(Section):
    """Growth and step sizes by images shown (SPEC §6). Tables map a resolution to its own value.

    A minibatch is rounded down to a multiple of `devices`, which share it, and limited by what one of them can hold.
    """

    initial_resolution: Resolution
    train_kimg: PositiveFloat
    fade_kimg: PositiveFloat
    minibatch: PositiveInt
    minibatch_at: dict[Resolution, PositiveInt]
    devices: PositiveInt
    max_minibatch_per_device_at: dict[Resolution, PositiveInt]
    learning_rate: PositiveFloat
    learning_rate_at: dict[Resolution, PositiveFloat]
    tick_kimg: PositiveFloat
    tick_kimg_at: dict[Resolution, PositiveFloat]
    minibatch_repeats: PositiveInt
    total_kimg: PositiveFloat


class OptimizerOptions(Section):
    """Adam with epsilon added to the uncorrected root (SPEC §6)."""

    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    epsilon: PositiveFloat


class TrainRun(Section):
    """One training run.

    `ram_mib`: a level of the data set up to this size is held in memory. `snapshot_ticks`: ticks between
    snapshots; `keep_snapshots`: how many network files stay. `grid_cell_pixels`: side of one image in
    the pictures of samples, where it appears enlarged.
    """

    dataset: Path
    resolution: Resolution
    labels: bool
    mirror: bool
    ram_mib: NonNegativeInt
    seed: NonNegativeInt
    threads: PositiveInt
    networks: NetworkOptions
    loss: LossOptions
    schedule: ScheduleOptions
    optimizer: OptimizerOptions
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    snapshot_ticks: PositiveInt
    keep_snapshots: PositiveInt
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
        return self


class TrainParams(Section):
    """The runs by name; each is a DVC stage `train@NAME`."""

    runs: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], TrainRun]

    def named(self, name: str) -> TrainRun:
        """The run `name`; raises `ParamsError` with the names that there are."""
        if name not in self.runs:
            raise ParamsError(f"train.runs of params.yaml has no run {name!r}; it has {', '.join(sorted(self.runs))}")
        return self.runs[name]


class EvaluateParams(Section):
    """Names of metrics carry the counts given here: swd16k is 16,384 images, msssim10k 10,000 pairs.

    `swd_directions` is for each of the `swd_repeats` draws. `minibatch` is even, for the pairs.
    """

    swd_images: PositiveInt
    swd_patches_per_image: PositiveInt
    swd_directions: PositiveInt
    swd_repeats: PositiveInt
    msssim_pairs: PositiveInt
    minibatch: Annotated[int, Field(gt=0, multiple_of=2)]
    threads: PositiveInt
    seed: NonNegativeInt
