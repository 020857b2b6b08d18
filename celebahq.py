"""The `celebahq` command.

It has a module of its own, whose name no other project has, since PYTHONPATH may name a folder with another `training`,
as that of StyleGAN has. The packages of this project come from the folder of this file.
"""

import sys
from pathlib import Path


def command_line() -> None:
    """Run the command."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from stages.__main__ import command_line as run  # noqa: PLC0415 - after the path is set

    run()


if __name__ == "__main__":
    command_line()
