"""Fitting a restoration network: the loop, its checkpoints, and the files that it leaves.

A fit of the same photographs and params gives the same bytes, stopped and resumed or not: minibatches and
learning rate follow from the step's number, weights start from a seeded generator, and a checkpoint holds all the rest.
"""

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.params import TrainedNetwork
from pipeline.restoration.adversary import discriminator_loss, restorer_loss
from pipeline.restoration.apply import to_network
from pipeline.restoration.checkpoint import FitState
from pipeline.restoration.degradations import degradation_for
from pipeline.restoration.device import reproducible, select_device
from pipeline.restoration.evaluation import Pairs, mean_psnr_plain, mean_psnr_restored, write_sheet
from pipeline.restoration.networks import Architecture, NetworkSpec
from pipeline.restoration.patches import CleanImages, PatchSampler, clean_side, held_out_pairs, read_clean
from pipeline.restoration.weights import DESCRIPTION, WEIGHTS, save_network

CHECKPOINT = "checkpoint.pt"
HISTORY = "history.csv"
SHEET = "before_after.png"

CHECKPOINT_STEPS = 100
"""Steps lost at most when a fit is killed; has no part in the result."""

_WARM_UP = 0.1
_SMOOTH = 0.1  # of 2; plain L1 asks most pixels of a flat region for no change at all, and short fits then learn none
_HISTORY_ROWS = 10
_HISTORY_STEPS_MAX = 1000
_MEASURED_PIXELS = 256
_SHEET_ROWS = 8


def fit(architecture: Architecture, params: TrainedNetwork, *, table: Path, data: Path, work: Path) -> dict[str, Any]:
    """Fit a network on the photographs of `table`; leave weights, description, history and sheet in `work`.

    Parameters
    ----------
    architecture
        What to fit, and with that what it has to undo.
    params
        Size of the network, and how it is fitted.
    table, data
        Rows of `Photograph`, and the folder that their containers are named from.
    work
        Where to write; a checkpoint that a stopped fit left there is gone on from, and removed at the end.

    Returns
    -------
    dict
        Mean PSNR in dB over held-out photographs without (`psnr_before`) and with the network (`psnr_after`),
        `psnr_gain`, and the numbers of photographs used and passed over.

    Raises
    ------
    SourceError
        Too few usable photographs.
    """
    spec = NetworkSpec(architecture=architecture, channels=params.channels, blocks=params.blocks)
    degradation = degradation_for(
        architecture, quality_min=params.jpeg_quality_min, quality_max=params.jpeg_quality_max
    )
    images = read_clean(
        table,
        data,
        training=params.max_photographs,
        held_out=params.held_out_photographs,
        side=clean_side(degradation, params.patch_pixels),
        seed=params.seed,
    )
    sampler = PatchSampler(
        images.training,
        degradation,
        patch_pixels=params.patch_pixels,
        minibatch=params.minibatch,
        seed=params.seed,
    )
    pairs = held_out_pairs(images.held_out, degradation, pixels=_MEASURED_PIXELS, seed=params.seed)
    with reproducible(params.threads):
        state = FitState.start(spec, params)
        state.resume(work / CHECKPOINT)
        _run(state, params, sampler, pairs, work)
        report = _publish(state, spec, params, images=images, pairs=pairs, work=work)
    (work / CHECKPOINT).unlink(missing_ok=True)
    return report


def charbonnier(image_NCHW: Tensor, clean_NCHW: Tensor) -> Tensor:
    """L1, smooth near zero (Charbonnier): small differences count by their square, large ones, edges, by themselves."""
    return ((image_NCHW - clean_NCHW).square() + _SMOOTH**2).sqrt().mean() - _SMOOTH


def learning_rate(params: TrainedNetwork, step: int) -> float:
    """The rate of one step: up to `params.learning_rate` in the first tenth, then to zero along half a cosine."""
    rise = min(1.0, (step + 1) / (_WARM_UP * params.steps))
    return params.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / params.steps))


def _run(state: FitState, params: TrainedNetwork, sampler: PatchSampler, pairs: Pairs, work: Path) -> None:
    every = min(math.ceil(params.steps / _HISTORY_ROWS), _HISTORY_STEPS_MAX)
    device = select_device()
    steps = range(state.step, params.steps)
    for step in tqdm(steps, initial=state.step, total=params.steps, unit="step", leave=False, disable=None):
        degraded, clean = (to_network(patches, device) for patches in sampler(step))
        state.losses.append(_update(state, params, degraded, clean))
        state.step = step + 1
        if state.step % every == 0 or state.step == params.steps:
            loss = sum(state.losses) / len(state.losses)
            state.history.append((state.step, loss, mean_psnr_restored(pairs, state.network, device)))
            state.losses.clear()
        if state.step % CHECKPOINT_STEPS == 0 or state.step == params.steps:
            state.save(work / CHECKPOINT)


def _update(state: FitState, params: TrainedNetwork, degraded_NCHW: Tensor, clean_NCHW: Tensor) -> float:
    for optimizer in (state.optimizer, state.discriminator_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(params, state.step)
    restored_NCHW = state.network(degraded_NCHW)
    loss = charbonnier(restored_NCHW, clean_NCHW)
    objective = loss
    if params.adversarial_weight > 0:
        _update_discriminator(state, degraded_NCHW, clean_NCHW, restored_NCHW.detach())
        logits = state.discriminator(degraded_NCHW, restored_NCHW)
        objective = loss + params.adversarial_weight * restorer_loss(logits)
    state.optimizer.zero_grad()
    objective.backward()
    state.optimizer.step()
    value = loss.item()
    if not math.isfinite(value):
        raise NetworkError(
            f"the fit diverged: its loss is {value} at step {state.step}. Lower learning_rate (now "
            f"{params.learning_rate}) or adversarial_weight (now {params.adversarial_weight}) in params.yaml."
        )
    return value


def _update_discriminator(state: FitState, degraded_NCHW: Tensor, clean_NCHW: Tensor, restored_NCHW: Tensor) -> None:
    judge = state.discriminator
    loss = discriminator_loss(judge(degraded_NCHW, clean_NCHW), judge(degraded_NCHW, restored_NCHW))
    state.discriminator_optimizer.zero_grad()
    loss.backward()
    state.discriminator_optimizer.step()


def _publish(
    state: FitState, spec: NetworkSpec, params: TrainedNetwork, *, images: CleanImages, pairs: Pairs, work: Path
) -> dict[str, Any]:
    before = mean_psnr_plain(pairs, state.network.scale)
    after = state.history[-1][2]
    report: dict[str, Any] = {
        "psnr_before": before,
        "psnr_after": after,
        "psnr_gain": after - before,
        "photographs": {"training": len(images.training), "held_out": len(images.held_out), "skipped": images.skipped},
    }
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "loss", "psnr", "psnr_before"])
    rows.writerows([step, f"{loss:.6f}", f"{value:.4f}", f"{before:.4f}"] for step, loss, value in state.history)
    atomic.write_bytes(work / HISTORY, text.getvalue().encode())
    write_sheet(work / SHEET, pairs, state.network, select_device(), rows=_SHEET_ROWS)
    save_network(work / WEIGHTS, state.network, spec)
    made = {"kind": "train", **asdict(spec), "scale": state.network.scale, "params": params.model_dump(mode="json")}
    digest = provenance.digest_of_file(work / WEIGHTS)
    atomic.write_json(work / DESCRIPTION, {**made, "sha256": digest, "report": report})
    return report
