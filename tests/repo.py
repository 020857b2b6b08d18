"""A copy of the repository in which tests run dvc."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
import yaml

DVC = Path(sys.executable).with_name("dvc")
USER = {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
ENVIRONMENT = {**os.environ, **USER, "PATH": f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"}


def hear_interrupts() -> None:
    """What a shell starts in the background, a suite too, ignores SIGINT, and so do its children: not from now on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Repo:
    """A copy of the repository in which dvc runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.messages = ""

    @classmethod
    def clone(cls, root: Path) -> Self:
        """Copy the files of this checkout, except the tests, to a new git repository at `root`.

        With the machine code that numba has cached, also for clones and experiments: it is valid for equal files.
        """
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if Path(name).is_file() and not name.startswith("tests/"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, root / name)
        for cached in Path("pipeline").rglob("__pycache__/*.nb[ci]"):
            (root / cached).parent.mkdir(exist_ok=True)
            shutil.copy2(cached, root / cached)
        repo = cls(root)
        for words in (["init", "-q"], ["add", "--force", "."], ["commit", "-qm", "a copy"]):
            repo._git(*words)
        return repo

    def push_and_clone(self, folder: Path) -> Self:
        """Commit and push all, clone to `folder`/clone and pull there, as another user would."""
        self.dvc("remote", "add", "--default", "there", str(folder / "remote"))
        self._git("add", ".")
        self._git("commit", "-qm", "a run")
        self.dvc("push")
        clone = type(self)(folder / "clone")
        self._git("clone", "-q", str(self.root), str(clone.root))
        clone.dvc("pull")
        return clone

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.root, env=ENVIRONMENT, check=True)

    def dvc(self, *words: str) -> list[str]:
        """Run a dvc command; return the stages that it ran."""
        return re.findall(r"Running stage '(.+)'", self.output_of_dvc(*words))

    def output_of_dvc(self, *words: str) -> str:
        """Run a dvc command; return its standard output, and keep what else it printed as `messages`."""
        result = subprocess.run(
            [DVC, *words], cwd=self.root, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
        self.messages = result.stderr
        return result.stdout

    def kill_when(self, words: list[str], ready: Callable[[], bool]) -> None:
        """Start a dvc command; when `ready`, SIGKILL it and its stage, but not dask's workers."""
        with self._running(words, ready) as run:
            family = psutil.Process(run.pid).children(recursive=True)
            stages = [process for process in family if "stages." in " ".join(process.cmdline())]
            assert stages
            for process in [psutil.Process(run.pid), *stages]:
                process.send_signal(signal.SIGKILL)

    def interrupt_when(self, words: list[str], ready: Callable[[], bool]) -> None:
        """Start a dvc command; when `ready`, SIGINT it, its stage and dask's workers, as Ctrl-C does."""
        with self._running(words, ready) as run:
            os.killpg(run.pid, signal.SIGINT)
        assert run.returncode

    @contextmanager
    def _running(self, words: list[str], ready: Callable[[], bool]) -> Generator["subprocess.Popen[bytes]"]:
        """A dvc command that is `ready`, in a group of its own; what it prints is kept as `messages`."""
        with tempfile.TemporaryFile("w+") as printed:
            hear_interrupts()
            with subprocess.Popen(
                [DVC, *words], cwd=self.root, env=ENVIRONMENT, stdout=printed, stderr=printed, process_group=0
            ) as run:
                while not ready():
                    assert run.poll() is None, f"dvc {' '.join(words)} ended before it could be stopped"
                    time.sleep(0.02)
                yield run
            printed.seek(0)
            self.messages = printed.read()

    def edit(self, change: dict[str, Any]) -> None:
        """Merge `change` into params.yaml."""
        path = self.root / "params.yaml"
        path.write_text(yaml.safe_dump(_merged(yaml.safe_load(path.read_text()), change), sort_keys=False))

    def digests(self, folder: str) -> dict[str, str]:
        """SHA-256 of every file below a folder."""
        base = self.root / folder
        return {
            str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(base.rglob("*"))
            if path.is_file()
        }

    def report(self, name: str) -> dict[str, Any]:
        """The metrics of a stage."""
        return json.loads((self.root / "reports" / f"{name}.json").read_text())


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    if "kind" in new and new["kind"] != old.get("kind"):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
