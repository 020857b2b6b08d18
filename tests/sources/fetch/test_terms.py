"""What must be accepted before any file is linked or fetched."""

from pathlib import Path

import pytest
from faulty_server import FaultyServer
from tiny_sources import TERMS, dataset

from pipeline.errors import TermsError
from pipeline.params import NetworkParams
from pipeline.sources.fetch import terms
from pipeline.sources.fetch.downloads import Downloads
from pipeline.sources.fetch.terms import Acceptance

HASHED = dataset("big", {"a.bin": b"a"}).published
UNHASHED = dataset("big", {"a.bin": b"a"}, hashed=False).published


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (terms.TERMS_VARIABLE, terms.UNVERIFIED_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_without_acceptance_nothing_is_linked_or_fetched(server: FaultyServer, tmp_path: Path) -> None:
    server.put("/big/a.bin", b"a")
    (tmp_path / "a.bin").write_bytes(b"a")
    network = NetworkParams(
        mirrors=(server.url,), local=tmp_path, offline=False, connections=1, attempts=1, timeout_seconds=1.0
    )
    downloads = Downloads(tmp_path / "here", network, Acceptance.read(tmp_path / "accepted.json"))
    with pytest.raises(TermsError, match=r"(?s)research only.*a licence; https://example.org/terms.*accept-terms big"):
        downloads.fetch(HASHED, HASHED.files)
    assert server.requests == []
    assert not (tmp_path / "here").exists()


def test_a_signature_has_user_and_time_and_is_valid_for_one_text_only(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    terms.accept("terms", HASHED, path)
    signature = Acceptance.read(path).demand(HASHED, HASHED.files)["terms"]
    assert signature["by"]
    assert signature["at"].endswith("+00:00")
    changed = HASHED.model_copy(update={"terms": TERMS.model_copy(update={"statement": "no use at all"})})
    with pytest.raises(TermsError, match="no use at all"):
        Acceptance.read(path).demand(changed, changed.files)


def test_files_without_a_hash_need_their_own_acceptance(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    terms.accept("terms", UNHASHED, path)
    with pytest.raises(TermsError, match=r"1 file\(s\) \(a\.bin\).*"):
        Acceptance.read(path).demand(UNHASHED, UNHASHED.files)
    terms.accept("unverified", UNHASHED, path)
    assert set(Acceptance.read(path).demand(UNHASHED, UNHASHED.files)) == {"terms", "unverified"}
    assert set(Acceptance.read(path).demand(HASHED, HASHED.files)) == {"terms"}


def test_environment_variables_accept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(terms.TERMS_VARIABLE, "other,big")
    signature = Acceptance.read(tmp_path / "accepted.json").demand(HASHED, HASHED.files)["terms"]
    assert signature["by"].endswith(f"by {terms.TERMS_VARIABLE}")
    with pytest.raises(TermsError):
        Acceptance.read(tmp_path / "accepted.json").demand(UNHASHED, UNHASHED.files)
    monkeypatch.setenv(terms.UNVERIFIED_VARIABLE, "big")
    assert set(Acceptance.read(tmp_path / "accepted.json").demand(UNHASHED, UNHASHED.files)) == {"terms", "unverified"}


def test_another_file_under_the_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "accepted.json").write_text("yes")
    with pytest.raises(TermsError, match="Delete it and accept again"):
        Acceptance.read(tmp_path / "accepted.json")
