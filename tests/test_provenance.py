from pathlib import Path

import pytest

from pipeline import provenance


def test_the_code_digest_changes_with_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "pipeline" / "inner.py"
    source.parent.mkdir()
    source.write_text("X = 1\n")
    monkeypatch.setattr(provenance, "__file__", str(source))
    before = provenance.code_digest.__wrapped__()
    source.write_text("X = 2\n")
    assert provenance.code_digest.__wrapped__() != before
    assert provenance.code_digest() == provenance.code_digest()


def test_a_folder_is_digested_with_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a.txt").write_text("1")
    before = provenance.digest_of_inputs([folder])
    (folder / "a.txt").rename(folder / "b.txt")
    assert provenance.digest_of_inputs([folder]) != before
    assert provenance.digest_of_inputs([folder / "b.txt"])[str(folder / "b.txt")] == provenance.digest_of_file(
        folder / "b.txt"
    )
