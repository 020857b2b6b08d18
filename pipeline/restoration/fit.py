"""Training a restoration network.

Equal photographs and params give equal bytes, whether the fit is resumed or not: a step's minibatch and learning rate
depend only on its number, the initial weights on a seed, and the checkpoint holds everything else.
"""

import csv
import io
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Adam

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.params import PhotographParams, TrainedNetwork
from pipeline.progress import progress
from pipeline.restoration.adversary import discriminator_loss, restorer_loss
from pipeline.restoration.apply import to_tensor
from pipeline.restoration.checkpoint import FitCheckpoint
from pipeline.restoration.degradations import DEGRADATIONS
from pipeline.restoration.device import reproducible, select_device
from pipeline.restoration.evaluation import Pairs, mean_psnr, with_network, without_network, write_sheet
from pipeline.restoration.networks import Architecture, NetworkSpec
from pipeline.restoration.patches import PatchSampler, held_out_pairs, read_clean
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, save_network

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
SHEET = "before_after.png"
SHEET_ROWS = 8
CHECKPOINT_STEPS = 100
"""Steps between two checkpoints; without influence on the result."""
HISTORY_ROWS = 10
HISTORY_STEPS_MAX = 1000
HELD_OUT_PIXELS = 256

_WARM_UP = 0.1  # of all steps
_SMOOTH = 0.1  # of the range 2; with plain L1 most pixels of flat regions have their optimum at no change at all


def fit(
    architecture: Architecture, params: TrainedNetwork, *, table: Path, data: Path, how: PhotographParams, work: Path
) -> dict[str, Any]:
    """Train a network on the photographs of `table`; write its weights, description, history and sheet to `work`.

    Parameters
    ----------
    table, data
        Rows of `Photograph`, and the folder of their containers.
    how
        How they are decoded; JPEG always by Pillow.
    work
        A checkpoint that a killed fit left there is resumed, and removed at the end.

    Returns
    -------
    dict
        Mean PSNR in dB over held-out photographs without the network (`psnr_before`) and with it (`psnr_after`),
        `psnr_gain`, and the numbers of used and skipped photographs.

    Raises
    ------
    SourceError
        Too few usable photographs.
    NetworkError
        The training diverges.
    """
    spec = NetworkSpec(architecture=architecture, channels=params.channels, blocks=params.blocks)
    degradation = DEGRADATIONS[architecture](quality_min=params.jpeg_quality_min, quality_max=params.jpeg_quality_max)
    images = read_clean(table, data, params, how, side=degradation.square_side(params.patch_pixels))
    sampler = PatchSampler(images.training, degradation, params)
    pairs = held_out_pairs(images.held_out, degradation, pixels=HELD_OUT_PIXELS, seed=params.seed)
    counts = {"training": len(images.training), "held_out": len(images.held_out), "skipped": images.skipped}
    with reproducible(params.threads):
        checkpoint = FitCheckpoint.initial(spec, params)
        if (work / CHECKPOINT).exists():
            checkpoint.load(work / CHECKPOINT)
        _train(checkpoint, params, sampler, pairs, work)
        report = {**_write_results(checkpoint, pairs, work), "photographs": counts}
    save_network(work / WEIGHTS, checkpoint.network, spec)
    description = {
        "kind": "train",
        **asdict(spec),
        "scale": checkpoint.network.scale,
        "params": params.model_dump(mode="json"),
        "sha256": provenance.digest_of_file(work / WEIGHTS),
        "report": report,
    }
    atomic.write_json(work / DESCRIPTION, description)
    (work / CHECKPOINT).unlink(missing_ok=True)
    return report


def charbonnier(image_NCHW: Tensor, clean_NCHW: Tensor) -> Tensor:
    """Charbonnier loss: L1 that is smooth near zero."""
    return ((image_NCHW - clean_NCHW).square() + _SMOOTH**2).sqrt().mean() - _SMOOTH


def learning_rate(params: TrainedNetwork, step: int) -> float:
    """Linear warm-up over the first tenth of the steps, times a half cosine that ends at zero."""
    warm_up = min(1.0, (step + 1) / (_WARM_UP * params.steps))
    return params.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / params.steps))


def _train(checkpoint: FitCheckpoint, params: TrainedNetwork, sampler: PatchSampler, pairs: Pairs, work: Path) -> None:
    every = min(math.ceil(params.steps / HISTORY_ROWS), HISTORY_STEPS_MAX)
    device = select_device()
    steps = range(checkpoint.step, params.steps)
    for step in progress(steps, initial=checkpoint.step, total=params.steps, unit="step"):
        degraded, clean = (to_tensor(patches, device) for patches in sampler(step))
        checkpoint.losses.append(_update(checkpoint, params, degraded, clean))
        checkpoint.step = step + 1
        last = checkpoint.step == params.steps
        if checkpoint.step % every == 0 or last:
            loss = sum(checkpoint.losses) / len(checkpoint.losses)
            value = mean_psnr(pairs, partial(with_network, network=checkpoint.network))
            checkpoint.history.append((checkpoint.step, loss, value))
            checkpoint.losses.clear()
        if checkpoint.step % CHECKPOINT_STEPS == 0 or last:
            checkpoint.save(work / CHECKPOINT)


def _update(checkpoint: FitCheckpoint, params: TrainedNetwork, degraded_NCHW: Tensor, clean_NCHW: Tensor) -> float:
    rate = learning_rate(params, checkpoint.step)
    restored_NCHW = checkpoint.network(degraded_NCHW)
    loss = charbonnier(restored_NCHW, clean_NCHW)
    objective = loss
    if params.adversarial_weight > 0:
        discriminator = checkpoint.discriminator
        logits = (discriminator(degraded_NCHW, image) for image in (clean_NCHW, restored_NCHW.detach()))
        _descend(checkpoint.discriminator_optimizer, discriminator_loss(*logits), rate)
        objective = loss + params.adversarial_weight * restorer_loss(discriminator(degraded_NCHW, restored_NCHW))
    _descend(checkpoint.optimizer, objective, rate)
    value = loss.item()
    if not math.isfinite(value):
        raise NetworkError(
            f"the fit diverged: its loss is {value} at step {checkpoint.step}. Lower learning_rate (now "
            f"{params.learning_rate}) or adversarial_weight (now {params.adversarial_weight}) in params.yaml."
        )
    return value


def _descend(optimizer: Adam, loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _write_results(checkpoint: FitCheckpoint, pairs: Pairs, work: Path) -> dict[str, Any]:
    before = mean_psnr(pairs, partial(without_network, scale=checkpoint.network.scale))
    after = checkpoint.history[-1][2]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "loss", "psnr", "psnr_before"])
    rows.writerows([step, f"{loss:.6f}", f"{value:.4f}", f"{before:.4f}"] for step, loss, value in checkpoint.history)
    atomic.write_bytes(work / HISTORY, text.getvalue().encode())
    write_sheet(work / SHEET, pairs[:SHEET_ROWS], checkpoint.network)
    return {"psnr_before": before, "psnr_after": after, "psnr_gain": after - before}
