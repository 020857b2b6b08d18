import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from pipeline import atomic
from pipeline.errors import BusyError


def test_a_finished_write_leaves_only_the_final_name(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.bin"
    with atomic.writing(target) as partial:
        partial.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), atomic.writing(target) as partial:
        partial.write_bytes(b"ne")
        raise RuntimeError("stop")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_folder_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught, atomic.writing(tmp_path / "..") as partial:
        pytest.fail(f"{partial} would be written")
    assert caught.value.filename == str(tmp_path / "..")


def test_a_file_that_fails_verification_is_refused(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise ValueError(f"{path.read_bytes()!r} is wrong")

    with pytest.raises(ValueError, match="wrong"), atomic.writing(tmp_path / "file", verify=refuse) as partial:
        partial.write_bytes(b"bad")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_no_final_file(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from pipeline import atomic\n"
        "with atomic.writing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_bytes(b'half'); print('ready', flush=True); time.sleep(60)\n"
    )
    target = tmp_path / "file"
    with subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    atomic.write_bytes(target, b"second try")
    assert len(list(tmp_path.iterdir())) == 2
    atomic.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_publish_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    for name, content in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").write_text(content)
    atomic.publish(tmp_path / "old", tmp_path / "out" / "final")
    atomic.publish(tmp_path / "new", tmp_path / "out" / "final")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["final", "new.txt"]


def test_partial_files_are_not_published(tmp_path: Path) -> None:
    (tmp_path / "work/deep").mkdir(parents=True)
    for name in ("file", f"file{atomic.PARTIAL_SUFFIX}", f"deep/other{atomic.PARTIAL_SUFFIX}"):
        (tmp_path / "work" / name).touch()
    (tmp_path / f"work/deep/folder{atomic.PARTIAL_SUFFIX}/inside").mkdir(parents=True)
    atomic.publish(tmp_path / "work", tmp_path / "final")
    assert sorted(path.name for path in (tmp_path / "final").rglob("*")) == ["deep", "file"]


def test_temporary_files_are_abandoned_a_day_after_their_last_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = tmp_path / "big.zip.partial"
    received.write_bytes(b"what a download has received")
    for target in (tmp_path / "big.zip.receipt.json", tmp_path / "sub/keys.arrow"):
        with atomic.writing(target) as partial:
            partial.write_bytes(b"half")
            os.utime(partial, (0, 0))  # as of a link to an old file
            atomic.sweep_abandoned(tmp_path)
        partial.write_bytes(b"half")  # as of a killed process
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90_000)
    atomic.sweep_abandoned(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {received.name, "big.zip.receipt.json", "keys.arrow"}
    atomic.sweep_abandoned(tmp_path / "none")


def test_publish_completes_one_that_was_killed_between_its_renames(tmp_path: Path) -> None:
    (tmp_path / "final.retired").mkdir()
    (tmp_path / "final.retired" / "old.txt").touch()
    (tmp_path / "work").mkdir()
    atomic.publish(tmp_path / "work", tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_of_two_writers_of_a_folder_the_first_one_publishes_it(tmp_path: Path) -> None:
    target = tmp_path / "chunk"
    with atomic.writing_folder(target, "chunk-1") as one, atomic.writing_folder(target, "chunk-2") as two:
        (one / "one").touch()
        (two / "two").touch()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["chunk", "chunk/two"]


def test_a_folder_that_was_swept_while_it_was_written_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="removed while it was written"):  # noqa: SIM117
        with atomic.writing_folder(tmp_path / "chunk", "chunk-1") as folder:
            (folder / "one").touch()
            atomic.sweep(tmp_path)
            atomic.write_bytes(folder / "two", b"")  # which makes the folder again
    assert not list(tmp_path.iterdir())


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from pipeline import atomic\n"
        "with atomic.locked(Path(sys.argv[1]), 'crop'):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
    )
    lock = tmp_path / "work" / "crop.lock"
    with subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(BusyError, match=f"crop is running already: process {process.pid} on "):
            atomic.locked(lock, "crop").__enter__()
        os.kill(process.pid, signal.SIGKILL)
    with atomic.locked(lock, "crop"):
        assert lock.exists()
    assert not lock.exists()


def test_who_looks_whether_a_lock_is_held_never_prevents_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, ended = tmp_path / "lock", threading.Event()
    assert not atomic.is_locked(path)

    def look() -> None:
        while not ended.is_set():
            atomic.is_locked(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(300):
            with atomic.locked(path, "crop"):
                assert atomic.is_locked(path)
    finally:
        ended.set()
        thread.join()
    path.touch()
    assert not atomic.is_locked(path), "of a process that was killed"
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "no locks")))
        assert not atomic.is_locked(path), "on a file system without locks"
