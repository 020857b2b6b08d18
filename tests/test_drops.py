from pathlib import Path

import pytest

from pipeline import drops, manifest
from pipeline.drops import DropLimit
from pipeline.errors import DropReason, TooManyDroppedError
from pipeline.manifest import Accounting, Drop, Photograph, Stored

STORED = Stored(container="extract/extract-00000.tar", offset=512, size=7, md5="0" * 32)


def _table(path: Path, kept: int, dropped: dict[DropReason, int]) -> Path:
    rows: list[Photograph | Drop] = [Photograph(index=n, file=f"{n}.jpg", photograph=STORED) for n in range(kept)]
    for reason, count in dropped.items():
        rows += [Drop(index=len(rows) + n, file=f"{reason.name}-{n}", reason=reason, detail="") for n in range(count)]
    manifest.write_rows(path, Photograph, rows)
    return path


def _check(table: Path, max_dropped: float) -> Accounting:
    account = manifest.account(table)
    drops.check("align", account, max_dropped, table)
    return account


def test_the_limit_is_a_fraction_and_something_must_remain(tmp_path: Path) -> None:
    table = _table(tmp_path / "align.parquet", 8, {DropReason.TRUNCATED: 2})
    assert _check(table, 0.2) == Accounting(10, 8, {"truncated image": 2})
    with pytest.raises(TooManyDroppedError, match=r"align: 2 of 10 inputs dropped, allowed are 19\.0%"):
        _check(table, 0.19)
    with pytest.raises(TooManyDroppedError, match="at least one must remain"):
        _check(_table(table, 0, {DropReason.TRUNCATED: 1}), 1.0)


def test_photographs_that_are_not_published_are_not_counted(tmp_path: Path) -> None:
    _check(_table(tmp_path / "align.parquet", 1, {DropReason.NOT_PUBLISHED: 9}), 0.0)


def test_the_commonest_reasons_are_named_with_examples_and_the_table(tmp_path: Path) -> None:
    reasons = dict(zip(DropReason, (1, 2, 7, 3, 4, 5, 1), strict=False))
    table = _table(tmp_path / "align.parquet", 1, reasons)
    with pytest.raises(TooManyDroppedError) as raised:
        _check(table, 0.5)
    lines = str(raised.value).splitlines()
    third, sixth = list(DropReason)[2], list(DropReason)[5]
    assert lines[1:3] == [
        f"  {third}: 7 ({third.name}-0, {third.name}-1, {third.name}-2, ...)",
        f"  {sixth}: 5 ({sixth.name}-0, {sixth.name}-1, {sixth.name}-2, ...)",
    ]
    assert lines[6] == "  and 2 other reason(s)"
    assert lines[7].startswith(f"celebahq drops align lists them all (from {table}).")
    assert "raise align.max_dropped" in lines[7]


def test_a_stage_ends_when_the_limit_can_no_longer_be_met(tmp_path: Path) -> None:
    limit = DropLimit("crop", 0.1, inputs=20)
    limit.add(_table(tmp_path / "one.parquet", 3, {DropReason.TRUNCATED: 2}))  # 40 % of these, but 18 may be good
    with pytest.raises(TooManyDroppedError, match=r"crop: 3 of 20 .*\n.*truncated image: 2.*\n.*too small: 1"):
        limit.add(_table(tmp_path / "two.parquet", 0, {DropReason.TOO_SMALL: 1}))


def test_dropped_inputs_may_be_replaced_by_others(tmp_path: Path) -> None:
    limit = DropLimit("lsun", 0.5, inputs=2, spare=1)
    limit.add(_table(tmp_path / "one.parquet", 1, {DropReason.TRUNCATED: 1}))
    with pytest.raises(TooManyDroppedError, match="2 of 3"):
        limit.add(_table(tmp_path / "two.parquet", 1, {DropReason.TRUNCATED: 1}))
