"""Stage extract: the source's archive to containers of photographs, its annotations to fixed names."""

from pipeline.sources.extraction import extract as extract_photographs
from pipeline.sources.source import FILE as CONTENTS
from pipeline.sources.source import Contents
from stages import DATA, main, read_params, stage_run


def extract() -> None:
    """Write `data/extract/`: containers, their table, annotations."""
    params = read_params()
    source = DATA / "download"
    with stage_run("extract", params={"extract": params.extract.deciding()}, inputs=[source / CONTENTS]) as run:
        contents = Contents.read(source)
        section = params.extract
        account = extract_photographs(
            source, contents, section.photographs_per_container, run.work, max_dropped=section.max_dropped
        )
        run.count(account, section.max_dropped)


if __name__ == "__main__":
    main(extract)
