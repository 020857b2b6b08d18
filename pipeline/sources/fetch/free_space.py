"""Free bytes of the disk, shared out among the files that arrive side by side."""

import shutil
import threading
from pathlib import Path

from pipeline.errors import FetchError


class Room:
    """Which file still needs how many bytes of the disk that `folder`, which exists, lies on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._to_come: dict[str, int] = {}

    def reserve(self, label: str, sizes: dict[str, tuple[int, int]]) -> None:
        """Set bytes aside for files; what was set aside for them before is forgotten.

        Parameters
        ----------
        label
            What the error speaks of.
        sizes
            By file: its bytes in all, and how many of them are here.

        Raises
        ------
        FetchError
            The disk has not so many free beside what other files on their way need; nothing is set aside then.
        """
        with self._lock:
            others = sum(missing for file, missing in self._to_come.items() if file not in sizes)
            missing = {file: max(total - here, 0) for file, (total, here) in sizes.items()}
            free = shutil.disk_usage(self._folder).free
            if sum(missing.values()) + others > free:
                beside = f", beside {others} of other files on their way" if others else ""
                raise FetchError(
                    f"{label}: {sum(missing.values())} bytes are still to come{beside}, but {self._folder.resolve()} "
                    f"has {free} free. Make room, or make that folder a link to a larger disk."
                )
            self._sizes |= {file: total for file, (total, _) in sizes.items()}
            self._to_come |= missing

    def arrived(self, file: str, size: int) -> None:
        """Note that so many bytes of a file lie on the disk."""
        with self._lock:
            if file in self._sizes:
                self._to_come[file] = max(self._sizes[file] - size, 0)

    def release(self, file: str) -> None:
        """Set nothing aside for a file any more: it is here, or given up."""
        with self._lock:
            self._sizes.pop(file, None)
            self._to_come.pop(file, None)
