"""Folders as classes."""

import json
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources.classes import classes_of, write_attributes


def test_the_class_is_the_top_folder_whatever_lies_below() -> None:
    files = ["cats/a.jpg", "cats/small/b.jpg", "dogs/a.jpg", "top.jpg"]
    found = classes_of(files, wrapped=False)
    assert found == {"cats/a.jpg": "cats", "cats/small/b.jpg": "cats", "dogs/a.jpg": "dogs"}
    assert classes_of(files, wrapped=True) == found


def test_the_one_folder_of_an_archive_is_no_class() -> None:
    files = ["photos/cats/a.jpg", "photos/dogs/a.jpg", "photos/top.jpg"]
    assert classes_of(files, wrapped=True) == {"photos/cats/a.jpg": "cats", "photos/dogs/a.jpg": "dogs"}
    assert set(classes_of(files, wrapped=False).values()) == {"photos"}


def test_names_of_classes_and_files_may_hold_anything(tmp_path: Path) -> None:
    files = ["a b/x, y.jpg", "a_b/1.jpg", '"2019"/new\nline.jpg', "face/1 -1 1", "é/e\u0301.jpg", "top.jpg"]
    write_attributes(tmp_path / "attributes.txt", files, wrapped=False)
    found = json.loads((tmp_path / "attributes.txt").read_text(encoding="utf-8"))
    assert list(found["classes"].values()) == ['"2019"', "a b", "a_b", "face", "é"]
    assert [name for name, _ in found["labels"]] == files[:-1]
    for name, labels in found["labels"]:
        assert [found["classes"][str(place)] for place, label in enumerate(labels) if label == 1] == [
            name.split("/")[0]
        ]
        assert set(labels) == {1, -1}


def test_photographs_in_no_folder_are_an_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Put the photographs of each class into a folder directly below"):
        write_attributes(tmp_path / "attributes.txt", ["a.jpg"], wrapped=False)
