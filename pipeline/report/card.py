"""The dataset card of a folder of shards: `README.md` as Hugging Face shows it, and `croissant.json`.

The latter is of MLCommons Croissant 1.0. Both state the source and its terms, the counts, how the images were made,
and what is in each file. They hold no time, so equal data sets have equal cards.
"""

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic, provenance
from pipeline.report.citations import CITATIONS
from pipeline.shards import layout
from pipeline.shards.items import TABLES, read_items
from pipeline.shards.reader import DataSet

CARD, CROISSANT = "README.md", "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
HASHING_THREADS = 4

HOW = {
    "delta": "The published recipe of CelebA-HQ: oriented crop, bilinear transform and Lanczos reduction of the "
    "photographs, plus the published difference of each image. Each image equals its published MD5.",
    "network": "JPEG artefacts were removed and the photographs enlarged by networks that this project trains; then "
    "the oriented crop of CelebA-HQ.",
    "lanczos": "The oriented crop of CelebA-HQ, enlarged with Lanczos where the photograph is small.",
    "none": "A square of each picture, at its own or a reduced size.",
    "lsun": "The central square of each picture, reduced with Lanczos.",
}
"""By the method of the stage `superres`."""

LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CC BY-SA 3.0": "cc-by-sa-3.0", "Apache-2.0": "apache-2.0"}
"""The identifiers of licences on Hugging Face, by how a name begins."""


@dataclass(frozen=True, slots=True)
class Terms:
    """A source: its name, page and terms. `url`: of their full text."""

    dataset: str
    home: str
    statement: str
    licence: str
    url: str


DRAWN = Terms("drawn photographs", "", "drawn by this project, of nobody", "Apache-2.0", "")
OWN = Terms(
    "pictures of the user", "", "the terms of these pictures hold; they are not known to this project", "not known", ""
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a card states in addition to what the data set knows of itself.

    `sources` may be several: CelebA-HQ is made of CelebA and of published differences. `citations`: keys of
    `CITATIONS`. `dropped`: inputs that did not become an image, by reason.
    """

    title: str
    method: str
    sources: Sequence[Terms]
    citations: Sequence[str]
    dropped: dict[str, int]


def write_card(folder: Path, origin: Origin) -> None:
    """Write `README.md` and `croissant.json` into a folder of shards, whose files are hashed."""
    with DataSet(folder) as data:
        facts = _Facts.of(data, origin)
        atomic.write_bytes(folder / CARD, _card(facts).encode())
        atomic.write_json(folder / CROISSANT, _croissant(facts, folder))


@dataclass(frozen=True, slots=True)
class _Facts:
    origin: Origin
    header: layout.Header
    images: int
    splits: dict[str, int]
    labels: int
    classes: bool

    @classmethod
    def of(cls, data: DataSet, origin: Origin) -> "_Facts":
        items = read_items(data)
        splits = Counter(item.split for item in items)
        return cls(
            origin,
            data.header,
            len(data),
            {} if set(splits) == {None} else {split or "unknown": splits[split] for split in sorted(splits, key=str)},
            0 if data.labels is None else data.labels.shape[1],
            isinstance(items[0].label, int),
        )

    @property
    def title(self) -> str:
        return f"{self.origin.title} {self.header.resolution}x{self.header.resolution}"

    @property
    def licence(self) -> str:
        """The identifier of the licence; `other` where there are several, or none that is known by one."""
        names = {terms.licence for terms in self.origin.sources}
        known = [LICENCES[begin] for name in names for begin in LICENCES if name.startswith(begin)]
        return known[0] if len(names) == len(known) == 1 else "other"

    @property
    def description(self) -> str:
        side, sources = self.header.resolution, " and ".join(terms.dataset for terms in self.origin.sources)
        return (
            f"{self.images} RGB images of {side}x{side} pixels, at every resolution down to 1x1, made of {sources}. "
            f"{HOW[self.origin.method]}"
        )

    @property
    def label_text(self) -> str:
        if not self.labels:
            return "none"
        if self.classes:
            return f"{self.labels} classes, one-hot"
        return f"{self.labels} per image, in the order of the source: 0, 1, or 0.5 for unknown"


def _card(facts: _Facts) -> str:
    origin, header = facts.origin, facts.header
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    size = next((name for limit, name in sizes if facts.images < limit), "1M<n<10M")
    head = [f"pretty_name: {json.dumps(facts.title)}", f"license: {facts.licence}"]
    if facts.licence == "other":
        terms = origin.sources[-1]
        head.append(f"license_name: {json.dumps(terms.licence)}")
        head += [f"license_link: {terms.url}"] if terms.url else []
    head += [
        "task_categories:",
        "- unconditional-image-generation",
        "size_categories:",
        f"- {size}",
        "tags:",
        "- image",
    ]
    lines = ["---", *head, "---", "", f"# {facts.title}", "", facts.description, "", "## Source and terms", ""]
    for terms in origin.sources:
        name = f"[{terms.dataset}]({terms.home})" if terms.home else terms.dataset
        link = f" ([text]({terms.url}))" if terms.url else ""
        lines.append(f"- {name}: {terms.statement}. Licence: {terms.licence}{link}.")
    splits = ", ".join(f"{name} {count}" for name, count in facts.splits.items()) or "none"
    dropped = ", ".join(f"{count} {reason}" for reason, count in origin.dropped.items()) or "none"
    resolutions = ", ".join(map(str, layout.level_resolutions(header.resolution)))
    lines += [
        "", "## Content", "", "| | |", "|---|---|", f"| images | {facts.images} |", f"| splits | {splits} |",
        f"| labels | {facts.label_text} |", f"| resolutions | {resolutions} |",
        f"| dropped in the last step | {dropped} |", "",
        "- `shard-00000.h5`...: for each resolution r a dataset `data{r}x{r}` (N, 3, r, r), uint8 RGB; "
        f"compression: {header.codec}.",
        "- `dataset.h5`: all shards as one file, the layout of the original progressive GAN. It links the shards.",
    ]  # fmt: skip
    lines += ["- `dataset-labels.npy`: the labels, float32 (N, L)."] if facts.labels else []
    lines += [
        "- the `.parquet` table: a row for each image (place, source file, MD5...), and for each dropped input.",
        "- `croissant.json`: this card for machines, with the SHA-256 of each file.",
        "",
        "## How it was made",
        "",
        f"{HOW[origin.method]} Decoder of JPEG: {header.decoder}. Renderer: {header.renderer}. SHA-256 of the params: "
        f"`{header.params_digest}`; `record.json` has the params, inputs and versions. Lower resolutions are means of "
        "2x2 pixels of the unrounded level above.",
        "",
        "## How to read it",
        "",
        "```python",
        "from pipeline.shards.torch_dataset import ShardDataset",
        "",
        f'data = ShardDataset("FOLDER", resolution={min(64, header.resolution)})',
        "```",
        "",
        "`celebahq export` writes it as PNG, zip, webdataset, TFRecords, parquet or zarr.",
        "",
        "## Citation",
        "",
        "```bibtex",
        "\n\n".join(CITATIONS[key] for key in origin.citations),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _croissant(facts: _Facts, folder: Path) -> dict[str, Any]:
    tables = [name for name in TABLES if (folder / name).is_file()]
    names = [*tables, layout.VIEW, *([layout.LABELS] if facts.labels else [])]
    names += sorted(path.name for path in folder.glob(layout.SHARDS))
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        digests = list(pool.map(provenance.digest_of_file, [folder / name for name in names]))
    terms = facts.origin.sources[-1]
    found: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": facts.title.replace(" ", "-"),
        "description": facts.description,
        "license": terms.url or terms.licence,
        "url": terms.home or "https://github.com/tkarras/progressive_growing_of_gans",
        "version": "1.0.0",
        "citeAs": "\n\n".join(CITATIONS[key] for key in facts.origin.citations),
        "isAccessibleForFree": True,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{(folder / name).stat().st_size} B",
                "encodingFormat": _ENCODINGS[Path(name).suffix],
                "sha256": digest,
            }
            for name, digest in zip(names, digests, strict=True)
        ],
    }
    if tables:
        found["recordSet"] = [_records(tables[0], pq.read_schema(folder / tables[0]))]
    return found


def _records(table: str, schema: pa.Schema) -> dict[str, Any]:
    """The scalar columns of the table, as the records of the images."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"images/{column.name}",
            "name": column.name,
            "description": _COLUMNS.get(column.name, f"Column {column.name} of the table."),
            "dataType": _TYPES[str(column.type)],
            "source": {"fileObject": {"@id": table}, "extract": {"column": column.name}},
        }
        for column in schema
        if str(column.type) in _TYPES
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "images",
        "name": "images",
        "description": "A row for each image, and for each dropped input, which has a drop_reason and no shard.",
        "field": fields,
    }


_TYPES = {"int64": "sc:Integer", "string": "sc:Text", "double": "sc:Float", "bool": "sc:Boolean"}
_ENCODINGS = {
    ".parquet": "application/x-parquet",
    ".h5": "application/x-hdf5",
    ".npy": "application/octet-stream",
}
_COLUMNS = {
    "index": "Number of the input in the source, from 0.",
    "file": "Name of the input in the source.",
    "face": "Number of the face in its photograph.",
    "split": "train, validation or test.",
    "position": "Position of the image in the data set.",
    "shard": "File of the image.",
    "row": "Row of the image in its shard.",
    "rank": "Rank by quality, 0 is the best; or number in the published list.",
    "quality": "Quality score, 0 to 1.",
    "image_md5": "MD5 of the (3, R, R) uint8 bytes of the image at full resolution.",
    "drop_reason": "Why the input did not become an image.",
    "drop_detail": "The values that show it.",
}
_CR_TERMS = (
    "arrayShape", "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
    "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
    "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _CR_TERMS},
}
