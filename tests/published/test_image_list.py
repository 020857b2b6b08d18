"""The published list: the one in the repository, and lists that are refused."""

from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.published.image_list import PublishedImage, read_list
from tests.data.celebahq.make import write_list
from tests.published.exact.published import IMAGE_LIST


def image(idx: int, orig_idx: int) -> PublishedImage:
    return PublishedImage(idx, orig_idx, f"{idx:032x}", f"{idx + 1:032x}")


def test_the_list_of_the_repository_is_the_published_one() -> None:
    images = read_list(IMAGE_LIST)
    assert len(images) == 30_000
    assert len({image.proc_md5 for image in images}) == 29_970
    assert len({image.final_md5 for image in images}) == 29_973
    first = images[0]
    assert (first.file, first.proc_md5, first.final_md5) == (
        "119614.jpg", "0be7e162e25c06f50dd5c1090007f2cf", "d76ed3e87c8bc20f82757a2dd95026ba"
    )  # fmt: skip
    assert max(image.orig_idx for image in images) == 202_590


def test_written_and_read_again(tmp_path: Path) -> None:
    images = [image(idx, 3 * idx) for idx in range(7)]
    write_list(tmp_path, images, files=3)
    assert len(list(tmp_path.iterdir())) == 3
    assert read_list(tmp_path) == images


@pytest.mark.parametrize(
    ("images", "message"),
    [([image(0, 1), image(2, 2)], "without a gap"), ([image(0, 1), image(1, 1)], "twice")],
)
def test_a_list_with_a_gap_or_a_photograph_twice_is_refused(
    tmp_path: Path, images: list[PublishedImage], message: str
) -> None:
    write_list(tmp_path, images, files=1)
    with pytest.raises(SourceError, match=message):
        read_list(tmp_path)


def test_a_folder_without_a_list_or_with_a_damaged_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"exact\.image_list"):
        read_list(tmp_path)
    (tmp_path / "images-00000.parquet").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="not a list"):
        read_list(tmp_path)
