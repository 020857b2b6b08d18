"""Stage evaluate: distance of a training run's snapshots to the reals, over thousands of images shown."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import torch

from pipeline import atomic
from pipeline.errors import NetworkError
from pipeline.params import Snapshots
from pipeline.progress import progress
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import main, read_params, stage_run
from training import checkpoint, generate
from training.data.real_images import Reals
from training.metrics import plots
from training.metrics.compute import Compute
from training.metrics.evaluation import Evaluator
from training.metrics.inception import InceptionNetwork
from training.metrics.mode_count import train_classifier
from training.metrics.plots import Row
from training.runtime.device import default_device

RUNS = Path("runs")
EVALUATIONS = Path("evaluations")

WITHOUT_INCEPTION = "not computed: evaluate.inception in params.yaml names no network"


def evaluate(name: str) -> None:
    """Measure the kept snapshots of `runs/<name>`; write the curves to `evaluations/<name>`."""
    params = read_params()
    run = params.train.named(name)
    networks = checkpoint.network_files(RUNS / name)
    if not networks:
        raise NetworkError(f"{RUNS / name}: holds no network file. Train first: dvc repro train@{name}.")
    labels = [run.dataset / layout.LABELS] if run.labels else []
    modes, snapshots = params.evaluate.modes, params.evaluate.snapshots
    digit_files = [modes.digits / layout.VIEW, modes.digits / layout.LABELS] if modes else []
    with (
        stage_run(
            f"evaluate@{name}",
            params={"evaluate": params.evaluate, f"train.runs.{name}": run},
            inputs=[*networks, run.dataset / layout.VIEW, *labels, *digit_files],
            out=EVALUATIONS / name,
        ) as stage,
        DataSet(run.dataset) as dataset,
        Compute(default_device(), params.evaluate.threads) as compute,
    ):
        torch.set_num_threads(params.evaluate.threads)
        cv2.setNumThreads(1)  # several images are computed at once instead
        parts, scratch = stage.work / "parts", stage.work / "scratch"
        device = compute.device
        inception = InceptionNetwork(params.evaluate.inception, device) if params.evaluate.inception else None
        digits = None
        if modes:
            digits, accuracy = train_classifier(modes, params.evaluate.seed, device)
            stage.report["digits_read_rightly"] = round(accuracy, 4)
        evaluator = Evaluator(
            params.evaluate,
            run,
            Reals(dataset, run),
            scratch,
            inception_network=inception,
            digits=digits,
            compute=compute,
        )
        reals = _cached(parts / "reals.json", evaluator.measure_reals)
        kinds_of = {
            network: [kind for kind in evaluator.names if network in chosen(networks, getattr(snapshots, kind))]
            for network in networks
        }
        rows = {
            network: _cached(parts / f"{network.stem}.json", partial(_measure, evaluator, network, kinds))
            for network, kinds in progress(kinds_of.items(), unit="snapshot")
            if kinds
        }
        for kind, names in evaluator.names.items():
            measured = [row for network, row in rows.items() if kind in kinds_of[network]]
            plots.write_csv(stage.work / f"{kind}.csv", measured, [plots.KIMG, "resolution", *names])
            if kind == "swd":
                label = "sliced Wasserstein distance x 1,000"
                plots.draw(stage.work / "swd_by_kimg.png", measured, names, label=label, baselines=reals)
        shutil.rmtree(parts)
        shutil.rmtree(scratch)
        images_used = min(len(dataset), params.evaluate.swd_images)
        stage.report.update(rows[networks[-1]])
        stage.report["reals"] = {**reals, "images": len(dataset), "images_used": images_used}
        if inception is None:
            stage.report["inception"] = WITHOUT_INCEPTION
            print(f"evaluate@{name}: FID, inception score, KID, precision, recall {WITHOUT_INCEPTION}", file=sys.stderr)


def chosen(networks: Sequence[Path], which: Snapshots) -> list[Path]:
    """Of the network files, oldest first: all, the last, or so many, spread evenly with the last one among them."""
    count = {"all": len(networks), "last": 1}.get(str(which), which)
    if not isinstance(count, int) or count >= len(networks):
        return list(networks)
    last = len(networks) - 1
    return [networks[last - round(number * last / max(count - 1, 1))] for number in reversed(range(count))]


def _measure(evaluator: Evaluator, network: Path, kinds: Sequence[str]) -> Row:
    snapshot = generate.load(network, default_device())
    if snapshot.info.full_resolution != evaluator.resolution:
        raise NetworkError(
            f"{network}: makes images of {snapshot.info.full_resolution} pixels, but the run has resolution "
            f"{evaluator.resolution} in params.yaml: train again, or restore its params."
        )
    metrics = evaluator.measure_fakes(snapshot, kinds)
    return {plots.KIMG: snapshot.info.images_shown / 1000, "resolution": snapshot.info.resolution, **metrics}


def _cached(path: Path, measure: Callable[[], Row]) -> Row:
    """The result of `measure`, which is kept in `path` for a restart."""
    if not path.exists():
        atomic.write_json(path, measure())
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(evaluate)
