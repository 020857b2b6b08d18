"""How two network files, checkpoints or runs differ; tensor by tensor, so memory is that of the largest one."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from pipeline.provenance import read_json
from pipeline.trust.compare import SHOWN, differences, records
from pipeline.trust.inspection import Facts
from training import run_identity
from training.inspection import checkpoint
from training.network_files import CHECKPOINTS, NETWORKS, network_info

LENGTHS = ("images_shown", "format")
"""What a network file states that does not make it another network."""


def networks(a: Path, b: Path) -> Facts:
    """Two network files: options, tensors in one of them only, and the largest difference of weights."""
    first, second = network_info(a), network_info(b)
    stated = differences(first, second)
    with safe_open(a, framework="np") as left, safe_open(b, framework="np") as right:
        keys_a, keys_b = {*left.keys()}, {*right.keys()}
        changed: dict[str, Any] = {}
        shapes: dict[str, str] = {}
        for key in sorted(keys_a & keys_b):
            one, other = left.get_tensor(key), right.get_tensor(key)
            if one.shape != other.shape:
                shapes[key] = f"shape {one.shape} -> {other.shape}"
            elif not np.array_equal(one, other, equal_nan=True):
                change = np.abs(one.astype(np.float64) - other)
                changed[key] = {"max_difference": float(change.max()), "rms": float(np.sqrt(np.mean(change**2)))}
    worst = sorted(changed, key=lambda key: -changed[key]["max_difference"])
    missing = {"only_in_a": sorted(keys_a - keys_b), "only_in_b": sorted(keys_b - keys_a)}
    return {
        "equal": not changed and not shapes and keys_a == keys_b and not {*stated} - {*LENGTHS},
        "stated": stated,
        "tensors": {"a": len(keys_a), "b": len(keys_b), "different": len(changed) + len(shapes)},
        "missing": {name: keys for name, keys in missing.items() if keys},
        "other_shapes": shapes,
        "worst_first": {key: changed[key] for key in worst[:SHOWN]},
    }


def checkpoints(a: Path, b: Path) -> Facts:
    """Two checkpoints, by their records."""
    first, second = checkpoint(a), checkpoint(b)
    changed = differences(*({key: facts[key] for key in ("kimg", "images")} for facts in (first, second)))
    options = differences(first["options"] or {}, second["options"] or {})
    files = differences(*(read_json(path).get("files", {}) for path in (a, b)))
    return {"equal": not (changed or files), "stated": changed, "files": files, "options": options}


def runs(a: Path, b: Path) -> Facts:
    """Two runs: networks, options (those that decide the weights are marked), metrics; weights of the last in both."""
    names = [{path.name for path in folder.glob(NETWORKS)} for folder in (a, b)]
    both = sorted(names[0] & names[1])
    weights = networks(a / both[-1], b / both[-1]) if both else {}
    newest = [sorted(folder.glob(CHECKPOINTS)) for folder in (a, b)]
    stated = [checkpoint(paths[-1])["options"] or {} if paths else {} for paths in newest]
    options = differences(*stated)
    deciding = differences(*map(run_identity.deciding, stated)) if all(stated) else {}
    images = [checkpoint(paths[-1])["images"] if paths else None for paths in newest]
    metrics = differences(*(read_json(folder / "live" / "metrics.json") for folder in (a, b)))
    only = {"only_in_a": sorted(names[0] - names[1]), "only_in_b": sorted(names[1] - names[0])}
    return {
        "equal": names[0] == names[1] and bool(weights.get("equal", not both)) and not deciding,
        "networks": {"a": len(names[0]), "b": len(names[1]), "in_both": len(both)},
        "missing": {name: found for name, found in only.items() if found},
        "same_images": images[0] == images[1],
        "options_that_decide": deciding,
        "options_that_do_not": {name: pair for name, pair in options.items() if name not in deciding},
        "metrics": metrics,
        **({"newest_in_both": {"network": both[-1], **weights}} if both else {}),
    } | records(a, b)
