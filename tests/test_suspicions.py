"""What looks wrong but can be used: printed, written, refused above a share."""

import csv
from pathlib import Path

import pytest

from pipeline import suspicions
from pipeline.errors import SuspiciousInputError
from pipeline.suspicions import Suspicion
from stages import StageRun


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
    assert run.report["suspicions"] == 10
    with pytest.raises(SuspiciousInputError, match=r"mirrored: 9 of 10 \(0, 0.jpg.*align.max_suspicious"):
        run.suspect([Suspicion("mirrored", 9, 10, names)], max_share=0.89)
    assert (tmp_path / suspicions.FILE).is_file()
