"""Indices and names of photographs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources.listing import Listing, sort_key
from pipeline.sources.numbering import Numbered
from pipeline.sources.numbering import number as number_listing
from pipeline.sources.source import Numbering

names = st.lists(st.from_regex(r"([a-c]/){0,2}[a-z0-9]{1,4}\.jpg", fullmatch=True), unique=True)


def number(members: list[str], numbering: Numbering) -> list[Numbered]:
    return number_listing(Listing(members), numbering)


def test_celebas_numbers_come_from_the_names_whatever_the_folder_or_order() -> None:
    numbered = number(["img_celeba/000007.jpg", "img_celeba/000001.jpg"], "celeba")
    assert [(entry.index, entry.file) for entry in numbered] == [(6, "000007.jpg"), (0, "000001.jpg")]


def test_other_names_come_after_celebas() -> None:
    numbered = number(["x/notes.txt", "x/000003.jpg", "x/000000.jpg", "x/holiday.jpg"], "celeba")
    assert {entry.file: entry.index for entry in numbered} == {
        "000003.jpg": 2,
        "x/000000.jpg": 3,
        "x/holiday.jpg": 4,
        "x/notes.txt": 5,
    }


def test_a_number_that_is_there_twice_is_refused() -> None:
    with pytest.raises(SourceError, match=r"000001 is there twice: a/000001\.jpg and b/000001\.png"):
        number(["a/000001.jpg", "b/000001.png"], "celeba")


def test_copies_of_celebas_photographs_have_its_numbers() -> None:
    members = ["a/000003.png", "a/000001.JPG", "a/000002.jpeg", "a/000004.tif", "a/٠٠٠٠٠٥.jpg"]  # noqa: RUF001
    found = {entry.file: entry.index for entry in number(members, "celeba")}
    assert found == {"000003.png": 2, "000001.JPG": 0, "000002.jpeg": 1, "a/000004.tif": 3, "a/٠٠٠٠٠٥.jpg": 4}  # noqa: RUF001


def test_a_name_does_not_depend_on_other_files() -> None:
    numbered = number(["./photos/b.jpg", "photos/a/c.jpg", "photos/a/b.jpg"], "sorted")
    assert {entry.file for entry in numbered} == {"photos/b.jpg", "photos/a/c.jpg", "photos/a/b.jpg"}
    assert [entry.file for entry in number(["photos/a/c.jpg"], "sorted")] == ["photos/a/c.jpg"]


def test_the_order_is_that_of_the_names_in_one_form_of_unicode() -> None:
    composed, decomposed = "\u00e9.jpg", "e\u0301.jpg"
    for name in (composed, decomposed):
        indices = {entry.file: entry.index for entry in number(["f.jpg", name, "\u00ea.jpg"], "sorted")}
        assert indices == {"f.jpg": 0, name: 1, "\u00ea.jpg": 2}
    assert {entry.file for entry in number([composed, decomposed], "sorted")} == {composed, decomposed}


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert [entry.file for entry in number(["caf\udce9.jpg", "caf\u00e9.jpg"], "sorted")] == [
        "caf\\xe9.jpg",
        "café.jpg",
    ]


@given(names)
def test_sorted_indices_are_a_permutation_and_order_the_names(members: list[str]) -> None:
    numbered = number(members, "sorted")
    assert [entry.member for entry in numbered] == members
    by_index = sorted(numbered, key=lambda entry: entry.index)
    assert [entry.index for entry in by_index] == list(range(len(members)))
    assert [entry.member for entry in by_index] == sorted(members, key=sort_key)
    assert len({entry.file for entry in numbered}) == len(members)


@given(st.permutations([f"img/{n:06d}.jpg" for n in (1, 2, 5, 9)] + ["img/a.jpg", "img/b.jpg"]))
def test_celebas_indices_do_not_depend_on_the_archives_order(members: list[str]) -> None:
    indices = {entry.file: entry.index for entry in number(members, "celeba")}
    published = {"000001.jpg": 0, "000002.jpg": 1, "000005.jpg": 4, "000009.jpg": 8}
    assert indices == published | {"img/a.jpg": 9, "img/b.jpg": 10}
