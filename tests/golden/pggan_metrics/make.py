"""Cut the small golden set of the metrics out of the full vectors: `python tests/golden/pggan_metrics/make.py`.

The numbers come from the official implementation (PGGAN_VECTORS, default ../shared/vectors/pggan). Kept:
enough to hold every step of both metrics to the original wherever the tests run.
"""

import json
import os
from pathlib import Path

import numpy as np

VECTORS = Path(os.environ.get("PGGAN_VECTORS", "../shared/vectors/pggan"))
HERE = Path(__file__).parent
SWD_ARRAYS = ("images_a", "images_b", "pyramid_a/level1", "finalized_a/level0")
PAIRS = {32: 2, 64: 1}


def main() -> None:
    cases = json.loads((VECTORS / "cases.json").read_text())["files"]
    swd, msssim = np.load(VECTORS / "metric_swd.npz"), np.load(VECTORS / "metric_msssim.npz")
    np.savez_compressed(HERE / "metric_swd.npz", **{name: swd[name] for name in SWD_ARRAYS})
    pairs = {f"{side}_{size}": msssim[f"{side}_{size}"][:n] for size, n in PAIRS.items() for side in "ab"}
    np.savez_compressed(HERE / "metric_msssim.npz", **pairs)
    kept = {"metric_swd.npz": {key: cases["metric_swd.npz"][key] for key in ("numpy_seed", "values", "api")}}
    values = cases["metric_msssim.npz"]["values"]
    names = {f"{name}_{size}{end}": n for size, n in PAIRS.items() for name, end in _LISTS}
    kept["metric_msssim.npz"] = {"values": {name: values[name][:n] for name, n in names.items()}}
    (HERE / "cases.json").write_text(json.dumps({"files": kept}, indent=2, sort_keys=True) + "\n")


_LISTS = (("msssim", "_each"), ("ssim_level0", ""), ("cs_level0", ""))

if __name__ == "__main__":
    main()
