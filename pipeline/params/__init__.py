"""What `params.yaml` may say: one frozen section per stage, nothing extra, no defaults, units in names.

A value that is not here cannot change a result. `stages` reads the file once and hands each room
its own section.
"""

from typing import Self

from pydantic import model_validator

from pipeline.params.data import (
    AlignedCelebASource,
    AlignParams,
    AnyNetwork,
    AnySource,
    CelebASource,
    Cifar10Source,
    ClusterParams,
    CropParams,
    DenoiseParams,
    DownloadParams,
    ExtractParams,
    FitDenoiseParams,
    FitSuperresParams,
    FolderSource,
    MnistRgbSource,
    MnistSource,
    NetworkFile,
    NoNetwork,
    SelectParams,
    ShardParams,
    SuperresParams,
    SyntheticSource,
    TrainedNetwork,
)
from pipeline.params.lsun import LocalLsun, LsunCategory, LsunParams, SyntheticLsun
from pipeline.params.section import Codec, PositiveInt, Section
from pipeline.params.training import (
    EvaluateParams,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    ScheduleOptions,
    TrainParams,
    TrainRun,
)

__all__ = [
    "AlignParams",
    "AlignedCelebASource",
    "AnyNetwork",
    "AnySource",
    "CelebASource",
    "Cifar10Source",
    "ClusterParams",
    "Codec",
    "CropParams",
    "DenoiseParams",
    "DownloadParams",
    "EvaluateParams",
    "ExtractParams",
    "FitDenoiseParams",
    "FitSuperresParams",
    "FolderSource",
    "LocalLsun",
    "LossOptions",
    "LsunCategory",
    "LsunParams",
    "MnistRgbSource",
    "MnistSource",
    "NetworkFile",
    "NetworkOptions",
    "NoNetwork",
    "OptimizerOptions",
    "Params",
    "PositiveInt",
    "ScheduleOptions",
    "Section",
    "SelectParams",
    "ShardParams",
    "SuperresParams",
    "SyntheticLsun",
    "SyntheticSource",
    "TrainParams",
    "TrainRun",
    "TrainedNetwork",
]


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
        if self.align.rectangle != "landmarks" and self.superres.method != "none":
            raise ValueError(
                f"align.rectangle is {self.align.rectangle!r} but superres.method is {self.superres.method!r}: images "
                f"that are aligned already are not enlarged; set superres.method to none"
            )
        return self
