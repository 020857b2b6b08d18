"""The section of LSUN, with the names of its 30 categories."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

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
    """Each category becomes a data set of its own; `max_images` takes the first so many records."""

    categories: tuple[LsunCategory, ...]
    source: Annotated[SyntheticLsun | LocalLsun | NetworkLsun, Field(discriminator="kind")]
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
