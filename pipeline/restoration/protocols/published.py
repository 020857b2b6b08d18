"""Figures of papers on the sets that all of them use, each with where it was read."""

from dataclasses import dataclass

SWINIR = "Liang et al. 2021 (SwinIR, arXiv 2108.10257), table 4"
ESRGAN = "Wang et al. 2018 (ESRGAN, arXiv 1809.00219), table of github.com/xinntao/ESRGAN"
SRGAN = "Ledig et al. 2017 (SRGAN, arXiv 1609.04802)"
EDSR = "Lim et al. 2017 (EDSR, arXiv 1707.02921)"

SETS = {
    "live1": "LIVE1",
    "classic5": "Classic5",
    "set5": "Set5",
    "set14": "Set14",
    "bsd100": "BSD100",
    "bsds100": "BSD100",
    "b100": "BSD100",
}
"""Names of folders, in lower case."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published row: means over the set; None where the paper has no PSNR-B."""

    method: str
    protocol: str
    psnr: float
    ssim: float
    psnr_b: float | None
    source: str


def published(folder_name: str) -> list[Published]:
    """What papers report on the set of a folder of that name; nothing for an unknown one."""
    name = SETS.get(folder_name.lower().replace("_", "").replace("-", ""))
    return [
        Published(method, protocol, *figures, source)
        for method, source, of_sets in (*_JPEG, *_X4)
        for protocol, figures in of_sets.get(name or "", {}).items()
    ]


_Row = dict[str, tuple[float, float, float | None]]


def _grey(*figures: tuple[float, float, float]) -> _Row:
    return {f"jpeg-grey-q{quality}": row for quality, row in zip((10, 20, 30, 40), figures, strict=True)}


def _x4(psnr: float, ssim: float) -> _Row:
    return {"x4": (psnr, ssim, None)}


_JPEG: list[tuple[str, str, dict[str, _Row]]] = [
    (
        "AR-CNN",
        SWINIR,
        {
            "Classic5": _grey(
                (29.03, 0.7929, 28.76), (31.15, 0.8517, 30.59), (32.51, 0.8806, 31.98), (33.32, 0.8953, 32.79)
            ),
            "LIVE1": _grey(
                (28.96, 0.8076, 28.77), (31.29, 0.8733, 30.79), (32.67, 0.9043, 32.22), (33.63, 0.9198, 33.14)
            ),
        },
    ),
    (
        "DnCNN-3",
        SWINIR,
        {
            "Classic5": _grey(
                (29.40, 0.8026, 29.13), (31.63, 0.8610, 31.19), (32.91, 0.8861, 32.38), (33.77, 0.9003, 33.20)
            ),
            "LIVE1": _grey(
                (29.19, 0.8123, 28.90), (31.59, 0.8802, 31.07), (32.98, 0.9090, 32.34), (33.96, 0.9247, 33.28)
            ),
        },
    ),
    (
        "SwinIR",
        SWINIR,
        {
            "Classic5": _grey(
                (30.27, 0.8249, 29.95), (32.52, 0.8748, 31.99), (33.73, 0.8961, 33.03), (34.52, 0.9082, 33.66)
            ),
            "LIVE1": _grey(
                (29.86, 0.8287, 29.50), (32.25, 0.8909, 31.70), (33.69, 0.9174, 33.01), (34.67, 0.9317, 33.88)
            ),
        },
    ),
]

_X4: list[tuple[str, str, dict[str, _Row]]] = [
    ("bicubic", EDSR, {"Set5": _x4(28.42, 0.8104), "Set14": _x4(26.00, 0.7027), "BSD100": _x4(25.96, 0.6675)}),
    ("SRResNet", SRGAN, {"Set5": _x4(32.05, 0.9019), "Set14": _x4(28.49, 0.8184), "BSD100": _x4(27.58, 0.7620)}),
    ("SRGAN", SRGAN, {"Set5": _x4(29.40, 0.8472), "Set14": _x4(26.02, 0.7397), "BSD100": _x4(25.16, 0.6688)}),
    ("EDSR", ESRGAN, {"Set5": _x4(32.46, 0.8968), "Set14": _x4(28.80, 0.7876), "BSD100": _x4(27.71, 0.7420)}),
    ("RRDB", ESRGAN, {"Set5": _x4(32.73, 0.9011), "Set14": _x4(28.99, 0.7917), "BSD100": _x4(27.85, 0.7455)}),
]
