from collections.abc import Generator

import pytest

from tests.stages.faces import scheduler


@pytest.fixture(scope="session")
def address() -> Generator[str]:
    """The address of a dask cluster for all stages."""
    with scheduler() as address:
        yield address
