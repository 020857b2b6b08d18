"""Stage extract: the source's archive to containers of photographs, its annotations to fixed names."""

from pipeline.sources.admission import Limits
from pipeline.sources.contents import Contents
from pipeline.sources.extraction import extract as extract_photographs
from stages import DATA, main, read_params, stage_run


def extract() -> None:
    """Unpack `data/download` to `data/extract`; nothing is decoded or encoded again."""
    params = read_params()
    source = DATA / "download"
    with stage_run("extract", params={"extract": params.extract}, inputs=[source], out=DATA / "extract") as run:
        contents = Contents.read(source)
        limits = Limits(
            member_bytes=params.extract.max_member_mib << 20,
            total_bytes=params.extract.max_unpacked_gib << 30,
            ratio=params.extract.max_unpacked_ratio,
        )
        account = extract_photographs(source, contents, params.extract.photographs_per_container, run.work, limits)
        run.count(account, params.extract.max_dropped)


if __name__ == "__main__":
    main(extract)
