"""The panels of `celebahq --help`, in their order."""

from typing import Any

from typer.core import TyperGroup

PROJECT = "The pipeline"
BUILD = "Data sets"
LOOK = "Results"
NETWORKS = "Networks"
TRUST = "Checks"
_ORDER = (PROJECT, BUILD, LOOK, NETWORKS, TRUST)


class Panels(TyperGroup):
    """A group whose commands are listed panel by panel, whatever the order of their modules."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands."""
        return sorted(super().list_commands(ctx), key=lambda name: _ORDER.index(_panel(self.commands[name])))


def _panel(command: Any) -> str:
    return command.rich_help_panel
