"""What the tests of the fetcher share: downloads with short waits and all terms accepted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.params import NetworkParams
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.fetch.retrieval import RetryPolicy
from pipeline.sources.fetch.terms import Acceptance
from pipeline.sources.published import PublishedFile, Source

STEADY = RetryPolicy(attempts=4, timeout_seconds=20.0, first_wait_seconds=0.001, longest_wait_seconds=0.004)
HASTY = replace(STEADY, timeout_seconds=0.12)
"""For servers that stall; on a busy machine a slow answer may count as a stall, too."""


class EverythingAccepted(Acceptance):
    """Accepts the terms and the unverified files of every data set."""

    def demand(self, manifest: Source, files: Sequence[PublishedFile]) -> dict[str, Any]:
        return {"terms": {"by": "a test"}}


def downloads(folder: Path, *mirrors: str, policy: RetryPolicy = STEADY, **values: Any) -> Downloads:
    network = {
        "mirrors": mirrors,
        "local": None,
        "offline": False,
        "connections": 6,
        "attempts": policy.attempts,
        "timeout_seconds": policy.timeout_seconds,
    }
    return Downloads(folder, NetworkParams.model_validate(network | values), EverythingAccepted(), policy)
