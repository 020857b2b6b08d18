"""An export resumes after any kill, has the same bytes with any number of workers, and refuses other files."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline import atomic, disk, provenance
from pipeline.errors import BusyError, DiskFullError, ExportError, ShardError
from pipeline.shards.export import plan
from pipeline.shards.export.run import FORMATS, RECORD, FormatName, Request, export
from stages.__main__ import app
from tests.shards.export.conftest import write_data_set

KILLS = (1, 4, 9, 16, 25)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BLOCK_IMAGES", 3)
    monkeypatch.setattr("pipeline.shards.export.zarr.CHUNK_BYTES", 2 * 768)
    monkeypatch.setattr("pipeline.shards.export.zarr.BLOCK_BYTES", 4 * 768)


def request_of(dataset: Path, out: Path, form: FormatName = "png", **values: object) -> Request:
    return Request(**{"dataset": dataset, "out": out, "format": form, "resolution": 16, "images_per_file": 3} | values)


def digest(out: Path) -> str:
    return next(iter(provenance.digest_of_inputs([out]).values()))


def killed_at(event: int, body: Callable[[], object]) -> bool:
    """Run `body` in a process that is killed before its `event`th flush, rename or new file; whether it was."""
    child = os.fork()
    if child == 0:
        left = event

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or name in ("os.rename", "os.mkdir", "os.remove", "os.truncate"):
                left -= 1
                if left == 0:
                    os._exit(9)

        sys.addaudithook(hook)
        try:
            body()
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), "the export failed"
    return code == 9


@pytest.mark.parametrize("form", get_args(FormatName))
def test_a_killed_export_is_resumed(form: FormatName, faces: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole/set"  # formats may name files by the folder
    export(request_of(faces, whole, form))
    killed = 0
    for event in KILLS:
        out = tmp_path / str(event) / "set"
        killed += killed_at(event, lambda out=out: export(request_of(faces, out, form)))
        export(request_of(faces, out, form))
        assert {p.relative_to(out) for p in out.rglob("*")} == {p.relative_to(whole) for p in whole.rglob("*")}
        assert digest(out) == digest(whole)
    assert killed >= 4, "the kills came after the end"


def test_finished_parts_are_not_written_again(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = tmp_path / "out", list[int]()
    form = FORMATS["png"]
    write = type(form).write

    def counted(self, plan, part, images):
        if part.number == 2 and not written[2:]:
            written.append(-1)
            raise KeyboardInterrupt
        written.append(part.number)
        return write(self, plan, part, images)

    monkeypatch.setattr(type(form), "write", counted)
    with pytest.raises(KeyboardInterrupt):
        export(request_of(faces, out))
    with pytest.raises(ExportError, match="holds another export, with resolution 16 instead of 8"):
        export(request_of(faces, out, resolution=8))
    done = export(request_of(faces, out))
    assert written == [0, 1, -1, 2, 3]
    assert export(request_of(faces, out)) == done, "a finished export is left as it is"
    assert written == [0, 1, -1, 2, 3]


def test_processes_write_the_same_bytes(faces: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "1/set", tmp_path / "2/set"
    export(request_of(faces, alone, "zip"), workers=1)
    export(request_of(faces, together, "zip"), workers=2)
    assert digest(alone) == digest(together)


def test_other_files_are_refused(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ExportError, match=r"holds other files\. Name a new or empty folder"):
        export(request_of(faces, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ExportError, match="is a file"):
        export(request_of(faces, tmp_path / "mine.txt"))
    with pytest.raises(ExportError, match="holds other files"):
        export(request_of(faces, faces))
    with pytest.raises(ExportError, match=r"lies in .*, which would no longer be whole"):
        export(request_of(faces, faces / "new/png"))
    assert not (faces / "new").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/record.json").write_text('{"digest": "0"}')
    with pytest.raises(ExportError, match=r"new: lies in .*run, which would no longer be whole"):
        export(request_of(faces, tmp_path / "run/new"))


@pytest.mark.parametrize("form", ["png", "zip"])
@pytest.mark.parametrize("harm", ["removed", "cut short"])
def test_a_finished_export_that_was_damaged_is_named(harm: str, form: FormatName, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export(request_of(faces, out, form))
    for number in range(5):  # files of others are allowed, and hide nothing
        (out / f"mine-{number}.txt").write_bytes(bytes(10_000))
    assert export(request_of(faces, out, form)) == done
    path = sorted(out.glob("*.png" if form == "png" else "*.zip"))[-1]
    if harm == "removed":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ExportError, match=f"1 of the export's {done['files']} files lost or changed: {path.name}. Rem"):
        export(request_of(faces, out, form))
    (out / RECORD).write_text("{")
    with pytest.raises(ExportError, match=f"{RECORD}: damaged. Remove"):
        export(request_of(faces, out, form))


def test_a_finished_export_without_a_list_of_files_is_accepted(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = export(request_of(faces, out))
    record = json.loads((out / RECORD).read_bytes())
    assert len(record.pop("sizes")) == done["files"]
    (out / RECORD).write_text(json.dumps(record))
    assert export(request_of(faces, out)) == done
    next(out.glob("*.png")).unlink()
    with pytest.raises(ExportError, match=rf"out: \d+ files of \d+ bytes; the export had {done['files']} of"):
        export(request_of(faces, out))


def test_two_exports_to_one_folder_are_refused(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with atomic.locked(out / plan.WORK / "lock", "x"), pytest.raises(BusyError, match="running already"):
        export(request_of(faces, out))


def test_what_cannot_be_exported_is_named(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with pytest.raises(ExportError, match="has no resolution 32; there are 16, 8, 4, 2, 1"):
        export(request_of(faces, out, resolution=32))
    with pytest.raises(ShardError, match="no image of the split 'dev'; there are test, train, validation"):
        export(request_of(faces, out, split="dev"))
    with pytest.raises(ExportError, match="images of 4x4 or larger"):
        export(request_of(faces, out, "tfrecord", resolution=2))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ExportError, match=r"needs the package zarr: pip install 'celebahq\[zarr\]'"):
        export(request_of(faces, out, "zarr"))
    assert not out.exists()
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    with pytest.raises(DiskFullError, match="the export needs about"):
        export(request_of(faces, out))


def test_a_damaged_image_is_named_and_nothing_is_finished(tmp_path: Path) -> None:
    dataset = write_data_set(tmp_path / "set", None, table=True)
    with h5py.File(dataset / "shard-00001.h5", "r+") as file:
        level = file["data16x16"]
        level[2] = np.roll(level[2], 1)
    size = (dataset / "shard-00001.h5").stat().st_size
    with h5py.File(dataset / "dataset.h5", "r+") as file:
        file["shards/bytes"][1] = size
    with pytest.raises(ShardError, match=r"image 000032.jpg at position 8 differs from its recorded MD5"):
        export(request_of(dataset, tmp_path / "out"))
    assert not (tmp_path / "out" / RECORD).exists()


def test_a_table_of_another_data_set_is_refused(classes: Path, tmp_path: Path) -> None:
    dataset = write_data_set(tmp_path / "set", None, table=True)
    with h5py.File(dataset / "dataset.h5", "r+") as file:
        file["identity/index"][0] = 8
    with pytest.raises(ShardError, match="lists 10 images, which are not the 10 of"):
        export(request_of(dataset, tmp_path / "out"))


def test_the_command(faces: Path, tmp_path: Path) -> None:
    words = ["export", str(faces), str(tmp_path / "out"), "--format", "png", "--split", "test", "--resolution"]
    result = CliRunner().invoke(app, [*words, "8"], catch_exceptions=False)
    assert result.stdout == f"{tmp_path / 'out'}: 1 image of the split test at 8x8, png\n"
    result = CliRunner().invoke(app, [*words, "8", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["images"] == 1
    with pytest.raises(ExportError):
        CliRunner().invoke(app, [*words, "4"], catch_exceptions=False)
