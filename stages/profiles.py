"""The files of `profiles/`: each holds what differs from its `base`; the demo is complete and has none."""

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.errors import ParamsError
from pipeline.params import Params
from stages import parse_params

PROFILES = Path("profiles")


def names() -> list[str]:
    """The names of the profiles; a file with a leading underscore is only a base of others."""
    return sorted(path.stem for path in PROFILES.glob("[!_]*.yaml"))


def content_of(name: str, derived: tuple[str, ...] = (), known: dict[str, str] | None = None) -> str:
    """The complete text of a profile, ready to be written to params.yaml.

    A profile is merged into its base key by key. A section of another `kind` and a table by resolution replace those of
    the base. A run with a new name replaces the base's only run and inherits what it does not set. `derived` names the
    profiles that this one is a base of, `known` the texts of those that need not be merged again.

    Raises
    ------
    ParamsError
        The profile does not exist, or its bases form a loop.
    """
    path = PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise ParamsError(f"{path}: no such profile. There are: {', '.join(names())}. For one: make profile NAME=demo")
    if name in derived:
        raise ParamsError(f"{path}: its base leads back to itself ({' <- '.join((*derived, name))})")
    known = {} if known is None else known
    if name not in known:
        text = path.read_text(encoding="utf-8")
        own = _yaml().load(text)
        whole = not isinstance(own, dict) or "base" not in own
        known[name] = text if whole else overlaid(own["base"], text, (*derived, name), known)
    return known[name]


def overlaid(base: str, text: str, derived: tuple[str, ...] = (), known: dict[str, str] | None = None) -> str:
    """The complete text of the profile `base`, with the values of the YAML `text` in place of its own, and its head.

    Errors as `content_of`.
    """
    own = _yaml().load(text)
    own.pop("base", None)
    merged = _yaml().load(content_of(base, derived, known))
    _rename_run(merged, own)
    _overlay(merged, own)
    stream = io.StringIO()
    _yaml().dump(merged, stream)
    body = re.sub(r"\A(#.*\n)+", "", stream.getvalue())
    body = re.sub(r"(?m)(?<!\A)^(?=\w)", "\n", re.sub(r"\n{2,}", "\n", body.lstrip()))
    head = re.match(r"(#.*\n)+", text)
    return f"{head[0] if head else ''}\n{re.sub(r' {2,}#', ' #', body)}"


def contents() -> list[str]:
    """The complete texts of all profiles; each is merged once, however many others it is a base of."""
    known: dict[str, str] = {}
    return [content_of(name, known=known) for name in names()]


def read_profile(name: str) -> Params:
    """Validate a profile, as `stages.read_params` does params.yaml."""
    return parse_params(content_of(name), PROFILES / f"{name}.yaml")


def _yaml() -> YAML:
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.representer.add_representer(
        type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _rename_run(base: CommentedMap, own: dict[str, Any]) -> None:
    runs = base["train"]["runs"]
    named = list(own.get("train", {}).get("runs", {}))
    if len(runs) == len(named) == 1 and named[0] not in runs:
        runs.insert(0, named[0], runs.pop(next(iter(runs))))


def _overlay(base: dict[Any, Any], own: dict[Any, Any]) -> None:
    for key, value in own.items():
        if _is_section(value) and _is_section(base.get(key)) and value.get("kind") in (None, base[key].get("kind")):
            _overlay(base[key], value)
        else:
            base[key] = value
            if _is_section(value):
                value.fa.set_block_style()


def _is_section(value: Any) -> bool:
    """Whether a mapping has names for keys, not resolutions: a table by resolution is one value."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, str) for key in value)
