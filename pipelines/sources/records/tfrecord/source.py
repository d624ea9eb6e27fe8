"""`tfrecord:DIR`: tf.train.Example records of images and labels, as ImageNet's of the TPU guide.

    train-00000-of-01024   validation-00000-of-00128   *.tfrecord   *.tfrec   NAME.tfrecord-K-of-N

Images are read in place, as byte ranges; a file of gzip records is written out once without gzip.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError
from pipelines.progress import Progress
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.records.shards import check_complete, parts_of, shard_of
from pipelines.sources.records.source import ranges, record_source, splits_of
from pipelines.sources.records.spec import classes_setting
from pipelines.sources.records.tfrecord.files import keys_of, read_records, record_files
from pipelines.sources.records.tfrecord.labels import class_of_each
from pipelines.sources.records.unpacked import plain_or_gunzipped
from pipelines.sources.spec import place_and_settings, spelled

SETTINGS = ("image", "label", "classes", "first", "partial")


def open_tfrecord(rest: str, opening: Opening) -> Source:
    """Files in the order of their names; pixels as stored.

    Splits by the words in the names of files and folders. Classes: see `class_of_each`; the notes
    say which of a record's labels was used. Raises SourceError.
    """
    place, settings = place_and_settings(
        "tfrecord", rest, dict.fromkeys(SETTINGS, ()), "tfrecord:DIR"
    )
    root = Path(place).expanduser()
    if not root.is_dir():
        raise SourceError(f"tfrecord: {root} is no directory: check the path")
    parts, left = parts_of(shard_of(path, root) for path in record_files(root))
    paths = [path for part in parts for path in part.paths]
    if "partial" not in settings:
        check_complete("tfrecord", paths)
    spec = f"tfrecord:{spelled(os.path.normpath(place), settings)}"
    why = "records behind gzip have no random access"
    plain = plain_or_gunzipped(spec, why, root, paths, ".tfrecord")
    keys = keys_of(spec, plain.values(), settings)
    advance = Progress(f"{spec}: read {{}} files", len(paths))
    read = {}
    for done, path in enumerate(paths):
        advance(done)
        read[path] = read_records(plain[path], keys)
    labels = class_of_each(
        spec,
        keys,
        np.concatenate([read[path].numbers for path in paths]),
        [name for path in paths for name in read[path].synsets],
        [text for path in paths for text in read[path].texts],
        classes_setting("tfrecord", settings["classes"]) if "classes" in settings else None,
        settings.get("first"),
    )
    files = {
        path: ranges(
            plain[path],
            [f"{path.relative_to(root).as_posix()}[{i}]" for i in range(len(read[path].sizes))],
            read[path].offsets,
            read[path].sizes,
        )
        for path in paths
    }
    bare = [(part, sum(int(read[path].bare[0]) for path in part.paths)) for part in parts]
    return record_source(
        spec,
        spelled(os.path.realpath(root), settings),
        splits_of(parts, files, labels.positions),
        labels.class_names,
        upright=False,
        opening=opening,
        unused=[
            *(Unused(part.name, n, "are records without an image") for part, n in bare if n),
            *(Unused(part.name, len(part.paths), f"files {part.why}") for part in left),
        ],
        titles=labels.titles,
        notes=labels.notes,
    )
