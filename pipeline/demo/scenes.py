"""Drawn scenes for the synthetic LSUN: rooms and skylines, no two alike."""

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter

SHORTER_SIDE = 256  # as in LSUN
LONGER_SIDES = (256, 272, 300, 341, 341, 341, 384, 455)
SUPERSAMPLED = 2
Rng = np.random.Generator
Colour = tuple[int, int, int]
Point = tuple[float, float]


def encode_scene(name: str, random: Rng) -> bytes:
    """One scene as a WebP or JPEG file; its shorter side is 256, as in LSUN."""
    image, stream = draw_scene(name, random), io.BytesIO()
    kind = "webp" if random.random() < 0.5 else "jpeg"
    image.save(stream, kind, quality=int(random.integers(70, 96)), method=2)  # the method is WebP's
    return stream.getvalue()


def draw_scene(name: str, random: Rng) -> Image.Image:
    """Draw a room or a skyline; then a soft light from one side, a little blur, and the grain of a camera."""
    longer = int(random.choice(LONGER_SIDES))
    width, height = (SHORTER_SIDE, longer) if random.random() < 0.2 else (longer, SHORTER_SIDE)
    large = Image.new("RGB", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    draw = _draw_room if name.endswith("room") or name == "kitchen" else _draw_skyline
    draw(ImageDraw.Draw(large), *large.size, random)
    image = large.resize((width, height), Image.Resampling.BOX)
    pixels_HWC = np.asarray(image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.7))), np.float32)
    x_W, y_H1 = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.3)
    light_HW = 1 + strength * (np.cos(angle) * x_W + np.sin(angle) * y_H1) - 0.12 * (x_W**2 + y_H1**2)
    grain_HWC = random.normal(0, random.uniform(1, 4), pixels_HWC.shape)
    return Image.fromarray(np.clip(pixels_HWC * light_HW[..., None] + grain_HWC, 0, 255).astype(np.uint8))


def _draw_room(draw: ImageDraw.ImageDraw, width: int, height: int, random: Rng) -> None:
    """In one-point perspective: walls, floor boards, window, picture, bed, lamp."""
    left, right = random.uniform(0.08, 0.25) * width, random.uniform(0.75, 0.92) * width
    top, bottom = random.uniform(0.06, 0.16) * height, random.uniform(0.58, 0.7) * height
    wall, floor = _colour(random, 150, 235), _wood(random)
    draw.rectangle((0, 0, width, height), fill=_shade(wall, 1.08))
    draw.polygon([(0, 0), (left, top), (left, bottom), (0, height)], fill=_shade(wall, 0.82))
    draw.polygon([(width, 0), (right, top), (right, bottom), (width, height)], fill=_shade(wall, 0.74))
    draw.rectangle((left, top, right, bottom), fill=wall)
    draw.polygon([(left, bottom), (right, bottom), (width, height), (0, height)], fill=floor)
    vanishing = ((left + right) / 2, (top + bottom) / 2)
    for x in np.linspace(-0.5 * width, 1.5 * width, 15):
        far = _between((x, height), vanishing, (bottom - height) / (vanishing[1] - height))
        draw.line([far, (x, height)], fill=_shade(floor, 0.85), width=2)
    draw.line([(left, bottom), (right, bottom)], fill=_shade(wall, 0.6), width=6)
    unit = (right - left) / 10
    window_is_left = random.random() < 0.5
    x = left + unit * (random.uniform(1.0, 2.4) if window_is_left else random.uniform(4.4, 5.6))
    _draw_window(draw, x, top + unit * 0.8, x + 3.2 * unit, bottom - unit * 2.2, random=random)
    x = left + unit * (7.4 if window_is_left else 0.8)
    _draw_picture(draw, x, top + unit * 1.2, x + unit * 1.8, top + unit * 2.8, random=random)
    _draw_bed(draw, left + unit * random.uniform(1.0, 4.0), bottom, unit, height, random=random)
    _draw_lamp(draw, right - unit * random.uniform(0.3, 1.2), bottom + unit * 0.6, unit, random=random)


def _draw_window(draw: ImageDraw.ImageDraw, left: float, top: float, right: float, bottom: float, *,
                 random: Rng) -> None:  # fmt: skip
    sky, frame = _colour(random, 150, 250, blue=40), _colour(random, 200, 250)
    draw.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill=frame)
    draw.rectangle((left, top, right, bottom), fill=sky)
    x, y, hill = (left + right) / 2, (top + bottom) / 2, top + (bottom - top) * random.uniform(0.55, 0.8)
    hills = [(left, bottom), (left, hill + 12), (x, hill), (right, hill + 16), (right, bottom)]
    draw.polygon(hills, fill=_colour(random, 60, 140, green=40))
    draw.line([(x, top), (x, bottom)], fill=frame, width=6)
    draw.line([(left, y), (right, y)], fill=frame, width=6)
    curtain, wide = _colour(random, 90, 230), (right - left) * 0.22
    for start in (left - wide * 0.6, right - wide * 0.4):
        for number in range(5):
            x, fold = start + number * wide / 5, _shade(curtain, 0.85 + 0.1 * (number % 2))
            draw.rectangle((x, top - 14, x + wide / 5, bottom + 30), fill=fold)


def _draw_picture(draw: ImageDraw.ImageDraw, left: float, top: float, right: float, bottom: float, *,
                  random: Rng) -> None:  # fmt: skip
    draw.rectangle((left - 6, top - 6, right + 6, bottom + 6), fill=_shade(_wood(random), 0.6))
    draw.rectangle((left, top, right, bottom), fill=_colour(random, 190, 250))
    for _ in range(4):
        x, y, size = random.uniform(left, right - 10), random.uniform(top, bottom - 10), random.uniform(8, 20)
        draw.ellipse((x, y, min(x + size, right), min(y + size, bottom)), fill=_colour(random, 40, 230))


def _draw_bed(draw: ImageDraw.ImageDraw, left: float, floor: float, unit: float, height: float, *,
              random: Rng) -> None:  # fmt: skip
    """Headboard, mattress in a sheet, blanket with stripes, pillows."""
    right = left + unit * random.uniform(4.0, 5.0)
    near = min(floor + (height - floor) * random.uniform(0.7, 1.0), height - 6)
    blanket, sheet, wood = _colour(random, 50, 220), _colour(random, 215, 250), _wood(random)
    draw.rounded_rectangle((left - 6, floor - unit * 2.0, right + 6, floor + 6), radius=14, fill=_shade(wood, 0.75))
    head, edge = floor - unit * 0.5, near - unit * 0.9
    far_left, far_right = (left, head), (right, head)
    near_right, near_left = (right + unit * 1.1, edge), (left - unit * 1.1, edge)
    draw.polygon([far_left, far_right, near_right, near_left], fill=sheet)

    def across(share: float) -> list[Point]:
        return [_between(far_left, near_left, share), _between(far_right, near_right, share)]

    fold = 0.35
    draw.polygon([*across(fold), near_right, near_left], fill=blanket)
    draw.rectangle((near_left[0], edge, near_right[0], near), fill=_shade(blanket, 0.7))
    stripes = int(random.integers(0, 5))
    for number in range(stripes):
        share = fold + (1 - fold) * (number + 1) / (stripes + 1)
        draw.line(across(share), fill=_shade(blanket, 1.25), width=7)
    pillow = (right - left) * 0.42
    for x in (left + pillow * 0.1, right - pillow * 1.1):
        box = (x, head - unit * 0.25, x + pillow, head + unit * 0.5)
        draw.rounded_rectangle(box, radius=16, fill=_shade(sheet, 0.93))


def _draw_lamp(draw: ImageDraw.ImageDraw, x: float, floor: float, unit: float, *, random: Rng) -> None:
    table, shade = _shade(_wood(random), 0.7), _colour(random, 190, 250)
    draw.rectangle((x - unit * 0.7, floor - unit * 1.2, x + unit * 0.7, floor), fill=table)
    draw.rectangle((x - 4, floor - unit * 1.9, x + 4, floor - unit * 1.2), fill=_shade(table, 0.6))
    high, low = floor - unit * 2.6, floor - unit * 1.8
    cone = [(x - unit * 0.3, high), (x + unit * 0.3, high), (x + unit * 0.55, low), (x - unit * 0.55, low)]
    draw.polygon(cone, fill=shade)


def _draw_skyline(draw: ImageDraw.ImageDraw, width: int, height: int, random: Rng) -> None:
    """A sky with a sun, two rows of buildings with lit windows, and a street."""
    above, below = _colour(random, 60, 200, blue=50), _colour(random, 170, 250)
    for y in range(height):
        draw.line([(0, y), (width, y)], fill=_mix(above, below, y / height))
    x, y, radius = (
        random.uniform(0.1, 0.9) * width,
        random.uniform(0.1, 0.4) * height,
        random.uniform(0.04, 0.09) * height,
    )
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 244, 214))
    street = height * random.uniform(0.86, 0.93)
    for row, haze in enumerate((0.55, 0.1)):
        left = -random.uniform(0, 0.1) * width
        while left < width:
            right = left + (span := random.uniform(0.08, 0.2) * width)
            roof = street - height * random.uniform(0.2, 0.62 - 0.17 * row)
            wall = _mix(_colour(random, 50, 200), below, haze)
            draw.rectangle((left, roof, right, street), fill=wall)
            step, lit = random.uniform(16, 28), _colour(random, 200, 255)
            for y in np.arange(roof + step / 2, street - step, step):
                for x in np.arange(left + step / 2, right - step * 0.7, step):
                    colour = lit if random.random() < 0.35 else _shade(wall, 0.65)
                    draw.rectangle((x, y, x + step * 0.5, y + step * 0.55), fill=colour)
            left += span * random.uniform(1.0, 1.0 + 0.5 * row)
    draw.rectangle((0, street, width, height), fill=_colour(random, 60, 110))


def _colour(random: Rng, low: int, high: int, green: int = 0, blue: int = 0) -> Colour:
    return _rgb(random.uniform(low, high) + np.add(random.uniform(-28, 28, 3), (0, green, blue)))


def _wood(random: Rng) -> Colour:
    return _rgb(np.array([176.0, 126.0, 82.0]) * random.uniform(0.6, 1.2))


def _shade(colour: Colour, factor: float) -> Colour:
    return _rgb(np.array(colour) * factor)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    return _rgb(np.array(first) * (1 - share) + np.array(second) * share)


def _rgb(values: ArrayLike) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _between(start: Point, end: Point, share: float) -> Point:
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
