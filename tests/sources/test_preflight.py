"""Annotations are compared with the names of the photographs before anything is packed or unpacked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import packing
import pytest

from pipeline.errors import SourceError, TooManyDroppedError
from pipeline.faces.annotations import AnnotationFiles
from pipeline.params import AlignParams
from pipeline.sources import preflight
from pipeline.sources.source import Given, Numbering
from pipeline.suspicions import Suspicion

FILES = [f"{number:06d}.jpg" for number in range(1, 11)]
ROW = "69 109 106 113 77 142 73 152 108 154"
LANDMARKS = "".join(f"{file} {ROW}\n" for file in FILES)
ATTRIBUTES = "Bald Young\n" + "".join(f"{file} 1 -1\n" for file in FILES)


def check(images: Path, texts: Mapping[str, str], **values: Any) -> list[str]:
    return checked(images, texts, **values)[0]


def checked(
    images: Path,
    texts: Mapping[str, str],
    only: set[str] | None = None,
    numbering: Numbering = "celeba",
    photographs: int | None = None,
    **align: object,
) -> tuple[list[str], list[Suspicion]]:
    paths: dict[str, Path | None] = dict.fromkeys(("landmarks", "partition", "attributes"))
    for name, text in texts.items():
        paths[name] = images.with_name(f"{name}.txt")
        images.with_name(f"{name}.txt").write_text(text)
    params = {
        "photographs": "all", "rectangle": "landmarks", "enlarge": False, "resolution": 64, "min_side_pixels": 32,
        "max_landmark_distance": 1.0, "max_megapixels": 100.0, "missing_attributes": "drop",
        "photographs_per_chunk": 8, "max_dropped": 0.2, "max_suspicious": 0.5,
    }  # fmt: skip
    given = Given(images, AnnotationFiles(**paths), numbering, photographs=photographs)
    return preflight.check(given, AlignParams.model_validate(params | align), only)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for file in [*FILES, "readme.txt", "Thumbs.db"]:
        (folder / file).write_bytes(b"never read")
    return folder


def test_fitting_annotations_pass_and_give_their_warnings(folder: Path) -> None:
    partition = "000001.jpg 0\n000002.jpg 7\n"
    texts = {"landmarks": LANDMARKS, "partition": partition, "attributes": ATTRIBUTES}
    (warning,) = check(folder, texts)
    assert warning.startswith("partition.txt, line 2: '000002.jpg 7' is not")


@pytest.mark.parametrize("pack", packing.ALL)
def test_archives_are_listed_not_unpacked(pack: packing.Pack, tmp_path: Path) -> None:
    images = pack(tmp_path, {f"img_celeba/{file}": b"never read" for file in FILES})
    assert check(images, {"landmarks": LANDMARKS}) == []
    with pytest.raises(SourceError, match=r"10 members, published are 11: 1 missing \(000011\.jpg\)"):
        check(images, {"landmarks": LANDMARKS}, photographs=11)


@pytest.mark.parametrize("name", ["landmarks", "partition", "attributes"])
def test_a_file_of_other_names_is_an_error_that_shows_both(folder: Path, name: str) -> None:
    texts = {"landmarks": LANDMARKS, "partition": "000001.jpg 0\n", "attributes": ATTRIBUTES}
    with pytest.raises(SourceError, match=rf"{name}\.txt: has no row for any of the 10 photographs of .*images\. Its "
                       r"first row is of 90000\d\.jpg, the first photograph is 000001\.jpg"):  # fmt: skip
        check(folder, texts | {name: texts[name].replace("0000", "9000")}, max_dropped=1.0)


def test_eyes_in_the_other_order_are_counted_as_drops_and_equal_points_as_suspicions(folder: Path) -> None:
    swapped = "106 113 69 109 77 142 108 154 73 152"
    lines = [f"{file} {swapped.replace('142', str(140 + place))}\n" for place, file in enumerate(FILES)]
    with pytest.raises(TooManyDroppedError, match=r"drop 10 \(10 mirrored landmarks\).*the first eye lies right of"):
        check(folder, {"landmarks": "".join(lines)})
    _, found = checked(folder, {"landmarks": "".join(lines)}, max_dropped=1.0)
    assert [(each.count, each.of, each.harmless) for each in found] == [(10, 10, True)]
    assert "the first eye lies right of the second" in found[0].kind
    _, found = checked(folder, {"landmarks": "".join(f"{file} {ROW}\n" for file in FILES)})
    assert [str(each).split(" (")[0] for each in found] == ["the same five points in several photographs: 10 of 10"]
    assert not found[0].harmless


def test_columns_of_another_order_are_suspected(folder: Path) -> None:
    nose_first = "196 249 165 184 244 176 194 271 266 260"
    lines = [f"{file} {nose_first.replace('249', str(240 + place))}\n" for place, file in enumerate(FILES)]
    (found,) = checked(folder, {"landmarks": "".join(lines)})[1]
    assert str(found).startswith("the five points do not lie as those of a face (columns in another order?): 10 of 10")
    assert not found.harmless
    corners = "165 184 244 176 196 249 266 260 194 271"  # of the mouth: their order decides nothing
    lines = [f"{file} {corners.replace('249', str(240 + place))}\n" for place, file in enumerate(FILES)]
    assert checked(folder, {"landmarks": "".join(lines)})[1] == []


def test_rows_of_other_names_count_as_rows_of_the_photographs(folder: Path) -> None:
    warnings, found = checked(folder, {"landmarks": LANDMARKS.replace(".jpg", ".png")})
    assert warnings == []
    assert "(suffix): 10 of 10 (000001.jpg = 000001.png" in str(found[0])


def test_too_many_photographs_without_rows_are_an_error_with_examples(folder: Path) -> None:
    lines = LANDMARKS.splitlines(keepends=True)
    texts = {"landmarks": "".join(lines[:9]), "attributes": "".join(ATTRIBUTES.splitlines(keepends=True)[:9])}
    assert check(folder, texts) == []  # one without landmarks, one without attributes: 20 %
    texts["landmarks"] += f"000077.jpg {ROW}\n"
    with pytest.raises(
        TooManyDroppedError,
        match=r"images: of 11 photographs and rows, align would drop 3 \(1 landmark row without photograph, 1 no "
        r"attribute row, 1 no landmark row\), allowed are 20\.0%\. The first: 000077\.jpg: landmarks\.txt has a row .*"
        r"000009\.jpg: attributes\.txt has no row 000009\.jpg.*raise align\.max_dropped",
    ):
        check(folder, texts)
    assert len(check(folder, texts, missing_attributes="unknown")) == 0
    assert check(folder, texts, only=set(FILES[:8])) == [], "photographs that are not used are not missed"
    with pytest.raises(TooManyDroppedError, match="of 4 photographs and rows, align would drop 1"):
        check(folder, texts, only=set(FILES[:3]) | {FILES[8]})


def test_landmarks_are_needed_only_for_faces(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no landmarks\. Name a landmarks file in download\.source"):
        check(folder, {})
    assert check(folder, {}, rectangle="whole", numbering="sorted") == []
