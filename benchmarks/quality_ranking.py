"""How often the quality score ranks an image above a degraded copy: `python -m benchmarks.quality_ranking IMAGES`.

IMAGES is a folder or a tar of photographs, of which the centre square is used (the largest power of two up to 1024
pixels). Prints the rate for each degradation, at the photograph's own size and as `superres` scores a face (a turned
square of the degraded photograph, enlarged; blur, JPEG and noise of every third photograph), and how often a step to
more blur or compression does not raise the score. Draws the spectra of some copies of the first image.
"""

import io
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from benchmarks.result import save
from pipeline.faces.artefacts import BlockGrid
from pipeline.faces.geometry import Rectangle
from pipeline.faces.quality import quality, spectrum
from pipeline.faces.region import Region, enlarge
from pipeline.faces.render import render

mpl.use("Agg")

Picture = NDArray[np.uint8]
PHOTOGRAPHS = (".jpg", ".jpeg", ".png")
FACE_SHARE, FACE_DEGREES, FACE_ZOOM = 0.78, 7.0, 2.5
"""A face as superres scores it: the side of its square in that of the photograph, its angle, its enlargement."""
EVERY = 3


def blurred(image_HWC: Picture, sigma: float) -> Picture:
    """Gaussian blur of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image_HWC, (0, 0), sigma), np.uint8)


def moved(image_HWC: Picture, pixels: int, degrees: float) -> Picture:
    """Motion blur along a line of `pixels`."""
    size = 2 * pixels + 1
    angle = np.deg2rad(degrees)
    kernel = np.zeros((size, size), np.float32)
    for along in np.linspace(-pixels / 2, pixels / 2, 8 * pixels + 1):
        x, y = pixels + along * np.cos(angle), pixels + along * np.sin(angle)
        shift = np.array([[1, 0, x - pixels], [0, 1, y - pixels]])
        point = np.zeros((size, size), np.float32)
        point[pixels, pixels] = 1
        kernel += np.asarray(cv2.warpAffine(point, shift, (size, size), flags=cv2.INTER_LINEAR), np.float32)
    return np.asarray(cv2.filter2D(image_HWC, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), np.uint8)


def enlarged(image_HWC: Picture, factor: int, interpolation: int) -> Picture:
    """Reduce by area averaging, then enlarge to the old size."""
    side = image_HWC.shape[0]
    small = cv2.resize(image_HWC, (side // factor, side // factor), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=interpolation), np.uint8)


def dithered(image_HWC: Picture, cell: int) -> Picture:
    """Ordered dither of each channel with `cell` x `cell` thresholds."""
    thresholds = np.zeros((1, 1))
    while len(thresholds) < cell:
        thresholds = np.block([[4 * thresholds, 4 * thresholds + 2], [4 * thresholds + 3, 4 * thresholds + 1]])
    repeats = image_HWC.shape[0] // cell
    levels = np.tile((thresholds + 0.5) / thresholds.size, (repeats, repeats))[..., None]
    return np.where(image_HWC > 255 * levels, 255, 0).astype(np.uint8)


def screened(image_HWC: Picture, period: float) -> Picture:
    """Halftone screen of `period` pixels at 45°."""
    side = image_HWC.shape[0]
    y, x = np.mgrid[:side, :side] * (2 * np.pi / period)
    threshold = (np.cos((x + y) / np.sqrt(2)) + np.cos((x - y) / np.sqrt(2)) + 2) / 4
    grey = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY) / 255
    return np.repeat(np.where(grey > threshold, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


def compressed(image_HWC: Picture, level: int) -> Picture:
    """JPEG compression of quality `level`."""
    stream = io.BytesIO()
    Image.fromarray(image_HWC).save(stream, "JPEG", quality=level)
    return np.asarray(Image.open(stream))


def noisy(image_HWC: Picture, sigma: float) -> Picture:
    """White luminance noise of `sigma` levels, always the same."""
    noise = np.random.default_rng(1).normal(0, sigma, image_HWC.shape[:2])
    return np.clip(np.rint(image_HWC + noise[..., None]), 0, 255).astype(np.uint8)


BLUR = (0.5, 0.7, 1, 1.5, 2, 3, 5, 8)
JPEG = (5, 10, 20, 30, 40, 60, 80)
INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}
DEGRADATIONS: dict[str, Callable[[Picture], Picture]] = {
    **{f"blur {s}": lambda i, s=s: blurred(i, s) for s in BLUR},
    **{f"motion {p} px {d}°": lambda i, p=p, d=d: moved(i, p, d) for p in (3, 5, 9, 15) for d in (0, 30, 90, 135)},
    **{
        f"enlarged x{f} {name}": lambda i, f=f, method=method: enlarged(i, f, method)
        for f in (2, 4, 8)
        for name, method in INTERPOLATIONS.items()
    },
    **{f"dither {n}": lambda i, n=n: dithered(i, n) for n in (2, 4, 8)},
    **{f"screen {p} px": lambda i, p=p: screened(i, p) for p in (3, 4, 6, 8, 12)},
    **{f"blur {s} + noise {n}": lambda i, s=s, n=n: noisy(blurred(i, s), n) for s in (1, 2, 4) for n in (4, 8, 16, 32)},
    **{f"JPEG {q}": lambda i, q=q: compressed(i, q) for q in JPEG},
    **{f"noise {n}": lambda i, n=n: noisy(i, n) for n in (1, 2, 3, 4, 6, 8, 10, 16, 32)},
}


COMMON = [name for name in DEGRADATIONS if name.split()[0] in ("blur", "JPEG", "noise") and "+" not in name]
"""What photographs of faces suffer from."""


def middle(image: Image.Image) -> Picture:
    """The centre square of the largest power of two up to 1024 pixels."""
    side = min(1 << (min(image.size).bit_length() - 1), 1024)
    left, upper = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.convert("RGB").crop((left, upper, left + side, upper + side)))


def photographs(path: Path) -> Iterator[Picture]:
    """The centre squares of the photographs in a folder or tar."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.suffix.lower() in PHOTOGRAPHS:
                yield middle(Image.open(file))
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.lower().endswith(PHOTOGRAPHS) else None
            if content is not None:
                yield middle(Image.open(content))


def draw(image_HWC: Picture, path: Path) -> None:
    """Draw the spectra of an image and of some copies, from which the score is computed."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    shown = ["blur 1", "blur 3", "motion 9 px 30°", "enlarged x4 bicubic", "screen 6 px", "blur 2 + noise 16"]
    for name, degrade in {"as it is": lambda i: i, **{name: DEGRADATIONS[name] for name in shown}}.items():
        analysed = spectrum(degrade(image_HWC))
        label = f"{name}: q {analysed.quality:.3f} (B {analysed.breadth:.2f}, O {analysed.order:.2f})"
        axes.semilogx(analysed.frequencies, analysed.levels_db, marker=".", label=label)
    axes.set(xlabel="cycles per pixel", ylabel="whitened signal, dB over the image's contrast", ylim=(-70, 20))
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def scored_as_face(image_HWC: Picture) -> float:
    """The score of the middle of a photograph as the final image of a face."""
    size = image_HWC.shape[0]
    side, angle = size * FACE_SHARE, np.deg2rad(FACE_DEGREES)
    across = np.array([np.cos(angle), np.sin(angle)]) * side / 2
    down = np.array([-across[1], across[0]])
    corners = [-across - down, down - across, across + down, across - down]
    rectangle = Rectangle((size / 2 + np.stack(corners)).astype(np.float32), FACE_ZOOM)
    final = render(enlarge(Region(image_HWC, rectangle, shrink=1, border=0)), round(side * FACE_ZOOM))
    return quality(final.image_HWC, BlockGrid.in_final_image(rectangle, shrink=1))


def scores(
    images: Sequence[Picture], score: Callable[[Picture], float], names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Scores of the images, as `sharp`, and of their copies by the name of the degradation."""
    copies = {name: np.array([score(DEGRADATIONS[name](image)) for image in images]) for name in names}
    return {"sharp": np.array([score(image) for image in images]), **copies}


def rates(scored: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """How often the sharp image scores above each copy."""
    return {name: round(float((of < scored["sharp"]).mean()), 4) for name, of in scored.items() if name != "sharp"}


def monotone(scored: dict[str, NDArray[np.float64]], names: Sequence[str]) -> float:
    """The share of the steps along `names`, from good to bad, that do not raise an image's score."""
    return round(float((np.diff([scored[name] for name in names], axis=0) <= 0).mean()), 4)


def main(path: Path) -> None:
    """Print, save and draw the rates."""
    images = list(photographs(path))
    own, face = scores(images, quality, [*DEGRADATIONS]), scores(images[::EVERY], scored_as_face, COMMON)
    own_rates, face_rates = rates(own), rates(face)
    print(f"{'':<24}{'own size':>9}{'as a face':>11}   mean score")
    for name in DEGRADATIONS:
        means = f"{own[name].mean():.3f} instead of {own['sharp'].mean():.3f}"
        as_face = f"{face_rates[name]:.1%}" if name in face_rates else ""
        print(f"{name:<24}{own_rates[name]:9.1%}{as_face:>11}   {means}")
    ladders = {
        "blur": ["sharp", *(f"blur {sigma}" for sigma in BLUR)],
        "JPEG": ["sharp", *(f"JPEG {level}" for level in reversed(JPEG))],
    }
    steps = {kind: [monotone(found, names) for found in (own, face)] for kind, names in ladders.items()}
    for kind, (of_own, of_face) in steps.items():
        print(f"{f'steps of {kind} lower it':<24}{of_own:9.1%}{of_face:11.1%}")
    figures = {"sharp_wins": own_rates, "sharp_wins_as_a_face": face_rates, "steps_that_lower_it": steps}
    saved = save(f"quality-{path.stem}", {"images": len(images), **figures})
    draw(images[0], saved.with_suffix(".png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
