"""Each export is read by the format's own library, and equals the shards: pixels, labels, count."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pipeline.shards.export import plan
from pipeline.shards.export.run import FormatName, Request, export
from pipeline.shards.reader import DataSet
from tests.shards.export.conftest import FACES, INDICES, SPLITS, write_data_set

NAMES = [f"{index:05d}" + (f"-{face}" if face else "") for index, face in zip(INDICES, FACES, strict=True)]
TRAIN = [place for place, split in enumerate(SPLITS) if split == "train"]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "BLOCK_IMAGES", 3)


def run(dataset: Path, out: Path, form: FormatName, resolution: int = 16, split: str | None = None) -> Path:
    done = export(Request(dataset, out, form, resolution, split, images_per_file=3))
    assert done["images"] == (len(TRAIN) if split else len(INDICES))
    assert not (out / plan.WORK).exists()
    return out


def labels(dataset: Path) -> np.ndarray:
    values = DataSet(dataset).labels
    assert values is not None
    return values


def check_facts(facts: dict, place: int, pixels_CHW: np.ndarray, dataset: Path) -> None:
    assert (facts["index"], facts["face"], facts["split"]) == (INDICES[place], FACES[place], SPLITS[place])
    assert facts["file"] == f"{INDICES[place]:06d}.jpg"
    assert facts["image_md5"] == DataSet(dataset).md5s[place]
    assert facts["md5"] == hashlib.md5(pixels_CHW.tobytes()).hexdigest()


@pytest.mark.parametrize("resolution", [16, 4])
def test_png(faces: Path, pixels: dict[int, np.ndarray], tmp_path: Path, resolution: int) -> None:
    out = run(faces, tmp_path / "out", "png", resolution)
    assert sorted(path.stem for path in out.glob("*.png")) == sorted(NAMES)
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    for place, (facts, name) in enumerate(zip(lines, NAMES, strict=True)):
        assert facts["file_name"] == f"{name}.png"
        image_CHW = np.array(PIL.Image.open(out / facts["file_name"])).transpose(2, 0, 1)
        np.testing.assert_array_equal(image_CHW, pixels[resolution][place])
        check_facts(facts, place, image_CHW, faces)
        np.testing.assert_array_equal(np.float32(facts["labels"]), labels(faces)[place])


def test_images_of_the_published_list_have_its_numbers(tmp_path: Path) -> None:
    dataset = write_data_set(tmp_path / "set", None, table=True, published=True)
    out = run(dataset, tmp_path / "out", "png", 4, "train")
    assert {path.name for path in out.glob("*.png")} == {f"{100 - place:05d}.png" for place in TRAIN}
    assert "label" not in (out / "metadata.jsonl").read_text()


class StyleGanDataset:
    """What the data sets of StyleGAN2-ADA and 3 do with a zip."""

    def __init__(self, path: Path) -> None:
        self.zip = zipfile.ZipFile(path)
        PIL.Image.init()
        names = set(self.zip.namelist())
        self.names = sorted(name for name in names if Path(name).suffix.lower() in PIL.Image.EXTENSION)
        with self.zip.open("dataset.json") as file:
            listed = json.load(file)["labels"]
        self.labels = None
        if listed is not None:
            values = np.array([dict(listed)[name] for name in self.names])
            self.labels = values.astype({1: np.int64, 2: np.float32}[values.ndim])

    def image(self, number: int) -> np.ndarray:
        with self.zip.open(self.names[number]) as file:
            return np.array(PIL.Image.open(file)).transpose(2, 0, 1)


@pytest.mark.parametrize("labelled", ["faces", "classes", "none"])
def test_zip(labelled: str, faces: Path, classes: Path, pixels: dict[int, np.ndarray], tmp_path: Path) -> None:
    dataset = {"faces": faces, "classes": classes}.get(labelled) or write_data_set(tmp_path / "x", None, table=False)
    out = run(dataset, tmp_path / "celeba", "zip")
    data = StyleGanDataset(out / "celeba-16x16.zip")
    assert data.zip.testzip() is None
    assert {info.compress_type for info in data.zip.infolist()} == {zipfile.ZIP_STORED}
    # the tools sort the images by name
    assert data.names[:2] == ["00000/img00000003-1.png", "00000/img00000003.png"]
    assert len(data.names) == len(INDICES)
    order = [NAMES.index(Path(name).stem.removeprefix("img").removeprefix("000")) for name in data.names]
    for number, place in enumerate(order):
        np.testing.assert_array_equal(data.image(number), pixels[16][place])
    if labelled == "none":
        assert data.labels is None
    elif labelled == "classes":
        np.testing.assert_array_equal(data.labels, labels(classes)[order].argmax(axis=1))
    else:
        np.testing.assert_array_equal(data.labels, labels(faces)[order])


def test_tfrecord(faces: Path, pixels: dict[int, np.ndarray], tmp_path: Path) -> None:
    """Read as the original does: by every file of the folder, its shape, and a file of labels."""
    import crc32c  # noqa: PLC0415 - by another library than the one that writes
    from tfrecord.reader import tfrecord_loader  # noqa: PLC0415

    out = run(faces, tmp_path / "set", "tfrecord")
    files = sorted(out.glob("*.tfrecords"))
    assert [path.name for path in files] == ["set-r02.tfrecords", "set-r03.tfrecords", "set-r04.tfrecords"]
    largest = 0
    for path in files:
        records = list(tfrecord_loader(str(path), None, {"shape": "int", "data": "byte"}))
        shape = records[0]["shape"].tolist()
        largest = max(largest, shape[1])
        assert shape[0] == 3
        assert shape[1] == shape[2] == 2 ** int(path.stem[-2:])
        read = np.stack([np.frombuffer(bytes(record["data"]), np.uint8).reshape(shape) for record in records])
        np.testing.assert_array_equal(read, pixels[shape[1]])
        content, offset = path.read_bytes(), 0
        while offset < len(content):  # TensorFlow refuses a record whose sums are wrong
            size = int.from_bytes(content[offset : offset + 8], "little")
            for start, end in ((offset, offset + 8), (offset + 12, offset + 12 + size)):
                crc = crc32c.crc32c(content[start:end])
                masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
                assert content[end : end + 4] == masked.to_bytes(4, "little")
            offset += size + 16
    assert largest == 16
    (label_file,) = out.glob("*.labels")
    assert label_file.name == "set-rxx.labels"
    read_labels = np.load(label_file)
    assert read_labels.dtype == np.float32
    np.testing.assert_array_equal(read_labels, labels(faces))


def test_tfrecord_of_classes_has_one_hot_labels(classes: Path, tmp_path: Path) -> None:
    out = run(classes, tmp_path / "set", "tfrecord", 4)
    np.testing.assert_array_equal(np.load(out / "set-rxx.labels"), labels(classes))


def test_webdataset(faces: Path, classes: Path, pixels: dict[int, np.ndarray], tmp_path: Path) -> None:
    import webdataset  # noqa: PLC0415 - slow to import

    out = run(faces, tmp_path / "out", "webdataset", split="train")
    tars = sorted(map(str, out.glob("*.tar")))
    assert [Path(tar).name for tar in tars] == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8"))
    for sample, place in zip(samples, TRAIN, strict=True):
        assert sample["__key__"] == NAMES[place]
        image_CHW = sample["png"].transpose(2, 0, 1)
        np.testing.assert_array_equal(image_CHW, pixels[16][place])
        check_facts(sample["json"], place, image_CHW, faces)
        np.testing.assert_array_equal(np.float32(sample["json"]["labels"]), labels(faces)[place])
    out = run(classes, tmp_path / "classes", "webdataset")
    samples = list(webdataset.WebDataset(sorted(map(str, out.glob("*.tar"))), shardshuffle=False).decode())
    assert [sample["cls"] for sample in samples] == [place % 3 for place in range(10)]


def test_parquet(
    faces: Path, classes: Path, pixels: dict[int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets  # noqa: PLC0415 - slow to import

    out = run(faces, tmp_path / "out", "parquet")
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 7, "validation": 2, "test": 1}
    assert isinstance(loaded["train"].features["image"], datasets.Image)
    for split, rows in loaded.items():
        for row, place in zip(rows, [n for n, name in enumerate(SPLITS) if name == split], strict=True):
            image_CHW = np.array(row["image"]).transpose(2, 0, 1)
            np.testing.assert_array_equal(image_CHW, pixels[16][place])
            check_facts(row, place, image_CHW, faces)
            np.testing.assert_array_equal(np.float32(row["labels"]), labels(faces)[place])
    out = run(classes, tmp_path / "classes", "parquet", 4)
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["label"][:] == [place % 3 for place in range(10)]
    assert loaded.features["label"].num_classes == 3
    out = run(faces, tmp_path / "png", "png", 4)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    by_index = {(row["index"], row["face"]): np.array(row["image"]).transpose(2, 0, 1) for row in loaded}
    for place, key in enumerate(zip(INDICES, FACES, strict=True)):
        np.testing.assert_array_equal(by_index[key], pixels[4][place])


@pytest.mark.parametrize("split", [None, "train"])
def test_zarr(
    faces: Path, pixels: dict[int, np.ndarray], tmp_path: Path, split: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zarr  # noqa: PLC0415 - slow to import

    monkeypatch.setattr("pipeline.shards.export.zarr.CHUNK_BYTES", 4 * 768)
    monkeypatch.setattr("pipeline.shards.export.zarr.BLOCK_BYTES", 4 * 768)
    out = run(faces, tmp_path / "out", "zarr", split=split)
    places = TRAIN if split else list(range(len(INDICES)))
    group = zarr.open_group(out, mode="r")
    assert group["images"].chunks == (4, 3, 16, 16)
    np.testing.assert_array_equal(group["images"][:], pixels[16][places])
    np.testing.assert_array_equal(group["labels"][:], labels(faces)[places])
    for number, place in enumerate(places):
        facts = {name: group[name][number] for name in ("index", "face", "file", "split", "image_md5", "md5")}
        check_facts(facts, place, pixels[16][place], faces)
