"""Makes pipeline/faces/self_test.jpg, the picture that tells JPEG decoders apart, and prints its MD5 by each.

    python tests/golden/make_self_test.py

Made from numpy alone. Odd sizes and saturated slanted edges bring out how colour at half resolution is up-sampled.
"""

import hashlib

import numpy as np
from PIL import Image

from pipeline.faces.decode import AS_PUBLISHED, SELF_TEST, SELF_TEST_MD5, decode


def picture(width: int, height: int) -> np.ndarray:
    """Slanted colour stripes over a gradient, with a disc and noise, (height, width, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    stripes = np.sin((x * 0.8 + y * 0.3)[..., None] + np.array([0.0, 2.1, 4.2]))
    disc = ((x - width / 3) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2)[..., None]
    image_HWC = 128 + 90 * stripes + (x / width * 60 - 30)[..., None]
    image_HWC = np.where(disc, np.array([230.0, 40.0, 60.0]), image_HWC)
    image_HWC += np.random.default_rng(1).normal(0, 6, image_HWC.shape)
    return np.clip(np.rint(image_HWC), 0, 255).astype(np.uint8)


def main() -> None:
    """Write the picture; say what must stand in pipeline/faces/decode.py."""
    Image.fromarray(picture(67, 53)).save(SELF_TEST, "JPEG", quality=85, subsampling="4:2:0", optimize=True)
    for decoder in SELF_TEST_MD5:
        pixels = decode(SELF_TEST.read_bytes(), AS_PUBLISHED.model_copy(update={"decoder": decoder})).tobytes()
        print(decoder, hashlib.md5(pixels, usedforsecurity=False).hexdigest())


if __name__ == "__main__":
    main()
