"""Where the files of a hub data set lie: in a snapshot, in configurations, in splits.

SPLIT-*-of-*.parquet   data/SPLIT-*.parquet   CONFIG/SPLIT-*.parquet   CONFIG/SPLIT/0000.parquet
what save_to_disk writes: dataset_dict.json with SPLIT/data-*.arrow, or state.json with *.arrow
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import SourceError
from pipelines.files.naming import split_of
from pipelines.files.text import read_text
from pipelines.sources.records.shards import Shard, shard_of
from pipelines.sources.records.spec import holdings

ENDINGS = (".parquet", ".arrow")
DEFAULT = "default"  # the hub's name for the configuration of a set that has one
SPLITS, STATE = "dataset_dict.json", "state.json"
AGAIN = "save the set again"


def snapshot(root: Path) -> Path:
    """The newest snapshot, where `root` is a set in the cache of the hub; else `root`."""
    snapshots = root / "snapshots"
    if not snapshots.is_dir():
        return root
    main = root / "refs" / "main"
    if main.is_file() and (snapshots / main.read_text(encoding="utf-8").strip()).is_dir():
        return snapshots / main.read_text(encoding="utf-8").strip()
    there = sorted(path for path in snapshots.iterdir() if path.is_dir())
    if len(there) != 1:
        named = ", ".join(path.name for path in there) or "none"
        raise SourceError(f"hf: {snapshots} has {len(there)} snapshots ({named}): name one of them")
    return there[0]


def shards_of(root: Path, config: str | None) -> list[Shard]:
    """The files of one configuration: of the folders below `root` whose names say no split."""
    if (root / SPLITS).is_file():
        return _saved_splits(root)
    configs: dict[str, list[Shard]] = {}
    for path in _data_files(root):
        folders = [
            folder
            for folder in path.relative_to(root).parts[:-1]
            if folder != "data" and split_of(folder) is None
        ]
        configs.setdefault("/".join(folders) or DEFAULT, []).append(shard_of(path, root))
    if not configs:
        raise SourceError(
            f"hf: {root} has no Parquet shards (SPLIT-*-of-*.parquet) and nothing of save_to_disk "
            f"(*.arrow), but {holdings(root)}: name the folder that holds them, or another source"
        )
    if config is None and len(configs) > 1:
        raise SourceError(
            f"hf: {root} has {len(configs)} configurations, {', '.join(sorted(configs))}: choose "
            f"one, as in ',config={min(configs)}'"
        )
    chosen = config or next(iter(configs))
    if chosen not in configs:
        raise SourceError(
            f"hf: {root} has no configuration {chosen!r}; it has {', '.join(sorted(configs))}"
        )
    return configs[chosen]


def _saved_splits(root: Path) -> list[Shard]:
    """Of a DatasetDict: a folder a split, named in dataset_dict.json."""
    splits = _listed(root / SPLITS, lambda saved: [str(name) for name in saved["splits"]])
    for split in splits:
        if not (root / split).is_dir():
            raise SourceError(f"hf: {root / split} is missing: copy it there, or {AGAIN}")
    return [Shard(path, split) for split in splits for path in _data_files(root / split)]


def _data_files(root: Path) -> Iterator[Path]:
    """Parquet and Arrow files below `root`; where a state.json names the files of its folder, they.

    Raises SourceError for one that is named and not there.
    """
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        if STATE in names:
            listed = _listed(
                here / STATE, lambda state: [x["filename"] for x in state["_data_files"]]
            )
            for name in listed:
                if not (here / name).is_file():
                    raise SourceError(f"hf: {here / name} is missing: copy it there, or {AGAIN}")
                yield here / name
            continue
        for name in sorted(names):
            if name.endswith(ENDINGS) and not name.startswith((".", "cache-")):
                yield here / name


def _listed(path: Path, names: Callable[[Any], list[str]]) -> list[str]:
    try:
        return names(json.loads(read_text(path)))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SourceError(f"hf: {path} is damaged: {AGAIN}") from None
