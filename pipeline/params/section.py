"""What every section is made of: the strict base model and the scalar types."""

from typing import Annotated, Literal

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
Resolution = Annotated[int, AfterValidator(_power_of_two)]
Codec = Literal["none", "gzip", "zstd"]
Order = Literal["index", "shuffled"]


class Section(BaseModel):
    """One section: every key given, none unknown, types exact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
