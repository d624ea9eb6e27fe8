"""Names of rows: the model, and what tells it apart from the rows of the same model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.presentation.formatting import in_words


def name_rows(rows: Sequence[dict[str, Any]], varying: Sequence[str]) -> None:
    """Tell rows of one model apart by the settings in which those rows differ."""
    short = short_keys(varying)
    for shared in _clashes(rows):
        keys = [key for key in varying if len({str(row[key]) for row in shared}) > 1]
        for row in shared:
            # What is null or empty in one of many rows is what no setting was given for.
            given = [key for key in keys if row[key] not in (None, {})] if len(keys) > 1 else keys
            parts = [f"{short[key]}={in_words(row[key])}" for key in given]
            row["name"] = " ".join([row["name"], *parts])
    for extra in ("experiment", "source_fingerprint", "group_hash"):
        for shared in _clashes(rows):
            if len({row[extra] for row in shared}) > 1:
                for row in shared:
                    row["name"] += f" ({f'no {extra}' if row[extra] is None else row[extra]})"


def labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names for a figure: without the model where all rows have one, and without the key where
    one key is all that tells them apart."""
    names = [str(row["name"]) for row in rows]
    model = _only_model(rows)
    if model is None:
        return names
    short = [name.removeprefix(f"{model} ") for name in names]
    key = _only_key(short)
    return [name.removeprefix(f"{key}=") for name in short] if key else short


def subject(rows: Sequence[Mapping[str, Any]]) -> str:
    """What `labels` left out of the names: plain20_cifar by normalization; empty where nothing."""
    model = _only_model(rows)
    if model is None:
        return ""
    key = _only_key([str(row["name"]).removeprefix(f"{model} ") for row in rows])
    return f"{model} by {key}" if key else model


def _only_model(rows: Sequence[Mapping[str, Any]]) -> str | None:
    models = {row["model"] for row in rows}
    model = models.pop() if len(models) == 1 else None
    named = model and all(f"{row['name']} ".startswith(f"{model} ") for row in rows)
    return str(model) if named and len(rows) > 1 else None


def _only_key(short: Sequence[str]) -> str | None:
    keys = {name.partition("=")[0] for name in short}
    several = any("=" not in name or re.search(r" [\w.]+=", name) for name in short)
    return keys.pop() if len(keys) == 1 and not several else None


def short_keys(keys: Sequence[str]) -> Mapping[str, str]:
    """Each key's last part, or last two where the last is shared: optimizer.name, schedule.name."""
    ends = Counter(key.split(".")[-1] for key in keys)
    short = {}
    for key in keys:
        parts = key.split(".")
        short[key] = parts[-1] if ends[parts[-1]] == 1 else ".".join(parts[-2:])
    return short


def _clashes(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    return [shared for shared in by_name.values() if len(shared) > 1]
