"""What the two restoration networks gain after some minutes: `python -m benchmarks.restoration_fit PHOTOGRAPHS`.

PHOTOGRAPHS is a folder or a tar of photographs. Sixty of them are held out, or what `--held-out` says; the others train
a network of 32 channels and 5 blocks for each task, on one thread, within `--minutes` of CPU time, which includes
reading the photographs and the history. The gains over the held-out ones, whole and unchanged, are means in dB:

* artefacts: JPEG of quality 10, 20 and 40 by Pillow (4:2:0), over the JPEG itself;
* x4: a quarter of the side by Pillow's bicubic filter, over the bicubic enlargement.

RGB is PSNR over all pixels and channels, Y that of the brightness (BT.601), for x4 without a border of 4 pixels. The
octaves are the power of the enlargements relative to the photographs' from the finest on (`evaluation.sharpness`).
`--adversarial` adds the adversarial phase to the x4 network. The networks and the sheets stay in `--keep`.
"""

import argparse
import io
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.result import save
from pipeline.faces.decode import AS_PUBLISHED
from pipeline.params import AdversarialPhase, TrainedNetwork
from pipeline.restoration.apply import Restorer
from pipeline.restoration.evaluation import psnr, sharpness
from pipeline.restoration.fit import Fitting, fit
from pipeline.restoration.networks import Architecture

Pixels = NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png")
QUALITIES = (10, 20, 40)
TILE_PIXELS = 4096
CALIBRATION = (1, 101)
"""Steps of the two short fits whose CPU time gives that of a step, after one that warms up."""
SPARE = 0.97
"""Of the CPU time that is planned for, since steps take different times."""
HELD_OUT_WHILE_TRAINING = 4

COMMON: dict[str, Any] = {
    "kind": "train", "channels": 32, "blocks": 5, "ema_decay": 0.998, "precision": "float32", "adversarial": None,
    "blur_max": 0.0, "noise_max": 0.0, "jpeg_twice": 0.0, "uncompressed": 0.0, "min_pixels": 1,
    "max_photographs": 100_000, "held_out_photographs": HELD_OUT_WHILE_TRAINING, "threads": 1, "seed": 1, "steps": 1,
    "filters": ("bicubic",),
}  # fmt: skip
DENOISE = TrainedNetwork(
    **COMMON, patch_pixels=64, minibatch=8, learning_rate=0.002, loss_epsilon=12.0, jpeg_quality_min=8,
    jpeg_quality_max=50,
)  # fmt: skip
SUPERRES = TrainedNetwork(
    **COMMON, patch_pixels=32, minibatch=8, learning_rate=0.002, loss_epsilon=12.0, jpeg_quality_min=100,
    jpeg_quality_max=100,
)  # fmt: skip
ADVERSARIAL = AdversarialPhase(begin=0.6, weight=0.02, feature_weight=0.2)


def photographs(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the photographs of a folder or tar, by name."""
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        yield from ((path.name, path.read_bytes()) for path in paths)
        return
    with tarfile.open(source) as archive:
        for member in sorted(archive, key=lambda member: member.name):
            content = archive.extractfile(member) if member.name.lower().endswith(SUFFIXES) else None
            if content is not None:
                yield Path(member.name).name, content.read()


def split(source: Path, training: Path, held_out: int) -> list[Pixels]:
    """Write the photographs to train on to a folder; return the pixels of `held_out` others, always the same."""
    found = [*photographs(source)]
    chosen = {*np.random.default_rng(7).permutation(len(found))[:held_out].tolist()}
    training.mkdir(parents=True)
    for number, (name, content) in enumerate(found):
        if number not in chosen:
            (training / f"{number:05d}-{name}").write_bytes(content)
    return [np.asarray(Image.open(io.BytesIO(found[number][1])).convert("RGB")) for number in sorted(chosen)]


def fit_within(
    architecture: Architecture, params: TrainedNetwork, training: Path, work: Path, seconds: float
) -> tuple[float, int]:
    """Fit with as many steps as `seconds` of CPU time allow; the CPU seconds and the steps."""

    def cpu_seconds(steps: int, folder: Path) -> float:
        shutil.rmtree(folder, ignore_errors=True)  # a killed fit would be resumed
        started = time.process_time()
        reading = Fitting(photographs=training, data=training, how=AS_PUBLISHED, workers=0, before=None)
        fit(architecture, params.model_copy(update={"steps": steps}), work=folder, **reading)
        return time.process_time() - started

    _, few, more = (cpu_seconds(steps, work / f"{steps} steps") for steps in (CALIBRATION[0], *CALIBRATION))
    step = max(more - few, 1e-3) / (CALIBRATION[1] - CALIBRATION[0])
    steps = max(int((SPARE * seconds - few) / step), CALIBRATION[1])
    print(f"{architecture}: {steps} steps of {step:.3f} CPU seconds", flush=True)
    return cpu_seconds(steps, work / architecture), steps


def brightness(image_HWC: Pixels, border: int = 0) -> NDArray[np.float64]:
    """Y of BT.601 in levels, without a border."""
    inside = slice(border, -border or None)
    return (image_HWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114]))[inside, inside]


def gain(restored: Pixels, plain: Pixels, clean: Pixels, border: int = 0) -> tuple[float, float]:
    """Gain in PSNR of RGB and of Y, in dB."""
    rgb = psnr(restored, clean) - psnr(plain, clean)
    true = brightness(clean, border)
    errors = [np.mean((brightness(image, border) - true) ** 2) for image in (plain, restored)]
    return rgb, float(10 * np.log10(errors[0] / errors[1]))


def artefacts(held_out: Sequence[Pixels], restore: Callable[[Pixels], Pixels]) -> dict[str, Any]:
    """Mean gains at each quality."""
    found: dict[str, Any] = {}
    for quality in QUALITIES:
        gains: list[tuple[float, float]] = []
        for image in held_out:
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=quality)
            coded = np.asarray(Image.open(stream))
            gains.append(gain(restore(coded), coded, image))
        found[f"denoise q{quality}"] = dict(
            zip(("rgb", "y"), np.round(np.mean(gains, axis=0), 3).tolist(), strict=True)
        )
    return found


def enlargements(held_out: Sequence[Pixels], restore: Callable[[Pixels], Pixels], scale: int = 4) -> dict[str, Any]:
    """Mean gains over bicubic, and the octaves of both."""
    gains: list[tuple[float, float]] = []
    octaves: list[list[NDArray[np.float64]]] = []
    for whole in held_out:
        height, width = (size // scale for size in whole.shape[:2])
        image = whole[: scale * height, : scale * width]
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        bicubic = np.asarray(small.resize((scale * width, scale * height), Image.Resampling.BICUBIC))
        restored = restore(np.asarray(small))
        gains.append(gain(restored, bicubic, image, border=scale))
        octaves.append([sharpness(bicubic, image), sharpness(restored, image)])
    means = np.round(np.mean(octaves, axis=0), 2).tolist()
    rgb, y = np.round(np.mean(gains, axis=0), 3).tolist()
    return {"x4": {"rgb": rgb, "y": y, "octaves of bicubic": means[0], "octaves": means[1]}}


def run(source: Path, work: Path, *, minutes: float, held_out: int, tasks: Sequence[str], adversarial: bool) -> None:
    """Fit, measure, print and save."""
    images = split(source, work / "photographs", held_out)
    superres = SUPERRES.model_copy(update={"adversarial": ADVERSARIAL if adversarial else None})
    name = f"restoration-fit-{source.stem}{'-adversarial' if adversarial else ''}"
    table: dict[str, Any] = {}
    fits: dict[str, Any] = {}
    for task, architecture, params, measure in (
        ("denoise", "arresnet", DENOISE, artefacts),
        ("superres", "srresnet", superres, enlargements),
    ):
        if task not in tasks:
            continue
        cpu, steps = fit_within(architecture, params, work / "photographs", work, 60 * minutes)
        used = params.model_copy(update={"steps": steps}).model_dump(mode="json")
        fits[task] = {"cpu_seconds": round(cpu, 1), "params": used}
        measured = measure(images, Restorer.load(work / architecture, tile_pixels=TILE_PIXELS))
        for row, values in measured.items():
            print(f"{row:<12}" + "".join(f"  {column} {value}" for column, value in values.items()), flush=True)
        table |= measured
    ratios = {f"{row} gain db {column}": table[row][column] for row in table for column in ("rgb", "y")}
    save(name if len(fits) > 1 else f"{name}-{'-'.join(fits)}", {"held_out": held_out, "fits": fits, **table}, ratios)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both tasks in a temporary folder, or in the one to keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--tasks", nargs="+", choices=("denoise", "superres"), default=("denoise", "superres"))
    parser.add_argument("--adversarial", action="store_true")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = given.keep or Path(folder)
        shutil.rmtree(work / "photographs", ignore_errors=True)
        run(
            given.photographs, work, minutes=given.minutes, held_out=given.held_out, tasks=given.tasks,
            adversarial=given.adversarial,
        )  # fmt: skip


if __name__ == "__main__":
    main()
