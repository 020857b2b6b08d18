"""The self-test of the exact renderer: it passes here, and fails where a processor or a library computes otherwise."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import RendererError
from pipeline.faces import geometry
from pipeline.faces.region import Region
from pipeline.published.exact import render as tested

# in one module alone: the others come from numba's cache, and need not be compiled once more
CONTRACTED = """
import numba
plain = numba.njit
def contracting(*functions, **options):
    def decorate(function):
        resizes = function.__module__ == "pipeline.faces.lanczos"
        return plain(**options | ({"cache": False, "fastmath": {"contract"}} if resizes else {}))(function)
    return plain(*functions, **options) if functions else decorate
numba.njit = contracting
from pipeline.published.exact.render import self_test
self_test()
"""


def test_it_passes_here_also_from_many_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: tested.self_test.__wrapped__(), range(16))) == [None] * 16


def test_todays_pillow_in_place_of_the_legacy_resize_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def enlarge(region: Region, resolution: int) -> Region:
        factor = geometry.enlarge_factor(region.rectangle.zoom)
        height, width, _ = region.image_HWC.shape
        size = (width * factor, height * factor)
        image_HWC = np.asarray(Image.fromarray(region.image_HWC).resize(size, Image.Resampling.LANCZOS))
        return Region(image_HWC, region.rectangle.enlarged(factor), region.shrink, region.border)

    monkeypatch.setattr(tested, "enlarge_square", enlarge)
    with pytest.raises(RendererError, match="enlarged"):
        tested.self_test.__wrapped__()


def test_contraction_to_fused_multiply_add_is_found() -> None:
    features = Path("/proc/cpuinfo")
    if not features.is_file() or " fma " not in features.read_text():
        pytest.skip("this processor has no fused multiply-add to contract to")
    run = subprocess.run([sys.executable, "-c", CONTRACTED], capture_output=True, text=True, check=False)
    assert "RendererError" in run.stderr
    assert "another kind of processor" in run.stderr
