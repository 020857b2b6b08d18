"""Stage extract: the source's photographs to a table, those of archives to containers, annotations to fixed names."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline import manifest
from pipeline.errors import NO_INPUTS
from pipeline.manifest import Accounting
from pipeline.sources import folder_index
from pipeline.sources.classes import classes_of
from pipeline.sources.extraction import extract as extract_photographs
from pipeline.sources.listing import readable
from pipeline.sources.local import located
from pipeline.sources.sevenzip import files_of
from pipeline.sources.source import FILE as CONTENTS
from pipeline.sources.source import Contents
from pipeline.suspicions import EXAMPLES, Suspicion
from stages import DATA, main, read_params, stage_run


def extract() -> None:
    """Write `data/extract/`: containers, their table, annotations."""
    params = read_params()
    source = DATA / "download"
    contents, section = Contents.read(source), params.extract
    # photographs are compressed already, so their archive has their size; those of a folder stay where they are
    images = located(source, contents.images)
    room = 0 if contents.listing is not None else sum(part.stat().st_size for part in files_of(images))
    inputs = [source / CONTENTS]
    with stage_run("extract", params={"extract": section.deciding()}, inputs=inputs, room=room) as run:
        account = extract_photographs(
            source, contents, section.photographs_per_container, run.work, max_dropped=section.max_dropped
        )
        if found := _suspicions(contents, source, run.table):
            run.suspect(found)
        if contents.junk:
            run.report["junk"] = contents.junk
        _print(contents, account)
        run.count(account, section.max_dropped)


def _suspicions(contents: Contents, source: Path, table: Path) -> list[Suspicion]:
    found: list[Suspicion] = []
    twice: set[str] = set()
    if contents.listing is not None:
        listing = folder_index.read(source / contents.listing)
        pairs = {readable(name): readable(other) for name, other in listing.twice.items()}
        found.append(_copies("the same file under two names", pairs, len(listing.members)))
        twice.update(pairs)
    kept = manifest.kept_columns(table, ["file", "photograph"]).flatten()
    codes_N = kept["photograph.md5"].combine_chunks().dictionary_encode().indices.to_numpy()  # in order of appearance
    files, first_N = kept["file"], np.unique(codes_N, return_index=True)[1][codes_N]
    places = np.flatnonzero(first_N != np.arange(len(kept))).tolist()
    copies = {str(files[place]): str(files[first_N[place]]) for place in places if str(files[place]) not in twice}
    found.append(_copies("a copy of another photograph, byte for byte", copies, len(kept)))
    if contents.classes:
        names: list[str] = files.to_pylist()
        labelled = classes_of(names, wrapped=contents.listing is None)
        without = [name for name in names if name not in labelled]
        found.append(Suspicion("a photograph in no folder, so of no class", len(without), len(names), without))
    return [suspicion for suspicion in found if suspicion.count]


def _copies(kind: str, originals: Mapping[str, str], of: int) -> Suspicion:
    return Suspicion(kind, len(originals), of, [f"{name} is {other}" for name, other in originals.items()][:EXAMPLES])


def _print(contents: Contents, account: Accounting) -> None:
    """Print how many files are no photographs."""
    if contents.junk:
        names = ", ".join(map(repr, contents.junk_examples))
        more = ", ..." if contents.junk > len(contents.junk_examples) else ""
        print(f"extract: {contents.junk} files of systems and programs are left out ({names}{more})", file=sys.stderr)
    others = sum(account.dropped.get(reason, 0) for reason in NO_INPUTS)
    if others:
        print(f"extract: {others} other files are no photographs: celebahq drops extract lists them", file=sys.stderr)


if __name__ == "__main__":
    main(extract)
