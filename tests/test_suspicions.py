"""What looks wrong but can be used: printed, written, refused above a share."""

import csv
from pathlib import Path

import pytest

from pipeline import suspicions
from pipeline.errors import DropReason, SuspiciousInputError
from pipeline.manifest import Aligned, Drop, Stored, write_rows
from pipeline.suspicions import Suspicion, remarks_of
from stages import StageRun, pictures


def test_suspicions_are_printed_written_and_refused_above_a_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = StageRun("align", tmp_path)
    names = [f"{number}, {number}.jpg" for number in range(9)]
    run.suspect([Suspicion("mirrored", 9, 10, names), Suspicion("turned", 1, 10, ["a.jpg"])], max_share=0.9)
    assert capsys.readouterr().err.splitlines()[1] == "align: turned: 1 of 10 (a.jpg)"
    with (tmp_path / suspicions.FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["count"], row["of"]) for row in rows] == [("mirrored", "9", "10"), ("turned", "1", "10")]
    assert rows[0]["examples"] == "; ".join(names[: suspicions.EXAMPLES])
    found = suspicions.read(tmp_path)
    assert [(suspicion.count, suspicion.of) for suspicion in found] == [(9, 10), (1, 10)]
    assert found[0].examples == names[: suspicions.EXAMPLES]
    assert suspicions.read(tmp_path / "none") == []
    assert run.report["suspicions"] == 10
    with pytest.raises(SuspiciousInputError, match=r"mirrored: 9 of 10 \(0, 0.jpg.*align.max_suspicious"):
        run.suspect([Suspicion("mirrored", 9, 10, names)], max_share=0.89)
    assert (tmp_path / suspicions.FILE).is_file()


def test_remarks_count_photographs_and_not_faces_or_dropped_ones(tmp_path: Path) -> None:
    stored = Stored(container="a.tar", offset=0, size=1, md5="")
    places = {"photograph": stored, "width": 9, "height": 9, "split": None, "attributes": None, "landmarks": None}
    rows = [
        Aligned(index=index, face=face, file=f"{index}.jpg", quad=(0,) * 8, zoom=1.0, remarks=remarks, **places)
        for index, face, remarks in (
            (0, 0, ("deep", "clear")),
            (0, 1, ("deep", "clear")),
            (1, 0, ("deep",)),
            (2, 0, ()),
        )
    ]
    drop = Drop(index=3, file="3.jpg", reason=DropReason.TRUNCATED, detail="")
    write_rows(tmp_path / "align.parquet", Aligned, [*rows[1:], drop])
    write_rows(tmp_path / "crop.parquet", Aligned, [*rows, drop])
    assert [str(found) for found in remarks_of(tmp_path / "crop.parquet")] == [
        "clear: 1 of 3 (0.jpg)",
        "deep: 2 of 3 (0.jpg, 1.jpg)",
    ]
    assert remarks_of(tmp_path / "crop.parquet", besides=tmp_path / "align.parquet") == []


def test_what_two_stages_suspect_is_listed_once_by_the_later_one(tmp_path: Path) -> None:
    """`download` counts rows of files that `align` cannot read."""
    for stage, of in (("download", 9), ("align", 8)):
        folder = tmp_path / pictures.SCRATCH / "data" / stage
        folder.mkdir(parents=True)
        suspicions.write(folder, [Suspicion("no face", 2, of, ["a.jpg", "b.jpg"]), Suspicion(stage, 1, of, ["c.jpg"])])
    listed = [("no face", 2, 8), ("download", 1, 9), ("align", 1, 8)]
    assert [(found.kind, found.count, found.of) for found in pictures.write_suspicions(tmp_path)] == listed
    assert [(found.kind, found.count, found.of) for found in suspicions.read(tmp_path)] == listed
