"""The schema of `params.yaml`: one section per stage, without defaults. Every value that changes a result is here."""

# Other packages import the sections from here.
# ruff: noqa: F401
# pyright: reportUnusedImport=false

from typing import Self

from pydantic import model_validator

from pipeline.params.data import (
    DETECT,
    FOLDERS,
    PUBLISHED,
    AdversarialPhase,
    AlignedCelebASource,
    AlignParams,
    AnyNetwork,
    AnySource,
    CelebASource,
    Cifar10Source,
    ClusterParams,
    CropParams,
    DenoiseParams,
    DetectParams,
    DownloadParams,
    ExactParams,
    ExtractParams,
    FitParams,
    FolderSource,
    MnistRgbSource,
    MnistSource,
    NetworkFile,
    NetworkParams,
    NetworkPrecision,
    NoNetwork,
    PhotographParams,
    PublishedNetwork,
    SelectParams,
    ShardParams,
    SpandrelNetwork,
    SuperresParams,
    SyntheticSource,
    TrainedNetwork,
)
from pipeline.params.lsun import CATEGORIES, LocalLsun, LsunCategory, LsunParams, NetworkLsun, SyntheticLsun
from pipeline.params.report import ReportParams
from pipeline.params.section import Codec, PositiveInt, Section
from pipeline.params.training import (
    AlarmOptions,
    AnyLoss,
    EmaHalfLife,
    EvaluateParams,
    InceptionFile,
    InceptionOptions,
    LearningRates,
    LsganLoss,
    MeasuredSnapshots,
    ModesOptions,
    NetworkOptions,
    OptimizerOptions,
    ScheduleOptions,
    SnapshotFid,
    Snapshots,
    SnapshotSwd,
    SpeedOptions,
    StartOptions,
    TrainParams,
    TrainRun,
    WganLoss,
)


class Params(Section):
    """The whole of `params.yaml`."""

    cluster: ClusterParams
    network: NetworkParams
    exact: ExactParams
    photographs: PhotographParams
    download: DownloadParams
    extract: ExtractParams
    detect: DetectParams
    align: AlignParams
    crop: CropParams
    fit_denoise: FitParams
    denoise: DenoiseParams
    fit_superres: FitParams
    superres: SuperresParams
    select: SelectParams
    shard: ShardParams
    lsun: LsunParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams

    @property
    def detects(self) -> bool:
        """Whether the stage detect finds the landmarks."""
        return getattr(self.download.source, "landmarks", None) == DETECT

    @model_validator(mode="after")
    def _steps_fit_together(self) -> Self:
        for step, method, network in (
            ("denoise", self.denoise.method, self.fit_denoise.network),
            ("superres", self.superres.method, self.fit_superres.network),
        ):
            if (method == "network") == (network.kind == "none"):
                raise ValueError(
                    f"{step}.method is {method!r} but fit_{step}.network.kind is {network.kind!r}: set method to "
                    f"network and kind to one that makes a network, or kind to none and method to another value"
                )
        if self.align.rectangle != "landmarks" and self.superres.method != "none":
            raise ValueError(
                f"align.rectangle is {self.align.rectangle!r} but superres.method is {self.superres.method!r}: images "
                f"that are already aligned are not enlarged; set superres.method to none"
            )
        if self.evaluate.modes is not None:
            for name, run in self.train.runs.items():
                if run.resolution != 32:
                    raise ValueError(
                        f"evaluate.modes counts digits in images of 32x32, but train.runs.{name} makes "
                        f"{run.resolution}x{run.resolution}; set evaluate.modes to null"
                    )
        return self

    @model_validator(mode="after")
    def _deltas_fit(self) -> Self:
        if self.superres.method != "delta":
            return self
        required = {
            "superres.renderer": ("exact", self.superres.renderer),
            "select.method": ("published", self.select.method),
            "align.resolution": (1024, self.align.resolution),
            "photographs.decoder": ("libjpeg-8d", self.photographs.decoder),
            "photographs.orientation": ("stored", self.photographs.orientation),
            "photographs.colours": ("stored", self.photographs.colours),
            "denoise.method": ("none", self.denoise.method),
        }
        for key, (value, found) in required.items():
            if found != value:
                raise ValueError(f"superres.method is 'delta', which needs {key}: {value} (found {found!r})")
        return self
