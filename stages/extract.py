"""Stage extract: the source's archive to containers of photographs, its annotations to fixed names."""

from pipeline.sources.extraction import extract as extract_photographs
from pipeline.sources.sevenzip import files_of
from pipeline.sources.source import FILE as CONTENTS
from pipeline.sources.source import Contents
from stages import DATA, main, read_params, stage_run


def extract() -> None:
    """Write `data/extract/`: containers, their table, annotations."""
    params = read_params()
    source = DATA / "download"
    contents, section = Contents.read(source), params.extract
    # photographs are compressed already, so their archive has their size
    room = sum(part.stat().st_size for part in files_of(source / contents.images))
    inputs = [source / CONTENTS]
    with stage_run("extract", params={"extract": section.deciding()}, inputs=inputs, room=room) as run:
        account = extract_photographs(
            source, contents, section.photographs_per_container, run.work, max_dropped=section.max_dropped
        )
        run.count(account, section.max_dropped)


if __name__ == "__main__":
    main(extract)
