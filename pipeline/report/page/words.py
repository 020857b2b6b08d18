"""Numbers in words for people."""

import re
from typing import Any


def seconds(value: float | None) -> str:
    """A duration: `4.6 s`, `12 min`, `3.4 h`."""
    if value is None:
        return ""
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:,.1f} h"


def size(count: float | None) -> str:
    """A size in bytes: `41 kB`, `105 MB`, `95.2 GB`."""
    if count is None:
        return ""
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB")):
        if count < limit:
            return f"{count * 1e3 / limit:.0f} {unit}"
    return f"{count / 1e9:,.1f} GB"


def figure(value: Any) -> str:
    """A number with four or five significant digits, thousands apart; other values as they are."""
    if value is None:
        return ""
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return str(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if 0.001 <= abs(value) < 10 else f"{value:,.5g}"


def flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested params as pairs of a dotted key and a value."""
    if isinstance(values, dict) and values:
        return [pair for key, value in values.items() for pair in flat(value, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), "null" if values is None else str(values))]


def anchor(name: str) -> str:
    """A name as an id of the page: letters, digits, `-` and `_`; other characters of a folder's name by number."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}.", name)
