"""The section of LSUN, and the names of its 30 categories."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.errors import ParamsError
from pipeline.params.section import Codec, Fraction, NonNegativeInt, PositiveInt, Resolution, Section

LsunScene = Literal[
    "bedroom", "bridge", "churchoutdoor", "classroom", "conferenceroom",
    "diningroom", "kitchen", "livingroom", "restaurant", "tower",
]  # fmt: skip
LsunObject = Literal[
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
LsunCategory = Literal[LsunScene, LsunObject]
"""The names that Karras et al. 2018 use."""
CATEGORIES: tuple[LsunCategory, ...] = get_args(LsunCategory)


def _paper_spelling(name: Any) -> Any:
    return name.replace("_", "").replace("-", "") if isinstance(name, str) else name


def _is_known(spelling: str) -> str:
    if _paper_spelling(spelling) not in CATEGORIES:
        raise ValueError(f"is none of {', '.join(map(repr, CATEGORIES))}, nor one of them as LSUN's authors spell it")
    return spelling


AnySpelling = Annotated[LsunCategory, BeforeValidator(_paper_spelling)]
"""Also accepts the spelling of LSUN's authors: church_outdoor, tv-monitor."""
ItemName = Annotated[str, AfterValidator(_is_known)]
"""A category as the user spells it, which names its stage, folder and report; `LsunParams.named` says which it is."""


class SyntheticLsun(Section):
    """A small LMDB of drawn scenes, in WebP and JPEG."""

    kind: Literal["synthetic"]
    records: PositiveInt
    bad_records: NonNegativeInt  # of `records`: values that cannot be decoded
    seed: NonNegativeInt


class LocalLsun(Section):
    """The published zips, the unpacked LMDB folders, or a folder of images for each category, on disk."""

    kind: Literal["local"]
    directory: Path  # holds CATEGORY_train_lmdb, its zip, or a folder CATEGORY; or is that folder, or a data.mdb


class NetworkLsun(Section):
    """The published zips, downloaded."""

    kind: Literal["network"]


class LsunParams(Section):
    """LSUN: each category becomes a data set."""

    free: ClassVar = frozenset({"categories", "max_dropped"})  # categories: a stage follows only its own

    categories: tuple[ItemName, ...]
    source: Annotated[SyntheticLsun | LocalLsun | NetworkLsun, Field(discriminator="kind")]
    resolution: Resolution
    max_images: PositiveInt  # the first good records of each category (Karras et al. 2018: 100,000)
    whole: tuple[AnySpelling, ...]  # categories of which all images are used (Karras et al. 2018: bedroom and dog)
    images_per_shard: PositiveInt
    codec: Codec
    max_dropped: Fraction  # the stage fails if more records are dropped

    def named(self, spelling: str) -> LsunCategory:
        """The category that `spelling`, one of `categories`, means; `ParamsError` with all of them if it is none."""
        if spelling in self.categories:
            return cast("LsunCategory", _paper_spelling(spelling))
        raise ParamsError(
            f"{spelling!r} is not among lsun.categories ({', '.join(self.categories)}) of params.yaml; add it there"
        )

    @model_validator(mode="after")
    def _no_category_twice(self) -> Self:
        if len({self.named(spelling) for spelling in self.categories}) != len(self.categories):
            raise ValueError(f"lsun.categories names a category twice: {', '.join(self.categories)}")
        return self
