"""The final image: each way to enlarge, whole images, and no torch without a network."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline import provenance
from pipeline.container import writing_container
from pipeline.errors import NetworkError, SourceError
from pipeline.faces.final_image import FinalRenderer
from pipeline.faces.geometry import Rectangle
from pipeline.faces.png import encode_png
from pipeline.faces.region import Region
from pipeline.faces.render import render
from pipeline.faces.squares import Reduction, resized
from pipeline.manifest import Denoised, Stored
from pipeline.params import PhotographParams, SuperresParams
from tests.published.exact import reference

ROOT = Path(__file__).parents[2]
RESOLUTION = 64
QUAD = (10.0, 12.0, 14.0, 40.0, 42.0, 36.0, 38.0, 8.0)
ZOOM = RESOLUTION / float(np.hypot(28, 4))
BORDER = 3
PHOTOGRAPHS = PhotographParams(
    decoder="pillow", orientation="stored", colours="stored", background=(0, 0, 0), damaged="drop"
)


def params(method: str, reduction: Reduction) -> SuperresParams:
    values = {"method": method, "renderer": "fast", "reduction": reduction, "faces_per_chunk": 2, "tile_pixels": 96}
    return SuperresParams.model_validate(values | {"precision": "float32", "previews": 0, "max_dropped": 0.0})


def pixels(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def stored_row(data: Path, region_HWC: NDArray[np.uint8], *, whole: bool) -> Denoised:
    with writing_container(data / "denoise" / "denoise-00000.tar", "denoise/denoise-00000.tar") as container:
        stored = container.add("000007.png", encode_png(region_HWC, 1))
    height, width, _ = region_HWC.shape
    return Denoised(
        index=7,
        file="000008.jpg",
        photograph=Stored(container="extract/extract-00000.tar", offset=512, size=1, md5="0" * 32),
        width=width,
        height=height,
        split=None,
        attributes=None,
        landmarks=None if whole else (0.0,) * 10,
        quad=QUAD,
        zoom=RESOLUTION / width if whole else ZOOM,
        pixels=stored,
        region_md5="",
        left=0,
        upper=0,
        crop_width=width,
        crop_height=height,
        shrink=1,
        border=BORDER,
        denoised=False,
    )


def renderer(method: str, data: Path, reduction: Reduction = "area") -> FinalRenderer:
    network = data / "fit_superres"
    return FinalRenderer(
        params(method, reduction), PHOTOGRAPHS, render, resolution=RESOLUTION, network=network, data=data
    )


def rendered(image_HWC: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    rectangle = Rectangle.from_row(QUAD, ZOOM).enlarged(factor)
    return render(Region(image_HWC, rectangle, 1, BORDER), RESOLUTION).image_HWC


def test_lanczos_enlarges_by_the_power_of_two_that_reaches_the_resolution(tmp_path: Path) -> None:
    region_HWC = pixels(52, 50, 1)
    final = renderer("lanczos", tmp_path).render(stored_row(tmp_path, region_HWC, whole=False))
    assert final.enlarge == 4  # 64 / 28.3 pixels is 2.3
    enlarged = reference.resize(region_HWC, 208, 200)
    np.testing.assert_array_equal(final.image_HWC, rendered(enlarged, 4))
    assert final.padded


def test_none_renders_the_region_as_it_is(tmp_path: Path) -> None:
    region_HWC = pixels(52, 50, 2)
    final = renderer("none", tmp_path).render(stored_row(tmp_path, region_HWC, whole=False))
    assert final.enlarge == 1
    np.testing.assert_array_equal(final.image_HWC, rendered(region_HWC, 1))


def test_the_network_enlarges_fourfold(tmp_path: Path) -> None:
    # torch is slow to import, and most of this file must work without it
    import torch  # noqa: PLC0415

    from pipeline.restoration.apply import Restorer  # noqa: PLC0415
    from pipeline.restoration.networks import NetworkSpec, initialise  # noqa: PLC0415
    from pipeline.restoration.weights import save_network  # noqa: PLC0415

    folder = tmp_path / "fit_superres"
    spec = NetworkSpec(architecture="srresnet", channels=4, blocks=1)
    network = spec.build()
    initialise(network, torch.Generator().manual_seed(1))
    save_network(folder / "network.safetensors", network, spec)
    digest = provenance.digest_of_file(folder / "network.safetensors")
    (folder / "network.json").write_text(json.dumps({"kind": "train", "sha256": digest}))

    region_HWC = pixels(52, 50, 3)
    final = renderer("network", tmp_path).render(stored_row(tmp_path, region_HWC, whole=False))
    assert final.enlarge == 4
    enlarged = Restorer.load(folder, tile_pixels=96)(region_HWC)
    np.testing.assert_array_equal(final.image_HWC, rendered(enlarged, 4))
    # a network starts as a plain enlargement, so the picture must sit where Lanczos puts it
    lanczos = renderer("lanczos", tmp_path).render(stored_row(tmp_path, region_HWC, whole=False))
    assert np.abs(final.image_HWC.astype(int) - lanczos.image_HWC).mean() < 3

    # a face with all the pixels that the final image needs is only reduced, whatever the method; one pixel less is not
    large = replace(stored_row(tmp_path, region_HWC, whole=False), zoom=1.0)
    final = renderer("network", tmp_path).render(large)
    assert final.enlarge == 1
    np.testing.assert_array_equal(final.image_HWC, renderer("none", tmp_path).render(large).image_HWC)
    assert renderer("network", tmp_path).render(replace(large, zoom=1.001)).enlarge == 4


def test_a_missing_network_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="fit_superres"):
        renderer("network", tmp_path)


def test_missing_pixels_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    row = stored_row(tmp_path, pixels(52, 50, 4), whole=False)
    (tmp_path / "denoise" / "denoise-00000.tar").unlink()
    with pytest.raises(SourceError, match=r"denoise-00000\.tar"):
        renderer("none", tmp_path).render(row)


def test_a_whole_image_of_the_resolution_is_kept_byte_for_byte(tmp_path: Path) -> None:
    image_HWC = pixels(RESOLUTION, RESOLUTION, 5)
    final = renderer("none", tmp_path).render(stored_row(tmp_path, image_HWC, whole=True))
    np.testing.assert_array_equal(final.image_HWC, image_HWC)
    assert (final.padded, final.enlarge) == (False, 1)


def test_a_larger_whole_image_is_averaged_over_boxes(tmp_path: Path) -> None:
    image_HWC = pixels(3 * RESOLUTION, 3 * RESOLUTION, 6)
    final = renderer("none", tmp_path).render(stored_row(tmp_path, image_HWC, whole=True))
    mean = image_HWC[3:6, 9:12].reshape(9, 3).mean(axis=0)
    np.testing.assert_array_equal(final.image_HWC[1, 3], np.rint(mean).astype(np.uint8))


@pytest.mark.parametrize("reduction", ["area", "lanczos"])
def test_a_square_of_any_size_is_reduced_as_params_say(tmp_path: Path, reduction: Reduction) -> None:
    image_HWC = pixels(100, 100, 7)
    final = renderer("none", tmp_path, reduction).render(stored_row(tmp_path, image_HWC, whole=True))
    np.testing.assert_array_equal(final.image_HWC, resized(image_HWC, RESOLUTION, reduction))


def test_torch_is_not_imported_without_a_network() -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.faces.final_image import FinalRenderer; "
        "from pipeline.faces.render import render; from pipeline.params import PhotographParams, SuperresParams; "
        "p = SuperresParams(method='lanczos', renderer='fast', reduction='area', faces_per_chunk=1, tile_pixels=9, "
        "precision='float32', previews=0, max_dropped=0.0); "
        "FinalRenderer(p, None, render, resolution=64, network=Path('x'), data=Path('x')); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
