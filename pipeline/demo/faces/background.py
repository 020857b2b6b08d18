"""What is behind the person: studio paper, lights out of focus, leaves, walls, a skyline, a room."""

from typing import Literal, get_args

import cv2
import numpy as np

from pipeline.demo.faces.canvas import Floats, fractal_noise, value_noise

Place = Literal["studio", "lights", "leaves", "wall", "skyline", "room"]

PALETTES = np.array(
    [
        [[214, 206, 196], [150, 140, 132], [90, 84, 82]],
        [[178, 204, 224], [104, 140, 172], [48, 70, 100]],
        [[226, 190, 140], [176, 112, 72], [84, 48, 40]],
        [[190, 206, 150], [96, 130, 72], [36, 58, 34]],
        [[210, 178, 200], [140, 92, 130], [58, 40, 66]],
        [[238, 232, 222], [200, 182, 160], [120, 104, 92]],
    ]
)


def paint_background(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A background of a random kind, float32 RGB in 0...1, more or less out of focus."""
    place = get_args(Place)[int(rng.integers(len(get_args(Place))))]
    palette = (PALETTES[rng.integers(len(PALETTES))] / 255 * rng.uniform(0.8, 1.1)).astype(np.float32)
    focus = {"studio": 0.004, "lights": 0.004}.get(place, float(rng.choice([0.0, 0.004, 0.012, 0.025])))
    blur = focus * max(height, width)
    shrink = max(blur / 2, 1.0)  # what is blurred that much needs no more pixels
    image = _PAINTERS[place](rng, int(np.ceil(height / shrink)), int(np.ceil(width / shrink)), palette)
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur / shrink)
    if shrink > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 1).astype(np.float32, copy=False)


def _blend(a: Floats, b: Floats, weight: Floats) -> Floats:
    start = a.astype(np.float32, copy=False)
    return start + weight[..., None].astype(np.float32, copy=False) * (b.astype(np.float32, copy=False) - start)


def _ramp(rng: np.random.Generator, height: int, width: int) -> Floats:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = columns / width * np.float32(np.cos(angle)) + rows / height * np.float32(np.sin(angle))
    return (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)


def _studio(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    at_x, at_y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.1, 0.6) * height
    glow = np.exp(-((columns - at_x) ** 2 + (rows - at_y) ** 2) / np.float32((0.55 * max(height, width)) ** 2))
    mottle = fractal_noise(rng, height, width, 0.3 * max(height, width), 3)
    return _blend(palette[2] * 0.8, palette[0], np.clip(glow + 0.07 * mottle, 0, 1))


def _lights(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    image = _blend(palette[2] * 0.35, palette[1] * 0.6, _ramp(rng, height, width))
    size = max(height, width)
    for _ in range(int(rng.integers(14, 30))):
        disc = np.zeros((height, width), np.uint8)
        at = (int(rng.uniform(0, width) * 16), int(rng.uniform(0, height) * 16))
        cv2.circle(disc, at, int(rng.uniform(0.02, 0.09) * size * 16), 255, -1, cv2.LINE_AA, 4)
        colour = np.clip(palette[0] * rng.uniform(0.7, 1.3, 3), 0, 1.2).astype(np.float32)
        x0, y0, w, h = cv2.boundingRect(disc)
        part = (slice(y0, y0 + h), slice(x0, x0 + w))
        image[part] += (disc[part] / np.float32(255))[..., None] * colour * np.float32(rng.uniform(0.12, 0.45))
    return image


def _leaves(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    size = max(height, width)
    green = np.array([[0.10, 0.17, 0.08], [0.26, 0.42, 0.16], [0.60, 0.72, 0.34]]) * rng.uniform(0.8, 1.2)
    shade = fractal_noise(rng, height, width, 0.16 * size, 5)
    leaves = value_noise(rng, height, width, max(0.022 * size, 2)) + 0.5 * value_noise(
        rng, height, width, max(0.01 * size, 1.5)
    )
    image = _blend(green[0], green[1], np.clip(0.5 + 0.35 * shade + 0.25 * leaves, 0, 1))
    sun = np.clip(0.9 * leaves + 0.8 * shade - 1.0, 0, 1)
    image = _blend(image, green[2] + 0.12 * palette[0], sun)
    sky = np.clip(1.4 * shade + 0.5 * leaves - 1.5, 0, 1) * (1 - _down(height, width))
    return _blend(image, np.array([0.90, 0.94, 0.98]), sky)


def _wall(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    size = max(height, width)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    course = np.float32(size * rng.uniform(0.06, 0.11))
    row = np.floor(rows / course)
    brick = np.floor((columns + row % 2 * course) / (2 * course))
    tone = rng.standard_normal((64, 64), np.float32)[row.astype(int) % 64, brick.astype(int) % 64]
    joint_y = np.abs(rows / course - row - 0.5) * 2
    joint_x = np.abs((columns + row % 2 * course) / (2 * course) - brick - 0.5) * 2
    joint = np.clip((np.maximum(joint_y, (joint_x - 0.5) * 2) - 0.88) * 14, 0, 1)
    grain = fractal_noise(rng, height, width, max(0.02 * size, 2), 3)
    image = palette[1] * (1 + 0.10 * tone + 0.05 * grain)[..., None]
    return _blend(image, palette[0] * 0.9, joint * 0.7) * (0.75 + 0.35 * _ramp(rng, height, width))[..., None]


def _skyline(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    sky = _blend(np.array([0.52, 0.68, 0.88]), np.array([0.93, 0.91, 0.88]), _down(height, width))
    clouds = np.clip(fractal_noise(rng, height, width, 0.35 * max(height, width), 5) * 0.5 + 0.1, 0, 0.8)
    image = _blend(sky, np.array([0.98, 0.98, 0.98]), clouds)
    x = -0.05 * width
    while x < width:
        wide = rng.uniform(0.06, 0.18) * width
        top = int(rng.uniform(0.25, 0.75) * height)
        left, right = max(int(x), 0), max(int(x + wide), 0)
        house = image[top:, left:right]
        house[:] = palette[rng.integers(3)] * rng.uniform(0.6, 1.0)
        pitch = max(int(0.022 * max(height, width)), 3)
        lit = rng.random((house.shape[0] // pitch + 1, house.shape[1] // pitch + 1)) < 0.6
        panes = np.kron(lit, np.pad(np.ones((pitch - pitch // 3,) * 2), (0, pitch // 3)))[
            : house.shape[0], : house.shape[1]
        ]
        house *= (1 - 0.3 * panes[..., None]).astype(np.float32)
        x += wide * rng.uniform(0.8, 1.1)
    return image


def _room(rng: np.random.Generator, height: int, width: int, palette: Floats) -> Floats:
    image = _blend(palette[0], palette[1], _ramp(rng, height, width))
    size = max(height, width)
    for _ in range(int(rng.integers(4, 9))):
        wide, tall = rng.uniform(0.1, 0.4, 2) * size
        x, y = rng.uniform(-0.1, 1) * width, rng.uniform(-0.1, 1) * height
        part = image[max(int(y), 0) : max(int(y + tall), 0), max(int(x), 0) : max(int(x + wide), 0)]
        colour = PALETTES[rng.integers(len(PALETTES)), rng.integers(3)] / 255 * rng.uniform(0.6, 1.05)
        part += np.float32(0.8) * (colour.astype(np.float32) - part)
    grain = fractal_noise(rng, height, width, max(0.05 * size, 2), 4)
    return image * (1 + 0.03 * grain)[..., None]


def _down(height: int, width: int) -> Floats:
    return np.broadcast_to(np.linspace(0, 1, height, dtype=np.float32)[:, None], (height, width))


_PAINTERS = {
    "studio": _studio,
    "lights": _lights,
    "leaves": _leaves,
    "wall": _wall,
    "skyline": _skyline,
    "room": _room,
}
