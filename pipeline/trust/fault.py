"""One fault of a file."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in `file`; in which level (`64x64`) and image (its position and name), where that is known."""

    file: Path
    problem: str
    level: str | None = None
    image: str | None = None

    def __str__(self) -> str:
        place = [f"level {self.level}"] if self.level else []
        place += [f"image {self.image}"] if self.image else []
        return ": ".join([str(self.file), *([", ".join(place)] if place else []), self.problem])
