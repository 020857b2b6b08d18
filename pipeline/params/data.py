"""Sections of the stages that make a data set."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.section import (
    Codec,
    Fraction,
    NonNegativeInt,
    Order,
    PositiveFloat,
    PositiveInt,
    Resolution,
    Section,
)

PUBLISHED = Path("published")
"""In place of a path to a published file: it is fetched, as the section `network` says."""


class ClusterParams(Section):
    """Where work runs. Nothing here may change a result, so no stage lists it among its `params`."""

    scheduler: str | None
    workers: PositiveInt
    memory_per_worker_mib: PositiveInt


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
    """CelebA's files: the first .7z part (or the unpacked folder) and annotations, each a path or `published`.

    `deltas`: the folder of CelebA-HQ's `deltasNNNNN.zip`, or `published`, or null where none are wanted.
    """

    kind: Literal["celeba"]
    images: Path
    landmarks: Path
    partition: Path | None
    attributes: Path | None
    deltas: Path | None


class ExactParams(Section):
    """CelebA-HQ as published: acts where `align.photographs`, `superres.method` or `select.method` ask for it.

    `image_list`: the folder of the published list. `min_match`: the share of the images wanted that must equal the
    published ones.
    """

    image_list: Path
    min_match: Fraction


class Cifar10Source(Section):
    """cifar-10-binary.tar.gz (no pickle is read), a path or `published`: 50,000 images with one of ten labels."""

    kind: Literal["cifar10"]
    archive: Path


class MnistSource(Section):
    """MNIST's training images and labels: grey in all three channels, 28² within 32².

    Each is the path of an idx file, gzipped or not, or `published`.
    """

    kind: Literal["mnist"]
    images: Path
    labels: Path


class MnistRgbSource(Section):
    """`count` images of three MNIST digits drawn at random, in red, green and blue (Karras et al. 2018, appendix E)."""

    kind: Literal["mnist-rgb"]
    images: Path
    labels: Path
    count: PositiveInt
    seed: NonNegativeInt


class AlignedCelebASource(Section):
    """CelebA's aligned photographs of 178 x 218 pixels: img_align_celeba.zip, the unpacked folder, or `published`."""

    kind: Literal["celeba-128"]
    images: Path
    partition: Path | None
    attributes: Path | None


AnySource = Annotated[
    SyntheticSource | FolderSource | CelebASource | Cifar10Source | MnistSource | MnistRgbSource | AlignedCelebASource,
    Field(discriminator="kind"),
]


class DownloadParams(Section):
    """`watch`: the file or folder whose change runs the stage again (the user's photographs, or the manifest)."""

    watch: Path
    source: AnySource


class ExtractParams(Section):
    """How photographs are put into containers."""

    photographs_per_container: PositiveInt
    max_dropped: Fraction


class AlignParams(Section):
    """`photographs`: all, or only those of the published list. The others then count as not wanted, not as dropped.

    `rectangle`: from landmarks (SPEC §1.4), the whole of an image that is square already, or the 128² square of
    CelebA's aligned photographs (SPEC §2).
    `max_landmark_distance`: how far outside the photograph a landmark may lie, in its longer side.
    `max_megapixels`: the largest photograph that is decoded; bounds the memory of one face.
    """

    photographs: Literal["all", "published"]
    rectangle: Literal["landmarks", "whole", "celeba-128"]
    resolution: Resolution
    min_side_pixels: PositiveInt
    max_landmark_distance: PositiveFloat
    max_megapixels: PositiveFloat
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

    `delta`: by Lanczos, and the published deltas are added at the end; faces are then not scored, as the published
    list says which are taken. `renderer`: the resampler of padding and transform; `fast` is OpenCV's, `exact` the
    published recipe's to the bit.
    """

    method: Literal["network", "lanczos", "delta", "none"]
    renderer: Literal["fast", "exact"]
    faces_per_chunk: PositiveInt
    tile_pixels: PositiveInt
    previews: NonNegativeInt
    max_dropped: Fraction


class SelectParams(Section):
    """`method`: the `keep` best by the quality figure, or the first `keep` by index or of the published list."""

    method: Literal["quality", "index", "published"]
    keep: PositiveInt


class ShardParams(Section):
    """How the final images lie in HDF5; `seed` acts where `order` is shuffled.

    Images of the published list are ordered by their number there, others by that of their photograph.
    """

    images_per_shard: PositiveInt
    codec: Codec
    order: Order
    seed: NonNegativeInt
