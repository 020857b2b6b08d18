"""Verifies a restoration network by the description next to it; torch is not loaded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.provenance import digest_of_file
from pipeline.trust.fault import Fault

WEIGHTS = "network.safetensors"
DESCRIPTION = "network.json"


def faults_of_restoration(path: Path) -> Iterator[Fault]:
    """Whether the weights are those that `network.json` states the SHA-256 of."""
    description = path.with_name(DESCRIPTION)
    stated: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
    weights = path.with_name(WEIGHTS)
    if "sha256" in stated:
        if not weights.is_file():
            yield Fault(weights, f"is missing, but {DESCRIPTION} describes it")
        elif digest_of_file(weights) != stated["sha256"]:
            yield Fault(weights, f"its SHA-256 is not the one in {DESCRIPTION}")
