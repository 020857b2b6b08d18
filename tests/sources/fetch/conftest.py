"""Makes the helper modules in this folder importable; fixtures of the server and the data sets."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from faulty_server import FaultyServer  # noqa: E402
from tiny_sources import DataSet, make_all  # noqa: E402


@pytest.fixture
def server() -> Generator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    return make_all(tmp_path_factory.mktemp("published"))
