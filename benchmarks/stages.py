"""Seconds of each stage in the last `dvc repro`: `python -m benchmarks.stages`.

Reads `records/`. A stage that DVC skipped or restored from its cache has the record of its last real run.
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.result import save
from stages import RECORDS

COUNTS = ("given", "files", "images")
"""Keys for the number of items in a stage's report; the first one present counts."""


def read(folder: Path) -> list[dict[str, Any]]:
    """Name, seconds, items and items per second of every stage with a record, slowest first."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        items = next((record["report"][key] for key in COUNTS if key in record["report"]), None)
        seconds = record["seconds"]
        per_second = round(items / seconds, 2) if items is not None and seconds else None
        name = "@".join(path.relative_to(folder).with_suffix("").parts)
        rows.append({"stage": name, "seconds": seconds, "items": items, "items_per_second": per_second})
    return sorted(rows, key=lambda row: -row["seconds"])


def main() -> None:
    """Print and save the table."""
    rows = read(RECORDS)
    if not rows:
        sys.exit(f"{RECORDS.resolve()}: no records. Run dvc repro first.")
    total = round(sum(row["seconds"] for row in rows), 2)
    print(f"{'stage':<20}{'seconds':>10}{'items':>10}{'items/s':>10}")
    for row in [*rows, {"stage": "all", "seconds": total, "items": None, "items_per_second": None}]:
        items, speed = ("-" if value is None else value for value in (row["items"], row["items_per_second"]))
        print(f"{row['stage']:<20}{row['seconds']:>10.2f}{items:>10}{speed:>10}")
    save("stages", {"seconds": total, "stages": rows})


if __name__ == "__main__":
    main()
