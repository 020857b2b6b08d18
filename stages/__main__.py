"""The `celebahq` command."""

from stages import main
from stages.commands import app, networks, pictures, project, published, runs

__all__ = ["app", "networks", "pictures", "project", "published", "runs"]


def command_line() -> None:
    """Run the command."""
    main(lambda *_: app())


if __name__ == "__main__":
    command_line()
