"""Sets as the hub and `datasets` lay them out: shards of Parquet, Arrow files, JSON beside them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
from drawn import drawn

NAMES = ["cat", "dog", "emu"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CLASSES = {"_type": "ClassLabel", "names": NAMES}


def features(**columns):
    """The metadata that `datasets` writes into a schema."""
    kinds = {"image": {"_type": "Image"}, **columns}
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def table(split, numbers, *, labels=None, metadata=None, image=IMAGE, kind=None, **more):
    blobs = [drawn(split, i) for i in numbers]
    if pa.types.is_struct(image):
        blobs = [
            {"bytes": blob, "path": f"{i}.png"} for i, blob in zip(numbers, blobs, strict=True)
        ]
    labels = [i % 3 for i in numbers] if labels is None else labels
    columns = {"image": pa.array(blobs, image), "label": pa.array(labels, kind), **more}
    whole = pa.table(columns)
    known = features(label=CLASSES) if metadata is None else metadata
    return whole.replace_schema_metadata(known)


def expected(**counts):
    return {(split, i): NAMES[i % 3] for split, count in counts.items() for i in range(count)}


def as_parquet(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(rows, path, **options)


def as_arrow(path, rows, *, batch=4, options=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, rows.schema, options=options) as writer,
    ):
        writer.write_table(rows, max_chunksize=batch)


def save_to_disk(root, splits):
    """A DatasetDict as `save_to_disk` leaves it, with a cache file of a map beside."""
    root.mkdir(parents=True)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    for split, shards in splits.items():
        names = [f"data-{k:05d}-of-{len(shards):05d}.arrow" for k in range(len(shards))]
        for name, rows in zip(names, shards, strict=True):
            as_arrow(root / split / name, rows)
        as_arrow(root / split / "cache-0123456789abcdef.arrow", shards[0])
        as_arrow(root / split / "data-00000-of-00009.arrow", shards[0])  # of an earlier save
        state = {"_data_files": [{"filename": name} for name in names], "_split": split}
        (root / split / "state.json").write_text(json.dumps(state))
    return root


SHARDED = {
    "data/train-00000-of-00002.parquet": ("train", range(5)),
    "data/train-00001-of-00002-0123456789abcdef.parquet": ("train", range(5, 9)),
    "data/validation-00000-of-00001.parquet": ("validation", range(4)),
}
LAYOUTS = {
    "data": SHARDED,
    "flat": {name.partition("/")[2]: rows for name, rows in SHARDED.items()},
    "config": {name.replace("data", "plain_text"): rows for name, rows in SHARDED.items()},
    "snapshot": {f"snapshots/abc/{name}": rows for name, rows in SHARDED.items()},
    "converted": {
        "default/train/0000.parquet": ("train", range(9)),
        "default/validation/0000.parquet": ("validation", range(4)),
    },
    "whole": {
        "train.parquet": ("train", range(9)),
        "set_valid.parquet": ("validation", range(4)),
    },
}
