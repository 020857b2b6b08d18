"""The base model of all sections, and their scalar types."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _power_of_two(value: int) -> int:
    if value not in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
        raise ValueError("a resolution is a power of two from 4 to 1024")
    return value


PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]  # decay of a moving average
Quality = Annotated[int, Field(ge=1, le=100)]  # of JPEG
UInt8 = Annotated[int, Field(ge=0, le=255)]
PngLevel = Annotated[int, Field(ge=0, le=9)]  # compression: higher is smaller and slower
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Resolution = Annotated[int, AfterValidator(_power_of_two)]  # side of a square image in pixels
Codec = Literal["none", "gzip", "zstd"]
Order = Literal["index", "shuffled"]


class Section(BaseModel):
    """A section: all keys are required, unknown keys are refused, types are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    free: ClassVar[frozenset[str]] = frozenset()
    """Keys that decide no image: tolerances, and how much is done at once."""

    def deciding(self) -> dict[str, Any]:
        """The values that decide the result of a stage: where they are equal, finished work is used."""
        return self.model_dump(mode="json", exclude=set(self.free))
