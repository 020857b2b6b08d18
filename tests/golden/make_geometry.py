"""Copies the numbers of some golden cases to tests/golden/geometry.json, so that they are tested without the vectors.

    CELEBAHQ_VECTORS=... python tests/golden/make_geometry.py

The cases are made-up faces that went through the published recipe with Pillow 3.1.1, numpy 1.13.3 and scipy 1.0.0. The
floats are exact: a test compares them bit for bit.
"""

import json
import os
from pathlib import Path

CASES = ("900001", "900003", "900005", "900007", "900010", "900011", "900012")
FIELDS = (
    "id", "note", "width", "height", "landmarks", "quad_start", "zoom_start", "shrink", "border", "crop", "superres",
    "pad", "blur", "zoom_end", "quad_end",
)  # fmt: skip


def main() -> None:
    """Write geometry.json beside this file."""
    vectors = json.loads((Path(os.environ["CELEBAHQ_VECTORS"]) / "cases.json").read_text())
    chosen = [{name: case[name] for name in FIELDS} for case in vectors["cases"] if case["id"] in CASES]
    content = {"reference": vectors["reference"], "cases": chosen}
    Path(__file__).with_name("geometry.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
