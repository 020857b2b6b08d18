"""Indices and names of photographs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources.numbering import number

names = st.lists(st.from_regex(r"([a-c]/){0,2}[a-z0-9]{1,4}\.jpg", fullmatch=True), unique=True)


def test_celebas_numbers_come_from_the_names_whatever_the_folder_or_order() -> None:
    numbered = number(["img_celeba/000007.jpg", "img_celeba/000001.jpg"], "celeba")
    assert [(entry.index, entry.file) for entry in numbered] == [(6, "000007.jpg"), (0, "000001.jpg")]


def test_other_names_come_after_celebas() -> None:
    numbered = number(["x/Thumbs.db", "x/000003.jpg", "x/000000.jpg", "x/holiday.jpg"], "celeba")
    assert {entry.file: entry.index for entry in numbered} == {
        "000003.jpg": 2,
        "000000.jpg": 3,
        "Thumbs.db": 4,
        "holiday.jpg": 5,
    }


def test_a_number_that_is_there_twice_is_refused() -> None:
    with pytest.raises(SourceError, match=r"000001\.jpg twice: a/000001\.jpg and b/000001\.jpg"):
        number(["a/000001.jpg", "b/000001.jpg"], "celeba")


def test_a_folder_is_numbered_in_sorted_order_below_the_shared_folder() -> None:
    numbered = number(["photos/b.jpg", "photos/a/c.jpg", "photos/a/b.jpg"], "sorted")
    assert [(entry.index, entry.file) for entry in numbered] == [(2, "b.jpg"), (1, "a/c.jpg"), (0, "a/b.jpg")]


@given(names)
def test_sorted_indices_are_a_permutation_and_order_the_names(members: list[str]) -> None:
    numbered = number(members, "sorted")
    assert [entry.member for entry in numbered] == members
    by_index = sorted(numbered, key=lambda entry: entry.index)
    assert [entry.index for entry in by_index] == list(range(len(members)))
    assert [entry.member for entry in by_index] == sorted(members)
    assert len({entry.file for entry in numbered}) == len(members)


@given(st.permutations([f"img/{n:06d}.jpg" for n in (1, 2, 5, 9)] + ["img/a.jpg", "img/b.jpg"]))
def test_celebas_indices_do_not_depend_on_the_archives_order(members: list[str]) -> None:
    indices = {entry.file: entry.index for entry in number(members, "celeba")}
    assert indices == {"000001.jpg": 0, "000002.jpg": 1, "000005.jpg": 4, "000009.jpg": 8, "a.jpg": 9, "b.jpg": 10}
