"""What a stage needs for a network, from what the fitting stage stated; torch is not loaded for it."""

import json
from pathlib import Path
from typing import Any

TORCH_MIB = 150
"""Of a process that has loaded torch and its kernels, above the other libraries."""

ROOM = 1.25
"""Times the peak of the tensors: room for convolutions' own copies. Measured processes needed 0.98 to 1.04 times it."""


OF_OTHERS = ("spandrel",)
"""Libraries that decide what a network of others computes."""


def libraries(folder: Path) -> tuple[str, ...]:
    """The libraries that decide what the network of a fitting stage computes, in addition to those of every result."""
    return OF_OTHERS if _stated(folder).get("kind") == "spandrel" else ()


def network_mib(folder: Path, tile_pixels: int) -> int:
    """MiB for the network of a fitting stage, torch and a tile; 0 where it made no network."""
    stated = _stated(folder)
    if stated.get("kind", "none") == "none":
        return 0
    if "bytes_per_pixel" not in stated:  # of an earlier version
        from pipeline.restoration.memory import measure  # noqa: PLC0415

        stated |= measure(folder / "network.safetensors")
    return TORCH_MIB + int((stated["weights_bytes"] + ROOM * stated["bytes_per_pixel"] * tile_pixels**2) / 2**20)


def _stated(folder: Path) -> dict[str, Any]:
    description = folder / "network.json"
    return json.loads(description.read_text(encoding="utf-8")) if description.is_file() else {}
