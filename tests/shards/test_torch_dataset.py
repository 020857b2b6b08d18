"""ShardDataset: items, batches, worker processes, and what it needs."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.errors import ShardError
from pipeline.shards.torch_dataset import ShardDataset
from tests.shards.conftest import images
from tests.shards.export.conftest import SPLITS, write_data_set

TRAIN = [place for place, split in enumerate(SPLITS) if split == "train"]
LABELS = np.eye(3, dtype=np.float32)[np.arange(10) % 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("labelled"), LABELS, table=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("bare"), None, table=False)


def test_items(folder: Path, bare: Path) -> None:
    expected = images(10, 16)
    data = ShardDataset(str(folder), 16)
    assert len(data) == 10
    assert repr(data) == f"ShardDataset('{folder}', 16): 10 images"
    for number, (image_CHW, label) in enumerate(data):  # type: ignore[arg-type]
        assert image_CHW.dtype == np.uint8
        np.testing.assert_array_equal(image_CHW, expected[number])
        np.testing.assert_array_equal(label, LABELS[number])
    np.testing.assert_array_equal(data[-1][0], expected[9])
    np.testing.assert_array_equal(data[np.int64(2)][0], expected[2])
    for number in (10, -11):
        with pytest.raises(IndexError, match=f"no item {number}; there are 0 to 9"):
            data[number]
    np.testing.assert_array_equal(ShardDataset(bare, 16)[3], expected[3])
    kept = ShardDataset(bare, 16).__getitems__([1, 2])
    kept[0][:] = 0
    np.testing.assert_array_equal(kept[1], expected[2])


def test_a_split(folder: Path, bare: Path) -> None:
    data = ShardDataset(folder, 16, split="train")
    assert (len(data), data.positions.tolist()) == (len(TRAIN), TRAIN)
    for (image_CHW, label), place in zip(data.__getitems__(range(len(data))), TRAIN, strict=True):
        np.testing.assert_array_equal(image_CHW, images(10, 16)[place])
        np.testing.assert_array_equal(label, LABELS[place])
    with pytest.raises(ShardError, match="no image of the split 'dev'; there are test, train, validation"):
        ShardDataset(folder, 16, split="dev")
    with pytest.raises(ShardError, match="no image of the split 'train'; splits are in the table"):
        ShardDataset(bare, 16, split="train")


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="has no resolution 32; there are 16, 8, 4, 2, 1"):
        ShardDataset(folder, 32)
    with pytest.raises(ShardError, match=re.escape(f"{tmp_path / 'dataset.h5'}: no such file")):
        ShardDataset(tmp_path, 16)


def halved(image_CHW: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image_CHW) / 2


def test_workers_of_a_data_loader(folder: Path) -> None:
    # spawned ones get a pickled copy, as below; tests/shards/test_reader.py has both kinds
    data = ShardDataset(folder, 16, transform=halved)
    data[0]  # the parent has a file open when the workers start
    loader = DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context="fork")
    batches = list(loader)
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    np.testing.assert_array_equal(torch.cat([read for read, _ in batches]).numpy(), images(10, 16) / np.float32(2))
    np.testing.assert_array_equal(torch.cat([labels for _, labels in batches]).numpy(), LABELS)
    again = pickle.loads(pickle.dumps(data))  # noqa: S301
    np.testing.assert_array_equal(again[5][1], LABELS[5])


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("pipeline", "h5py", "numpy", "_strptime") and path is None:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                raise ImportError(name + " is not needed")

sys.meta_path.insert(0, Refuse())
from pipeline.shards.torch_dataset import ShardDataset
image, label = ShardDataset(sys.argv[1], 8)[-1]
print(image.shape, label.tolist(), sorted({"torch", "pyarrow", "scipy", "PIL"} & set(sys.modules)))
try:
    ShardDataset(sys.argv[1], 8, split="train")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_reading_needs_numpy_and_h5py_only(folder: Path) -> None:
    result = subprocess.run([sys.executable, "-c", ALONE, str(folder)], capture_output=True, text=True, check=True)
    first, second = result.stdout.splitlines()
    assert first == "(3, 8, 8) [1.0, 0.0, 0.0] []"
    assert second == f"ShardError {folder}/shard.parquet can be read with the package pyarrow only: pip install pyarrow"


def test_the_example_of_the_docs_trains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path("docs/outputs.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ShardDataset" in code]
    code = code.replace('"data/shard", resolution=32', f"{str(folder)!r}, resolution=16").replace(
        "range(3)", "range(40)"
    )
    torch.manual_seed(0)
    exec(compile(code.replace("num_workers=2", "num_workers=0"), "docs/outputs.md", "exec"), {})
    losses = [float(line.rsplit(maxsplit=1)[1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 40
    assert losses[-1] < 0.9 * losses[0]


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    table = write_data_set(tmp_path, LABELS, table=True) / "shard.parquet"
    table.write_bytes(table.read_bytes()[:100])
    assert len(ShardDataset(tmp_path, 16)) == 10
    with pytest.raises(ShardError, match=rf"{table}: not a parquet table, or damaged"):
        ShardDataset(tmp_path, 16, split="train")
    table.unlink()
    with pytest.raises(ShardError, match=r"splits are in the table, and there is none \(shard.parquet, lsun.parquet\)"):
        ShardDataset(tmp_path, 16, split="train")
