"""Parquet files as Hugging Face's `datasets` loads them: encoded images, with the features in the schema."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import atomic
from pipeline.faces.png import encode_png
from pipeline.shards.export.folder import PNG_LEVEL
from pipeline.shards.export.plan import Format, Image, Part, Plan, facts_of, files_by_split

GROUP_IMAGES = 100
"""Images of a row group, the unit that readers load; what `datasets` writes itself."""
INTEGER, TEXT = {"dtype": "int64", "_type": "Value"}, {"dtype": "string", "_type": "Value"}


class Parquet(Format):
    """`data/train-00000-of-00004.parquet`..., whose names state the split."""

    groups_splits = True

    def parts(self, plan: Plan) -> list[Part]:
        """A file each."""
        return files_by_split(plan, "data/{split}-{number:05d}-of-{count:05d}.parquet")

    def write(self, plan: Plan, part: Part, images: Iterator[Image]) -> list[Any]:
        """Write a file, a row group at a time."""
        schema = schema_of(plan)
        # PNG cannot be compressed further, and all other columns are small
        with (
            atomic.writing(plan.out / part.file) as partial,
            pq.ParquetWriter(partial, schema, compression="none") as writer,
        ):
            rows: list[dict[str, Any]] = []
            for image in images:
                content = encode_png(image.channels_last, PNG_LEVEL)
                facts = facts_of(image.item, image.md5)
                rows.append({"image": {"bytes": content, "path": f"{image.name}.png"}, **facts})
                if len(rows) == GROUP_IMAGES or image.place == part.stop - 1:
                    writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                    rows = []
        return [None] * (part.stop - part.start)

    def finish(self, plan: Plan, md5s: Sequence[str], values: Sequence[Any]) -> None:
        """Nothing is left to do: each row has its own facts."""


def schema_of(plan: Plan) -> pa.Schema:
    """The columns, and their features as `datasets` states them in the metadata of a schema."""
    columns: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
        "image": (pa.struct({"bytes": pa.binary(), "path": pa.string()}), {"_type": "Image"}),
        "index": (pa.int64(), INTEGER),
        "face": (pa.int64(), INTEGER),
        "file": (pa.string(), TEXT),
        "split": (pa.string(), TEXT),
        "image_md5": (pa.string(), TEXT),
        "md5": (pa.string(), TEXT),
    }
    label = plan.items[0].label
    if isinstance(label, int):
        names = [str(number) for number in range(plan.classes or 0)]
        columns["label"] = (pa.int64(), {"names": names, "_type": "ClassLabel"})
    elif label is not None:
        feature = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
        columns["labels"] = (pa.list_(pa.float32()), feature)
    features = {name: feature for name, (_, feature) in columns.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([(name, kind) for name, (kind, _) in columns.items()], metadata=metadata)
