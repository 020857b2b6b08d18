"""Procedural scenes for the synthetic LSUN: rooms and skylines, no two alike."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SHORTER_SIDE = 256  # as in LSUN
LONGER_SIDES = (256, 272, 300, 341, 341, 341, 384, 455)
SUPERSAMPLED = 2
Colour = tuple[int, int, int]
Point = tuple[float, float]


def encode_scene(name: str, random: np.random.Generator) -> bytes:
    """One scene as a WebP or JPEG file; its shorter side is 256, as in LSUN."""
    longer = int(random.choice(LONGER_SIDES))
    width, height = (SHORTER_SIDE, longer) if random.random() < 0.2 else (longer, SHORTER_SIDE)
    draw_scene = _room if name.endswith("room") or name == "kitchen" else _skyline
    large = Image.new("RGB", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    draw_scene(large, random)
    image = _lit(large.resize((width, height), Image.Resampling.BOX), random)
    stream = io.BytesIO()
    if random.random() < 0.5:
        image.save(stream, "webp", quality=int(random.integers(70, 96)), method=2)
    else:
        image.save(stream, "jpeg", quality=int(random.integers(70, 96)))
    return stream.getvalue()


def _room(image: Image.Image, random: np.random.Generator) -> None:
    """A room in one-point perspective: back wall, side walls, floor; window, picture, bed, lamp."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    left, right = random.uniform(0.08, 0.25) * width, random.uniform(0.75, 0.92) * width
    top, bottom = random.uniform(0.06, 0.16) * height, random.uniform(0.58, 0.7) * height
    wall = _colour(random, 150, 235)
    floor = _wood(random)
    draw.rectangle((0, 0, width, height), fill=_shade(wall, 1.08))
    draw.polygon([(0, 0), (left, top), (left, bottom), (0, height)], fill=_shade(wall, 0.82))
    draw.polygon([(width, 0), (right, top), (right, bottom), (width, height)], fill=_shade(wall, 0.74))
    draw.rectangle((left, top, right, bottom), fill=wall)
    draw.polygon([(left, bottom), (right, bottom), (width, height), (0, height)], fill=floor)
    vanishing = ((left + right) / 2, (top + bottom) / 2)
    for end in np.linspace(-0.5 * width, 1.5 * width, 15):
        draw.line([_towards((end, height), vanishing, bottom), (end, height)], fill=_shade(floor, 0.85), width=2)
    draw.line([(left, bottom), (right, bottom)], fill=_shade(wall, 0.6), width=6)
    unit = (right - left) / 10
    window_is_left = random.random() < 0.5
    window_left = left + unit * (random.uniform(1.0, 2.4) if window_is_left else random.uniform(4.4, 5.6))
    _window(draw, (window_left, top + unit * 0.8, window_left + 3.2 * unit, bottom - unit * 2.2), random)
    picture = left + unit * (7.4 if window_is_left else 0.8)
    _picture(draw, (picture, top + unit * 1.2, picture + unit * 1.8, top + unit * 2.8), random)
    _bed(draw, (left + unit * random.uniform(1.0, 4.0), bottom), unit, height, random)
    _lamp(draw, (right - unit * random.uniform(0.3, 1.2), bottom + unit * 0.6), unit, random)


def _window(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], random: np.random.Generator) -> None:
    left, top, right, bottom = box
    sky, frame = _colour(random, 150, 250, blue=40), _colour(random, 200, 250)
    draw.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill=frame)
    draw.rectangle(box, fill=sky)
    hill = top + (bottom - top) * random.uniform(0.55, 0.8)
    draw.polygon([(left, bottom), (left, hill + 12), ((left + right) / 2, hill), (right, hill + 16), (right, bottom)],
                 fill=_colour(random, 60, 140, green=40))  # fmt: skip
    draw.line([((left + right) / 2, top), ((left + right) / 2, bottom)], fill=frame, width=6)
    draw.line([(left, (top + bottom) / 2), (right, (top + bottom) / 2)], fill=frame, width=6)
    curtain, fold = _colour(random, 90, 230), (right - left) * 0.22
    for start in (left - fold * 0.6, right - fold * 0.4):
        for number in range(5):
            x = start + number * fold / 5
            draw.rectangle((x, top - 14, x + fold / 5, bottom + 30), fill=_shade(curtain, 0.85 + 0.1 * (number % 2)))


def _picture(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], random: np.random.Generator) -> None:
    left, top, right, bottom = box
    draw.rectangle((left - 6, top - 6, right + 6, bottom + 6), fill=_shade(_wood(random), 0.6))
    draw.rectangle(box, fill=_colour(random, 190, 250))
    for _ in range(4):
        x, y = random.uniform(left, right - 10), random.uniform(top, bottom - 10)
        size = random.uniform(8, 20)
        draw.ellipse((x, y, min(x + size, right), min(y + size, bottom)), fill=_colour(random, 40, 230))


def _bed(draw: ImageDraw.ImageDraw, foot: Point, unit: float, height: float, random: np.random.Generator) -> None:
    left, floor = foot
    right = left + unit * random.uniform(4.0, 5.0)
    near = min(floor + (height - floor) * random.uniform(0.7, 1.0), height - 6)
    spread = unit * 1.1
    blanket, sheet, wood = _colour(random, 50, 220), _colour(random, 215, 250), _wood(random)
    draw.rounded_rectangle((left - 6, floor - unit * 2.0, right + 6, floor + 6), radius=14, fill=_shade(wood, 0.75))
    head, mattress = floor - unit * 0.5, unit * 0.9
    top = [(left, head), (right, head), (right + spread, near - mattress), (left - spread, near - mattress)]
    draw.polygon(top, fill=sheet)
    fold = 0.35
    folded = [_between(top[0], top[3], fold), _between(top[1], top[2], fold)]
    draw.polygon([folded[0], folded[1], top[2], top[3]], fill=blanket)
    draw.rectangle((top[3][0], near - mattress, top[2][0], near), fill=_shade(blanket, 0.7))
    stripes = int(random.integers(0, 5))
    for number in range(stripes):
        share = fold + (1 - fold) * (number + 1) / (stripes + 1)
        ends = [_between(top[0], top[3], share), _between(top[1], top[2], share)]
        draw.line(ends, fill=_shade(blanket, 1.25), width=7)
    pillow = (right - left) * 0.42
    for x in (left + pillow * 0.1, right - pillow * 1.1):
        draw.rounded_rectangle(
            (x, head - unit * 0.25, x + pillow, head + unit * 0.5), radius=16, fill=_shade(sheet, 0.93)
        )


def _lamp(draw: ImageDraw.ImageDraw, foot: Point, unit: float, random: np.random.Generator) -> None:
    x, floor = foot
    table, shade = _shade(_wood(random), 0.7), _colour(random, 190, 250)
    draw.rectangle((x - unit * 0.7, floor - unit * 1.2, x + unit * 0.7, floor), fill=table)
    draw.rectangle((x - 4, floor - unit * 1.9, x + 4, floor - unit * 1.2), fill=_shade(table, 0.6))
    draw.polygon(
        [(x - unit * 0.3, floor - unit * 2.6), (x + unit * 0.3, floor - unit * 2.6),
         (x + unit * 0.55, floor - unit * 1.8), (x - unit * 0.55, floor - unit * 1.8)], fill=shade,
    )  # fmt: skip


def _skyline(image: Image.Image, random: np.random.Generator) -> None:
    """A sky with a sun, two rows of buildings with lit windows, and a street."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    above, below = _colour(random, 60, 200, blue=50), _colour(random, 170, 250)
    for y in range(height):
        draw.line([(0, y), (width, y)], fill=_mix(above, below, y / height))
    sun = (random.uniform(0.1, 0.9) * width, random.uniform(0.1, 0.4) * height, random.uniform(0.04, 0.09) * height)
    draw.ellipse((sun[0] - sun[2], sun[1] - sun[2], sun[0] + sun[2], sun[1] + sun[2]), fill=(255, 244, 214))
    street = height * random.uniform(0.86, 0.93)
    for row, haze in enumerate((0.55, 0.1)):
        x = -random.uniform(0, 0.1) * width
        while x < width:
            span = random.uniform(0.08, 0.2) * width
            roof = street - height * random.uniform(0.2, 0.62 - 0.17 * row)
            wall = _mix(_colour(random, 50, 200), below, haze)
            draw.rectangle((x, roof, x + span, street), fill=wall)
            _lights(draw, (x, roof, x + span, street), wall, random)
            x += span * random.uniform(1.0, 1.0 + 0.5 * row)
    draw.rectangle((0, street, width, height), fill=_colour(random, 60, 110))


def _lights(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], wall: Colour,
            random: np.random.Generator) -> None:  # fmt: skip
    left, top, right, bottom = box
    step, lit = random.uniform(16, 28), _colour(random, 200, 255)
    for y in np.arange(top + step / 2, bottom - step, step):
        for x in np.arange(left + step / 2, right - step * 0.7, step):
            colour = lit if random.random() < 0.35 else _shade(wall, 0.65)
            draw.rectangle((x, y, x + step * 0.5, y + step * 0.55), fill=colour)


def _lit(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A soft light from one side, a little blur, and the grain of a camera."""
    pixels_HWC = np.asarray(image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.7))), np.float32)
    height, width = pixels_HWC.shape[:2]
    x_W, y_H1 = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.3)
    light_HW = 1 + strength * (np.cos(angle) * x_W + np.sin(angle) * y_H1) - 0.12 * (x_W**2 + y_H1**2)
    grain_HWC = random.normal(0, random.uniform(1, 4), pixels_HWC.shape)
    return Image.fromarray(np.clip(pixels_HWC * light_HW[..., None] + grain_HWC, 0, 255).astype(np.uint8))


# --- colours and points --------------------------------------------------------------------------


def _colour(random: np.random.Generator, low: int, high: int, green: int = 0, blue: int = 0) -> Colour:
    grey, tint = random.uniform(low, high), random.uniform(-28, 28, 3) + np.array([0, green, blue])
    return _bytes(grey + tint)


def _wood(random: np.random.Generator) -> Colour:
    return _bytes(np.array([176.0, 126.0, 82.0]) * random.uniform(0.6, 1.2))


def _shade(colour: Colour, factor: float) -> Colour:
    return _bytes(np.array(colour) * factor)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    return _bytes(np.array(first) * (1 - share) + np.array(second) * share)


def _bytes(values: NDArray[np.float64]) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _between(start: Point, end: Point, share: float) -> Point:
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)


def _towards(start: Point, vanishing: Point, y: float) -> Point:
    return _between(start, vanishing, (y - start[1]) / (vanishing[1] - start[1]))
