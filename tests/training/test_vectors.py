"""Networks, losses, optimiser and schedule against numbers that the original implementation gave.

Once with the small subset in tests/golden/pggan, always; once with the whole folder that PGGAN_VECTORS names
(default: ../shared/vectors/pggan), one test per file. `pytest -rP` prints what was compared and how far apart it lies.

Tolerances. In float32 an array may be off by 1e-5 of its largest value (gradients: 1e-4), or by ten times the
rounding noise that cases.json states for the original itself, whichever is more. Where the input of a leaky ReLU is
within rounding of zero, float32 may take the other branch than the original did: a gradient then differs by far more
than rounding. So what depends on grads is computed in float64 too, and a float32 result beyond its tolerance passes
only if the float64 one is within it and the two are close as a whole (relative L2 distance up to 1e-2).
A training trajectory carries one such element on into every later step: it is held to the tolerance in float64;
in float32 the weights must have travelled the same way up to a fifth of its length, losses and scores agree to
1e-2, gradient norms to 5e-2.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.outside import PGGAN
from tests.training import pggan_metrics, pggan_networks, pggan_schedule, pggan_snapshot, pggan_training
from tests.training.pggan import Case
from tests.training.pggan_compare import Compared

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "pggan"

CHECKS: dict[str, Callable[[Case], Iterator[Compared]]] = {
    "G_forward": pggan_networks.g_forward,
    "D_forward": pggan_networks.d_forward,
    "layers": pggan_networks.layers,
    "losses": pggan_training.losses,
    "adam": pggan_training.adam,
    "trajectory": pggan_training.trajectory,
    "process_reals": pggan_schedule.reals,
    "schedule": pggan_schedule.schedules,
    "swd": pggan_metrics.swd,
    "ms_ssim": pggan_metrics.ms_ssim,
    "fid_is": pggan_metrics.fid_is,
    "pickle": pggan_snapshot.snapshot,
}


def files() -> list[Any]:
    """One parameter per file of each folder."""
    found: list[Any] = []
    for label, folder, marks in (("golden", GOLDEN, ()), ("vectors", PGGAN.folder, (pytest.mark.vectors,))):
        if marks and (reason := PGGAN.absent("cases.json")):
            found.append(pytest.param(folder, "", marks=(*marks, pytest.mark.skip(reason)), id=f"{label}-absent"))
            continue
        described = json.loads((folder / "cases.json").read_text(encoding="utf-8"))["files"]
        for name in sorted(described):
            found.append(pytest.param(folder, name, marks=marks, id=f"{label}-{name.removesuffix('.npz')}"))
    return found


@pytest.mark.parametrize(("folder", "name"), files())
def test_pggan_file(folder: Path, name: str) -> None:
    case = Case.read(folder, name)
    assert case.about["kind"] in CHECKS, f"{name}: vectors of a kind that no check knows"
    compared = list(CHECKS[case.about["kind"]](case))
    assert compared
    worst = max(compared, key=lambda one: one.error)
    print(f"{case.about['kind']}: {len(compared)} comparisons; farthest: {worst.what}, {worst.error:.2g}")
    failed = [one for one in compared if one.error > one.allowed]
    assert not failed, "\n".join(f"{one.what}: {one.error:.3g}, allowed {one.allowed:.3g}" for one in failed)
