"""The section of LSUN, with the names of its 30 categories."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

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
"""As Karras et al. 2018 spell them."""


def _paper_spelling(name: Any) -> Any:
    return name.replace("_", "").replace("-", "") if isinstance(name, str) else name


AnySpelling = Annotated[LsunCategory, BeforeValidator(_paper_spelling)]
"""A category, also as its authors spell it: church_outdoor, tv-monitor."""


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


class NetworkLsun(Section):
    """The published zips, fetched."""

    kind: Literal["network"]


class LsunParams(Section):
    """Each category becomes a data set of its own.

    `max_images`: the first so many good records are taken; all, of the categories in `whole` (the paper takes the first
    100,000, and all of bedroom and dog).
    """

    categories: tuple[AnySpelling, ...]
    source: Annotated[SyntheticLsun | LocalLsun | NetworkLsun, Field(discriminator="kind")]
    resolution: Resolution
    max_images: PositiveInt
    whole: tuple[AnySpelling, ...]
    images_per_shard: PositiveInt
    codec: Codec
    max_dropped: Fraction

    def named(self, spelling: str) -> LsunCategory:
        """The category of that name among `categories`; raises `ParamsError` with those that there are."""
        for category in self.categories:
            if category == _paper_spelling(spelling):
                return category
        raise ParamsError(
            f"{spelling!r} is not among lsun.categories ({', '.join(self.categories)}) of params.yaml; add it there"
        )

    @model_validator(mode="after")
    def _no_category_twice(self) -> Self:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"lsun.categories names a category twice: {', '.join(self.categories)}")
        return self
