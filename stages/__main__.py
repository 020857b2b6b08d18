"""The `celebahq` command."""

from stages import main
from stages.commands import app, datasets, networks, pictures, project, published, report, restoration, runs, trust

__all__ = [
    "app",
    "datasets",
    "networks",
    "pictures",
    "project",
    "published",
    "report",
    "restoration",
    "runs",
    "trust",
]


def command_line() -> None:
    """Run the command."""
    main(lambda *_: app())


if __name__ == "__main__":
    command_line()
