"""What is behind the person: studio paper, lights out of focus, leaves, walls, a skyline, a room."""

import cv2
import numpy as np

from pipeline.demo.canvas import Array, Rng, noise

PALETTES = np.array(
    [[[214, 206, 196], [150, 140, 132], [90, 84, 82]], [[178, 204, 224], [104, 140, 172], [48, 70, 100]],
     [[226, 190, 140], [176, 112, 72], [84, 48, 40]], [[190, 206, 150], [96, 130, 72], [36, 58, 34]],
     [[210, 178, 200], [140, 92, 130], [58, 40, 66]], [[238, 232, 222], [200, 182, 160], [120, 104, 92]]]
)  # fmt: skip
"""Six times a light, a middle and a dark colour."""
Shape = tuple[int, int]


def paint_background(rng: Rng, shape: Shape) -> Array:
    """A background of a random kind, float32 RGB in 0...1, more or less out of focus; `shape` is (H, W)."""
    paint = (_studio, _lights, _leaves, _wall, _skyline, _room)[rng.integers(6)]
    palette = (PALETTES[rng.integers(len(PALETTES))] / 255 * rng.uniform(0.8, 1.1)).astype(np.float32)
    focus = float(rng.choice([0.0, 0.004, 0.012, 0.025]))
    blur = (0.004 if paint in (_studio, _lights) else focus) * max(shape)
    shrink = max(blur / 2, 1.0)  # a strong blur needs no more pixels
    height, width = shape
    image = paint(rng, (int(np.ceil(height / shrink)), int(np.ceil(width / shrink))), palette)
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur / shrink)
    if shrink > 1:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 1)


def _studio(rng: Rng, shape: Shape, palette: Array) -> Array:
    rows, columns = np.indices(shape, np.float32)
    at_x, at_y = rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.1, 0.6) * shape[0]
    glow = np.exp(-((columns - at_x) ** 2 + (rows - at_y) ** 2) / (0.55 * max(shape)) ** 2)
    mottle = noise(rng, shape, 0.3 * max(shape), 3)
    return _blend(palette[2] * 0.8, palette[0], np.clip(glow + 0.07 * mottle, 0, 1))


def _lights(rng: Rng, shape: Shape, palette: Array) -> Array:
    image = _blend(palette[2] * 0.35, palette[1] * 0.6, _ramp(rng, shape))
    for _ in range(int(rng.integers(14, 30))):
        disc = np.zeros(shape, np.uint8)
        at = (int(rng.uniform(0, shape[1]) * 16), int(rng.uniform(0, shape[0]) * 16))
        cv2.circle(disc, at, int(rng.uniform(0.02, 0.09) * max(shape) * 16), 255, -1, cv2.LINE_AA, 4)
        colour = np.clip(palette[0] * rng.uniform(0.7, 1.3, 3), 0, 1.2).astype(np.float32)
        x, y, wide, tall = cv2.boundingRect(disc)
        part = slice(y, y + tall), slice(x, x + wide)
        image[part] += (disc[part] / np.float32(255))[..., None] * colour * rng.uniform(0.12, 0.45)
    return image


def _leaves(rng: Rng, shape: Shape, palette: Array) -> Array:
    size = max(shape)
    dark, green, bright = np.array([[0.10, 0.17, 0.08], [0.26, 0.42, 0.16], [0.60, 0.72, 0.34]]) * rng.uniform(0.8, 1.2)
    shade = noise(rng, shape, 0.16 * size, 5)
    leaves = noise(rng, shape, max(0.022 * size, 2)) + 0.5 * noise(rng, shape, max(0.01 * size, 1.5))
    image = _blend(dark, green, np.clip(0.5 + 0.35 * shade + 0.25 * leaves, 0, 1))
    image = _blend(image, bright + 0.12 * palette[0], np.clip(0.9 * leaves + 0.8 * shade - 1.0, 0, 1))
    sky = np.clip(1.4 * shade + 0.5 * leaves - 1.5, 0, 1) * (1 - np.linspace(0, 1, shape[0], dtype=np.float32)[:, None])
    return _blend(image, np.array([0.90, 0.94, 0.98]), sky)


def _wall(rng: Rng, shape: Shape, palette: Array) -> Array:
    rows, columns = np.indices(shape, np.float32)
    course = max(shape) * rng.uniform(0.06, 0.11)
    row = np.floor(rows / course)
    across = (columns + row % 2 * course) / (2 * course)
    brick = np.floor(across)
    tone = rng.standard_normal((64, 64), np.float32)[row.astype(int) % 64, brick.astype(int) % 64]
    joint_y, joint_x = np.abs(rows / course - row - 0.5) * 2, np.abs(across - brick - 0.5) * 2
    joint = np.clip((np.maximum(joint_y, (joint_x - 0.5) * 2) - 0.88) * 14, 0, 1)
    grain = noise(rng, shape, max(0.02 * max(shape), 2), 3)
    image = palette[1] * (1 + 0.10 * tone + 0.05 * grain)[..., None]
    return _blend(image, palette[0] * 0.9, joint * 0.7) * (0.75 + 0.35 * _ramp(rng, shape))[..., None]


def _skyline(rng: Rng, shape: Shape, palette: Array) -> Array:
    height, width = shape
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    sky = _blend(np.array([0.52, 0.68, 0.88]), np.array([0.93, 0.91, 0.88]), down)
    clouds = np.clip(noise(rng, shape, 0.35 * max(shape), 5) * 0.5 + 0.1, 0, 0.8)
    image = _blend(sky, np.array([0.98, 0.98, 0.98]), clouds)
    x = -0.05 * width
    while x < width:
        wide = rng.uniform(0.06, 0.18) * width
        house = image[int(rng.uniform(0.25, 0.75) * height) :, max(int(x), 0) : max(int(x + wide), 0)]
        house[:] = palette[rng.integers(3)] * rng.uniform(0.6, 1.0)
        tall, broad = house.shape[:2]
        pitch = max(int(0.022 * max(shape)), 3)
        lit = rng.random((tall // pitch + 1, broad // pitch + 1)) < 0.6
        pane = np.pad(np.ones((pitch - pitch // 3,) * 2), (0, pitch // 3))
        house *= (1 - 0.3 * np.kron(lit, pane)[:tall, :broad, None]).astype(np.float32)
        x += wide * rng.uniform(0.8, 1.1)
    return image


def _room(rng: Rng, shape: Shape, palette: Array) -> Array:
    image = _blend(palette[0], palette[1], _ramp(rng, shape))
    for _ in range(int(rng.integers(4, 9))):
        wide, tall = rng.uniform(0.1, 0.4, 2) * max(shape)
        x, y = rng.uniform(-0.1, 1) * shape[1], rng.uniform(-0.1, 1) * shape[0]
        part = image[max(int(y), 0) : max(int(y + tall), 0), max(int(x), 0) : max(int(x + wide), 0)]
        colour = PALETTES[rng.integers(len(PALETTES)), rng.integers(3)] / 255 * rng.uniform(0.6, 1.05)
        part += 0.8 * (colour.astype(np.float32) - part)
    grain = noise(rng, shape, max(0.05 * max(shape), 2), 4)
    return image * (1 + 0.03 * grain)[..., None]


def _blend(start: Array, end: Array, weight: Array) -> Array:
    start, end, weight = (values.astype(np.float32) for values in (start, end, weight[..., None]))
    return start + weight * (end - start)


def _ramp(rng: Rng, shape: Shape) -> Array:
    """From 0 to 1 in a random direction."""
    rows, columns = np.indices(shape, np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = columns / shape[1] * np.float32(np.cos(angle)) + rows / shape[0] * np.float32(np.sin(angle))
    return (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
