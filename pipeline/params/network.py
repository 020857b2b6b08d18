"""The section of the network: how published files are fetched."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.params.section import PositiveFloat, PositiveInt, Section

Mirror = Annotated[str, Field(pattern=r"^(published|https?://[^\s?#]+)$")]


class NetworkParams(Section):
    """How published files are fetched. Nothing here may change a result, so no stage lists it among its `params`.

    `mirrors`: where to ask, in order: an address below which `<manifest>/<path>` lies, or `published` for the places
    that the manifest names. `local`: a folder with copies that the user has, which are verified and linked.
    `offline`: nothing is asked of the network. `connections`: files at once. `attempts`: failed ones in a row at one
    place before the next one is asked. `timeout_seconds`: no byte for so long is a stall.
    """

    mirrors: tuple[Mirror, ...]
    local: Path | None
    offline: bool
    connections: PositiveInt
    attempts: PositiveInt
    timeout_seconds: PositiveFloat
