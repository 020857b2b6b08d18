"""What the tests of the fetcher share: downloads with little patience, everything accepted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.params import NetworkParams
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.fetch.retrieve import Patience
from pipeline.sources.fetch.terms import Acceptance

NAMES = frozenset({"celeba", "celebahq-deltas", "lsun", "cifar10", "mnist", "big"})
EVERYTHING = Acceptance({}, {}, {"terms": NAMES, "unverified": NAMES})
STEADY = Patience(attempts=4, timeout_seconds=20.0, first_wait_seconds=0.001, longest_wait_seconds=0.004)
HASTY = replace(STEADY, timeout_seconds=0.12)
"""For servers that stall: on a busy machine it may take a slow answer for a stall."""


def downloads(folder: Path, *mirrors: str, patience: Patience = STEADY, **values: Any) -> Downloads:
    network = {
        "mirrors": mirrors,
        "local": None,
        "offline": False,
        "connections": 6,
        "attempts": patience.attempts,
        "timeout_seconds": patience.timeout_seconds,
    }
    return Downloads(folder, NetworkParams.model_validate(network | values), EVERYTHING, patience)
