"""Stage extract: the source's archive to containers of photographs, its annotations to fixed names."""

from pipeline.sources.extraction import extract as extract_photographs
from pipeline.sources.sevenzip import files_of
from pipeline.sources.source import Contents
from stages import DATA, main, read_params, stage_run


def extract() -> None:
    """Write `data/extract/`: containers, their table, annotations."""
    params = read_params()
    source = DATA / "download"
    contents = Contents.read(source)
    # photographs are compressed already, so their archive has their size
    room = sum(part.stat().st_size for part in files_of(source / contents.images))
    with stage_run("extract", params={"extract": params.extract}, inputs=[source], room=room) as run:
        account = extract_photographs(source, contents, params.extract.photographs_per_container, run.work)
        run.count(account, params.extract.max_dropped)


if __name__ == "__main__":
    main(extract)
