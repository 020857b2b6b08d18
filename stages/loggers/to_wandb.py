"""Weights & Biases: curves and sheets on its server, or in `wandb/` with `WANDB_MODE=offline`."""

import os
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.params import TrainRun
from stages.loggers.once import Once, missing
from training.image_grid import Pixels

FOLDER = Path("wandb")
PROJECT = "celebahq"
"""Unless the environment variable WANDB_PROJECT names another one."""
WAIT_SECONDS = 5
"""For what is not uploaded yet; the rest stays in `wandb/`, for `wandb sync`."""


class WandbLogger(Once):
    """A run of W&B with the run's name and digest as its id, continued when the run is resumed."""

    _wandb: Any
    _writer: Any

    def __init__(self, name: str, run_id: str, run: TrainRun) -> None:
        if find_spec("wandb") is None:
            raise missing("wandb")
        self._name = name
        self._id = run_id
        self._run = run
        super().__init__(FOLDER / f"{run_id}.json")

    def start(self) -> None:
        """Open the run; its curves are drawn by images shown."""
        import wandb  # noqa: PLC0415 - an extra

        self._wandb = wandb
        self._writer = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=self._name,
            id=self._id,
            resume="allow",
            config=self._run.model_dump(mode="json"),
            settings=wandb.Settings(console="off", silent=True, login_timeout=60, init_timeout=60),
        )
        self._writer.define_metric("images", hidden=True)
        self._writer.define_metric("*", step_metric="images")

    def log_figures(self, images_shown: int, figures: Mapping[str, float], unix_time: float | None) -> None:
        """Log scalars."""
        self._writer.log({"images": images_shown, **figures})

    def log_sheet(self, images_shown: int, picture_HWC: Pixels) -> None:
        """Log an image."""
        self._writer.log({"images": images_shown, "samples": self._wandb.Image(picture_HWC)})

    def close(self) -> None:
        """End the run; a server that does not answer does not keep the process for long."""
        ended = threading.Thread(target=self._writer.finish, daemon=True)
        ended.start()
        ended.join(WAIT_SECONDS)
