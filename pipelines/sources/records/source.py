"""Images at byte ranges of shards, with what the shards say of them, as a source.

Bytes are read where they lie: nothing is copied, and a shard is judged as files in folders are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.layout import join
from pipelines.files.naming import NUMBER, class_order, split_of
from pipelines.files.verify import Files, stamps_of, verify
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.file_source import file_source
from pipelines.sources.records.shards import Part

NO_LABEL = -1
LONGEST, DIGITS = 500, 18  # characters of the name of a class, and of its number


class Split(NamedTuple):
    """part: train, validation, test, or "" of a set that is one whole; name: as the set calls it;
    labels: int64, positions in the class names, NO_LABEL where an image has none."""

    part: str
    name: str
    files: Files
    labels: np.ndarray


def record_source(
    spec: str,
    root: str,
    splits: Sequence[Split],
    class_names: list[str],
    *,
    upright: bool,
    opening: Opening,
    unused: Sequence[Unused] = (),
    titles: Mapping[str, str] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> Source:
    """The labelled images of all splits. `root` names the set, absolute: its caches go by it.

    Raises SourceError for labels out of range, a training part without labels, one class only,
    and what `verify` and `file_source` refuse.
    """
    scheme = spec.partition(":")[0]
    unused, labelled = list(unused), []
    for split in splits:
        _check_range(scheme, split, class_names)
        known = np.flatnonzero(split.labels != NO_LABEL)
        bare = len(split.labels) - len(known)
        if bare:
            unused.append(Unused(split.name or ".", bare, "have no labels"))
        if len(known):
            files = split.files if not bare else rows(split.files, known)
            labelled.append(split._replace(files=files, labels=split.labels[known]))
    if not labelled or labelled[0].part not in ("", "train"):
        raise SourceError(f"{spec}: its training images have no labels: choose another set")
    if len(class_names) < 2:
        raise SourceError(
            f"{spec}: has one class only ({class_names[0]!r}): classification needs two or more"
        )
    files = join([split.files for split in labelled])
    parts = [split.part for split in labelled] if len(labelled) > 1 and labelled[0].part else []
    sizes = [len(split.labels) for split in labelled]
    part = np.repeat(np.arange(len(labelled)), sizes) if parts else np.zeros(len(files), np.int64)
    unique, numbered = _unique(class_names)
    whole = labelled[0].name if not labelled[0].part else ""
    if any(split_of(word) in ("validation", "test") for word in whole.split("+")):
        numbered.append(
            f"there is no training part: {whole} is one set, of which parts are held out"
        )
    return file_source(
        spec,
        files,
        verify(files, root=root, max_pixels=opening.max_pixels, decode_all=opening.decodes),
        np.concatenate([split.labels for split in labelled]).astype(np.int64),
        unique,
        part,
        parts,
        upright=upright,
        opening=opening,
        unused=unused,
        titles=titles,
        notes=[*notes, *numbered],
    )


def ranges(path: Path, names: list[str], offsets: np.ndarray, sizes: np.ndarray) -> Files:
    """Images in one file, as `Files`."""
    stamps = np.array(stamps_of(os.stat(path)), np.int64)
    return Files(
        names,
        [str(path)] * len(names),
        np.asarray(offsets, np.int64),
        np.asarray(sizes, np.int64),
        np.tile(stamps, (len(names), 1)),
    )


def splits_of(
    parts: Sequence[Part], files: Mapping[Path, Files], labels: np.ndarray
) -> list[Split]:
    """The splits of these parts; `labels`: of all files of all parts, one after another."""
    splits, at = [], 0
    for part in parts:
        images = join([files[path] for path in part.paths])
        splits.append(Split(part.part, part.split, images, labels[at : at + len(images)]))
        at += len(images)
    return splits


def rows(files: Files, keep: np.ndarray) -> Files:
    """The files at these positions."""
    place = {int(old): new for new, old in enumerate(keep)} if files.problems else {}
    return Files(
        [files.names[i] for i in keep],
        [files.paths[i] for i in keep],
        files.offsets[keep],
        files.sizes[keep],
        files.stamps[keep],
        {place[i]: why for i, why in files.problems.items() if i in place},
    )


def classified(
    spec: str, texts: Sequence[str | None], names: list[str] | None
) -> tuple[np.ndarray, list[str]]:
    """(positions in the class names, the class names) of what each image's label says.

    texts   whole numbers, or names of classes; None, and "-1", have no label
    names   of the classes, where they are known: number k is names[k]; else the classes are the
            texts that occur, in the order of `class_order`
    Raises SourceError for a text that is none of the names.
    """
    known: dict[str | None, int] = {None: NO_LABEL, str(NO_LABEL): NO_LABEL}
    different = set(texts) - set(known)
    for text in different:
        if text is not None and (len(text) > LONGEST or (text.isdecimal() and len(text) > DIGITS)):
            raise SourceError(f"{spec}: {text[:60]!r}... is no label: choose what is, by label=")
    if names is None:
        names = class_order(text for text in different if text is not None)
        known |= {name: i for i, name in enumerate(names)}
    elif all(text is not None and NUMBER.fullmatch(text) for text in different):
        known |= {text: int(text or 0) for text in different}
    else:
        known |= {name: i for i, name in enumerate(names)}
        unknown = sorted(text for text in different - set(known) if text is not None)
        if unknown:
            raise SourceError(f"{spec}: label {unknown[0]!r} is none of its {len(names)} classes")
    return np.array([known[text] for text in texts], np.int64), names


def _check_range(scheme: str, split: Split, class_names: list[str]) -> None:
    bad = np.flatnonzero((split.labels < NO_LABEL) | (split.labels >= len(class_names)))
    if len(bad):
        raise SourceError(
            f"{scheme}: {split.files.names[bad[0]]}: label: expected from 0 to "
            f"{len(class_names) - 1} ({len(class_names)} classes), or {NO_LABEL} for none, "
            f"received {split.labels[bad[0]]}"
        )


def _unique(class_names: list[str]) -> tuple[list[str], list[str]]:
    """Classes of one name get their number behind it, as ImageNet's two cranes; and a note."""
    class_names = [printable(name) for name in class_names]
    twice = {name for name, count in Counter(class_names).items() if count > 1}
    if not twice:
        return class_names, []
    unique = [f"{name} ({i})" if name in twice else name for i, name in enumerate(class_names)]
    named = ", ".join(sorted(twice)[:5])
    return unique, [
        f"{len(twice)} names stand for more than one class ({named}): each has its number"
    ]
