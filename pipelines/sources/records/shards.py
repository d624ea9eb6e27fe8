"""Shards of a set by their names: which split each belongs to, and whether all of them are there.

train-00000-of-00294.parquet   imagenet1k-train-0000.tar   train.parquet   cifar10-train.arrow
train/0000.parquet             train/data-00000-of-00002.arrow   tiny-train.tfrecord-00000-of-00001
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError
from pipelines.files.naming import PARTS, split_of

COUNTED = re.compile(r"[-_](\d+)-of-(\d+)")
LAST_NUMBER = re.compile(r"(\d+)(?=\D*$)")
HASHED = re.compile(r"-[0-9a-f]{16}(?=\.)")  # as the hub names shards: SPLIT-*-of-*-HASH.parquet
ENDINGS = {"parquet", "arrow", "tar", "gz", "tgz", "tfrecord", "tfrecords", "tfrec", "record"}
SILENT = ENDINGS | {"data", "dataset", "shard", "part"}  # words of names that name no split


class Shard(NamedTuple):
    """path of a file; split: the word that its name, or its folder's, has for one, "" for none."""

    path: Path
    split: str


def shard_of(path: Path, root: Path) -> Shard:
    """The split is the last word of the file's name that names a part, else the innermost folder
    below `root` that does, else what the file's name has beside numbers: "unsupervised"."""
    relative = path.relative_to(root)
    name = HASHED.sub("", COUNTED.sub("", relative.name))
    words = [word for word in re.split(r"[-_.\s]", name) if not word.isdigit()]
    for word in reversed(words):
        if split_of(word):
            return Shard(path, word)
    for folder in reversed(relative.parts[:-1]):
        if split_of(folder):
            return Shard(path, folder)
    return Shard(path, "-".join(word for word in words if word.lower() not in SILENT))


def chosen_splits(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """(part -> its split, split that is left out -> why), parts in the order of PARTS.

    Both are empty where no split is a training part: the set is then one whole.
    """
    chosen: dict[str, str] = {}
    left: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name.lower() != split_of(name), name)):
        part = split_of(name)
        if part is None:
            left[name] = "belong to a split that is no train, validation or test"
        elif part in chosen:
            left[name] = f"belong to a second {part} part, beside {chosen[part]!r}"
        else:
            chosen[part] = name
    if "train" not in chosen:
        return {}, {}
    return {part: chosen[part] for part in PARTS if part in chosen}, left


class Part(NamedTuple):
    """part: train, validation or test, "" of a set that is one whole; why: a split is left out."""

    part: str
    split: str
    paths: list[Path]
    why: str = ""

    @property
    def name(self) -> str:
        """What it is called in a report."""
        return self.split or (self.paths[0].name if self.why else ".")


def parts_of(shards: Iterable[Shard]) -> tuple[list[Part], list[Part]]:
    """(the parts of a set in the order of PARTS, its splits that are left out), files by name."""
    splits: defaultdict[str, list[Path]] = defaultdict(list)
    for shard in sorted(shards):
        splits[shard.split].append(shard.path)
    chosen, left = chosen_splits(splits)
    if not chosen:
        # As `datasets` calls several splits as one; names that are no splits say nothing.
        whole = "+".join(splits) if len(splits) == 1 or all(map(split_of, splits)) else ""
        return [Part("", whole, sorted(path for paths in splits.values() for path in paths))], []
    return (
        [Part(part, split, splits[split]) for part, split in chosen.items()],
        [Part("", split, splits[split], why) for split, why in left.items()],
    )


def check_complete(scheme: str, paths: Sequence[Path]) -> None:
    """Are the shards `-K-of-N` all there, of one N in a folder, and no number of others left out?

    Half a download would else be a smaller set without a word. Raises SourceError that names one.
    """
    families: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    totals: dict[str, tuple[int, Path]] = {}
    for path in paths:
        counted = COUNTED.search(path.name) or LAST_NUMBER.search(path.name)
        if counted is None:
            continue
        family = str(path.parent / path.name[: counted.start()])
        total = 0
        if counted.re is COUNTED:
            total = int(counted[2])
        else:
            family += path.name[counted.end() :]
        before, other = totals.setdefault(family, (total, path))
        if before != total:
            raise SourceError(
                f"{scheme}: {path.parent} has {other.name} and {path.name}, which count {before} "
                f"and {total} shards: two versions of a set; remove one"
            )
        twice = families[family].setdefault(int(counted[1]), path)
        if twice != path:
            raise SourceError(f"{scheme}: {twice} and {path.name} are the same shard: remove one")
    for family, numbers in families.items():
        total, some = totals[family]
        first = 1 if total in numbers and 0 not in numbers else 0
        if not total:  # by their numbers alone, where these run on
            first, total = min(numbers), max(numbers) - min(numbers) + 1
            if total > 2 * len(numbers):
                continue
        if len(numbers) < total:
            gone = next(k for k in itertools.count(first) if k not in numbers)
            raise SourceError(
                f"{scheme}: {some.parent}: {total - len(numbers)} of the {total} shards like "
                f"{some.name} are missing, number {gone} first: download them, or add "
                "',partial=yes' to use those that are there"
            )
