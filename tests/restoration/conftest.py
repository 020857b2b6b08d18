from pathlib import Path

import pytest

from tests.restoration.photographs import jpeg, scene, write_table


@pytest.fixture(scope="session")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photographs, of which one is cut short and one is too small for any patch."""
    contents = [jpeg(scene(i)) for i in range(6)]
    return write_table(tmp_path_factory.mktemp("photographs"), [*contents, contents[0][:2000], jpeg(scene(6, side=12))])
