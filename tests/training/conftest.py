from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.params import TrainRun
from training.distributed.process_group import ProcessGroup
from training.runtime import preflight
from training.schedule import Step


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests use tiny tensors: more threads than free cores only wait for each other, up to twenty times longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TAKEN = set[Any]()


@pytest.fixture(autouse=True)
def shapes_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computes the shapes of equal runs once: that is a sixth of a tiny run. Nothing is left out in test_preflight."""
    take = preflight.take

    def take_once(run: TrainRun, label_size: int, step: Step, group: ProcessGroup, device: torch.device) -> None:
        key = run.model_dump_json(), label_size, step, group.rank, group.world_size
        if key not in TAKEN or device.type != "meta":
            take(run, label_size, step, group, device)
            TAKEN.add(key)

    if request.path.name != "test_preflight.py":
        monkeypatch.setattr(preflight, "take", take_once)
