"""Where the published list lies in the repository."""

from pathlib import Path

IMAGE_LIST = Path(__file__).parents[3] / "manifests" / "celebahq"
