"""Folders as classes: a photograph's class is the folder directly below what the user named, with all that it holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline import atomic
from pipeline.errors import SourceError
from pipeline.sources.listing import sort_key


def classes_of(files: Sequence[str], *, wrapped: bool) -> dict[str, str]:
    """The class of each file that has one, by its path.

    `wrapped`: of an archive, whose one folder, if all files lie in it, is that of the classes and no class itself.
    """
    parts = {file: file.split("/") for file in files}
    depth = 0
    if wrapped and len({folders[0] for folders in parts.values()}) == 1 and all(len(p) > 1 for p in parts.values()):
        depth = 1
    return {file: folders[depth] for file, folders in parts.items() if len(folders) > depth + 1}


def write_attributes(path: Path, files: Sequence[str], *, wrapped: bool) -> None:
    """Write the class of each file as attributes: 1 for its own class, -1 for the others; and the classes' names.

    The form is JSON, in which names may hold anything:
    {"classes": {"0": name, ...}, "labels": [[file, [1, -1, ...]], ...]}.
    Files without a class have no row. `SourceError` if no file has one.
    """
    classes = classes_of(files, wrapped=wrapped)
    names = sorted(set(classes.values()), key=sort_key)
    if not names:
        raise SourceError(
            "no photograph lies in a folder of its class. Put the photographs of each class into a folder directly "
            "below download.source.images, or set download.source.attributes to null."
        )
    rows = ([name, [1 if own == other else -1 for other in names]] for name, own in classes.items())
    with atomic.writing(path) as partial, partial.open("w", encoding="utf-8") as file:
        numbered = {str(place): name for place, name in enumerate(names)}
        file.write(f'{{"classes": {_json(numbered)},\n"labels": [')
        file.writelines(f"{',' if place else ''}\n{_json(row)}" for place, row in enumerate(rows))
        file.write("\n]}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
