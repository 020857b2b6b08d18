"""The data stages with 1 and with 2 workers: time, and whether every byte is the same.

`python -m benchmarks.workers [COUNT ...]` copies the tree as it stands (tracked and new files) to one temporary folder
for each number of workers, sets `cluster.workers` there, and runs the stages one after the other. Nothing
in this tree changes. Exit status 1 where files differ.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import result

STAGES = (
    "download", "extract", "align", "crop", "fit_denoise", "denoise", "fit_superres", "superres", "select", "shard",
)  # fmt: skip
Digests = dict[str, str]


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
    runs = [[stage] for stage in STAGES] + [["lsun", category] for category in params["lsun"]["categories"]]
    seconds: dict[str, float] = {}
    for stage, *item in runs:
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", f"stages.{stage}", *item], cwd=tree, check=True)
        seconds["@".join([stage, *item])] = round(time.monotonic() - started, 2)
        print(f"{workers} worker(s): {'@'.join([stage, *item])} {seconds['@'.join([stage, *item])]} s", flush=True)
    return seconds


def digests(tree: Path) -> Digests:
    """SHA-256 of every published file below `data/` and of every report."""
    files = [path for folder in ("data", "reports") for path in sorted((tree / folder).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if ".work" not in path.parts
    }


def differing(first: Digests, second: Digests) -> list[str]:
    """Names of files that only one side has, or that differ."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def main(counts: list[int]) -> None:
    """Build once for each number of workers, compare with the first, print and keep."""
    seconds: dict[str, dict[str, float]] = {}
    found: list[Digests] = []
    with tempfile.TemporaryDirectory() as folder:
        trees = {workers: Path(folder, str(workers)) for workers in counts}
        for tree in trees.values():  # all before the first build: a change made meanwhile must not reach one of them
            copy_tree(tree)
        for workers, tree in trees.items():
            seconds[str(workers)] = build(tree, workers)
            found.append(digests(tree))
    different = sorted({name for other in found[1:] for name in differing(found[0], other)})
    totals = {workers: round(sum(stages.values()), 2) for workers, stages in seconds.items()}
    print(f"seconds by workers: {totals}")
    print(f"{len(found[0])} files: {'identical' if not different else 'different: ' + ', '.join(different)}")
    figures = {"files": len(found[0]), "different": different, "seconds": seconds, "total_seconds": totals}
    result.keep("workers", figures)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [1, 2])
