"""The download stage: the source in params.yaml becomes data/download."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import FetchError, SourceError, TermsError
from pipeline.sources.fetch.terms import TERMS_VARIABLE, UNVERIFIED_VARIABLE
from pipeline.sources.source import Contents
from stages import RECORD, download, extract

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/sources"), str(ROOT / "tests/sources/fetch")]
import small_sets  # noqa: E402 - a helper of the tests of sources
from faulty_server import Fault, FaultyServer  # noqa: E402

OWN = {RECORD, "SHA256SUMS"}
TINY = {
    "kind": "synthetic",
    "photographs": 2,
    "bad_photographs": 1,
    "face_pixels_min": 40,
    "face_pixels_max": 50,
    "seed": 1,
}


@pytest.fixture(autouse=True)
def _at_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "manifests", "manifests")


@pytest.fixture
def mirror(tmp_path: Path) -> Generator[str]:
    """An institute's mirror, which serves the folder `mirror`."""
    handler = partial(_Quiet, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _publish(deltas: int) -> dict[str, bytes]:
    """Put a tiny CelebA on the mirror, and change the manifests as if its authors had published that."""
    _params("manifests/celeba.yaml", TINY)
    download.download()
    for name in ("contents.json", RECORD):
        Path("data/download", name).unlink()
    shutil.move("data/download", "mirror/celeba")
    served = {str(path.relative_to("mirror/celeba")): path for path in Path("mirror/celeba").rglob("*.*")}
    files = {name: path.read_bytes() for name, path in served.items() if path.is_file()}
    _rewrite("manifests/celeba.yaml", files, photographs=TINY["photographs"] + TINY["bad_photographs"])
    Path("mirror/celebahq-deltas").mkdir()
    names = [f"deltas{n:02d}000.zip" for n in range(deltas)]
    for number, name in enumerate(names):
        with zipfile.ZipFile(f"mirror/celebahq-deltas/{name}", "w") as archive:
            for idx in range(1000 * number, 1000 * number + 1000):
                archive.writestr(f"delta{idx:05d}.dat", b"a token")
    _rewrite("manifests/celebahq-deltas.yaml", dict.fromkeys(names))
    return files


def _rewrite(manifest: str, files: dict[str, Any], **more: Any) -> None:
    head = yaml.safe_load(Path(manifest).read_text()) | more
    head["files"] = [
        {"path": name}
        if content is None
        else {"path": name, "bytes": len(content), "md5": hashlib.md5(content).hexdigest()}
        for name, content in files.items()
    ]
    Path(manifest).write_text(yaml.safe_dump(head))


CELEBA = {
    "kind": "celeba",
    "images": "published",
    "landmarks": "published",
    "partition": "published",
    "attributes": None,
    "deltas": None,
}


def test_celeba_over_the_network_is_staged_as_published(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served = _publish(deltas=0)
    monkeypatch.setenv(TERMS_VARIABLE, "celeba")
    _params("manifests/celeba.yaml", CELEBA, mirrors=[mirror])
    download.download()
    target = Path("data/download")
    found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert found == {*served, "contents.json", *OWN} - {"Anno/list_attr_celeba.txt"}
    for name in found - {"contents.json", *OWN}:
        assert (target / name).read_bytes() == served[name]
        assert (target / name).samefile(Path("data/.downloads/celeba") / name)
    contents = Contents.read(target)
    assert contents.attributes is None
    digests = {name: hashlib.sha256((target / name).read_bytes()).hexdigest() for name in found}
    assert contents.files == {name: digests[name] for name in found - {"contents.json", *OWN}}
    record = json.loads((target / RECORD).read_text())
    assert record["accepted"]["celeba"]["terms"]["by"].endswith(TERMS_VARIABLE)
    assert record["fetched"]["celeba/Eval/list_eval_partition.txt"]["origin"].startswith(mirror)

    # another run, with other params and without the mirror: what was fetched is not fetched again
    shutil.rmtree("data/download")
    _params("manifests/celeba.yaml", CELEBA | {"partition": None}, mirrors=[], offline=True)
    download.download()
    assert Contents.read(target).partition is None


def test_deltas_need_an_acceptance_of_their_own(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(deltas=2)
    _params("manifests/celeba.yaml", CELEBA | {"deltas": "published"}, mirrors=[mirror])
    with pytest.raises(TermsError, match=r"(?s)CelebA is fetched only under its terms.*terms --accept-terms celeba"):
        download.download()
    assert not Path("data/.downloads").exists()
    monkeypatch.setenv(TERMS_VARIABLE, "celeba, celebahq-deltas")
    with pytest.raises(TermsError, match=r"(?s)2 file\(s\) \(deltas00000\.zip, .*--accept-unverified celebahq-deltas"):
        download.download()
    monkeypatch.setenv(UNVERIFIED_VARIABLE, "celebahq-deltas")
    download.download()
    assert sorted(path.name for path in Path("data/download/deltas").iterdir()) == [
        "deltas00000.zip",
        "deltas01000.zip",
    ]
    record = json.loads(Path("data/download", RECORD).read_text())
    assert record["accepted"]["celebahq-deltas"]["unverified"]["by"].endswith(UNVERIFIED_VARIABLE)
    sha256 = hashlib.sha256(Path("mirror/celebahq-deltas/deltas00000.zip").read_bytes()).hexdigest()
    assert record["fetched"]["celebahq-deltas/deltas00000.zip"]["hashes"] == {"sha256": sha256}


@pytest.mark.parametrize("kind", ["cifar10", "mnist", "mnist-rgb", "celeba-128"])
def test_the_small_data_sets_are_fetched_to_where_extract_reads_them(
    kind: str, mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, source, count = _publish_small(kind)
    watch = f"manifests/{manifest}.yaml"
    _params(watch, {"kind": kind, **source}, mirrors=[mirror])
    with pytest.raises(TermsError, match=rf"terms --accept-terms {manifest}"):
        download.download()
    monkeypatch.setenv(TERMS_VARIABLE, manifest)
    download.download()
    extract.extract()
    assert json.loads(Path("reports/extract.json").read_text())["kept"] == count
    limits = yaml.safe_load(Path(watch).read_text())["limits"]
    assert Contents.read(Path("data/download")).limits.model_dump() == limits
    (fetched,) = {Path(name).parts[0] for name in json.loads(Path("data/download", RECORD).read_text())["fetched"]}
    assert fetched == manifest


def _publish_small(kind: str) -> tuple[str, dict[str, Any], int]:
    """Put a small data set on the mirror and into its manifest; return that, its source in params, and its images."""
    manifest = {"mnist-rgb": "mnist", "celeba-128": "celeba"}.get(kind, kind)
    folder = Path("mirror", manifest)
    folder.mkdir(parents=True)
    match kind:
        case "cifar10":
            small_sets.cifar10(folder / "cifar-10-binary.tar.gz", small_sets.cifar_batches(2))
            source, count = {"archive": "published"}, 10
        case "celeba-128":
            (folder / "Img").mkdir()
            small_sets.aligned_celeba(folder / "Img", 3)
            source, count = {"images": "published", "partition": None, "attributes": None}, 3
        case _:
            small_sets.mnist(folder, 12)
            source, count = {"images": "published", "labels": "published"}, 12
            if kind == "mnist-rgb":
                source, count = source | {"count": 20, "seed": 1}, 20
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.[zg]*")}
    _rewrite(f"manifests/{manifest}.yaml", files, **({"photographs": count} if kind == "celeba-128" else {}))
    return manifest, source, count


def test_a_file_that_no_mirror_has_ends_the_stage_and_keeps_the_others(
    mirror: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(deltas=0)
    monkeypatch.setenv(TERMS_VARIABLE, "celeba")
    Path("mirror/celeba/Anno/list_landmarks_celeba.txt").unlink()
    _params("manifests/celeba.yaml", CELEBA, mirrors=[mirror])
    with pytest.raises(FetchError, match=rf"list_landmarks_celeba\.txt: not fetched\.\n  {mirror}.*: HTTP 404"):
        download.download()
    assert not Path("data/download").exists()
    assert Path("data/.downloads/celeba/Eval/list_eval_partition.txt").is_file()


def test_half_a_download_is_resumed_after_clean_and_a_change_of_params(monkeypatch: pytest.MonkeyPatch) -> None:
    served = _publish(deltas=0)
    monkeypatch.setenv(TERMS_VARIABLE, "celeba")
    name = "Img/img_celeba.7z/img_celeba.7z.001"
    half = len(served[name]) // 2
    with FaultyServer() as server:
        for path, content in served.items():
            server.put(f"/celeba/{path}", content)
        server.files[f"/celeba/{name}"].faults += [Fault("drop", 0.5), Fault("404")]
        _params("manifests/celeba.yaml", CELEBA, mirrors=[server.url])
        with pytest.raises(FetchError):
            download.download()
        shutil.rmtree("data/.work")
        _params("manifests/celeba.yaml", CELEBA | {"partition": None}, mirrors=[server.url])
        download.download()
        assert server.ranges(f"/celeba/{name}")[-1] == f"bytes={half}-"
        assert sum(server.sent.values()) == sum(map(len, served.values())) - len(served["Anno/list_attr_celeba.txt"])
    assert Path("data/download", name).read_bytes() == served[name]


def _params(watch: str, source: dict[str, Any], **network: Any) -> None:
    params = yaml.safe_load((ROOT / "profiles/demo.yaml").read_text())
    params["download"] = {"watch": watch, "source": source}
    if source["kind"] == "celeba-128":
        params["align"]["rectangle"] = "celeba-128"
        params["superres"]["method"], params["fit_superres"]["network"] = "none", {"kind": "none"}
    params["network"] |= {"attempts": 2, "timeout_seconds": 5.0} | network
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_the_synthetic_set_is_published_with_its_size() -> None:
    _params("manifests/celeba.yaml", TINY)
    download.download()
    contents = Contents.read(Path("data/download"))
    files = [path for path in Path("data/download").rglob("*") if path.is_file() and path.name not in OWN]
    assert Path("data/download", contents.images) in files
    report = json.loads(Path("data/download", RECORD).read_text())["report"]
    assert report == {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def test_a_published_name_with_other_bytes_is_refused() -> None:
    Path("mine").mkdir()
    Path("mine/img_celeba.tar").write_bytes(b"")
    Path("mine/list_landmarks_celeba.txt").write_bytes(b"1\n")
    source = {"kind": "celeba", "images": "mine/img_celeba.tar", "landmarks": "mine/list_landmarks_celeba.txt"}
    _params("mine", source | {"partition": None, "attributes": None, "deltas": None})
    with pytest.raises(SourceError, match=r"2 bytes, but the published Anno/list_landmarks_celeba\.txt has 12352635"):
        download.download()
    assert not Path("data/download").exists()


def test_annotations_that_do_not_fit_end_the_stage_before_anything_is_packed(capsys: pytest.CaptureFixture) -> None:
    photographs, marks = Path("own/photographs"), Path("own/marks.txt")
    photographs.mkdir(parents=True)
    for number in range(1, 11):
        (photographs / f"{number:06d}.jpg").write_bytes(b"never read")
    row = "69 109 106 113 77 142 73 152 108 154"
    source = {"kind": "folder", "images": str(photographs), "landmarks": str(marks), "attributes": None}
    _params("own", source)
    marks.write_text("".join(f"{number + 50:06d}.jpg {row}\n" for number in range(1, 11)))
    with pytest.raises(SourceError, match=r"marks\.txt: has no row for any of the 10 photographs of own/photographs"):
        download.download()
    assert not list(Path("data").rglob("*.tar*"))
    marks.write_text(
        "9\n" + "".join(f"{number:06d}.jpg {row.replace('77', str(number + 70))}\n" for number in range(1, 9))
    )
    download.download()  # two of ten lack a row, which is what align.max_dropped allows
    assert "download: marks.txt: line 1 says 9 rows, found are 8" in capsys.readouterr().err


def test_a_watched_file_that_is_absent_is_an_error() -> None:
    _params("photographs", {"kind": "folder", "images": "photographs", "landmarks": None, "attributes": None})
    with pytest.raises(SourceError, match=r"correct download\.watch"):
        download.download()


def test_a_linked_folder_that_dvc_does_not_look_into_is_refused() -> None:
    for folder in ("mine/images/sub", "mine/more", "far/away"):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "a.jpg").write_bytes(b"\xff\xd8\xff")
    _params("mine", {"kind": "folder", "images": "mine/images", "landmarks": "detect", "attributes": None})
    Path("mine/images/within").symlink_to("../more")  # DVC sees these files in mine/more
    Path("mine/images/one.jpg").symlink_to("../../far/away/a.jpg")  # DVC reads what a linked file holds
    Path("mine/notes").symlink_to("../far")  # no photographs of the source
    Path("here").symlink_to("mine")
    download.download()
    _params("here", {"kind": "folder", "images": "here/images", "landmarks": "detect", "attributes": None})
    download.download()
    link = Path("mine/more/far")
    link.symlink_to("../../far")
    with pytest.raises(
        SourceError, match=r"here/images/within/far: a link to the folder .*/far, into which DVC"
    ) as caught:
        download.download()
    download.download(with_dvc=False)
    remedy = re.search(r"(rm .* && cp -rs .*)\. Files", str(caught.value))
    assert remedy is not None
    subprocess.run(remedy[1], shell=True, check=True)
    download.download()
    assert link.is_dir() and not link.is_symlink() and (link / "away/a.jpg").is_symlink()
    shutil.rmtree("mine/images")
    Path("mine/images").symlink_to("../far/away")
    with pytest.raises(SourceError, match="here/images: a link to the folder"):
        download.download()


def test_the_manifest_names_all_fourteen_parts_of_celeba() -> None:
    files = yaml.safe_load(Path("manifests/celeba.yaml").read_text())["files"]
    parts = [entry for entry in files if entry["path"].startswith("Img/img_celeba.7z/")]
    assert [entry["path"][-3:] for entry in parts] == [f"{number:03d}" for number in range(1, 15)]
    assert sum(entry["bytes"] for entry in parts) == 13 * 734003200 + 649030866


def test_a_file_that_is_no_manifest_is_an_error() -> None:
    _params("manifests/celeba.yaml", CELEBA)
    Path("manifests/celeba.yaml").write_text("files: 1\n")
    with pytest.raises(SourceError, match="not a list of published files"):
        download.download()
