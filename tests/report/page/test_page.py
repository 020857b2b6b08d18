"""The report as a reader and a browser find it: whole, self-contained, accessible, and true about what is not there."""

import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.params import ReportParams
from pipeline.report.page.page import page
from pipeline.report.page.results import Results
from tests.report import results_tree as tree

LIMITS = ReportParams(
    sheet_pixels=200, thumbnail_pixels=48, dropped_shown=2, faces_compared=2, samples_shown=3, video_mib=0.001
)
VOID = {"img", "input", "meta", "link", "br", "path", "use"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Collects the elements of a page, and fails where they are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data + " "

    def all(self, *tags: str) -> list[dict[str, str]]:
        """The attributes of all elements of some kinds."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def sections(self) -> list[str]:
        """Their ids."""
        return [attributes["id"] for attributes in self.all("section")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    tree.write_faces(root)
    tree.write_run(root)
    tree.write_category(root)
    run = root / "runs/demo"
    header = "kimg,seconds,eta_seconds,seconds_per_kimg,gpu_peak_mib,unix_time"
    (run / "timing.csv").write_text(f"{header}\n0.8,9000,1,2.5,0,1\n1.6,18000,1,2.25,0,2\n")
    (run / "interpolation.mp4").write_bytes(b"\0" * 100)
    (run / "progress.mp4").write_bytes(b"\0" * 4000)
    tree.picture(run / "neighbours.png", 64, 32)
    (run / "neighbours.csv").write_text("fake,rank,index\n0,1,5\n")
    return root


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return page(Results(root), LIMITS)


@pytest.fixture(scope="module")
def shown(text: str) -> Page:
    return Page(text)


def test_nothing_is_loaded_from_elsewhere(shown: Page) -> None:
    policy = next(element["content"] for element in shown.all("meta") if "http-equiv" in element)
    assert policy.startswith("default-src 'none'")
    sources = [value for _, element in shown.elements for name, value in element.items() if name in ("src", "srcset")]
    assert sources
    assert all(value.startswith("data:") for value in sources)
    links = {element["href"] for element in shown.all("a", "link", "use", "image") if "href" in element}
    files = {link for link in links if not link.startswith(("#", "data:"))}
    assert files == {"../runs/demo/progress.mp4"}, "the only file is the video above the limit"
    assert not re.search(r"url\((?!#|data:)|@import", str(shown.elements))


def test_every_link_leads_to_a_place_and_every_id_is_there_once(shown: Page) -> None:
    ids = Counter(element["id"] for _, element in shown.elements if "id" in element)
    assert not [name for name, count in ids.items() if count > 1]
    for _, element in shown.elements:
        for name in ("href", "xlink:href", "aria-labelledby", "clip-path"):
            for target in re.findall(r"#([^)\s]+)", element.get(name, "")) or (
                element[name].split() if name.startswith("aria") and name in element else []
            ):
                assert target in ids, f"{name} {element[name]} leads nowhere"


def test_any_name_of_a_runs_folder_makes_whole_links(tmp_path: Path) -> None:
    tree.write_run(tmp_path, "<b>\"x'é copy")
    text = page(Results(tmp_path, page=tmp_path / "reports/report.html"), LIMITS)
    assert "<b>" not in text
    test_every_link_leads_to_a_place_and_every_id_is_there_once(Page(text))


def test_pictures_have_words_and_controls_have_names(shown: Page) -> None:
    assert all(element["alt"] and element["width"] and element["height"] for element in shown.all("img"))
    for element in shown.all("svg", "input", "video"):
        assert element.get("aria-label") or element.get("aria-labelledby")
    levels = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level is skipped"
    scrolled = [element for element in shown.all("div") if element.get("class") == "scroll"]
    assert all(element["tabindex"] == "0" and element["aria-label"] for element in scrolled), "for the keyboard"


def test_the_numbers_of_all_parts_are_there(shown: Page) -> None:
    words = re.sub(r"\s+", " ", shown.text)
    for number in (
        "2 not an image", "align: too small (1)", "eyes are mirrored", "cut", "50.5", "15.5", "16 images",
        "0.25", "5.0 h", "123 kB", "gzip", "network-000003200", "made from", "numpy", "2.4.6", "5 ", "seconds per kimg",
        "3 of 4 grids", "Protocol of the evaluation", "of which 5 images were scored", "0.875",
    ):  # fmt: skip
        assert number in words, number
    assert "<script>alert(1)" in words, "text of users is shown, not run"
    assert len(shown.all("video")) == 1, "the other video is above the limit"


def test_a_dropped_record_of_lsun_has_no_photograph_of_a_face(shown: Page) -> None:
    assert any("000002.jpg: 16 pixels" in element["alt"] for element in shown.all("img"))
    assert not any("no decoder" in element["alt"] for element in shown.all("img"))
    assert "no decoder" in shown.text


def test_equal_results_give_equal_pages(root: Path, text: str, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    assert page(Results(copy), LIMITS) == text


@pytest.mark.parametrize(
    ("parts", "there", "missing"),
    [
        ([], ["data", "runs"], "No stage of the faces has run"),
        ([tree.write_faces], ["quality", "runs"], "No run was trained"),
        ([tree.write_run], ["data", "run-demo"], "No stage of the faces has run"),
        ([tree.write_category], ["lsun-bedroom"], "No run was trained"),
    ],
    ids=["nothing", "data", "run", "lsun"],
)
def test_what_is_not_there_is_said(parts: list, there: list[str], missing: str, tmp_path: Path) -> None:
    for write in parts:
        write(tmp_path)
    shown = Page(page(Results(tmp_path), LIMITS))
    assert {*there, "overview", "cost", "provenance", "missing"} <= {*shown.sections}
    assert missing in shown.text


def test_old_and_damaged_results_are_shown_as_far_as_they_go(tmp_path: Path) -> None:
    tree.write_faces(tmp_path)
    tree.write_run(tmp_path)
    for path in [*tmp_path.rglob("record.json"), *tmp_path.glob("reports/*.json")]:
        path.unlink()
    (tmp_path / "reports/train/demo.json").write_text("{")
    (tmp_path / "data/shard/samples.png").write_bytes(b"no picture")
    (tmp_path / "runs/demo/live/plots/metrics/swd16.tsv").write_text("step\tswd16\n800\t\n1600\tnan\n")
    shown = Page(page(Results(tmp_path), LIMITS))
    assert "No stage left a record" in shown.text
    assert "2 not an image" in shown.text, "counted from the table"


def test_a_data_set_that_was_built_has_a_page_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "dataset.h5").write_bytes(b"")
    (tmp_path / "dropped.csv").write_text("stage,file,face,reason,detail\nextract,a.txt,0,not an image,text\n")
    params = {"shard": {"codec": "zstd"}, "align.resolution": 128}
    tree.write_json(
        tmp_path / "record.json", tree.record(params) | {"report": {"images": 5, "bytes": 77000, "shards": 1}}
    )
    tree.picture(tmp_path / "samples.png", 64, 64)
    shown = Page(page(Results(tmp_path), LIMITS))
    words = re.sub(r"\s+", " ", shown.text)
    assert "not an image 1" in words
    assert "128²" in words
    assert shown.all("img")


def test_the_size_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    tree.write_category(tmp_path)
    small = page(Results(tmp_path), LIMITS)
    path = tmp_path / "data/lsun/bedroom/lsun.parquet"
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows] * 15_000), path)
    large = page(Results(tmp_path), LIMITS)
    assert "(15,000)" in large
    assert len(large) < len(small) + 1000


def test_the_ledger_is_counted_by_verdict(tmp_path: Path) -> None:
    tree.write_faces(tmp_path)
    pq.write_table(pa.table({"verdict": ["match"] * 3 + ["final mismatch"]}), tmp_path / "data/shard/ledger.parquet")
    shown = Page(page(Results(tmp_path), LIMITS))
    assert "exact" in shown.sections
    assert "75.00%" in shown.text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: the page is not opened in a browser (apt install chromium)")
def test_a_browser_shows_it_without_an_error_or_a_request(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(text)
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    flags += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--log-net-log={tmp_path / 'net.json'}",
        "--disable-extensions",
    ]
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
    command = [str(CHROMIUM), *flags, *quiet, "--dump-dom", (tmp_path / "report.html").as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in result.stderr, result.stderr
    assert re.search(r'id="theme">(Dark|Light) colours<', result.stdout), "the script has run"
    assert '<div class="control">' in result.stdout, "the slider of the samples is there"
    requested = re.findall(r'"url":"([^"]+)"', (tmp_path / "net.json").read_text())
    page_urls = [url for url in requested if "report.html" in url or url.startswith(("http:", "https:"))]
    ours = [url for url in page_urls if "google" not in url and "gstatic" not in url]  # the browser's own
    assert all(url.startswith("file:") for url in ours), ours
