"""The contact sheet of detected faces: each with its box and its five landmarks in five colours."""

from pathlib import PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.manifest import Detected

PIXELS, CAPTION = 192, 30
"""Side of the shown part of a photograph, and height of the two lines below it."""

PER_ROW = 6
MARGIN = 0.35
"""Around the box, in units of its longer side."""

COLOURS = ((255, 60, 60), (60, 120, 255), (255, 220, 0), (255, 0, 255), (0, 230, 230))
"""Left eye red, right eye blue, nose yellow, left mouth corner magenta, right one cyan; left as the viewer sees it."""

BOX = (0, 220, 0)
GREY = 128
LETTERS = 30
FONT_PIXELS = 11

Picture = NDArray[np.uint8]


def draw_face(picture_HWC: Picture, row: Detected) -> Picture:
    """A tile, (PIXELS + CAPTION, PIXELS, 3) uint8, of a face of the photograph `picture_HWC`."""
    x, y, width, height = row.box
    side = max(width, height) * (1 + 2 * MARGIN)
    left, upper = x + (width - side) / 2, y + (height - side) / 2
    scale = PIXELS / side
    tile_HWC = np.full((PIXELS + CAPTION, PIXELS, 3), 255, np.uint8)
    tile_HWC[:PIXELS] = _part(picture_HWC, round(left), round(upper), max(round(side), 1))

    def place(at: tuple[float, float]) -> tuple[int, int]:
        return round((at[0] - left) * scale), round((at[1] - upper) * scale)

    corners = place((x, y)), place((x + width, y + height))
    marked_HWC = np.ascontiguousarray(tile_HWC[:PIXELS])
    cv2.rectangle(marked_HWC, *corners, BOX, 1)
    for number, colour in enumerate(COLOURS):
        at = place((row.landmarks[2 * number], row.landmarks[2 * number + 1]))
        cv2.circle(marked_HWC, at, 4, (0, 0, 0), -1, cv2.LINE_AA)
        cv2.circle(marked_HWC, at, 3, colour, -1, cv2.LINE_AA)
    tile_HWC[:PIXELS] = marked_HWC
    return _captioned(tile_HWC, row)


def _part(picture_HWC: Picture, left: int, upper: int, side: int) -> Picture:
    """A square of the picture at PIXELS x PIXELS, grey outside of the picture."""
    height, width = picture_HWC.shape[:2]
    part_HWC = np.full((side, side, 3), GREY, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(upper, 0), min(left + side, width), min(upper + side, height)
    if x0 < x1 and y0 < y1:
        part_HWC[y0 - upper : y1 - upper, x0 - left : x1 - left] = picture_HWC[y0:y1, x0:x1]
    method = cv2.INTER_AREA if side > PIXELS else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part_HWC, (PIXELS, PIXELS), interpolation=method), np.uint8)


def _captioned(tile_HWC: Picture, row: Detected) -> Picture:
    image = Image.fromarray(tile_HWC)
    name = PurePosixPath(row.file).name
    name = name if len(name) <= LETTERS else f"...{name[3 - LETTERS :]}"
    size = round(max(row.box[2:]))
    text = f"{name}\n#{row.index}  face {row.face}  score {row.score:.2f}  {size} px"
    font = ImageFont.load_default(FONT_PIXELS)
    ImageDraw.Draw(image).multiline_text((3, PIXELS + 1), text, (0, 0, 0), font, spacing=1)
    return np.asarray(image)
