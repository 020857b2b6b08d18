"""The order of the suite."""

import pytest

LONGEST = ["test_repro.py", "test_repro_exact.py", "test_external_cluster.py", "test_train.py", "test_build.py"]
"""Files of a minute and more: begun first, so that no process of pytest is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
