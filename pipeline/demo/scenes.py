"""Drawn scenes for the synthetic LSUN: rooms and skylines, no two alike."""

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFilter

SHORTER_SIDE = 256  # as in LSUN
LONGER_SIDES = (256, 272, 300, 341, 341, 341, 384, 455)
SUPERSAMPLED = 2
Colour = tuple[int, int, int]


def encode_scene(name: str, random: np.random.Generator) -> bytes:
    """One scene as a WebP or JPEG file; its shorter side is 256, as in LSUN."""
    image, stream = draw_scene(name, random), io.BytesIO()
    kind = "webp" if random.random() < 0.5 else "jpeg"
    image.save(stream, kind, quality=int(random.integers(70, 96)), method=2)  # the method is WebP's
    return stream.getvalue()


def draw_scene(name: str, random: np.random.Generator) -> Image.Image:
    """Draw a room or a skyline; then a soft light from one side, a little blur, and the grain of a camera."""
    longer = int(random.choice(LONGER_SIDES))
    width, height = (SHORTER_SIDE, longer) if random.random() < 0.2 else (longer, SHORTER_SIDE)
    large = Image.new("RGB", (width * SUPERSAMPLED, height * SUPERSAMPLED))
    painter = _Painter(large, random)
    painter.room() if name.endswith("room") or name == "kitchen" else painter.skyline()
    image = large.resize((width, height), Image.Resampling.BOX)
    pixels_HWC = np.asarray(image.filter(ImageFilter.GaussianBlur(random.uniform(0.2, 0.7))), np.float32)
    x_W, y_H1 = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    angle, strength = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.3)
    light_HW = 1 + strength * (np.cos(angle) * x_W + np.sin(angle) * y_H1) - 0.12 * (x_W**2 + y_H1**2)
    grain_HWC = random.normal(0, random.uniform(1, 4), pixels_HWC.shape)
    return Image.fromarray(np.clip(pixels_HWC * light_HW[..., None] + grain_HWC, 0, 255).astype(np.uint8))


class _Painter:
    def __init__(self, image: Image.Image, random: np.random.Generator) -> None:
        self.width, self.height = image.size
        self.draw, self.random = ImageDraw.Draw(image), random

    def room(self) -> None:
        """In one-point perspective: walls, floor boards, window, picture, bed, lamp."""
        draw, uniform, width, height = self.draw, self.random.uniform, self.width, self.height
        left, right = uniform(0.08, 0.25) * width, uniform(0.75, 0.92) * width
        top, bottom = uniform(0.06, 0.16) * height, uniform(0.58, 0.7) * height
        wall, floor = self.colour(150, 235), self.wood()
        draw.rectangle((0, 0, width, height), fill=_shade(wall, 1.08))
        draw.polygon([(0, 0), (left, top), (left, bottom), (0, height)], fill=_shade(wall, 0.82))
        draw.polygon([(width, 0), (right, top), (right, bottom), (width, height)], fill=_shade(wall, 0.74))
        draw.rectangle((left, top, right, bottom), fill=wall)
        draw.polygon([(left, bottom), (right, bottom), (width, height), (0, height)], fill=floor)
        vanishing_x, rise = (left + right) / 2, (top + bottom) / 2 - height
        share = (bottom - height) / rise  # of the way to the vanishing point
        for x in np.linspace(-0.5 * width, 1.5 * width, 15):
            far = (x + (vanishing_x - x) * share, height + rise * share)
            draw.line([far, (x, height)], fill=_shade(floor, 0.85), width=2)
        draw.line([(left, bottom), (right, bottom)], fill=_shade(wall, 0.6), width=6)
        unit = (right - left) / 10
        window_is_left = self.random.random() < 0.5
        x = left + unit * (uniform(1.0, 2.4) if window_is_left else uniform(4.4, 5.6))
        self.window(x, top + unit * 0.8, x + 3.2 * unit, bottom - unit * 2.2)
        x = left + unit * (7.4 if window_is_left else 0.8)
        self.picture(x, top + unit * 1.2, x + unit * 1.8, top + unit * 2.8)
        self.bed(left + unit * uniform(1.0, 4.0), bottom, unit)
        self.lamp(right - unit * uniform(0.3, 1.2), bottom + unit * 0.6, unit)

    def window(self, left: float, top: float, right: float, bottom: float) -> None:
        """A sky over hills, a frame with a cross, curtains in folds."""
        sky, frame = self.colour(150, 250, blue=40), self.colour(200, 250)
        self.draw.rectangle((left - 8, top - 8, right + 8, bottom + 8), fill=sky, outline=frame, width=8)
        x, y = (left + right) / 2, (top + bottom) / 2
        hill = top + (bottom - top) * self.random.uniform(0.55, 0.8)
        hills = [(left, bottom), (left, hill + 12), (x, hill), (right, hill + 16), (right, bottom)]
        self.draw.polygon(hills, fill=self.colour(60, 140, green=40))
        self.draw.line([(x, top), (x, bottom)], fill=frame, width=6)
        self.draw.line([(left, y), (right, y)], fill=frame, width=6)
        curtain, wide = self.colour(90, 230), (right - left) * 0.22
        for start in (left - wide * 0.6, right - wide * 0.4):
            for number in range(5):
                x, fold = start + number * wide / 5, _shade(curtain, 0.85 + 0.1 * (number % 2))
                self.draw.rectangle((x, top - 14, x + wide / 5, bottom + 30), fill=fold)

    def picture(self, left: float, top: float, right: float, bottom: float) -> None:
        """Coloured dots in a frame."""
        uniform = self.random.uniform
        frame, paper = _shade(self.wood(), 0.6), self.colour(190, 250)
        self.draw.rectangle((left - 6, top - 6, right + 6, bottom + 6), fill=paper, outline=frame, width=6)
        for _ in range(4):
            x, y, size = uniform(left, right - 10), uniform(top, bottom - 10), uniform(8, 20)
            self.draw.ellipse((x, y, min(x + size, right), min(y + size, bottom)), fill=self.colour(40, 230))

    def bed(self, left: float, floor: float, unit: float) -> None:
        """Headboard, mattress in a sheet, blanket with stripes, pillows."""
        draw, right = self.draw, left + unit * self.random.uniform(4.0, 5.0)
        bottom = min(floor + (self.height - floor) * self.random.uniform(0.7, 1.0), self.height - 6)
        blanket, sheet, wood = self.colour(50, 220), self.colour(215, 250), self.wood()
        draw.rounded_rectangle((left - 6, floor - unit * 2.0, right + 6, floor + 6), radius=14, fill=_shade(wood, 0.75))
        head, edge = floor - unit * 0.5, bottom - unit * 0.9
        far = np.array([(left, head), (right, head)])
        near = np.array([(left - unit * 1.1, edge), (right + unit * 1.1, edge)])
        draw.polygon([*far.ravel(), *near[::-1].ravel()], fill=sheet)
        stripes = self.random.integers(1, 6)
        shares = 0.35 + 0.65 * np.arange(stripes) / stripes  # of the way from the head to the near edge
        fold, *lines = far + (near - far) * shares[:, None, None]
        draw.polygon([*fold.ravel(), *near[::-1].ravel()], fill=blanket)
        draw.rectangle((near[0, 0], edge, near[1, 0], bottom), fill=_shade(blanket, 0.7))
        for line in lines:
            draw.line(line.ravel().tolist(), fill=_shade(blanket, 1.25), width=7)
        pillow = (right - left) * 0.42
        for x in (left + pillow * 0.1, right - pillow * 1.1):
            box = (x, head - unit * 0.25, x + pillow, head + unit * 0.5)
            draw.rounded_rectangle(box, radius=16, fill=_shade(sheet, 0.93))

    def lamp(self, x: float, floor: float, unit: float) -> None:
        """Table, stand and shade."""
        table, shade = _shade(self.wood(), 0.7), self.colour(190, 250)
        self.draw.rectangle((x - unit * 0.7, floor - unit * 1.2, x + unit * 0.7, floor), fill=table)
        self.draw.rectangle((x - 4, floor - unit * 1.9, x + 4, floor - unit * 1.2), fill=_shade(table, 0.6))
        high, low = floor - unit * 2.6, floor - unit * 1.8
        cone = [(x - unit * 0.3, high), (x + unit * 0.3, high), (x + unit * 0.55, low), (x - unit * 0.55, low)]
        self.draw.polygon(cone, fill=shade)

    def skyline(self) -> None:
        """A sky with a sun, two rows of buildings with lit windows, and a street."""
        draw, uniform, width, height = self.draw, self.random.uniform, self.width, self.height
        above, below = self.colour(60, 200, blue=50), self.colour(170, 250)
        for y in range(height):
            draw.line([(0, y), (width, y)], fill=_mix(above, below, y / height))
        x, y, radius = uniform(0.1, 0.9) * width, uniform(0.1, 0.4) * height, uniform(0.04, 0.09) * height
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 244, 214))
        street = height * uniform(0.86, 0.93)
        for row, haze in enumerate((0.55, 0.1)):
            left = -uniform(0, 0.1) * width
            while left < width:
                span, roof = uniform(0.08, 0.2) * width, street - height * uniform(0.2, 0.62 - 0.17 * row)
                self.building(left, roof, left + span, street, wall=_mix(self.colour(50, 200), below, haze))
                left += span * uniform(1.0, 1.0 + 0.5 * row)
        draw.rectangle((0, street, width, height), fill=self.colour(60, 110))

    def building(self, left: float, roof: float, right: float, street: float, *, wall: Colour) -> None:
        """A wall with a grid of windows, a third of them lit."""
        self.draw.rectangle((left, roof, right, street), fill=wall)
        step, lit = self.random.uniform(16, 28), self.colour(200, 255)
        for y in np.arange(roof + step / 2, street - step, step):
            for x in np.arange(left + step / 2, right - step * 0.7, step):
                colour = lit if self.random.random() < 0.35 else _shade(wall, 0.65)
                self.draw.rectangle((x, y, x + step * 0.5, y + step * 0.55), fill=colour)

    def colour(self, low: int, high: int, green: int = 0, blue: int = 0) -> Colour:
        return _shade(self.random.uniform(low, high) + np.add(self.random.uniform(-28, 28, 3), (0, green, blue)))

    def wood(self) -> Colour:
        return _shade((176, 126, 82), self.random.uniform(0.6, 1.2))


def _shade(colour: ArrayLike, factor: float = 1.0) -> Colour:
    red, green, blue = np.clip(np.multiply(colour, factor), 0, 255).astype(int).tolist()
    return red, green, blue


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    return _shade(np.array(first) * (1 - share) + np.array(second) * share)
