"""TensorBoard: curves and sheets in `tensorboard/`; `tensorboard --logdir tensorboard` shows them."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from pipeline.params import TrainRun
from stages.loggers.once import Once, missing
from training.image_grid import Pixels

FOLDER = Path("tensorboard")


class TensorboardLogger(Once):
    """Writes event files to a folder of the run's name and digest, outside of what DVC compares."""

    _writer: Any

    def __init__(self, run_id: str, run: TrainRun) -> None:
        if find_spec("tensorboard") is None:
            raise missing("tensorboard")
        self._folder = FOLDER / run_id
        self._run = run
        super().__init__(self._folder / "logged.json")

    def start(self) -> None:
        """Open an event file; TensorBoard joins those of one folder."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra

        first = not self._folder.exists()
        self._writer = SummaryWriter(str(self._folder))
        if first:
            options = yaml.safe_dump(self._run.model_dump(mode="json"), sort_keys=False)
            self._writer.add_text("run", f"```\n{options}```")

    def log_figures(self, images_shown: int, figures: Mapping[str, float], unix_time: float | None) -> None:
        """Add scalars."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, images_shown, walltime=unix_time)
        self._writer.flush()

    def log_sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """Add an image."""
        self._writer.add_image("samples", picture_HWC, images_shown, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
