"""Stage evaluate: how near the snapshots of a training run come to the reals, by thousands of images shown."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from tqdm import tqdm

from pipeline import atomic
from pipeline.errors import NetworkError
from pipeline.params import EvaluateParams
from pipeline.shards import layout
from pipeline.shards.reader import DataSet
from stages import StageRun, main, read_params, stage_run
from training import checkpoint, generate
from training.data.real_images import Reals
from training.metrics import plots
from training.metrics.evaluation import Judges, Protocol
from training.metrics.inception import InceptionNetwork
from training.metrics.mode_count import fit
from training.metrics.plots import Row
from training.runtime.device import default_device

RUNS = Path("runs")
EVALUATIONS = Path("evaluations")

WITHOUT_INCEPTION = "not computed: evaluate.inception in params.yaml names no network"


def evaluate(name: str) -> None:
    """Measure every kept snapshot of `runs/<name>`; write the curves to `evaluations/<name>`."""
    params = read_params()
    run = params.train.named(name)
    networks = checkpoint.network_files(RUNS / name)
    if not networks:
        raise NetworkError(f"{RUNS / name}: holds no network file. Train first: dvc repro train@{name}.")
    labels = [run.dataset / layout.LABELS] if run.labels else []
    modes = params.evaluate.modes
    digits = [modes.digits / layout.VIEW, modes.digits / layout.LABELS] if modes else []
    with (
        stage_run(
            f"evaluate@{name}",
            params={"evaluate": params.evaluate, f"train.runs.{name}": run},
            inputs=[*networks, run.dataset / layout.VIEW, *labels, *digits],
            out=EVALUATIONS / name,
            module="stages.evaluate",
        ) as stage,
        DataSet(run.dataset) as dataset,
    ):
        torch.set_num_threads(params.evaluate.threads)
        cv2.setNumThreads(params.evaluate.threads)
        parts, scratch = stage.work / "parts", stage.work / "scratch"
        judges = _judges(params.evaluate, stage)
        protocol = Protocol(params.evaluate, run, Reals(dataset, run), scratch, judges)
        floors = _remembered(parts / "reals.json", protocol.measure_reals)
        rows = [
            _remembered(parts / f"{network.stem}.json", lambda network=network: _measure(protocol, network))
            for network in tqdm(networks, unit="snapshot", leave=False, disable=None)
        ]
        _write(stage.work, protocol, rows, floors)
        shutil.rmtree(parts)
        shutil.rmtree(scratch)
        stage.report.update(rows[-1])
        stage.report["reals"] = {
            **floors,
            "images": len(dataset),
            "images_used": min(len(dataset), params.evaluate.swd_images),
        }
        if judges.inception is None:
            stage.report["inception"] = WITHOUT_INCEPTION
            print(f"evaluate@{name}: FID, inception score, KID, precision, recall {WITHOUT_INCEPTION}", file=sys.stderr)


def _judges(params: EvaluateParams, stage: StageRun) -> Judges:
    device = default_device()
    network = InceptionNetwork(params.inception, device) if params.inception else None
    if params.modes is None:
        return Judges(network, None)
    with DataSet(params.modes.digits) as digits:
        classifier, accuracy = fit(digits, params.modes, params.seed, device)
    stage.report["digits_read_rightly"] = round(accuracy, 4)
    return Judges(network, classifier)


def _measure(protocol: Protocol, network: Path) -> Row:
    snapshot = generate.load(network, default_device())
    figures = protocol.measure_fakes(snapshot)
    return {plots.X: snapshot.info.images_shown / 1000, "resolution": snapshot.info.resolution, **figures}


def _remembered(path: Path, measure: Callable[[], Row]) -> Row:
    """What `measure` gives, or gave to a run that was stopped after it."""
    if not path.exists():
        atomic.write_json(path, measure())
    return json.loads(path.read_text(encoding="utf-8"))


def _write(folder: Path, protocol: Protocol, rows: list[Row], floors: Row) -> None:
    axis = [plots.X, "resolution"]
    plots.write_csv(folder / "swd.csv", rows, [*axis, *protocol.swd_names])
    plots.write_csv(folder / "msssim.csv", rows, [*axis, *protocol.msssim_names])
    if protocol.inception_names:
        plots.write_csv(folder / "inception.csv", rows, [*axis, *protocol.inception_names])
    if protocol.modes_names:
        plots.write_csv(folder / "modes.csv", rows, [*axis, *protocol.modes_names])
    picture = folder / "swd_by_kimg.png"
    plots.draw(picture, rows, protocol.swd_names, label="sliced Wasserstein distance x 1,000", floors=floors)


if __name__ == "__main__":
    main(evaluate)
