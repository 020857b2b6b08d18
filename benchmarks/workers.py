"""The data stages with 1 and with 2 workers: seconds, and whether all files are byte-identical.

`python -m benchmarks.workers [COUNT ...]` copies the working tree (tracked and new files) to a temporary folder for
each number of workers, sets `cluster.workers` there, and runs the stages. Exit status 1 if files differ.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.result import digests, save
from stages.remaining import STAGES


def copy_tree(target: Path) -> None:
    """Copy every file of the working tree that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if Path(name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, target / name)


def build(tree: Path, workers: int) -> dict[str, float]:
    """Run the data stages in `tree`; seconds by stage."""
    params_file = tree / "params.yaml"
    params = yaml.safe_load(params_file.read_text(encoding="utf-8"))
    params["cluster"]["workers"] = workers
    params_file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    seconds: dict[str, float] = {}
    for stage, *item in [(stage,) for stage in STAGES] + [("lsun", name) for name in params["lsun"]["categories"]]:
        name, started = "@".join([stage, *item]), time.monotonic()
        subprocess.run([sys.executable, "-m", f"stages.{stage}", *item], cwd=tree, check=True)
        seconds[name] = round(time.monotonic() - started, 2)
        print(f"{workers} worker(s): {name} {seconds[name]} s", flush=True)
    return seconds


def differing(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Names of files that are in one set only, or differ."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def main(counts: list[int]) -> None:
    """Build once for each number of workers, compare with the first, print and save."""
    seconds: dict[str, dict[str, float]] = {}
    found: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        trees = {workers: Path(folder, str(workers)) for workers in counts}
        for tree in trees.values():  # all before the first build, so that an edit during it reaches none of them
            copy_tree(tree)
        for workers, tree in trees.items():
            seconds[str(workers)] = build(tree, workers)
            found.append(digests(tree, "data", "reports"))
    different = sorted({name for other in found[1:] for name in differing(found[0], other)})
    totals = {workers: round(sum(stages.values()), 2) for workers, stages in seconds.items()}
    print(f"seconds by workers: {totals}")
    print(f"{len(found[0])} files: {'identical' if not different else 'different: ' + ', '.join(different)}")
    figures = {"files": len(found[0]), "different": different, "seconds": seconds, "total_seconds": totals}
    first, *others = totals
    ratios = {f"workers {other} by {first}": round(totals[first] / totals[other], 2) for other in others}
    save("workers", figures, ratios)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [1, 2])
