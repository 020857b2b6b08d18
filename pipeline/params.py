"""What `params.yaml` may say: one frozen section per stage, nothing extra, no defaults, units in names.

A value that is not here cannot change a result. `stages` reads the file once and hands each room
its own section.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _power_of_two(value: int) -> int:
    if value not in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
        raise ValueError("a resolution is a power of two from 4 to 1024")
    return value


PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Resolution = Annotated[int, AfterValidator(_power_of_two)]
Codec = Literal["none", "gzip", "zstd"]
Order = Literal["index", "shuffled"]

LsunScene = Literal[
    "bedroom", "bridge", "churchoutdoor", "classroom", "conferenceroom",
    "diningroom", "kitchen", "livingroom", "restaurant", "tower",
]  # fmt: skip
LsunObject = Literal[
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
LsunCategory = Literal[LsunScene, LsunObject]


class Section(BaseModel):
    """One section: every key given, none unknown, types exact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- data: where it comes from -----------------------------------------------------------------


class SyntheticSource(Section):
    """Procedural photographs with known landmarks, in CelebA's published layout."""

    kind: Literal["synthetic"]
    photographs: PositiveInt
    bad_photographs: NonNegativeInt
    face_pixels_min: PositiveInt
    face_pixels_max: PositiveInt
    seed: NonNegativeInt


class FolderSource(Section):
    """The user's images (a folder, or a .tar, .zip or .7z of one) and landmarks in CelebA's format, or none."""

    kind: Literal["folder"]
    images: Path
    landmarks: Path | None


class CelebASource(Section):
    """CelebA's published files laid down by hand: the first .7z part (or the unpacked folder) and annotations."""

    kind: Literal["celeba"]
    images: Path
    landmarks: Path
    partition: Path | None
    attributes: Path | None


class DownloadParams(Section):
    """`watch`: the file or folder whose change runs the stage again (the user's photographs, or the manifest)."""

    watch: Path
    source: Annotated[SyntheticSource | FolderSource | CelebASource, Field(discriminator="kind")]


class ExtractParams(Section):
    """How photographs are put into containers."""

    photographs_per_container: PositiveInt
    max_dropped: Fraction


# --- data: from photographs to faces -----------------------------------------------------------


class AlignParams(Section):
    """`rectangle`: from landmarks (SPEC §1.4), or the whole of an image that is square already.

    `max_landmark_distance`: how far outside the photograph a landmark may lie, in its longer side.
    """

    rectangle: Literal["landmarks", "whole"]
    resolution: Resolution
    min_side_pixels: PositiveInt
    max_landmark_distance: PositiveFloat
    photographs_per_chunk: PositiveInt
    max_dropped: Fraction


class CropParams(Section):
    """`decoder`: which JPEG library defines the pixels (DESIGN, rule 8); other formats are read by Pillow."""

    decoder: Literal["libjpeg-8d", "pillow"]
    faces_per_chunk: PositiveInt
    png_level: Annotated[int, Field(ge=0, le=9)]
    max_dropped: Fraction


class TrainedNetwork(Section):
    """A restoration network trained here on patches of the extracted photographs."""

    kind: Literal["train"]
    channels: PositiveInt
    blocks: PositiveInt
    patch_pixels: PositiveInt
    minibatch: PositiveInt
    steps: PositiveInt
    learning_rate: PositiveFloat
    adversarial_weight: Annotated[float, Field(ge=0)]
    jpeg_quality_min: Annotated[int, Field(ge=1, le=100)]
    jpeg_quality_max: Annotated[int, Field(ge=1, le=100)]
    max_photographs: PositiveInt
    held_out_photographs: PositiveInt
    threads: PositiveInt
    seed: NonNegativeInt


class NetworkFile(Section):
    """A restoration network that the user brings, as a safetensors file written by this project."""

    kind: Literal["file"]
    path: Path
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class NoNetwork(Section):
    """No network: the step that would use one must not ask for it."""

    kind: Literal["none"]


AnyNetwork = Annotated[TrainedNetwork | NetworkFile | NoNetwork, Field(discriminator="kind")]


class FitDenoiseParams(Section):
    """Where the JPEG-artefact network comes from."""

    network: AnyNetwork


class FitSuperresParams(Section):
    """Where the x4 network comes from."""

    network: AnyNetwork


class DenoiseParams(Section):
    """How the crops are restored; `tile_pixels` bounds the memory of one pass."""

    method: Literal["network", "none"]
    faces_per_chunk: PositiveInt
    tile_pixels: PositiveInt
    png_level: Annotated[int, Field(ge=0, le=9)]
    max_dropped: Fraction


class SuperresParams(Section):
    """`method`: how the region is enlarged before padding and transform: by the x4 network, by Lanczos, not at all.

    `renderer`: the resampler of padding and transform; `fast` is OpenCV's.
    """

    method: Literal["network", "lanczos", "none"]
    renderer: Literal["fast"]
    faces_per_chunk: PositiveInt
    tile_pixels: PositiveInt
    previews: NonNegativeInt
    max_dropped: Fraction


class SelectParams(Section):
    """`method`: the `keep` best by the quality figure, or the first `keep` in index order."""

    method: Literal["quality", "index"]
    keep: PositiveInt


class ShardParams(Section):
    """How the final images lie in HDF5; `seed` acts where `order` is shuffled."""

    images_per_shard: PositiveInt
    codec: Codec
    order: Order
    seed: NonNegativeInt


# --- data: LSUN --------------------------------------------------------------------------------


class SyntheticLsun(Section):
    """A small real LMDB of procedural scenes, WebP and JPEG values, some undecodable."""

    kind: Literal["synthetic"]
    records: PositiveInt
    bad_records: NonNegativeInt
    seed: NonNegativeInt


class LocalLsun(Section):
    """A folder holding the published zips or the unpacked LMDB folders."""

    kind: Literal["local"]
    directory: Path


class LsunParams(Section):
    """Each category becomes a data set of its own; `max_images` takes the first so many records."""

    categories: tuple[LsunCategory, ...]
    source: Annotated[SyntheticLsun | LocalLsun, Field(discriminator="kind")]
    resolution: Resolution
    max_images: PositiveInt
    images_per_shard: PositiveInt
    codec: Codec
    max_dropped: Fraction

    @model_validator(mode="after")
    def _no_category_twice(self) -> Self:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"lsun.categories names a category twice: {', '.join(self.categories)}")
        return self


# --- training ----------------------------------------------------------------------------------


class NetworkOptions(Section):
    """Options of both networks (SPEC §4)."""

    fmap_base: PositiveInt
    fmap_decay: Annotated[float, Field(ge=0)]
    fmap_max: PositiveInt
    latent_size: PositiveInt
    normalize_latents: bool
    use_wscale: bool
    use_pixelnorm: bool
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
    """Growth and step sizes by images shown (SPEC §6). Tables map a resolution to its own value."""

    initial_resolution: Resolution
    train_kimg: PositiveFloat
    fade_kimg: PositiveFloat
    minibatch: PositiveInt
    minibatch_at: dict[Resolution, PositiveInt]
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
    """One training run. `snapshot_ticks`: ticks between snapshots; `keep_snapshots`: how many network files stay."""

    dataset: Path
    resolution: Resolution
    labels: bool
    mirror: bool
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


class TrainParams(Section):
    """The runs by name; each is a DVC stage `train@NAME`."""

    runs: dict[Annotated[str, Field(pattern="^[a-z0-9_]+$")], TrainRun]


class EvaluateParams(Section):
    """Names of metrics carry the counts given here: swd16k is 16,384 images, msssim10k 10,000 pairs."""

    swd_images: PositiveInt
    swd_patches_per_image: PositiveInt
    swd_directions: PositiveInt
    swd_repeats: PositiveInt
    msssim_pairs: PositiveInt
    minibatch: PositiveInt
    threads: PositiveInt
    seed: NonNegativeInt


# --- the whole ---------------------------------------------------------------------------------


class ClusterParams(Section):
    """Where work runs. Nothing here may change a result, so no stage lists it among its `params`."""

    scheduler: str | None
    workers: PositiveInt
    memory_per_worker_mib: PositiveInt


class Params(Section):
    """The whole of `params.yaml`: one section per stage, and the cluster."""

    cluster: ClusterParams
    download: DownloadParams
    extract: ExtractParams
    align: AlignParams
    crop: CropParams
    fit_denoise: FitDenoiseParams
    denoise: DenoiseParams
    fit_superres: FitSuperresParams
    superres: SuperresParams
    select: SelectParams
    shard: ShardParams
    lsun: LsunParams
    train: TrainParams
    evaluate: EvaluateParams

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        for step, method, network in (
            ("denoise", self.denoise.method, self.fit_denoise.network),
            ("superres", self.superres.method, self.fit_superres.network),
        ):
            if (method == "network") == (network.kind == "none"):
                raise ValueError(
                    f"{step}.method is {method!r} but fit_{step}.network.kind is {network.kind!r}: a network is "
                    f"made (train, file) exactly where the step uses one (method: network)"
                )
        if self.align.rectangle == "whole" and self.superres.method != "none":
            raise ValueError(
                f"align.rectangle is 'whole' but superres.method is {self.superres.method!r}: images that are square "
                f"already are not enlarged; set superres.method to none"
            )
        return self
