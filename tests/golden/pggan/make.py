"""Copies a part of the golden vectors of the progressive GAN into this folder, small enough for the repository.

Usage: python tests/golden/pggan/make.py ../shared/vectors/pggan

The format stays that of the whole folder, so the same tests read both. To stay small it keeps few files, few arrays
of each, and sets the weights of layers that are inactive at the kept level of detail to zero.
"""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
LOSS, LAYERS, REALS, SCHEDULE, ADAM = (
    "loss_02_lod1.3_target750.npz", "layers.npz", "process_reals.npz", "schedule.npz", "adam.npz",
)  # fmt: skip
WHOLE = ("g_06_label10.npz", "d_04_label10_g4_b4.npz", "loss_01_lod0_target1_grads.npz", ADAM)
"""Forward passes, and a loss with its gradients, as they are."""
SWD, MSSSIM, FID, SNAPSHOT = "metric_swd.npz", "metric_msssim.npz", "metric_fid_is.npz", "snapshot_b_io.npz"
INACTIVE = re.compile(r"^[GD]/(32x32/|(ToRGB|FromRGB)_lod(0|3)/)")
"""Layers of the networks in LOSS (32x32) that lod 1.3 does not reach."""
KEPT = {
    LAYERS: re.compile(r"^(upscale2d_conv2d_wscale|conv2d_downscale2d_wscale|minibatch_stddev_g4_n8|leaky_relu)/"),
    REALS: re.compile(r"lod_(1.50|3.00)$"),
    SCHEDULE: re.compile(r"^(v2_1gpu_1024|defaults_128)/"),
    SWD: re.compile(r"^(images_[ab]|pyramid_a/level1|finalized_a/level0)$"),
    MSSSIM: re.compile(r"^[ab]_(32|64)$"),
    FID: re.compile(r"^(fid_rank_deficient|is_n50_c8)/"),
}


def main(source: Path) -> None:
    """Write the files and their cases.json."""
    cases: dict[str, Any] = json.loads((source / "cases.json").read_text(encoding="utf-8"))
    kept = {name: cases["files"][name] for name in (*WHOLE, LOSS, LAYERS, REALS, SCHEDULE, SWD, MSSSIM, FID, SNAPSHOT)}
    kept[REALS]["lods"] = [1.5, 3.0]
    kept[SCHEDULE]["tables"] = {name: kept[SCHEDULE]["tables"][name] for name in ("v2_1gpu_1024", "defaults_128")}
    for name, about in kept.items():
        with np.load(source / name) as all_arrays:
            arrays = {key: value for key, value in all_arrays.items() if name not in KEPT or KEPT[name].search(key)}
        if name == LOSS:
            arrays = {key: np.zeros_like(value) if INACTIVE.match(key) else value for key, value in arrays.items()}
        multipliers = about.get("weight_multipliers", {})
        if name == LAYERS:
            about["weight_multipliers"] = {key: value for key, value in multipliers.items() if key in arrays}
        about.pop("arrays")
        np.savez_compressed(HERE / name, **arrays)
    shutil.copyfile(source / kept[SNAPSHOT]["pickle"], HERE / kept[SNAPSHOT]["pickle"])
    text = json.dumps({"versions": cases["versions"], "files": kept}, indent=1)
    (HERE / "cases.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
