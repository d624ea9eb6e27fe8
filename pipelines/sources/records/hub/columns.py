"""Which columns of a hub data set are the image and the label, and what its classes are called.

`datasets` writes its features as JSON into the schema of a file, under "huggingface"; files that
others have written may have them in a dataset_info(s).json beside, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.errors import SourceError
from pipelines.files.text import read_text

if TYPE_CHECKING:
    import pyarrow as pa

USUAL_LABELS = ("label", "labels")  # of columns that could all be it, where no feature says so


class Columns(NamedTuple):
    """Names of columns; class_names: where the features have them, position = label."""

    image: str
    label: str
    class_names: list[str] | None


def columns_of(where: str, schema: pa.Schema, settings: Mapping[str, str], folder: Path) -> Columns:
    """The columns `image` and `label` of the settings, else those that the features or types name.

    Raises SourceError where there is none, or more than one, and says how to choose.
    """
    features = _features(schema, folder)
    image = _one(where, "image", _images(schema, features), schema, settings)
    label = _one(where, "label", _labels(schema, features, image), schema, settings)
    if not _is_image(schema.field(image).type):
        raise SourceError(
            f"{where}: column {image!r} is {schema.field(image).type}: expected the bytes of image "
            "files"
        )
    if not _is_label(schema.field(label).type):
        raise SourceError(
            f"{where}: column {label!r} is {schema.field(label).type}: expected whole numbers or "
            "texts"
        )
    names = features.get(label, {}).get("names")
    return Columns(image, label, [str(name) for name in names] if names else None)


def _one(
    where: str, role: str, candidates: list[str], schema: pa.Schema, settings: Mapping[str, str]
) -> str:
    if role in settings:
        if settings[role] not in schema.names:
            raise SourceError(
                f"{where}: has no column {settings[role]!r}; it has {', '.join(schema.names)}"
            )
        return settings[role]
    if not candidates:
        columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
        raise SourceError(
            f"{where}: has no {role} column that can be used, but {columns[:300]}: choose a "
            f"classification set, or name the column, as in ',{role}={schema.names[0]}'"
        )
    if len(candidates) > 1:
        raise SourceError(
            f"{where}: has {len(candidates)} {role} columns, {', '.join(candidates)}: choose one, "
            f"as in ',{role}={candidates[0]}'"
        )
    return candidates[0]


def _images(schema: pa.Schema, features: Mapping[str, Any]) -> list[str]:
    named = [name for name in schema.names if _kind(features, name) == "Image"]
    return named or [field.name for field in schema if _is_image(field.type)]


def _labels(schema: pa.Schema, features: Mapping[str, Any], image: str) -> list[str]:
    named = [name for name in schema.names if _kind(features, name) == "ClassLabel"]
    if named:
        return named
    others = [field.name for field in schema if field.name != image and _is_label(field.type)]
    usual = [name for name in USUAL_LABELS if name in others]
    return usual or others


def _kind(features: Mapping[str, Any], name: str) -> str:
    feature = features.get(name)
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _is_image(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _is_bytes(kind.field(index).type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_label(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(texts or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _features(schema: pa.Schema, folder: Path) -> Mapping[str, Any]:
    """name -> feature, as JSON; empty where none is written down."""
    stored = (schema.metadata or {}).get(b"huggingface")
    info = _parsed(stored.decode("utf-8", "replace")).get("info") if stored else None
    if not isinstance(info, dict):
        info = _beside(folder, schema)
    features = info.get("features")
    return features if isinstance(features, dict) else {}


def _beside(folder: Path, schema: pa.Schema) -> dict[str, Any]:
    """The info of these columns in dataset_info.json (of one) or dataset_infos.json (of all)."""
    for path in (folder / "dataset_info.json", folder / "dataset_infos.json"):
        try:
            text = read_text(path)
        except (OSError, ValueError):
            continue
        infos = _parsed(text)
        for info in (infos, *infos.values()):
            features = info.get("features") if isinstance(info, dict) else None
            if isinstance(features, dict) and set(schema.names) <= set(features):
                return dict(info)
    return {}


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
