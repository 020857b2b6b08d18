import sys
from pathlib import Path

import pytest

from pipeline import provenance


def test_the_closure_follows_first_party_imports_only() -> None:
    names = {path.relative_to(Path.cwd()).as_posix() for path in provenance.code_closure("pipeline.container")}
    assert names == {f"pipeline/{name}.py" for name in ("__init__", "atomic", "container", "errors", "manifest")}


def test_the_code_digest_changes_with_any_file_of_the_closure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "probe"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("X = 1\n")
    (package / "outer.py").write_text("def f():\n    from probe import inner\n    return inner.X\n")
    (package / "other.py").write_text("Y = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(provenance, "FIRST_PARTY", ("probe",))
    before = provenance.code_digest("probe.outer")
    (package / "other.py").write_text("Y = 2\n")
    assert provenance.code_digest("probe.outer") == before
    (package / "inner.py").write_text("X = 2\n")
    assert provenance.code_digest("probe.outer") != before
    sys.modules.pop("probe", None)


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
