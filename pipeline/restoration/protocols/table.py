"""The table of a measured set: our rows, and those of papers on the same set."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.restoration.protocols.bench import Figures, Result
from pipeline.restoration.protocols.published import published

PLAIN = {"jpeg": "JPEG", "x4": "bicubic"}
NETWORK = "network"
COLUMNS = ("protocol", "method", "images", "PSNR", "SSIM", "PSNR-B", "Y-PSNR", "gain", "source")
TITLES = {
    "jpeg-grey": "JPEG of the luma (Y of BT.601, 16...235; grey images as they are)",
    "jpeg-colour": "JPEG in colour (4:2:0); PSNR, SSIM and PSNR-B of RGB",
    "x4": "x4 (MATLAB's bicubic reduction); PSNR and SSIM of Y, without 4 border pixels",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table; `gain` is the network's PSNR less that of the plain method, `source` that of a paper's row.

    `images` is None for a paper's row.
    """

    protocol: str
    method: str
    images: int | None
    figures: Figures
    gain: float | None = None
    source: str | None = None


def table(result: Result, set_name: str) -> list[Line]:
    """The lines of a result, protocol by protocol; `set_name` decides which papers' rows follow."""
    known = published(set_name)
    lines: list[Line] = []
    for protocol, (images, plain, network) in result.means().items():
        lines.append(Line(protocol, PLAIN[protocol.partition("-")[0]], images, plain))
        if network is not None:
            lines.append(Line(protocol, NETWORK, images, network, gain=network.psnr - plain.psnr))
        lines += [
            Line(protocol, row.method, None, Figures(row.psnr, row.ssim, row.psnr_b), source=row.source)
            for row in known
            if row.protocol == protocol
        ]
    return lines


def as_text(lines: Sequence[Line]) -> str:
    """The table for a terminal; the sources of papers' rows follow it."""
    text: list[str] = []
    title = ""
    for line, before in zip(lines, [None, *lines], strict=False):
        kind, _, quality = line.protocol.partition("-q")
        if TITLES[kind] != title:
            title = TITLES[kind]
            text += ["", title, f"{'':<22}{'gain':<9}{'PSNR':>8}{'SSIM':>9}{'PSNR-B':>9}{'Y-PSNR':>9}"]
        label = f"q{quality}" if quality and (before is None or before.protocol != line.protocol) else ""
        gain = "" if line.gain is None else f"{line.gain:+.2f}"
        mark = "*" if line.source else ""
        cells = "".join(_cell(line.figures, name, width) for name, width in _CELLS)
        text.append(f"{label:<5}{line.method + mark:<17}{gain:<9}{cells}".rstrip())
    sources = dict.fromkeys(f"* {line.method}: {line.source}" for line in lines if line.source)
    return "\n".join([*text, *([""] if sources else []), *sources]).lstrip("\n")


def as_markdown(lines: Sequence[Line]) -> str:
    """The table in Markdown."""
    rows = [COLUMNS, tuple("-" * 3 for _ in COLUMNS), *(_values(line) for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def as_csv(result: Result) -> str:
    """The figures image by image, as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("file", "protocol", "method", "psnr", "ssim", "psnr_b", "y_psnr"))
    for row in result.measured:
        for method, figures in ((PLAIN[row.protocol.partition("-")[0]], row.plain), (NETWORK, row.network)):
            if figures is not None:
                numbers = (figures.psnr, figures.ssim, figures.psnr_b, figures.y_psnr)
                writer.writerow((row.file, row.protocol, method, *("" if n is None else f"{n:.6f}" for n in numbers)))
    return stream.getvalue()


_CELLS = (("psnr", 8), ("ssim", 9), ("psnr_b", 9), ("y_psnr", 9))


def _cell(figures: Figures, name: str, width: int) -> str:
    value = getattr(figures, name)
    text = "" if value is None else f"{value:.4f}" if name == "ssim" else f"{value:.2f}"
    return text.rjust(width)


def _values(line: Line) -> tuple[str, ...]:
    return (
        line.protocol,
        line.method,
        "" if line.images is None else str(line.images),
        *(_cell(line.figures, name, 0) for name, _ in _CELLS),
        "" if line.gain is None else f"{line.gain:+.2f}",
        line.source or "",
    )
